//! The files of the repository.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::Masked;

/// One file, read as text.
#[derive(Debug, Clone)]
pub struct Source {
    /// From the root of the repository, with slashes.
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file serves tests or measurements.
    pub fn is_test(&self) -> bool {
        let stem = self.path.rsplit('/').next().unwrap_or_default();
        self.path.split('/').any(|part| part == "tests" || part == "benches") || stem == "tests.rs"
    }

    pub fn masked(&self) -> Masked {
        Masked::new(&self.text)
    }

    /// For each line whether it belongs to tests: the file's, or those of a module under `#[cfg(test)]`.
    pub fn test_lines(&self) -> Vec<bool> {
        let code = self.masked().code;
        let mut lines = vec![self.is_test(); code.lines().count()];
        let mut depth: Option<usize> = None;
        let mut pending = false;
        for (at, line) in code.lines().enumerate() {
            pending |= line.contains("#[cfg(test)]");
            let mut open = depth.unwrap_or(0);
            lines[at] |= pending || depth.is_some();
            for c in line.chars() {
                match c {
                    '{' if pending || depth.is_some() => {
                        (open, pending, depth) = (open + 1, false, Some(open + 1))
                    }
                    '}' if depth.is_some() => (open, depth) = (open - 1, (open > 1).then(|| open - 1)),
                    // An item without a body, such as `mod tests;`.
                    ';' if pending && depth.is_none() => pending = false,
                    _ => {}
                }
            }
        }
        lines
    }
}

/// All files that people write.
#[derive(Debug)]
pub struct Tree {
    pub files: Vec<Source>,
}

impl Tree {
    /// The repository that this package is part of.
    pub fn read() -> io::Result<Tree> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = Vec::new();
        walk(&root, &root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Tree { files })
    }

    pub fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// An empty text where the file does not exist: then everything in it is missing.
    pub fn text(&self, path: &str) -> &str {
        self.files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
    }

    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }
}

fn walk(root: &Path, directory: &Path, files: &mut Vec<Source>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // `.git` is a file in a linked work tree.
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, files)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push(Source { path: relative, text });
        }
    }
    Ok(())
}

/// What is made, fetched or found.
const NOT_OURS: [&str; 9] = [
    ".git",
    "target",
    "node_modules",
    ".venv",
    "__pycache__",
    "corpus",
    "artifacts",
    "coverage",
    ".pytest_cache",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_under_cfg_test_are_tests_and_those_after_are_not() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { c(); }\n}\nfn d() {}\n";
        assert_eq!(Source::new("src/x.rs", text).test_lines(), [false, true, true, true, true, false]);
        let text = "#[cfg(test)]\nmod tests;\nfn d() {}\n";
        assert_eq!(Source::new("src/x.rs", text).test_lines(), [true, true, false]);
        assert_eq!(Source::new("tests/x.rs", "fn a() {}\n").test_lines(), [true]);
    }

    #[test]
    fn the_tree_is_the_repository() {
        let tree = Tree::read().expect("a readable tree");
        assert!(tree.has("Cargo.toml") && tree.has("tests/tidy/src/source.rs"));
        assert!(!tree.files.iter().any(|file| file.path.contains("target/")));
    }
}

//! Where files are, what they are called, how they begin and how long they are.

use crate::{Offence, Source, Tree};

/// [style] A file that has grown beyond this has two subjects.
const LINES_MAX: usize = 600;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

const BANNED_STEMS: [&str; 9] =
    ["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "mod"];

/// Length, charter and name of one Rust file.
pub fn check(file: &Source) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut offend = |what: String| offences.push(Offence::new(&file.path, 0, what));
    let lines = file.text.lines().count();
    if lines > LINES_MAX && !LONG_FILES.iter().any(|(path, _)| *path == file.path) {
        offend(format!("{lines} lines; {LINES_MAX} are the most"));
    }
    let charter = file.text.lines().next().unwrap_or_default();
    if !charter.starts_with("//! ") || charter.len() < CHARTER_CHARS_MIN {
        offend("the first line is no charter: `//!` and what this file is".to_owned());
    }
    offences.extend(check_name(&file.path));
    offences
}

/// Names that say nothing, in any part of a path.
pub fn check_name(path: &str) -> Vec<Offence> {
    let parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    let banned = parts.filter(|stem| BANNED_STEMS.contains(&stem.to_ascii_lowercase().as_str()));
    banned.map(|stem| Offence::new(path, 0, format!("`{stem}` names no thing"))).collect()
}

/// Every directory with a manifest is a member of the workspace, or is excluded, and nothing else is named.
pub fn check_members(tree: &Tree, named: &[String]) -> Vec<Offence> {
    let manifests = tree.files.iter().filter_map(|file| file.path.strip_suffix("Cargo.toml"));
    let present: Vec<&str> = manifests
        .map(|path| path.trim_end_matches('/'))
        .map(|p| if p.is_empty() { "." } else { p })
        .collect();
    let unnamed = present.iter().filter(|path| !named.iter().any(|name| name == **path));
    let absent = named.iter().filter(|name| !present.contains(&name.as_str()));
    unnamed
        .map(|path| Offence::new(path, 0, "has a manifest and is neither member nor excluded"))
        .chain(
            absent
                .map(|name| Offence::new("Cargo.toml", 0, format!("names `{name}`, which has no manifest"))),
        )
        .collect()
}

const CHARTER_CHARS_MIN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_charter_is_found() {
        for text in
            ["fn main() {}\n", "", "//!\n", "//! Short.\n", "// An ordinary comment of some length.\n"]
        {
            assert_eq!(check(&Source::new("src/a.rs", text)).len(), 1, "{text}");
        }
        assert_eq!(check(&Source::new("src/a.rs", "//! What this file is, and what not.\n")), []);
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        let text = format!("//! What this file is, and what not.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(check(&Source::new("src/a.rs", &text)).len(), 1);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        for path in ["src/utils.rs", "src/helpers/a.rs", "src/mqtt/mod.rs", "src/Common.rs", "docs/misc.md"] {
            assert_eq!(check_name(path).len(), 1, "{path}");
        }
        assert_eq!(check_name("src/model.rs"), []);
    }

    #[test]
    fn a_crate_outside_the_workspace_is_found() {
        let files = vec![Source::new("Cargo.toml", ""), Source::new("a/Cargo.toml", "")];
        let tree = Tree { files };
        assert_eq!(check_members(&tree, &[".".to_owned(), "a".to_owned()]), []);
        assert_eq!(check_members(&tree, &[".".to_owned()]).len(), 1);
        assert_eq!(check_members(&tree, &[".".to_owned(), "a".to_owned(), "b".to_owned()]).len(), 1);
    }
}

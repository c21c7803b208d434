//! Comments say why, in the present tense: no history, no notes to self, no code that sleeps.

use crate::{Offence, Source};

/// Words that retell history or put work off. The version control knows the one, the list of issues the other.
const BANNED: [&str; 11] = [
    "todo",
    "fixme",
    "xxx",
    "hack:",
    "previously",
    "no longer",
    "formerly",
    "in the past",
    "used to be",
    "used to have",
    "issue #",
];

/// Paths of one machine.
const MACHINE_PATHS: [&str; 3] = ["/root/", "/work/", "/home/"];

/// Every offence in the comments of one file.
pub fn check(file: &Source) -> Vec<Offence> {
    let rust = file.is_rust();
    let comments = if rust { file.masked().comments } else { hash_comments(&file.text) };
    let mut offences = Vec::new();
    for (at, line) in comments.lines().enumerate() {
        let text = line.trim().to_ascii_lowercase();
        for banned in BANNED.iter().filter(|banned| has_phrase(&text, banned)) {
            offences.push(Offence::new(&file.path, at + 1, format!("`{banned}`: comments speak of what is")));
        }
        if rust && is_sleeping_code(line.trim()) {
            offences.push(Offence::new(&file.path, at + 1, "this comment is code: delete it or run it"));
        }
    }
    offences
}

/// Paths that exist on one machine only, in code and comments of any file.
pub fn check_paths(file: &Source) -> Vec<Offence> {
    let lines = file.text.lines().enumerate();
    let found = lines.filter(|(_, line)| MACHINE_PATHS.iter().any(|path| has_path(line, path)));
    found.map(|(at, _)| Offence::new(&file.path, at + 1, "a path of one machine")).collect()
}

fn has_path(line: &str, path: &str) -> bool {
    // Part of a longer path, a relative one or a URL is something else.
    line.match_indices(path).any(|(at, _)| {
        line[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric() && !"./_-}$*".contains(before))
    })
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + phrase.len()..].chars().next();
        let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        is_edge(before) && (is_edge(after) || phrase.ends_with('#'))
    })
}

/// The comments of shell, Python, TOML and YAML, as far as a line shows it.
fn hash_comments(text: &str) -> String {
    let comment = |line: &str| line.find('#').map_or(String::new(), |at| line[at..].to_owned());
    text.lines().map(comment).collect::<Vec<_>>().join("\n")
}

/// A plain comment that would compile. Documentation may show code.
fn is_sleeping_code(line: &str) -> bool {
    let Some(text) = line.strip_prefix("//") else { return false };
    if text.starts_with(['/', '!']) {
        return false;
    }
    let text = text.trim();
    let statement =
        text.ends_with(';') && (text.contains(" = ") || text.contains("::") || text.ends_with(");"));
    let block = text == "}" || text == "});" || (text.ends_with('{') && text.len() > 1);
    let item = ["use ", "pub fn ", "fn ", "let mut ", "#["].iter().any(|start| text.starts_with(start));
    statement || block || (item && text.ends_with([';', '{', ']']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn history_and_notes_to_self_are_found() {
        for text in [
            "// TODO later",
            "/* FIXME */",
            "/// This used to be slow.",
            "// This is no longer needed",
            "//! See issue #12.",
            "a(); // previously b()",
        ] {
            assert_eq!(found("src/a.rs", text), 1, "{text}");
        }
        assert_eq!(found("deploy/a.yaml", "a: b # TODO\n"), 1);
        assert_eq!(found(".ci/test", "# XXX\n"), 1);
    }

    #[test]
    fn the_same_words_elsewhere_are_not() {
        for text in [
            "let todo = 1;",
            "// The key that is used to sign.",
            "f(\"no longer\");",
            "// A todolist.",
            "// 0xxxx",
        ] {
            assert_eq!(found("src/a.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn sleeping_code_is_found() {
        for text in ["// let a = b();", "// a::b();", "// }", "// if a {", "// use std::fs;", "// call(a);"] {
            assert_eq!(found("src/a.rs", text), 1, "{text}");
        }
        for text in [
            "// The first one wins; the others wait.",
            "/// let a = b();",
            "// Half of it;",
            "// use it well",
        ] {
            assert_eq!(found("src/a.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let home = ["/ho", "me/me/iothub"].concat();
        assert_eq!(check_paths(&Source::new("a.sh", &format!("cd {home}\n"))).len(), 1);
        let inside = ["target", "/wo", "rk/x"].concat();
        assert_eq!(check_paths(&Source::new("a.sh", &inside)), []);
    }
}

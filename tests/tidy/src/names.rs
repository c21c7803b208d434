//! Names and calls in code: words that say nothing, marks of older versions, and shortcuts that end a process.

use crate::{Offence, Source};

/// Crates that others have named.
const THEIRS: [&str; 1] = ["hyper_util"];

/// Every offence of one Rust file.
pub fn check(file: &Source) -> Vec<Offence> {
    let code = file.masked().code;
    let tests = file.test_lines();
    let mut offences = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let mut offend = |what: String| offences.push(Offence::new(&file.path, at + 1, what));
        if line.contains("#[ignore") {
            offend("a test that is ignored tests nothing".to_owned());
        }
        if !tests[at] && (line.contains(".unwrap()") || line.contains(".unwrap_err()")) {
            offend("`unwrap` outside tests: `expect` says why it holds".to_owned());
        }
        for name in identifiers(line).filter(|name| is_banned(name) && !THEIRS.contains(name)) {
            offend(format!("`{name}` is a name that says nothing or tells of the past"));
        }
    }
    offences
}

fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty())
}

fn is_banned(name: &str) -> bool {
    let words = words(name);
    let says_nothing = words.iter().any(|word| BANNED_WORDS.contains(&word.as_str()));
    let past = words.len() > 1 && words.last().is_some_and(|last| PAST_ENDINGS.contains(&last.as_str()));
    // A question may ask whether something is new, or too old.
    says_nothing || (past && !QUESTIONS.contains(&words[words.len() - 2].as_str()))
}

/// `SessionManager` and `session_manager` are the same two words.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = c.is_lowercase() || c.is_numeric();
        if c != '_' {
            words.last_mut().expect("there is always a word").extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

const BANNED_WORDS: [&str; 8] = ["util", "utils", "helper", "helpers", "manager", "mgr", "misc", "pkid"];
const PAST_ENDINGS: [&str; 4] = ["old", "new", "v2", "legacy"];
const QUESTIONS: [&str; 4] = ["is", "was", "if", "too"];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        for name in
            ["SessionManager", "msg_mgr", "string_utils", "PKID", "route_old", "encode_v2", "queue_new"]
        {
            assert_eq!(found("src/a.rs", &format!("let x = {name};")), 1, "{name}");
        }
        for name in ["new", "is_new", "TooOld", "manage", "message", "newest", "Old", "renew"] {
            assert_eq!(found("src/a.rs", &format!("let x = {name};")), 0, "{name}");
        }
    }

    #[test]
    fn unwrap_is_found_outside_tests_only() {
        assert_eq!(found("src/a.rs", "fn a() { b().unwrap(); }\n"), 1);
        assert_eq!(found("src/a.rs", "#[cfg(test)]\nmod tests {\n    fn a() { b().unwrap(); }\n}\n"), 0);
        assert_eq!(found("tests/a.rs", "fn a() { b().unwrap(); }\n"), 0);
        assert_eq!(found("src/a.rs", "// b().unwrap()\nlet a = \".unwrap()\";\n"), 0);
    }

    #[test]
    fn an_ignored_test_is_found() {
        assert_eq!(found("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n"), 1);
    }
}

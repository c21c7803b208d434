//! The pure crates reach nothing outside: no socket, file, clock, thread, chance or log. `clippy.toml` says it by type;
//! this says it by text, also where clippy does not look.

use crate::{Offence, Source};

/// Directories of the crates that must stay pure.
pub const PURE: [&str; 5] = [
    "shards/access/src/",
    "shards/mqtt/src/",
    "shards/secret/src/",
    "shards/shard/src/",
    "shards/transport/src/",
];

/// What a pure crate must not name, with the reason.
const IMPURE: &[(&str, &str)] = &[
    ("std::net", "sockets belong to the runtime"),
    ("std::os", "sockets and descriptors belong to the runtime"),
    ("std::fs", "files belong to the runtime"),
    ("std::io", "what fails in the world is handled at the edge"),
    ("std::env", "configuration is an argument"),
    ("std::process", "a pure crate ends by its return"),
    ("std::thread", "the runtime owns threads"),
    ("thread_local!", "a shard has one owner"),
    ("std::time::Instant", "time is an argument"),
    ("Instant::now", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("RandomState::new", "chance is an argument"),
    ("RandomState::default", "chance is an argument"),
    ("rand::", "chance is an argument"),
    ("getrandom", "chance is an argument"),
    ("async", "a shard never waits"),
    (".await", "a shard never waits"),
    ("Mutex", "shards share nothing"),
    ("RwLock", "shards share nothing"),
    ("Atomic", "shards share nothing"),
    ("RefCell", "a shard has one owner"),
    ("static mut", "shards share nothing"),
    ("tracing::", "what is to be logged is an effect"),
    ("println!", "what is to be logged is an effect"),
    ("eprintln!", "what is to be logged is an effect"),
    ("dbg!", "what is to be logged is an effect"),
    ("libc::", "the system belongs to the runtime"),
];

/// Every impure word of one file of a pure crate. Tests may measure and write what they like.
pub fn check(file: &Source) -> Vec<Offence> {
    let code = file.masked().code;
    let tests = file.test_lines();
    let mut offences = Vec::new();
    for (at, line) in code.lines().enumerate().filter(|(at, _)| !tests[*at]) {
        for (word, reason) in IMPURE.iter().filter(|(word, _)| has_word(line, word)) {
            offences.push(Offence::new(&file.path, at + 1, format!("`{word}`: {reason}")));
        }
    }
    offences
}

/// Word boundaries matter where the word itself begins or ends with a letter; `Atomic` stands for all of its kind.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open_end = word == "Atomic" || word.ends_with([':', '!']);
        (word.starts_with('.') || !is_name(before)) && (open_end || !is_name(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_impure_word_is_found() {
        for (word, _) in IMPURE {
            let text = format!("use {word}::x;\n");
            assert!(!check(&Source::new("shards/shard/src/a.rs", &text)).is_empty(), "{word}");
        }
    }

    #[test]
    fn tests_comments_and_longer_names_are_left_alone() {
        let text = "// std::fs\nlet a = operand::b; let asynchronous = 1;\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n";
        assert_eq!(check(&Source::new("shards/shard/src/a.rs", text)), []);
    }
}

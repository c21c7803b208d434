//! The text of a file of users while it is changed: each line keeps its place, and comments stay.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    Cost, Hash, HashError,
    password_file::{Problem, ProblemKind, Warning},
};

/// Lines of `user:stored`. What is stored may be a password as it was typed, so all of it is wiped in the end.
pub struct UserLines {
    lines: Vec<Zeroizing<Vec<u8>>>,
}

/// Why a user cannot be in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    #[error("the user has no name")]
    Empty,
    #[error("a user's name must not contain `:`, which ends it in the file")]
    Colon,
    #[error("a user's name must not contain line breaks or other control characters")]
    Control,
    #[error("a user's name must not begin with `#`, which makes the line a comment")]
    Comment,
    #[error("a user's name must not begin or end with a space, which is left out when the file is read")]
    Space,
    #[error("a user's name must not be longer than 65535 bytes")]
    Long,
}

/// A line whose plain password could not be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct UpgradeError {
    pub line: usize,
    pub error: HashError,
}

impl UserLines {
    pub fn parse(bytes: &[u8]) -> UserLines {
        let bytes = unmarked(bytes);
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let lines = match text.is_empty() && bytes.len() <= 1 {
            true => Vec::new(),
            false => text.split(|b| *b == b'\n').map(|line| Zeroizing::new(line.to_vec())).collect(),
        };
        UserLines { lines }
    }

    /// Puts a user in the place where it stands already, or at the end. `is_same` says which of the things that may be
    /// stored for a user this one replaces. Whether there was one.
    pub fn set(&mut self, user: &str, stored: &impl fmt::Display, is_same: impl Fn(&str) -> bool) -> bool {
        let place = self.lines.iter().position(|line| is_of(line, user, &is_same));
        let text = Zeroizing::new(format!("{user}:{stored}").into_bytes());
        match place {
            Some(at) => {
                self.lines[at] = text;
                // A name that stands there twice would keep the file from being taken.
                let mut later = self.lines.split_off(at + 1);
                later.retain(|line| !is_of(line, user, &is_same));
                self.lines.append(&mut later);
            }
            None => self.lines.push(text),
        }
        place.is_some()
    }

    /// Whether the user was there.
    pub fn remove(&mut self, user: &str, is_same: impl Fn(&str) -> bool) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| !is_of(line, user, &is_same));
        self.lines.len() < before
    }

    /// Hashes each password that is there as it was typed, and leaves what is hashed. How many there were.
    pub fn upgrade(&mut self, cost: Cost) -> Result<usize, UpgradeError> {
        let mut upgraded = 0;
        for (at, line) in self.lines.iter_mut().enumerate() {
            let Some((user, plain)) = parts(line) else { continue };
            // What has the beginning of a known format is no password, even where it is damaged.
            let is_hashed = match Hash::parse(plain) {
                Ok(_) => true,
                Err(HashError::Unknown) => false,
                Err(error) => return Err(UpgradeError { line: at + 1, error }),
            };
            if is_hashed || plain.is_empty() {
                continue;
            }
            let hash =
                Hash::make(plain.as_bytes(), cost).map_err(|error| UpgradeError { line: at + 1, error })?;
            let text = format!("{user}:{hash}").into_bytes();
            *line = Zeroizing::new(text);
            upgraded += 1;
        }
        Ok(upgraded)
    }

    pub fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let len = self.lines.iter().map(|line| line.len() + 1).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        bytes
    }
}

/// Brings each user of a file with what is stored for it; gives warnings of what is passed over.
pub(crate) fn each(
    file: &str,
    bytes: &[u8],
    problems: &mut Vec<Problem>,
    mut take: impl FnMut(usize, &str, &str) -> Result<(), ProblemKind>,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (at, line) in unmarked(bytes).split(|b| *b == b'\n').enumerate() {
        let taken = match Line::parse(line) {
            Ok(Line::Nothing) => Ok(()),
            Ok(Line::NoColon) => {
                let what = "there is no colon after the user; the line is passed over";
                warnings.push(Warning { file: file.to_owned(), line: at + 1, what });
                Ok(())
            }
            Ok(Line::User(user, stored)) => take(at + 1, user, stored),
            Err(what) => Err(what),
        };
        if let Err(what) = taken {
            problems.push(Problem { file: file.to_owned(), line: at + 1, what });
        }
    }
    warnings
}

/// Without the mark of the order of bytes that some editors put before a text.
pub(crate) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

enum Line<'a> {
    Nothing,
    NoColon,
    User(&'a str, &'a str),
}

impl Line<'_> {
    fn parse(line: &[u8]) -> Result<Line<'_>, ProblemKind> {
        if line.first() == Some(&b'#') {
            return Ok(Line::Nothing);
        }
        let text = std::str::from_utf8(line).map_err(|_| ProblemKind::NoText)?.trim_ascii();
        if text.is_empty() {
            return Ok(Line::Nothing);
        }
        let Some((user, stored)) = text.split_once(':') else { return Ok(Line::NoColon) };
        match user.trim_ascii() {
            "" => Err(ProblemKind::NoUser),
            user if user.len() > USER_BYTES_MAX => Err(ProblemKind::LongUser),
            user => Ok(Line::User(user, stored.trim_ascii())),
        }
    }
}

/// Whether a file can hold this user, so that a broker that reads it finds the same.
pub fn check_user(user: &str) -> Result<(), UserError> {
    match user {
        "" => Err(UserError::Empty),
        user if user.contains(':') => Err(UserError::Colon),
        user if user.contains(char::is_control) => Err(UserError::Control),
        user if user.starts_with('#') => Err(UserError::Comment),
        user if user.trim_ascii() != user => Err(UserError::Space),
        user if user.len() > USER_BYTES_MAX => Err(UserError::Long),
        _ => Ok(()),
    }
}

/// User and what is stored; a comment and a line without a colon have neither.
fn parts(line: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(line).ok().filter(|text| !text.starts_with('#'))?;
    let (user, stored) = text.split_once(':')?;
    Some((user.trim_ascii(), stored.trim_ascii()))
}

fn is_of(line: &[u8], user: &str, is_same: impl Fn(&str) -> bool) -> bool {
    parts(line).is_some_and(|(name, stored)| name == user && is_same(stored))
}

/// [MQTT-1.5.4] No client can send a longer one.
const USER_BYTES_MAX: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, PasswordFile};

    fn changed(text: &str, change: impl FnOnce(&mut UserLines)) -> String {
        let mut lines = UserLines::parse(text.as_bytes());
        change(&mut lines);
        String::from_utf8(lines.bytes().to_vec()).expect("text")
    }

    #[test]
    fn a_user_is_replaced_where_it_stands_or_comes_last() {
        let any = |_: &str| true;
        let text = "# a:1\na:1\r\n\nb:2";
        assert_eq!(changed(text, |lines| assert!(lines.set("a", &"9", any))), "# a:1\na:9\n\nb:2\n");
        assert_eq!(changed(text, |lines| assert!(!lines.set("c", &"9", any))), "# a:1\na:1\r\n\nb:2\nc:9\n");
        assert_eq!(changed("a:1\nb:2\na:3\n", |lines| assert!(lines.set("a", &"9", any))), "a:9\nb:2\n");
        assert_eq!(changed("", |lines| assert!(!lines.set("a", &"9", any))), "a:9\n");
        assert_eq!(changed("\n", |_| ()), "");
        assert_eq!(
            changed("a:x1\na:y1\n", |lines| assert!(lines.set("a", &"y2", |s| s.starts_with('y')))),
            "a:x1\na:y2\n"
        );
    }

    #[test]
    fn a_user_is_removed_with_all_of_its_lines_and_no_other() {
        let any = |_: &str| true;
        let text = "ab:1\n#a:1\na:1\nno colon\na :2\n";
        assert_eq!(changed(text, |lines| assert!(lines.remove("a", any))), "ab:1\n#a:1\nno colon\n");
        assert_eq!(changed(text, |lines| assert!(!lines.remove("x", any))), text);
    }

    #[test]
    fn the_user_behind_a_mark_of_the_order_of_bytes_is_found() {
        let any = |_: &str| true;
        assert_eq!(changed("\u{feff}a:1\nb:2\n", |lines| assert!(lines.remove("a", any))), "b:2\n");
        assert_eq!(changed("\u{feff}#a\n", |_| ()), "#a\n");
    }

    #[test]
    fn plain_passwords_are_hashed_and_hashes_are_left() {
        let cost = Cost { kind: Kind::Pbkdf2, rounds: 5, memory_kib: 0 };
        let hashed = Hash::make(b"old", cost).expect("a hash").to_string();
        let text = format!("# note\na:secret\nb:{hashed}\nc:p:q\n");
        let upgraded = changed(&text, |lines| assert_eq!(lines.upgrade(cost), Ok(2)));
        assert!(upgraded.starts_with("# note\na:$7$5$") && upgraded.contains(&format!("b:{hashed}\n")));
        let (file, _) = PasswordFile::parse("x", upgraded.as_bytes()).expect("a good file");
        for (user, password) in [("a", "secret"), ("b", "old"), ("c", "p:q")] {
            assert!(file.hash(user).is_some_and(|hash| hash.is_of(password.as_bytes())), "{user}");
        }
        let mut damaged = UserLines::parse(b"#\na:$7$101$\n");
        assert_eq!(damaged.upgrade(cost).expect_err("damaged").line, 2);
    }

    #[test]
    fn a_name_that_would_be_read_otherwise_is_refused() {
        for name in ["", "a:b", "a\nb", "#a", " a", "a ", "\ta", "a\0"] {
            assert!(check_user(name).is_err(), "{name:?}");
        }
        for name in ["a", "a b", "a#", "ä", "a@b.example"] {
            assert_eq!(check_user(name), Ok(()));
            let cost = Cost { kind: Kind::Sha512, rounds: 1, memory_kib: 0 };
            let hash = Hash::make(b"x", cost).expect("a hash");
            let text = changed("", |lines| _ = lines.set(name, &hash, |_| true));
            assert!(PasswordFile::parse("x", text.as_bytes()).expect("a good file").0.hash(name).is_some());
        }
    }
}

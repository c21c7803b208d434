//! Tokens of the API and their file: a line of JSON for each, with the hash of the token and not the token itself.
//!
//! `{"name":"grafana","role":"viewer","sha256":"9f86..."}`. A token is 256 random bits, so that a plain hash gives nothing away.

use std::{fmt::Write as _, path::Path};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::text::without_place;

/// What somebody may ask. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at everything and changes nothing.
    Viewer,
    /// Does things to clients, bans and messages.
    Operator,
    /// Changes users and the configuration, and ends the broker.
    Admin,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub name: String,
    pub role: Role,
    /// Of the token, in hexadecimal digits.
    sha256: String,
}

impl Token {
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// All of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenList {
    pub tokens: Vec<Token>,
}

impl TokenList {
    /// The file has to be there, and nobody else may read it. The error is a sentence.
    pub fn load(path: &Path) -> Result<TokenList, String> {
        let bytes = identity::read_private(path).map_err(|error| error.to_string())?;
        TokenList::parse(&bytes).map_err(|(line, what)| format!("{}:{line}: {what}", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<TokenList, (usize, String)> {
        let mut list = TokenList::default();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let token: Token = serde_json::from_slice(line).map_err(|error| (at + 1, unread(&error)))?;
            check_name(&token.name).map_err(|error| (at + 1, error))?;
            let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_hash(&token.sha256) {
                return Err((at + 1, "`sha256` is no SHA-256 in hexadecimal digits: take the line out, and make another token (iothub token add)".to_owned()));
            }
            if list.find(&token.name).is_some() {
                return Err((at + 1, format!("there is a token {} already", token.name)));
            }
            list.tokens.push(token);
        }
        Ok(list)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for token in &self.tokens {
            serde_json::to_writer(&mut bytes, token).expect("a vector takes everything");
            bytes.push(b'\n');
        }
        bytes
    }

    /// Makes one more, and gives what its owner has to say. Nobody can find that out afterwards.
    pub fn add(&mut self, name: &str, role: Role) -> Result<Zeroizing<String>, String> {
        check_name(name)?;
        if self.find(name).is_some() {
            return Err(format!("there is a token {name} already: remove it, or choose another name"));
        }
        let mut random = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *random)
            .map_err(|_| "the system gives no random numbers: no token is made".to_owned())?;
        let mut secret = Zeroizing::new(String::with_capacity(SECRET_BYTES));
        secret.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(*random, &mut secret);
        self.tokens.push(Token { name: name.to_owned(), role, sha256: hash(&secret) });
        Ok(secret)
    }

    /// False: there is none of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.name != name);
        self.tokens.len() < before
    }

    /// The token of this secret. How long it takes does not say how close it came.
    pub fn check(&self, secret: &str) -> Option<&Token> {
        let hash = hash(secret);
        let mut found = None;
        for token in &self.tokens {
            if verify_slices_are_equal(token.sha256.as_bytes(), hash.as_bytes()).is_ok() {
                found = Some(token);
            }
        }
        found
    }

    fn find(&self, name: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.name == name)
    }
}

fn unread(error: &serde_json::Error) -> String {
    match error.is_data() {
        true => {
            format!("{}: take the line out, and make another token (iothub token add)", without_place(error))
        }
        false => "this is no token as `iothub token` writes them: take the line out, or name another file"
            .to_owned(),
    }
}

/// It stands in logs and on command lines.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(format!(
            "`{name}` is no name of a token: expected up to {NAME_BYTES_MAX} of a-z A-Z 0-9 . _ - @"
        ));
    }
    Ok(())
}

fn hash(secret: &str) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, secret.as_bytes()).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// So that programs that look for secrets where none should be know one.
const PREFIX: &str = "iothub_";
/// 32 random bytes in letters and digits.
const SECRET_BYTES: usize = PREFIX.len() + 43;
const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_secret_and_the_file_does_not_hold_it() {
        let mut list = TokenList::default();
        let first = list.add("first", Role::Admin).expect("made");
        let second = list.add("second", Role::Viewer).expect("made");
        assert!(first.starts_with(PREFIX) && first.len() == PREFIX.len() + 43 && first != second);
        let text = String::from_utf8(list.bytes()).expect("text");
        assert!(!text.contains(&first[PREFIX.len()..]), "{text}");
        let mut read = TokenList::parse(text.as_bytes()).expect("a right file");
        assert_eq!(read, list);
        let known = read.check(&second).expect("known");
        assert_eq!((known.name.as_str(), known.role), ("second", Role::Viewer));
        assert_eq!(read.check("iothub_"), None);
        assert!(read.remove("second") && !read.remove("second"));
        assert_eq!(read.check(&second), None);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_line() {
        let hash = "0".repeat(64);
        for (text, line, what) in [
            ("anna:$7$101$x".to_owned(), 1, "this is no token as `iothub token` writes them"),
            (format!("\n{{\"name\":\"a b\",\"role\":\"viewer\",\"sha256\":\"{hash}\"}}"), 2, "is no name"),
            (format!("{{\"name\":\"a\",\"role\":\"root\",\"sha256\":\"{hash}\"}}"), 1, "unknown variant"),
            ("{\"name\":\"a\",\"role\":\"viewer\",\"sha256\":\"12\"}".to_owned(), 1, "no SHA-256"),
            (
                format!("{{\"name\":\"a\",\"role\":\"viewer\",\"sha256\":\"{hash}\"}}\n").repeat(2),
                2,
                "already",
            ),
        ] {
            let (at, error) = TokenList::parse(text.as_bytes()).expect_err(&text);
            assert!(at == line && error.contains(what), "{at} {error}");
        }
        let mut list = TokenList::default();
        list.add("a", Role::Viewer).expect("made");
        assert!(list.add("a", Role::Admin).expect_err("twice").contains("already"));
        assert!(list.add("", Role::Admin).is_err());
    }

    #[test]
    fn roles_include_those_before_them() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}

//! The user database: one user on each line, as JSON, in a file that `iothub user` changes.
//!
//! `{"user":"alice","password":"$argon2id$...","scram":["SCRAM-SHA-256$..."],"groups":["plant"],"roles":["operator"],"is_disabled":true}`,
//! of which only the user has to be there. What is not known is an error: a right that is misspelled is none.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
    sync::Arc,
};

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    Hash, check_user,
    password_file::{LoadError, Problem, ProblemKind, most_usual},
    private_file,
    scram::{Credential, Mechanism},
    user_lines::unmarked,
};

/// What is known about a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRecord {
    pub password: Option<Hash>,
    /// One for each mechanism at most.
    pub scram: Vec<Credential>,
    pub groups: Vec<Arc<str>>,
    pub roles: Vec<Arc<str>>,
    /// Is known and not let in.
    pub is_disabled: bool,
}

/// All users, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserTable {
    pub records: BTreeMap<Box<str>, UserRecord>,
}

impl UserTable {
    pub fn load(path: &Path) -> Result<UserTable, LoadError> {
        let bytes = private_file::read(path)?;
        UserTable::parse(&path.to_string_lossy(), &bytes).map_err(LoadError::Lines)
    }

    /// `file` is what problems are called after.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<UserTable, Vec<Problem>> {
        let mut lines: BTreeMap<Box<str>, (usize, UserRecord)> = BTreeMap::new();
        let mut problems = Vec::new();
        for (at, line) in unmarked(bytes).split(|b| *b == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let taken = record(line).and_then(|(user, record)| match lines.entry(user.as_str().into()) {
                Entry::Vacant(vacant) => {
                    vacant.insert((at + 1, record));
                    Ok(())
                }
                Entry::Occupied(there) => Err(ProblemKind::Twice { user, first: there.get().0 }),
            });
            if let Err(what) = taken {
                problems.push(Problem { file: file.to_owned(), line: at + 1, what });
            }
        }
        match problems.is_empty() {
            true => Ok(UserTable {
                records: lines.into_iter().map(|(user, (_, record))| (user, record)).collect(),
            }),
            false => Err(problems),
        }
    }

    /// As it stands in the file, in the order of names.
    pub fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::new());
        for (user, record) in &self.records {
            bytes.extend_from_slice(line(user, record).to_string().as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    /// A hash of the cost that most users' have.
    pub fn decoy(&self) -> Option<Hash> {
        most_usual(self.records.values().filter_map(|record| record.password.as_ref()))
    }
}

impl UserRecord {
    pub fn credential(&self, mechanism: Mechanism) -> Option<&Credential> {
        self.scram.iter().find(|credential| credential.mechanism == mechanism)
    }
}

fn line(user: &str, record: &UserRecord) -> Value {
    let mut line = Map::new();
    line.insert("user".to_owned(), json!(user));
    if let Some(password) = &record.password {
        line.insert("password".to_owned(), json!(password.to_string()));
    }
    if !record.scram.is_empty() {
        let texts: Vec<String> = record.scram.iter().map(ToString::to_string).collect();
        line.insert("scram".to_owned(), json!(texts));
    }
    for (name, texts) in [("groups", &record.groups), ("roles", &record.roles)] {
        if !texts.is_empty() {
            line.insert(name.to_owned(), texts.iter().map(|text| json!(&**text)).collect());
        }
    }
    if record.is_disabled {
        line.insert("is_disabled".to_owned(), json!(true));
    }
    Value::Object(line)
}

fn record(line: &[u8]) -> Result<(String, UserRecord), ProblemKind> {
    let line: Map<String, Value> = serde_json::from_slice(line).map_err(|_| ProblemKind::NoJson)?;
    let user = line.get("user").and_then(Value::as_str).filter(|user| check_user(user).is_ok());
    let user = user.ok_or(ProblemKind::Field { field: "user".to_owned() })?.to_owned();
    let mut record = UserRecord::default();
    for (field, value) in &line {
        let wrong = || ProblemKind::Field { field: field.clone() };
        match field.as_str() {
            "user" => {}
            "password" => record.password = Some(hash(&user, value.as_str().ok_or_else(wrong)?)?),
            "scram" => record.scram = credentials(&user, value).unwrap_or_else(|| Err(wrong()))?,
            "groups" => record.groups = names(value).ok_or_else(wrong)?,
            "roles" => record.roles = names(value).ok_or_else(wrong)?,
            "is_disabled" => record.is_disabled = value.as_bool().ok_or_else(wrong)?,
            _ => return Err(ProblemKind::UnknownField { field: field.clone() }),
        }
    }
    Ok((user, record))
}

fn hash(user: &str, text: &str) -> Result<Hash, ProblemKind> {
    Hash::parse(text).map_err(|error| ProblemKind::Hash { user: user.to_owned(), error })
}

/// None is something else than an array of texts with one credential for each mechanism.
fn credentials(user: &str, value: &Value) -> Option<Result<Vec<Credential>, ProblemKind>> {
    let mut credentials: Vec<Credential> = Vec::new();
    for text in value.as_array()? {
        let credential = match Credential::parse(text.as_str()?) {
            Ok(credential) => credential,
            Err(error) => return Some(Err(ProblemKind::Credential { user: user.to_owned(), error })),
        };
        if credentials.iter().any(|other| other.mechanism == credential.mechanism) {
            return None;
        }
        credentials.push(credential);
    }
    Some(Ok(credentials))
}

fn names(value: &Value) -> Option<Vec<Arc<str>>> {
    let is_name = |text: &&str| !text.is_empty() && !text.contains(char::is_control);
    value.as_array()?.iter().map(|value| value.as_str().filter(is_name).map(Arc::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cost, Kind};

    fn table() -> UserTable {
        let cost = Cost { kind: Kind::Pbkdf2, rounds: 5, memory_kib: 0 };
        let scram =
            Mechanism::ALL.map(|mechanism| Credential::make(mechanism, b"x", 4096).expect("made")).to_vec();
        let record = UserRecord {
            password: Some(Hash::make(b"x", cost).expect("a hash")),
            scram,
            groups: vec!["a \"b\"".into()],
            roles: vec!["c".into(), "d".into()],
            is_disabled: true,
        };
        let records = [("zoe".into(), record), ("alice".into(), UserRecord::default())];
        UserTable { records: records.into() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = table().bytes();
        assert_eq!(UserTable::parse("users", &bytes), Ok(table_from(&bytes)));
        assert!(bytes.starts_with(b"{\"user\":\"alice\"}\n{"));
        assert_eq!(UserTable::parse("users", b"\n \n"), Ok(UserTable::default()));
        let marked = [b"\xef\xbb\xbf", &**bytes].concat();
        assert_eq!(UserTable::parse("users", &marked), Ok(table_from(&bytes)), "an editor's mark");
    }

    fn table_from(bytes: &[u8]) -> UserTable {
        let table = UserTable::parse("users", bytes).expect("in order");
        let zoe = &table.records["zoe"];
        assert!(zoe.password.as_ref().is_some_and(|hash| hash.is_of(b"x")) && zoe.is_disabled);
        assert_eq!((zoe.scram.len(), &*zoe.groups[0], &*zoe.roles[1]), (2, "a \"b\"", "d"));
        assert_eq!(*table.bytes(), bytes);
        table
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, told) in [
            (
                "x",
                "users:1: this is no user as `iothub user` writes them, a JSON object with the name at least: {\"user\":\"anna\"}",
            ),
            (
                "[]",
                "users:1: this is no user as `iothub user` writes them, a JSON object with the name at least: {\"user\":\"anna\"}",
            ),
            ("\n{}", "users:2: `user` is missing or cannot be read"),
            (r#"{"user":"a:b"}"#, "users:1: `user` is missing or cannot be read"),
            (r#"{"user":"a","role":["b"]}"#, "users:1: `role` is not known"),
            (r#"{"user":"a","roles":"b"}"#, "users:1: `roles` is missing or cannot be read"),
            (r#"{"user":"a","scram":[1]}"#, "users:1: `scram` is missing or cannot be read"),
            (r#"{"user":"a","is_disabled":1}"#, "users:1: `is_disabled` is missing or cannot be read"),
            ("{\"user\":\"a\"}\n{\"user\":\"a\"}", "users:2: user `a` is on line 1 already"),
        ] {
            let problems = UserTable::parse("users", text.as_bytes()).expect_err(text);
            assert_eq!(problems[0].to_string(), told, "{text}");
        }
        let problems = UserTable::parse("users", br#"{"user":"a","password":"hunter2"}"#).expect_err("plain");
        assert!(!problems[0].to_string().contains("hunter2"));
    }
}

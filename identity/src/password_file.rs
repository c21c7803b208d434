//! The password file: `user:hash` on each line, as mosquitto's files have them.
//!
//! A file is taken whole or not at all. What mosquitto reads without a word and is surely meant otherwise is a warning.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    path::Path,
};

use crate::{
    named_file::FileError,
    password::{Cost, Hash, HashError},
    private_file,
    scram::CredentialError,
    user_lines,
};

/// The users of one file.
pub struct PasswordFile {
    users: HashMap<Box<str>, Hash>,
    /// Tried where the user is unknown, so that it takes as long as a wrong password of most users.
    decoy: Option<Hash>,
}

/// What a file says about a user and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    Right,
    Wrong,
    Unknown,
}

/// A line that keeps a file from being taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    pub line: usize,
    pub what: ProblemKind,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    #[error("there is no user before the colon")]
    NoUser,
    #[error("the name of the user is longer than 65535 bytes, which no client can send")]
    LongUser,
    #[error("user `{user}` is on line {first} already")]
    Twice { user: String, first: usize },
    #[error("user `{user}`: {error}")]
    Hash { user: String, error: HashError },
    #[error("user `{user}`: {error}")]
    Credential { user: String, error: CredentialError },
    #[error(
        "this is no user as `iothub user` writes them, a JSON object with the name at least: {{\"user\":\"anna\"}}"
    )]
    NoJson,
    #[error("`{field}` is missing or cannot be read")]
    Field { field: String },
    #[error("`{field}` is not known")]
    UnknownField { field: String },
    #[error("the line is no UTF-8, as the names of clients are")]
    NoText,
}

/// A line that is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub file: String,
    pub line: usize,
    pub what: &'static str,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}", lines_of(.0))]
    Lines(Vec<Problem>),
}

impl PasswordFile {
    pub fn load(path: &Path) -> Result<(PasswordFile, Vec<Warning>), LoadError> {
        let bytes = private_file::read(path)?;
        PasswordFile::parse(&path.to_string_lossy(), &bytes).map_err(LoadError::Lines)
    }

    /// `file` is what problems are called after.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<(PasswordFile, Vec<Warning>), Vec<Problem>> {
        let mut users: HashMap<Box<str>, (usize, Hash)> = HashMap::new();
        let mut problems = Vec::new();
        let warnings = user_lines::each(file, bytes, &mut problems, |line, user, stored| {
            let hash =
                Hash::parse(stored).map_err(|error| ProblemKind::Hash { user: user.to_owned(), error })?;
            match users.entry(user.into()) {
                Entry::Vacant(vacant) => drop(vacant.insert((line, hash))),
                Entry::Occupied(there) => {
                    return Err(ProblemKind::Twice { user: user.to_owned(), first: there.get().0 });
                }
            }
            Ok(())
        });
        match problems.is_empty() {
            true => Ok((
                PasswordFile::new(users.into_iter().map(|(user, (_, hash))| (user, hash)).collect()),
                warnings,
            )),
            false => Err(problems),
        }
    }

    fn new(users: HashMap<Box<str>, Hash>) -> PasswordFile {
        let decoy = most_usual(users.values());
        PasswordFile { users, decoy }
    }

    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(|user| &**user)
    }

    /// The hash of a user, for whoever decides what an unknown one costs.
    pub fn hash(&self, user: &str) -> Option<&Hash> {
        self.users.get(user)
    }

    /// Whether this is the password. An unknown user takes as long as a wrong password.
    pub fn judge(&self, user: &str, password: &[u8]) -> Match {
        match self.users.get(user) {
            Some(hash) if hash.is_of(password) => Match::Right,
            Some(_) => Match::Wrong,
            None => {
                self.burn(password);
                Match::Unknown
            }
        }
    }

    /// Takes the time of a password of this file, and says whether it has any.
    pub fn burn(&self, password: &[u8]) -> bool {
        self.decoy.as_ref().inspect(|decoy| _ = std::hint::black_box(decoy.is_of(password))).is_some()
    }

    pub fn len(&self) -> usize {
        self.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// A hash of the cost that most have; of equally many the dearest.
pub(crate) fn most_usual<'a>(hashes: impl Iterator<Item = &'a Hash> + Clone) -> Option<Hash> {
    let mut counts: HashMap<Cost, usize> = HashMap::new();
    for hash in hashes.clone() {
        *counts.entry(hash.cost()).or_default() += 1;
    }
    let (cost, _) = counts.into_iter().max_by_key(|(cost, count)| (*count, *cost))?;
    hashes.into_iter().find(|hash| hash.cost() == cost).cloned()
}

fn lines_of(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(PROBLEMS_TOLD).map(ToString::to_string).collect();
    if problems.len() > PROBLEMS_TOLD {
        lines.push(format!("and {} more", problems.len() - PROBLEMS_TOLD));
    }
    lines.join("\n")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFile").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

const PROBLEMS_TOLD: usize = 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::password::Kind;

    const ALICE: &str = "alice:$7$101$lbAlJg0fu5SzJmun$z9z6bmyqbsSUIJ9dh+GtOTQBIFixPrX6JYnb7qNOWogsgsZ9tohQWBSj//XddHNplQGxS9g0N91lnx613JFtAA==";

    fn parse(text: &str) -> Result<(PasswordFile, Vec<Warning>), Vec<Problem>> {
        PasswordFile::parse("users", text.as_bytes())
    }

    fn problem(text: &str) -> String {
        let problems = parse(text).expect_err(text);
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn users_are_those_of_the_lines_with_a_colon() {
        let text = format!("# bob:x\n\n{ALICE}\r\n#\nno colon here\n  \n");
        let (file, warnings) = parse(&text).expect("a good file");
        assert_eq!(file.len(), 1);
        assert_eq!(file.judge("alice", b"hello"), Match::Right);
        assert_eq!(file.judge("alice", b"Hello"), Match::Wrong);
        assert_eq!(file.judge("Alice", b"hello"), Match::Unknown);
        assert_eq!(warnings.len(), 1);
        let line = "users:5: there is no colon after the user; the line is passed over";
        assert_eq!(warnings[0].to_string(), line);
        assert!(parse("").expect("an empty file").0.is_empty());
        assert!(parse(&format!("\u{feff}{ALICE}")).expect("a mark of its order").0.hash("alice").is_some());
    }

    #[test]
    fn an_offence_names_its_line_and_never_the_password() {
        assert_eq!(problem("\n:x"), "users:2: there is no user before the colon");
        assert_eq!(problem(&format!("{ALICE}\n#\n{ALICE}")), "users:3: user `alice` is on line 1 already");
        let plain = problem("bob:hunter2");
        assert!(plain.starts_with("users:1: user `bob`: this is no hash"), "{plain}");
        assert!(!plain.contains("hunter2"));
        assert!(problem("bob:").starts_with("users:1: user `bob`: this is no hash"));
        assert!(problem(&format!("{}:x", "u".repeat(65_536))).contains("65535"));
        assert!(problem(&format!("{ALICE}:x")).contains("its hash is no base64"));
        let bytes = [b"x\xff:", ALICE.as_bytes()].concat();
        assert_eq!(PasswordFile::parse("users", &bytes).expect_err("no text")[0].what, ProblemKind::NoText);
    }

    #[test]
    fn every_offence_of_a_file_is_told() {
        assert_eq!(parse(":\nbob:x\ncarol:y\n").expect_err("three").len(), 3);
        let many = LoadError::Lines(parse(&"a:b\n".repeat(30)).expect_err("thirty")).to_string();
        assert_eq!(many.lines().count(), PROBLEMS_TOLD + 1);
        assert!(many.ends_with("and 10 more"));
    }

    #[test]
    fn an_unknown_user_costs_what_most_users_cost() {
        let cheap =
            |user: &str| format!("{user}:{}\n", Hash::make(b"x", Kind::Sha512.cost()).expect("a hash"));
        let dear =
            Hash::make(b"x", Cost { kind: Kind::Pbkdf2, rounds: 50_000, memory_kib: 0 }).expect("a hash");
        let text = format!("{}a:{dear}\nb:{dear}\n", cheap("c"));
        let (file, _) = parse(&text).expect("a good file");
        assert_eq!(file.decoy.as_ref().map(Hash::cost), Some(dear.cost()));
        // Of the thread alone: other programs may have the core for as long as they like.
        let taken = |user: &str| {
            let begin = thread_cpu_time();
            file.judge(user, b"y");
            thread_cpu_time() - begin
        };
        let median = |user: &str| {
            let mut times: Vec<Duration> = (0..5).map(|_| taken(user)).collect();
            times.sort();
            times[2]
        };
        let (wrong, unknown, quick) = (median("a"), median("nobody"), median("c"));
        assert!(
            unknown > wrong / 2 && unknown < wrong * 2,
            "{unknown:?} for nobody, {wrong:?} for a wrong password"
        );
        assert!(quick < wrong / 10, "{quick:?}");
    }

    #[allow(unsafe_code)]
    fn thread_cpu_time() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes the time into what it is given, which lives as long as the call.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

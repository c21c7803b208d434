//! The file of SCRAM's keys: `user:SCRAM-SHA-256$...` on each line, one for each user and mechanism.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    path::Path,
};

use crate::{
    password_file::{LoadError, Problem, ProblemKind, Warning},
    private_file,
    scram::{Credential, Mechanism},
    user_lines,
};

/// The keys of one file.
pub struct ScramFile {
    users: HashMap<Box<str>, Keys>,
}

#[derive(Default)]
struct Keys {
    sha256: Option<(usize, Credential)>,
    sha512: Option<(usize, Credential)>,
}

impl ScramFile {
    pub fn load(path: &Path) -> Result<(ScramFile, Vec<Warning>), LoadError> {
        let bytes = private_file::read(path)?;
        ScramFile::parse(&path.to_string_lossy(), &bytes).map_err(LoadError::Lines)
    }

    /// `file` is what problems are called after.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<(ScramFile, Vec<Warning>), Vec<Problem>> {
        let mut users: HashMap<Box<str>, Keys> = HashMap::new();
        let mut problems = Vec::new();
        let warnings = user_lines::each(file, bytes, &mut problems, |line, user, stored| {
            let credential = Credential::parse(stored)
                .map_err(|error| ProblemKind::Credential { user: user.to_owned(), error })?;
            let keys = match users.entry(user.into()) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(Keys::default()),
            };
            let place = keys.place(credential.mechanism);
            if let Some((first, _)) = place {
                return Err(ProblemKind::Twice { user: user.to_owned(), first: *first });
            }
            *place = Some((line, credential));
            Ok(())
        });
        match problems.is_empty() {
            true => Ok((ScramFile { users }, warnings)),
            false => Err(problems),
        }
    }

    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(|user| &**user)
    }

    pub fn has(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    pub fn credential(&self, mechanism: Mechanism, user: &str) -> Option<&Credential> {
        let keys = self.users.get(user)?;
        let place = match mechanism {
            Mechanism::Sha256 => &keys.sha256,
            Mechanism::Sha512 => &keys.sha512,
        };
        place.as_ref().map(|(_, credential)| credential)
    }

    /// The iterations that most have.
    pub fn usual_iterations(&self) -> Option<std::num::NonZeroU32> {
        let mut counts: HashMap<std::num::NonZeroU32, usize> = HashMap::new();
        let all = self.users.values().flat_map(|keys| [&keys.sha256, &keys.sha512]).flatten();
        for (_, credential) in all {
            *counts.entry(credential.iterations).or_default() += 1;
        }
        counts
            .into_iter()
            .max_by_key(|(iterations, count)| (*count, *iterations))
            .map(|(iterations, _)| iterations)
    }
}

impl Keys {
    fn place(&mut self, mechanism: Mechanism) -> &mut Option<(usize, Credential)> {
        match mechanism {
            Mechanism::Sha256 => &mut self.sha256,
            Mechanism::Sha512 => &mut self.sha512,
        }
    }
}

impl fmt::Debug for ScramFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramFile").field("users", &self.users.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_key_for_each_mechanism() {
        let line = |user: &str, mechanism: Mechanism| {
            format!("{user}:{}\n", Credential::make(mechanism, b"x", 4096).expect("made"))
        };
        let [short, long] = Mechanism::ALL.map(|mechanism| line("alice", mechanism));
        let (file, warnings) =
            ScramFile::parse("keys", format!("\u{feff}# x\n{short}{long}oops\n").as_bytes()).expect("good");
        assert!(Mechanism::ALL.into_iter().all(|mechanism| file.credential(mechanism, "alice").is_some()));
        assert!(file.credential(Mechanism::Sha256, "bob").is_none());
        assert_eq!(warnings.len(), 1);
        assert_eq!(file.usual_iterations().map(Into::into), Some(4096));
        let problems =
            ScramFile::parse("keys", format!("{short}{long}{short}").as_bytes()).expect_err("twice");
        assert_eq!(problems[0].to_string(), "keys:3: user `alice` is on line 1 already");
        let problems = ScramFile::parse("keys", b"alice:secret").expect_err("no key");
        assert!(!problems[0].to_string().contains("secret"));
    }
}

//! The users that files know, as the broker holds them: to tell those who are connected what another reading has changed.

use std::sync::Arc;

use identity::{
    Gone, Known,
    provider::{Database, Passwords, Scram, kind},
};
use shard::{Ended, From, Revision, Rights};

use crate::vocabulary::Vocabulary;

/// By whom clients are let in, and those of them who know users by name.
#[derive(Debug, Clone, Default)]
pub struct People {
    pub database: Option<Arc<Database>>,
    pub passwords: Option<Arc<Passwords>>,
    pub scram: Option<Arc<Scram>>,
    /// By the listeners' numbers.
    pub letting_in: Vec<LetsIn>,
    /// What of their files says nothing, a sentence for each: lines, and rights that no rule knows.
    pub passed_over: Vec<String>,
}

/// By whom a listener lets somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetsIn {
    pub kinds: Vec<&'static str>,
    /// Who says nothing of himself comes in from other machines, too.
    pub strangers: bool,
}

impl People {
    /// Roles and groups of users of the database that no rule knows, a sentence for each.
    pub fn unknown_rights(&self, vocabulary: &Vocabulary) -> Vec<String> {
        self.database
            .as_ref()
            .map_or_else(Vec::new, |database| vocabulary.warnings(database.known().records()))
    }

    /// As it is at this moment.
    pub fn known(&self) -> Vec<Known> {
        let database = self.database.as_ref().map(|database| database.known());
        let passwords = self.passwords.as_ref().map(Passwords::known);
        database.into_iter().chain(passwords).chain(self.scram.as_ref().map(Scram::known)).collect()
    }
}

/// What those who were known before have to be told to the shards.
pub fn revisions(before: &[Known], after: &[Known]) -> Vec<Arc<Revision>> {
    let revision = |known: &Known| {
        let later = after.iter().find(|later| later.by() == known.by());
        let changes = known.changes_to(later).into_iter();
        let users = changes.map(|(user, rights)| (user, rights.map(rights_of).map_err(ended_of))).collect();
        Revision::Users { by: known.by().into(), users }
    };
    let says_something =
        |revision: &Revision| !matches!(revision, Revision::Users { users, .. } if users.is_empty());
    before.iter().map(revision).filter(says_something).map(Arc::new).collect()
}

/// What those who came in by somebody who is gone have to be told.
pub fn gone(before: &[LetsIn], after: &[LetsIn]) -> Vec<Arc<Revision>> {
    let mut revisions = Vec::new();
    for (door, (before, after)) in (0..).zip(before.iter().zip(after)) {
        let mut tell = |by: &str, from| {
            revisions.push(Arc::new(Revision::Gone { door, by: by.into(), from }));
        };
        for kind in before.kinds.iter().filter(|kind| !after.kinds.contains(kind)) {
            tell(kind, From::Anywhere);
        }
        if before.strangers && !after.strangers && after.kinds.contains(&kind::ANONYMOUS) {
            tell(kind::ANONYMOUS, From::OtherMachines);
        }
    }
    revisions
}

fn rights_of(rights: identity::Rights) -> Rights {
    Rights { groups: rights.groups.into(), roles: rights.roles.into() }
}

fn ended_of(gone: Gone) -> Ended {
    match gone {
        Gone::Deleted => Ended::UserDeleted,
        Gone::Disabled => Ended::UserDisabled,
    }
}

#[cfg(test)]
mod tests {
    use identity::{Cost, Hash, Kind, PasswordFile};

    use super::*;

    #[test]
    fn users_of_a_file_that_lies_elsewhere_are_the_same() {
        let users = |path: &str, text: &str| {
            let (file, _) = PasswordFile::parse(path, text.as_bytes()).expect("a good file");
            [Arc::new(Passwords::new(path, file)).known()]
        };
        let hash =
            Hash::make(b"secret", Cost { kind: Kind::Pbkdf2, rounds: 5, memory_kib: 0 }).expect("a hash");
        let [anna, bob] = ["anna", "bob"].map(|user| format!("{user}:{hash}\n"));
        let before = users("users", &format!("{anna}{bob}"));
        assert!(revisions(&before, &users("elsewhere/users", &format!("{anna}{bob}"))).is_empty());
        let told = revisions(&before, &users("elsewhere/users", &anna));
        let named = |revision: &Revision| -> Vec<String> {
            let Revision::Users { users, .. } = revision else { return Vec::new() };
            users.keys().map(ToString::to_string).collect()
        };
        assert_eq!(named(&told[0]), ["bob"]);
        assert_eq!(named(&revisions(&before, &[])[0]), ["anna", "bob"]);
    }

    #[test]
    fn who_came_in_by_somebody_who_is_gone_is_told_so() {
        let lets_in = |kinds: &[&'static str], strangers| LetsIn { kinds: kinds.to_vec(), strangers };
        let all = lets_in(&[kind::TOKEN, kind::ANONYMOUS], true);
        let told = |after: LetsIn| gone(&[after.clone(), all.clone()], &[after.clone(), after]);
        assert!(told(all.clone()).is_empty());
        let one = |by: &str, from| [Arc::new(Revision::Gone { door: 1, by: by.into(), from })];
        assert_eq!(told(lets_in(&[kind::ANONYMOUS], true)), one(kind::TOKEN, From::Anywhere));
        assert_eq!(told(lets_in(&[kind::TOKEN], false)), one(kind::ANONYMOUS, From::Anywhere));
        let local = lets_in(&[kind::TOKEN, kind::ANONYMOUS], false);
        assert_eq!(told(local), one(kind::ANONYMOUS, From::OtherMachines));
    }
}

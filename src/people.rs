//! The users that files know, as the broker holds them: to tell those who are connected what another reading has changed.

use std::sync::Arc;

use identity::{
    Known,
    provider::{Database, Passwords, Scram},
};
use shard::{Revision, Rights};

/// Those who know users by name. Tokens, certificates and other programs do not: what they say ends by itself.
#[derive(Debug, Clone, Default)]
pub struct People {
    pub database: Option<Arc<Database>>,
    pub passwords: Option<Arc<Passwords>>,
    pub scram: Option<Arc<Scram>>,
}

impl People {
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
        let users = changes.map(|(user, rights)| (user, rights.map(rights_of))).collect();
        Arc::new(Revision { by: known.by().into(), users })
    };
    before.iter().map(revision).filter(|revision| !revision.users.is_empty()).collect()
}

fn rights_of(rights: identity::Rights) -> Rights {
    Rights { groups: rights.groups.into(), roles: rights.roles.into() }
}

#[cfg(test)]
mod tests {
    use identity::PasswordFile;

    use super::*;

    #[test]
    fn users_of_a_file_that_lies_elsewhere_are_the_same() {
        let users = |path: &str, text: &str| {
            let (file, _) = PasswordFile::parse(path, text.as_bytes()).expect("a good file");
            [Arc::new(Passwords::new(path, file)).known()]
        };
        let [anna, bob] = ["anna", "bob"].map(|user| format!("{user}:$7$101$c2FsdHNhbHRzYWx0$aGFzaA==\n"));
        let before = users("users", &format!("{anna}{bob}"));
        assert!(revisions(&before, &users("elsewhere/users", &format!("{anna}{bob}"))).is_empty());
        let told = revisions(&before, &users("elsewhere/users", &anna));
        assert_eq!(told[0].users.keys().map(|user| &**user).collect::<Vec<_>>(), ["bob"]);
        assert_eq!(revisions(&before, &[])[0].users.len(), 2);
    }
}

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

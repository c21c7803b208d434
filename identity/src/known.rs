//! Who is known to a provider at one moment, to find out who is not, or otherwise, at a later one.

use std::sync::Arc;

use crate::{
    UserRecord, UserTable,
    provider::{Passwords, Scram, Users, kind},
};

/// The users of a provider, shared with it: nothing is copied.
pub struct Known {
    by: &'static str,
    people: People,
}

enum People {
    Table(Arc<Users>),
    Passwords(Arc<Passwords>),
    Scram(Arc<Scram>),
}

/// What a user has of the provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    pub groups: Vec<Arc<str>>,
    pub roles: Vec<Arc<str>>,
}

/// Why a user is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    Deleted,
    Disabled,
}

impl Known {
    pub(crate) fn of_table(users: Arc<Users>) -> Known {
        Known { by: kind::DATABASE, people: People::Table(users) }
    }

    pub(crate) fn of_passwords(passwords: Arc<Passwords>) -> Known {
        Known { by: kind::PASSWORDS, people: People::Passwords(passwords) }
    }

    pub(crate) fn of_scram(scram: Arc<Scram>) -> Known {
        Known { by: kind::SCRAM, people: People::Scram(scram) }
    }

    /// The provider's kind, as it stands in what it says of its users.
    pub fn by(&self) -> &'static str {
        self.by
    }

    /// What a user database says of each; no other provider says more than a name.
    pub fn records(&self) -> impl Iterator<Item = (&str, &UserRecord)> {
        let table = match &self.people {
            People::Table(users) => Some(users.table()),
            People::Passwords(_) | People::Scram(_) => None,
        };
        table.into_iter().flat_map(|table| table.records.iter().map(|(user, record)| (&**user, record)))
    }

    /// Users who are not let in later, or have other rights then; without a later one, all.
    pub fn changes_to(&self, later: Option<&Known>) -> Vec<(Box<str>, Result<Rights, Gone>)> {
        let later_rights = |user: &str| later.map_or(Err(Gone::Deleted), |later| later.rights(user));
        let mut changes = Vec::new();
        let mut compare = |user: &str, rights: Rights| {
            let now = later_rights(user);
            if now.as_ref() != Ok(&rights) {
                changes.push((user.into(), now));
            }
        };
        match &self.people {
            People::Table(users) => {
                for user in users.table().records.keys() {
                    if let Ok(rights) = rights_in(users.table(), user) {
                        compare(user, rights);
                    }
                }
            }
            People::Passwords(passwords) => {
                passwords.file().users().for_each(|user| compare(user, Rights::default()));
            }
            People::Scram(scram) => scram.file().users().for_each(|user| compare(user, Rights::default())),
        }
        changes
    }

    fn rights(&self, user: &str) -> Result<Rights, Gone> {
        let is_there = match &self.people {
            People::Table(users) => return rights_in(users.table(), user),
            People::Passwords(passwords) => passwords.file().hash(user).is_some(),
            People::Scram(scram) => scram.file().has(user),
        };
        is_there.then(Rights::default).ok_or(Gone::Deleted)
    }
}

fn rights_in(table: &UserTable, user: &str) -> Result<Rights, Gone> {
    let record = table.records.get(user).ok_or(Gone::Deleted)?;
    match record.is_disabled {
        true => Err(Gone::Disabled),
        false => Ok(Rights { groups: record.groups.clone(), roles: record.roles.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cost, Hash, Kind, PasswordFile};

    #[test]
    fn who_is_gone_or_has_other_rights_is_named_and_nobody_else() {
        let record = |roles: &[&str], is_disabled| UserRecord {
            roles: roles.iter().map(|role| Arc::from(*role)).collect(),
            is_disabled,
            ..UserRecord::default()
        };
        let known = |records: &[(&str, UserRecord)]| {
            let records = records.iter().map(|(user, record)| ((*user).into(), record.clone())).collect();
            Known::of_table(Arc::new(Users::of(UserTable { records })))
        };
        let before = known(&[
            ("gone", record(&[], false)),
            ("off", record(&[], false)),
            ("other", record(&["a"], false)),
            ("same", record(&["a"], false)),
            ("was off", record(&[], true)),
        ]);
        let after = known(&[
            ("added", record(&[], false)),
            ("off", record(&[], true)),
            ("other", record(&["b"], false)),
            ("same", record(&["a"], false)),
        ]);
        let rights = Rights { roles: vec!["b".into()], ..Rights::default() };
        assert_eq!(
            before.changes_to(Some(&after)),
            [
                ("gone".into(), Err(Gone::Deleted)),
                ("off".into(), Err(Gone::Disabled)),
                ("other".into(), Ok(rights))
            ]
        );
        assert_eq!(before.changes_to(None).len(), 4);
        assert!(after.changes_to(Some(&after)).is_empty());
    }

    #[test]
    fn users_of_a_password_file_are_known_by_their_names() {
        let known = |text: &str| {
            let (file, _) = PasswordFile::parse("users", text.as_bytes()).expect("a good file");
            Known::of_passwords(Arc::new(Passwords::new("users", file)))
        };
        let cost = Cost { kind: Kind::Pbkdf2, rounds: 5, memory_kib: 0 };
        let hash = Hash::make(b"secret", cost).expect("a hash");
        let before = known(&format!("anna:{hash}\nbob:{hash}\n"));
        let after = known(&format!("bob:{hash}\n"));
        assert_eq!(before.changes_to(Some(&after)), [("anna".into(), Err(Gone::Deleted))]);
    }
}

//! Clients that know a password of a file.

use std::sync::Arc;

use super::kind::PASSWORDS;
use crate::{Ask, Aspects, Identity, Judgement, Known, PasswordFile, Provider, Reason};

#[derive(Debug)]
pub struct Passwords {
    name: String,
    file: PasswordFile,
}

impl Passwords {
    /// `name` is for the log: the path of the file.
    pub fn new(name: &str, file: PasswordFile) -> Passwords {
        Passwords { name: format!("password file {name}"), file }
    }

    pub(crate) fn file(&self) -> &PasswordFile {
        &self.file
    }

    /// Who is known.
    pub fn known(self: &Arc<Self>) -> Known {
        Known::of_passwords(Arc::clone(self))
    }
}

impl Provider for Passwords {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        PASSWORDS
    }

    fn looks_at(&self) -> Aspects {
        Aspects::LOGIN
    }

    fn is_quick(&self, ask: &Ask) -> bool {
        ask.login().is_none()
    }

    /// A user of the file with a wrong password is rejected: no later provider is asked. One that the file does not know costs
    /// nothing here, because the end of the chain takes that time.
    fn judge(&self, ask: &Ask, _unix_ms: u64) -> Judgement {
        let Some((user, password)) = ask.login() else { return Judgement::Pass };
        match self.file.hash(user) {
            None => Judgement::Pass,
            Some(hash) if hash.is_of(password) => Judgement::Accept(Identity {
                user: Some(user.into()),
                provider: self.name.clone().into(),
                kind: PASSWORDS,
                ..Identity::default()
            }),
            Some(_) => Judgement::reject(Reason::BadUserNameOrPassword, "the password is wrong"),
        }
    }

    fn burn(&self, ask: &Ask) -> bool {
        match ask.login() {
            Some((_, password)) => self.file.burn(password),
            None => false,
        }
    }
}

//! An ask, and for whom it counts if it fails and if it does not.

use crate::{
    Ask, Identity,
    provider::kind::ANONYMOUS,
    scram::{Mechanism, Server},
    throttle::{Comer, Name},
};

/// Two names may be in one attempt: the user name of the CONNECT, which anybody may write there, and whom an exchange is to
/// prove. A failure counts for both, for either may be the one that is guessed at. A success is of the one alone that is proved.
pub(crate) struct Attempt {
    pub ask: Ask,
    proves: Option<Box<str>>,
}

impl Attempt {
    pub fn new(ask: Ask) -> Attempt {
        let begins = ask.enhanced.as_ref().filter(|enhanced| enhanced.exchange.is_none());
        let first = begins.filter(|enhanced| Mechanism::of(&enhanced.method).is_some());
        let proves = first.and_then(|first| Server::user_of(first.data.expose()).ok());
        Attempt { proves: proves.map(Into::into), ask }
    }

    /// It goes on with an exchange that began as an attempt to prove this.
    pub fn going_on(ask: Ask, proves: Option<Box<str>>) -> Attempt {
        Attempt { ask, proves }
    }

    pub fn proves(&self) -> Option<&str> {
        self.proves.as_deref()
    }

    pub fn comer(&self) -> Comer<'_> {
        Comer { ip: self.ask.ip(), client_id: &self.ask.client_id }
    }

    /// For whom it counts if it fails.
    pub fn names(&self) -> impl Iterator<Item = Name<'_>> {
        let user = self.ask.user.as_deref();
        let proves = self.proves().filter(|name| user != Some(name));
        user.into_iter().chain(proves).map(Name::User).chain(self.client())
    }

    /// Where a token or a password names nobody, whoever fails is the client, if it has an id.
    pub fn client(&self) -> Option<Name<'_>> {
        let is_named = self.ask.user.is_some() || self.proves.is_some() || self.ask.client_id.is_empty();
        (!is_named).then_some(Name::Client(&self.ask.client_id))
    }

    /// Who has proved to be who it is, if it was let in as this.
    pub fn proved<'a>(&'a self, identity: &'a Identity) -> Option<Name<'a>> {
        let nobody = || self.client().filter(|_| identity.kind != ANONYMOUS);
        identity.user.as_deref().map(Name::User).or_else(nobody)
    }
}

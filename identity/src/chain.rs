//! Providers in order: the first that does not pass decides.

use std::{collections::HashMap, sync::Arc};

use crate::{Ask, Judgement, Reason, provider::kind::ANONYMOUS, scram::Credential};

/// One way to tell who a client is.
pub trait Provider: Send + Sync {
    /// For the log.
    fn name(&self) -> &str;

    /// What stands in the identities that it gives out ([`crate::Identity::kind`]).
    fn kind(&self) -> &'static str;

    /// What its judgement depends on, beside the listener. Two asks that agree in it are judged alike.
    fn looks_at(&self) -> Aspects;

    /// Whether this ask is judged without blocking and within microseconds, so that it need not wait for a thread.
    fn is_quick(&self, ask: &Ask) -> bool;

    /// May wait for another program, as long as that takes.
    fn judge(&self, ask: &Ask, unix_ms: u64) -> Judgement;

    /// What it says without waiting for another program. None: it has to wait, on a thread that is there for those alone who do.
    fn judge_at_hand(&self, ask: &Ask, unix_ms: u64) -> Option<Judgement> {
        Some(self.judge(ask, unix_ms))
    }

    /// What it says, by what it knows now, of a user who has proved to have this credential.
    fn vouch(&self, _user: &str, _credential: &Credential) -> Judgement {
        Judgement::Pass
    }

    /// Grows whenever the same ask may be judged otherwise, so that what was decided before is not repeated.
    fn generation(&self) -> u64 {
        0
    }

    /// Takes the time that a wrong password takes here. Called at the end of a chain in which no provider knew the user;
    /// says whether it took any.
    fn burn(&self, _ask: &Ask) -> bool {
        false
    }

    /// Begins an exchange that nobody can win, where this provider knows the method. Called at the end of a chain in which no
    /// provider knew the user: whether there is one is not to be seen.
    fn pretend(&self, _ask: &Ask) -> Option<Judgement> {
        None
    }
}

/// Parts of an ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Aspects {
    pub login: bool,
    pub client_id: bool,
    pub certificate: bool,
    pub address: bool,
    pub version: bool,
}

/// What one listener asks, in order.
#[derive(Default)]
pub struct Chain {
    providers: Vec<Arc<dyn Provider>>,
    looks_at: Aspects,
}

/// The chain of each listener.
#[derive(Default)]
pub struct Chains {
    by_listener: HashMap<Arc<str>, Arc<Chain>>,
    /// That of all others.
    default: Arc<Chain>,
}

impl Chain {
    pub fn new(providers: Vec<Arc<dyn Provider>>) -> Chain {
        let looks_at =
            providers.iter().fold(Aspects::default(), |all, provider| all.with(provider.looks_at()));
        Chain { providers, looks_at }
    }

    pub fn looks_at(&self) -> Aspects {
        self.looks_at
    }

    /// Of whom it asks.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.providers.iter().map(|provider| provider.kind()).collect()
    }

    /// Of all providers: each of them only grows.
    pub fn generation(&self) -> u64 {
        self.providers.iter().map(|provider| provider.generation()).sum()
    }

    /// Whether the whole way to a decision is quick.
    pub fn is_quick(&self, ask: &Ask) -> bool {
        self.providers.iter().all(|provider| provider.is_quick(ask))
    }

    /// Never [`Judgement::Pass`]: whom nobody knows is not let in.
    pub fn judge(&self, ask: &Ask, unix_ms: u64) -> Judgement {
        for provider in &self.providers {
            match provider.judge(ask, unix_ms) {
                Judgement::Pass => {}
                judgement => return judgement,
            }
        }
        self.judge_unknown(ask)
    }

    /// Asks the providers from this one on, as long as no other program has to be waited for. The error is the one that waits.
    pub fn judge_at_hand(&self, ask: &Ask, unix_ms: u64, from: usize) -> Result<Judgement, usize> {
        for (at, provider) in self.providers.iter().enumerate().skip(from) {
            match provider.judge_at_hand(ask, unix_ms).ok_or(at)? {
                Judgement::Pass => {}
                judgement => return Ok(judgement),
            }
        }
        Ok(self.judge_unknown(ask))
    }

    /// The one at this place in the order.
    pub fn provider(&self, at: usize) -> &dyn Provider {
        &*self.providers[at]
    }

    /// Who has proved to have this credential may have lost it meanwhile, or have other rights.
    pub fn vouch(&self, user: &str, credential: &Credential) -> Judgement {
        let mut said = self.providers.iter().map(|provider| provider.vouch(user, credential));
        said.find(|judgement| !matches!(judgement, Judgement::Pass))
            .unwrap_or_else(|| Judgement::reject(Reason::NotAuthorized, "the user is not known any more"))
    }

    fn judge_unknown(&self, ask: &Ask) -> Judgement {
        if let Some(begun) = self.providers.iter().find_map(|provider| provider.pretend(ask)) {
            return begun;
        }
        // An unknown user takes as long as a wrong password, once: which of the two it was is not to be heard.
        let _ = self.providers.iter().any(|provider| provider.burn(ask));
        match ask {
            ask if ask.enhanced.is_some() => Judgement::reject(
                Reason::BadAuthenticationMethod,
                "no provider knows this authentication method",
            ),
            ask if ask.has_credentials() => {
                let why = if self.would_take_directly(ask) { RELAYED } else { "no provider knows this user" };
                Judgement::reject(Reason::BadUserNameOrPassword, why)
            }
            ask if self.would_take_directly(ask) => Judgement::reject(Reason::NotAuthorized, RELAYED),
            _ => Judgement::reject(Reason::NotAuthorized, "the client says nothing about who it is"),
        }
    }
}

impl Chain {
    /// Whether it is only for the proxy or the browser that the client comes by that it does not count as one of this machine.
    fn would_take_directly(&self, ask: &Ask) -> bool {
        if !(ask.is_relayed && ask.is_next_door()) {
            return false;
        }
        let direct = Ask { is_relayed: false, ..ask.clone() };
        let mut anonymous = self.providers.iter().filter(|provider| provider.kind() == ANONYMOUS);
        anonymous.any(|provider| matches!(provider.judge(&direct, 0), Judgement::Accept(_)))
    }
}

impl Chains {
    /// One chain for all.
    pub fn new(default: Chain) -> Chains {
        Chains { by_listener: HashMap::new(), default: Arc::new(default) }
    }

    #[must_use]
    pub fn with(mut self, listener: &str, chain: Chain) -> Chains {
        self.by_listener.insert(listener.into(), Arc::new(chain));
        self
    }

    pub fn of(&self, listener: &str) -> &Arc<Chain> {
        self.by_listener.get(listener).unwrap_or(&self.default)
    }
}

impl Aspects {
    pub const LOGIN: Aspects =
        Aspects { login: true, client_id: false, certificate: false, address: false, version: false };

    #[must_use]
    pub fn with(self, other: Aspects) -> Aspects {
        Aspects {
            login: self.login || other.login,
            client_id: self.client_id || other.client_id,
            certificate: self.certificate || other.certificate,
            address: self.address || other.address,
            version: self.version || other.version,
        }
    }
}

impl std::fmt::Debug for Chains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |chain: &Chain| chain.providers.iter().map(|p| p.name().to_owned()).collect::<Vec<_>>();
        let listeners = self.by_listener.iter().map(|(name, chain)| (name.clone(), names(chain)));
        f.debug_map().entries(listeners).entry(&"default", &names(&self.default)).finish()
    }
}

const RELAYED: &str = "the client says nothing that proves who it is, and does not count as one of this machine, because it comes by a \
                       proxy or from a page of elsewhere (authentication.anonymous, websocket.origins)";

#[cfg(test)]
pub(crate) mod tests;

//! Clients that say nothing about themselves. On this machine, or wherever the configuration wants it so.

use super::kind::ANONYMOUS;
use crate::{Ask, Aspects, Identity, Judgement, Provider};

#[derive(Debug, Clone, Copy)]
pub struct Anonymous {
    /// An open broker on the network is a decision.
    pub everywhere: bool,
    /// Whether a user name that nobody checks is passed over, as it must be where no provider checks any. Such a client is
    /// nobody in particular, whatever it calls itself.
    pub ignores_logins: bool,
}

impl Provider for Anonymous {
    fn name(&self) -> &str {
        "anonymous"
    }

    fn kind(&self) -> &'static str {
        ANONYMOUS
    }

    fn looks_at(&self) -> Aspects {
        Aspects { login: true, address: true, ..Aspects::default() }
    }

    fn is_quick(&self, _ask: &Ask) -> bool {
        true
    }

    fn judge(&self, ask: &Ask, _unix_ms: u64) -> Judgement {
        let is_bare = ask.user.is_none() && ask.password.is_none();
        let is_taken = ask.enhanced.is_none() && (is_bare || self.ignores_logins);
        match is_taken && (self.everywhere || ask.is_local()) {
            true => Judgement::Accept(Identity {
                provider: "anonymous".into(),
                kind: ANONYMOUS,
                ..Identity::default()
            }),
            false => Judgement::Pass,
        }
    }
}

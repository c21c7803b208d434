//! Clients that prove a password by SCRAM, in AUTH packets.

use std::{num::NonZeroU32, sync::Arc};

use super::kind::SCRAM;
use crate::{
    Ask, Aspects, Chain, Exchange, Identity, Judgement, Known, Provider, Reason, ScramFile, Secret,
    scram::{Credential, Decoy, ITERATIONS_DEFAULT, Mechanism, ScramError, Server, nonce},
};

#[derive(Debug)]
pub struct Scram {
    name: Arc<str>,
    file: ScramFile,
    decoy: Decoy,
}

impl Scram {
    /// `name` is for the log: the path of the file. The secret makes the salts of users that there are not.
    pub fn new(name: &str, file: ScramFile, decoys: &Secret) -> Scram {
        let default = NonZeroU32::new(ITERATIONS_DEFAULT).expect("the default is not none");
        let decoy = Decoy::new(decoys.expose(), file.usual_iterations().unwrap_or(default));
        Scram { name: format!("SCRAM file {name}").into(), file, decoy }
    }

    fn begin(&self, mechanism: Mechanism, data: &[u8]) -> Judgement {
        begin(mechanism, data, &self.decoy, |user| self.file.credential(mechanism, user))
    }

    pub(crate) fn file(&self) -> &ScramFile {
        &self.file
    }

    /// Who is known.
    pub fn known(self: &Arc<Self>) -> Known {
        Known::of_scram(Arc::clone(self))
    }
}

impl Provider for Scram {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        SCRAM
    }

    fn looks_at(&self) -> Aspects {
        Aspects::default()
    }

    /// A few HMACs: the hashing is the client's work.
    fn is_quick(&self, _ask: &Ask) -> bool {
        true
    }

    /// Who is in the file and has no key for this mechanism is known all the same, and proves nothing.
    fn judge(&self, ask: &Ask, _unix_ms: u64) -> Judgement {
        let Some((mechanism, data)) = first_message(ask) else { return Judgement::Pass };
        match Server::user_of(data) {
            Ok(user) if !self.file.has(&user) => Judgement::Pass,
            _ => self.begin(mechanism, data),
        }
    }

    fn vouch(&self, user: &str, credential: &Credential) -> Judgement {
        if !self.file.has(user) {
            return Judgement::Pass;
        }
        match self.file.credential(credential.mechanism, user) == Some(credential) {
            true => Judgement::Accept(Identity {
                user: Some(user.into()),
                provider: self.name.to_string().into(),
                kind: SCRAM,
                ..Identity::default()
            }),
            false => other_password(),
        }
    }

    fn pretend(&self, ask: &Ask) -> Option<Judgement> {
        first_message(ask).map(|(mechanism, data)| self.begin(mechanism, data))
    }
}

/// What begins an exchange, if the ask does.
pub(super) fn first_message(ask: &Ask) -> Option<(Mechanism, &[u8])> {
    let enhanced = ask.enhanced.as_ref()?;
    Some((Mechanism::of(&enhanced.method)?, enhanced.data.expose()))
}

pub(super) fn begin<'a>(
    mechanism: Mechanism,
    data: &[u8],
    decoy: &Decoy,
    find: impl FnOnce(&str) -> Option<&'a Credential>,
) -> Judgement {
    match Server::begin(mechanism, data, &nonce(), decoy, find) {
        Ok((server, message)) => Judgement::Challenge(message, Box::new(Begun { server })),
        Err(error) => refused(error),
    }
}

/// An exchange that waits for the client's proof.
struct Begun {
    server: Server,
}

impl Exchange for Begun {
    /// By the users of this moment: whoever was known when it began may be gone, or have another password or other rights.
    fn go_on(self: Box<Self>, data: &[u8], _unix_ms: u64, chain: &Chain) -> Judgement {
        let credential = self.server.credential().clone();
        match self.server.finish(data) {
            Ok(finished) => match chain.vouch(&finished.user, &credential) {
                Judgement::Accept(identity) => Judgement::AcceptWith(identity, finished.message),
                judgement => judgement,
            },
            Err(error) => refused(error),
        }
    }
}

fn refused(error: ScramError) -> Judgement {
    Judgement::reject(Reason::NotAuthorized, error.to_string())
}

pub(super) fn other_password() -> Judgement {
    Judgement::reject(Reason::NotAuthorized, "the user has another password by now")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Enhanced, chain::tests::ask, scram::Client};

    fn provider() -> Scram {
        let credential = Credential::make(Mechanism::Sha512, b"secret", 4096).expect("made");
        let text = format!("alice:{credential}\n");
        Scram::new("keys", ScramFile::parse("keys", text.as_bytes()).expect("a file").0, &Secret::new(b"s"))
    }

    fn enhanced(method: &str, data: &[u8]) -> Ask {
        let enhanced = Enhanced { method: method.into(), data: Secret::new(data), exchange: None };
        Ask { enhanced: Some(enhanced), ..ask("192.0.2.1:1", None) }
    }

    fn exchange(user: &str, password: &[u8]) -> Judgement {
        let mut client = Client::new(Mechanism::Sha512, user, Secret::new(password), "abc");
        let asked = enhanced("SCRAM-SHA-512", &client.first());
        let chain = Chain::new(vec![Arc::new(provider())]);
        let Judgement::Challenge(first, exchange) = chain.judge(&asked, 0) else { panic!("a challenge") };
        let judgement = exchange.go_on(&client.answer(&first).expect("an answer"), 0, &chain);
        if let Judgement::AcceptWith(_, message) = &judgement {
            assert_eq!(client.check(message), Ok(()));
        }
        judgement
    }

    #[test]
    fn a_password_is_proved_to_both_sides() {
        let Judgement::AcceptWith(identity, _) = exchange("alice", b"secret") else { panic!("let in") };
        assert_eq!(identity.user.as_deref(), Some("alice"));
        for (user, password) in [("alice", &b"wrong"[..]), ("bob", b"secret")] {
            assert!(matches!(exchange(user, password), Judgement::Reject(_)), "{user}");
        }
    }

    #[test]
    fn other_methods_are_for_others_and_nonsense_is_refused() {
        assert!(matches!(
            provider().judge(&ask("192.0.2.1:1", Some(("alice", "secret"))), 0),
            Judgement::Pass
        ));
        assert!(matches!(provider().judge(&enhanced("GS2-KRB5", b""), 0), Judgement::Pass));
        assert!(matches!(provider().judge(&enhanced("SCRAM-SHA-512", b"?"), 0), Judgement::Reject(_)));
    }
}

//! Clients that bring a signed token: as their password, or by the authentication method `JWT`, by which it can be renewed.

use super::kind::TOKEN;
use crate::{
    Ask, Aspects, Judgement, Provider, Reason, Rejection,
    jwt::{PublishedKeys, TokenError, TokenKeys, TokenRules, is_token, verify},
};

#[derive(Debug)]
pub struct Tokens {
    keys: KeySource,
    rules: TokenRules,
}

#[derive(Debug)]
pub enum KeySource {
    Known(TokenKeys),
    Published(PublishedKeys),
}

impl Tokens {
    pub fn new(keys: KeySource, rules: TokenRules) -> Tokens {
        Tokens { keys, rules }
    }

    fn claims(&self, token: &[u8], unix_ms: u64) -> Result<crate::jwt::Claims, Rejection> {
        let unavailable = |why: String| Rejection {
            reason: Reason::ServerUnavailable,
            why: format!("no keys for tokens: {why}").into(),
        };
        let verified = match &self.keys {
            KeySource::Known(keys) => verify(keys, token),
            KeySource::Published(published) => {
                match verify(&*published.current(unix_ms).map_err(unavailable)?, token) {
                    Err(TokenError::UnknownKey) => {
                        verify(&*published.renewed(unix_ms).map_err(unavailable)?, token)
                    }
                    verified => verified,
                }
            }
        };
        verified.map_err(refused)
    }
}

/// The token of an ask, if it brings one.
fn token_of(ask: &Ask) -> Option<&[u8]> {
    match &ask.enhanced {
        Some(enhanced) => (&*enhanced.method == METHOD).then(|| enhanced.data.expose()),
        None => ask.password.as_ref().map(|password| password.expose()).filter(|password| is_token(password)),
    }
}

fn refused(error: TokenError) -> Rejection {
    Rejection { reason: Reason::NotAuthorized, why: error.to_string().into() }
}

impl Provider for Tokens {
    fn name(&self) -> &str {
        "token"
    }

    fn kind(&self) -> &'static str {
        TOKEN
    }

    fn looks_at(&self) -> Aspects {
        Aspects { client_id: true, ..Aspects::LOGIN }
    }

    fn is_quick(&self, ask: &Ask) -> bool {
        token_of(ask).is_none()
    }

    fn waits_for_others(&self, ask: &Ask) -> bool {
        matches!(self.keys, KeySource::Published(_)) && token_of(ask).is_some()
    }

    /// The user is who the token is about, whatever the user name of the CONNECT is.
    fn judge(&self, ask: &Ask, unix_ms: u64) -> Judgement {
        let Some(token) = token_of(ask) else { return Judgement::Pass };
        let claims = match self.claims(token, unix_ms) {
            Ok(claims) => claims,
            Err(rejection) => return Judgement::Reject(rejection),
        };
        match self.rules.judge(&claims, &ask.client_id, unix_ms) {
            Ok(identity) => Judgement::Accept(identity),
            Err(error) => Judgement::Reject(refused(error)),
        }
    }
}

/// Of enhanced authentication, with the token as its data.
const METHOD: &str = "JWT";

//! Clients that bring a signed token: as their password, or by the authentication method `JWT`, by which it can be renewed.

use super::kind::TOKEN;
use crate::{
    Ask, Aspects, Judgement, Provider, Reason,
    jwt::{Claims, PublishedKeys, TokenError, TokenKeys, TokenRules, is_token, verify},
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

    /// Judges a token by the keys that are at hand. None: they have to be fetched before.
    fn judge_by_keys_at_hand(&self, ask: &Ask, token: &[u8], unix_ms: u64) -> Option<Judgement> {
        let verified = match &self.keys {
            KeySource::Known(keys) => verify(keys, token),
            KeySource::Published(published) => match published.at_hand(unix_ms)? {
                Ok(keys) => {
                    let verified = verify(&keys, token);
                    let is_unknown = verified == Err(TokenError::UnknownKey);
                    if is_unknown && published.may_know_more(&keys, unix_ms) {
                        return None;
                    }
                    verified
                }
                Err(why) => return Some(unavailable(&why)),
            },
        };
        Some(self.judge_claims(ask, verified, unix_ms))
    }

    fn judge_after_a_fetch(&self, ask: &Ask, token: &[u8], unix_ms: u64) -> Judgement {
        let verified = match &self.keys {
            KeySource::Known(keys) => verify(keys, token),
            KeySource::Published(published) => match published.fetched(unix_ms) {
                Ok(keys) => verify(&keys, token),
                Err(why) => return unavailable(&why),
            },
        };
        self.judge_claims(ask, verified, unix_ms)
    }

    /// The user is who the token is about, whatever the user name of the CONNECT is.
    fn judge_claims(&self, ask: &Ask, claims: Result<Claims, TokenError>, unix_ms: u64) -> Judgement {
        match claims.and_then(|claims| self.rules.judge(&claims, &ask.client_id, unix_ms)) {
            Ok(identity) => Judgement::Accept(identity),
            Err(error) => Judgement::reject(Reason::NotAuthorized, error.to_string()),
        }
    }
}

fn unavailable(why: &str) -> Judgement {
    Judgement::reject(Reason::ServerUnavailable, format!("no keys for tokens: {why}"))
}

/// The token of an ask, if it brings one.
fn token_of(ask: &Ask) -> Option<&[u8]> {
    match &ask.enhanced {
        Some(enhanced) => (&*enhanced.method == METHOD).then(|| enhanced.data.expose()),
        None => ask.password.as_ref().map(|password| password.expose()).filter(|password| is_token(password)),
    }
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

    fn judge_at_hand(&self, ask: &Ask, unix_ms: u64) -> Option<Judgement> {
        match token_of(ask) {
            None => Some(Judgement::Pass),
            Some(token) => self.judge_by_keys_at_hand(ask, token, unix_ms),
        }
    }

    fn judge(&self, ask: &Ask, unix_ms: u64) -> Judgement {
        let Some(token) = token_of(ask) else { return Judgement::Pass };
        self.judge_by_keys_at_hand(ask, token, unix_ms)
            .unwrap_or_else(|| self.judge_after_a_fetch(ask, token, unix_ms))
    }
}

/// Of enhanced authentication, with the token as its data.
const METHOD: &str = "JWT";

//! What a token must say, and what it says about a client.

use std::sync::Arc;

use access::Permits;
use serde_json::{Map, Value};

use super::TokenError;
use crate::{judgement::Identity, permissions, provider::kind::TOKEN};

/// What is asked of claims, and what they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// One of these has to be the issuer. None: any.
    pub issuers: Vec<String>,
    /// One of these has to be an audience. None: the token must not have any, for it would be meant for somebody else.
    pub audiences: Vec<String>,
    /// By how much clocks may differ.
    pub leeway_s: u64,
    /// Whether a token without an end is taken.
    pub needs_expiry: bool,
    pub user_claim: String,
    /// Where this is set, the claim has to be the client id.
    pub client_id_claim: Option<String>,
    /// Empty, as the two below: tokens say nothing of it.
    pub groups_claim: String,
    pub roles_claim: String,
    /// Rules, as `permissions.rs` reads them.
    pub permissions_claim: String,
}

/// The claims of a token, by name.
pub type Claims = Map<String, Value>;

impl TokenRules {
    /// Whom the claims are about, if they are in order.
    pub fn judge(&self, claims: &Claims, client_id: &str, unix_ms: u64) -> Result<Identity, TokenError> {
        let now_s = unix_ms / 1000;
        let expiry_s = seconds(claims, "exp")?;
        match expiry_s {
            Some(expiry_s) if expiry_s.saturating_add(self.leeway_s) <= now_s => {
                return Err(TokenError::Expired);
            }
            None if self.needs_expiry => return Err(TokenError::Claim("exp".to_owned())),
            _ => {}
        }
        if seconds(claims, "nbf")?.is_some_and(|begin_s| begin_s > now_s.saturating_add(self.leeway_s)) {
            return Err(TokenError::Early);
        }
        let is_one = |name: &str, ours: &[String]| {
            texts(claims, name).map(|theirs| theirs.iter().any(|text| ours.iter().any(|our| **our == **text)))
        };
        if !self.issuers.is_empty() && !is_one("iss", &self.issuers)? {
            return Err(TokenError::Issuer);
        }
        let is_ours = match self.audiences.is_empty() {
            true => texts(claims, "aud")?.is_empty(),
            false => is_one("aud", &self.audiences)?,
        };
        if !is_ours {
            return Err(TokenError::Audience);
        }
        if let Some(name) = &self.client_id_claim
            && text(claims, name)? != client_id
        {
            return Err(TokenError::ClientId);
        }
        Ok(Identity {
            user: Some(text(claims, &self.user_claim)?.into()),
            groups: texts(claims, &self.groups_claim)?,
            roles: texts(claims, &self.roles_claim)?,
            permits: self.permits(claims)?,
            expires_at_unix_ms: expiry_s.map(|expiry_s| expiry_s.saturating_add(self.leeway_s) * 1000),
            provider: "token".into(),
            kind: TOKEN,
        })
    }

    fn permits(&self, claims: &Claims) -> Result<Option<Arc<Permits>>, TokenError> {
        let name = &self.permissions_claim;
        permissions::read(&format!("the token's claim `{name}`"), named(claims, name))
            .map_err(|why| TokenError::Permissions { claim: name.clone(), why })
    }
}

/// A time in seconds, with or without a fraction, which is cut off.
fn seconds(claims: &Claims, name: &str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number =
        value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64));
    match number {
        Some(number) if number <= SECONDS_MAX => Ok(Some(number)),
        _ => Err(TokenError::Claim(name.to_owned())),
    }
}

fn text<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, TokenError> {
    let text = claims.get(name).and_then(Value::as_str).filter(|text| is_name(text));
    text.ok_or_else(|| TokenError::Claim(name.to_owned()))
}

/// One text, or an array of texts, or nothing.
fn texts(claims: &Claims, name: &str) -> Result<Vec<Arc<str>>, TokenError> {
    texts_of(named(claims, name)).ok_or_else(|| TokenError::Claim(name.to_owned()))
}

fn named<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).filter(|_| !name.is_empty())
}

pub fn texts_of(value: Option<&Value>) -> Option<Vec<Arc<str>>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => is_name(text).then(|| vec![text.as_str().into()]),
        Some(Value::Array(values)) if values.len() <= ENTRIES_MAX => {
            values.iter().map(|value| value.as_str().filter(|text| is_name(text)).map(Arc::from)).collect()
        }
        Some(_) => None,
    }
}

/// What MQTT can carry as a name, and a line of a log.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 65_535 && !text.contains(char::is_control)
}

impl Default for TokenRules {
    fn default() -> TokenRules {
        TokenRules {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway_s: 30,
            needs_expiry: true,
            user_claim: "sub".to_owned(),
            client_id_claim: None,
            groups_claim: "groups".to_owned(),
            roles_claim: "roles".to_owned(),
            permissions_claim: "permissions".to_owned(),
        }
    }
}

/// Groups and roles, each.
const ENTRIES_MAX: usize = 256;

/// The year 5138. Milliseconds in the place of seconds are more.
const SECONDS_MAX: u64 = 100_000_000_000;

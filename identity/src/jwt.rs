//! Tokens that somebody else has signed (RFC 7519): HS256, RS256, ES256 and EdDSA.
//!
//! `jsonwebtoken` says whether a signature is right. What the claims must be is decided here, by a clock that is an argument.

mod claims;
mod keys;
mod published;

pub use claims::{Claims, TokenRules};
pub(crate) use claims::{is_name, texts_of};
pub use keys::{KeysError, TokenKeys};
pub use published::{Fetch, PublishedKeys, Report};

use jsonwebtoken::{Algorithm, Header, Validation};
use serde_json::{Map, Value};

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is no JWT")]
    Malformed,
    #[error("the token's algorithm is not one of HS256, RS256, ES256 and EdDSA")]
    Algorithm,
    #[error("the token has critical headers, which are not known")]
    Critical,
    #[error("there is no key for the token")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token's `{0}` is missing or cannot be read")]
    Claim(String),
    #[error("the token's `{claim}` cannot be read: {why}")]
    Permissions { claim: String, why: String },
    #[error("the token's time is over")]
    Expired,
    #[error("the token's time has not come")]
    Early,
    #[error("the token is from another issuer")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token is for another client id")]
    ClientId,
}

/// Whether this may be a token: three parts, of which the first is a header.
pub fn is_token(bytes: &[u8]) -> bool {
    bytes.len() <= TOKEN_BYTES_MAX
        && bytes.iter().filter(|b| **b == b'.').count() == 2
        && jsonwebtoken::decode_header(bytes).is_ok()
}

/// The claims of a token whose signature is right.
pub fn verify(keys: &TokenKeys, token: &[u8]) -> Result<Map<String, Value>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    let header: Header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(TokenError::Algorithm);
    }
    // [RFC 7515 4.1.11] What is critical and not understood makes the token invalid.
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    let mut is_tried = false;
    for key in keys.candidates(header.alg.family(), header.kid.as_deref()) {
        is_tried = true;
        if let Ok(token) = jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation) {
            return Ok(token.claims);
        }
    }
    Err(if is_tried { TokenError::Signature } else { TokenError::UnknownKey })
}

/// Those that the keys can be for. `none` is no algorithm here.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

const TOKEN_BYTES_MAX: usize = 16_384;

#[cfg(test)]
pub(crate) mod tests;

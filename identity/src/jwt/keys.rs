//! The keys that tokens are checked with: a secret, public keys in PEM, or a JWKS.

use std::path::Path;

use jsonwebtoken::{
    AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

use crate::{FileError, Secret, named_file, private_file};

/// Keys, each of one family of algorithms: a public key is never taken for a secret.
#[derive(Default)]
pub struct TokenKeys {
    keys: Vec<Key>,
}

struct Key {
    /// A token that names a key is checked with that one and with those that have no name.
    id: Option<String>,
    family: AlgorithmFamily,
    key: DecodingKey,
}

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "a secret for HS256 has {SECRET_BYTES_MIN} bytes at least; this has {0}: make one with `openssl rand -base64 48`"
    )]
    Short(usize),
    #[error("this is no public key of RSA, P-256 or Ed25519 in PEM")]
    Pem,
    #[error("this is no set of keys (JWKS)")]
    Set,
    #[error("the set of keys has none that signs with RS256, ES256 or EdDSA")]
    Empty,
    #[error("the set of keys has {0}; {KEYS_MAX} are the most")]
    Many(usize),
}

impl TokenKeys {
    /// What a file holds: a JWKS, a public key in PEM, or else the secret of HS256, which others must not be able to read.
    pub fn load(path: &Path) -> Result<TokenKeys, KeysError> {
        let bytes = named_file::read(path, FILE_BYTES_MAX)?;
        let text = bytes.trim_ascii_start();
        if text.starts_with(b"{") {
            TokenKeys::of_set(text)
        } else if text.starts_with(b"-----BEGIN") {
            TokenKeys::of_pem(text)
        } else {
            TokenKeys::of_secret(&private_file::read_secret(path)?)
        }
    }

    pub fn of_secret(secret: &Secret) -> Result<TokenKeys, KeysError> {
        let bytes = secret.expose();
        match bytes.len() >= SECRET_BYTES_MIN {
            true => Ok(TokenKeys::one(AlgorithmFamily::Hmac, DecodingKey::from_secret(bytes))),
            false => Err(KeysError::Short(bytes.len())),
        }
    }

    pub fn of_pem(pem: &[u8]) -> Result<TokenKeys, KeysError> {
        let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (AlgorithmFamily::Rsa, key));
        let ec = || DecodingKey::from_ec_pem(pem).map(|key| (AlgorithmFamily::Ec, key));
        let ed = || DecodingKey::from_ed_pem(pem).map(|key| (AlgorithmFamily::Ed, key));
        let found = rsa.or_else(|_| ec()).or_else(|_| ed());
        found.map(|(family, key)| TokenKeys::one(family, key)).map_err(|_| KeysError::Pem)
    }

    /// Those of a set that are for signatures and of a known kind. Secrets do not belong into what is published.
    pub fn of_set(json: &[u8]) -> Result<TokenKeys, KeysError> {
        let set: JwkSet = serde_json::from_slice(json).map_err(|_| KeysError::Set)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeysError::Many(set.keys.len()));
        }
        let keys: Vec<Key> = set.keys.iter().filter_map(Key::of).collect();
        match keys.is_empty() {
            true => Err(KeysError::Empty),
            false => Ok(TokenKeys { keys }),
        }
    }

    fn one(family: AlgorithmFamily, key: DecodingKey) -> TokenKeys {
        TokenKeys { keys: vec![Key { id: None, family, key }] }
    }

    pub fn with(mut self, others: TokenKeys) -> TokenKeys {
        self.keys.extend(others.keys);
        self
    }

    pub(super) fn candidates(
        &self,
        family: AlgorithmFamily,
        id: Option<&str>,
    ) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| match (id, key.id.as_deref()) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        };
        self.keys.iter().filter(move |key| key.family == family).filter(fits).map(|key| &key.key)
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Key> {
        let family = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                AlgorithmFamily::Ec
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                AlgorithmFamily::Ed
            }
            _ => return None,
        };
        let is_for_signatures =
            jwk.common.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature);
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures)?;
        Some(Key { id: jwk.common.key_id.clone(), family, key })
    }
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.family, &key.id))).finish()
    }
}

/// As many as its digest has: a shorter one can be tried from a single token.
const SECRET_BYTES_MIN: usize = 32;

/// More than the most keys of the greatest size.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A token that names none is tried with each.
const KEYS_MAX: usize = 64;

//! The server's side of an exchange: two messages in, two out.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

use super::{
    Credential, Mechanism, ScramError, combined,
    message::{ClientFinal, ClientFirst, encode},
};

/// Between the server's first message and its last.
#[derive(Debug)]
pub struct Server {
    user: String,
    credential: Credential,
    is_known: bool,
    header: Vec<u8>,
    nonce: String,
    /// RFC 5802's AuthMessage as far as it is known: the client's first bare message and the server's first.
    begun: String,
}

/// Who it was, and what proves to the client that the server knew.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    pub user: String,
    pub message: Vec<u8>,
}

impl Server {
    /// Whom the client's first message names.
    pub fn user_of(client_first: &[u8]) -> Result<String, ScramError> {
        Ok(ClientFirst::decode(client_first)?.user)
    }

    /// Takes the client's first message and gives the server's. An unknown user gets a salt as a known one would: the same
    /// one each time, made from the name and a key that nobody knows.
    pub fn begin<'a>(
        mechanism: Mechanism,
        client_first: &[u8],
        nonce: &str,
        decoy: &Decoy,
        find: impl FnOnce(&str) -> Option<&'a Credential>,
    ) -> Result<(Server, Vec<u8>), ScramError> {
        let first = ClientFirst::decode(client_first)?;
        let found = find(&first.user);
        let credential = found.cloned().unwrap_or_else(|| decoy.credential(mechanism, &first.user));
        assert!(credential.mechanism == mechanism, "a credential is looked up by its mechanism");
        let nonce = format!("{}{nonce}", first.nonce);
        let message = format!("r={nonce},s={},i={}", encode(&credential.salt), credential.iterations);
        let server = Server {
            begun: format!("{},{message}", first.bare),
            header: first.header.as_bytes().to_vec(),
            is_known: found.is_some(),
            user: first.user,
            credential,
            nonce,
        };
        Ok((server, message.into_bytes()))
    }

    /// What the proof is held against.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Takes the client's last message: its proof is right, or the exchange is over.
    pub fn finish(self, client_final: &[u8]) -> Result<Finished, ScramError> {
        let last = ClientFinal::decode(client_final)?;
        if last.header != self.header {
            return Err(ScramError::ChannelBinding);
        }
        if last.nonce != self.nonce {
            return Err(ScramError::Nonce);
        }
        let mechanism = self.credential.mechanism;
        if last.proof.len() != mechanism.bytes() {
            return Err(ScramError::Malformed);
        }
        let all = format!("{},{}", self.begun, last.without_proof);
        let signature = mechanism.hmac(&self.credential.stored_key, all.as_bytes());
        let client_key = combined(&last.proof, &signature);
        let is_right =
            verify_slices_are_equal(&mechanism.digest(&client_key), &self.credential.stored_key).is_ok();
        match is_right && self.is_known {
            true => {
                let signature = mechanism.hmac(&self.credential.server_key, all.as_bytes());
                Ok(Finished { user: self.user, message: format!("v={}", encode(&signature)).into_bytes() })
            }
            false => Err(ScramError::Proof),
        }
    }
}

/// Makes salts for users that there are not.
pub struct Decoy {
    key: hmac::Key,
    iterations: std::num::NonZeroU32,
}

impl Decoy {
    /// `secret` stays the same as long as the users do, also over a restart: else whoever asks twice could tell.
    pub fn new(secret: &[u8], iterations: std::num::NonZeroU32) -> Decoy {
        Decoy { key: hmac::Key::new(hmac::HMAC_SHA256, secret), iterations }
    }

    fn credential(&self, mechanism: Mechanism, user: &str) -> Credential {
        let text = format!("{} {user}", mechanism.name());
        let salt = hmac::sign(&self.key, text.as_bytes());
        let key: Box<[u8]> = vec![0; mechanism.bytes()].into();
        Credential {
            mechanism,
            iterations: self.iterations,
            salt: salt.as_ref()[..16].into(),
            // No proof is right for it: whoever made one would not be let in all the same.
            stored_key: key.clone(),
            server_key: key,
        }
    }
}

impl std::fmt::Debug for Decoy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoy(..)")
    }
}

//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677): a password is proved and never sent.
//!
//! The server keeps keys from which the password cannot be had, and which do not let anybody in: whoever reads them can
//! pretend to be the server, and can try passwords. Channel binding is not offered, and a client that asks for it is refused.

mod client;
mod credential;
mod message;
mod server;

pub use client::Client;
pub use credential::{Credential, CredentialError, ITERATIONS_DEFAULT, ITERATIONS_MAX, ITERATIONS_MIN};
pub use server::{Decoy, Finished, Server};

use aws_lc_rs::{digest, hmac, pbkdf2};

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    Sha256,
    Sha512,
}

/// Why an exchange ends. None of them says whether the user exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("the message is not one of SCRAM")]
    Malformed,
    #[error("the client asks for channel binding, which is not offered")]
    ChannelBinding,
    #[error("the client wants to act for another user")]
    OtherUser,
    #[error("the client asks for an extension that is not known")]
    Extension,
    #[error("the nonce is not the one of this exchange")]
    Nonce,
    #[error("the server asks for too few or too many iterations")]
    Iterations,
    #[error("the proof is wrong, or there is no such user")]
    Proof,
    #[error("the server does not know the password")]
    Server,
}

impl Mechanism {
    pub const ALL: [Mechanism; 2] = [Mechanism::Sha256, Mechanism::Sha512];

    /// As authentication methods and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM-SHA-256",
            Mechanism::Sha512 => "SCRAM-SHA-512",
        }
    }

    pub fn of(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Box<[u8]> {
        let algorithm = match self {
            Mechanism::Sha256 => hmac::HMAC_SHA256,
            Mechanism::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().into()
    }

    fn digest(self, text: &[u8]) -> Box<[u8]> {
        let algorithm = match self {
            Mechanism::Sha256 => &digest::SHA256,
            Mechanism::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, text).as_ref().into()
    }

    /// RFC 5802's Hi.
    fn salted(
        self,
        password: &[u8],
        salt: &[u8],
        iterations: std::num::NonZeroU32,
    ) -> zeroize::Zeroizing<Box<[u8]>> {
        let algorithm = match self {
            Mechanism::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Mechanism::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = zeroize::Zeroizing::new(vec![0; self.bytes()].into_boxed_slice());
        pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
        salted
    }

    /// Of a digest.
    fn bytes(self) -> usize {
        match self {
            Mechanism::Sha256 => 32,
            Mechanism::Sha512 => 64,
        }
    }
}

/// One digest upon another of the same mechanism.
fn combined(one: &[u8], other: &[u8]) -> Box<[u8]> {
    assert!(one.len() == other.len(), "both are digests of one mechanism");
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// Printable characters that nobody can guess, and no comma.
pub fn nonce() -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(crate::password::random::<24>())
}

#[cfg(test)]
mod tests;

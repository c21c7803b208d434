//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677) as a client speaks them.
//!
//! Written from the standard and not from the broker's half: what both would misread alike, nobody would find.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::{Engine, prelude::BASE64_STANDARD};

#[derive(Clone, Copy, Debug)]
pub enum Mechanism {
    Sha256,
    Sha512,
}

/// One exchange: two messages out, two in.
pub struct Scram {
    mechanism: Mechanism,
    password: String,
    nonce: String,
    bare: String,
    signature: Vec<u8>,
}

impl Mechanism {
    pub const ALL: [Mechanism; 2] = [Mechanism::Sha256, Mechanism::Sha512];

    /// As authentication methods call it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM-SHA-256",
            Mechanism::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::Sha256 => hmac::HMAC_SHA256,
            Mechanism::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec()
    }

    fn hash(self, text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Mechanism::Sha256 => &digest::SHA256,
            Mechanism::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, text).as_ref().to_vec()
    }

    fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let (algorithm, length) = match self {
            Mechanism::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            Mechanism::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        };
        let mut salted = vec![0; length];
        let iterations = NonZeroU32::new(iterations).unwrap();
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }
}

impl Scram {
    /// The user's name has neither `,` nor `=`.
    pub fn new(mechanism: Mechanism, user: &str, password: &str) -> Scram {
        let mut bytes = [0; 18];
        rand::fill(&mut bytes).unwrap();
        let nonce = BASE64_STANDARD.encode(bytes);
        let bare = format!("n={user},r={nonce}");
        Scram { mechanism, password: password.to_owned(), nonce, bare, signature: Vec::new() }
    }

    /// client-first-message, without channel binding.
    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    /// client-final-message, for a server-first-message `r=...,s=...,i=...`.
    #[track_caller]
    pub fn answer(&mut self, server_first: &[u8]) -> Vec<u8> {
        let server_first = std::str::from_utf8(server_first).unwrap();
        let mut parts = server_first.split(',');
        let mut part = |name| parts.next().and_then(|part| part.strip_prefix(name)).expect(name).to_owned();
        let (nonce, salt, iterations) = (part("r="), part("s="), part("i="));
        assert!(nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len(), "{server_first}");
        let iterations: u32 = iterations.parse().unwrap();
        assert!(iterations >= 4096, "RFC 7677 wants 4096 at least, not {iterations}");
        let salt = BASE64_STANDARD.decode(salt).unwrap();
        let salted = self.mechanism.salted(&self.password, &salt, iterations);

        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode("n,,"));
        let all = format!("{},{server_first},{without_proof}", self.bare);
        let client_key = self.mechanism.hmac(&salted, b"Client Key");
        let client_signature = self.mechanism.hmac(&self.mechanism.hash(&client_key), all.as_bytes());
        let proof: Vec<u8> =
            client_key.iter().zip(&client_signature).map(|(one, other)| one ^ other).collect();
        let server_key = self.mechanism.hmac(&salted, b"Server Key");
        self.signature = self.mechanism.hmac(&server_key, all.as_bytes());
        format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes()
    }

    /// Whether a server-final-message shows that the server has the user's keys.
    pub fn is_proved_by(&self, server_final: &[u8]) -> bool {
        server_final == format!("v={}", BASE64_STANDARD.encode(&self.signature)).as_bytes()
    }
}

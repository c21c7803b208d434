//! The client's side of an exchange, for tools and tests.

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{
    ITERATIONS_MAX, ITERATIONS_MIN, Mechanism, ScramError, combined,
    message::{ServerFirst, decode, encode, escaped, value},
};
use crate::Secret;

#[derive(Debug)]
pub struct Client {
    mechanism: Mechanism,
    password: Secret,
    nonce: String,
    bare: String,
    /// What the server has to sign, once it is known.
    expected: Option<Box<[u8]>>,
}

impl Client {
    pub fn new(mechanism: Mechanism, user: &str, password: Secret, nonce: &str) -> Client {
        let bare = format!("n={},r={nonce}", escaped(user));
        Client { mechanism, password, nonce: nonce.to_owned(), bare, expected: None }
    }

    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    /// The proof, for what the server said first.
    pub fn answer(&mut self, server_first: &[u8]) -> Result<Vec<u8>, ScramError> {
        let first = ServerFirst::decode(server_first)?;
        // A nonce to which the server added nothing is one that was heard before.
        if !first.nonce.starts_with(&self.nonce) || first.nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        let iterations = NonZeroU32::new(first.iterations)
            .filter(|number| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&number.get()))
            .ok_or(ScramError::Iterations)?;
        let salted = self.mechanism.salted(self.password.expose(), &first.salt, iterations);
        let without_proof = format!("c=biws,r={}", first.nonce);
        let server_first = String::from_utf8_lossy(server_first);
        let all = format!("{},{server_first},{without_proof}", self.bare);
        let client_key = self.mechanism.hmac(&salted, b"Client Key");
        let stored_key = self.mechanism.digest(&client_key);
        let proof = combined(&client_key, &self.mechanism.hmac(&stored_key, all.as_bytes()));
        let server_key = self.mechanism.hmac(&salted, b"Server Key");
        self.expected = Some(self.mechanism.hmac(&server_key, all.as_bytes()));
        Ok(format!("{without_proof},p={}", encode(&proof)).into_bytes())
    }

    /// Whether the server knew the password as well.
    pub fn check(&self, server_final: &[u8]) -> Result<(), ScramError> {
        let text = std::str::from_utf8(server_final).map_err(|_| ScramError::Malformed)?;
        let signature = decode(value(text.split(',').next(), "v=")?)?;
        let expected = self.expected.as_ref().ok_or(ScramError::Server)?;
        verify_slices_are_equal(&signature, expected).map_err(|_| ScramError::Server)
    }
}

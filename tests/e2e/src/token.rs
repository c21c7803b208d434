//! Signed tokens (RFC 7519) as issuers make them, and the keys that they publish (RFC 7517).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use base64::{Engine, engine::GeneralPurpose};
use serde_json::{Value, json};

/// Somebody with a key.
pub enum Issuer {
    Hs256(Vec<u8>),
    Rs256(Box<rsa::KeyPair>),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Issuer {
    /// One with a key of its own for each algorithm of public keys.
    pub fn each() -> [Issuer; 3] {
        [
            Issuer::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
            Issuer::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            Issuer::EdDsa(Ed25519KeyPair::generate().unwrap()),
        ]
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Issuer::Hs256(_) => "HS256",
            Issuer::Rs256(_) => "RS256",
            Issuer::Es256(_) => "ES256",
            Issuer::EdDsa(_) => "EdDSA",
        }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm(), "typ": "JWT"}), claims)
    }

    /// With the name of its key.
    pub fn sign_by(&self, key_id: &str, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": key_id}), claims)
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let text = [header, claims].map(|part| URL.encode(part.to_string())).join(".");
        let (random, bytes) = (SystemRandom::new(), text.as_bytes());
        let signature = match self {
            Issuer::Hs256(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), bytes).as_ref().to_vec()
            }
            Issuer::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).unwrap();
                signature
            }
            Issuer::Es256(key) => key.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Issuer::EdDsa(key) => key.sign(bytes).as_ref().to_vec(),
        };
        format!("{text}.{}", URL.encode(signature))
    }

    /// The public key, as a file holds it.
    pub fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Issuer::Hs256(_) => panic!("a secret has no public key"),
            Issuer::Rs256(key) => key.public_key().as_der().unwrap(),
            Issuer::Es256(key) => key.public_key().as_der().unwrap(),
            Issuer::EdDsa(key) => key.public_key().as_der().unwrap(),
        };
        let text = BASE64_STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The public key, as a set of keys has it.
    pub fn jwk(&self, key_id: &str) -> Value {
        let mut jwk = match self {
            Issuer::Hs256(_) => panic!("a secret is not published"),
            Issuer::Rs256(key) => {
                // RFC 8017, A.1.1: a sequence of two integers, here of 257 and 3 bytes.
                let der = key.public_key().as_ref();
                assert_eq!((der.len(), &der[4..9]), (270, &[2, 0x82, 1, 1, 0][..]));
                json!({"kty": "RSA", "n": URL.encode(&der[9..265]), "e": URL.encode(&der[267..])})
            }
            Issuer::Es256(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": URL.encode(&point[1..33]), "y": URL.encode(&point[33..])})
            }
            Issuer::EdDsa(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": URL.encode(key.public_key().as_ref())})
            }
        };
        jwk["kid"] = key_id.into();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm().into();
        jwk
    }
}

/// Claims about a user that end so many seconds from now.
pub fn claims(user: &str, lasts_s: u64) -> Value {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({"sub": user, "exp": now_s + lasts_s})
}

const URL: GeneralPurpose = BASE64_URL_SAFE_NO_PAD;

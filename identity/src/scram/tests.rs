//! RFC 7677's exchange, the same with SHA-512, and everything that can be wrong with one.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::Secret;

struct Vector {
    mechanism: Mechanism,
    proof: &'static str,
    signature: &'static str,
    stored_key: &'static str,
    server_key: &'static str,
}

/// RFC 7677 section 3, and its values with SHA-512, which Python's hashlib and hmac gave.
const VECTORS: [Vector; 2] = [
    Vector {
        mechanism: Mechanism::Sha256,
        proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        stored_key: "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
        server_key: "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    },
    Vector {
        mechanism: Mechanism::Sha512,
        proof: "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
        signature: "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        stored_key: "6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg==",
        server_key: "jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA==",
    },
];

const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn credential(mechanism: Mechanism) -> Credential {
    Credential::with_salt(mechanism, b"pencil", &STANDARD.decode(SALT).expect("base64"), 4096).expect("made")
}

fn decoy() -> Decoy {
    Decoy::new(b"secret", std::num::NonZeroU32::new(4096).expect("not none"))
}

fn begin(
    mechanism: Mechanism,
    credential: &Credential,
    first: &[u8],
) -> Result<(Server, Vec<u8>), ScramError> {
    Server::begin(mechanism, first, SERVER_NONCE, &decoy(), |user| (user == "user").then_some(credential))
}

#[test]
fn the_exchange_of_the_rfc() {
    for vector in VECTORS {
        let credential = credential(vector.mechanism);
        let name = vector.mechanism.name();
        let text = format!("{name}$4096:{SALT}${}:{}", vector.stored_key, vector.server_key);
        assert_eq!(credential.to_string(), text);
        assert_eq!(Credential::parse(&text), Ok(credential.clone()));
        let mut client = Client::new(vector.mechanism, "user", Secret::new(b"pencil"), CLIENT_NONCE);
        assert_eq!(client.first(), format!("n,,n=user,r={CLIENT_NONCE}").into_bytes());
        let (server, first) = begin(vector.mechanism, &credential, &client.first()).expect("begun");
        let nonce = format!("{CLIENT_NONCE}{SERVER_NONCE}");
        assert_eq!(first, format!("r={nonce},s={SALT},i=4096").into_bytes());
        let proof = client.answer(&first).expect("an answer");
        assert_eq!(proof, format!("c=biws,r={nonce},p={}", vector.proof).into_bytes());
        let finished = server.finish(&proof).expect("let in");
        assert_eq!(finished.user, "user");
        assert_eq!(finished.message, format!("v={}", vector.signature).into_bytes());
        assert_eq!(client.check(&finished.message), Ok(()));
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_told_alike() {
    for mechanism in Mechanism::ALL {
        let credential = credential(mechanism);
        let tried = |user: &str, password: &[u8]| {
            let mut client = Client::new(mechanism, user, Secret::new(password), CLIENT_NONCE);
            let (server, first) = begin(mechanism, &credential, &client.first()).expect("begun");
            (first.clone(), server.finish(&client.answer(&first).expect("an answer")))
        };
        let (_, wrong) = tried("user", b"Pencil");
        let (first, unknown) = tried("nobody", b"pencil");
        assert_eq!((wrong, unknown), (Err(ScramError::Proof), Err(ScramError::Proof)));
        // The salt of somebody who is not there is the same each time, and another one for each name.
        assert_eq!(tried("nobody", b"x").0, first);
        assert_ne!(tried("nobody2", b"x").0, first);
        assert_eq!(first.len(), tried("user", b"x").0.len());
    }
}

#[test]
fn every_changed_byte_of_the_last_message_is_refused() {
    let credential = credential(Mechanism::Sha256);
    let mut client = Client::new(Mechanism::Sha256, "user", Secret::new(b"pencil"), CLIENT_NONCE);
    let (_, first) = begin(Mechanism::Sha256, &credential, &client.first()).expect("begun");
    let proof = client.answer(&first).expect("an answer");
    for at in 0..proof.len() {
        let mut changed = proof.clone();
        changed[at] ^= 1;
        let (server, _) = begin(Mechanism::Sha256, &credential, &client.first()).expect("begun");
        assert!(server.finish(&changed).is_err(), "byte {at}");
        let (server, _) = begin(Mechanism::Sha256, &credential, &client.first()).expect("begun");
        assert!(server.finish(&proof[..at]).is_err(), "up to {at}");
    }
}

#[test]
fn a_client_that_is_lied_to_notices() {
    let mut client = Client::new(Mechanism::Sha256, "user", Secret::new(b"pencil"), CLIENT_NONCE);
    for (text, error) in [
        (format!("r=other,s={SALT},i=4096"), ScramError::Nonce),
        (format!("r={CLIENT_NONCE},s={SALT},i=4096"), ScramError::Nonce),
        (format!("r={CLIENT_NONCE}x,s={SALT},i=4095"), ScramError::Iterations),
        (format!("r={CLIENT_NONCE}x,s={SALT},i=4294967295"), ScramError::Iterations),
        (format!("r={CLIENT_NONCE}x,s={SALT},i=0"), ScramError::Iterations),
    ] {
        assert_eq!(client.answer(text.as_bytes()), Err(error), "{text}");
    }
    assert_eq!(client.check(b"v=AAAA"), Err(ScramError::Server));
    client.answer(format!("r={CLIENT_NONCE}x,s={SALT},i=4096").as_bytes()).expect("an answer");
    assert_eq!(client.check(b"v=AAAA"), Err(ScramError::Server));
    assert_eq!(client.check(b"e=other-error"), Err(ScramError::Malformed));
}

#[test]
fn names_with_commas_go_both_ways() {
    let credential = credential(Mechanism::Sha256);
    let mut client = Client::new(Mechanism::Sha256, "a,b=c ä", Secret::new(b"pencil"), CLIENT_NONCE);
    let find = |user: &str| (user == "a,b=c ä").then_some(&credential);
    let (server, first) =
        Server::begin(Mechanism::Sha256, &client.first(), &nonce(), &decoy(), find).expect("begun");
    let finished = server.finish(&client.answer(&first).expect("an answer")).expect("let in");
    assert_eq!(finished.user, "a,b=c ä");
}

#[test]
fn credentials_that_are_damaged_or_too_dear_are_refused() {
    let good = credential(Mechanism::Sha256).to_string();
    for end in 0..good.len() {
        assert!(Credential::parse(&good[..end]).is_err(), "{}", &good[..end]);
    }
    for (from, to) in [
        ("256", "1"),
        ("4096", "4095"),
        ("4096", "2000001"),
        ("4096", "99999999999"),
        ("4096", "+4096"),
        (SALT, "AAAA"),
    ] {
        assert!(Credential::parse(&good.replacen(from, to, 1)).is_err(), "{from} -> {to}");
    }
    assert!(
        Credential::is_text_of(Mechanism::Sha256, &good) && !Credential::is_text_of(Mechanism::Sha512, &good)
    );
    assert!(!format!("{:?}", credential(Mechanism::Sha256)).contains("WG5d"));
}

//! Arbitrary bytes as each of SCRAM's messages: nobody gets in, and neither side falls over.
#![no_main]

use std::num::NonZeroU32;

use identity::{
    Secret,
    scram::{Client, Credential, Decoy, Mechanism, Server},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mechanism = if bytes.len() % 2 == 0 { Mechanism::Sha256 } else { Mechanism::Sha512 };
    let decoy = Decoy::new(b"secret", NonZeroU32::new(4096).expect("not none"));
    let text = match mechanism {
        Mechanism::Sha256 => KEY_256,
        Mechanism::Sha512 => KEY_512,
    };
    let credential = Credential::parse(text).expect("a key");
    let find = |user: &str| (user == "user").then_some(&credential);
    let (first, last) = match bytes.iter().position(|b| *b == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&b"n,,n=user,r=abc"[..], bytes),
    };
    if let Ok((server, _)) = Server::begin(mechanism, first, "def", &decoy, find) {
        assert!(server.finish(last).is_err(), "nobody knows the password");
    }
    let client = Client::new(mechanism, "user", Secret::new(b"pencil"), "abc");
    assert!(client.check(bytes).is_err());
    // What a server can ask of a client is work: only messages that ask for little are tried.
    let is_dear = bytes.windows(2).any(|two| two == b"i=");
    if !is_dear {
        let mut client = client;
        assert!(client.answer(bytes).is_err());
    }
});

const KEY_256: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const KEY_512: &str = "SCRAM-SHA-512$4096:W22ZaJ0SNY7soEsUEjb6gQ==$6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg==:jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA==";

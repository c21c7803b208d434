//! Arbitrary requests and responses of HTTP: each is answered once it is whole, and an answer is itself HTTP.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use transport::{Answer, Door, Offer, Prefix, REQUEST_BYTES_MAX};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let trusted_proxies = vec![Prefix::of(peer)];
    let doors = [
        Door::default(),
        Door { path: None, origins: vec!["https://app.example".to_owned()], trusted_proxies },
    ];
    let offer = Offer::new("broker.example", "/mqtt", [7; 16]);
    for door in doors {
        match door.answer(bytes, Some(peer)) {
            None => assert!(bytes.len() < REQUEST_BYTES_MAX),
            Some(Answer::Accept(accepted)) => {
                assert!(accepted.size <= bytes.len() && accepted.size <= REQUEST_BYTES_MAX);
                assert!(accepted.response.starts_with(b"HTTP/1.1 101 ") && accepted.response.ends_with(b"\r\n\r\n"));
                let again = door.answer(&bytes[..accepted.size], Some(peer));
                assert_eq!(again, Some(Answer::Accept(accepted)));
            }
            Some(Answer::Refuse(turned)) => {
                let refused = offer.welcome(&turned.response).expect_err("a refusal is no welcome");
                assert!(refused.to_string().contains(&turned.status.to_string()));
            }
        }
    }
    // What a server answers is foreign to a client as well.
    if let Ok(Some(welcome)) = offer.welcome(bytes) {
        assert!(welcome.size <= bytes.len());
    }
});

//! Arbitrary PROXY headers: what is read does not depend on what follows, and no prefix of it was refused or enough.
#![no_main]

use transport::proxy::{V2_SIGNATURE, V2_SIZE_MAX, decode};
use transport::{FIRST_BYTES_MAX, Kind, tell};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The signature is hard to guess; the first byte says whether it is given.
    if let Some((1, rest)) = bytes.split_first() {
        check(&[V2_SIGNATURE, rest].concat());
    }
});

fn check(bytes: &[u8]) {
    let told = tell(bytes);
    assert!(told.is_some() || bytes.len() < FIRST_BYTES_MAX);
    match decode(bytes) {
        Ok(Some(header)) => {
            assert_eq!(told, Some(Ok(Kind::Proxy)));
            assert!(header.size <= bytes.len() && header.size <= V2_SIZE_MAX);
            assert_eq!(header.source.is_some(), header.destination.is_some());
            for len in 0..header.size {
                assert_eq!(decode(&bytes[..len]), Ok(None));
            }
            let more = [&bytes[..header.size], b"\x10\x00"].concat();
            assert_eq!(decode(&more), Ok(Some(header)));
        }
        Ok(None) => assert!(bytes.len() < V2_SIZE_MAX),
        // More bytes do not make it good.
        Err(_) => assert!(decode(&[bytes, b"\r\n"].concat()).is_err()),
    }
}

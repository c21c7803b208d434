//! Arbitrary bytes as a token, which no key has signed, and as claims, which are judged without a signature.
#![no_main]

use identity::{
    Secret,
    jwt::{TokenKeys, TokenRules, is_token, verify},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let secret = Secret::new(b"nobody who makes up tokens knows this");
    let keys = TokenKeys::of_secret(&secret).expect("long enough");
    assert!(verify(&keys, bytes).is_err());
    _ = is_token(bytes);
    _ = TokenKeys::of_pem(bytes);
    if let Ok(set) = TokenKeys::of_set(bytes) {
        _ = verify(&set, b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA");
    }
    if let Ok(claims) = serde_json::from_slice(bytes) {
        let rules = TokenRules { needs_expiry: false, ..TokenRules::default() };
        if let Ok(identity) = rules.judge(&claims, "client", 1_700_000_000_000) {
            assert!(identity.user.is_some_and(|user| !user.is_empty()));
            assert!(identity.expires_at_unix_ms.is_none_or(|end| end > 1_700_000_000_000));
        }
    }
});

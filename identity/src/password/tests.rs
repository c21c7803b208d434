//! Hashes that other programs made, damaged ones, and those that ask for too much.

use super::*;

/// Made by mosquitto_passwd 2.0.11, by the reference implementation of argon2, and by crypt_blowfish.
const MADE_ELSEWHERE: &[(&str, &str)] = &[
    (
        "secret",
        "$6$tjT/ZZVeVSWLEnQd$8cJPynzj7nNqNNmnmIK/zcbysNt2UBmp6fZ0K7XuXz3GVAzxBSXWWP6y7I1aIVTFhNhFsanWdMoe8HoiF/d/Gw==",
    ),
    (
        "hello",
        "$7$101$lbAlJg0fu5SzJmun$z9z6bmyqbsSUIJ9dh+GtOTQBIFixPrX6JYnb7qNOWogsgsZ9tohQWBSj//XddHNplQGxS9g0N91lnx613JFtAA==",
    ),
    ("password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
];

fn quick(kind: Kind) -> Cost {
    match kind {
        Kind::Argon2id => Cost { kind, rounds: 1, memory_kib: 64 },
        kind => Cost { kind, rounds: 2, memory_kib: 0 },
    }
}

#[test]
fn hashes_of_other_programs_are_understood() {
    for (password, text) in MADE_ELSEWHERE {
        let hash = Hash::parse(text).expect(text);
        assert!(hash.is_of(password.as_bytes()), "{text}");
        for wrong in ["", "Secret", "hello ", "password\0", "U*V"] {
            assert!(!hash.is_of(wrong.as_bytes()), "{wrong} for {text}");
        }
        assert_eq!(hash.to_string(), *text);
    }
}

#[test]
fn what_is_made_is_read_again_and_each_has_its_own_salt() {
    for kind in [Kind::Sha512, Kind::Pbkdf2, Kind::Argon2id] {
        let (one, two) = (
            Hash::make(b"p\xff\0q", quick(kind)).expect("a hash"),
            Hash::make(b"p\xff\0q", quick(kind)).expect("a hash"),
        );
        assert_ne!(one, two);
        let read = Hash::parse(&one.to_string()).expect("a hash");
        assert_eq!(read, one);
        assert!(read.is_of(b"p\xff\0q") && !read.is_of(b"p\xff\0"));
        assert_eq!(read.cost().kind, kind);
    }
    assert!(Hash::make(b"x", Kind::Bcrypt.cost()).is_err());
}

#[test]
fn every_beginning_of_a_hash_is_refused() {
    for (_, text) in MADE_ELSEWHERE {
        for end in 0..text.len() {
            // Base64 without padding may end earlier: what is left of argon2's hash has to have its least length.
            let short = &text[..end];
            if let Ok(Hash::Argon2id(_)) = Hash::parse(short) {
                assert!(end > text.len() - 23, "{short}");
            } else {
                assert!(Hash::parse(short).is_err(), "{short}");
            }
        }
        assert!(Hash::parse(&format!("{text}$")).is_err());
        assert!(Hash::parse(&format!("{text}=")).is_err());
        assert!(Hash::parse(&format!(" {text}")).is_err());
    }
}

#[test]
fn a_hash_that_asks_for_too_much_is_refused_before_it_is_tried() {
    let tail = "c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let salt_and_hash = &MADE_ELSEWHERE[1].1["$7$101$".len()..];
    for text in [
        format!("$argon2id$v=19$m=262145,t=1,p=1${tail}"),
        format!("$argon2id$v=19$m=65536,t=17,p=1${tail}"),
        format!("$argon2id$v=19$m=4294967295,t=4294967295,p=1${tail}"),
        format!("$argon2id$v=19$m=65536,t=1,p=17${tail}"),
        format!("$7$2000001${salt_and_hash}"),
        "$2b$16$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
    ] {
        assert!(matches!(Hash::parse(&text), Err(HashError::TooExpensive { .. })), "{text}");
    }
    for text in [
        format!("$argon2id$v=18$m=64,t=1,p=1${tail}"),
        format!("$argon2id$v=19$m=64,t=0,p=1${tail}"),
        format!("$argon2id$v=19$m=64,t=1,p=0${tail}"),
        format!("$argon2id$v=19$m=7,t=1,p=1${tail}"),
        format!("$argon2id$v=19$t=1,m=64,p=1${tail}"),
        format!("$argon2id$v=19$m=64,t=1,p=1,keyid=x${tail}"),
        format!("$argon2id$v=19$m=+64,t=1,p=1${tail}"),
        format!("$7$0${salt_and_hash}"),
        format!("$7$-1${salt_and_hash}"),
        format!("$7$99999999999${salt_and_hash}"),
        "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
        "$2b$5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
    ] {
        assert!(matches!(Hash::parse(&text), Err(HashError::Malformed { .. })), "{text}");
    }
}

#[test]
fn an_error_never_repeats_what_it_is_about() {
    let error = Hash::parse("hunter2").expect_err("no hash");
    assert_eq!(error, HashError::Unknown);
    assert!(!error.to_string().contains("hunter2"));
    assert!(!format!("{:?}", Hash::make(b"x", quick(Kind::Sha512))).contains("=="));
}

#[test]
fn bcrypt_ends_at_72_bytes() {
    let hash = Hash::parse("$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui").expect("a hash");
    let password =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored";
    assert!(hash.is_of(password.as_bytes()) && hash.is_of(&password.as_bytes()[..72]));
    assert!(!hash.is_of(&password.as_bytes()[..71]));
}

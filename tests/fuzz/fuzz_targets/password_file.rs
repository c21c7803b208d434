//! Arbitrary bytes as a password file and as a file of SCRAM's keys: what is taken is taken again when it was written anew, and
//! no problem repeats what is stored.
#![no_main]

use identity::{PasswordFile, ScramFile, UserLines, check_user, scram::Mechanism};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let written = UserLines::parse(bytes).bytes();
    let first = bytes.split(|b| *b == b':').next().and_then(|name| std::str::from_utf8(name).ok());
    match (PasswordFile::parse("f", bytes), PasswordFile::parse("f", &written)) {
        (Ok((one, _)), Ok((two, _))) => {
            assert_eq!(one.len(), two.len());
            if let Some(hash) = first.and_then(|name| one.hash(name)) {
                assert_eq!(identity::Hash::parse(&hash.to_string()).as_ref(), Ok(hash));
            }
        }
        (Err(one), Err(two)) => assert_eq!(one, two),
        // A file that ends with an empty line and nothing else is empty.
        (one, two) => panic!("{one:?} {two:?}"),
    }
    if let (Ok((keys, _)), Some(name)) =
        (ScramFile::parse("f", bytes), first.filter(|name| check_user(name).is_ok()))
    {
        for credential in Mechanism::ALL.into_iter().filter_map(|mechanism| keys.credential(mechanism, name))
        {
            assert_eq!(identity::scram::Credential::parse(&credential.to_string()).as_ref(), Ok(credential));
        }
    }
});

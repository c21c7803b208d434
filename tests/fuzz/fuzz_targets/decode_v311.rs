//! Arbitrary bytes on a connection of version 3.1.1.
#![no_main]

mod stream;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stream::check(bytes, mqtt::Version::V311));

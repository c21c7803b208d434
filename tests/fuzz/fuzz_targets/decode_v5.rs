//! Arbitrary bytes on a connection of version 5.0.
#![no_main]

mod stream;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stream::check(bytes, mqtt::Version::V5));

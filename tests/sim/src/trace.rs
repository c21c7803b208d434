//! The trace of a run: a hash over everything that the shards did, and on demand a text that a human can read.

use std::fmt::{Arguments, Write};

use shard::Instant;

#[derive(Debug)]
pub struct Trace {
    hash: u64,
    text: Option<String>,
    line: String,
}

impl Trace {
    pub fn new(readable: bool) -> Trace {
        Trace { hash: FNV_OFFSET, text: readable.then(String::new), line: String::new() }
    }

    /// Something that counts: two runs of one seed have the same of these in the same order.
    pub fn record(&mut self, now: Instant, what: Arguments<'_>) {
        self.line.clear();
        let _ = write!(self.line, "{:>14.6} {what}", now.as_nanos() as f64 / 1e9);
        for byte in self.line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        if let Some(text) = &mut self.text {
            text.push_str(&self.line);
            text.push('\n');
        }
    }

    /// Bytes on the wire: part of the hash only.
    pub fn record_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// Only for the reader.
    pub fn explain(&mut self, now: Instant, what: Arguments<'_>) {
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "{:>14.6} {what}", now.as_nanos() as f64 / 1e9);
        }
    }

    pub fn is_readable(&self) -> bool {
        self.text.is_some()
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn into_text(self) -> String {
        self.text.unwrap_or_default()
    }
}

const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01B3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_changes_with_the_time_and_with_the_text() {
        let hash = |nanos, what: &str| {
            let mut trace = Trace::new(false);
            trace.record(Instant::from_nanos(nanos), format_args!("{what}"));
            trace.hash()
        };
        assert_eq!(hash(1_000, "a"), hash(1_000, "a"));
        assert_ne!(hash(1_000, "a"), hash(2_000, "a"));
        assert_ne!(hash(1_000, "a"), hash(1_000, "b"));
    }
}

//! What a payload carries: its stream, which of the stream's messages it is, and when it was to be sent.

/// The first bytes of a payload; the rest is filling. A stream is one publisher on one topic.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub stream: u32,
    pub sequence: u64,
    /// Nanoseconds on the clock of the run.
    pub due_ns: u64,
}

impl Stamp {
    pub const BYTES: usize = 20;

    pub fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.stream.to_be_bytes());
        payload[4..12].copy_from_slice(&self.sequence.to_be_bytes());
        payload[12..Stamp::BYTES].copy_from_slice(&self.due_ns.to_be_bytes());
    }

    /// `None`: the payload is not one of ours.
    pub fn read(payload: &[u8]) -> Option<Stamp> {
        let (stream, rest) = payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (due_ns, _) = rest.split_first_chunk()?;
        Some(Stamp {
            stream: u32::from_be_bytes(*stream),
            sequence: u64::from_be_bytes(*sequence),
            due_ns: u64::from_be_bytes(*due_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_is_read_as_written_and_never_from_too_few_bytes() {
        let stamp = Stamp { stream: 7, sequence: u64::MAX - 1, due_ns: 3 };
        let mut payload = [0xEE; 28];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[Stamp::BYTES..], [0xEE; 8]);
        for len in 0..Stamp::BYTES {
            assert_eq!(Stamp::read(&payload[..len]), None);
        }
    }
}

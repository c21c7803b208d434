//! What a payload carries: who published it and which of the publisher's messages it is.

/// The first bytes of a payload; the rest is filling.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub publisher: u32,
    pub sequence: u64,
}

impl Stamp {
    pub const BYTES: usize = 12;

    pub fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.publisher.to_be_bytes());
        payload[4..Stamp::BYTES].copy_from_slice(&self.sequence.to_be_bytes());
    }

    /// `None`: the payload is not one of ours.
    pub fn read(payload: &[u8]) -> Option<Stamp> {
        let (publisher, rest) = payload.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        Some(Stamp { publisher: u32::from_be_bytes(*publisher), sequence: u64::from_be_bytes(*sequence) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_is_read_as_written_and_never_from_too_few_bytes() {
        let stamp = Stamp { publisher: 7, sequence: u64::MAX - 1 };
        let mut payload = [0xEE; 20];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[Stamp::BYTES..], [0xEE; 8]);
        for len in 0..Stamp::BYTES {
            assert_eq!(Stamp::read(&payload[..len]), None);
        }
    }
}

//! Listens to the bytes that a shard sends on one connection and cuts them into packets.

use mqtt::{Packet, Version, Violation};

#[derive(Debug, Default)]
pub struct Tap {
    rest: Vec<u8>,
}

impl Tap {
    /// Calls `each` for every packet that is whole now, with its size.
    pub fn hear(
        &mut self,
        bytes: &[u8],
        version: Version,
        mut each: impl FnMut(&Packet<'_>, usize),
    ) -> Result<(), Violation> {
        self.rest.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.rest);
        let mut at = 0;
        while let Some(frame) = mqtt::split(&all[at..], mqtt::MAX_PACKET_SIZE)? {
            each(&mqtt::decode(&frame, version)?, frame.size);
            at += frame.size;
        }
        self.rest = all[at..].to_vec();
        Ok(())
    }

    /// A send ends with a whole packet.
    pub fn is_at_boundary(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_heard_however_the_bytes_are_cut() {
        let mut tap = Tap::default();
        let mut heard = 0;
        for byte in [0xD0, 0x00, 0x40, 0x02, 0x00, 0x07] {
            tap.hear(&[byte], Version::V311, |_, _| heard += 1).expect("these are packets");
        }
        assert_eq!(heard, 2);
        assert!(tap.is_at_boundary());
        assert!(tap.hear(&[0x0F], Version::V311, |_, _| {}).is_err());
    }
}

//! Bytes that came and are not handled yet, between two looks at them. Where they may be a password they are wiped wherever they stood.

use mqtt::PacketKind;

/// Of messages nothing is wiped: they are most of what comes, and no secrets of the broker.
#[derive(Default)]
pub(crate) struct Kept {
    pub bytes: Vec<u8>,
    /// Also where what was one is handled: nothing of it stands behind the end of `bytes`.
    is_secret: bool,
}

impl Kept {
    pub fn new(bytes: Vec<u8>, is_connected: bool) -> Kept {
        let mut kept = Kept { bytes, is_secret: false };
        kept.look(is_connected);
        kept
    }

    /// There is nothing secret in the beginning of one message of a connected client. Behind a whole one anything may stand.
    pub fn look(&mut self, is_connected: bool) {
        let Some(first) = self.bytes.first() else { return };
        let is_message = first >> 4 == PacketKind::Publish as u8;
        let is_begun = || mqtt::frame_size(&self.bytes).is_none_or(|size| self.bytes.len() < size);
        self.is_secret |= !(is_connected && is_message && is_begun());
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        if self.is_secret && needed > self.bytes.capacity() {
            self.move_to(needed.max(self.bytes.capacity() * 2));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes out what is handled.
    pub fn drop_front(&mut self, used: usize) {
        if !self.is_secret {
            self.bytes.drain(..used);
        } else if used > 0 {
            let mut rest = self.bytes[used..].to_vec();
            std::mem::swap(&mut self.bytes, &mut rest);
            secret::wipe(&mut rest);
        }
    }

    /// What a larger packet left behind as capacity goes back.
    pub fn shrink(&mut self) {
        if self.is_secret {
            self.move_to(self.bytes.len());
        } else {
            self.bytes.shrink_to_fit();
        }
    }

    fn move_to(&mut self, capacity: usize) {
        let mut grown = Vec::with_capacity(capacity);
        grown.extend_from_slice(&self.bytes);
        std::mem::swap(&mut self.bytes, &mut grown);
        secret::wipe(&mut grown);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.is_secret {
            secret::wipe(&mut self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_beginning_of_a_message_is_secret() {
        let message = [0x30, 5, 0, 1, b't', b'm', b'm'];
        let is_secret = |bytes: &[u8], is_connected| Kept::new(bytes.to_vec(), is_connected).is_secret;
        for length in 1..message.len() {
            assert!(!is_secret(&message[..length], true), "{length}");
            assert!(is_secret(&message[..length], false), "{length}");
        }
        assert!(is_secret(&message, true), "it waits, and so does what comes behind it");
        assert!(is_secret(&[&message[..], &[0xF0]].concat(), true));
        assert!(is_secret(&[0xF0], true), "AUTH");
        assert!(is_secret(&[0x10], false), "CONNECT");
        assert!(!is_secret(&[], false));
    }

    #[test]
    fn bytes_stay_what_they_are_wherever_they_stand() {
        for is_secret in [false, true] {
            let mut kept = Kept { bytes: Vec::new(), is_secret };
            let mut expected = Vec::new();
            for n in 0..100_u8 {
                let piece = vec![n; usize::from(n) * 7];
                kept.extend(&piece);
                expected.extend_from_slice(&piece);
                let used = expected.len() / 3;
                kept.drop_front(used);
                expected.drain(..used);
                if n % 10 == 0 {
                    kept.shrink();
                }
                assert_eq!(kept.bytes, expected);
            }
            kept.drop_front(expected.len());
            assert!(kept.bytes.is_empty());
        }
    }
}

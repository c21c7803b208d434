//! The mask of a client's frames: four bytes, over and over, added to the payload.

/// The key, turned so that it begins with the byte for what comes next.
#[derive(Copy, Clone, Debug)]
pub struct Mask(u32);

impl Mask {
    /// Changes nothing.
    pub const NONE: Mask = Mask(0);

    /// `key` has four bytes.
    pub fn of(key: &[u8]) -> Mask {
        Mask(u32::from_le_bytes(key.try_into().expect("a mask has four bytes")))
    }

    /// Masks, or unmasks, which is the same, what comes next in a payload.
    #[inline]
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let wide = u64::from(self.0) << 32 | u64::from(self.0);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_le_bytes(*word) ^ wide).to_le_bytes();
        }
        let key = self.0.to_le_bytes();
        for (at, byte) in rest.iter_mut().enumerate() {
            *byte ^= key[at % 4];
        }
        self.0 = self.0.rotate_right(8 * (rest.len() as u32 % 4));
    }
}

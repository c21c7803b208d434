//! The data representations of the specification's section 1.5, read and written: integers, variable byte
//! integers, strings and binary data. No packet is known here.

use crate::Violation;

/// Reads values off the front of a packet's bytes; what is missing is malformed, because the frame is complete.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All that is left, which ends the reading.
    #[inline]
    pub fn rest(self) -> &'a [u8] {
        self.bytes
    }

    /// A packet ends with its last field: whatever follows was never meant to be read.
    #[inline]
    pub fn finish(self) -> Result<(), Violation> {
        if self.is_empty() { Ok(()) } else { Err(Violation::malformed("bytes after the last field")) }
    }

    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Violation> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(TOO_SHORT)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, Violation> {
        let (first, rest) = self.bytes.split_first().ok_or(TOO_SHORT)?;
        self.bytes = rest;
        Ok(*first)
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16, Violation> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(TOO_SHORT)?;
        self.bytes = rest;
        Ok(u16::from_be_bytes(*first))
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32, Violation> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(TOO_SHORT)?;
        self.bytes = rest;
        Ok(u32::from_be_bytes(*first))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u32, Violation> {
        let (value, len) = varint(self.bytes)?.ok_or(TOO_SHORT)?;
        self.bytes = &self.bytes[len..];
        Ok(value)
    }

    /// A two-byte length and as many bytes.
    #[inline]
    pub fn binary(&mut self) -> Result<&'a [u8], Violation> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    #[inline]
    pub fn string(&mut self) -> Result<&'a str, Violation> {
        let bytes = self.binary()?;
        // [MQTT-1.5.4-2] U+0000 is the only byte of zero that UTF-8 can have.
        if bytes.iter().fold(false, |found, byte| found | (*byte == 0)) {
            return Err(Violation::malformed("string contains U+0000"));
        }
        utf8(bytes)
    }

    /// [MQTT-1.5.7-1] Both the name and the value are strings.
    #[inline]
    pub fn string_pair(&mut self) -> Result<(&'a str, &'a str), Violation> {
        Ok((self.string()?, self.string()?))
    }
}

// [MQTT-1.5.4-1] Surrogates and over-long forms are refused. Non-characters are not: the specification lets them
// pass, and [MQTT-1.5.4-3] keeps a leading U+FEFF.
#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Violation> {
    core::str::from_utf8(bytes).map_err(|_| Violation::malformed("string is not well-formed UTF-8"))
}

/// The variable byte integer at the head of `bytes` and its length. `Ok(None)`: need more bytes.
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, Violation> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // [MQTT-1.5.5-1] The encoding is the shortest one: its last byte adds to the value.
            if *byte == 0 && index > 0 {
                return Err(Violation::malformed("variable byte integer is longer than its value needs"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX {
        return Err(Violation::malformed("variable byte integer has more than four bytes"));
    }
    Ok(None)
}

/// How many bytes `value` takes as a variable byte integer.
#[inline]
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Where a packet is written to: a buffer, or a count of the bytes that the buffer is going to get. Lengths come
/// before what they measure, so each block is written twice, first into a `Count`.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    #[inline]
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    #[inline]
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    fn put_varint(&mut self, value: usize) {
        debug_assert!(value <= VARINT_MAX, "a variable byte integer has four bytes");
        let mut value = value;
        while value > 0x7F {
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    #[inline]
    fn put_binary(&mut self, bytes: &[u8]) {
        let len = u16::try_from(bytes.len()).expect("strings and binary data have at most 65,535 bytes");
        self.put_u16(len);
        self.put(bytes);
    }

    #[inline]
    fn put_string(&mut self, string: &str) {
        self.put_binary(string.as_bytes());
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The length of what was put.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Count(pub usize);

impl Sink for Count {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    // A count may be taken to find out that a packet is too large, so it accepts any value.
    #[inline]
    fn put_varint(&mut self, value: usize) {
        self.0 += varint_len(value);
    }
}

pub(crate) const VARINT_BYTES_MAX: usize = 4;
pub(crate) const VARINT_MAX: usize = 268_435_455;
const _: () = assert!(VARINT_MAX == (1 << (7 * VARINT_BYTES_MAX)) - 1);

const TOO_SHORT: Violation = Violation::malformed("packet ends inside a field");

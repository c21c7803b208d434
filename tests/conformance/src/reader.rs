//! Takes MQTT's data types from bytes that the server sent, and fails the test where they break a rule.

/// What is left of the body of one packet.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(
            count <= self.bytes.len(),
            "a field of {count} bytes, but the packet ends after {:?}",
            self.bytes
        );
        let (head, tail) = self.bytes.split_at(count);
        self.bytes = tail;
        head
    }

    pub fn rest(&mut self) -> &'a [u8] {
        self.take(self.bytes.len())
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub fn two(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    pub fn four(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    pub fn varint(&mut self) -> u32 {
        let (value, length) = varint(self.bytes).expect("a Variable Byte Integer ends within its packet");
        self.take(length);
        value
    }

    pub fn binary(&mut self) -> &'a [u8] {
        let length = self.two();
        self.take(length.into())
    }

    pub fn string(&mut self) -> String {
        let bytes = self.binary();
        let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("not well-formed UTF-8: {bytes:?}"));
        assert!(!text.contains('\0'), "U+0000 in a string from the server");
        text.to_owned()
    }
}

/// Reads a Variable Byte Integer and says how many bytes it took, or `None` if it has not arrived completely.
pub fn varint(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        assert!(index < 4, "a Variable Byte Integer of more than four bytes");
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // [MQTT-1.5.5-1] A last byte of zero adds nothing, so the encoding would not be the shortest one.
            assert!(index == 0 || byte != 0, "a Variable Byte Integer with more bytes than it needs");
            return Some((value, index + 1));
        }
    }
    None
}

//! The text of a filter where it is compared: among what else is read then, if it is short, as most filters are.

use std::ops::Deref;

pub(super) enum Text {
    Short { len: u8, bytes: [u8; SHORT_MAX] },
    Long(Box<[u8]>),
}

impl Text {
    pub fn new(text: &str) -> Text {
        let text = text.as_bytes();
        if text.len() > SHORT_MAX {
            return Text::Long(text.into());
        }
        let mut bytes = [0; SHORT_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Text::Short { len: text.len() as u8, bytes }
    }
}

impl Deref for Text {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Text::Short { len, bytes } => &bytes[..usize::from(*len)],
            Text::Long(text) => text,
        }
    }
}

/// What fits into a cache line beside the rest of an entry.
const SHORT_MAX: usize = 38;

const _: () = assert!(size_of::<Text>() == 40, "a byte more would be eight more");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_comes_back() {
        for len in 0..=2 * SHORT_MAX {
            let text = "x".repeat(len);
            assert_eq!(*Text::new(&text), *text.as_bytes());
        }
    }
}

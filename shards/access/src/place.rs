//! Where something stands that decides: its words, its file and line, and the layer that it is part of.

use std::{borrow::Cow, fmt};

/// `Display` is one line: the words, and in brackets the place.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// As it is written; none where no single line decides.
    pub text: Option<&'a str>,
    pub file: Option<&'a str>,
    pub line: Option<u32>,
    pub layer: &'a str,
}

impl<'a> Place<'a> {
    /// `FILE:LINE`, or the file alone where it decides as a whole.
    pub fn location(&self) -> Option<Cow<'a, str>> {
        let file = self.file?;
        Some(self.line.map_or(Cow::Borrowed(file), |line| Cow::Owned(format!("{file}:{line}"))))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.text {
            write!(f, "{text} ")?;
        }
        match self.location() {
            Some(location) => write!(f, "({location}, {})", self.layer),
            None => write!(f, "({})", self.layer),
        }
    }
}

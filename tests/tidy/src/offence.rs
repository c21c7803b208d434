//! What a check found.

use std::fmt;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    pub path: String,
    /// From one; 0 is the file as a whole.
    pub line: usize,
    pub what: String,
}

impl Offence {
    pub fn new(path: &str, line: usize, what: impl Into<String>) -> Offence {
        Offence { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Ends the test with every offence on its own line.
pub fn assert_none(offences: impl IntoIterator<Item = Offence>) {
    let lines: Vec<String> = offences.into_iter().map(|offence| offence.to_string()).collect();
    assert!(lines.is_empty(), "{} offences:\n{}", lines.len(), lines.join("\n"));
}

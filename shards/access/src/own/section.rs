//! TOML as the reader of rules sees it: entries in the order of the file, each with its place.

use toml::de::DeTable;
pub use toml::de::DeValue as Value;

/// A name with its value.
pub struct Entry<'a, 'i> {
    pub name: &'a str,
    pub value: &'a Value<'i>,
    /// Where the name is in the text.
    pub at: usize,
}

/// The table itself is sorted by name; people read their file from the top.
pub fn entries<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let entries = table.iter().map(|(name, value)| Entry {
        name: name.get_ref(),
        value: value.get_ref(),
        at: name.span().start,
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

/// The line of a place in the text, from 1.
pub fn line_of(text: &str, at: usize) -> u32 {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count() as u32
}

//! The configuration file: TOML, with the line of each key kept for what is wrong with it.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Key, Origin, Problem, Value, key::KEYS, nearest::nearest};

/// A file's text, and the name by which its problems call it.
pub struct File<'a> {
    pub path: &'a str,
    pub text: &'a str,
}

impl File<'_> {
    /// Brings every known key to `set`, and every problem, in the order of the file.
    pub fn read(
        &self,
        mut set: impl FnMut(&'static Key, &Value<'_>, Origin, &str) -> Result<(), Problem>,
    ) -> Vec<Problem> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        if !errors.is_empty() {
            // What was recovered after an error of syntax may not be what was meant.
            return errors.iter().map(|error| self.syntax(error)).collect();
        }
        let mut problems = Vec::new();
        for (section, value) in in_order(document.get_ref()) {
            let Some(entries) = self.section(section, value, &mut problems) else { continue };
            for (name, value) in in_order(entries) {
                let origin = self.origin(name.span());
                let written = self.text.get(value.span()).unwrap_or_default();
                let outcome = match Key::find(section.get_ref(), name.get_ref()) {
                    Some(key) => set(key, &Value::Toml(value.get_ref()), origin, written),
                    None => Err(unknown_key(section.get_ref(), name.get_ref(), origin, written)),
                };
                problems.extend(outcome.err());
            }
        }
        problems
    }

    /// The section's entries, if it is one that we know.
    fn section<'t, 'i>(
        &self,
        name: &Name<'_>,
        value: &'t Spanned<DeValue<'i>>,
        problems: &mut Vec<Problem>,
    ) -> Option<&'t DeTable<'i>> {
        let origin = self.origin(name.span());
        let known = Key::sections();
        let entries = value.get_ref().as_table();
        if entries.is_some() && known.contains(&name.get_ref().as_ref()) {
            return entries;
        }
        if entries.is_none() {
            let written = self.text.get(value.span()).unwrap_or_default();
            problems.push(outside_sections(name.get_ref(), origin, written));
        } else {
            let remedy = match nearest(name.get_ref(), known.iter().copied()) {
                Some(meant) => format!("unknown section: did you mean [{meant}]?"),
                None => format!("unknown section: there are [{}]", known.join("], [")),
            };
            problems.push(Problem {
                origin,
                key: format!("[{}]", name.get_ref()),
                value: String::new(),
                remedy,
            });
        }
        None
    }

    fn syntax(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or(0..0);
        let start = self.text[..span.start.min(self.text.len())].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next().unwrap_or_default().trim();
        Problem {
            origin: self.origin(span),
            key: String::new(),
            value: line.to_owned(),
            remedy: format!("this is not TOML: {}", error.message()),
        }
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File { path: self.path.to_owned(), line }
    }
}

type Name<'i> = Spanned<std::borrow::Cow<'i, str>>;

/// The table itself is sorted by name; people read their file from the top.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Name<'i>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn unknown_key(section: &str, name: &str, origin: Origin, written: &str) -> Problem {
    let elsewhere = KEYS.iter().find(|key| key.name == name);
    let remedy = match (elsewhere, nearest(name, Key::names_of(section))) {
        (Some(key), _) => format!("unknown key here: it belongs to section [{}]", key.section),
        (None, Some(meant)) => format!("unknown key: did you mean {meant}?"),
        (None, None) => {
            let names: Vec<&str> = Key::names_of(section).collect();
            format!("unknown key: [{section}] has {}", names.join(", "))
        }
    };
    Problem { origin, key: format!("{section}.{name}"), value: written.to_owned(), remedy }
}

fn outside_sections(name: &str, origin: Origin, written: &str) -> Problem {
    let remedy = match KEYS.iter().find(|key| key.name == name) {
        Some(key) => format!("this key belongs to section [{}]", key.section),
        None if Key::sections().contains(&name) => {
            format!("expected a section: write [{name}] and its keys below")
        }
        None => match nearest(name, KEYS.iter().map(|key| key.name)) {
            Some(meant) => format!("unknown key: did you mean {meant}?"),
            None => "unknown key: every key stands in a section".to_owned(),
        },
    };
    Problem { origin, key: name.to_owned(), value: written.to_owned(), remedy }
}

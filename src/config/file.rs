//! The configuration file: TOML, with the line of each key kept for what is wrong with it.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Key, Origin, Problem, Value, ban, key::Keys, listener, mosquitto, nearest::nearest, table::KEYS,
};

/// Takes what the file says.
pub trait Sink {
    fn set(
        &mut self,
        key: &'static Key,
        value: &Value<'_>,
        origin: Origin,
        written: &str,
    ) -> Result<(), Problem>;

    /// The keys that follow are those of one more listener.
    fn begin_listener(&mut self);

    /// The keys that follow are those of one more ban.
    fn begin_ban(&mut self);
}

/// A file's text, and the name by which its problems call it.
pub struct File<'a> {
    pub path: &'a str,
    pub text: &'a str,
}

/// A section of which there can be several.
struct List {
    section: &'static str,
    keys: Keys,
    needs_one_of: &'static [&'static str],
    /// What to write where it has none of them.
    remedy: &'static str,
}

static LISTS: [List; 2] = [
    List {
        section: listener::SECTION,
        keys: listener::KEYS,
        needs_one_of: &["address"],
        remedy: "a listener needs its address: address = \"tls://0.0.0.0:8883\", for example",
    },
    List {
        section: ban::SECTION,
        keys: Keys(&[ban::KEYS]),
        needs_one_of: &["client_ids", "users", "addresses"],
        remedy: "a ban is of somebody: addresses = [\"192.0.2.0/24\"], for example, or client_ids, or users",
    },
];

impl File<'_> {
    /// Brings every known key to `sink`, and gives back every problem, in the order of the file.
    pub fn read(&self, sink: &mut impl Sink) -> Vec<Problem> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        if !errors.is_empty() {
            if mosquitto::is_one(self.text) {
                return vec![self.of_mosquitto()];
            }
            // What was recovered after an error of syntax may not be what was meant.
            return errors.iter().map(|error| self.syntax(error)).collect();
        }
        let mut problems = Vec::new();
        for (section, value) in in_order(document.get_ref()) {
            if let Some(list) = LISTS.iter().find(|list| list.section == section.get_ref()) {
                problems.extend(self.read_list(list, section, value, sink));
                continue;
            }
            let Some(entries) = self.section(section, value, &mut problems) else { continue };
            for (name, value) in in_order(entries) {
                let origin = self.origin(name.span());
                let written = self.text.get(value.span()).unwrap_or_default();
                let outcome = match Key::find(section.get_ref(), name.get_ref()) {
                    Some(key) => sink.set(key, &Value::Toml(value.get_ref()), origin, written),
                    None => Err(unknown_key(section.get_ref(), name.get_ref(), origin, written)),
                };
                problems.extend(outcome.err());
            }
        }
        problems
    }

    /// Each of the tables with its keys.
    fn read_list(
        &self,
        list: &List,
        section: &Name<'_>,
        value: &Spanned<DeValue<'_>>,
        sink: &mut impl Sink,
    ) -> Vec<Problem> {
        let problem = |origin, remedy: &str| Problem {
            origin,
            key: list.section.to_owned(),
            value: String::new(),
            remedy: remedy.to_owned(),
        };
        let Some(tables) = value.get_ref().as_array() else {
            let remedy = format!("there can be several: write [[{}]] and its keys below", list.section);
            return vec![problem(self.origin(section.span()), &remedy)];
        };
        let mut problems = Vec::new();
        for table in tables {
            let Some(entries) = table.get_ref().as_table() else {
                let remedy = format!("expected a table: write [[{}]]", list.section);
                problems.push(problem(self.origin(table.span()), &remedy));
                continue;
            };
            if !list.needs_one_of.iter().any(|key| entries.contains_key(*key)) {
                problems.push(problem(self.origin(table.span()), list.remedy));
            }
            match list.section {
                ban::SECTION => sink.begin_ban(),
                _ => sink.begin_listener(),
            }
            for (name, value) in in_order(entries) {
                let origin = self.origin(name.span());
                let written = self.text.get(value.span()).unwrap_or_default();
                let outcome = match list.keys.iter().find(|key| key.name == name.get_ref()) {
                    Some(key) => sink.set(key, &Value::Toml(value.get_ref()), origin, written),
                    None => Err(unknown_key_of_list(list, name.get_ref(), origin, written)),
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
        let is_known = Key::sections().contains(&name.get_ref().as_ref());
        let entries = value.get_ref().as_table();
        if entries.is_some() && is_known {
            return entries;
        }
        let tables =
            value.get_ref().as_array().filter(|items| items.iter().any(|item| item.get_ref().is_table()));
        let named = match (entries, tables) {
            (None, None) => None,
            (Some(_), _) => Some(format!("[{}]", name.get_ref())),
            (None, Some(_)) => Some(format!("[[{}]]", name.get_ref())),
        };
        problems.push(match named {
            Some(key) => {
                let remedy = match is_known {
                    true => {
                        format!("this section is there once: write [{}] and its keys below", name.get_ref())
                    }
                    false => unknown_section(name.get_ref()),
                };
                Problem { origin, key, value: String::new(), remedy }
            }
            None => {
                let written = self.text.get(value.span()).unwrap_or_default();
                outside_sections(name.get_ref(), origin, written)
            }
        });
        None
    }

    fn of_mosquitto(&self) -> Problem {
        Problem {
            origin: Origin::File { path: self.path.to_owned(), line: 0 },
            key: String::new(),
            value: String::new(),
            remedy: mosquitto::REMEDY.to_owned(),
        }
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

fn unknown_section(name: &str) -> String {
    let known = Key::sections();
    let lists = LISTS.iter().map(|list| list.section);
    match nearest(name, known.iter().copied().chain(lists)) {
        Some(meant) if LISTS.iter().any(|list| list.section == meant) => {
            format!("unknown section: did you mean [[{meant}]]?")
        }
        Some(meant) => format!("unknown section: did you mean [{meant}]?"),
        None => format!("unknown section: there are [{}], [[listener]], [[ban]]", known.join("], [")),
    }
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

fn unknown_key_of_list(list: &List, name: &str, origin: Origin, written: &str) -> Problem {
    let names = || list.keys.iter().map(|key| key.name);
    let remedy = match nearest(name, names()) {
        Some(meant) => format!("unknown key: did you mean {meant}?"),
        None => {
            format!("unknown key: [[{}]] has {}", list.section, names().collect::<Vec<_>>().join(", "))
        }
    };
    Problem { origin, key: format!("{}.{name}", list.section), value: written.to_owned(), remedy }
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

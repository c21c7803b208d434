//! The configuration file: TOML, with the line of each key kept for what is wrong with it.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Key, Origin, Problem, Value, ban, foreign, key::Keys, listener, nearest::nearest, table::KEYS};

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
            // What was recovered after an error of syntax may not be what was meant.
            return self.unreadable(&errors);
        }
        let mut problems = Vec::new();
        for (section, value) in in_order(document.get_ref()) {
            if let Some(list) = LISTS.iter().find(|list| list.section == section.get_ref()) {
                problems.extend(self.read_list(list, section, value, sink));
                continue;
            }
            let Some(entries) = self.section(section, value, &mut problems) else { continue };
            let find = |name: &str| {
                Key::find(section.get_ref(), name).ok_or_else(|| unknown_key(section.get_ref(), name))
            };
            problems.extend(self.set_each(section.get_ref(), entries, find, sink));
        }
        problems
    }

    /// Brings each key of one table to `sink`. `find` knows the key by its name, or what to write instead.
    fn set_each(
        &self,
        section: &str,
        entries: &DeTable<'_>,
        find: impl Fn(&str) -> Result<&'static Key, String>,
        sink: &mut impl Sink,
    ) -> Vec<Problem> {
        let set = |(name, value): (&Name<'_>, &Spanned<DeValue<'_>>)| {
            let origin = self.origin(name.span());
            match find(name.get_ref()) {
                Ok(key) => {
                    let written = self.text.get(value.span()).unwrap_or_default();
                    sink.set(key, &Value::Toml(value.get_ref()), origin, written)
                }
                Err(remedy) => Err(unknown(origin, format!("{section}.{}", name.get_ref()), remedy)),
            }
        };
        in_order(entries).into_iter().map(set).filter_map(Result::err).collect()
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
            let find = |name: &str| {
                let key = list.keys.iter().find(|key| key.name == name);
                key.ok_or_else(|| unknown_key_of_list(list, name))
            };
            problems.extend(self.set_each(list.section, entries, find, sink));
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
            None => unknown(origin, name.get_ref().to_string(), outside_sections(name.get_ref())),
        });
        None
    }

    /// What keeps it from being read. Of a file that may be somebody's secrets nothing is shown, of ours no more than known names.
    fn unreadable(&self, errors: &[toml::de::Error]) -> Vec<Problem> {
        let problem = |line: usize, key: &str, remedy: String| Problem {
            origin: Origin::File { path: self.path.to_owned(), line },
            key: key.to_owned(),
            value: String::new(),
            remedy,
        };
        let mut faults: Vec<(usize, String)> = errors.iter().map(|error| self.fault(error)).collect();
        faults.sort_by_key(|(line, _)| *line);
        // What follows the first fault of a line is seldom one of its own.
        faults.dedup_by_key(|(line, _)| *line);
        if !foreign::is_ours(self.text) {
            let (line, what) = faults.swap_remove(0);
            let remedy = foreign::remedy(self.text).map_or_else(
                || {
                    format!(
                        "this is no configuration of IoTHub: line {line} is not TOML ({what}), and no section is one that we \
                         have. config.toml has them all"
                    )
                },
                str::to_owned,
            );
            return vec![problem(0, "", remedy)];
        }
        let of_line = |(line, what): (usize, String)| {
            let text = self.text.lines().nth(line - 1).unwrap_or_default();
            let named = foreign::key(text).or_else(|| foreign::section(text)).unwrap_or_default();
            problem(line, named, format!("this is not TOML: {what}"))
        };
        faults.into_iter().map(of_line).collect()
    }

    /// The line, and what is wrong there.
    fn fault(&self, error: &toml::de::Error) -> (usize, String) {
        let what = match error.message() {
            "duplicate key" => "it stands there a second time: keep one of both",
            message => message,
        };
        (self.line(error.span().unwrap_or(0..0)), what.to_owned())
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        Origin::File { path: self.path.to_owned(), line: self.line(span) }
    }

    fn line(&self, span: Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
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
    match nearest(name, Key::sections_and_lists()) {
        Some(meant) if LISTS.iter().any(|list| list.section == meant) => {
            format!("unknown section: did you mean [[{meant}]]?")
        }
        Some(meant) => format!("unknown section: did you mean [{meant}]?"),
        None => format!("unknown section: there are [{}], [[listener]], [[ban]]", known.join("], [")),
    }
}

/// What is no key of ours may have a secret for its value.
fn unknown(origin: Origin, key: String, remedy: String) -> Problem {
    Problem { origin, key, value: String::new(), remedy }
}

fn unknown_key(section: &str, name: &str) -> String {
    let elsewhere = KEYS.iter().find(|key| key.name == name);
    match (elsewhere, nearest(name, Key::names_of(section))) {
        (Some(key), _) => format!("unknown key here: it belongs to section [{}]", key.section),
        (None, Some(meant)) => format!("unknown key: did you mean {meant}?"),
        (None, None) => {
            let names: Vec<&str> = Key::names_of(section).collect();
            format!("unknown key: [{section}] has {}", names.join(", "))
        }
    }
}

fn unknown_key_of_list(list: &List, name: &str) -> String {
    let names = || list.keys.iter().map(|key| key.name);
    match nearest(name, names()) {
        Some(meant) => format!("unknown key: did you mean {meant}?"),
        None => {
            format!("unknown key: [[{}]] has {}", list.section, names().collect::<Vec<_>>().join(", "))
        }
    }
}

fn outside_sections(name: &str) -> String {
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) => format!("this key belongs to section [{}]", key.section),
        None if Key::sections().contains(&name) => {
            format!("expected a section: write [{name}] and its keys below")
        }
        None => match nearest(name, KEYS.iter().map(|key| key.name)) {
            Some(meant) => format!("unknown key: did you mean {meant}?"),
            None => "unknown key: every key stands in a section".to_owned(),
        },
    }
}

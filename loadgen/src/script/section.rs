//! A scenario file's tables with the line of each key, so that what is wrong is told where it is.

use std::ops::{Range, RangeInclusive};

use client::QoS;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub struct Document<'t> {
    pub publishers: Vec<Section<'t>>,
    pub subscribers: Vec<Section<'t>>,
    pub problems: Vec<String>,
}

/// One `[[publisher]]` or `[[subscriber]]`.
pub struct Section<'t> {
    source: Source<'t>,
    span: Range<usize>,
    entries: Vec<Entry>,
    asked: Vec<&'static str>,
    problems: Vec<(usize, String)>,
}

#[derive(Clone, Copy)]
struct Source<'t> {
    path: &'t str,
    text: &'t str,
}

struct Entry {
    key: String,
    key_span: Range<usize>,
    value_span: Range<usize>,
    value: Value,
}

enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Other,
}

impl<'t> Document<'t> {
    /// Fails only where the text is not TOML; the other problems are in the document.
    pub fn parse(path: &'t str, text: &'t str) -> Result<Document<'t>, String> {
        let source = Source { path, text };
        let table = DeTable::parse(text).map_err(|error| {
            format!("{}: {}", source.place(error.span().unwrap_or(0..0)), error.message())
        })?;
        let mut document = Document { publishers: Vec::new(), subscribers: Vec::new(), problems: Vec::new() };
        for (name, value) in table.get_ref() {
            let sections = match name.get_ref().as_ref() {
                "publisher" => &mut document.publishers,
                "subscriber" => &mut document.subscribers,
                other => {
                    let remedy = "there are [[publisher]] and [[subscriber]], and keys below them";
                    document.problems.push(format!("{}: `{other}`: {remedy}", source.place(name.span())));
                    continue;
                }
            };
            let tables = value.get_ref().as_array().into_iter().flatten();
            sections.extend(
                tables.filter_map(|table| {
                    Some(Section::new(source, table.span(), table.get_ref().as_table()?))
                }),
            );
            if sections.is_empty() {
                let (name, place) = (name.get_ref(), source.place(name.span()));
                document.problems.push(format!("{place}: `{name}`: write [[{name}]] and its keys below"));
            }
        }
        Ok(document)
    }
}

impl<'t> Section<'t> {
    fn new(source: Source<'t>, span: Range<usize>, table: &DeTable<'_>) -> Section<'t> {
        let entries = table.iter().map(|(key, value)| Entry {
            key: key.get_ref().clone().into_owned(),
            key_span: key.span(),
            value_span: value.span(),
            value: Value::of(value),
        });
        Section { source, span, entries: entries.collect(), asked: Vec::new(), problems: Vec::new() }
    }

    pub fn has(&mut self, key: &'static str) -> bool {
        self.asked.push(key);
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Without a default the key has to be there.
    pub fn text(&mut self, key: &'static str, default: Option<&str>) -> String {
        match self.value(key, default.is_none()) {
            Some(Value::Text(text)) => text.clone(),
            Some(_) => {
                self.problem_of_value(key, "is a text in quotes");
                default.unwrap_or(PLACEHOLDER).to_owned()
            }
            None => default.unwrap_or(PLACEHOLDER).to_owned(),
        }
    }

    pub fn number(&mut self, key: &'static str, default: Option<u64>, range: RangeInclusive<u64>) -> u64 {
        match self.value(key, default.is_none()) {
            Some(Value::Number(number)) if range.contains(number) => *number,
            Some(_) => {
                let (least, most) = (range.start(), range.end());
                self.problem_of_value(key, &format!("is a number from {least} to {most}"));
                *least
            }
            None => default.unwrap_or(*range.start()),
        }
    }

    pub fn flag(&mut self, key: &'static str) -> bool {
        match self.value(key, false) {
            Some(Value::Flag(flag)) => *flag,
            Some(_) => {
                self.problem_of_value(key, "is true or false");
                false
            }
            None => false,
        }
    }

    pub fn qos(&mut self) -> QoS {
        let number = self.number("qos", Some(0), 0..=2);
        QoS::try_from(number as u8).unwrap_or_default()
    }

    fn value(&mut self, key: &'static str, is_needed: bool) -> Option<&Value> {
        if !self.has(key) && is_needed {
            self.problem(key, "is missing: every table of this kind has it");
        }
        Some(&self.entries.iter().find(|entry| entry.key == key)?.value)
    }

    /// Says of a key what is wrong with it; only the first thing, since the others follow from it.
    pub fn problem(&mut self, key: &str, remedy: &str) {
        let at = self.span_of(key).start;
        let text = self.place(key, remedy);
        if self.problems.iter().all(|(other, _)| *other != at) {
            self.problems.push((at, text));
        }
    }

    fn problem_of_value(&mut self, key: &str, remedy: &str) {
        let Some(entry) = self.entries.iter().find(|entry| entry.key == key) else { return };
        let written = self.source.text.get(entry.value_span.clone()).unwrap_or_default();
        let place = self.source.place(entry.key_span.clone());
        self.problems.push((entry.key_span.start, format!("{place}: `{key} = {written}`: {key} {remedy}")));
    }

    pub fn place(&self, key: &str, remedy: &str) -> String {
        format!("{}: `{key}`: {remedy}", self.source.place(self.span_of(key)))
    }

    /// Of the table if it has no such key.
    fn span_of(&self, key: &str) -> Range<usize> {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map_or(&self.span, |entry| &entry.key_span).clone()
    }

    /// All that is wrong, in the order of the file, keys that nobody asked for among it.
    pub fn finish(mut self) -> Vec<String> {
        self.asked.sort_unstable();
        self.asked.dedup();
        let known = self.asked.join(", ");
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let place = self.source.place(entry.key_span.clone());
            let text = format!("{place}: `{}`: there is no such key here: there are {known}", entry.key);
            self.problems.push((entry.key_span.start, text));
        }
        self.problems.sort_by_key(|(at, _)| *at);
        self.problems.into_iter().map(|(_, text)| text).collect()
    }
}

impl Source<'_> {
    fn place(&self, span: Range<usize>) -> String {
        let line = 1 + self.text.as_bytes()[..span.start.min(self.text.len())]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        format!("{}:{line}", self.path)
    }
}

impl Value {
    fn of(value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Number(number),
                Err(_) => Value::Other,
            },
            _ => Value::Other,
        }
    }
}

/// Stands for a text that is missing, so that the rest can be looked at as well.
const PLACEHOLDER: &str = "missing";

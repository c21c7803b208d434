//! How values are spelled in what commands print and the API answers: strings of JSON, base64, sizes, versions and points in time.

use std::{borrow::Cow, fmt::Write as _};

use shard::Version;

/// In quotes.
pub fn json_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// What came from clients, for a terminal: letters that would steer it, turn text around or show nothing stand there by their numbers.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        // A mark belongs to the letter before it.
        let stands_alone = at == 0 && is_in(&MARKS, letter);
        match stands_alone || is_unseen(letter) {
            true => shown.extend(letter.escape_unicode()),
            false => shown.push(letter),
        }
    }
    shown
}

/// The same of several lines, with their ends and tabs.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    with_numbers(text, |shown, letter| shown.extend(letter.escape_unicode()))
}

/// The same of JSON, which means the same afterwards.
pub fn visible_json(text: &str) -> Cow<'_, str> {
    with_numbers(text, push_json_number)
}

/// As JSON writes a letter that is not to stand there itself.
pub fn push_json_number(json: &mut String, letter: char) {
    for unit in letter.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = write!(json, "\\u{unit:04x}");
    }
}

/// A control character, or one that shows nothing, or turns text around.
pub fn is_unseen(letter: char) -> bool {
    letter.is_control() || is_in(&UNSEEN, letter)
}

fn with_numbers(text: &str, push: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let is_hidden = |letter: char| !matches!(letter, '\n' | '\t') && is_unseen(letter);
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_hidden(letter) { push(&mut shown, letter) } else { shown.push(letter) }
    }
    Cow::Owned(shown)
}

/// At most so many letters: of what is longer the beginning and the end.
pub fn shortened(text: &str, most: usize) -> String {
    let letters = text.chars().count();
    if letters <= most {
        return text.to_owned();
    }
    let end = most.saturating_sub(1) / 3;
    let begin = most.saturating_sub(1) - end;
    let tail = text.chars().skip(letters - end);
    text.chars().take(begin).chain(['…']).chain(tail).collect()
}

fn is_in(ranges: &[(char, char)], letter: char) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter))
}

/// RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

/// Of the protocol.
pub fn version(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    }
}

/// Date and time in UTC, to the second.
pub fn moment(at: f64) -> String {
    crate::config::moment::show(at as u64)
}

/// The same to the millisecond.
pub fn fine_moment(at: f64) -> String {
    let millis = (at * 1000.0).round() as u64;
    let whole = crate::config::moment::show(millis / 1000);
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), millis % 1000)
}

/// The time of day in UTC.
pub fn clock(at: f64) -> String {
    let millis = (at * 1000.0) as u64 % 86_400_000;
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", millis / 1000 % 60, millis % 1000)
}

/// What is wrong with a JSON text, for whoever says himself where.
pub fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

/// As people read it.
pub fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

/// `1 segment`, `2 segments`.
pub fn count(number: u64, noun: &str) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    let plural = match (number, stem) {
        (1, _) => noun.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{noun}s"),
    };
    format!("{number} {plural}")
}

/// What Unicode lets a font leave out, and what changes the direction of text.
const UNSEEN: [(char, char); 18] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Marks that are drawn onto the letter before them.
const MARKS: [(char, char); 5] = [
    ('\u{300}', '\u{36f}'),
    ('\u{1ab0}', '\u{1aff}'),
    ('\u{1dc0}', '\u{1dff}'),
    ('\u{20d0}', '\u{20ff}'),
    ('\u{fe20}', '\u{fe2f}'),
];

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spelled_as_the_rfc_says() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfb, 0]), "//77AA==");
    }

    #[test]
    fn the_dashboard_knows_the_same_letters_as_unseen() {
        let page = include_str!("ui/dom.js");
        for (first, last) in UNSEEN.iter().chain(&MARKS) {
            let [first, last] = [first, last].map(|letter| letter.escape_unicode().to_string());
            let range = if first == last { first } else { format!("{first}-{last}") };
            assert!(page.contains(&range), "{range}");
        }
    }

    #[test]
    fn numbers_have_their_units() {
        assert_eq!(
            (size(1023), size(1024), size(5 << 30)),
            ("1023 B".into(), "1.0 KiB".into(), "5.0 GiB".into())
        );
        assert_eq!(count(2, "day"), "2 days");
        assert_eq!(fine_moment(1.0005), "1970-01-01T00:00:01.001Z");
        assert_eq!((count(1, "entry"), count(0, "entry")), ("1 entry".into(), "0 entries".into()));
        assert_eq!((count(1, "record"), count(2, "record")), ("1 record".into(), "2 records".into()));
    }

    #[test]
    fn nothing_that_cannot_be_seen_gets_to_a_terminal() {
        for (text, shown) in [
            ("größe/温度 🌡", "größe/温度 🌡"),
            ("cafe\u{301}", "cafe\u{301}"),
            ("\u{301}", "\\u{301}"),
            ("a\u{1b}[2J\n\u{7f}\u{9b}", "a\\u{1b}[2J\\u{a}\\u{7f}\\u{9b}"),
            ("adm\u{ad}in", "adm\\u{ad}in"),
            ("\u{202e}a\u{200b}\u{e0041}\u{3164}\u{fe0f}", "\\u{202e}a\\u{200b}\\u{e0041}\\u{3164}\\u{fe0f}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn lines_stay_lines_and_json_means_the_same() {
        let lines = "a\tb\nc\u{9b}31m\u{202e}\r\n";
        assert_eq!(visible_lines(lines), "a\tb\nc\\u{9b}31m\\u{202e}\\u{d}\n");
        assert!(matches!(visible_lines("gr\u{f6}\u{df}e\n"), Cow::Borrowed(_)));
        let value = serde_json::json!({ "x\u{202e}": "\u{9b}\u{2028}\u{e0041}\u{feff}\u{f6}" });
        let written = value.to_string();
        let json = visible_json(&written);
        assert_eq!(json, "{\"x\\u202e\":\"\\u009b\\u2028\\udb40\\udc41\\ufeff\u{f6}\"}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), value);
    }

    #[test]
    fn what_is_too_long_keeps_its_beginning_and_its_end() {
        assert_eq!(shortened("loadgen-p2p-publisher-12", 24), "loadgen-p2p-publisher-12");
        assert_eq!(shortened("loadgen-p2p-publisher-12", 16), "loadgen-p2…er-12");
        assert_eq!(
            (shortened("äöü", 2), shortened("äöü", 1), shortened("äöü", 0)),
            ("ä…".into(), "…".into(), "…".into())
        );
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(json_string("a\"\\\n\u{1}é"), "\"a\\\"\\\\\\n\\u0001é\"");
    }
}

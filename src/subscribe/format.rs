//! How a message is printed: the format strings of mosquitto_sub.
//!
//! `%` begins a part of the message, `@` a part of the date as strftime(3) knows it, `\` a character that is hard to
//! type. Between `%` and its letter may stand a width, `%10t`, to the left, `%-10t`, with zeros, `%05l`, and the most
//! that is printed, `%.3t`.

use std::{
    ffi::{CString, c_char},
    io::{self, Write},
    iter::Peekable,
    mem::MaybeUninit,
    str::Chars,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use client::{Message, Properties};

use super::json;
use crate::text::json_string;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    /// The letter behind the `%`, and what stands between them.
    Field(char, Space),
    /// The letter behind the `@`, for strftime.
    Date(char),
    Nanoseconds,
}

/// How much room a field takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Space {
    to_the_left: bool,
    with_zeros: bool,
    width: usize,
    /// Characters of a text, bytes of a payload.
    len_max: Option<usize>,
}

impl Format {
    /// What is printed without `-F`.
    pub fn plain(with_topic: bool) -> Format {
        let mut parts = vec![Part::Field('p', Space::default())];
        if with_topic {
            parts.splice(0..0, [Part::Field('t', Space::default()), Part::Literal(b" ".to_vec())]);
        }
        Format { parts }
    }

    pub fn parse(text: &str) -> Result<Format, String> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if !"%@\\".contains(letter) {
                literal.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            let space = if letter == '%' { Space::parse(&mut letters)? } else { Space::default() };
            let Some(code) = letters.next() else {
                return Err(format!("the format ends with `{letter}`: double it to print it"));
            };
            let part = match (letter, code) {
                ('%', '%') | ('@', '@') | ('\\', '\\') => Part::Literal(vec![code as u8]),
                ('%', code) if FIELDS.contains(code) => Part::Field(code, space),
                ('@', 'N') => Part::Nanoseconds,
                ('@', code) if code.is_ascii_alphabetic() => Part::Date(code),
                ('\\', code) => Part::Literal(vec![escaped(code)?]),
                _ => return Err(format!("`{letter}{code}` is not known: a field is % and one of {FIELDS}")),
            };
            if let Part::Literal(bytes) = part {
                literal.extend(bytes);
                continue;
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Format { parts })
    }

    /// Whether this format can print this message: `%J` needs a payload that is JSON.
    pub fn suits(&self, message: &Message) -> bool {
        let has_json = self.parts.iter().any(|part| matches!(part, Part::Field('J', _)));
        !has_json || json::compact(&message.payload).is_some()
    }

    pub fn write(&self, message: &Message, out: &mut impl Write) -> io::Result<()> {
        // One reading of the clock for all parts of one message.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.write_all(bytes)?,
                Part::Field(code, space) if *space == Space::default() => {
                    write_field(*code, message, now, out)?;
                }
                Part::Field(code, space) => write_spaced(*code, *space, message, now, out)?,
                Part::Date(code) => out.write_all(date(&format!("%{code}"), now).as_bytes())?,
                Part::Nanoseconds => write!(out, "{:09}", now.subsec_nanos())?,
            }
        }
        Ok(())
    }
}

impl Space {
    fn parse(letters: &mut Peekable<Chars<'_>>) -> Result<Space, String> {
        let mut space = Space::default();
        while let Some(flag) = letters.next_if(|letter| "-0".contains(*letter)) {
            space.to_the_left |= flag == '-';
            space.with_zeros |= flag == '0';
        }
        space.width = number(letters)?.unwrap_or(0);
        if letters.next_if_eq(&'.').is_some() {
            space.len_max = Some(number(letters)?.unwrap_or(0));
        }
        Ok(space)
    }
}

fn number(letters: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, String> {
    let mut number = None;
    while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
        letters.next();
        let value = number.unwrap_or(0) * 10 + digit as usize;
        if value > WIDTH_MAX {
            return Err(format!("a field is at most {WIDTH_MAX} characters wide"));
        }
        number = Some(value);
    }
    Ok(number)
}

fn escaped(code: char) -> Result<u8, String> {
    match code {
        '0' => Ok(0),
        'a' => Ok(7),
        'e' => Ok(27),
        'n' => Ok(b'\n'),
        'r' => Ok(b'\r'),
        't' => Ok(b'\t'),
        'v' => Ok(11),
        _ => Err(format!("`\\{code}` is not known: use one of \\\\ \\0 \\a \\e \\n \\r \\t \\v")),
    }
}

fn write_spaced(
    code: char,
    space: Space,
    message: &Message,
    now: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut field = Vec::new();
    write_field(code, message, now, &mut field)?;
    let mut field = String::from_utf8_lossy(&field).into_owned();
    let is_number = "lmE".contains(code);
    if let Some(len_max) = space.len_max.filter(|_| !is_number) {
        let letters = if "xX".contains(code) { len_max * 2 } else { len_max };
        field = field.chars().take(letters).collect();
    }
    let padding = space.width.saturating_sub(field.chars().count());
    match (space.to_the_left, space.with_zeros && is_number) {
        (true, _) => write!(out, "{field}{:padding$}", ""),
        (false, true) => write!(out, "{:0>padding$}{field}", ""),
        (false, false) => write!(out, "{:padding$}{field}", ""),
    }
}

fn write_field(code: char, message: &Message, now: Duration, out: &mut impl Write) -> io::Result<()> {
    let properties = &message.properties;
    match code {
        't' => out.write_all(message.topic.as_bytes()),
        'p' => out.write_all(&message.payload),
        'x' => message.payload.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        'X' => message.payload.iter().try_for_each(|byte| write!(out, "{byte:02X}")),
        'l' => write!(out, "{}", message.payload.len()),
        'q' => write!(out, "{}", message.qos as u8),
        'r' => write!(out, "{}", u8::from(message.retain)),
        'm' => write!(out, "{}", message.packet_id.map_or(0, |id| id.get())),
        'j' => write_json(message, now, &json_string(&String::from_utf8_lossy(&message.payload)), out),
        'J' => write_json(message, now, &json::compact(&message.payload).unwrap_or_default(), out),
        'I' => out.write_all(date("%FT%T%z", now).as_bytes()),
        'U' => write!(out, "{}.{:09}", now.as_secs(), now.subsec_nanos()),
        'A' => write_present(properties.topic_alias, out),
        'C' => write_present(properties.content_type.as_ref(), out),
        'D' => out.write_all(properties.correlation_data.as_deref().unwrap_or_default()),
        'E' => write_present(properties.message_expiry_interval_s, out),
        'F' => write_present(properties.payload_format, out),
        'R' => write_present(properties.response_topic.as_ref(), out),
        'S' => out.write_all(joined(properties.subscription_ids.iter().map(u32::to_string)).as_bytes()),
        'P' => {
            let pairs = properties.user_properties.iter();
            out.write_all(joined(pairs.map(|(name, value)| format!("{name}:{value}"))).as_bytes())
        }
        _ => unreachable!("the format was checked when it was read"),
    }
}

fn write_present(value: Option<impl std::fmt::Display>, out: &mut impl Write) -> io::Result<()> {
    value.map_or(Ok(()), |value| write!(out, "{value}"))
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

// The keys and their order are mosquitto_sub's.
fn write_json(message: &Message, now: Duration, payload: &str, out: &mut impl Write) -> io::Result<()> {
    let (seconds, zone) = (date("%FT%T", now), date("%z", now));
    write!(out, "{{\"tst\":\"{seconds}.{:06}{zone}\"", now.subsec_micros())?;
    write!(out, ",\"topic\":{}", json_string(&message.topic))?;
    write!(out, ",\"qos\":{},\"retain\":{}", message.qos as u8, u8::from(message.retain))?;
    write!(out, ",\"payloadlen\":{}", message.payload.len())?;
    if let Some(packet_id) = message.packet_id {
        write!(out, ",\"mid\":{packet_id}")?;
    }
    let properties = json_properties(&message.properties);
    if !properties.is_empty() {
        write!(out, ",\"properties\":{{{}}}", properties.join(","))?;
    }
    write!(out, ",\"payload\":{payload}}}")
}

fn json_properties(properties: &Properties) -> Vec<String> {
    let mut members = Vec::new();
    if !properties.user_properties.is_empty() {
        let pairs = properties.user_properties.iter();
        let pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{}:{}", json_string(name), json_string(value))).collect();
        members.push(format!("\"user-properties\":{{{}}}", pairs.join(",")));
    }
    let correlation_data = properties.correlation_data.as_deref().map(String::from_utf8_lossy);
    for (name, text) in [
        ("content-type", properties.content_type.as_deref()),
        ("response-topic", properties.response_topic.as_deref()),
        ("correlation-data", correlation_data.as_deref()),
    ] {
        members.extend(text.map(|text| format!("\"{name}\":{}", json_string(text))));
    }
    let first_id = properties.subscription_ids.first().copied();
    for (name, number) in [
        ("payload-format-indicator", properties.payload_format.map(u32::from)),
        ("message-expiry-interval", properties.message_expiry_interval_s),
        ("topic-alias", properties.topic_alias.map(u32::from)),
        ("subscription-identifier", first_id),
    ] {
        members.extend(number.map(|number| format!("\"{name}\":{number}")));
    }
    members
}

/// Local time, as strftime(3) writes it.
fn date(pattern: &str, now: Duration) -> String {
    let pattern = CString::new(pattern).expect("a pattern is made of letters");
    let seconds = libc::time_t::try_from(now.as_secs()).unwrap_or(libc::time_t::MAX);
    let mut local = MaybeUninit::uninit();
    let mut text = [0u8; DATE_BYTES];
    // SAFETY: `localtime_r` fills the structure unless it returns null, and then nothing reads it; `strftime` writes
    // no more than the length that it is given.
    let len = unsafe {
        if libc::localtime_r(&raw const seconds, local.as_mut_ptr()).is_null() {
            return String::new();
        }
        libc::strftime(text.as_mut_ptr().cast::<c_char>(), text.len(), pattern.as_ptr(), local.as_ptr())
    };
    String::from_utf8_lossy(&text[..len]).into_owned()
}

const FIELDS: &str = "tpxXlqrmjJIUACDEFPRS";
const WIDTH_MAX: usize = 10_000;
// The longest date of any locale has some 40 characters.
const DATE_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use client::QoS;

    use super::*;

    fn message() -> Message {
        Message {
            topic: "a/b".into(),
            payload: b"h\"i\n\x01\xc3\xa9".to_vec(),
            qos: QoS::AtLeastOnce,
            retain: true,
            dup: false,
            packet_id: client::PacketId::new(7),
            properties: Properties {
                content_type: Some("t".into()),
                user_properties: vec![("k".into(), "v".into()), ("k".into(), "w".into())],
                ..Properties::default()
            },
        }
    }

    fn printed(format: &Format) -> String {
        let mut out = Vec::new();
        format.write(&message(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_formats_print_payload_and_topic() {
        assert_eq!(printed(&Format::plain(false)), "h\"i\n\u{1}é");
        assert_eq!(printed(&Format::plain(true)), "a/b h\"i\n\u{1}é");
    }

    #[test]
    fn fields_are_filled_in() {
        let format = Format::parse("%t|%l|%q|%r|%m|%x|%X|%C|%P|%R|%%|@@|\\\\|\\t\\0").unwrap();
        assert_eq!(printed(&format), "a/b|7|1|1|7|6822690a01c3a9|6822690A01C3A9|t|k:v k:w||%|@|\\|\t\0");
    }

    #[test]
    fn json_is_escaped_and_has_the_keys_of_mosquitto() {
        let json = printed(&Format::parse("%j").unwrap());
        let expected = "\"topic\":\"a/b\",\"qos\":1,\"retain\":1,\"payloadlen\":7,\"mid\":7,\
            \"properties\":{\"user-properties\":{\"k\":\"v\",\"k\":\"w\"},\"content-type\":\"t\"},\
            \"payload\":\"h\\\"i\\n\\u0001é\"}";
        assert!(json.starts_with("{\"tst\":\"2"), "{json}");
        assert!(json.ends_with(expected), "{json}");
    }

    #[test]
    fn raw_json_needs_a_payload_that_is_json() {
        let format = Format::parse("%J").unwrap();
        assert!(!format.suits(&message()));
        assert!(Format::parse("%j %p").unwrap().suits(&message()));
        let message = Message { payload: b"{ \"a\": 1 }".to_vec(), ..message() };
        assert!(format.suits(&message));
        let mut out = Vec::new();
        format.write(&message, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().ends_with(",\"payload\":{\"a\":1}}"));
    }

    #[test]
    fn fields_have_a_width_and_a_precision() {
        let format = Format::parse("%5t|%-5t|%05l|%5l|%.2t|%6.2t|%-6.2t|%.2x|%2t|%05t|%5C|").unwrap();
        assert_eq!(printed(&format), "  a/b|a/b  |00007|    7|a/|    a/|a/    |6822|a/b|  a/b|    t|");
        let message = Format::parse("%99999999999999999999t").unwrap_err();
        assert!(message.contains("at most 10000"), "{message}");
    }

    #[test]
    fn dates_have_their_length() {
        let text = printed(&Format::parse("@Y-@m-@dT@H:@M:@S @N").unwrap());
        assert_eq!(text.len(), "2026-01-01T00:00:00 000000000".len(), "{text}");
        let iso = printed(&Format::parse("%I").unwrap());
        assert_eq!(iso.len(), "2016-08-10T09:47:38+0100".len(), "{iso}");
    }

    #[test]
    fn unknown_sequences_are_named() {
        for (text, expected) in
            [("%y", "`%y` is not known"), ("a%", "ends with `%`"), ("\\q", "`\\q` is not known")]
        {
            let message = Format::parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}

//! A record of the store as names and values, and these as a line of JSON or of text.

use std::fmt::Write;

use shard::{
    Handshake,
    store::entry::{Detached, Entry, MessageEntry, Receiver, SessionEntry, SessionId, WillEntry},
};

use crate::text::{base64, json_string};

pub(super) type Field<'a> = (&'static str, Value<'a>);

pub(super) enum Value<'a> {
    Number(u64),
    Flag(bool),
    Text(&'a str),
    /// Text, if it is that.
    Bytes(&'a [u8]),
    /// A session is named by a count and by its place.
    Session(SessionId),
    /// `None`: never.
    Time(Option<u64>),
    Numbers(Vec<u64>),
    Object(Vec<Field<'a>>),
    Objects(Vec<Vec<Field<'a>>>),
}

/// The names are those of docs/storage.md.
pub(super) fn fields_of<'a>(entry: &Entry<'a>) -> Vec<Field<'a>> {
    match entry {
        Entry::Session(entry) => of_session(entry),
        Entry::Subscribed { session, options, subscription_id, filter } => vec![
            of(*session),
            ("filter", Value::Text(filter)),
            ("qos", number(options.qos as u8)),
            ("no_local", Value::Flag(options.no_local)),
            ("retain_as_published", Value::Flag(options.retain_as_published)),
            ("retain_handling", number(options.retain_handling as u8)),
            ("subscription_id", number(*subscription_id)),
        ],
        Entry::Unsubscribed { session, filter } => vec![of(*session), ("filter", Value::Text(filter))],
        Entry::Detached(detached) => of_detached(detached),
        Entry::WillGone { session } | Entry::SessionGone { session } => vec![of(*session)],
        Entry::WillPublished { will, session, message } => {
            let mut fields = vec![("will", Value::Session(*will)), of(*session)];
            fields.extend(of_message(message));
            fields
        }
        Entry::WillOver { will } => vec![("will", Value::Session(*will))],
        Entry::Message(entry) => of_message(entry),
        Entry::Released { session, number } | Entry::Done { session, number } => {
            vec![of(*session), ("number", Value::Number(*number))]
        }
        Entry::Received { session, packet_id } | Entry::Freed { session, packet_id } => {
            vec![of(*session), ("packet_id", number(packet_id.get()))]
        }
        Entry::Handshake { handshake, share } => {
            let mut fields = of_handshake(handshake);
            // Only the copy for a shared subscription has one.
            if !share.is_empty() {
                fields.push(("share", Value::Text(share)));
            }
            fields
        }
        Entry::HandshakePart { handshake, first, last } => {
            let mut fields = of_handshake(handshake);
            fields.extend([("first", Value::Number(first.0)), ("last", Value::Number(last.0))]);
            fields
        }
        Entry::HandshakeOver(handshake) => of_handshake(handshake),
        Entry::PublisherGone { home, session } => vec![("home", number(home.0)), of(*session)],
        Entry::RetainedGone { topic } => vec![("topic", Value::Text(topic))],
    }
}

fn number<'a>(value: impl Into<u64>) -> Value<'a> {
    Value::Number(value.into())
}

fn of<'a>(session: SessionId) -> Field<'a> {
    ("session", Value::Session(session))
}

fn of_handshake<'a>(handshake: &Handshake) -> Vec<Field<'a>> {
    let Handshake { home, session, packet_id } = handshake;
    vec![("home", number(home.0)), of(*session), ("packet_id", number(packet_id.get()))]
}

fn of_session<'a>(entry: &SessionEntry<'a>) -> Vec<Field<'a>> {
    let mut fields = vec![
        of(entry.session),
        ("client_id", Value::Text(entry.client_id)),
        ("whole", Value::Flag(entry.is_whole)),
        ("expiry_s", number(entry.expiry_s)),
    ];
    if let Some(detached) = &entry.detached {
        fields.push(("detached", Value::Object(of_detached(detached))));
    }
    if let Some(will) = &entry.will {
        fields.push(("will", Value::Object(of_will(will))));
    }
    fields
}

fn of_detached<'a>(detached: &Detached) -> Vec<Field<'a>> {
    vec![
        of(detached.session),
        ("expiry_s", number(detached.expiry_s)),
        ("ends_at_ms", Value::Time(detached.ends_at_ms)),
        ("will_at_ms", Value::Time(detached.will_at_ms)),
        ("sent", number(detached.sent)),
    ]
}

fn of_will<'a>(will: &WillEntry<'a>) -> Vec<Field<'a>> {
    let mut fields = vec![
        ("will", Value::Session(will.will)),
        ("topic", Value::Text(will.topic)),
        ("qos", number(will.qos as u8)),
        ("retain", Value::Flag(will.retain)),
        ("delay_s", number(will.delay_s)),
    ];
    fields.extend(will.message_expiry_s.map(|expiry_s| ("message_expiry_s", number(expiry_s))));
    fields.extend(properties(will.forwarded));
    fields.push(("payload", Value::Bytes(will.payload)));
    fields
}

fn of_message<'a>(entry: &MessageEntry<'a>) -> Vec<Field<'a>> {
    let mut fields = vec![
        ("topic", Value::Text(entry.topic)),
        ("qos", number(entry.qos as u8)),
        ("retain", Value::Flag(entry.retain)),
        ("retained", Value::Flag(entry.is_retained)),
        ("expires_at_ms", Value::Time(entry.expires_at_ms)),
        (
            "receivers",
            Value::Objects(entry.receivers.iter().map(|receiver| of_receiver(&receiver)).collect()),
        ),
    ];
    fields.extend(properties(entry.forwarded));
    fields.push(("payload", Value::Bytes(entry.payload)));
    fields
}

fn of_receiver<'a>(receiver: &Receiver) -> Vec<Field<'a>> {
    let mut fields = vec![
        of(receiver.session),
        ("number", number(receiver.number)),
        ("qos", number(receiver.qos as u8)),
        ("retain", Value::Flag(receiver.retain)),
    ];
    if !receiver.subscription_ids.is_empty() {
        let ids = receiver.subscription_ids.iter().map(|id| u64::from(*id)).collect();
        fields.push(("subscription_ids", Value::Numbers(ids)));
    }
    fields
}

/// In wire form, which begins with bytes that are no text.
fn properties(forwarded: &[u8]) -> Option<Field<'_>> {
    (!forwarded.is_empty()).then_some(("properties", Value::Bytes(forwarded)))
}

/// One object, without the end of the line.
pub(super) fn write_json(fields: &[Field<'_>], line: &mut String) {
    for (at, (name, value)) in fields.iter().enumerate() {
        line.push(if at == 0 { '{' } else { ',' });
        // Properties are never text, even where their bytes happen to be.
        if let Value::Bytes(bytes) = value
            && (*name == "properties" || str::from_utf8(bytes).is_err())
        {
            put(line, format_args!("\"{name}_base64\":\"{}\"", base64(bytes)));
            continue;
        }
        put(line, format_args!("\"{name}\":"));
        write_value(value, line);
    }
    line.push_str(if fields.is_empty() { "{}" } else { "}" });
}

fn write_value(value: &Value<'_>, line: &mut String) {
    match value {
        Value::Number(number) | Value::Time(Some(number)) => put(line, format_args!("{number}")),
        Value::Time(None) => line.push_str("null"),
        Value::Flag(flag) => put(line, format_args!("{flag}")),
        Value::Text(text) => line.push_str(&json_string(text)),
        Value::Bytes(bytes) => line.push_str(&json_string(&String::from_utf8_lossy(bytes))),
        Value::Session(id) => put(line, format_args!("\"{}\"", name_of(*id))),
        Value::Numbers(numbers) => {
            write_list(numbers, line, |number, line| put(line, format_args!("{number}")))
        }
        Value::Object(fields) => write_json(fields, line),
        Value::Objects(objects) => write_list(objects, line, |fields, line| write_json(fields, line)),
    }
}

fn write_list<T>(items: &[T], line: &mut String, mut write: impl FnMut(&T, &mut String)) {
    line.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        write(item, line);
    }
    line.push(']');
}

/// For people: the names of what stands in every line are left out.
pub(super) fn write_text(fields: &[Field<'_>], line: &mut String) {
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            line.push(' ');
        }
        match (*name, value) {
            ("file" | "kind", Value::Text(text)) => line.push_str(&text.replace(' ', "-")),
            ("offset", Value::Number(offset)) => put(line, format_args!("{offset:#x}")),
            (_, Value::Bytes(bytes)) if *name == "properties" || str::from_utf8(bytes).is_err() => {
                put(line, format_args!("{name}_base64={}", base64(bytes)));
            }
            (_, Value::Time(None)) => put(line, format_args!("{name}=never")),
            (_, Value::Session(id)) => put(line, format_args!("{name}={}", name_of(*id))),
            (_, Value::Object(fields)) => {
                put(line, format_args!("{name}={{"));
                write_text(fields, line);
                line.push('}');
            }
            (_, Value::Objects(objects)) => {
                put(line, format_args!("{name}="));
                write_list(objects, line, |fields, line| write_text(fields, line));
            }
            (_, value) => {
                put(line, format_args!("{name}="));
                write_value(value, line);
            }
        }
    }
}

fn name_of(session: SessionId) -> String {
    format!("{}-{}", session.0 >> 32, session.0 & u64::from(u32::MAX))
}

fn put(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_and_text() {
        let fields = [
            ("file", Value::Text("segment-00000001")),
            ("offset", Value::Number(4096)),
            ("kind", Value::Text("session gone")),
            ("session", Value::Session(SessionId(7 << 32 | 3))),
            ("ends_at_ms", Value::Time(None)),
            ("retain", Value::Flag(true)),
            ("ids", Value::Numbers(vec![1, 2])),
            ("receivers", Value::Objects(vec![vec![("number", Value::Number(1))], vec![]])),
            ("properties", Value::Bytes(b"ab")),
            ("topic", Value::Text("a \"b\"")),
            ("payload", Value::Bytes(&[0xff])),
        ];
        let (mut json, mut text) = (String::new(), String::new());
        write_json(&fields, &mut json);
        write_text(&fields, &mut text);
        assert_eq!(
            json,
            "{\"file\":\"segment-00000001\",\"offset\":4096,\"kind\":\"session gone\",\"session\":\"7-3\",\
             \"ends_at_ms\":null,\"retain\":true,\"ids\":[1,2],\"receivers\":[{\"number\":1},{}],\
             \"properties_base64\":\"YWI=\",\"topic\":\"a \\\"b\\\"\",\"payload_base64\":\"/w==\"}"
        );
        assert_eq!(
            text,
            "segment-00000001 0x1000 session-gone session=7-3 ends_at_ms=never retain=true ids=[1,2] \
             receivers=[number=1,] properties_base64=YWI= topic=\"a \\\"b\\\"\" payload_base64=/w=="
        );
    }
}

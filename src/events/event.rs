//! One event: what it is about, who wants it, and how it is written.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use runtime::Peer;
use serde_json::{Map, Value, json};
use shard::{FreshLoss, Note, ReasonCode, ShardId, What};

use crate::{
    happening::{Happening, Happenings},
    text::version,
};

/// What somebody wants to hear of. What is not said does not matter, and an event that knows nothing of what is said is not wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub kinds: Happenings,
    pub client_id: Option<Box<str>>,
    pub user: Option<Box<str>>,
    pub address: Option<IpAddr>,
    /// A topic filter.
    pub topic: Option<Box<str>>,
}

pub struct Event {
    kind: Happening,
    client_id: Option<Arc<str>>,
    user: Option<Arc<str>>,
    address: Option<IpAddr>,
    topic: Option<Box<str>>,
    /// JSON.
    text: Box<str>,
}

type Fields = Map<String, Value>;

impl Default for Filter {
    fn default() -> Filter {
        let kinds = Happenings::of(&Happening::STREAMED);
        Filter { kinds, client_id: None, user: None, address: None, topic: None }
    }
}

impl Filter {
    pub fn wants(&self, event: &Event) -> bool {
        let is = |wanted: &Option<Box<str>>, known: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| known == Some(wanted))
        };
        self.kinds.has(event.kind)
            && is(&self.client_id, event.client_id.as_deref())
            && is(&self.user, event.user.as_deref())
            && self.address.is_none_or(|wanted| event.address == Some(wanted))
            && self.topic.as_deref().is_none_or(|filter| {
                event.topic.as_deref().is_some_and(|topic| shard::matches(filter, topic))
            })
    }
}

impl Event {
    pub fn of_note(kind: Happening, mut fields: Fields, address: Option<SocketAddr>, note: &Note) -> Event {
        let claim = match &note.what {
            What::Refused { claim, .. } => claim.as_deref(),
            _ => None,
        };
        let claimed = claim.map(|claim| Arc::from(&*claim.client_id));
        let client_id = note.client_id.clone().or(claimed);
        put(&mut fields, "client_id", client_id.as_deref());
        put(&mut fields, "user", note.user.as_deref());
        put(&mut fields, "claimed_user", claim.and_then(|claim| claim.user_name.as_deref()));
        put_what(&mut fields, &note.what);
        let topic = match &note.what {
            What::Denied(denial) => Some(denial.topic.clone()),
            _ => None,
        };
        let address = address.map(|address| address.ip().to_canonical());
        Event { kind, client_id, user: note.user.clone(), address, topic, text: text(fields) }
    }

    /// Somebody was turned away before there was a CONNECT.
    pub fn of_stranger(mut fields: Fields, address: Option<SocketAddr>, by: &str, why: &str) -> Event {
        put(&mut fields, "by", Some(by));
        put(&mut fields, "why", Some(why));
        let address = address.map(|address| address.ip().to_canonical());
        let text = text(fields);
        Event { kind: Happening::Refused, client_id: None, user: None, address, topic: None, text }
    }

    pub fn of_loss(now: SystemTime, shard: ShardId, fresh: &FreshLoss) -> Event {
        let FreshLoss { client_id, loss } = fresh;
        let mut fields =
            head(Happening::Dropped, now.checked_sub(loss.last_ago).unwrap_or(now), shard, None, None);
        put(&mut fields, "client_id", client_id.as_deref());
        put(&mut fields, "topic", loss.topic.as_deref().filter(|topic| !topic.is_empty()));
        put(&mut fields, "cause", Some(loss.cause.word()));
        fields.insert("count".to_owned(), json!(loss.count));
        let client_id = client_id.as_deref().map(Arc::from);
        let (topic, text) = (loss.topic.clone(), text(fields));
        Event { kind: Happening::Dropped, client_id, user: None, address: None, topic, text }
    }

    /// What it weighs, more or less.
    pub fn bytes(&self) -> usize {
        let texts =
            [self.client_id.as_deref(), self.user.as_deref(), self.topic.as_deref(), Some(&*self.text)];
        size_of::<Event>() + texts.into_iter().flatten().map(str::len).sum::<usize>()
    }

    /// As a server-sent event.
    pub fn write(&self, out: &mut String) {
        for part in ["event: ", self.kind.word(), "\ndata: ", &self.text, "\n\n"] {
            out.push_str(part);
        }
    }
}

/// What every event has.
pub fn head(
    kind: Happening,
    at: SystemTime,
    shard: ShardId,
    address: Option<SocketAddr>,
    listener: Option<&str>,
) -> Fields {
    let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut fields = Fields::new();
    put(&mut fields, "event", Some(kind.word()));
    fields.insert("at".to_owned(), json!(at.as_micros() as f64 / 1e6));
    fields.insert("shard".to_owned(), json!(shard.0));
    put(&mut fields, "address", address.map(|address| Peer(address).to_string()).as_deref());
    put(&mut fields, "listener", listener);
    fields
}

fn put_what(fields: &mut Fields, what: &What) {
    match what {
        What::Connected {
            version: spoken,
            provider,
            clean_start,
            session_present,
            keep_alive_s,
            session_expiry_s,
            ..
        } => {
            put(fields, "provider", provider.as_deref());
            put(fields, "version", Some(version(*spoken)));
            fields.insert("clean_start".to_owned(), json!(clean_start));
            fields.insert("session_present".to_owned(), json!(session_present));
            fields.insert("keep_alive_s".to_owned(), json!(keep_alive_s));
            fields.insert("session_expiry_s".to_owned(), json!(session_expiry_s));
        }
        What::Refused { reason, why, .. } => put_reason(fields, *reason, reason.name(), why),
        What::Disconnected { reason, why } => put_reason(fields, *reason, reason.name_of_end(), why),
        What::Violation { reason, what } => put_reason(fields, *reason, reason.name(), what),
        What::QuotaExceeded { why } => {
            let reason = ReasonCode::QuotaExceeded;
            put_reason(fields, reason, reason.name(), why);
        }
        What::Denied(denial) => {
            put(fields, "action", Some(denial.action));
            put(fields, "topic", Some(&denial.topic));
            put(fields, "because", Some(&denial.because));
        }
        _ => {}
    }
}

fn put_reason(fields: &mut Fields, reason: ReasonCode, name: &str, why: &str) {
    fields.insert("code".to_owned(), json!(reason as u8));
    put(fields, "reason", Some(name));
    put(fields, "why", Some(why));
}

fn put(fields: &mut Fields, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), json!(shortened(value)));
    }
}

fn text(fields: Fields) -> Box<str> {
    Value::Object(fields).to_string().into()
}

/// A client id or a topic may have 65,535 bytes.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}… ({} bytes)", &text[..at], text.len())),
    }
}

const TEXT_CHARS_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use shard::Denial;

    use super::*;

    fn denied(topic: &str) -> Event {
        let denial = Denial {
            user: Some("ada".into()),
            action: "publish",
            topic: topic.into(),
            because: "rule".into(),
            is_shadow: false,
        };
        let what = What::Denied(Box::new(denial));
        let note = Note { conn: None, client_id: Some("c".into()), user: Some("ada".into()), what };
        let address: SocketAddr = "[::ffff:192.0.2.7]:5".parse().expect("an address");
        let kind = Happening::of(&note).expect("a kind");
        let fields = head(kind, SystemTime::UNIX_EPOCH, ShardId(0), Some(address), None);
        Event::of_note(kind, fields, Some(address), &note)
    }

    #[test]
    fn all_that_is_said_has_to_fit() {
        let event = denied("a/b");
        let fitting = Filter {
            kinds: Happenings::of(&[Happening::Connected, Happening::Denied]),
            client_id: Some("c".into()),
            user: Some("ada".into()),
            address: Some("192.0.2.7".parse().expect("an address")),
            topic: Some("a/+".into()),
        };
        assert!(fitting.wants(&event) && Filter::default().wants(&event));
        for other in [
            Filter { kinds: Happenings::of(&[Happening::Connected]), ..fitting.clone() },
            Filter { client_id: Some("C".into()), ..fitting.clone() },
            Filter { user: Some("eve".into()), ..fitting.clone() },
            Filter { address: Some("192.0.2.8".parse().expect("an address")), ..fitting.clone() },
            Filter { topic: Some("b/#".into()), ..fitting.clone() },
        ] {
            assert!(!other.wants(&event), "{other:?}");
        }
    }

    /// The page has a table of its own: what it speaks with the broker as a client are codes.
    #[test]
    fn the_dashboard_calls_each_reason_as_all_others_do() {
        let script = include_str!("../ui/mqtt.js");
        let (_, table) = script.split_once("const REASONS = {").expect("the table");
        let (table, _) = table.split_once("};").expect("its end");
        let mut count = 0;
        for row in table.lines().filter(|line| !line.trim().is_empty()) {
            let (code, name) = row.trim().split_once(": ").expect("a code and a name");
            let code = u8::from_str_radix(code.trim_start_matches("0x"), 16).expect("a code");
            let reason = ReasonCode::from_u8(code).expect("a reason");
            assert_eq!(name.trim_matches(['"', ',']).to_lowercase(), reason.name().to_lowercase(), "{row}");
            count += 1;
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn reasons_are_told_in_words() {
        let of = |what| {
            let note = Note { conn: None, client_id: Some("c".into()), user: None, what };
            Event::of_note(Happening::Disconnected, Fields::new(), None, &note).text
        };
        let why = || "why".into();
        let refused = What::Refused { reason: ReasonCode::ConnectionRateExceeded, why: why(), claim: None };
        assert!(of(refused).contains(r#""reason":"Connection rate exceeded""#));
        let ended = What::Disconnected { reason: ReasonCode::Success, why: why() };
        assert!(of(ended).contains(r#""reason":"Normal disconnection""#));
    }

    #[test]
    fn a_long_text_is_cut_where_it_is_told_and_matches_as_a_whole() {
        let topic = format!("a/{}", "x".repeat(60_000));
        let event = denied(&topic);
        assert!(Filter { topic: Some(topic.into()), ..Filter::default() }.wants(&event));
        assert!(event.text.len() < 2000 && event.text.contains("… (60002 bytes)"));
    }
}

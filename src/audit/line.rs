//! One line of the audit log: what happened, in JSON.

use std::{borrow::Cow, fmt::Write as _};

use shard::{Denial, NotOpened, Note, ReasonCode, What};
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};

use super::Act;
use crate::{
    happening::Happening,
    text::{is_unseen, push_json_number},
};

/// An object while it is written, with its end still to come.
pub struct Line(String);

impl Line {
    /// Begins with the time, in UTC.
    pub fn new(event: &str) -> Line {
        let mut time = String::new();
        // Writing to a string does not fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut line = Line("{".to_owned());
        line.text("time", &time);
        line.text("event", event);
        line
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_text(&mut self.0, &shortened(value));
    }

    pub fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    pub fn texts(&mut self, name: &str, values: &[String]) {
        self.name(name);
        self.0.push('[');
        for (at, value) in values.iter().take(TEXTS_MAX).enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            write_text(&mut self.0, &shortened(value));
        }
        self.0.push(']');
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.push_str("}\n");
        self.0.into_bytes()
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":");
    }

    fn reason(&mut self, reason: ReasonCode, name: &str) {
        self.text("reason", name);
        self.number("code", u64::from(reason as u8));
    }
}

pub fn of_act(act: &Act<'_>) -> Vec<u8> {
    let mut line = Line::new(Happening::Administration.word());
    line.text("act", act.act);
    line.text("by", act.by);
    line.text("outcome", act.outcome);
    line.texts("details", act.details);
    line.finish()
}

/// What turned somebody away who was no client yet.
pub fn layer_of(why: NotOpened) -> &'static str {
    match why {
        NotOpened::NoSeat | NotOpened::NoSeatOfListener => "seats",
        NotOpened::Slow => "slowness",
        NotOpened::Gone => "its end",
        NotOpened::Tls => "tls",
        NotOpened::Unknown => "mqtt",
        NotOpened::WebSocket => "websocket",
        NotOpened::Banned => "bans",
        NotOpened::TooOften => "rates",
        NotOpened::Proxy => "proxy",
    }
}

/// Why somebody is turned away who has not become a client. None: it is about a client.
pub fn why_stranger(note: &Note) -> Option<&str> {
    match &note.what {
        _ if note.client_id.is_some() => None,
        What::Refused { why, .. } => Some(why),
        What::Violation { what, .. } | What::QuotaExceeded { why: what } => Some(what),
        _ => None,
    }
}

pub fn write_note(line: &mut Line, note: &Note) {
    let claimed = match &note.what {
        What::Refused { claim: Some(claim), .. } => Some(&*claim.client_id),
        _ => None,
    };
    line.maybe("client_id", note.client_id.as_deref().or(claimed));
    match &note.what {
        What::Connected { version, user, provider, clean_start, session_present, .. } => {
            line.maybe("user", user.as_deref());
            line.maybe("provider", provider.as_deref());
            line.text("version", &format!("{version:?}"));
            line.flag("clean_start", *clean_start);
            line.flag("session_present", *session_present);
        }
        What::Refused { reason, why, claim } => {
            line.maybe("claimed_user", claim.as_ref().and_then(|claim| claim.user_name.as_deref()));
            line.reason(*reason, reason.name());
            line.text("why", why);
        }
        What::Denied(denial) => {
            let Denial { user, action, topic, because, .. } = &**denial;
            line.maybe("user", user.as_deref());
            line.text("action", action);
            line.text("topic", topic);
            line.text("because", because);
        }
        What::Violation { reason, what } => {
            line.reason(*reason, reason.name());
            line.text("why", what);
        }
        What::QuotaExceeded { why } => {
            let reason = ReasonCode::QuotaExceeded;
            line.reason(reason, reason.name());
            line.text("why", why);
        }
        What::Disconnected { reason, why } => {
            line.reason(*reason, reason.name_of_end());
            line.text("why", why);
        }
        _ => {}
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // Whoever reads the file at a terminal is not steered by it.
            hidden if is_unseen(hidden) => push_json_number(out, hidden),
            character => out.push(character),
        }
    }
    out.push('"');
}

/// A client id or a topic may have 65,535 bytes, and the queue holds many lines.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}… ({} bytes)", &text[..at], text.len())),
    }
}

const TEXT_CHARS_MAX: usize = 512;
const TEXTS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(line: Line) -> String {
        let text = String::from_utf8(line.finish()).expect("JSON is UTF-8");
        let (time, rest) = text.split_once(",\"event\"").expect("it begins with the time");
        assert!(time.starts_with("{\"time\":\"2") && time.ends_with("Z\""), "{time}");
        rest.to_owned()
    }

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let mut line = Line::new("denied");
        line.text("topic", "a\n\"b\"\\\u{1}\u{85}\u{202e}\u{2028}ä");
        line.number("shard", 3);
        line.flag("clean_start", true);
        line.maybe("user", None);
        line.texts("details", &["x".to_owned(), "y\"".to_owned()]);
        assert_eq!(
            body(line),
            ":\"denied\",\"topic\":\"a\\n\\\"b\\\"\\\\\\u0001\\u0085\\u202e\\u2028ä\",\"shard\":3,\"clean_start\":true,\
             \"details\":[\"x\",\"y\\\"\"]}\n"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_says_how_long_it_is() {
        let mut line = Line::new("x");
        line.text("topic", &"ä".repeat(600));
        assert!(body(line).contains("ää… (1200 bytes)\""));
    }

    #[test]
    fn a_refusal_names_whom_it_was_said_to_be() {
        let claim = shard::Claim { client_id: "c".into(), user_name: Some("anna".into()) };
        let what = What::Refused {
            reason: ReasonCode::BadUserNameOrPassword,
            why: "the password is wrong".into(),
            claim: Some(Box::new(claim)),
        };
        let note = Note { conn: None, client_id: None, user: None, what };
        assert_eq!(why_stranger(&note), Some("the password is wrong"));
        let mut line = Line::new("refused");
        write_note(&mut line, &note);
        assert_eq!(
            body(line),
            ":\"refused\",\"client_id\":\"c\",\"claimed_user\":\"anna\",\"reason\":\"Bad User Name or Password\",\"code\":134,\
             \"why\":\"the password is wrong\"}\n"
        );
    }
}

//! `iothub ctl message`: a retained message with its payload.

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::{Value, json};

use super::{Failure, Shown, list::lines, target::Target};
use crate::{output, text};

#[derive(Debug, Args)]
pub struct MessageArgs {
    /// The topic
    topic: String,
    /// Write its payload to standard output as it is, and nothing else
    #[arg(long)]
    raw: bool,
}

pub fn message(target: &Target<'_>, args: &MessageArgs) -> Result<Shown, Failure> {
    let message = target.ask("POST", "/v1/retained/one", Some(json!({ "topic": args.topic })))?;
    if args.raw {
        let payload = STANDARD.decode(message["payload_base64"].as_str().unwrap_or_default());
        let payload = payload.map_err(|error| Failure::Unreachable(format!("payload_base64: {error}")))?;
        output::print_bytes(&payload).map_err(Failure::Unreachable)?;
        return Ok(Shown::default());
    }
    let text = told_of_message(&message);
    Ok(Shown { rows: vec![message], text, ..Shown::default() })
}

/// The payload stands last, as text where it is one.
fn told_of_message(message: &Value) -> String {
    let mut rest = message.clone();
    let parts =
        rest.as_object_mut().map(|fields| (fields.remove("payload_base64"), fields.remove("payload_text")));
    let (base64, payload) = parts.unwrap_or_default();
    let about = lines(&rest);
    let of = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
    match (of(&payload), of(&base64)) {
        (Some(payload), _) if payload.is_empty() => about,
        (Some(payload), _) => {
            let visible: String = payload.lines().map(|line| text::visible(line) + "\n").collect();
            format!("{about}\n{}", beginning(&visible))
        }
        (None, base64) => format!("{about}payload_base64: {}\n", beginning(&base64.unwrap_or_default())),
    }
}

/// All of it where that is not too much.
fn beginning(text: &str) -> String {
    let shown: String = text.chars().take(PAYLOAD_LETTERS_MAX).collect();
    match text.chars().count() - shown.chars().count() {
        0 => shown,
        rest => format!("{shown}\n… {rest} more letters: --raw has all of it\n"),
    }
}

/// Of a payload that a terminal shows.
const PAYLOAD_LETTERS_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_payload_is_told_whole_and_steers_no_terminal() {
        let config = format!("{{\"name\":\"{}\"}}\n\u{1b}[2J", "x".repeat(400));
        let mut message = json!({ "topic": "a", "qos": 1, "payload_base64": "eA==", "payload_text": config });
        let told = told_of_message(&message);
        let expected = format!("qos: 1\ntopic: a\n\n{{\"name\":\"{}\"}}\n\\u{{1b}}[2J\n", "x".repeat(400));
        assert_eq!(told, expected);
        message["payload_text"] = Value::Null;
        assert!(told_of_message(&message).ends_with("payload_base64: eA==\n"));
        let binary = "q83v".repeat(200);
        message["payload_base64"] = json!(binary);
        assert!(told_of_message(&message).ends_with(&format!("payload_base64: {binary}\n")));
        message["payload_text"] = json!("y".repeat(20_000));
        assert!(told_of_message(&message).ends_with("3617 more letters: --raw has all of it\n"));
    }
}

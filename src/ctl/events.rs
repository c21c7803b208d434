//! `iothub ctl events`: what happens to clients, as it happens.

use std::{io::BufRead, net::IpAddr};

use clap::Args;
use serde_json::Value;

use super::{
    Failure, Shown,
    table::shown,
    target::{Target, encoded},
};
use crate::{api::EVENTS, happening::Happening, output, text};

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Only these kinds, with commas in between or each with its own --kind
    #[arg(
        short,
        long = "kind",
        value_name = "KIND",
        value_delimiter = ',',
        value_parser = Happening::STREAMED.map(Happening::word)
    )]
    kinds: Vec<String>,
    /// Only those of this client
    #[arg(short = 'i', long, value_name = "ID")]
    client_id: Option<String>,
    /// Only those of this user
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// Only those of clients of this IP address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Only those about a topic that matches this filter
    #[arg(short, long, value_name = "FILTER")]
    topic: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl EventsArgs {
    fn path(&self) -> String {
        let kinds = (!self.kinds.is_empty()).then(|| self.kinds.join(","));
        let address = self.address.map(|address| address.to_string());
        let mut path = EVENTS.to_owned();
        for (name, value) in [
            ("kind", &kinds),
            ("client_id", &self.client_id),
            ("user", &self.user),
            ("address", &address),
            ("topic", &self.topic),
        ] {
            if let Some(value) = value {
                let sign = if path.contains('?') { '&' } else { '?' };
                path += &format!("{sign}{name}={}", encoded(value));
            }
        }
        path
    }
}

/// Until it is interrupted, or has shown as many as it was to.
pub fn follow(target: &Target<'_>, args: &EventsArgs, is_json: bool) -> Result<Shown, Failure> {
    let mut lines = target.follow(&args.path())?;
    let (mut line, mut count) = (String::new(), 0);
    while args.count.is_none_or(|most| count < most) {
        line.clear();
        let read = lines.read_line(&mut line);
        let gone =
            |why: &str| Failure::Unreachable(format!("the broker does not tell events any more: {why}"));
        if read.map_err(|error| gone(&error.to_string()))? == 0 {
            return Err(gone(target.why_ended()));
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
        if event["event"] == "lost" {
            let lost = event["count"].as_u64().unwrap_or_default();
            let lost = text::count(lost, "event");
            output::complain(
                "iothub ctl",
                &format!("{lost} came faster than they were read, and are not here"),
            );
            continue;
        }
        count += 1;
        let printed = if is_json { output::print_json_more(data) } else { output::print_more(&told(&event)) };
        // Somebody who has read enough is no error.
        if !printed.map_err(Failure::Unreachable)? {
            break;
        }
    }
    Ok(Shown::default())
}

/// For people: when, what, to whom, and then whatever else is known. The code of MQTT 5.0 stands in the reason, in words.
fn told(event: &Value) -> String {
    let at = text::clock(event["at"].as_f64().unwrap_or_default());
    let (what, client) = (shown(&event["event"]), shown(&event["client_id"]));
    let rest = event.as_object().into_iter().flatten();
    let rest = rest.filter(|(name, _)| !["at", "event", "client_id", "code"].contains(&name.as_str()));
    let rest: Vec<String> = rest.map(|(name, value)| format!("{name}={}", shown(value))).collect();
    format!("{at} {what:<15} {client:<20} {}\n", rest.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reason_is_told_in_words_alone() {
        let event = json!({
            "at": 0, "event": "refused", "client_id": "c", "code": 159, "reason": "Connection rate exceeded"
        });
        assert!(told(&event).ends_with(" reason=Connection rate exceeded\n"), "{}", told(&event));
        assert!(!told(&event).contains("159"), "{}", told(&event));
    }

    #[test]
    fn what_clients_say_does_not_steer_the_terminal() {
        let event = json!({ "at": 3661.5, "event": "dropped", "client_id": "a\u{1b}[2J", "count": 3 });
        assert_eq!(told(&event), "01:01:01.500 dropped         a\\u{1b}[2J           count=3\n");
    }
}

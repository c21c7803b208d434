//! What `iothub ctl client` shows: one client with all that it holds, has lost, and has sent and got last.

use serde_json::{Value, json};

use super::{
    Failure, Shown, comings,
    list::{OPTIONS, lines},
    pages::{note_of_disk, rows_of},
    table::Table,
    target::Target,
};
use crate::{drops::told_of_losses, text, trace::reason_of};

pub fn client(target: &Target<'_>, client_id: &str) -> Result<Shown, Failure> {
    let whole = target.ask("POST", "/v1/client", Some(json!({ "client_id": client_id })))?;
    let mut text = about(&whole["client"], &whole["left"]);
    for (about, line) in comings::lines(&whole, target) {
        text.push_str(&format!("{about}: {line}\n"));
    }
    text.push_str(&sections_of(&whole));
    let notes = note_of_disk(whole["client"]["queued_on_disk"].as_u64().unwrap_or(0)).into_iter().collect();
    Ok(Shown { rows: vec![whole], text, notes, ..Shown::default() })
}

/// What it holds, has lost, and has sent and got last: each list under its title.
fn sections_of(whole: &Value) -> String {
    let sections: [(&str, &str, &[&str]); 4] = [
        ("subscriptions", "subscriptions", &OPTIONS),
        ("queue", "waits", &["topic", "qos", "payload_bytes"]),
        ("inflight", "in flight", &["packet_id", "topic", "qos", "payload_bytes"]),
        (
            "packets",
            "last packets",
            &[
                "ago_s",
                "direction",
                "unsent",
                "kind",
                "bytes",
                "packet_id",
                "latency_s",
                "qos",
                "reason",
                "topic",
                "filter",
                "filters",
            ],
        ),
    ];
    let mut text = String::new();
    if whole["losses"].is_object() {
        text.push_str(&format!("\nlosses:\n{}", told_of_losses(&whole["losses"])));
    }
    for (name, title, columns) in sections {
        let rows = rows_of(whole, name);
        if rows.is_empty() {
            continue;
        }
        let mut table = Table::new(columns);
        for row in &rows {
            let cell = |column: &&str| match *column {
                "reason" => json!(reason_of(row)),
                column => row[column].clone(),
            };
            table.line(&columns.iter().map(cell).collect::<Vec<_>>());
        }
        text.push_str(&format!("\n{title}:\n{}", table.text()));
    }
    text
}

/// The client in lines, and how it left, if it has: with moments and shares as people read them.
fn about(client: &Value, left: &Value) -> String {
    let (mut client, mut left) = (client.clone(), left.clone());
    let (limit, used) = nearest_limit(&client);
    client["nearest_limit"] = json!({ "limit": limit, "used": used });
    if client["inflight"].as_u64().is_some_and(|inflight| inflight > 0) {
        client["queued_bytes"] = json!(format!("{} with those in flight", client["queued_bytes"]));
    }
    let mut text = lines(&client);
    if left.is_object() {
        left["at"] = json!(left["at"].as_f64().map(text::moment));
        text.push_str(&lines(&json!({ "left": left })));
    }
    text
}

/// Nothing is near to a limit of which nothing is used.
pub fn nearest_limit(client: &Value) -> (Value, Value) {
    let nearest = &client["nearest_limit"];
    match nearest["used"].as_f64() {
        Some(used) if used > 0.0 => (nearest["limit"].clone(), json!(format!("{:.1} %", used * 100.0))),
        _ => (Value::Null, Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_with_moments_and_shares_that_people_read() {
        let client =
            json!({ "client_id": "a", "nearest_limit": { "limit": "session.max_inflight", "used": 1.0 } });
        let left = json!({ "at": 86_400.25, "ago_s": 3.5, "why": "it is gone" });
        let expected = "client_id: a\nnearest_limit.limit: session.max_inflight\nnearest_limit.used: 100.0 %\n\
                        left.ago_s: 3.5\nleft.at: 1970-01-02T00:00:00Z\nleft.why: it is gone\n";
        assert_eq!(about(&client, &left), expected);
        let idle = json!({ "nearest_limit": { "limit": "keep_alive", "used": 0.0 } });
        assert_eq!(about(&idle, &Value::Null), "nearest_limit.limit: -\nnearest_limit.used: -\n");
    }

    #[test]
    fn what_is_in_flight_is_told_where_it_counts_among_the_bytes() {
        for (inflight, told) in [(3, "4911 with those in flight"), (0, "4911")] {
            let client = json!({ "queued": 0, "inflight": inflight, "queued_bytes": 4911 });
            let text = about(&client, &Value::Null);
            assert!(text.contains(&format!("queued_bytes: {told}\n")), "{text}");
        }
    }

    #[test]
    fn a_client_is_told_with_what_it_lost_and_what_became_of_its_packets() {
        let lost = json!({ "cause": "publish_denied", "why": "not allowed", "count": 2, "first_at": 0.0, "last_at": 0.0 });
        let refused = json!({ "direction": "sent", "kind": "PUBACK", "reason": 0, "unsaid_reason": 0x87 });
        let said = json!({ "direction": "sent", "kind": "PUBACK", "reason": 0x87 });
        let publish = json!({ "direction": "received", "kind": "PUBLISH", "qos": 1, "topic": "a" });
        let text = sections_of(&json!({ "losses": { "lost": [lost] }, "packets": [publish, refused, said] }));
        let first = "1970-01-01T00:00:00Z";
        let losses =
            format!("\nlosses:\n  2 publish_denied: not allowed (the first {first}, the last {first})\n");
        assert!(text.starts_with(&losses), "{text}");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        assert!(lines.contains(&"- received - PUBLISH - - - 1 - a - -".to_owned()), "{lines:#?}");
        let unsaid = "without a reason: the message was refused (0x87), which only 5.0 can say";
        assert!(lines.contains(&format!("- sent - PUBACK - - - - {unsaid} - - -")), "{lines:#?}");
        assert!(lines.contains(&"- sent - PUBACK - - - - 0x87 - - -".to_owned()), "{lines:#?}");
        assert_eq!(sections_of(&json!({ "losses": null })), "");
    }
}

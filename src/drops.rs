//! `iothub drops`: asks a broker that runs which messages were lost, whose they were and why.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;
use serde_json::Value;

use crate::{
    api::{DROPS, DROPS_BY_TOPIC, OTHER_DROPS},
    ctl::{
        Failure, shown,
        target::{Target, TargetArgs, encoded},
    },
    remote::UNREACHABLE,
};

/// List which messages were lost since the broker was started: by client, or by topic.
///
/// The broker is found by its control socket, as by the other commands, or by --url with a token.
///
/// Exit codes: 0 asked, 2 the broker could not be asked.
#[derive(Debug, Args)]
pub struct DropsArgs {
    /// Those of clients with this in their client id; without it all clients
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// By the first two levels of the topic instead
    #[arg(long, conflicts_with = "client")]
    topics: bool,
    /// Those that stand in neither list, by cause: of clients and topics that have made way, and of messages that were for nobody yet
    #[arg(long, conflicts_with_all = ["client", "topics"])]
    others: bool,
    /// Print a line of JSON for each row
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: TargetArgs,
}

pub fn run(args: &DropsArgs) -> ExitCode {
    match list(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell("iothub drops");
            ExitCode::from(UNREACHABLE)
        }
    }
}

fn list(args: &DropsArgs) -> Result<(), Failure> {
    let target = args.broker.open()?;
    let is_empty = if args.others { list_others(args, &target)? } else { list_pages(args, &target)? };
    if is_empty && !args.json {
        print("nothing was lost\n");
    }
    Ok(())
}

/// All pages. True: there was nothing in them.
fn list_pages(args: &DropsArgs, target: &Target<'_>) -> Result<bool, Failure> {
    let (mut cursor, mut is_empty) = (None, true);
    loop {
        let answer = target.get(&args.path(cursor.as_deref()))?;
        let rows = answer[if args.topics { "prefixes" } else { "clients" }].as_array();
        for row in rows.into_iter().flatten() {
            is_empty = false;
            if !print(&if args.json { format!("{row}\n") } else { told(row) }) {
                return Ok(false);
            }
        }
        cursor = answer["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(is_empty);
        }
    }
}

fn list_others(args: &DropsArgs, target: &Target<'_>) -> Result<bool, Failure> {
    let answer = target.get(OTHER_DROPS)?;
    if args.json {
        print(&format!("{answer}\n"));
        return Ok(false);
    }
    let mut text = String::new();
    for (list, title) in OTHERS {
        let losses = answer[list].as_array().filter(|losses| !losses.is_empty());
        text += &losses.map_or(String::new(), |_| format!("{title}\n"));
        for loss in losses.into_iter().flatten() {
            text += &format!("  {} {}\n", loss["count"], loss["cause"].as_str().unwrap_or_default());
        }
    }
    print(&text);
    Ok(text.is_empty())
}

/// False: nobody reads any more.
fn print(text: &str) -> bool {
    io::stdout().write_all(text.as_bytes()).is_ok()
}

impl DropsArgs {
    fn path(&self, cursor: Option<&str>) -> String {
        let mut parameters = Vec::new();
        parameters.extend(self.client.as_deref().map(|client| format!("client_id={}", encoded(client))));
        parameters.extend(cursor.map(|cursor| format!("cursor={}", encoded(cursor))));
        let path = if self.topics { DROPS_BY_TOPIC } else { DROPS };
        let mark = if parameters.is_empty() { "" } else { "?" };
        format!("{path}{mark}{}", parameters.join("&"))
    }
}

/// A client or a prefix, and beneath it its losses.
fn told(row: &Value) -> String {
    let name = if row["client_id"].is_string() { shown(&row["client_id"]) } else { shown(&row["prefix"]) };
    let mut text = format!("{}\n", if name.is_empty() { "(topic unknown)" } else { &name });
    for list in ["lost", "topics"] {
        for loss in row[list].as_array().into_iter().flatten() {
            let count = &loss["count"];
            let ago = |name: &str| loss[name].as_f64().unwrap_or_default() as u64;
            let (first, last) = (ago("first_ago_s"), ago("last_ago_s"));
            let (why, cause) = (loss["why"].as_str(), loss["cause"].as_str());
            text += &match loss["topic"].as_str() {
                None => format!(
                    "  {count} {}: {} (the first {first} s ago, the last {last} s ago)\n",
                    cause.unwrap_or_default(),
                    why.unwrap_or_default()
                ),
                Some(_) => {
                    let topic = shown(&loss["topic"]);
                    format!("    {count} {} {topic} (the last {last} s ago)\n", cause.unwrap_or_default())
                }
            };
        }
    }
    text
}

/// Lists of the answer, and what stands above each.
const OTHERS: [(&str, &str); 3] = [
    ("other_clients", "of clients that have made way for others"),
    ("of_nobody", "of messages that were for nobody yet"),
    ("other_prefixes", "on topics that have made way for others"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_told_with_its_causes_and_topics() {
        let loss = json!({ "cause": "expired", "why": "it expired", "count": 3, "first_ago_s": 9.5, "last_ago_s": 1.2 });
        let mut topic = loss.clone();
        topic["topic"] = json!("a/b");
        let row = json!({ "client_id": "c", "lost": [loss], "topics": [topic] });
        let expected = "c\n  3 expired: it expired (the first 9 s ago, the last 1 s ago)\n    3 expired a/b (the last 1 s ago)\n";
        assert_eq!(told(&row), expected);
        assert_eq!(told(&json!({ "prefix": "" })), "(topic unknown)\n");
    }
}

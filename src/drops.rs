//! `iothub drops`: asks a broker that runs which messages were lost, whose they were and why.

use std::{cmp::Reverse, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::{DROPS, DROPS_BY_CAUSE, DROPS_BY_TOPIC, OTHER_DROPS},
    ctl::{
        Failure, shown,
        target::{Target, TargetArgs, encoded},
    },
    output,
    remote::UNREACHABLE,
    text,
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
    /// Those of topics with this in their first two levels; without it all topics
    #[arg(long, value_name = "PART", requires = "topics")]
    prefix: Option<String>,
    /// By cause, all together: those that were lost on their way to clients, and those that were not taken in from their publishers
    #[arg(long, conflicts_with_all = ["client", "topics"])]
    causes: bool,
    /// Those that stand in neither list, by cause: of clients and topics that have made way, of what operators published, and of messages that were for nobody yet
    #[arg(long, conflicts_with_all = ["client", "topics", "causes"])]
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
    let is_empty = match (args.others, args.causes) {
        (true, _) => list_others(args, &target)?,
        (_, true) => list_causes(args, &target)?,
        _ => list_pages(args, &target)?,
    };
    if is_empty && !args.json {
        let asked = match (&args.client, &args.prefix) {
            (Some(_), _) => Some(("other_clients", "this client", "clients")),
            (_, Some(_)) => Some(("other_prefixes", "topics like these", "topics")),
            _ => None,
        };
        let others = asked.map_or(Ok(Value::Null), |_| target.get(OTHER_DROPS))?;
        print(&asked.map_or_else(nothing, |(list, whom, kind)| told_of_nothing(&others[list], whom, kind)))?;
    }
    Ok(())
}

fn nothing() -> String {
    "nothing was lost\n".to_owned()
}

/// Nothing stands in the list. Who has made way has lost something all the same: of which of them the `others` are nobody knows.
fn told_of_nothing(others: &Value, whom: &str, kind: &str) -> String {
    let losses = || others.as_array().into_iter().flatten();
    let count: u64 = losses().filter_map(|loss| loss["count"].as_u64()).sum();
    let Some(first) = losses().filter_map(|loss| loss["first_at"].as_f64()).reduce(f64::min) else {
        return nothing();
    };
    let first = text::moment(first);
    format!(
        "nothing is known of {whom}, which may have made way for others: {count} losses since {first} were of {kind} that have \
         (iothub drops --others)\n"
    )
}

/// All pages, those with the most losses first. True: there was nothing in them.
fn list_pages(args: &DropsArgs, target: &Target<'_>) -> Result<bool, Failure> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let mut answer = args.ask(target, cursor.as_deref())?;
        let rows = answer[if args.topics { "prefixes" } else { "clients" }].take();
        all.extend(rows.as_array().cloned().unwrap_or_default());
        cursor = answer["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    all.sort_by_cached_key(|row| Reverse(count(row)));
    for row in &all {
        if !(if args.json { print_json(row)? } else { print(&told(row))? }) {
            break;
        }
    }
    Ok(all.is_empty())
}

/// Of all its causes.
fn count(row: &Value) -> u64 {
    row["lost"].as_array().into_iter().flatten().filter_map(|loss| loss["count"].as_u64()).sum()
}

fn list_causes(args: &DropsArgs, target: &Target<'_>) -> Result<bool, Failure> {
    let answer = target.get(DROPS_BY_CAUSE)?;
    if args.json {
        print_json(&answer)?;
        return Ok(false);
    }
    let text = told_of_causes(&answer);
    print(&text)?;
    Ok(text.is_empty())
}

fn told_of_causes(answer: &Value) -> String {
    let mut text = String::new();
    for (side, title) in SIDES {
        let all = answer["causes"].as_array().into_iter().flatten();
        let lost: Vec<&Value> = all.filter(|row| row["side"] == side && row["count"] != 0).collect();
        if lost.is_empty() {
            continue;
        }
        text += &format!("{} {title}\n", answer[side]);
        for row in lost {
            let word = |name: &str| row[name].as_str().unwrap_or_default();
            text += &format!("  {} {}: {}\n", row["count"], word("cause"), word("why"));
        }
    }
    text
}

fn list_others(args: &DropsArgs, target: &Target<'_>) -> Result<bool, Failure> {
    let answer = target.get(OTHER_DROPS)?;
    if args.json {
        print_json(&answer)?;
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
    print(&text)?;
    Ok(text.is_empty())
}

/// False: nobody reads any more.
fn print_json(row: &Value) -> Result<bool, Failure> {
    output::print_json_more(&format!("{row}\n")).map_err(Failure::Unreachable)
}

/// False: nobody reads any more.
fn print(text: &str) -> Result<bool, Failure> {
    output::print_more(text).map_err(Failure::Unreachable)
}

impl DropsArgs {
    fn ask(&self, target: &Target<'_>, cursor: Option<&str>) -> Result<Value, Failure> {
        if self.topics {
            let named = [("prefix", self.prefix.as_deref()), ("by", Some("name")), ("cursor", cursor)];
            let given = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let query: Vec<String> =
                given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            return target.get(&format!("{DROPS_BY_TOPIC}?{}", query.join("&")));
        }
        // By name each stands on one page, whoever loses more meanwhile.
        let asked = json!({ "client_id": self.client, "by": "name", "cursor": cursor, "limit": PAGE_ROWS });
        target.ask("POST", DROPS, Some(asked))
    }
}

/// A client or a prefix, and beneath it its losses.
fn told(row: &Value) -> String {
    let name = if row["client_id"].is_string() { shown(&row["client_id"]) } else { shown(&row["prefix"]) };
    format!("{}\n{}", if name.is_empty() { UNKNOWN_TOPIC } else { &name }, told_of_losses(row))
}

/// By cause, and then by topic.
pub fn told_of_losses(row: &Value) -> String {
    let mut text = String::new();
    for list in ["lost", "topics"] {
        for loss in row[list].as_array().into_iter().flatten() {
            let count = &loss["count"];
            let at = |name: &str| text::moment(loss[name].as_f64().unwrap_or_default());
            let (first, last) = (at("first_at"), at("last_at"));
            let (why, cause) = (loss["why"].as_str(), loss["cause"].as_str());
            text += &match loss["topic"].as_str() {
                None => format!(
                    "  {count} {}: {} (the first {first}, the last {last})\n",
                    cause.unwrap_or_default(),
                    why.unwrap_or_default()
                ),
                Some(topic) => {
                    let topic =
                        if topic.is_empty() { UNKNOWN_TOPIC.to_owned() } else { shown(&loss["topic"]) };
                    let cause = cause.unwrap_or_default();
                    format!("    {count} {cause} {topic} (the first {first}, the last {last})\n")
                }
            };
        }
    }
    text
}

/// The most that the API gives at once.
const PAGE_ROWS: u64 = 1000;

/// Of messages that the store alone had when they were lost.
const UNKNOWN_TOPIC: &str = "(topic unknown)";

/// Two sums that are never one: what is not taken in was for nobody yet, and what is lost on its way counts for each who misses it.
const SIDES: [(&str, &str); 2] =
    [("out", "lost on their way to clients"), ("in", "not taken in from their publishers")];

/// Lists of the answer, and what stands above each.
const OTHERS: [(&str, &str); 4] = [
    ("other_clients", "of clients that have made way for others"),
    ("of_operators", "of what operators published"),
    ("of_nobody", "of messages that were for nobody yet"),
    ("other_prefixes", "on topics that have made way for others"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_told_with_its_causes_and_topics() {
        let loss = json!({ "cause": "expired", "why": "it expired", "count": 3, "first_at": 3661.5, "last_at": 3670.2 });
        let mut topic = loss.clone();
        topic["topic"] = json!("a/b");
        let row = json!({ "client_id": "c", "lost": [loss], "topics": [topic] });
        let expected = "c\n  3 expired: it expired (the first 1970-01-01T01:01:01Z, the last 1970-01-01T01:01:10Z)\n    3 expired a/b (the first 1970-01-01T01:01:01Z, the last 1970-01-01T01:01:10Z)\n";
        assert_eq!(told(&row), expected);
        assert_eq!(told(&json!({ "prefix": "" })), "(topic unknown)\n");
        let unknown = json!({ "client_id": "c", "topics": [{ "topic": "", "cause": "purged", "count": 2 }] });
        assert!(told(&unknown).contains("    2 purged (topic unknown) (the first"), "{}", told(&unknown));
    }

    #[test]
    fn of_a_client_that_may_have_made_way_it_is_not_said_that_it_lost_nothing() {
        let told_of_nothing = |others: &Value| told_of_nothing(others, "this client", "clients");
        assert_eq!(told_of_nothing(&json!([])), "nothing was lost\n");
        let loss =
            |count: u64, first_at: f64| json!({ "cause": "expired", "count": count, "first_at": first_at });
        let others = json!([loss(3, 3670.0), loss(4, 3661.5)]);
        let expected = "nothing is known of this client, which may have made way for others: 7 losses since 1970-01-01T01:01:01Z were of \
                        clients that have (iothub drops --others)\n";
        assert_eq!(told_of_nothing(&others), expected);
    }

    #[test]
    fn sums_of_what_was_lost_on_the_way_in_and_out_stand_apart() {
        let cause = |side: &str, cause: &str, count: u64| json!({ "side": side, "cause": cause, "why": "w", "count": count });
        let causes = [cause("out", "expired", 3), cause("out", "rate", 0), cause("in", "publish_denied", 2)];
        let answer = json!({ "out": 3, "in": 2, "causes": causes });
        let expected = "3 lost on their way to clients\n  3 expired: w\n2 not taken in from their publishers\n  2 publish_denied: w\n";
        assert_eq!(told_of_causes(&answer), expected);
    }
}

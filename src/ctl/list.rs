//! What `iothub ctl` shows.

use clap::Args;
use serde_json::{Value, json};

use super::{
    Failure, Shown,
    table::{Table, shown},
    target::{Target, encoded},
};
use crate::api::{BACKUP, BANS, PREFIXES_BY, TOP_BY};

#[derive(Debug, Args)]
pub struct ClientsArgs {
    /// Only those with this in their client id
    #[arg(short = 'i', long, value_name = "TEXT")]
    client_id: Option<String>,
    /// Only those of this user, also away ones, as far as the broker remembers as whom they were here last
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// Only those that are connected
    #[arg(long, conflicts_with = "away")]
    connected: bool,
    /// Only sessions whose client is away
    #[arg(long)]
    away: bool,
    #[command(flatten)]
    most: MostArgs,
}

#[derive(Debug, Args)]
pub struct SubscriptionsArgs {
    /// Only filters with this in them
    #[arg(short, long, value_name = "TEXT")]
    filter: Option<String>,
    /// Only those of clients with this in their client id
    #[arg(short = 'i', long, value_name = "TEXT")]
    client_id: Option<String>,
    #[command(flatten)]
    most: MostArgs,
}

#[derive(Debug, Args)]
pub struct RetainedArgs {
    /// The topic filter
    #[arg(default_value = "#")]
    filter: String,
    #[command(flatten)]
    most: MostArgs,
}

#[derive(Debug, Args)]
pub struct UsersArgs {
    /// Only those with this in their name
    #[arg(short, long, value_name = "TEXT")]
    user: Option<String>,
    #[command(flatten)]
    most: MostArgs,
}

#[derive(Debug, Args)]
pub struct RolesArgs {
    /// Only those with this in their name
    #[arg(short, long, value_name = "TEXT")]
    role: Option<String>,
    #[command(flatten)]
    most: MostArgs,
}

#[derive(Debug, Args)]
pub struct BansArgs {
    /// Only those of this kind
    #[arg(short, long, value_name = "KIND", value_parser = ["client_id", "user", "address"])]
    kind: Option<String>,
    /// Only those with this in whom they ban
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    #[command(flatten)]
    most: MostArgs,
}

#[derive(Debug, Args)]
pub struct QueuesArgs {
    /// Only those of clients with this in their client id
    #[arg(short = 'i', long, value_name = "TEXT")]
    client_id: Option<String>,
    /// Only those in which so many messages wait
    #[arg(long, value_name = "N", default_value_t = 1)]
    least: u64,
    #[command(flatten)]
    most: MostArgs,
}

#[derive(Debug, Args)]
pub struct QueueArgs {
    /// The client id
    #[arg(value_name = "ID")]
    client_id: String,
    #[command(flatten)]
    most: MostArgs,
}

#[derive(Debug, Args)]
pub struct TopArgs {
    /// What is compared
    #[arg(value_name = "WHAT", default_value = "bytes_sent", value_parser = TOP_BY)]
    by: String,
    /// Traffic within so many seconds from now on, in place of all of it; for bytes and packets
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(1..=5))]
    over: Option<u8>,
    /// Show so many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

#[derive(Debug, Args)]
pub struct PrefixesArgs {
    /// What is compared
    #[arg(value_name = "WHAT", default_value = "topics", value_parser = PREFIXES_BY)]
    by: String,
    /// Show so many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

#[derive(Debug, Args)]
struct MostArgs {
    /// Show so many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

pub fn broker(target: &Target<'_>) -> Result<Shown, Failure> {
    one(&target.get("/v1/broker")?)
}

pub fn shards(target: &Target<'_>) -> Result<Shown, Failure> {
    let answer = target.get("/v1/shards")?;
    let rows = rows_of(&answer, "shards");
    let columns =
        ["connections", "sessions", "subscriptions", "retained_messages", "queued_bytes", "unsent_bytes"];
    let counted = ["publish_received", "publish_sent"];
    let mut table = Table::new(&[
        "SHARD",
        "CONNECTIONS",
        "SESSIONS",
        "SUBSCRIPTIONS",
        "RETAINED",
        "QUEUED BYTES",
        "UNSENT BYTES",
        "RECEIVED",
        "SENT",
    ]);
    for row in &rows {
        let gauges = columns.iter().map(|name| row["gauges"][name].clone());
        let counters = counted.iter().map(|name| row["counters"][name].clone());
        table.line(&[row["shard"].clone()].into_iter().chain(gauges).chain(counters).collect::<Vec<_>>());
    }
    Ok(Shown { rows, text: table.text() })
}

pub fn clients(target: &Target<'_>, args: &ClientsArgs) -> Result<Shown, Failure> {
    let mut query = Vec::new();
    query.extend(args.client_id.as_ref().map(|text| ("client_id", text.clone())));
    query.extend(args.user.as_ref().map(|text| ("user", text.clone())));
    if args.connected || args.away {
        query.push(("connected", args.connected.to_string()));
    }
    let listed = pages(target, "/v1/clients", "clients", &query, args.most.limit)?;
    let mut table = Table::new(&[
        "CLIENT",
        "CONNECTED",
        "ADDRESS",
        "USER",
        "VERSION",
        "SHARD",
        "SUBSCRIPTIONS",
        "QUEUED",
        "IN FLIGHT",
        "BYTES IN",
        "BYTES OUT",
    ]);
    for row in &listed.rows {
        let connection = &row["connection"];
        let traffic = &row["traffic"];
        let since = connection["connected_s"].as_f64().map_or(json!("away"), |seconds| json!(span(seconds)));
        table.line(&[
            row["client_id"].clone(),
            since,
            connection["address"].clone(),
            row["user"].clone(),
            connection["version"].clone(),
            row["shard"].clone(),
            row["subscriptions"].clone(),
            row["queued"].clone(),
            row["inflight"].clone(),
            traffic["bytes_received"].clone(),
            traffic["bytes_sent"].clone(),
        ]);
    }
    Ok(listed.shown(&table))
}

pub fn client(target: &Target<'_>, client_id: &str) -> Result<Shown, Failure> {
    let whole = target.ask("POST", "/v1/client", Some(json!({ "client_id": client_id })))?;
    let mut text = lines(&whole["client"]);
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
                "topic",
                "filter",
                "filters",
            ],
        ),
    ];
    for (name, title, columns) in sections {
        let rows = rows_of(&whole, name);
        if rows.is_empty() {
            continue;
        }
        let mut table = Table::new(columns);
        for row in &rows {
            table.line(&columns.iter().map(|column| row[column].clone()).collect::<Vec<_>>());
        }
        text.push_str(&format!("\n{title}:\n{}", table.text()));
    }
    Ok(Shown { rows: vec![whole], text })
}

pub fn subscriptions(target: &Target<'_>, args: &SubscriptionsArgs) -> Result<Shown, Failure> {
    let mut query = Vec::new();
    query.extend(args.filter.as_ref().map(|text| ("filter", text.clone())));
    query.extend(args.client_id.as_ref().map(|text| ("client_id", text.clone())));
    let listed = pages(target, "/v1/subscriptions", "subscriptions", &query, args.most.limit)?;
    let [filter, options @ ..] = OPTIONS;
    let columns = [&[filter, "client_id"], &options[..]].concat();
    let heads = ["FILTER", "CLIENT", "QOS", "NO LOCAL", "AS PUBLISHED", "RETAIN HANDLING", "ID", "SHARED BY"];
    Ok(listed.table(&heads, &columns))
}

pub fn retained(target: &Target<'_>, args: &RetainedArgs) -> Result<Shown, Failure> {
    let body = json!({ "filter": args.filter });
    let listed = pages_asked(target, "/v1/retained", "retained", &body, args.most.limit)?;
    let columns = ["topic", "qos", "payload_bytes", "expires_in_s"];
    Ok(listed.table(&["TOPIC", "QOS", "BYTES", "EXPIRES IN"], &columns))
}

pub fn message(target: &Target<'_>, topic: &str) -> Result<Shown, Failure> {
    one(&target.ask("POST", "/v1/retained/one", Some(json!({ "topic": topic })))?)
}

pub fn users(target: &Target<'_>, args: &UsersArgs) -> Result<Shown, Failure> {
    let query: Vec<_> = args.user.iter().map(|text| ("user", text.clone())).collect();
    let listed = pages(target, "/v1/users", "users", &query, args.most.limit)?;
    let columns = ["user", "has_password", "scram", "groups", "roles", "is_disabled"];
    Ok(listed.table(&["USER", "PASSWORD", "SCRAM", "GROUPS", "ROLES", "DISABLED"], &columns))
}

pub fn user(target: &Target<'_>, user: &str) -> Result<Shown, Failure> {
    one(&target.get(&format!("/v1/users/{}", encoded(user)))?)
}

pub fn roles(target: &Target<'_>, args: &RolesArgs) -> Result<Shown, Failure> {
    let query: Vec<_> = args.role.iter().map(|text| ("role", text.clone())).collect();
    let listed = pages(target, "/v1/roles", "roles", &query, args.most.limit)?;
    let text = listed.rows.iter().map(|role| shown(role) + "\n").collect();
    Ok(listed.told(text))
}

pub fn caller(target: &Target<'_>) -> Result<Shown, Failure> {
    one(&target.get("/v1/caller")?)
}

pub fn queues(target: &Target<'_>, args: &QueuesArgs) -> Result<Shown, Failure> {
    let mut query = vec![("least", args.least.to_string())];
    query.extend(args.client_id.as_ref().map(|text| ("client_id", text.clone())));
    let listed = pages(target, "/v1/queues", "queues", &query, args.most.limit)?;
    let columns = ["client_id", "is_connected", "queued", "queued_bytes", "inflight", "shard"];
    Ok(listed.table(&["CLIENT", "CONNECTED", "WAITING", "BYTES", "IN FLIGHT", "SHARD"], &columns))
}

pub fn queue(target: &Target<'_>, args: &QueueArgs) -> Result<Shown, Failure> {
    let body = json!({ "client_id": args.client_id });
    let listed = pages_asked(target, "/v1/client/queue", "queue", &body, args.most.limit)?;
    let columns = ["topic", "qos", "payload_bytes", "packet_id"];
    Ok(listed.table(&["TOPIC", "QOS", "BYTES", "PACKET ID"], &columns))
}

pub fn top(target: &Target<'_>, args: &TopArgs) -> Result<Shown, Failure> {
    let over = args.over.map_or(String::new(), |over| format!("&over_s={over}"));
    let answer = target.get(&format!("/v1/top?by={}&limit={}{over}", args.by, args.limit))?;
    let rows = rows_of(&answer, "clients");
    let mut table = Table::new(&["CLIENT", "VALUE", "ADDRESS", "USER", "NEAREST LIMIT", "USED"]);
    for row in &rows {
        let (client, nearest) = (&row["client"], &row["client"]["nearest_limit"]);
        let used = nearest["used"].as_f64().map(|used| format!("{:.0} %", used * 100.0));
        table.line(&[
            client["client_id"].clone(),
            row["value"].clone(),
            client["connection"]["address"].clone(),
            client["user"].clone(),
            nearest["limit"].clone(),
            json!(used),
        ]);
    }
    let mut text = table.text();
    if answer["is_partial"] == true {
        text.push_str("there are more clients than were looked at\n");
    }
    Ok(Shown { rows, text })
}

pub fn prefixes(target: &Target<'_>, args: &PrefixesArgs) -> Result<Shown, Failure> {
    let answer = target.get(&format!("/v1/prefixes?by={}&limit={}", args.by, args.limit))?;
    let listed = Listed { rows: rows_of(&answer, "prefixes"), has_more: false };
    let columns = [
        ("PREFIX", "prefix"),
        ("TOPICS", "topics"),
        ("GROWN", "grown"),
        ("IN SECONDS", "grown_in_s"),
        ("RETAINED", "retained"),
        ("GROWN", "retained_grown"),
        ("SUBSCRIPTIONS", "subscriptions"),
        ("GROWN", "subscriptions_grown"),
        ("IN SECONDS", "kept_grown_in_s"),
    ];
    Ok(listed.table(&columns.map(|(head, _)| head), &columns.map(|(_, name)| name)))
}

pub fn bans(target: &Target<'_>, args: &BansArgs) -> Result<Shown, Failure> {
    let mut query = Vec::new();
    query.extend(args.kind.as_ref().map(|kind| ("kind", kind.clone())));
    query.extend(args.name.as_ref().map(|text| ("name", text.clone())));
    let listed = pages(target, BANS, "bans", &query, args.most.limit)?;
    Ok(listed.table(&["CLIENT", "USER", "ADDRESS", "UNTIL"], &["client_id", "user", "address", "until"]))
}

/// The copies that are there, the oldest first.
pub fn backups(target: &Target<'_>) -> Result<Shown, Failure> {
    let rows = rows_of(&target.get(BACKUP)?, "backups");
    let text = rows.iter().map(|name| shown(name) + "\n").collect();
    Ok(Shown { rows, text })
}

/// Whether one is being made, and what became of the last.
pub fn backup_status(target: &Target<'_>) -> Result<Shown, Failure> {
    let state = target.get(BACKUP)?;
    one(&json!({ "running": state["running"], "last": state["last"] }))
}

/// Rows of several pages.
struct Listed {
    rows: Vec<Value>,
    has_more: bool,
}

impl Listed {
    fn table(self, heads: &[&'static str], columns: &[&str]) -> Shown {
        let mut table = Table::new(heads);
        for row in &self.rows {
            table.line(&columns.iter().map(|column| row[column].clone()).collect::<Vec<_>>());
        }
        self.shown(&table)
    }

    fn shown(self, table: &Table) -> Shown {
        self.told(table.text())
    }

    fn told(self, mut text: String) -> Shown {
        if self.has_more {
            text.push_str("there are more: -n N shows N of them\n");
        }
        Shown { rows: self.rows, text }
    }
}

/// All rows, however many pages they take.
pub fn all_rows(target: &Target<'_>, path: &str, name: &str) -> Result<Vec<Value>, Failure> {
    pages(target, path, name, &[], usize::MAX).map(|listed| listed.rows)
}

/// Asks for page after page until there are enough rows.
fn pages(
    target: &Target<'_>,
    path: &str,
    name: &str,
    query: &[(&str, String)],
    limit: usize,
) -> Result<Listed, Failure> {
    pages_by(limit, name, |cursor, limit| {
        let mut asked = format!("{path}?limit={limit}");
        let at = cursor.map(|cursor| ("cursor", cursor));
        for (key, value) in query.iter().map(|(key, value)| (*key, value.as_str())).chain(at) {
            asked.push_str(&format!("&{key}={}", encoded(value)));
        }
        target.get(&asked)
    })
}

/// The same where the question stands in the body.
fn pages_asked(
    target: &Target<'_>,
    path: &str,
    name: &str,
    body: &Value,
    limit: usize,
) -> Result<Listed, Failure> {
    pages_by(limit, name, |cursor, limit| {
        let mut body = body.clone();
        (body["cursor"], body["limit"]) = (json!(cursor), json!(limit));
        target.ask("POST", path, Some(body))
    })
}

fn pages_by(
    limit: usize,
    name: &str,
    ask: impl Fn(Option<&str>, usize) -> Result<Value, Failure>,
) -> Result<Listed, Failure> {
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    while rows.len() < limit {
        let answer = ask(cursor.as_deref(), (limit - rows.len()).min(PAGE_ROWS))?;
        rows.extend(rows_of(&answer, name));
        match answer["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(Listed { rows, has_more: false }),
        }
    }
    rows.truncate(limit);
    Ok(Listed { rows, has_more: true })
}

fn rows_of(answer: &Value, name: &str) -> Vec<Value> {
    answer[name].as_array().cloned().unwrap_or_default()
}

fn one(row: &Value) -> Result<Shown, Failure> {
    Ok(Shown { rows: vec![row.clone()], text: lines(row) })
}

/// A line for each thing that is known.
fn lines(row: &Value) -> String {
    let mut text = String::new();
    for (name, value) in row.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => {
                for (inner_name, value) in inner {
                    text.push_str(&format!("{name}.{inner_name}: {}\n", shown(value)));
                }
            }
            value => text.push_str(&format!("{name}: {}\n", shown(value))),
        }
    }
    text
}

/// As long as it is good to know.
fn span(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Of a subscription.
const OPTIONS: [&str; 7] =
    ["filter", "qos", "no_local", "retain_as_published", "retain_handling", "subscription_id", "share_name"];

/// The most that the API gives at once.
const PAGE_ROWS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_stands_on_a_line_each() {
        let row = json!({ "client_id": "a", "connection": { "user": null }, "queued": 3 });
        assert_eq!(lines(&row), "client_id: a\nconnection.user: -\nqueued: 3\n");
    }

    #[test]
    fn spans_are_short() {
        let spans = [5.9, 61.0, 7200.0, 200_000.0].map(span);
        assert_eq!(spans, ["5s", "1m", "2h", "2d"]);
    }
}

//! What `iothub ctl` shows.

use clap::Args;
use serde_json::{Value, json};

use super::{
    Failure, Shown,
    client::nearest_limit,
    pages::{Listed, MostArgs, note_of_disk, pages, pages_asked, rows_of},
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
    #[arg(value_name = "WHAT", default_value = "bytes", value_parser = TOP_BY)]
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

pub fn broker(target: &Target<'_>) -> Result<Shown, Failure> {
    one(&target.get("/v1/broker")?)
}

pub fn shards(target: &Target<'_>) -> Result<Shown, Failure> {
    let answer = target.get("/v1/shards")?;
    let rows = rows_of(&answer, "shards");
    let columns = ["connections", "sessions", "subscriptions", "retained_messages"];
    let stored = ["queued_away_bytes", "unsent_bytes", "store_file_bytes"];
    let counted = ["publish_received", "publish_sent"];
    let mut table = Table::new(&[
        "SHARD",
        "CONNECTIONS",
        "SESSIONS",
        "SUBSCRIPTIONS",
        "RETAINED",
        "QUEUED BYTES",
        "OF THESE ON DISK",
        "UNSENT BYTES",
        "STORE BYTES",
        "STORE FULL",
        "RECEIVED",
        "SENT",
    ]);
    for row in &rows {
        let gauge = |name: &&str| row["gauges"][*name].clone();
        let queued = ["queued_bytes", "queued_away_bytes"].iter().filter_map(|name| gauge(name).as_u64());
        let gauges =
            columns.iter().map(gauge).chain([json!(queued.sum::<u64>())]).chain(stored.iter().map(gauge));
        let is_full = if gauge(&"store_full") == 0 { "no" } else { "yes" };
        let counters = counted.iter().map(|name| row["counters"][name].clone());
        let row = [row["shard"].clone()].into_iter().chain(gauges).chain([json!(is_full)]).chain(counters);
        table.line(&row.collect::<Vec<_>>());
    }
    Ok(Shown { rows, text: table.text(), ..Shown::default() })
}

pub fn clients(target: &Target<'_>, args: &ClientsArgs, is_json: bool) -> Result<Shown, Failure> {
    let mut query = Vec::new();
    query.extend(args.client_id.as_ref().map(|text| ("client_id", text.clone())));
    query.extend(args.user.as_ref().map(|text| ("user", text.clone())));
    if args.connected || args.away {
        query.push(("connected", args.connected.to_string()));
    }
    let listed = pages(target, "/v1/clients", "clients", &query, args.most.rows(is_json))?;
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
    Ok(listed.shown(&table, none_of(query.is_empty(), NOBODY, "there is no such client")))
}

pub fn subscriptions(target: &Target<'_>, args: &SubscriptionsArgs, is_json: bool) -> Result<Shown, Failure> {
    let mut query = Vec::new();
    query.extend(args.filter.as_ref().map(|text| ("filter", text.clone())));
    query.extend(args.client_id.as_ref().map(|text| ("client_id", text.clone())));
    let listed = pages(target, "/v1/subscriptions", "subscriptions", &query, args.most.rows(is_json))?;
    let [filter, options @ ..] = OPTIONS;
    let columns = [&[filter, "client_id"], &options[..]].concat();
    let heads = ["FILTER", "CLIENT", "QOS", "NO LOCAL", "AS PUBLISHED", "RETAIN HANDLING", "ID", "SHARED BY"];
    let none = none_of(query.is_empty(), "nobody subscribes to anything", "there is no such subscription");
    Ok(listed.table(&heads, &columns, none))
}

pub fn retained(target: &Target<'_>, args: &RetainedArgs, is_json: bool) -> Result<Shown, Failure> {
    let body = json!({ "filter": args.filter });
    let listed = pages_asked(target, "/v1/retained", "retained", &body, args.most.rows(is_json))?;
    let columns = ["topic", "qos", "payload_bytes", "expires_in_s"];
    let none = none_of(args.filter == "#", "no message is retained", "no retained message matches");
    Ok(listed.table(&["TOPIC", "QOS", "BYTES", "EXPIRES IN"], &columns, none))
}

pub fn users(target: &Target<'_>, args: &UsersArgs, is_json: bool) -> Result<Shown, Failure> {
    let query: Vec<_> = args.user.iter().map(|text| ("user", text.clone())).collect();
    let listed = pages(target, "/v1/users", "users", &query, args.most.rows(is_json))?;
    let columns = ["user", "has_password", "scram", "groups", "roles", "is_disabled"];
    let heads = ["USER", "PASSWORD", "SCRAM", "GROUPS", "ROLES", "DISABLED"];
    Ok(listed.table(
        &heads,
        &columns,
        none_of(query.is_empty(), "there are no users", "there is no such user"),
    ))
}

pub fn user(target: &Target<'_>, user: &str) -> Result<Shown, Failure> {
    one(&target.get(&format!("/v1/users/{}", encoded(user)))?)
}

pub fn roles(target: &Target<'_>, args: &RolesArgs, is_json: bool) -> Result<Shown, Failure> {
    let query: Vec<_> = args.role.iter().map(|text| ("role", text.clone())).collect();
    let listed = pages(target, "/v1/roles", "roles", &query, args.most.rows(is_json))?;
    let text = listed.rows.iter().map(|role| shown(role) + "\n").collect();
    Ok(listed.told(text, none_of(query.is_empty(), "no rule makes a role", "there is no such role")))
}

pub fn caller(target: &Target<'_>) -> Result<Shown, Failure> {
    one(&target.get("/v1/caller")?)
}

pub fn queues(target: &Target<'_>, args: &QueuesArgs, is_json: bool) -> Result<Shown, Failure> {
    let mut query = vec![("least", args.least.to_string())];
    query.extend(args.client_id.as_ref().map(|text| ("client_id", text.clone())));
    let listed = pages(target, "/v1/queues", "queues", &query, args.most.rows(is_json))?;
    let columns =
        ["client_id", "is_connected", "queued", "queued_on_disk", "queued_bytes", "inflight", "shard"];
    let heads =
        ["CLIENT", "CONNECTED", "WAITING", "ON DISK ALONE", "BYTES, ALSO IN FLIGHT", "IN FLIGHT", "SHARD"];
    let is_all = args.client_id.is_none() && args.least <= 1;
    let none = none_of(is_all, "no messages wait for anybody", "no messages wait for anybody like that");
    Ok(listed.table(&heads, &columns, none))
}

pub fn queue(target: &Target<'_>, args: &QueueArgs, is_json: bool) -> Result<Shown, Failure> {
    let body = json!({ "client_id": args.client_id });
    let listed = pages_asked(target, "/v1/client/queue", "queue", &body, args.most.rows(is_json))?;
    let columns = ["topic", "qos", "payload_bytes", "packet_id"];
    let on_disk = listed.on_disk;
    let none =
        if on_disk > 0 { "no message that waits is in memory" } else { "nothing waits for this client" };
    let mut shown = listed.table(&["TOPIC", "QOS", "BYTES", "PACKET ID"], &columns, none);
    shown.notes.extend(note_of_disk(on_disk));
    Ok(shown)
}

pub fn top(target: &Target<'_>, args: &TopArgs) -> Result<Shown, Failure> {
    let over = args.over.map_or(String::new(), |over| format!("&over_s={over}"));
    let answer = target.get(&format!("/v1/top?by={}&limit={}{over}", args.by, args.limit))?;
    let rows = rows_of(&answer, "clients");
    let mut shown =
        Listed::of(rows.clone()).shown(&table_of_top(&args.by, &rows), "no client has any of this now");
    if answer["is_partial"] == true {
        shown.notes.push("there are more clients than were looked at".to_owned());
    }
    Ok(shown)
}

fn table_of_top(by: &str, rows: &[Value]) -> Table {
    // How near a limit is stands there in any case.
    let of_value = TOP_HEADS.iter().filter(|(name, _)| *name == by).map(|(_, head)| *head);
    let heads = ["CLIENT"].into_iter().chain(of_value.clone());
    let heads = heads.chain(["ADDRESS", "USER", "NEAREST LIMIT", "USED"]).collect::<Vec<_>>();
    let mut table = Table::new(&heads);
    for row in rows {
        let client = &row["client"];
        let (limit, used) = nearest_limit(client);
        let mut cells = vec![client["client_id"].clone()];
        cells.extend(of_value.clone().map(|_| row["value"].clone()));
        cells.extend([client["connection"]["address"].clone(), client["user"].clone(), limit, used]);
        table.line(&cells);
    }
    table
}

pub fn prefixes(target: &Target<'_>, args: &PrefixesArgs) -> Result<Shown, Failure> {
    let answer = target.get(&format!("/v1/prefixes?by={}&limit={}", args.by, args.limit))?;
    let rows = rows_of(&answer, "prefixes");
    let columns = [
        ("PREFIX", "prefix"),
        ("TOPICS, ABOUT", "topics"),
        ("GROWN, ABOUT", "grown"),
        ("LEVELS, AT LEAST", "levels"),
        ("GROWN", "levels_grown"),
        ("IN SECONDS", "grown_in_s"),
        ("RETAINED", "retained"),
        ("GROWN", "retained_grown"),
        ("SUBSCRIPTIONS", "subscriptions"),
        ("GROWN", "subscriptions_grown"),
        ("IN SECONDS", "kept_grown_in_s"),
    ];
    let mut table = Table::new(&columns.map(|(head, _)| head));
    for row in &rows {
        let cell = |(_, name): (_, &str)| match name {
            "topics" | "grown" => estimate(&row[name]),
            _ => row[name].clone(),
        };
        table.line(&columns.map(cell));
    }
    let listed = Listed::of(rows);
    Ok(listed.shown(&table, "there are no topics yet"))
}

/// Out of one topic in sixteen: of a few nobody knows how many they are.
fn estimate(number: &Value) -> Value {
    match number.as_u64() {
        Some(1..ESTIMATED_FROM) => json!(format!("< {ESTIMATED_FROM}")),
        _ => number.clone(),
    }
}

pub fn bans(target: &Target<'_>, args: &BansArgs, is_json: bool) -> Result<Shown, Failure> {
    let mut query = Vec::new();
    query.extend(args.kind.as_ref().map(|kind| ("kind", kind.clone())));
    query.extend(args.name.as_ref().map(|text| ("name", text.clone())));
    let listed = pages(target, BANS, "bans", &query, args.most.rows(is_json))?;
    let none = none_of(query.is_empty(), NOBODY_BANNED, "there is no such ban");
    let table = table_of_bans(&listed.rows);
    Ok(listed.shown(&table, none))
}

pub fn table_of_bans(bans: &[Value]) -> Table {
    let mut table = Table::new(&["CLIENT", "USER", "ADDRESS", "UNTIL"]);
    for ban in bans {
        let until = if ban["until"].is_null() { json!("for ever") } else { ban["until"].clone() };
        table.line(&[ban["client_id"].clone(), ban["user"].clone(), ban["address"].clone(), until]);
    }
    table
}

/// The copies that are there, the oldest first.
pub fn backups(target: &Target<'_>) -> Result<Shown, Failure> {
    let rows = rows_of(&target.get(BACKUP)?, "backups");
    let text = rows.iter().map(|name| shown(name) + "\n").collect();
    Ok(Listed::of(rows).told(text, "there are no copies"))
}

/// Whether one is being made, and what became of the last.
pub fn backup_status(target: &Target<'_>) -> Result<Shown, Failure> {
    let state = target.get(BACKUP)?;
    one(&json!({ "running": state["running"], "last": state["last"] }))
}

fn one(row: &Value) -> Result<Shown, Failure> {
    Ok(Shown { rows: vec![row.clone()], text: lines(row), ..Shown::default() })
}

/// What is said of a list without rows: of all there are, or of those that were looked for.
fn none_of(is_all: bool, of_all: &'static str, of_some: &'static str) -> &'static str {
    if is_all { of_all } else { of_some }
}

/// A line for each thing that is known.
pub fn lines(row: &Value) -> String {
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
pub const OPTIONS: [&str; 7] =
    ["filter", "qos", "no_local", "retain_as_published", "retain_handling", "subscription_id", "share_name"];

/// Said of a list of all bans without rows.
pub const NOBODY_BANNED: &str = "nobody is banned";

const NOBODY: &str = "nobody is connected, and there are no sessions";

/// What is compared, and its head with its unit. The nearest limit has columns of its own.
const TOP_HEADS: [(&str, &str); TOP_BY.len() - 1] = [
    ("bytes", "BYTES"),
    ("packets", "PACKETS"),
    ("bytes_sent", "BYTES SENT"),
    ("bytes_received", "BYTES RECEIVED"),
    ("packets_sent", "PACKETS SENT"),
    ("packets_received", "PACKETS RECEIVED"),
    ("queued", "QUEUED"),
    ("queued_bytes", "QUEUED BYTES"),
    ("inflight", "IN FLIGHT"),
    ("unsent_bytes", "UNSENT BYTES"),
    ("subscriptions", "SUBSCRIPTIONS"),
    ("silent_s", "SILENT SECONDS"),
    ("inflight_s", "SECONDS IN FLIGHT"),
    ("ended", "CONNECTIONS ENDED LATELY"),
    ("taken_over", "TAKEN OVER LATELY"),
];

/// Estimates of topics are of some use from so many on.
const ESTIMATED_FROM: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_stands_on_a_line_each() {
        let row = json!({ "client_id": "a", "connection": { "user": null }, "queued": 3 });
        assert_eq!(lines(&row), "client_id: a\nconnection.user: -\nqueued: 3\n");
    }

    #[test]
    fn a_ban_without_an_end_is_for_ever() {
        let table = table_of_bans(&[json!({ "user": "ada" }), json!({ "client_id": "c", "until": "2030" })]);
        let text = table.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("for ever") && lines[2].ends_with("2030"), "{text}");
    }

    #[test]
    fn what_clients_are_compared_by_has_its_unit_in_the_head_and_stands_there_once() {
        let client = json!({ "client_id": "a", "nearest_limit": { "limit": "keep_alive", "used": 0.005 } });
        let text = |by: &str, value: u64| {
            let row = json!({ "client": client, "value": value });
            table_of_top(by, &[row]).text().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text("limit", 5), "CLIENT ADDRESS USER NEAREST LIMIT USED a - - keep_alive 0.5 %");
        assert_eq!(
            text("silent_s", 7),
            "CLIENT SILENT SECONDS ADDRESS USER NEAREST LIMIT USED a 7 - - keep_alive 0.5 %"
        );
        for by in TOP_BY.iter().filter(|by| **by != "limit") {
            assert!(TOP_HEADS.iter().any(|(name, _)| name == by), "{by}");
        }
    }

    #[test]
    fn estimates_of_a_few_are_no_numbers() {
        let told = [0, 16, 49, 50, 1200].map(|number| estimate(&json!(number)));
        assert_eq!(told, [json!(0), json!("< 50"), json!("< 50"), json!(50), json!(1200)]);
    }

    #[test]
    fn spans_are_short() {
        let spans = [5.9, 61.0, 7200.0, 200_000.0].map(span);
        assert_eq!(spans, ["5s", "1m", "2h", "2d"]);
    }
}

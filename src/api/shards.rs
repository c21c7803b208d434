//! `/v1/shards`: what each shard has counted and holds.

use axum::{extract::State, http::Method, response::Response, routing::get};
use runtime::Snapshot;
use serde_json::{Map, Value, json};
use shard::Gauges;

use super::{
    answer,
    asking::{self, Trouble},
    context::Context,
    operation::{Access, Operation},
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/v1/shards",
    access: Access::Role(Role::Viewer),
    summary: "What each shard holds now and has counted since the start",
    handler: || get(list),
}];

async fn list(State(context): State<Context>) -> Result<Response, Trouble> {
    let snapshots = asking::snapshots(asking::desk(&context)?).await?;
    let shards: Vec<Value> = snapshots.iter().map(row).collect();
    Ok(answer::ok(&json!({ "shards": shards })))
}

pub fn row(snapshot: &Snapshot) -> Value {
    let gauges = GAUGES.iter().map(|(name, of)| ((*name).to_owned(), json!(of(&snapshot.gauges))));
    let gauges = gauges.chain([("store_file_bytes".to_owned(), json!(snapshot.store_file_bytes))]);
    let counters = snapshot.counters.iter().map(|(name, _, value)| (name.to_owned(), json!(value)));
    json!({
        "shard": snapshot.shard.0,
        "gauges": gauges.collect::<Map<_, _>>(),
        "counters": counters.collect::<Map<_, _>>(),
    })
}

type Gauge = (&'static str, fn(&Gauges) -> usize);

/// What a shard holds at the moment.
const GAUGES: &[Gauge] = &[
    ("connections", |gauges| gauges.connections),
    ("sessions", |gauges| gauges.sessions),
    ("subscriptions", |gauges| gauges.subscriptions),
    ("filters", |gauges| gauges.filters),
    ("retained_messages", |gauges| gauges.retained_messages),
    ("retained_bytes", |gauges| gauges.retained_bytes),
    ("retained_source_bytes", |gauges| gauges.retained_source_bytes),
    ("session_bytes", |gauges| gauges.session_bytes),
    ("will_bytes", |gauges| gauges.will_bytes),
    ("queued_bytes", |gauges| gauges.queued_bytes),
    ("queued_away_bytes", |gauges| gauges.queued_away_bytes),
    ("unsent_bytes", |gauges| gauges.unsent_bytes),
    ("receive_bytes", |gauges| gauges.receive_bytes),
    ("mail_pending", |gauges| gauges.mail_pending),
    ("stored_live_bytes", |gauges| gauges.stored_live_bytes),
    ("stored_messages", |gauges| gauges.stored_messages),
    ("stored_topics_bytes", |gauges| gauges.stored_topics_bytes),
    ("store_full", |gauges| gauges.store_full),
];

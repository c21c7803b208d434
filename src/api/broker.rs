//! `/v1/broker`: the process itself.

use axum::{extract::State, http::Method, response::Response, routing::get};
use serde_json::json;

use super::{
    answer,
    context::Context,
    operation::{Access, Operation},
    token_list::Role,
};
use crate::disk_room;

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/v1/broker",
    access: Access::Role(Role::Viewer),
    summary: "The broker's version, how long it runs, how many shards it has and where it listens",
    handler: || get(broker),
}];

async fn broker(State(context): State<Context>) -> Response {
    let facts = context.facts();
    let shards = context.desk().map_or(0, |desk| desk.shards().count());
    answer::ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_s": context.begun().elapsed().as_secs(),
        "stage": context.stage().word(),
        "shards": shards,
        "listeners": facts.listeners,
        "has_default_listeners": facts.has_default_listeners,
        "has_user_database": facts.user_database.is_some(),
        "store_disk_free_bytes": disk_room::told().map(|room| room.free),
    }))
}

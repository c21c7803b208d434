//! `/v1/subscriptions`: what clients subscribe to.

use axum::{extract::State, http::Method, response::Response, routing::get};
use runtime::Looked;
use serde::Deserialize;
use serde_json::json;
use shard::{Look, Matching, Seen};

use super::{
    answer::{self, Parameters},
    asking::{self, Trouble},
    context::Context,
    operation::{Access, Operation},
    pages::{self, Cursor},
    rows,
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/v1/subscriptions",
    access: Access::Role(Role::Viewer),
    summary: "Subscriptions of all sessions, page by page",
    handler: || get(list),
}];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    filter: Option<Box<str>>,
    client_id: Option<Box<str>>,
    cursor: Option<String>,
    limit: Option<usize>,
}

async fn list(
    State(context): State<Context>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let (cursor, limit) = (Cursor::read(wanted.cursor.as_deref())?, pages::limit(wanted.limit)?);
    let Wanted { filter, client_id, .. } = wanted;
    let matching = Matching { client_id, ..Matching::default() };
    let ask =
        |after, most| Look::Subscriptions { matching: matching.clone(), filter: filter.clone(), after, most };
    let take = |looked: Looked| match looked.seen {
        Seen::Subscriptions(page) => (page.rows.iter().map(rows::subscription).collect(), page.next),
        _ => (Vec::new(), None),
    };
    let page = pages::collect(asking::desk(&context)?, cursor, limit, ask, take).await?;
    Ok(answer::ok(&json!({ "subscriptions": page.rows, "cursor": page.cursor })))
}

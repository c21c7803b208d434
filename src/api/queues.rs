//! `/v1/queues`: for whom messages wait, and which ones.

use axum::{extract::State, http::Method, response::Response, routing::get};
use runtime::{Desk, Looked};
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Look, Matching, QueueSeen, Seen};

use super::{
    answer::{self, ClientInPath, Parameters},
    asking::{self, Trouble},
    clients::absent,
    context::Context,
    operation::{Access, Operation},
    pages::{self, Cursor, Paged},
    rows,
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/v1/queues",
        access: Access::Role(Role::Viewer),
        summary: "Sessions for which messages wait, and how many, page by page",
        handler: || get(list),
    },
    Operation {
        method: Method::GET,
        path: "/v1/clients/{client_id}/queue",
        access: Access::Role(Role::Viewer),
        summary: "The messages that wait for a client and are in memory, the oldest first, page by page",
        handler: || get(one),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    client_id: Option<Box<str>>,
    least: Option<u32>,
    cursor: Option<String>,
    limit: Option<usize>,
}

async fn list(
    State(context): State<Context>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let (cursor, limit) = (Cursor::read(wanted.cursor.as_deref())?, pages::limit(wanted.limit)?);
    let Wanted { client_id, least, .. } = wanted;
    let matching = Matching { client_id, queued_least: least.unwrap_or(1) as usize, ..Matching::default() };
    let ask = |after, most| Look::Clients { matching: matching.clone(), after, most };
    let take = |looked: Looked| match looked.seen {
        Seen::Clients(page) => (page.rows.iter().map(rows::queue).collect(), page.next),
        _ => (Vec::new(), None),
    };
    let page = pages::collect(asking::desk(&context)?, cursor, limit, ask, take).await?;
    Ok(answer::ok(&json!({ "queues": page.rows, "cursor": page.cursor })))
}

async fn one(
    State(context): State<Context>,
    ClientInPath(client_id): ClientInPath,
    Parameters(Paged { cursor, limit }): Parameters<Paged>,
) -> Result<Response, Trouble> {
    let page = page(asking::desk(&context)?, &client_id, cursor.as_deref(), pages::limit(limit)?).await?;
    Ok(answer::ok(&page))
}

/// Its home shard alone knows it.
pub async fn page(desk: &Desk, client_id: &str, cursor: Option<&str>, most: usize) -> Result<Value, Trouble> {
    let unknown = || answer::refused("cursor: expected what the page before has said");
    let after = cursor.map(str::parse).transpose().map_err(|_| unknown())?;
    let look = Look::Queue { client_id: client_id.into(), after, most };
    let home = desk.home_of_client(client_id);
    let Seen::Queue(Some(QueueSeen { page, away })) = asking::look(desk, home, look).await?.seen else {
        return Err(absent(client_id, &asking::comings(desk, client_id).await));
    };
    let rows: Vec<Value> = page.rows.iter().map(rows::waiting).collect();
    let cursor = page.next.map(|next| next.to_string());
    Ok(json!({ "queue": rows, "on_disk": away, "cursor": cursor }))
}

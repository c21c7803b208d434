//! `/v1/drops`: which messages were lost, whose they were, and on which topics.

use std::collections::BTreeMap;

use axum::{extract::State, http::Method, response::Response, routing::get};
use runtime::Looked;
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Cause, ClientLost, Look, Loss, PrefixLost, Seen};

use super::{
    answer::{self, Parameters},
    asking::{self, Trouble},
    context::Context,
    operation::{Access, Operation},
    pages::{self, Cursor},
    rows::seconds,
    token_list::Role,
};

/// By client.
pub const DROPS: &str = "/v1/drops";
/// By the first levels of topics.
pub const DROPS_BY_TOPIC: &str = "/v1/drops/topics";
/// Those that stand in neither.
pub const OTHER_DROPS: &str = "/v1/drops/others";

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: DROPS,
        access: Access::Role(Role::Viewer),
        summary: "Lost messages by client, cause and topic, page by page",
        handler: || get(clients),
    },
    Operation {
        method: Method::GET,
        path: DROPS_BY_TOPIC,
        access: Access::Role(Role::Viewer),
        summary: "Lost messages by the first levels of their topics, page by page",
        handler: || get(topics),
    },
    Operation {
        method: Method::GET,
        path: OTHER_DROPS,
        access: Access::Role(Role::Viewer),
        summary: "Lost messages that stand in neither list, by cause",
        handler: || get(others),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    client_id: Option<Box<str>>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paged {
    cursor: Option<String>,
    limit: Option<usize>,
}

async fn clients(
    State(context): State<Context>,
    Parameters(Wanted { client_id, cursor, limit }): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let (cursor, limit) = (Cursor::read(cursor.as_deref())?, pages::limit(limit)?);
    let ask = |after, most| Look::ClientLosses { client_id: client_id.clone(), after, most };
    let take = |looked: Looked| match looked.seen {
        Seen::ClientLosses(page) => (page.rows.iter().map(of_client).collect(), page.next),
        _ => (Vec::new(), None),
    };
    let page = pages::collect(asking::desk(&context)?, cursor, limit, ask, take).await?;
    Ok(answer::ok(&json!({ "clients": page.rows, "cursor": page.cursor })))
}

/// Each shard has a row of its own for a prefix.
async fn topics(
    State(context): State<Context>,
    Parameters(Paged { cursor, limit }): Parameters<Paged>,
) -> Result<Response, Trouble> {
    let (cursor, limit) = (Cursor::read(cursor.as_deref())?, pages::limit(limit)?);
    let ask = |after, most| Look::PrefixLosses { after, most };
    let take = |looked: Looked| match looked.seen {
        Seen::PrefixLosses(page) => (page.rows.iter().map(of_prefix).collect(), page.next),
        _ => (Vec::new(), None),
    };
    let page = pages::collect(asking::desk(&context)?, cursor, limit, ask, take).await?;
    Ok(answer::ok(&json!({ "prefixes": page.rows, "cursor": page.cursor })))
}

async fn others(State(context): State<Context>) -> Result<Response, Trouble> {
    let mut sums: [BTreeMap<Cause, u64>; 3] = Default::default();
    for looked in asking::look_everywhere(asking::desk(&context)?, &Look::OtherLosses).await? {
        let Seen::OtherLosses(others) = looked.seen else { continue };
        let lists = [&others.other_clients, &others.of_nobody, &others.other_prefixes];
        for (losses, sums) in lists.into_iter().zip(&mut sums) {
            losses.iter().for_each(|loss| *sums.entry(loss.cause).or_default() += loss.count);
        }
    }
    let row = |(cause, count): (Cause, u64)| json!({ "cause": cause.word(), "count": count });
    let [other_clients, of_nobody, other_prefixes] =
        sums.map(|sums| sums.into_iter().map(row).collect::<Vec<_>>());
    let body = json!({
        "other_clients": other_clients,
        "of_nobody": of_nobody,
        "other_prefixes": other_prefixes,
    });
    Ok(answer::ok(&body))
}

pub fn of_client(lost: &ClientLost) -> Value {
    json!({
        "client_id": lost.client_id,
        "shard": lost.shard.0,
        "lost": lost.losses.iter().map(loss).collect::<Vec<_>>(),
        "topics": lost.topics.iter().map(loss).collect::<Vec<_>>(),
    })
}

fn of_prefix(lost: &PrefixLost) -> Value {
    json!({ "prefix": lost.prefix, "lost": lost.losses.iter().map(loss).collect::<Vec<_>>() })
}

fn loss(loss: &Loss) -> Value {
    let mut row = json!({
        "cause": loss.cause.word(),
        "why": loss.cause.text(),
        "count": loss.count,
        "first_ago_s": seconds(loss.first_ago),
        "last_ago_s": seconds(loss.last_ago),
    });
    if let Some(topic) = &loss.topic {
        row["topic"] = json!(topic);
    }
    row
}

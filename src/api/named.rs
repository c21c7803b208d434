//! `/v1/client`: the same as `/v1/clients/{client_id}`, for client ids that no URL can hold. They come in the body.
//!
//! An MQTT client id has up to 65,535 bytes, more than the head of a request may have; and browsers resolve `.` and `..` in a path
//! before they ask, however they are written.

use axum::{Extension, extract::State, http::Method, response::Response, routing::post};
use serde::Deserialize;

use super::{
    answer::{self, Input},
    asking::{self, Trouble},
    clients,
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    pages, queues,
    token_list::Role,
    trace,
};

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::POST,
        path: "/v1/client",
        access: Access::Role(Role::Viewer),
        summary: "One session, as /v1/clients/{client_id} tells it; its client id is in the body",
        handler: || post(one),
    },
    Operation {
        method: Method::POST,
        path: "/v1/client/queue",
        access: Access::Role(Role::Viewer),
        summary: "The messages that wait for a client, page by page; its client id is in the body",
        handler: || post(queue),
    },
    Operation {
        method: Method::POST,
        path: "/v1/client/packets",
        access: Access::Role(Role::Viewer),
        summary: "The last packets of the client that the body names, the oldest first",
        handler: || post(packets),
    },
    Operation {
        method: Method::POST,
        path: "/v1/client/disconnect",
        access: Access::Role(Role::Operator),
        summary: "Ends the connection of the client that the body names; its session lives on",
        handler: || post(disconnect),
    },
    Operation {
        method: Method::POST,
        path: "/v1/client/kick",
        access: Access::Role(Role::Operator),
        summary: "Ends the connection and the session of the client that the body names",
        handler: || post(kick),
    },
    Operation {
        method: Method::POST,
        path: "/v1/client/purge",
        access: Access::Role(Role::Operator),
        summary: "Drops the messages that wait for the client that the body names",
        handler: || post(purge),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    client_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PacketsOf {
    client_id: String,
    topic: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowMuch {
    client_id: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paged {
    client_id: String,
    cursor: Option<String>,
    limit: Option<usize>,
}

async fn one(
    State(context): State<Context>,
    Input(HowMuch { client_id, limit }): Input<HowMuch>,
) -> Result<Response, Trouble> {
    let whole = clients::find(asking::desk(&context)?, &client_id, pages::limit(limit)?).await?;
    Ok(answer::ok(&whole))
}

async fn queue(
    State(context): State<Context>,
    Input(Paged { client_id, cursor, limit }): Input<Paged>,
) -> Result<Response, Trouble> {
    let desk = asking::desk(&context)?;
    let page = queues::page(desk, &client_id, cursor.as_deref(), pages::limit(limit)?).await?;
    Ok(answer::ok(&page))
}

async fn packets(
    State(context): State<Context>,
    Input(PacketsOf { client_id, topic }): Input<PacketsOf>,
) -> Result<Response, Trouble> {
    trace::packets(&context, &client_id, topic).await
}

async fn disconnect(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(Named { client_id }): Input<Named>,
) -> Result<Response, Trouble> {
    clients::disconnect(&context, &caller, client_id).await
}

async fn kick(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(Named { client_id }): Input<Named>,
) -> Result<Response, Trouble> {
    clients::end(&context, &caller, client_id).await
}

async fn purge(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(Named { client_id }): Input<Named>,
) -> Result<Response, Trouble> {
    clients::purge(&context, &caller, client_id).await
}

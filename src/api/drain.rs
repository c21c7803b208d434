//! `/v1/drain`: the orderly end of the broker.

use axum::{
    Extension,
    extract::State,
    http::{Method, StatusCode},
    response::Response,
    routing::post,
};
use serde_json::json;

use super::{
    answer::{self, Input, Nothing},
    asking::Trouble,
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    orders::Queue,
    reload::BUSY,
    token_list::Role,
};
use crate::control::Request;

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::POST,
    path: "/v1/drain",
    access: Access::Role(Role::Admin),
    summary: "Ends the broker in order, as SIGINT does: nobody is let in, what is queued goes out, and the process ends",
    handler: || post(drain),
}];

/// It has begun; the process ends soon, and this connection with it.
async fn drain(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(Nothing {}): Input<Nothing>,
) -> Result<Response, Trouble> {
    let (by, requests) = (caller.by("the control socket"), context.requests().clone());
    let order = async move {
        let sent = requests.try_send(Request::Drain { by });
        sent.map_err(|_| answer::unavailable(BUSY).into())
    };
    context.orders().see_through(Queue::Configuration, order).await?;
    Ok(answer::respond(StatusCode::ACCEPTED, &json!({ "outcome": "draining" })))
}

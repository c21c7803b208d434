//! `/v1/caller`: whoever asks, so that a page offers only what the token allows.

use axum::{Extension, http::Method, response::Response, routing::get};
use serde_json::json;

use super::{
    answer,
    guard::Caller,
    operation::{Access, Operation},
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/v1/caller",
    access: Access::Role(Role::Viewer),
    summary: "The name and the role of the token that asks",
    handler: || get(caller),
}];

async fn caller(Extension(caller): Extension<Caller>) -> Response {
    answer::ok(&json!({ "token": caller.token.as_deref(), "role": caller.role.map(Role::word) }))
}

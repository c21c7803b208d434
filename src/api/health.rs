//! `/livez` and `/readyz`: whether the process answers, and whether clients may be sent to it.

use axum::{
    extract::State,
    http::{Method, StatusCode},
    response::Response,
    routing::get,
};
use serde_json::json;

use super::{
    answer,
    context::Context,
    operation::{Access, Operation},
};

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/livez",
        access: Access::Open,
        summary: "Whether the process answers at all",
        handler: || get(live),
    },
    Operation {
        method: Method::GET,
        path: "/readyz",
        access: Access::Open,
        summary: "Whether the broker lets clients in: it has recovered, does not drain, and its store works",
        handler: || get(ready),
    },
];

async fn live() -> Response {
    answer::ok(&json!({ "live": true }))
}

async fn ready(State(context): State<Context>) -> Response {
    match context.obstacle() {
        None => answer::ok(&json!({ "ready": true })),
        Some(why) => {
            answer::respond(StatusCode::SERVICE_UNAVAILABLE, &json!({ "ready": false, "problems": [why] }))
        }
    }
}

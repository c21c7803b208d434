//! `/v1/bans`: who may not come in, as operators order it.

use axum::{
    Extension,
    extract::State,
    http::Method,
    response::Response,
    routing::{delete, get, post},
};
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    answer::{self, Input},
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    reload::{BUSY, ENDING},
    token_list::Role,
};
use crate::{
    bans::{BanText, Order},
    control::Request,
};

/// Where bans are listed, added and lifted.
pub const BANS: &str = "/v1/bans";

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: BANS,
        access: Access::Role(Role::Viewer),
        summary: "The bans that hold, those of the configuration too",
        handler: || get(list),
    },
    Operation {
        method: Method::POST,
        path: BANS,
        access: Access::Role(Role::Operator),
        summary: "Bans a client id, a user or an address, at once",
        handler: || post(add),
    },
    Operation {
        method: Method::DELETE,
        path: BANS,
        access: Access::Role(Role::Operator),
        summary: "Lifts a ban that was ordered",
        handler: || delete(lift),
    },
];

async fn list(State(context): State<Context>, Extension(caller): Extension<Caller>) -> Response {
    order(&context, &caller, Ok(Order::List)).await
}

async fn add(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(text): Input<BanText>,
) -> Response {
    order(&context, &caller, text.ban().map(Order::Add)).await
}

async fn lift(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(text): Input<BanText>,
) -> Response {
    order(&context, &caller, text.whom().map(Order::Lift)).await
}

/// The bans that hold after it.
async fn order(context: &Context, caller: &Caller, order: Result<Order, String>) -> Response {
    let order = match order {
        Ok(order) => order,
        Err(problem) => return answer::refused(&problem),
    };
    let (reply, answered) = oneshot::channel();
    let reply = Box::new(move |outcome| drop(reply.send(outcome)));
    let by = caller.by("iothub ban");
    if context.requests().try_send(Request::Bans { order, by, reply }).is_err() {
        return answer::unavailable(BUSY);
    }
    match answered.await {
        Ok(Ok(bans)) => {
            let bans: Vec<BanText> = bans.iter().map(BanText::of).collect();
            answer::ok(&json!({ "bans": bans }))
        }
        Ok(Err(problem)) => answer::conflict(&problem),
        Err(_) => answer::unavailable(ENDING),
    }
}

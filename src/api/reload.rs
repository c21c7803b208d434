//! `/v1/reload`: the configuration read again, and what that would change.

use std::path::PathBuf;

use axum::{
    Extension,
    extract::State,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    answer::{self, Input},
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    orders::Queue,
    token_list::Role,
};
use crate::{control::Request, reloader::Outcome};

/// Where a reload is asked for.
pub const RELOAD: &str = "/v1/reload";

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: RELOAD,
        access: Access::Role(Role::Admin),
        summary: "What a reload of the configuration would change",
        handler: || get(|state, caller, input| ask(state, caller, true, input)),
    },
    Operation {
        method: Method::POST,
        path: RELOAD,
        access: Access::Role(Role::Admin),
        summary: "Reads the configuration and every file that it names again",
        handler: || post(|state, caller, input| ask(state, caller, false, input)),
    },
];

/// Which configuration who asks for a reload means. Nobody has to say it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meant {
    pub config: Option<PathBuf>,
}

async fn ask(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    is_plan: bool,
    Input(Meant { config }): Input<Meant>,
) -> Response {
    let (by, whole) = (caller.by("iothub reload"), context.clone());
    let order = async move {
        let outcome = whole.ask_control(|reply| Request::Reload { is_plan, by, config, reply }).await;
        outcome.ok_or_else(|| answer::unavailable(BUSY).into())
    };
    match context.orders().see_through(Queue::Configuration, order).await {
        Ok(outcome) => {
            let status = if outcome.is_ok() { StatusCode::OK } else { StatusCode::CONFLICT };
            answer::respond(status, &told(is_plan, &outcome))
        }
        Err(trouble) => trouble.into_response(),
    }
}

fn told(is_plan: bool, outcome: &Outcome) -> Value {
    let pid = std::process::id();
    match outcome {
        Ok(told) => json!({
            "outcome": if is_plan { "planned" } else { "done" },
            "pid": pid,
            "changes": told.changes,
            "waiting": told.waiting,
            "warnings": told.warnings,
            "overridden": told.overridden,
            "watched": told.watched,
        }),
        Err(problems) => json!({ "outcome": "refused", "pid": pid, "problems": problems }),
    }
}

/// The control thread has as many requests as it takes.
pub const BUSY: &str = "the broker has other requests to carry out first, or it ends";
pub const ENDING: &str = "the broker ends";

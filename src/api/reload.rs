//! `/v1/reload`: the configuration read again, and what that would change.

use std::path::PathBuf;

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    answer,
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
        handler: || get(|state, caller, body: Bytes| ask(state, caller, true, meant(&body))),
    },
    Operation {
        method: Method::POST,
        path: RELOAD,
        access: Access::Role(Role::Admin),
        summary: "Reads the configuration and every file that it names again",
        handler: || post(|state, caller, body: Bytes| ask(state, caller, false, meant(&body))),
    },
];

/// Which configuration who asks for a reload means. Nobody has to say it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meant {
    pub config: Option<PathBuf>,
}

fn meant(body: &[u8]) -> Result<Meant, String> {
    if body.is_empty() {
        return Ok(Meant::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| format!("the body is not like {{\"config\":\"/PATH\"}}: {error}"))
}

async fn ask(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    is_plan: bool,
    meant: Result<Meant, String>,
) -> Response {
    let config = match meant {
        Ok(Meant { config }) => config,
        Err(problem) => return answer::problem(StatusCode::BAD_REQUEST, &problem),
    };
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

//! `/v1/backup`: copies of the data directory, in the folder that the configuration names.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{Method, StatusCode},
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{
    answer::{self, Input, Nothing},
    asking::{self, Trouble},
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    token_list::Role,
};
use crate::backups::{self, Backups, Refusal};

pub const BACKUP: &str = "/v1/backup";

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: BACKUP,
        access: Access::Role(Role::Viewer),
        summary: "The backup that is being made, the last one, and those that are there",
        handler: || get(look),
    },
    Operation {
        method: Method::POST,
        path: BACKUP,
        access: Access::Role(Role::Admin),
        summary: "Begins to copy the data directory to the folder of store.backup_dir",
        handler: || post(begin),
    },
];

async fn begin(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(Nothing {}): Input<Nothing>,
) -> Response {
    let backups = Arc::clone(context.backups());
    let by = caller.by("the control socket");
    // The folder may be one of a network that hangs.
    let Ok(begun) = spawn_blocking(move || backups.begin(&by)).await else {
        return answer::unavailable("the broker ends");
    };
    match begun {
        Ok(name) => answer::respond(StatusCode::ACCEPTED, &json!({ "name": name })),
        Err(Refusal::Off(why)) => answer::conflict(why),
        Err(Refusal::Busy(why)) => answer::conflict(&why),
        Err(Refusal::Failed(why)) => answer::unavailable(&why),
    }
}

async fn look(State(context): State<Context>) -> Result<Response, Trouble> {
    let backups: Arc<Backups> = Arc::clone(context.backups());
    let reader = Arc::clone(&backups);
    let names = asking::aside(move || reader.names()).await?;
    let names = match names {
        Ok(names) => names,
        Err(error) => {
            let why = format!("store.backup_dir cannot be read: {error}");
            return Err(answer::conflict(&why).into());
        }
    };
    let backups::State { running, last, .. } = backups.look();
    let running = running.map(|begun| json!({ "name": begun.name, "began": begun.at }));
    let last = last.map(|ended| {
        let mut last: Value =
            json!({ "name": ended.name, "ended": ended.at, "is_done": ended.outcome.is_ok() });
        match ended.outcome {
            Ok(bytes) => last["bytes"] = json!(bytes),
            Err(why) => last["why"] = json!(why),
        }
        last
    });
    Ok(answer::ok(&json!({ "running": running, "last": last, "backups": names })))
}

//! `/v1/bans`: who may not come in, as operators order it.

use axum::{
    Extension,
    extract::State,
    http::Method,
    response::Response,
    routing::{delete, get, post},
};
use runtime::Ban;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    answer::{self, Input, Parameters},
    asking::Trouble,
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    pages::{self, Paged},
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
        summary: "The bans that hold, those of the configuration too, page by page",
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

/// Which bans are listed. What is not said does not matter.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    kind: Option<Kind>,
    /// Stands somewhere in whom it bans.
    name: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    ClientId,
    User,
    Address,
}

impl Wanted {
    fn wants(&self, ban: &BanText) -> bool {
        let BanText { client_id, user, address, .. } = ban;
        let named = [(Kind::ClientId, client_id), (Kind::User, user), (Kind::Address, address)];
        named.into_iter().filter_map(|(kind, name)| Some((kind, name.as_deref()?))).any(|(kind, name)| {
            self.kind.is_none_or(|wanted| wanted == kind)
                && self.name.as_deref().is_none_or(|part| name.contains(part))
        })
    }
}

async fn list(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let bans = carry_out(&context, &caller, Order::List).await?;
    Ok(answer::ok(&page(&bans, wanted)?))
}

async fn add(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(text): Input<BanText>,
) -> Result<Response, Trouble> {
    let ban = text.ban().map_err(|problem| answer::refused(&problem))?;
    let bans = carry_out(&context, &caller, Order::Add(ban)).await?;
    Ok(answer::ok(&page(&bans, Wanted::default())?))
}

async fn lift(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(text): Input<BanText>,
) -> Result<Response, Trouble> {
    let whom = text.whom().map_err(|problem| answer::refused(&problem))?;
    let bans = carry_out(&context, &caller, Order::Lift(whom.clone())).await?;
    let still: Vec<BanText> = bans.iter().filter(|ban| ban.whom.covers(&whom)).map(BanText::of).collect();
    let mut lifted = page(&bans, Wanted::default())?;
    lifted["still"] = json!(still);
    Ok(answer::ok(&lifted))
}

/// Gives the bans that hold after it.
async fn carry_out(context: &Context, caller: &Caller, order: Order) -> Result<Vec<Ban>, Trouble> {
    let (reply, answered) = oneshot::channel();
    let reply = Box::new(move |outcome| drop(reply.send(outcome)));
    let by = caller.by("iothub ban");
    if context.requests().try_send(Request::Bans { order, by, reply }).is_err() {
        return Err(answer::unavailable(BUSY).into());
    }
    match answered.await {
        Ok(Ok(bans)) => Ok(bans),
        Ok(Err(problem)) => Err(answer::conflict(&problem).into()),
        Err(_) => Err(answer::unavailable(ENDING).into()),
    }
}

fn page(bans: &[Ban], wanted: Wanted) -> Result<Value, Trouble> {
    let wants = |ban: &BanText| wanted.wants(ban);
    let all = bans.iter().map(BanText::of).filter(wants).map(|ban| json!(ban)).collect();
    let page = pages::part(all, &Paged { cursor: wanted.cursor, limit: wanted.limit })?;
    Ok(json!({ "bans": page.rows, "cursor": page.cursor }))
}

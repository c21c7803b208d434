//! `/v1/bans`: who may not come in, as operators order it.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::Method,
    response::Response,
    routing::{delete, get, post},
};
use runtime::{Ban, Whom};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{self, Input, Parameters},
    asking::{self, Trouble},
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    orders::Queue,
    pages::{self, Paged},
    reload::BUSY,
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
    fn wants(&self, ban: &Ban) -> bool {
        let (kind, has_part): (Kind, &dyn Fn(&str) -> bool) = match &ban.whom {
            Whom::ClientId(name) => (Kind::ClientId, &|part| name.contains(part)),
            Whom::User(name) => (Kind::User, &|part| name.contains(part)),
            Whom::Network(network) => (Kind::Address, &|part| network.to_string().contains(part)),
        };
        self.kind.is_none_or(|wanted| wanted == kind) && self.name.as_deref().is_none_or(has_part)
    }
}

async fn list(
    State(context): State<Context>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let bans = asking::desk(&context)?.bans();
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
async fn carry_out(context: &Context, caller: &Caller, order: Order) -> Result<Arc<[Ban]>, Trouble> {
    let (by, whole) = (caller.by("iothub ban"), context.clone());
    let work = async move {
        match whole.ask_control(|reply| Request::Bans { order, by, reply }).await {
            Some(Ok(bans)) => Ok(bans),
            Some(Err(problem)) => Err(answer::conflict(&problem).into()),
            None => Err(answer::unavailable(BUSY).into()),
        }
    };
    context.orders().see_through(Queue::Ban, work).await
}

fn page(bans: &[Ban], wanted: Wanted) -> Result<Value, Trouble> {
    let all = bans.iter().filter(|ban| wanted.wants(ban));
    let row = |ban: &&Ban| json!(BanText::of(ban));
    let page = pages::part(all, &Paged { cursor: wanted.cursor.clone(), limit: wanted.limit }, row)?;
    Ok(json!({ "bans": page.rows, "cursor": page.cursor }))
}

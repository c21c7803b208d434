//! `/v1/clients`: sessions with their clients, connected or not, and what one of them holds.

use axum::{
    Extension,
    extract::State,
    http::Method,
    response::Response,
    routing::{delete, get, post},
};
use runtime::{Desk, Looked};
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Act, BarredSeen, BreaksSeen, ComingsSeen, Look, Matching, ReasonCode, RefusedSeen, Seen};

use super::{
    acts::{self, Deed, Told},
    answer::{self, ClientInPath, Input, Nothing, Parameters},
    asking::{self, Trouble},
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    pages::{self, Cursor},
    rows,
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/v1/clients",
        access: Access::Role(Role::Viewer),
        summary: "Sessions with their clients, connected or not, page by page",
        handler: || get(list),
    },
    Operation {
        method: Method::GET,
        path: "/v1/clients/{client_id}",
        access: Access::Role(Role::Viewer),
        summary: "One session with its connection, subscriptions, queue, messages in flight and last packets",
        handler: || get(one),
    },
    Operation {
        method: Method::POST,
        path: "/v1/clients/{client_id}/disconnect",
        access: Access::Role(Role::Operator),
        summary: "Ends the connection of a client; its session lives on as if the network had failed",
        handler: || post(disconnect_one),
    },
    Operation {
        method: Method::DELETE,
        path: "/v1/clients/{client_id}",
        access: Access::Role(Role::Operator),
        summary: "Ends the connection of a client, if it has one, and its session with all that it holds",
        handler: || delete(end_one),
    },
    Operation {
        method: Method::DELETE,
        path: "/v1/clients/{client_id}/queue",
        access: Access::Role(Role::Operator),
        summary: "Drops the messages that wait for a client, but for those in flight",
        handler: || delete(purge_one),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    client_id: Option<Box<str>>,
    user: Option<Box<str>>,
    connected: Option<bool>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowMuch {
    limit: Option<usize>,
}

async fn list(
    State(context): State<Context>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let (cursor, limit) = (Cursor::read(wanted.cursor.as_deref())?, pages::limit(wanted.limit)?);
    let Wanted { client_id, user, connected: is_connected, .. } = wanted;
    let matching = Matching { client_id, user, is_connected, ..Matching::default() };
    let ask = |after, most| Look::Clients { matching: matching.clone(), after, most };
    let take = |Looked { seen, addresses, .. }: Looked| match seen {
        Seen::Clients(page) => {
            (page.rows.iter().map(|client| rows::client(client, &addresses)).collect(), page.next)
        }
        _ => (Vec::new(), None),
    };
    let page = pages::collect(asking::desk(&context)?, cursor, limit, ask, take).await?;
    Ok(answer::ok(&json!({ "clients": page.rows, "cursor": page.cursor })))
}

async fn one(
    State(context): State<Context>,
    ClientInPath(client_id): ClientInPath,
    Parameters(HowMuch { limit }): Parameters<HowMuch>,
) -> Result<Response, Trouble> {
    find(asking::desk(&context)?, &client_id, pages::limit(limit)?).await.map(|whole| answer::ok(&whole))
}

pub async fn find(desk: &Desk, client_id: &str, most: usize) -> Result<Value, Trouble> {
    let look = Look::Client { client_id: client_id.into(), most };
    let (Looked { seen, addresses, .. }, comings) = asking::of_client(desk, client_id, look).await?;
    match seen {
        Seen::Client(Some(whole)) => Ok(rows::whole(&whole, &addresses, &comings)),
        _ => Err(absent(client_id, &comings)),
    }
}

/// Neither connected nor with a session.
pub fn absent(client_id: &str, comings: &ComingsSeen) -> Trouble {
    let (mut why, mut commands) = (Vec::new(), Vec::new());
    if let Some(refused) = &comings.refused {
        why.push(refused.text(comings.presence));
        commands.push(RefusedSeen::place(client_id));
    }
    why.extend(comings.breaks.as_ref().map(BreaksSeen::text));
    for ban in &comings.bans {
        why.push(ban.text());
        commands.push(ban.lifted_by(client_id));
    }
    if let Some(barred) = comings.barred() {
        why.push(barred.text());
        commands.push(BarredSeen::PLACE.to_owned());
    }
    let besides = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
    let why = format!("there is no client {client_id:?}, and no session of one{besides}");
    answer::absent(&why, &commands).into()
}

async fn disconnect_one(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    ClientInPath(client_id): ClientInPath,
    Input(Nothing {}): Input<Nothing>,
) -> Result<Response, Trouble> {
    disconnect(&context, &caller, client_id).await
}

async fn end_one(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    ClientInPath(client_id): ClientInPath,
) -> Result<Response, Trouble> {
    end(&context, &caller, client_id).await
}

async fn purge_one(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    ClientInPath(client_id): ClientInPath,
) -> Result<Response, Trouble> {
    purge(&context, &caller, client_id).await
}

pub async fn disconnect(context: &Context, caller: &Caller, client_id: String) -> Result<Response, Trouble> {
    let deed = Deed::new(caller, "disconnect_client", &client_id);
    let whom: Box<str> = client_id.as_str().into();
    let order =
        move |_| Act::Disconnect { client_id: whom.clone(), reason: ReasonCode::AdministrativeAction };
    let done = acts::everywhere(context, deed, Told::IfAny, order).await?;
    if done.count == 0 {
        let why = format!("there is no client {client_id:?} that is connected");
        return Err(answer::not_found(&why).into());
    }
    Ok(answer::ok(&json!({ "disconnected": done.count })))
}

pub async fn end(context: &Context, caller: &Caller, client_id: String) -> Result<Response, Trouble> {
    let deed = Deed::new(caller, "end_session", &client_id);
    let whom: Box<str> = client_id.as_str().into();
    let order = move |_| Act::EndSession { client_id: whom.clone() };
    let done = acts::everywhere(context, deed, Told::IfAny, order).await?;
    if done.count == 0 {
        return Err(absent(&client_id, &asking::comings(asking::desk(context)?, &client_id).await));
    }
    Ok(answer::ok(&json!({ "ended": done.count })))
}

pub async fn purge(context: &Context, caller: &Caller, client_id: String) -> Result<Response, Trouble> {
    find(asking::desk(context)?, &client_id, 1).await?;
    let deed = Deed::new(caller, "purge_queue", &client_id);
    let order = move |_| Act::PurgeQueue { client_id: client_id.as_str().into() };
    let done = acts::everywhere(context, deed, Told::WithCount, order).await?;
    Ok(answer::ok(&json!({ "dropped": done.count, "is_partial": done.is_partial })))
}

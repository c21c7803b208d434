//! `/v1/users`: the user database. Nothing that is secret leaves it.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Extension,
    extract::State,
    http::{Method, StatusCode},
    response::Response,
    routing::{delete, get, patch, post},
};
use identity::{Secret, UserRecord, UserTable, check_user};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{
    acts::Deed,
    answer::{self, Input, Parameters, UserInPath},
    asking::Trouble,
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    orders::Queue,
    pages::{self, Paged},
    token_list::Role,
};
use crate::{control::Request, user};

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/v1/users",
        access: Access::Role(Role::Viewer),
        summary: "The users of the user database, by name, page by page",
        handler: || get(list),
    },
    Operation {
        method: Method::POST,
        path: "/v1/users",
        access: Access::Role(Role::Admin),
        summary: "Adds a user",
        handler: || post(add),
    },
    Operation {
        method: Method::GET,
        path: "/v1/users/{user}",
        access: Access::Role(Role::Viewer),
        summary: "One user",
        handler: || get(one),
    },
    Operation {
        method: Method::PATCH,
        path: "/v1/users/{user}",
        access: Access::Role(Role::Admin),
        summary: "Changes a user: what is not named stays",
        handler: || patch(change),
    },
    Operation {
        method: Method::DELETE,
        path: "/v1/users/{user}",
        access: Access::Role(Role::Admin),
        summary: "Deletes a user; who is connected as this user is disconnected",
        handler: || delete(remove),
    },
    Operation {
        method: Method::GET,
        path: "/v1/roles",
        access: Access::Role(Role::Viewer),
        summary: "The roles that the rules of access make",
        handler: || get(roles),
    },
];

/// A name stands somewhere in that of each user, or role, that is listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersWanted {
    user: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RolesWanted {
    role: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

async fn roles(
    State(context): State<Context>,
    Parameters(RolesWanted { role, cursor, limit }): Parameters<RolesWanted>,
) -> Result<Response, Trouble> {
    let is_wanted = |name: &&str| role.as_deref().is_none_or(|part| name.contains(part));
    let facts = context.facts();
    let all: Vec<&str> = facts.vocabulary.roles().filter(is_wanted).collect();
    let page = pages::part(all.into_iter(), &Paged { cursor, limit }, |role| json!(role))?;
    Ok(answer::ok(&json!({ "roles": page.rows, "cursor": page.cursor })))
}

/// What is said of a user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// Only where one is added.
    user: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    password: Option<Secret>,
    /// Keys for SCRAM as well, made of the password.
    #[serde(default)]
    scram: bool,
    groups: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    is_disabled: Option<bool>,
}

/// Wiped with the request, also where that is refused.
fn secret<'de, D: Deserializer<'de>>(said: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(said)?.map(Secret::from))
}

async fn list(
    State(context): State<Context>,
    Parameters(UsersWanted { user: part, cursor, limit }): Parameters<UsersWanted>,
) -> Result<Response, Trouble> {
    let limit = pages::limit(limit)?;
    let table = read(&context).await?;
    let after = |user: &str| cursor.as_deref().is_none_or(|cursor| user > cursor);
    let is_wanted = |user: &str| part.as_deref().is_none_or(|part| user.contains(part));
    let mut rest = table.records.iter().filter(|(user, _)| after(user) && is_wanted(user));
    let told: Vec<_> = rest.by_ref().take(limit).collect();
    let cursor = rest.next().and(told.last()).map(|(user, _)| user);
    let users: Vec<Value> = told.iter().map(|(user, record)| row(user, record)).collect();
    Ok(answer::ok(&json!({ "users": users, "cursor": cursor })))
}

async fn one(State(context): State<Context>, UserInPath(user): UserInPath) -> Result<Response, Trouble> {
    let table = read(&context).await?;
    match table.records.get(user.as_str()) {
        Some(record) => Ok(answer::ok(&row(&user, record))),
        None => Err(absent(&user)),
    }
}

async fn add(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(said): Input<Said>,
) -> Result<Response, Trouble> {
    let Some(user) = said.user.clone() else {
        return Err(answer::refused("user: expected the name of the user").into());
    };
    check_user(&user).map_err(|error| answer::refused(&format!("user: {error}")))?;
    answer::check_path_of(&user).map_err(|why| answer::refused(&why))?;
    let record =
        change_file(&context, Deed::new(&caller, "add_user", &user), &user, said, Is::Absent).await?;
    Ok(answer::respond(StatusCode::CREATED, &changed_row(&context, &user, &record)))
}

async fn change(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    UserInPath(user): UserInPath,
    Input(said): Input<Said>,
) -> Result<Response, Trouble> {
    if said.user.as_ref().is_some_and(|said| *said != user) {
        return Err(answer::refused("user: a user keeps its name: add another one and delete this").into());
    }
    let record =
        change_file(&context, Deed::new(&caller, "change_user", &user), &user, said, Is::Present).await?;
    Ok(answer::ok(&changed_row(&context, &user, &record)))
}

async fn remove(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    UserInPath(user): UserInPath,
) -> Result<Response, Trouble> {
    let (file, name) = (database(&context)?, user.clone());
    let remove = move || {
        user::change_table(&file, |table| match table.records.remove(name.as_str()) {
            Some(_) => Ok(()),
            None => Err(Refusal::Absent(name)),
        })
    };
    carry_out(&context, Deed::new(&caller, "delete_user", &user), remove).await?;
    Ok(answer::ok(&json!({ "deleted": user })))
}

/// Whether the user has to be there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Absent,
    Present,
}

/// Why the file stays as it is.
enum Refusal {
    Absent(String),
    There(String),
    /// What was said is wrong.
    Wrong(String),
    /// The file, or another program that changes it.
    File(String),
}

impl From<String> for Refusal {
    fn from(sentence: String) -> Refusal {
        Refusal::File(sentence)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Trouble {
        match refusal {
            Refusal::Absent(user) => absent(&user),
            Refusal::There(user) => answer::conflict(&format!("there is a user {user:?} already")).into(),
            Refusal::Wrong(sentence) => answer::refused(&sentence).into(),
            Refusal::File(sentence) => answer::conflict(&sentence).into(),
        }
    }
}

fn absent(user: &str) -> Trouble {
    answer::not_found(&format!("there is no user {user:?} in the user database")).into()
}

/// Hashing takes a tenth of a second, and comes before the file is changed: nobody else has to wait for it.
async fn change_file(
    context: &Context,
    deed: Deed,
    user: &str,
    said: Said,
    is: Is,
) -> Result<UserRecord, Trouble> {
    let (file, user) = (database(context)?, user.to_owned());
    let change = move || {
        let Said { password, scram, groups, roles, is_disabled, .. } = said;
        if scram && password.is_none() {
            return Err(Refusal::Wrong("scram: its keys are made of the password: say both".to_owned()));
        }
        let mut secrets = UserRecord::default();
        if let Some(password) = password {
            user::give_password(&mut secrets, &password, scram).map_err(Refusal::Wrong)?;
        }
        let groups = groups.map(names).transpose()?;
        let roles = roles.map(names).transpose()?;
        let mut changed = UserRecord::default();
        user::change_table(&file, |table| {
            match (table.records.contains_key(user.as_str()), is) {
                (true, Is::Absent) => return Err(Refusal::There(user)),
                (false, Is::Present) => return Err(Refusal::Absent(user)),
                _ => {}
            }
            let record = table.records.entry(user.as_str().into()).or_default();
            if secrets.password.is_some() {
                (record.password, record.scram) = (secrets.password, secrets.scram);
            }
            record.groups = groups.unwrap_or_else(|| std::mem::take(&mut record.groups));
            record.roles = roles.unwrap_or_else(|| std::mem::take(&mut record.roles));
            record.is_disabled = is_disabled.unwrap_or(record.is_disabled);
            changed = record.clone();
            Ok(())
        })?;
        Ok(changed)
    };
    carry_out(context, deed, change).await
}

fn names(texts: Vec<String>) -> Result<Vec<Arc<str>>, Refusal> {
    let is_name = |text: &String| !text.is_empty() && !text.contains(char::is_control);
    match texts.iter().find(|text| !is_name(text)) {
        Some(text) => Err(Refusal::Wrong(format!("{text:?} is no name of a group or a role"))),
        None => Ok(texts.into_iter().map(Arc::from).collect()),
    }
}

/// One change after the other. The broker takes it on at once, and only then is it said to be done.
async fn carry_out<T: Send + 'static>(
    context: &Context,
    deed: Deed,
    change: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Trouble> {
    let whole = context.clone();
    let work = async move {
        let changed = aside(change).await?;
        let by = deed.by().to_owned();
        let taken_on = whole.ask_control(|reply| Request::Users { by, reply }).await;
        // What the broker did not take on stands in the file all the same.
        deed.tell();
        match taken_on {
            Some(Ok(_)) => Ok(changed),
            Some(Err(problems)) => Err(answer::conflict(&problems.join("; ")).into()),
            None => Err(answer::unavailable(LATER).into()),
        }
    };
    context.orders().see_through(Queue::User, work).await
}

/// Who watches files takes it on.
const LATER: &str = "the user database is changed; the broker ends, or has other things to do first, and takes it on when it gets to it";

fn database(context: &Context) -> Result<PathBuf, Trouble> {
    context.facts().user_database.clone().ok_or_else(|| {
        answer::conflict("this broker has no user database: name one in authentication.user_database").into()
    })
}

async fn read(context: &Context) -> Result<Arc<UserTable>, Trouble> {
    let table = context.roll().table(database(context)?).await?;
    table.map_err(|sentence| Refusal::File(sentence).into())
}

/// On a thread of its own: the API goes on meanwhile.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Trouble> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(Trouble::from),
        Err(_) => Err(answer::unavailable("the broker ends").into()),
    }
}

/// With what is taken and gives nothing.
fn changed_row(context: &Context, user: &str, record: &UserRecord) -> Value {
    let mut row = row(user, record);
    row["warnings"] = json!(context.facts().vocabulary.warnings_of(record));
    row
}

fn row(user: &str, record: &UserRecord) -> Value {
    let scram: Vec<&str> = record.scram.iter().map(|credential| credential.mechanism.name()).collect();
    json!({
        "user": user,
        "has_password": record.password.is_some(),
        "scram": scram,
        "groups": record.groups.iter().map(|group| &**group).collect::<Vec<_>>(),
        "roles": record.roles.iter().map(|role| &**role).collect::<Vec<_>>(),
        "is_disabled": record.is_disabled,
    })
}

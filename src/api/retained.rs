//! `/v1/retained`: retained messages, sorted by topic over all shards.

use axum::{
    Extension,
    extract::State,
    http::Method,
    response::Response,
    routing::{delete, get, post},
};
use runtime::Looked;
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Act, Instant, Look, Message, Seen, is_topic_filter, is_topic_name};

use super::{
    acts::{self, Deed, Told},
    answer::{self, Input, Parameters},
    asking::{self, Trouble},
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    pages, rows,
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/v1/retained",
        access: Access::Role(Role::Viewer),
        summary: "Retained messages that match a topic filter, sorted by topic, page by page",
        handler: || get(list_by_parameters),
    },
    Operation {
        method: Method::POST,
        path: "/v1/retained",
        access: Access::Role(Role::Viewer),
        summary: "The same with filter, cursor and limit in the body, where they may be as long as topics in MQTT",
        handler: || post(list_by_body),
    },
    Operation {
        method: Method::GET,
        path: "/v1/retained/one",
        access: Access::Role(Role::Viewer),
        summary: "The retained message of a topic, with its payload",
        handler: || get(one_by_parameters),
    },
    Operation {
        method: Method::POST,
        path: "/v1/retained/one",
        access: Access::Role(Role::Viewer),
        summary: "The same with the topic in the body",
        handler: || post(one_by_body),
    },
    Operation {
        method: Method::DELETE,
        path: "/v1/retained",
        access: Access::Role(Role::Operator),
        summary: "Drops the retained messages that match a topic filter",
        handler: || delete(drop_by_parameters),
    },
    Operation {
        method: Method::POST,
        path: "/v1/retained/drop",
        access: Access::Role(Role::Operator),
        summary: "The same with the filter in the body",
        handler: || post(drop_by_body),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    filter: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTopic {
    topic: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfFilter {
    filter: String,
}

/// A filter that a client could subscribe to.
pub fn check_filter(filter: &str) -> Result<(), Trouble> {
    match is_topic_filter(filter) {
        true => Ok(()),
        false => Err(answer::refused(&format!("filter: {filter:?} is no topic filter")).into()),
    }
}

pub fn check_topic(topic: &str) -> Result<(), Trouble> {
    match is_topic_name(topic) {
        true => Ok(()),
        false => Err(answer::refused(&format!("topic: {topic:?} is no topic name")).into()),
    }
}

async fn list_by_parameters(
    State(context): State<Context>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    list(&context, wanted).await
}

async fn list_by_body(
    State(context): State<Context>,
    Input(wanted): Input<Wanted>,
) -> Result<Response, Trouble> {
    list(&context, wanted).await
}

async fn one_by_parameters(
    State(context): State<Context>,
    Parameters(OfTopic { topic }): Parameters<OfTopic>,
) -> Result<Response, Trouble> {
    one(&context, &topic).await
}

async fn one_by_body(
    State(context): State<Context>,
    Input(OfTopic { topic }): Input<OfTopic>,
) -> Result<Response, Trouble> {
    one(&context, &topic).await
}

async fn drop_by_parameters(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Parameters(OfFilter { filter }): Parameters<OfFilter>,
) -> Result<Response, Trouble> {
    drop_matching(&context, &caller, filter).await
}

async fn drop_by_body(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(OfFilter { filter }): Input<OfFilter>,
) -> Result<Response, Trouble> {
    drop_matching(&context, &caller, filter).await
}

async fn list(context: &Context, wanted: Wanted) -> Result<Response, Trouble> {
    let limit = pages::limit(wanted.limit)?;
    let filter = wanted.filter.as_deref().unwrap_or("#");
    check_filter(filter)?;
    let look = Look::Retained {
        filter: filter.into(),
        after: wanted.cursor.as_deref().map(Into::into),
        most: limit,
    };
    let looked = asking::look_everywhere(asking::desk(context)?, &look).await?;
    let (rows, cursor) = merge(looked, limit);
    Ok(answer::ok(&json!({ "retained": rows, "cursor": cursor })))
}

/// The first rows of all shards together. What a shard has behind the end of its page is not known yet, so nothing behind that is told.
fn merge(looked: Vec<Looked>, limit: usize) -> (Vec<Value>, Option<String>) {
    let (mut messages, mut end) = (Vec::new(), None::<Box<str>>);
    for Looked { seen, now, .. } in looked {
        let Seen::Retained { messages: more, next } = seen else { continue };
        messages.extend(more.into_iter().map(|message| (message, now)));
        end = match (end, next) {
            (Some(end), Some(next)) => Some(end.min(next)),
            (end, next) => end.or(next),
        };
    }
    messages.sort_by(|(one, _), (other, _)| one.topic().cmp(other.topic()));
    let is_known = |topic: &str| end.as_deref().is_none_or(|end| topic <= end);
    let known = messages.iter().take_while(|(message, _)| is_known(message.topic())).count();
    let topics = messages[..known].iter().map(|(message, _)| message.topic().len());
    let told = &messages[..fitting(topics).min(limit)];
    let cursor = match told.last() {
        Some((message, _)) if known > told.len() => Some(message.topic().to_owned()),
        _ => end.map(String::from),
    };
    (told.iter().map(|(message, now)| rows::retained(message, *now)).collect(), cursor)
}

/// How many topics are one page; one at the least, if there is one.
fn fitting(topics: impl Iterator<Item = usize>) -> usize {
    let before = topics.scan(0, |bytes, len| Some(std::mem::replace(bytes, *bytes + len)));
    before.take_while(|before| *before < pages::BYTES_MAX).count()
}

async fn one(context: &Context, topic: &str) -> Result<Response, Trouble> {
    check_topic(topic)?;
    let look = Look::Retained { filter: topic.into(), after: None, most: 1 };
    for Looked { seen, now, .. } in asking::look_everywhere(asking::desk(context)?, &look).await? {
        if let Seen::Retained { messages, .. } = seen
            && let Some(message) = messages.into_iter().next()
        {
            return whole(message, now).await;
        }
    }
    Err(answer::not_found(&format!("there is no retained message of {topic:?}")).into())
}

/// A large one is written beside the thread that answers everybody: a megabyte takes it some milliseconds.
async fn whole(message: Message, now: Instant) -> Result<Response, Trouble> {
    let is_large = message.payload().len() > PAYLOAD_BYTES_AT_ONCE;
    let write = move || answer::ok(&rows::retained_whole(&message, now));
    if is_large {
        return asking::aside(write).await;
    }
    Ok(write())
}

/// Which ones has to be said: nobody drops all of them by an oversight.
async fn drop_matching(context: &Context, caller: &Caller, filter: String) -> Result<Response, Trouble> {
    check_filter(&filter)?;
    let deed = Deed::new(caller, "drop_retained", &filter);
    let order = move |after| Act::DropRetained { filter: filter.as_str().into(), after };
    let done = acts::everywhere(context, deed, Told::WithCount, order).await?;
    Ok(answer::ok(&json!({ "dropped": done.count, "is_partial": done.is_partial })))
}

const PAYLOAD_BYTES_AT_ONCE: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_as_many_topics_as_have_room() {
        assert_eq!(fitting([].into_iter()), 0);
        assert_eq!(fitting([30; 1000].into_iter()), 1000);
        assert_eq!(fitting([2 * pages::BYTES_MAX; 3].into_iter()), 1);
        assert_eq!(fitting([60_000; 1000].into_iter()), pages::BYTES_MAX / 60_000 + 1);
    }
}

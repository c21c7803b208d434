//! `/v1/drops`: which messages were lost, whose they were, and on which topics.

use std::{cmp::Reverse, collections::BTreeMap};

use axum::{
    extract::State,
    http::Method,
    response::Response,
    routing::{get, post},
};
use runtime::{Looked, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Cause, ClientLost, Counters, Look, Loss, PrefixLost, Seen, Side};

use super::{
    answer::{self, Input, Parameters},
    asking::{self, Trouble},
    context::Context,
    operation::{Access, Operation},
    pages::{self, Cursor},
    rows::{moment, seconds},
    token_list::Role,
};

/// By client.
pub const DROPS: &str = "/v1/drops";
/// By the first levels of topics.
pub const DROPS_BY_TOPIC: &str = "/v1/drops/topics";
/// All together.
pub const DROPS_BY_CAUSE: &str = "/v1/drops/causes";
/// Those that stand in neither.
pub const OTHER_DROPS: &str = "/v1/drops/others";

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: DROPS,
        access: Access::Role(Role::Viewer),
        summary: "Lost messages by client, cause and topic, page by page",
        handler: || get(clients_by_parameters),
    },
    Operation {
        method: Method::POST,
        path: DROPS,
        access: Access::Role(Role::Viewer),
        summary: "The same with the question in the body, where a client id may be as long as in MQTT",
        handler: || post(clients_by_body),
    },
    Operation {
        method: Method::GET,
        path: DROPS_BY_TOPIC,
        access: Access::Role(Role::Viewer),
        summary: "Lost messages by the first levels of their topics, page by page",
        handler: || get(topics),
    },
    Operation {
        method: Method::GET,
        path: DROPS_BY_CAUSE,
        access: Access::Role(Role::Viewer),
        summary: "All causes for which messages are lost, and how many each of them has lost",
        handler: || get(causes),
    },
    Operation {
        method: Method::GET,
        path: OTHER_DROPS,
        access: Access::Role(Role::Viewer),
        summary: "Lost messages that stand in neither list, by cause",
        handler: || get(others),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    client_id: Option<Box<str>>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedTopics {
    /// Stands somewhere in the first levels.
    prefix: Option<Box<str>>,
    cursor: Option<String>,
    limit: Option<usize>,
}

async fn clients_by_parameters(
    State(context): State<Context>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    clients(&context, wanted).await
}

async fn clients_by_body(
    State(context): State<Context>,
    Input(wanted): Input<Wanted>,
) -> Result<Response, Trouble> {
    clients(&context, wanted).await
}

async fn clients(context: &Context, wanted: Wanted) -> Result<Response, Trouble> {
    let Wanted { client_id, cursor, limit } = wanted;
    let (cursor, limit) = (Cursor::read(cursor.as_deref())?, pages::limit(limit)?);
    let ask = |after, most| Look::ClientLosses { client_id: client_id.clone(), after, most };
    let take = |looked: Looked| match looked.seen {
        Seen::ClientLosses(page) => (page.rows.iter().map(of_client).collect(), page.next),
        _ => (Vec::new(), None),
    };
    let page = pages::collect(asking::desk(context)?, cursor, limit, ask, take).await?;
    Ok(answer::ok(&json!({ "clients": page.rows, "cursor": page.cursor })))
}

/// Each shard keeps some prefixes, which are put together here, sorted by prefix.
async fn topics(
    State(context): State<Context>,
    Parameters(wanted): Parameters<WantedTopics>,
) -> Result<Response, Trouble> {
    let WantedTopics { prefix: part, cursor, limit } = wanted;
    let limit = pages::limit(limit)?;
    let desk = asking::desk(&context)?;
    let mut merged: BTreeMap<Box<str>, Vec<Loss>> = BTreeMap::new();
    for shard in desk.shards() {
        let mut after = None;
        loop {
            let look = Look::PrefixLosses { after, most: PREFIXES_AT_ONCE };
            let Seen::PrefixLosses(page) = asking::look(desk, shard, look).await?.seen else { break };
            let is_wanted = |row: &PrefixLost| {
                cursor.as_deref().is_none_or(|cursor| *row.prefix > *cursor)
                    && part.as_deref().is_none_or(|part| row.prefix.contains(part))
            };
            for PrefixLost { prefix, losses } in page.rows.into_iter().filter(is_wanted) {
                merge(merged.entry(prefix).or_default(), losses);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    let has_more = merged.len() > limit;
    let rows: Vec<Value> =
        merged.iter().take(limit).map(|(prefix, losses)| of_prefix(prefix, losses)).collect();
    let last = merged.keys().take(limit).next_back().filter(|_| has_more);
    Ok(answer::ok(&json!({ "prefixes": rows, "cursor": last })))
}

/// By cause.
fn merge(known: &mut Vec<Loss>, others: Vec<Loss>) {
    for other in others {
        match known.iter_mut().find(|loss| loss.cause == other.cause) {
            None => known.push(other),
            Some(loss) => {
                loss.count += other.count;
                loss.first_ago = loss.first_ago.max(other.first_ago);
                loss.last_ago = loss.last_ago.min(other.last_ago);
            }
        }
    }
}

/// Also those that have lost nothing yet: whoever shows losses has the list of causes from here.
async fn causes(State(context): State<Context>) -> Result<Response, Trouble> {
    let snapshots = asking::snapshots(asking::desk(&context)?).await?;
    Ok(answer::ok(&by_cause(&snapshots)))
}

pub fn by_cause(snapshots: &[Snapshot]) -> Value {
    let mut counters = Counters::default();
    snapshots.iter().for_each(|snapshot| counters.add(&snapshot.counters));
    let row = |cause: &Cause| {
        json!({
            "cause": cause.word(),
            "side": cause.side().word(),
            "why": cause.text(),
            "counter": cause.counter(),
            "count": cause.count(&counters),
        })
    };
    json!({
        "out": Side::Out.count(&counters),
        "in": Side::In.count(&counters),
        "causes": Cause::ALL.iter().map(row).collect::<Vec<_>>(),
    })
}

async fn others(State(context): State<Context>) -> Result<Response, Trouble> {
    let mut sums: [Vec<Loss>; 3] = Default::default();
    for looked in asking::look_everywhere(asking::desk(&context)?, &Look::OtherLosses).await? {
        let Seen::OtherLosses(others) = looked.seen else { continue };
        let lists = [others.other_clients, others.of_nobody, others.other_prefixes];
        lists.into_iter().zip(&mut sums).for_each(|(losses, sums)| merge(sums, losses));
    }
    let [other_clients, of_nobody, other_prefixes] = sums.map(|sums| sorted(&sums));
    let body = json!({
        "other_clients": other_clients,
        "of_nobody": of_nobody,
        "other_prefixes": other_prefixes,
    });
    Ok(answer::ok(&body))
}

pub fn of_client(lost: &ClientLost) -> Value {
    json!({
        "client_id": lost.client_id,
        "shard": lost.shard.0,
        "lost": sorted(&lost.losses),
        "topics": sorted(&lost.topics),
    })
}

fn of_prefix(prefix: &str, losses: &[Loss]) -> Value {
    json!({ "prefix": prefix, "lost": sorted(losses) })
}

/// Those on the way to clients before those on the way in, the most frequent first.
fn sorted(losses: &[Loss]) -> Vec<Value> {
    let mut sorted: Vec<&Loss> = losses.iter().collect();
    sorted.sort_by_key(|loss| (loss.cause.side() == Side::In, Reverse(loss.count), loss.last_ago));
    sorted.into_iter().map(loss).collect()
}

fn loss(loss: &Loss) -> Value {
    let mut row = json!({
        "cause": loss.cause.word(),
        "side": loss.cause.side().word(),
        "why": loss.cause.text(),
        "count": loss.count,
        "first_ago_s": seconds(loss.first_ago),
        "last_ago_s": seconds(loss.last_ago),
        "first_at": moment(loss.first_ago),
        "last_at": moment(loss.last_ago),
    });
    if let Some(topic) = &loss.topic {
        row["topic"] = json!(topic);
    }
    row
}

/// A shard is asked for so many at a time.
const PREFIXES_AT_ONCE: usize = 500;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn losses_of_several_shards_are_one_by_cause() {
        let loss = |cause, count, first, last| Loss {
            cause,
            topic: None,
            count,
            first_ago: Duration::from_secs(first),
            last_ago: Duration::from_secs(last),
        };
        let mut known = vec![loss(Cause::Expired, 2, 9, 5)];
        merge(&mut known, vec![loss(Cause::Expired, 3, 7, 1), loss(Cause::QueueBytes, 1, 4, 4)]);
        assert_eq!(known, [loss(Cause::Expired, 5, 9, 1), loss(Cause::QueueBytes, 1, 4, 4)]);
    }
}

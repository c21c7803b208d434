//! `/v1/drops`: which messages were lost, whose they were, and on which topics.

use std::{cmp::Reverse, collections::BTreeMap};

use axum::{
    extract::State,
    http::Method,
    response::Response,
    routing::{get, post},
};
use runtime::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Cause, ClientLost, Counters, Look, Loss, PrefixLost, Seen, Side};

use super::{
    answer::{self, Input, Parameters},
    asking::{self, Trouble},
    context::Context,
    operation::{Access, Operation},
    pages,
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
        summary: "Lost messages by client, cause and topic, those with the most first, page by page",
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
        summary: "Lost messages by the first levels of their topics, those with the most first, page by page",
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
    #[serde(default)]
    by: By,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedTopics {
    /// Stands somewhere in the first levels.
    prefix: Option<Box<str>>,
    #[serde(default)]
    by: By,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    /// Those with the most losses first.
    #[default]
    Count,
    /// By client id or prefix: whoever loses more between two pages is told once all the same.
    Name,
}

/// Where a row stands in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// 0 where they are not what it goes by.
    count: Reverse<u64>,
    name: Box<str>,
    shard: u8,
}

impl Place {
    fn of(by: By, losses: &[Loss], name: &str, shard: u8) -> Place {
        let count = losses.iter().map(|loss| loss.count).sum();
        Place { count: Reverse(if by == By::Count { count } else { 0 }), name: name.into(), shard }
    }

    fn read(text: &str) -> Option<Place> {
        let (count, rest) = text.split_once('-')?;
        let (shard, name) = rest.split_once('-')?;
        Some(Place { count: Reverse(count.parse().ok()?), name: name.into(), shard: shard.parse().ok()? })
    }

    fn text(&self) -> String {
        format!("{}-{}-{}", self.count.0, self.shard, self.name)
    }
}

/// The first rows behind a place, however many there are.
struct First<T> {
    after: Option<Place>,
    most: usize,
    rows: BTreeMap<Place, T>,
    has_more: bool,
}

impl<T> First<T> {
    fn behind(cursor: Option<&str>, most: usize) -> Result<First<T>, Trouble> {
        let unknown = || answer::refused("cursor: expected what the page before has said");
        let after = cursor.map(|text| Place::read(text).ok_or(())).transpose().map_err(|()| unknown())?;
        Ok(First { after, most, rows: BTreeMap::new(), has_more: false })
    }

    fn take(&mut self, place: Place, row: T) {
        if self.after.as_ref().is_some_and(|after| place <= *after) {
            return;
        }
        self.rows.insert(place, row);
        if self.rows.len() > self.most {
            self.rows.pop_last();
            self.has_more = true;
        }
    }

    /// As many as one answer has room for, and where it goes on.
    fn told(self, tell: impl Fn(&Place, &T) -> Value) -> (Vec<Value>, Option<String>) {
        let (mut rows, mut bytes, mut last) = (Vec::new(), 0, None);
        let has_more = self.has_more;
        let len = self.rows.len();
        for (place, row) in self.rows {
            if bytes >= pages::BYTES_MAX {
                break;
            }
            let row = tell(&place, &row);
            bytes += pages::weight(&row);
            rows.push(row);
            last = Some(place);
        }
        let is_end = rows.len() == len && !has_more;
        (rows, last.filter(|_| !is_end).map(|place| place.text()))
    }
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
    let Wanted { client_id, by, cursor, limit } = wanted;
    let mut first = First::behind(cursor.as_deref(), pages::limit(limit)?)?;
    let desk = asking::desk(context)?;
    for shard in desk.shards() {
        let mut after = None;
        loop {
            let look = Look::ClientLosses { client_id: client_id.clone(), after, most: ROWS_AT_ONCE };
            let Seen::ClientLosses(page) = asking::look(desk, shard, look).await?.seen else { break };
            for row in page.rows {
                first.take(Place::of(by, &row.losses, &row.client_id, shard.0), row);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    let (rows, cursor) = first.told(|_, row| of_client(row));
    Ok(answer::ok(&json!({ "clients": rows, "cursor": cursor })))
}

/// Each shard keeps some prefixes, which are put together here.
async fn topics(
    State(context): State<Context>,
    Parameters(wanted): Parameters<WantedTopics>,
) -> Result<Response, Trouble> {
    let WantedTopics { prefix: part, by, cursor, limit } = wanted;
    let mut first = First::behind(cursor.as_deref(), pages::limit(limit)?)?;
    let desk = asking::desk(&context)?;
    let mut merged: BTreeMap<Box<str>, Vec<Loss>> = BTreeMap::new();
    for shard in desk.shards() {
        let mut after = None;
        loop {
            let look = Look::PrefixLosses { after, most: ROWS_AT_ONCE };
            let Seen::PrefixLosses(page) = asking::look(desk, shard, look).await?.seen else { break };
            let is_wanted = |row: &PrefixLost| part.as_deref().is_none_or(|part| row.prefix.contains(part));
            for PrefixLost { prefix, losses } in page.rows.into_iter().filter(is_wanted) {
                merge(merged.entry(prefix).or_default(), losses);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    for (prefix, losses) in merged {
        first.take(Place::of(by, &losses, &prefix, 0), losses);
    }
    let (rows, cursor) = first.told(|place, losses| of_prefix(&place.name, losses));
    Ok(answer::ok(&json!({ "prefixes": rows, "cursor": cursor })))
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
    let mut sums: [Vec<Loss>; 4] = Default::default();
    for looked in asking::look_everywhere(asking::desk(&context)?, &Look::OtherLosses).await? {
        let Seen::OtherLosses(others) = looked.seen else { continue };
        let lists = [others.other_clients, others.of_operators, others.of_nobody, others.other_prefixes];
        lists.into_iter().zip(&mut sums).for_each(|(losses, sums)| merge(sums, losses));
    }
    let [other_clients, of_operators, of_nobody, other_prefixes] = sums.map(|sums| sorted(&sums));
    let body = json!({
        "other_clients": other_clients,
        "of_operators": of_operators,
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
const ROWS_AT_ONCE: usize = 500;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// All rows, page by page, by the names of what each page has.
    fn paged(rows: &[(&str, u64)], by: By, most: usize) -> Vec<Vec<String>> {
        let (mut pages, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut first = First::behind(cursor.as_deref(), most).ok().expect("a cursor that was told");
            for (name, count) in rows {
                first.take(Place::of(by, &[lost(*count)], name, 0), ());
            }
            let (page, next) = first.told(|place, ()| json!(*place.name));
            pages.push(page.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect());
            cursor = next;
            if cursor.is_none() {
                return pages;
            }
        }
    }

    fn lost(count: u64) -> Loss {
        let ago = Duration::from_secs(1);
        Loss { cause: Cause::Expired, topic: None, count, first_ago: ago, last_ago: ago }
    }

    #[test]
    fn those_with_the_most_losses_come_first_and_all_of_them_once() {
        let rows = [("few-0-x", 2), ("most", 900), ("other", 2), ("some", 30)];
        assert_eq!(paged(&rows, By::Count, 3), [vec!["most", "some", "few-0-x"], vec!["other"]]);
        assert_eq!(paged(&rows, By::Name, 2), [["few-0-x", "most"], ["other", "some"]]);
        assert_eq!(paged(&rows, By::Name, 4).len(), 1);
        assert_eq!(paged(&[], By::Count, 4), [[""; 0]]);
        for wrong in ["", "1", "1-2", "x-0-a", "1-x-a", "1-256-a"] {
            assert!(First::<()>::behind(Some(wrong), 1).is_err(), "{wrong}");
        }
    }

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

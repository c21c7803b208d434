//! `/v1/top`: clients by what they send, get, hold and are near to.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use axum::{extract::State, http::Method, response::Response, routing::get};
use runtime::{Desk, Looked};
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{ClientSeen, Look, Matching, Seen};
use tokio::time::sleep;

use super::{
    answer::{self, Parameters},
    asking::{self, Trouble},
    context::Context,
    operation::{Access, Operation},
    pages, rows,
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/v1/top",
    access: Access::Role(Role::Viewer),
    summary: "The clients with the most of something, or nearest to a limit",
    handler: || get(top),
}];

/// By what clients are compared, in the words of a question.
pub const TOP_BY: [&str; 16] = [
    "bytes",
    "packets",
    "bytes_sent",
    "bytes_received",
    "packets_sent",
    "packets_received",
    "queued",
    "queued_bytes",
    "inflight",
    "unsent_bytes",
    "subscriptions",
    "silent_s",
    "inflight_s",
    "ended",
    "taken_over",
    "limit",
];

/// One of `TOP_BY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    /// Both ways.
    Bytes,
    Packets,
    BytesSent,
    BytesReceived,
    PacketsSent,
    PacketsReceived,
    Queued,
    QueuedBytes,
    Inflight,
    UnsentBytes,
    Subscriptions,
    SilentS,
    /// How long the oldest message in flight has been.
    InflightS,
    /// Of its connections, lately.
    Ended,
    TakenOver,
    Limit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    by: By,
    limit: Option<usize>,
    /// Traffic within so many seconds, in place of all of it.
    over_s: Option<u64>,
}

impl By {
    fn is_traffic(self) -> bool {
        matches!(
            self,
            By::Bytes
                | By::Packets
                | By::BytesSent
                | By::BytesReceived
                | By::PacketsSent
                | By::PacketsReceived
        )
    }

    /// In thousandths for `Limit`.
    fn value(self, client: &ClientSeen) -> u64 {
        let link = client.link.as_ref();
        match self {
            By::Bytes => client.traffic.bytes_sent + client.traffic.bytes_received,
            By::Packets => client.traffic.packets_sent + client.traffic.packets_received,
            By::BytesSent => client.traffic.bytes_sent,
            By::BytesReceived => client.traffic.bytes_received,
            By::PacketsSent => client.traffic.packets_sent,
            By::PacketsReceived => client.traffic.packets_received,
            By::Queued => client.queued as u64,
            By::QueuedBytes => client.queued_bytes as u64,
            By::Inflight => client.inflight as u64,
            By::UnsentBytes => link.map_or(0, |link| link.unsent_bytes as u64),
            By::Subscriptions => client.subscriptions as u64,
            By::SilentS => link.map_or(0, |link| link.silent_for.as_secs()),
            By::InflightS => in_flight_for(client),
            By::Ended => u64::from(client.ended),
            By::TakenOver => u64::from(client.taken_over),
            By::Limit => u64::from(client.pressure.permille),
        }
    }
}

/// In seconds. What was sent before the broker was started comes before all that is known.
fn in_flight_for(client: &ClientSeen) -> u64 {
    let unknown = if client.inflight > 0 { u64::MAX } else { 0 };
    client.inflight_for.map_or(unknown, |age| age.as_secs())
}

async fn top(
    State(context): State<Context>,
    Parameters(Wanted { by, limit, over_s }): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let limit = pages::limit(limit)?;
    let desk = asking::desk(&context)?;
    let mut before: HashMap<Arc<str>, u64> = HashMap::new();
    if let Some(over_s) = over_s {
        if !by.is_traffic() || !(1..=OVER_S_MAX).contains(&over_s) {
            let why =
                format!("over_s: expected 1 to {OVER_S_MAX}, and bytes or packets to count in that time");
            return Err(answer::refused(&why).into());
        }
        survey(desk, |client, _| {
            before.insert(Arc::clone(&client.client_id), by.value(client));
        })
        .await?;
        sleep(Duration::from_secs(over_s)).await;
    }
    let mut best = Best::new(limit);
    let is_whole = survey(desk, |client, looked| {
        let earlier = before.get(&client.client_id).copied().unwrap_or(0);
        best.take(by.value(client).saturating_sub(earlier), || rows::client(client, &looked.addresses));
    })
    .await?;
    let is_partial = !is_whole || best.has_left_out;
    Ok(answer::ok(&json!({ "clients": best.into_rows(), "is_partial": is_partial })))
}

/// Those with the highest values. Who comes later has to have more.
struct Best {
    /// The least first: value, and which row it is.
    heap: BinaryHeap<Reverse<(u64, Reverse<u64>)>>,
    rows: HashMap<u64, Value>,
    most: usize,
    taken: u64,
    /// Of the texts in the rows.
    bytes: usize,
    /// For want of room: their names are too long for so many of them.
    has_left_out: bool,
}

impl Best {
    fn new(most: usize) -> Best {
        Best { heap: BinaryHeap::new(), rows: HashMap::new(), most, taken: 0, bytes: 0, has_left_out: false }
    }

    /// Nobody is among them with nothing.
    fn take(&mut self, value: u64, row: impl FnOnce() -> Value) {
        let is_full = self.heap.len() >= self.most;
        let least = self.heap.peek().map_or(0, |Reverse((least, _))| *least);
        if value == 0 || is_full && value <= least {
            return;
        }
        if is_full {
            self.drop_least();
        }
        self.taken += 1;
        self.heap.push(Reverse((value, Reverse(self.taken))));
        let row = row();
        self.bytes += pages::weight(&row);
        self.rows.insert(self.taken, row);
        while self.bytes > pages::BYTES_MAX && self.heap.len() > 1 {
            self.drop_least();
            self.has_left_out = true;
        }
    }

    fn drop_least(&mut self) {
        let Some(Reverse((_, Reverse(gone)))) = self.heap.pop() else { return };
        self.bytes -= self.rows.remove(&gone).map_or(0, |row| pages::weight(&row));
    }

    /// The highest first.
    fn into_rows(mut self) -> Vec<Value> {
        let sorted = self.heap.into_sorted_vec();
        let row = |Reverse((value, Reverse(number))): Reverse<(u64, Reverse<u64>)>| {
            Some(json!({ "value": value, "client": self.rows.remove(&number)? }))
        };
        sorted.into_iter().filter_map(row).collect()
    }
}

/// Looks at all clients, page by page. False: there are so many that it did not come to the end.
async fn survey(desk: &Desk, mut see: impl FnMut(&ClientSeen, &Looked)) -> Result<bool, Trouble> {
    let mut seen = 0;
    for shard in desk.shards() {
        let mut after = None;
        loop {
            let look = Look::Clients { matching: Matching::default(), after, most: PAGE };
            let looked = asking::look(desk, shard, look).await?;
            let Seen::Clients(page) = &looked.seen else { break };
            page.rows.iter().for_each(|client| see(client, &looked));
            seen += page.rows.len();
            after = page.next;
            if after.is_none() {
                break;
            }
            if seen >= CLIENTS_MAX {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Less than a request may take.
const OVER_S_MAX: u64 = 5;
/// A shard is asked for so many at a time, and does other things in between.
const PAGE: usize = 500;
const CLIENTS_MAX: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_understood() {
        for word in TOP_BY {
            assert!(serde_json::from_value::<By>(json!(word)).is_ok(), "{word}");
        }
    }

    #[test]
    fn the_highest_are_kept_and_of_equals_the_first() {
        let mut best = Best::new(3);
        for (name, value) in [("a", 5), ("b", 1), ("c", 9), ("d", 5), ("e", 5), ("f", 0), ("g", 7)] {
            best.take(value, || json!({ "name": name }));
        }
        let rows = best.into_rows();
        let told: Vec<_> =
            rows.iter().map(|row| (row["client"]["name"].as_str(), row["value"].as_u64())).collect();
        assert_eq!(told, [(Some("c"), Some(9)), (Some("g"), Some(7)), (Some("a"), Some(5))]);
        let mut few = Best::new(3);
        few.take(0, || json!({}));
        assert!(few.into_rows().is_empty(), "nobody leads with nothing");
    }

    #[test]
    fn of_long_names_so_many_are_kept_as_one_answer_holds() {
        let mut best = Best::new(1000);
        let long = "x".repeat(60_000);
        (1..=100).for_each(|value| best.take(value, || json!({ "name": long })));
        assert!(best.has_left_out);
        let rows = best.into_rows();
        assert_eq!(rows.len(), pages::BYTES_MAX / 60_000);
        assert_eq!(rows[0]["value"], 100, "the highest stay");
    }
}

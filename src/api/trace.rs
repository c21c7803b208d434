//! `/v1/trace`: packets as they go by, for as long as somebody reads; and the last ones of a client.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    extract::State,
    http::Method,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use runtime::Peer;
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{ConnId, Direction, Look, Seen, TapFilter, TapOrder, TapRead, Tapped, Unacknowledged};

use super::{
    acts::Deed,
    answer::{self, ClientInPath, Parameters},
    asking::{self, Trouble},
    clients::absent,
    context::Context,
    guard::Caller,
    lines::lines,
    operation::{Access, Operation},
    rows,
    seat::{Seat, Stream},
    taps::Taps,
    token_list::Role,
};
use crate::text;

/// Where packets go by.
pub const TRACE: &str = "/v1/trace";

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: TRACE,
        access: Access::Role(Role::Operator),
        summary: "Packets as they go by, a line of JSON for each, until whoever reads goes",
        handler: || get(trace),
    },
    Operation {
        method: Method::GET,
        path: "/v1/clients/{client_id}/packets",
        access: Access::Role(Role::Viewer),
        summary: "The last packets of a client, the oldest first",
        handler: || get(last),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    client_id: Option<Box<str>>,
    /// A topic filter.
    topic: Option<Box<str>>,
    address: Option<IpAddr>,
    #[serde(default)]
    bytes: bool,
}

/// What is chosen by a topic only.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnTopic {
    /// A topic filter.
    pub topic: Option<Box<str>>,
}

async fn last(
    State(context): State<Context>,
    ClientInPath(client_id): ClientInPath,
    Parameters(OnTopic { topic }): Parameters<OnTopic>,
) -> Result<Response, Trouble> {
    packets(&context, &client_id, topic).await
}

/// The last ones of a client.
pub async fn packets(
    context: &Context,
    client_id: &str,
    topic_filter: Option<Box<str>>,
) -> Result<Response, Trouble> {
    check_filter(topic_filter.as_deref())?;
    let desk = asking::desk(context)?;
    let look = Look::Packets { client_id: client_id.into(), topic_filter };
    let (looked, comings) = asking::of_client(desk, client_id, look).await?;
    let known = match looked.seen {
        Seen::Packets(last) => last,
        _ => None,
    };
    // Of one that was refused, or is banned, that is known.
    let is_held_off = comings.refused.is_some() || !comings.bans.is_empty();
    match known.or_else(|| is_held_off.then(Box::default)) {
        Some(last) => Ok(answer::ok(&rows::last_packets(client_id, &last, &comings))),
        None => Err(absent(client_id, &comings)),
    }
}

pub fn check_filter(topic_filter: Option<&str>) -> Result<(), Trouble> {
    match topic_filter {
        Some(filter) if !shard::is_topic_filter(filter) => {
            Err(answer::refused("topic: expected a topic filter").into())
        }
        _ => Ok(()),
    }
}

async fn trace(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(seat): Extension<Seat>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let Wanted { client_id, topic, address, bytes: wants_bytes } = wanted;
    check_filter(topic.as_deref())?;
    let stream = context.streams().take(&seat, &caller, Stream::Trace).await;
    let stream = stream.map_err(|why| answer::unavailable(&why))?;
    let filter = TapFilter { client_id, topic_filter: topic, address, wants_bytes };
    let begin = |tap| TapOrder::Begin { tap, filter: filter.clone() };
    let taps = Taps::begin(asking::desk(&context)?, begin).await?.ok_or_else(too_many)?;
    seat.leave();
    // Contents may be in it.
    Deed::new(&caller, "trace", filter.client_id.as_deref().unwrap_or_default()).tell();
    let (sender, lines) = lines();
    tokio::spawn(async move {
        let mut writer = Writer { unacknowledged: Unacknowledged::new(UNACKNOWLEDGED_MAX) };
        taps.run(&sender, |reads| writer.write(reads), || context.still_knows(&caller)).await;
        // Shards have room for the next one before it may come.
        drop((taps, stream));
    });
    Ok(lines.into_response())
}

fn too_many() -> Trouble {
    let why = format!("{TRACES_MAX} traces run already, and no more are possible: end one of them");
    answer::unavailable(&why).into()
}

/// Makes lines of packets.
struct Writer {
    /// With the moment at which each went by.
    unacknowledged: Unacknowledged<(u8, ConnId), Duration>,
}

impl Writer {
    /// For what has gone by at all shards, in the order of time.
    fn write(&mut self, reads: Vec<TapRead>) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (mut lines, mut dropped) = (Vec::new(), 0);
        for (shard, read) in (0_u8..).zip(reads) {
            dropped += read.dropped;
            for mut tapped in read.packets {
                let at = now.saturating_sub(tapped.packet.ago);
                let begun_at = self.unacknowledged.pass((shard, tapped.conn), &tapped.packet, at);
                // What we send has the time at which it was made: when it goes out is not known here.
                let begun_at = begun_at.filter(|_| tapped.packet.direction == Direction::Received);
                tapped.packet.latency = begun_at.map(|begun_at| at.saturating_sub(begun_at));
                lines.push((at, line(at, shard, &tapped)));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        let mut text: String = lines.into_iter().map(|(_, line)| format!("{line}\n")).collect();
        if dropped > 0 {
            LEFT_OUT.fetch_add(dropped, Ordering::Relaxed);
            text += &format!("{}\n", json!({ "dropped": dropped }));
        }
        text
    }
}

fn line(at: Duration, shard: u8, tapped: &Tapped) -> Value {
    let mut row = rows::packet(&tapped.packet);
    row["at"] = json!(at.as_micros() as f64 / 1e6);
    row["client_id"] = json!(*tapped.client_id);
    let ConnId { slot, generation } = tapped.conn;
    row["connection"] = json!(format!("{shard}-{slot}-{generation}"));
    row["address"] = json!(tapped.address.map(|address| Peer(address).to_string()));
    row["version"] = json!(text::version(tapped.version));
    if !tapped.bytes.is_empty() {
        row["wire"] = json!(STANDARD.encode(&tapped.bytes));
    }
    row
}

/// Packets that were for a trace and are not in it, since the start.
pub fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Traces at a time. A shard has room for as many taps.
pub const TRACES_MAX: usize = 8;

/// Packets of one trace whose latency will be told.
const UNACKNOWLEDGED_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_no_shard_had_room_for_are_told_and_count_since_the_start() {
        let mut writer = Writer { unacknowledged: Unacknowledged::new(1) };
        let read = |dropped| TapRead { dropped, ..TapRead::default() };
        let before = left_out();
        assert_eq!(writer.write(vec![read(3), read(4)]), "{\"dropped\":7}\n");
        assert_eq!(left_out(), before + 7);
        assert_eq!(writer.write(vec![read(0)]), "");
    }
}

//! `/v1/trace`: packets as they go by, for as long as somebody reads; and the last ones of a client.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::Method,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use runtime::Desk;
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{ConnId, Look, Seen, TapFilter, TapOrder, TapRead, Tapped, Unacknowledged};
use tokio::{sync::mpsc, time::sleep};

use super::{
    acts,
    answer::{self, ClientInPath, Parameters},
    asking::{self, Trouble},
    clients::absent,
    context::Context,
    guard::Caller,
    lines::lines,
    log::TOKEN_LOOK,
    operation::{Access, Operation},
    rows,
    seat::{Seat, Stream},
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnTopic {
    /// A topic filter.
    topic: Option<Box<str>>,
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
    let look = Look::Packets { client_id: client_id.into(), topic_filter };
    for looked in asking::look_everywhere(asking::desk(context)?, &look).await? {
        if let Seen::Packets(Some(last)) = looked.seen {
            return Ok(answer::ok(&rows::last_packets(client_id, &last)));
        }
    }
    Err(absent(client_id))
}

fn check_filter(topic_filter: Option<&str>) -> Result<(), Trouble> {
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
    let desk = asking::desk(&context)?.clone();
    let mut tap = Taps {
        desk,
        number: NEXT.fetch_add(1, Ordering::Relaxed),
        unacknowledged: Unacknowledged::new(UNACKNOWLEDGED_MAX),
    };
    let filter = TapFilter { client_id, topic_filter: topic, address, wants_bytes };
    // Whoever finds no place at one shard leaves those that it has at others.
    if !tap.begin(&filter).await? {
        return Err(too_many());
    }
    seat.leave();
    // Contents may be in it.
    acts::tell(&caller, "trace", &[filter.client_id.as_deref().unwrap_or_default().to_owned()]);
    let (sender, lines) = lines();
    tokio::spawn(async move {
        tap.run(&sender, || context.still_knows(&caller)).await;
        // Shards have room for the next one before it may come.
        drop((tap, stream));
    });
    Ok(lines.into_response())
}

fn too_many() -> Trouble {
    let why = format!("{TRACES_MAX} traces run already, and no more are possible: end one of them");
    answer::unavailable(&why).into()
}

/// One tap at each shard. They end with this.
struct Taps {
    desk: Desk,
    number: u64,
    /// With the moment at which each went by.
    unacknowledged: Unacknowledged<(u8, ConnId), Duration>,
}

impl Drop for Taps {
    fn drop(&mut self) {
        for shard in self.desk.shards() {
            // One that is not told ends by itself when nobody reads it.
            let _ = self.desk.tap(shard, TapOrder::End { tap: self.number }, Box::new(drop));
        }
    }
}

impl Taps {
    async fn begin(&mut self, filter: &TapFilter) -> Result<bool, Trouble> {
        let order = TapOrder::Begin { tap: self.number, filter: filter.clone() };
        let begun = asking::tap_everywhere(&self.desk, &order).await?;
        Ok(begun.iter().all(|read| read.is_there))
    }

    /// Until nobody reads any more. While nobody takes a piece nothing is asked for, and the taps fill, and then lose.
    async fn run(&mut self, sender: &mpsc::Sender<Bytes>, may_read: impl Fn() -> bool) {
        let mut silent = Duration::ZERO;
        let mut look_at = Instant::now() + TOKEN_LOOK;
        loop {
            if Instant::now() >= look_at {
                if !may_read() {
                    return;
                }
                look_at = Instant::now() + TOKEN_LOOK;
            }
            let (text, has_more) = match self.read().await {
                Ok(round) => round,
                Err(why) => {
                    let last = format!("{}\n", json!({ "ended": why }));
                    // Who is gone need not be told.
                    let _ = sender.send(last.into()).await;
                    return;
                }
            };
            // An empty line shows whether somebody is there.
            silent += PERIOD;
            let text = if text.is_empty() && silent >= SILENCE_MAX { "\n".to_owned() } else { text };
            if !text.is_empty() {
                silent = Duration::ZERO;
                if sender.send(text.into()).await.is_err() {
                    return;
                }
            }
            if !has_more {
                tokio::select! {
                    () = sleep(PERIOD) => {}
                    () = sender.closed() => return,
                }
            }
        }
    }

    /// Lines for what has gone by at all shards, in the order of time.
    async fn read(&mut self) -> Result<(String, bool), &'static str> {
        let order = TapOrder::Read { tap: self.number };
        let reads =
            asking::tap_everywhere(&self.desk, &order).await.map_err(|_| "the broker is busy, or ends")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (mut lines, mut dropped, mut has_more) = (Vec::new(), 0, false);
        for (shard, read) in (0_u8..).zip(reads) {
            let TapRead { is_there: true, packets, dropped: of_shard, has_more: more } = read else {
                return Err("it was not read for too long");
            };
            dropped += of_shard;
            has_more |= more;
            for mut tapped in packets {
                let at = now.saturating_sub(tapped.packet.ago);
                let begun_at = self.unacknowledged.pass((shard, tapped.conn), &tapped.packet, at);
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
        Ok((text, has_more))
    }
}

fn line(at: Duration, shard: u8, tapped: &Tapped) -> Value {
    let mut row = rows::packet(&tapped.packet);
    row["at"] = json!(at.as_micros() as f64 / 1e6);
    row["client_id"] = json!(*tapped.client_id);
    let ConnId { slot, generation } = tapped.conn;
    row["connection"] = json!(format!("{shard}-{slot}-{generation}"));
    row["address"] = json!(tapped.address.map(|address| address.to_string()));
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
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Packets of one trace whose latency will be told.
const UNACKNOWLEDGED_MAX: usize = 16_384;

/// Between two looks at the shards.
const PERIOD: Duration = Duration::from_millis(100);
const SILENCE_MAX: Duration = Duration::from_secs(2);

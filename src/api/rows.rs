//! What the shards tell of clients, subscriptions and messages, as JSON writes it.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use runtime::Peer;
use serde_json::{Value, json};
use shard::{
    BanSeen, BannedBy, BarredSeen, BreaksSeen, ClientSeen, ClientWhole, ComingsSeen, ConnId, Detail,
    Direction, EndedSeen, Instant, LastPackets, LeftSeen, Link, Message, Recorded, RefusalSeen, RefusedSeen,
    SubscriptionSeen, Waiting,
};

use super::drops;
use crate::text;

type Addresses = [(ConnId, SocketAddr)];

pub fn client(client: &ClientSeen, addresses: &Addresses) -> Value {
    let traffic = client.traffic;
    json!({
        "client_id": *client.client_id,
        "shard": client.shard.0,
        "connection": client.link.as_ref().map(|link| connection(link, addresses)),
        "user": client.user.as_deref(),
        "session_expiry_s": (client.session_expiry_s != u32::MAX).then_some(client.session_expiry_s),
        "ends_in_s": client.ends_in.map(seconds),
        "subscriptions": client.subscriptions,
        "queued": client.queued,
        "queued_on_disk": client.queued_away,
        "inflight": client.inflight,
        "inflight_oldest_s": client.inflight_for.map(seconds),
        "queued_bytes": client.queued_bytes,
        "unreleased": client.unreleased,
        "nearest_limit": {
            "limit": client.pressure.limit,
            "used": f64::from(client.pressure.permille) / 1000.0,
        },
        "will_topic": client.will_topic,
        "ended_lately": client.ended,
        "taken_over_lately": client.taken_over,
        "traffic": {
            "packets_received": traffic.packets_received,
            "bytes_received": traffic.bytes_received,
            "packets_sent": traffic.packets_sent,
            "bytes_sent": traffic.bytes_sent,
        },
    })
}

/// What waits for one client, in a line.
pub fn queue(client: &ClientSeen) -> Value {
    json!({
        "client_id": *client.client_id,
        "shard": client.shard.0,
        "is_connected": client.link.is_some(),
        "queued": client.queued,
        "queued_on_disk": client.queued_away,
        "queued_bytes": client.queued_bytes,
        "inflight": client.inflight,
    })
}

fn connection(link: &Link, addresses: &Addresses) -> Value {
    let address = addresses.iter().find(|(conn, _)| *conn == link.conn);
    json!({
        "address": address.map(|(_, address)| Peer(*address).to_string()),
        "listener": *link.listener,
        "user": link.user.as_deref(),
        "version": text::version(link.version),
        "connected_s": seconds(link.connected_for),
        "silent_s": seconds(link.silent_for),
        "keep_alive_s": link.keep_alive_s,
        "receive_maximum": link.receive_maximum,
        "unsent_bytes": link.unsent_bytes,
        "is_paused": link.pause.is_some(),
        "paused_why": link.pause.as_ref().map(|pause| &pause.text),
        "paused_by": link.pause.as_ref().and_then(|pause| pause.place.as_ref()),
    })
}

/// One client with what it holds.
pub fn whole(whole: &ClientWhole, addresses: &Addresses, comings: &ComingsSeen) -> Value {
    let client_id = &*whole.client.client_id;
    json!({
        "client": client(&whole.client, addresses),
        "subscriptions": whole.subscriptions.iter().map(subscription).collect::<Vec<_>>(),
        "queue": whole.queue.iter().map(waiting).collect::<Vec<_>>(),
        "inflight": whole.inflight.iter().map(waiting).collect::<Vec<_>>(),
        "packets": whole.packets.iter().map(packet).collect::<Vec<_>>(),
        "losses": whole.losses.as_ref().map(drops::of_client),
        "left": whole.left.as_ref().map(left),
        "refused": refused(client_id, comings),
        "reconnects": comings.breaks.as_ref().map(reconnects),
        "bans": bans(client_id, comings),
        "barred": comings.barred().map(barred),
    })
}

fn refused(client_id: &str, comings: &ComingsSeen) -> Value {
    let Some(refused) = &comings.refused else { return Value::Null };
    json!({
        "text": refused.text(comings.presence),
        "command": RefusedSeen::place(client_id),
        "cause": refused.cause.as_ref().map(refusal),
        "wait": refused.wait.as_ref().map(refusal),
    })
}

/// Those that hold it off.
fn bans(client_id: &str, comings: &ComingsSeen) -> Vec<Value> {
    let row = |ban: &BanSeen| {
        let (by, name) = match &ban.by {
            BannedBy::ClientId => ("client_id", client_id.to_owned()),
            BannedBy::User(user) => ("user", user.to_string()),
            BannedBy::Address { network, .. } => ("address", network.to_string()),
        };
        json!({
            "text": ban.text(),
            "by": by,
            "name": name,
            "ends_in_s": ban.ends_in.map(seconds),
            "command": ban.lifted_by(client_id),
        })
    };
    comings.bans.iter().map(row).collect()
}

fn barred(barred: &BarredSeen) -> Value {
    json!({
        "text": barred.text(),
        "command": BarredSeen::PLACE,
        "networks": barred.networks,
        "closed": barred.closed,
    })
}

fn refusal(refusal: &RefusalSeen) -> Value {
    json!({
        "count": refusal.count,
        "first_ago_s": seconds(refusal.first_ago),
        "last_ago_s": seconds(refusal.last_ago),
        "last_at": moment(refusal.last_ago),
        "why": refusal.why,
        "user": refusal.user,
        "address": refusal.address,
    })
}

fn reconnects(breaks: &BreaksSeen) -> Value {
    json!({
        "text": breaks.text(),
        "within_s": seconds(breaks.within),
        "ended": breaks.ended,
        "taken_over": breaks.taken_over,
        "addresses": breaks.addresses,
    })
}

pub fn subscription(subscription: &SubscriptionSeen) -> Value {
    let options = subscription.options;
    json!({
        "client_id": *subscription.client_id,
        "filter": subscription.filter,
        "qos": options.qos as u8,
        "no_local": options.no_local,
        "retain_as_published": options.retain_as_published,
        "retain_handling": options.retain_handling as u8,
        "subscription_id": (subscription.subscription_id != 0).then_some(subscription.subscription_id),
        "share_name": shard::share_name(&subscription.filter),
    })
}

pub fn waiting(waiting: &Waiting) -> Value {
    json!({
        "topic": waiting.topic,
        "qos": waiting.qos as u8,
        "payload_bytes": waiting.payload_bytes,
        "packet_id": waiting.packet_id,
    })
}

pub fn packet(packet: &Recorded) -> Value {
    let mut row = json!({
        "ago_s": seconds(packet.ago),
        "at": moment(packet.ago),
        "direction": match packet.direction {
            Direction::Received => "received",
            Direction::Sent => "sent",
        },
        "kind": format!("{:?}", packet.kind).to_ascii_uppercase(),
        "bytes": packet.bytes,
        "unsent": packet.is_unsent,
        "packet_id": (packet.packet_id != 0).then_some(packet.packet_id),
        "latency_s": packet.latency.map(|latency| latency.as_micros() as f64 / 1e6),
    });
    match packet.detail {
        Detail::Publish { qos, dup, retain } => {
            row["topic"] = json!(packet.topic);
            row["qos"] = json!(qos as u8);
            row["dup"] = json!(dup);
            row["retain"] = json!(retain);
        }
        Detail::Reason(reason) => row["reason"] = json!(reason),
        Detail::Unsaid(reason) => {
            row["reason"] = json!(0);
            row["unsaid_reason"] = json!(reason);
        }
        Detail::Filters { count } => {
            row["filter"] = json!(packet.topic);
            row["filters"] = json!(count);
        }
        Detail::Nothing => {}
    }
    row
}

/// Those of a session that has ended stand before those of the one that lives.
pub fn last_packets(client_id: &str, last: &LastPackets, comings: &ComingsSeen) -> Value {
    let of_ended = last.ended.iter().flat_map(|ended| &ended.packets);
    let packets: Vec<Value> = of_ended.chain(&last.packets).map(packet).collect();
    json!({
        "client_id": client_id,
        "packets": packets,
        "ended": last.ended.as_ref().map(ended),
        "refused": refused(client_id, comings),
        "reconnects": comings.breaks.as_ref().map(reconnects),
        "bans": bans(client_id, comings),
        "barred": comings.barred().map(barred),
    })
}

fn left(left: &LeftSeen) -> Value {
    json!({
        "at": moment(left.ago),
        "ago_s": seconds(left.ago),
        "why": left.why,
        "user": left.user.as_deref(),
        "listener": *left.listener,
    })
}

fn ended(ended: &EndedSeen) -> Value {
    json!({
        "at": moment(ended.ago),
        "ago_s": seconds(ended.ago),
        "why": ended.why,
        "left": ended.left.as_ref().map(left),
        "packets": ended.packets.len(),
    })
}

/// A retained message without its payload.
pub fn retained(message: &Message, now: Instant) -> Value {
    json!({
        "topic": message.topic(),
        "qos": message.qos() as u8,
        "payload_bytes": message.payload().len(),
        "expires_in_s": message.expires_at().map(|at| seconds(at.since(now))),
    })
}

/// With it, also as text where it is one.
pub fn retained_whole(message: &Message, now: Instant) -> Value {
    let mut row = retained(message, now);
    row["payload_base64"] = json!(STANDARD.encode(message.payload()));
    row["payload_text"] = json!(std::str::from_utf8(message.payload()).ok());
    row
}

/// When that was, in seconds of unix time.
pub fn moment(ago: Duration) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    seconds(now.saturating_sub(ago))
}

/// To the millisecond.
pub fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}

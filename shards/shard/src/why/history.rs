//! What has become of the last messages on a topic: from the flight recorder, what is in flight, and the ledger of losses.

use mqtt::{PacketId, PacketKind};

use super::{Says, Steps};
use crate::{
    Direction, Instant, Recorded, Shard,
    losses::{TOPIC_BYTES_MAX, cut},
    outbound::State,
    recorder,
    session::Session,
};

impl Shard {
    pub(super) fn add_history(&self, now: Instant, client_id: &str, topic: &str, steps: &mut Steps) {
        if let Some(key) = self.sessions.find(client_id) {
            add_sent(&self.sessions[key], now, topic, steps);
        }
        let losses = self.losses_of(client_id, now);
        let cut = cut(topic, TOPIC_BYTES_MAX);
        let mut is_known = false;
        for loss in losses.iter().flat_map(|losses| &losses.topics) {
            if loss.topic.as_deref() == Some(cut) {
                is_known = true;
                let (count, last_s) = (loss.count, loss.last_ago.as_secs());
                let text =
                    format!("{count} lost on this topic, the last {last_s} s ago: {}", loss.cause.text());
                steps.add("losses", Says::Fact, text);
            }
        }
        if let Some(losses) = losses.filter(|_| !is_known) {
            let count: u64 = losses.losses.iter().map(|loss| loss.count).sum();
            let text = format!("{count} lost, as far as is known none of them on this topic lately");
            steps.add("losses", Says::Fact, text);
        }
    }
}

fn add_sent(session: &Session, now: Instant, topic: &str, steps: &mut Steps) {
    let packets: Vec<_> = session.recorder.iter().flat_map(|recorder| recorder.entries(now)).collect();
    let topic = recorder::shown(topic);
    let is_sent = |packet: &Recorded| {
        packet.kind == PacketKind::Publish && packet.direction == Direction::Sent && packet.topic == topic
    };
    let sent: Vec<usize> = (0..packets.len()).filter(|at| is_sent(&packets[*at])).collect();
    if sent.is_empty() {
        let count = packets.len();
        let text = format!("among its last {count} packets there is no message on this topic");
        return steps.add("packets", Says::Fact, text);
    }
    for at in sent.into_iter().rev().take(SENT_SHOWN) {
        let packet = &packets[at];
        let ago_s = packet.ago.as_secs();
        let end = match PacketId::new(packet.packet_id) {
            None => "at QoS 0".to_owned(),
            Some(id) => format!("with packet id {id}, {}", answered(session, &packets[at..], id)),
        };
        steps.add("packets", Says::Fact, format!("sent {ago_s} s ago, {end}"));
    }
}

/// `packets` begin with the message.
fn answered(session: &Session, packets: &[Recorded], id: PacketId) -> String {
    let outbound = session.outbound.as_deref();
    match outbound.and_then(|outbound| outbound.inflight.state(id)) {
        Some(State::Published(_) | State::Away { .. }) => return "and not acknowledged".to_owned(),
        Some(State::Released) => return "and PUBCOMP is missing".to_owned(),
        None => {}
    }
    let answer = packets.iter().rfind(|other| {
        let kinds = [PacketKind::Puback, PacketKind::Pubrec, PacketKind::Pubcomp];
        kinds.contains(&other.kind) && other.direction == Direction::Received && other.packet_id == id.get()
    });
    match answer {
        Some(answer) => format!("and acknowledged {} s ago", answer.ago.as_secs()),
        None => "and acknowledged".to_owned(),
    }
}

const SENT_SHOWN: usize = 3;

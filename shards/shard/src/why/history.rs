//! What has become of the last messages on a topic: from the flight recorder, what is in flight, and the ledger of losses.

use std::time::Duration;

use mqtt::{PacketId, PacketKind};

use super::{Says, Step, Steps, words};
use crate::{
    Cause, Detail, Direction, Instant, Recorded, Shard, Side,
    look::Loss,
    losses::{TOPIC_BYTES_MAX, cut, kept_name},
    outbound::State,
    recorder::Topic,
    session::Session,
};

impl Shard {
    pub(super) fn add_sent(&self, now: Instant, client_id: &str, topic: &str, steps: &mut Steps) {
        if let Some(key) = self.sessions.find(client_id) {
            add_sent(&self.sessions[key], now, topic, steps);
        }
    }

    /// What the client has lost on this side of the broker, of this topic before all.
    pub(super) fn add_losses(
        &self,
        now: Instant,
        (client_id, side): (&str, Side),
        topic: &str,
        steps: &mut Steps,
    ) {
        let Some(losses) = self.losses_of(client_id, now) else { return };
        let of_side = |losses: &Vec<Loss>| -> Vec<Loss> {
            losses.iter().filter(|loss| loss.cause.side() == side).cloned().collect()
        };
        let kept = kept_name(topic, TOPIC_BYTES_MAX);
        let on_topic =
            of_side(&losses.topics).into_iter().filter(|loss| loss.topic.as_deref() == Some(&*kept));
        let mut is_known = false;
        for loss in on_topic {
            is_known = true;
            let (count, last) = (loss.count, words(loss.last_ago));
            let text = format!("{count} lost on this topic, the last {last} ago: {}", loss.cause.text());
            steps.add_ago("losses", text, loss.last_ago);
        }
        let count: u64 = of_side(&losses.losses).iter().map(|loss| loss.count).sum();
        if count > 0 && !is_known {
            let text = format!("{count} lost, as far as is known none of them on this topic lately");
            steps.add("losses", Says::Fact, text);
        }
    }

    /// The last message of this topic for which the client's queue has had no room, if that is not long ago.
    pub(super) fn last_full_queue(&self, client_id: &str, topic: &str, now: Instant) -> Option<Loss> {
        let kept = kept_name(topic, TOPIC_BYTES_MAX);
        let lost = self.losses_of(client_id, now)?;
        let recent = lost.topics.into_iter().filter(|loss| {
            let is_full = matches!(loss.cause, Cause::QueueMessages | Cause::QueueBytes | Cause::QueueMemory);
            is_full && loss.topic.as_deref() == Some(&*kept) && loss.last_ago <= RECENT
        });
        recent.min_by_key(|loss| loss.last_ago)
    }

    /// Messages on this topic that were not taken in, or not retained, whoever published them. Each shard knows those of its own clients.
    pub(super) fn refused_on(&self, now: Instant, topic: &str) -> Vec<Step> {
        let mut steps = Steps::default();
        for (client_id, lost) in self.losses.refused_on(topic).take(REFUSED_SHOWN) {
            let (count, ago) = (lost.count, now.since(lost.last));
            let (last, why) = (words(ago), lost.cause.text());
            let client_id = cut(client_id, TOPIC_BYTES_MAX);
            let text = format!(
                "{count} that {client_id} published on this topic were not taken in, or not retained, the last {last} ago: {why}"
            );
            steps.add_ago("refused", text, ago);
        }
        steps.steps
    }
}

fn add_sent(session: &Session, now: Instant, topic: &str, steps: &mut Steps) {
    let (packets, sent) = packets_on(session, now, topic, Direction::Sent);
    if packets.is_empty() {
        return steps.add("packets", Says::Fact, "no packet of it is remembered");
    }
    if sent.is_empty() {
        let count = packets.len();
        let text = format!("among its last {count} packets no message on this topic was sent to it");
        steps.add("packets", Says::Fact, text);
        return add_own_refused(session, now, topic, steps);
    }
    for at in sent.into_iter().rev().take(SENT_SHOWN) {
        let packet = &packets[at];
        let end = match PacketId::new(packet.packet_id) {
            None => "at QoS 0".to_owned(),
            Some(id) => format!("with packet id {id}, {}", answered(session, &packets[at..], id)),
        };
        let ago = words(packet.ago);
        let text = match packet.is_unsent {
            true => format!(
                "made {ago} ago, {end}, and never sent: its socket had not taken it when the connection ended"
            ),
            false => format!("sent {ago} ago, {end}"),
        };
        steps.add_ago("packets", text, packet.ago);
    }
}

/// Who asks for a message that the client does not get may have mistaken its publisher for its receiver.
fn add_own_refused(session: &Session, now: Instant, topic: &str, steps: &mut Steps) {
    let (packets, own) = packets_on(session, now, topic, Direction::Received);
    let refused = own.into_iter().rfind(|at| {
        let answer = answer_of(&packets[*at..]).map(|answer| answer.detail);
        matches!(answer, Some(Detail::Unsaid(_) | Detail::Reason(ERRORS_FROM..)))
    });
    let Some(at) = refused else { return };
    let (ago, answered) = (packets[at].ago, answer_words(&packets[at..]));
    let text = format!("a message of its own on this topic came {} ago{answered}", words(ago));
    steps.add_ago("packets", text, ago);
}

/// The packets begin with a message of the client: what we have answered.
fn answer_of(packets: &[Recorded]) -> Option<&Recorded> {
    let id = packets.first().map(|message| message.packet_id).filter(|id| *id != 0)?;
    packets.iter().find(|other| {
        let is_answer = matches!(other.kind, PacketKind::Puback | PacketKind::Pubrec);
        is_answer && other.direction == Direction::Sent && other.packet_id == id
    })
}

/// The same in words that follow others.
pub(super) fn answer_words(packets: &[Recorded]) -> String {
    if packets.first().is_none_or(|message| message.packet_id == 0) {
        return String::new();
    }
    match answer_of(packets).map(|answer| answer.detail) {
        None => ", and is not acknowledged".to_owned(),
        Some(Detail::Reason(0)) => ", and was acknowledged".to_owned(),
        Some(Detail::Reason(0x10)) => ", and nobody had subscribed to it".to_owned(),
        Some(Detail::Reason(reason)) => format!(", and was answered with reason 0x{reason:02x}"),
        Some(Detail::Unsaid(reason)) => format!(
            ", and was refused with reason 0x{reason:02x}, which its acknowledgement could not say: it speaks no MQTT 5.0"
        ),
        Some(_) => String::new(),
    }
}

/// The last packets of the client, and where messages on this topic are among them.
pub(super) fn packets_on(
    session: &Session,
    now: Instant,
    topic: &str,
    direction: Direction,
) -> (Vec<Recorded>, Vec<usize>) {
    let asked = Topic::new(topic);
    let (mut packets, mut found) = (Vec::new(), Vec::new());
    for (packet, topic) in session.recorder.iter().flat_map(|recorder| recorder.entries_with_topics(now)) {
        let is_message = packet.kind == PacketKind::Publish && packet.direction == direction;
        if is_message && topic == Some(&asked) {
            found.push(packets.len());
        }
        packets.push(packet);
    }
    (packets, found)
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
        Some(Recorded { detail: Detail::Reason(reason), ago, .. }) if *reason >= ERRORS_FROM => {
            format!("and refused by the client with reason 0x{reason:02x} {} ago", words(*ago))
        }
        Some(answer) => format!("and acknowledged {} ago", words(answer.ago)),
        None => "and acknowledged".to_owned(),
    }
}

/// What was lost in the meantime says how it is now.
const RECENT: Duration = Duration::from_secs(10);

const SENT_SHOWN: usize = 3;

const REFUSED_SHOWN: usize = 4;

/// Reason codes from here on are those of failures.
const ERRORS_FROM: u8 = 0x80;

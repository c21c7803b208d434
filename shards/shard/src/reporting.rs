//! What a client may read of its own losses: whoever subscribes to exactly `DROPS_TOPIC` gets a message with them at once, and
//! another when they have changed, not more than one in some seconds.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use mqtt::QoS;

use crate::{
    Cause, ConnId, Instant, Shard,
    delivery::Sending,
    keys::SessionKey,
    look::{ClientLost, Loss},
    losses::TOPIC_BYTES_MAX,
    message::Parts,
    mount,
    router::Carried,
    session::Delivery,
    shard::Deadline,
    takers::takers,
    turn::Turn,
};

/// A session whose client is told of its losses.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Watch {
    told_at: Option<Instant>,
    /// A timer is set.
    is_armed: bool,
}

impl Shard {
    /// The session may have subscribed to its own losses, or may have come back with such a subscription.
    pub(crate) fn watch_losses(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        if self.sessions[key].filters.contains(DROPS_TOPIC) {
            self.watches.insert(key, Watch { told_at: None, is_armed: true });
            self.timers.insert(turn.next_instant(), Deadline::Losses(key));
        }
    }

    /// The session has lost something. The loss of a report is no news.
    pub(crate) fn note_for_report(&mut self, key: SessionKey, topic: &str, now: Instant) {
        if self.watches.is_empty() || topic == DROPS_TOPIC {
            return;
        }
        let Some(watch) = self.watches.get_mut(&key).filter(|watch| !watch.is_armed) else { return };
        watch.is_armed = true;
        let at = watch.told_at.map_or(now, |told_at| now.max(told_at + REPORT_PERIOD));
        self.timers.insert(at, Deadline::Losses(key));
    }

    pub(crate) fn on_losses_deadline(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let Some(watch) = self.watches.get_mut(&key).filter(|watch| watch.is_armed) else { return };
        let session = self.sessions.get(key).filter(|session| session.conn.is_some());
        let Some(session) = session.filter(|session| session.filters.contains(DROPS_TOPIC)) else {
            self.watches.remove(&key);
            return;
        };
        // A report waits in no queue: it would be out of date, and its loss would be one more to report.
        if !takers!(self).can_send_at_once(key, QoS::AtMostOnce) {
            self.timers.insert(turn.now + REPORT_PERIOD, Deadline::Losses(key));
            return;
        }
        *watch = Watch { told_at: Some(turn.now), is_armed: false };
        let (conn, client_id) = (session.conn, Arc::clone(&session.client_id));
        let mut losses = self.losses_of(&client_id, turn.now);
        if let (Some(losses), Some(conn)) = (&mut losses, conn) {
            self.keep_secrets(conn, losses);
        }
        let subscription_id = self.trie.subscription(DROPS_TOPIC, key).map_or(0, |held| held.subscription_id);
        self.send_report(key, subscription_id, &report(losses.as_ref()), turn);
    }

    /// Of topics that the client may not receive it is not told. Another user may have had the client id before, and may have been
    /// allowed more.
    fn keep_secrets(&mut self, conn: ConnId, losses: &mut ClientLost) {
        losses.topics.retain(|loss| {
            let topic = loss.topic.as_deref().unwrap_or_default();
            let is_whole = topic.len() < TOPIC_BYTES_KEPT_WHOLE;
            let is_hidden = matches!(loss.cause, Cause::Denied | Cause::BeyondMount);
            !is_hidden && (is_whole || self.permissions.is_none()) && self.could_receive(conn, topic)
        });
        if let Some(mount) = self.mount_of(conn) {
            losses.topics.retain_mut(|loss| is_renamed(&mount, loss));
        }
        losses.losses.retain(|loss| !matches!(loss.cause, Cause::Denied | Cause::BeyondMount));
    }

    fn send_report(&mut self, key: SessionKey, subscription_id: u32, report: &str, turn: &mut Turn<'_>) {
        let parts = Parts {
            topic: DROPS_TOPIC,
            qos: QoS::AtMostOnce,
            retain: false,
            expires_at: None,
            retained_id: None,
            forwarded: PROPERTIES,
            payload: report.as_bytes(),
        };
        let id = [subscription_id];
        let subscription_ids = if subscription_id == 0 { &[][..] } else { &id };
        let delivery = &Delivery { qos: QoS::AtMostOnce, retain: false, subscription_ids, topic: None };
        let sending = Sending { delivery, packet_id: None, dup: false };
        self.transmit(key, &sending, &mut Carried::new(parts), turn);
    }
}

/// By the name that the client knows. False: it knows none.
fn is_renamed(mount: &str, loss: &mut Loss) -> bool {
    let whole = loss.topic.take().unwrap_or_default();
    loss.topic = mount::seen(mount, &whole).map(Box::from);
    loss.topic.is_some() || whole.is_empty()
}

fn report(losses: Option<&ClientLost>) -> String {
    let mut out = String::from("{\"lost\":[");
    let of = |rows: fn(&ClientLost) -> &Vec<Loss>| losses.map(rows).into_iter().flatten();
    of(|losses| &losses.losses).enumerate().for_each(|(at, loss)| put_loss(at, loss, &mut out));
    out.push_str("],\"topics\":[");
    of(|losses| &losses.topics).enumerate().for_each(|(at, loss)| put_loss(at, loss, &mut out));
    out.push_str("]}");
    out
}

fn put_loss(at: usize, loss: &Loss, out: &mut String) {
    out.push_str(if at > 0 { ",{" } else { "{" });
    if let Some(topic) = &loss.topic {
        out.push_str("\"topic\":");
        put_string(topic, out);
        out.push(',');
    }
    let (first, last) = (loss.first_ago.as_secs(), loss.last_ago.as_secs());
    let _ = write!(
        out,
        "\"cause\":\"{}\",\"count\":{},\"first_s_ago\":{first},\"last_s_ago\":{last}}}",
        loss.cause.word(),
        loss.count
    );
}

/// As JSON has it.
fn put_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            character if character.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            character => out.push(character),
        }
    }
    out.push('"');
}

/// Subscribed to as it stands here, it gives each client its own losses.
pub(crate) const DROPS_TOPIC: &str = "$SYS/client/drops";

/// Payload Format Indicator: UTF-8, and Content Type, in wire form.
const PROPERTIES: &[u8] = b"\x01\x01\x03\x00\x10application/json";

/// A character that was cut in two is left out of a topic that was too long. What is allowed follows from the whole of it.
const TOPIC_BYTES_KEPT_WHOLE: usize = TOPIC_BYTES_MAX - 3;

/// Between two reports to a client.
const REPORT_PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, ShardId};

    #[test]
    fn a_report_is_json_whatever_the_topic() {
        let loss = Loss {
            cause: Cause::Expired,
            topic: Some("a\"\\\u{1}ä".into()),
            count: 2,
            first_ago: Duration::from_secs(9),
            last_ago: Duration::from_millis(1500),
        };
        let sum = Loss { topic: None, ..loss.clone() };
        let losses =
            ClientLost { client_id: "c".into(), shard: ShardId(0), losses: vec![sum], topics: vec![loss] };
        let expected = concat!(
            r#"{"lost":[{"cause":"expired","count":2,"first_s_ago":9,"last_s_ago":1}],"#,
            r#""topics":[{"topic":"a\"\\\u0001ä","cause":"expired","count":2,"first_s_ago":9,"last_s_ago":1}]}"#
        );
        assert_eq!(report(Some(&losses)), expected);
        assert_eq!(report(None), r#"{"lost":[],"topics":[]}"#);
    }
}

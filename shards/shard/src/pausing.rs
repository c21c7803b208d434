//! Why a client is not read at present, in words, for whoever looks. Whether it is not, is decided in `receive/stalling.rs` and `metering.rs`.

use crate::{
    ConnId, Instant, Shard,
    connection::Connection,
    meters::Whose,
    rates::Flow,
    receive::{Awaited, Line},
    why::words,
};

/// What a client waits for that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub(crate) about: &'static str,
    /// A sentence without its stop.
    pub text: Box<str>,
    /// What decides it: a key of the configuration, or a role with its place.
    pub place: Option<Box<str>>,
}

impl Shard {
    /// None: it is read.
    pub(crate) fn pause(&self, conn: ConnId, connection: &Connection, now: Instant) -> Option<Pause> {
        if !connection.is_stalled() {
            return None;
        }
        let of_rate = || self.pause_for_rate(connection, now);
        let of_client = || self.pause_for_client(connection);
        Some(of_rate().or_else(of_client).unwrap_or_else(|| self.pause_for_others(conn)))
    }

    fn pause_for_rate(&self, connection: &Connection, now: Instant) -> Option<Pause> {
        let meters = connection.meters().filter(|meters| meters.is_throttled)?;
        let flows = [Flow::PublishMessages, Flow::PublishBytes];
        let (rate, place) = self.place_of_wait(connection, &flows)?;
        let span = words(meters.throttled_for(now));
        let text = format!(
            "it sent more than {rate}, and is read no faster than that, for {span} now: a PINGREQ of it waits with the rest, and that it has gone may be seen late"
        );
        Some(pause("rates", text, Some(&place)))
    }

    /// Of several rates the one that is waited for: in words, and what sets it.
    pub(crate) fn place_of_wait(&self, connection: &Connection, flows: &[Flow]) -> Option<(String, String)> {
        let (whose, flow, rate) = connection.meters()?.awaited(flows)?;
        let what = match flow {
            Flow::PublishMessages | Flow::ReceiveMessages => "messages",
            Flow::PublishBytes | Flow::ReceiveBytes => "bytes",
        };
        let together = match whose {
            Whose::Client => "",
            Whose::User => " of its user",
            Whose::Address => " of its address",
            Whose::Listener => " of its listener",
        };
        let standing = connection.standing.as_deref().filter(|_| whose == Whose::Client);
        let held = standing.and_then(|standing| standing.held.as_deref());
        let role = held.and_then(|held| held.limit_place(flow.limit()));
        let place = role.map_or_else(|| whose.key(flow).to_owned(), |place| place.to_string());
        Some((format!("{rate} {what} a second{together}"), place))
    }

    fn pause_for_client(&self, connection: &Connection) -> Option<Pause> {
        if self.takes_no_replies(connection) {
            let unsent = connection.unsent_bytes();
            let text = format!("it does not take what it is sent: {unsent} bytes wait for its socket");
            return Some(pause("backpressure", text, Some("session.max_outbox_bytes")));
        }
        self.is_behind(connection).then(|| {
            let text = "what it has subscribed to, or no longer wants, is still under way";
            pause("backpressure", text, None)
        })
    }

    fn pause_for_others(&self, conn: ConnId) -> Pause {
        let slots = Some("runtime.mail_ring_slots");
        match self.awaited(conn) {
            Awaited::Line(Line::Mesh, _) => {
                pause("backpressure", "other shards do not keep up with what all clients here send", slots)
            }
            Awaited::Line(Line::Ring(to), _) => {
                let text = format!("it sent more than its share of what shard {} keeps up with", to.0);
                pause("backpressure", text, slots)
            }
            Awaited::Line(Line::Store, _) => {
                let lack = self.store_lack().map(|lack| lack.text());
                pause("store", lack.unwrap_or("the store is making room"), Some("store"))
            }
            Awaited::Own => {
                pause("backpressure", "what it waited for is there, and it is about to go on", None)
            }
        }
    }
}

fn pause(about: &'static str, text: impl Into<Box<str>>, place: Option<&str>) -> Pause {
    Pause { about, text: text.into(), place: place.map(Box::from) }
}

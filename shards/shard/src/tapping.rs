//! Where packets pass those who look on.

use core::net::SocketAddr;

use mqtt::{Frame, PacketKind, Subscribe, Unsubscribe, Version};

use crate::{
    ConnId, Direction, IS_WATCHED, Instant, Shard,
    keys::SessionKey,
    shard::Deadline,
    tap::{Passing, TapOrder, TapRead, UNREAD_MAX},
    topic_tap::TopicTaps,
    turn::Turn,
};

impl Shard {
    /// An order of somebody who looks on. It changes nothing for clients.
    pub fn tap(&mut self, now: Instant, order: &TapOrder) -> TapRead {
        match order {
            TapOrder::Begin { tap, filter } => {
                self.await_unread_taps(now);
                self.taps.get_or_insert_default().begin(*tap, filter.clone(), now);
                self.read_tap(*tap, now)
            }
            TapOrder::Count { tap, topic_filter } => {
                self.await_unread_taps(now);
                let random = &mut self.random;
                let make = || Box::new(TopicTaps::new(random.next_u64()));
                self.topic_taps.get_or_insert_with(make).begin(*tap, topic_filter.clone(), now);
                self.read_tap(*tap, now)
            }
            TapOrder::Read { tap } => self.read_tap(*tap, now),
            TapOrder::End { tap } => {
                if let Some(taps) = self.taps.as_mut() {
                    taps.end(*tap);
                }
                if let Some(taps) = self.topic_taps.as_mut() {
                    taps.end(*tap);
                }
                self.drop_idle_taps();
                TapRead::default()
            }
        }
    }

    fn read_tap(&mut self, tap: u64, now: Instant) -> TapRead {
        let counted = self.topic_taps.as_mut().and_then(|taps| taps.read(tap, now));
        counted.or_else(|| Some(self.taps.as_mut()?.read(tap, now))).unwrap_or_default()
    }

    /// Where the connections came from whose packets went by since this was asked last. Comes before any of them is forgotten.
    pub fn name_tapped(&mut self, address: &mut dyn FnMut(ConnId) -> Option<SocketAddr>) {
        if let Some(taps) = self.taps.as_mut() {
            taps.name(&self.connections, address);
        }
    }

    /// Somebody looks on.
    #[inline(always)]
    pub fn is_tapped(&self) -> bool {
        IS_WATCHED && self.taps.is_some()
    }

    /// What was put into the client's outbox from `begin` on. A payload that goes out from the message itself stands apart.
    #[cold]
    pub(crate) fn tap_sent(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        begin: usize,
        topic: &str,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) {
        let (Some(taps), Some(session), Some(connection)) =
            (&mut self.taps, self.sessions.get(session), self.connections.get_mut(conn))
        else {
            return;
        };
        let version = connection.version;
        let head = &connection.outbox(turn.effects).bytes[begin..];
        let rest = if head.ends_with(payload) { &[][..] } else { payload };
        let (client_id, direction, bytes) = (&session.client_id, Direction::Sent, [head, rest]);
        taps.take(turn.now, &Passing { conn, client_id, version, direction, topic, filters: &[], bytes });
    }

    /// A client has published a message on this topic, under its whole name.
    #[inline(always)]
    pub(crate) fn count_published(&mut self, topic: &str) {
        if IS_WATCHED && self.topic_taps.is_some() {
            self.count_on_topic(topic);
        }
    }

    #[cold]
    fn count_on_topic(&mut self, topic: &str) {
        if let Some(taps) = self.topic_taps.as_mut() {
            taps.count(topic);
        }
    }

    fn drop_idle_taps(&mut self) {
        self.taps.take_if(|taps| taps.is_empty());
        self.topic_taps.take_if(|taps| taps.is_empty());
    }

    /// One timer for all of them.
    fn await_unread_taps(&mut self, now: Instant) {
        if !self.awaits_unread_taps {
            self.awaits_unread_taps = true;
            self.timers.insert(now + UNREAD_MAX, Deadline::Taps);
        }
    }

    pub(crate) fn on_taps_deadline(&mut self, now: Instant) {
        self.awaits_unread_taps = false;
        if let Some(taps) = self.taps.as_mut() {
            taps.end_unread(now);
        }
        if let Some(taps) = self.topic_taps.as_mut() {
            taps.end_unread(now);
        }
        self.drop_idle_taps();
        if self.taps.is_some() || self.topic_taps.is_some() {
            self.await_unread_taps(now);
        }
    }

    #[cold]
    pub(crate) fn tap_received(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        frame: &Frame<'_>,
        now: Instant,
    ) {
        // It holds what the client proves itself with.
        if frame.kind == PacketKind::Auth {
            return;
        }
        let alias = (frame.kind == PacketKind::Publish).then(|| self.connections.get(conn)).flatten();
        let said = alias.and_then(|connection| {
            let publish = mqtt::Publish::decode(frame, connection.version).ok()?;
            let alias = publish.properties.topic_alias.filter(|_| publish.topic.is_empty());
            let known = connection.aliases.as_ref().zip(alias);
            let known = known.and_then(|(aliases, alias)| aliases.inbound.get(&alias));
            Some(known.map_or_else(|| Box::from(publish.topic), Clone::clone))
        });
        let topic = said.unwrap_or_default();
        let version = self.connections.get(conn).map(|connection| connection.version);
        let filters = version.map_or_else(Vec::new, |version| filters_of(frame, version));
        let bytes = [frame.bytes, &[]];
        self.pass_taps(conn, session, Direction::Received, (&topic, &filters), bytes, now);
    }

    pub(crate) fn pass_taps(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        direction: Direction,
        (topic, filters): (&str, &[&str]),
        bytes: [&[u8]; 2],
        now: Instant,
    ) {
        let (Some(taps), Some(session), Some(connection)) =
            (&mut self.taps, self.sessions.get(session), self.connections.get(conn))
        else {
            return;
        };
        let client_id = &session.client_id;
        let version = connection.version;
        taps.take(now, &Passing { conn, client_id, version, direction, topic, filters, bytes });
    }
}

/// Of a SUBSCRIBE or UNSUBSCRIBE that can be read.
fn filters_of<'a>(frame: &Frame<'a>, version: Version) -> Vec<&'a str> {
    match frame.kind {
        PacketKind::Subscribe => Subscribe::decode(frame, version).map_or_else(
            |_| Vec::new(),
            |subscribe| subscribe.filters.iter().map(|(filter, _)| *filter).collect(),
        ),
        PacketKind::Unsubscribe => {
            Unsubscribe::decode(frame, version).map_or_else(|_| Vec::new(), |unsubscribe| unsubscribe.filters)
        }
        _ => Vec::new(),
    }
}

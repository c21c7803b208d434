//! Where packets are remembered: each client's go into its session's recorder.

use mqtt::{Frame, PacketId, Publish, ReasonCode};

use crate::{
    ConnId, Counters, IS_WATCHED, Instant, Outgoing, Shard,
    keys::SessionKey,
    recorder::{Direction, Entry, LastTopic, Recorder, Topic},
    routes::Known,
};

/// What all recorders of a shard have in common.
pub(crate) struct Recording {
    /// Packets that are remembered of each client. 0: none, and no traffic is counted.
    most: u16,
    last_topic: LastTopic,
    /// Of the recorder that was begun last.
    number: u16,
}

impl Recording {
    pub fn new(most: u16) -> Recording {
        Recording { most, last_topic: LastTopic::default(), number: 0 }
    }

    /// A packet that is no PUBLISH.
    #[inline(always)]
    pub fn packet(&mut self, recorder: &mut Option<Box<Recorder>>, entry: Entry) {
        match recorder {
            _ if !IS_WATCHED => {}
            Some(recorder) => recorder.push(entry),
            None => self.begin(recorder, entry, None),
        }
    }

    /// `known`: the text that others have of the topic, where there is one.
    #[inline(always)]
    pub fn publish(
        &mut self,
        recorder: &mut Option<Box<Recorder>>,
        entry: Entry,
        topic: &str,
        known: Option<&Topic>,
    ) {
        match recorder {
            _ if !IS_WATCHED => {}
            Some(recorder) => recorder.push_publish(entry, topic, known, &mut self.last_topic),
            None => self.begin(recorder, entry, Some(topic)),
        }
    }

    /// For the crowd that gets a message on this topic.
    pub fn topic_of(&mut self, topic: &str) -> Option<Topic> {
        (IS_WATCHED && self.most > 0).then(|| self.last_topic.of(topic).clone())
    }

    /// What every idle client says and hears is not worth the memory.
    #[cold]
    fn begin(&mut self, recorder: &mut Option<Box<Recorder>>, entry: Entry, topic: Option<&str>) {
        if self.most == 0 || entry.is_idle_talk() {
            return;
        }
        self.number = self.number.wrapping_add(1);
        let recorder = recorder.insert(Box::new(Recorder::new(self.most, self.number)));
        match topic {
            Some(topic) => recorder.push_publish(entry, topic, None, &mut self.last_topic),
            None => recorder.push(entry),
        }
    }
}

/// Traffic is counted by all that a connection brings or takes at once, and not by the packet.
#[inline(always)]
pub(crate) fn count_sent(counters: &mut Counters, recorder: Option<&mut Recorder>, outgoing: &Outgoing) {
    if !IS_WATCHED {
        return;
    }
    let (packets, bytes) = (outgoing.packets, outgoing.len() as u64);
    counters.packets_sent += packets;
    counters.bytes_sent += bytes;
    if let Some(recorder) = recorder {
        recorder.traffic.packets_sent += packets;
        recorder.traffic.bytes_sent += bytes;
    }
}

impl Shard {
    #[inline(always)]
    pub(crate) fn count_received(&mut self, session: Option<SessionKey>, packets: u64, bytes: usize) {
        if !IS_WATCHED {
            return;
        }
        self.counters.packets_received += packets;
        if let Some(recorder) = session.and_then(|session| self.sessions.recorder(session)) {
            recorder.traffic.packets_received += packets;
            recorder.traffic.bytes_received += bytes as u64;
        }
    }

    /// A packet that is no PUBLISH.
    #[inline(always)]
    pub(crate) fn record(&mut self, session: SessionKey, entry: Entry) {
        if let Some(session) = self.sessions.get_mut(session) {
            self.recording.packet(&mut session.recorder, entry);
        }
    }

    /// What was recorded last of the session is a SUBSCRIBE or UNSUBSCRIBE with these filters.
    pub(crate) fn record_filters<'a>(
        &mut self,
        session: SessionKey,
        filters: impl ExactSizeIterator<Item = &'a str>,
    ) {
        if let Some(recorder) = self.sessions.recorder(session).filter(|_| IS_WATCHED) {
            recorder.name_last(filters, &mut self.recording.last_topic);
        }
    }

    #[inline(always)]
    pub(crate) fn record_received(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        frame: &Frame<'_>,
        publish: &Publish<'_>,
        known: Option<&Known>,
        now: Instant,
    ) {
        let first = frame.bytes.first().copied().unwrap_or(0);
        let entry = Entry::publish(Direction::Received, now, frame.size, publish.packet_id, first);
        let Some(known) = known else {
            let alias = publish.properties.topic_alias;
            return self.record_unknown(conn, session, entry, publish.topic, alias);
        };
        if let Some(session) = self.sessions.get_mut(session) {
            self.recording.publish(&mut session.recorder, entry, publish.topic, Some(known.shown()));
        }
    }

    /// What was recorded last of the session, and went by last, acknowledges this message, and could not say that it was refused.
    #[cold]
    pub(crate) fn record_unsaid(
        &mut self,
        (conn, session): (ConnId, SessionKey),
        packet_id: PacketId,
        reason: ReasonCode,
    ) {
        if let Some(taps) = self.taps.as_mut() {
            taps.leave_last_unsaid(conn, packet_id, reason as u8);
        }
        if let Some(recorder) = self.sessions.recorder(session).filter(|_| IS_WATCHED) {
            recorder.leave_last_unsaid(packet_id, reason as u8);
        }
    }

    /// It has no topic of its own, or one that has not come before.
    #[inline(never)]
    fn record_unknown(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        entry: Entry,
        topic: &str,
        alias: Option<u16>,
    ) {
        let alias = alias.filter(|_| topic.is_empty());
        let aliases = alias.and_then(|_| self.connections.get(conn)?.aliases.as_ref());
        let behind = aliases.zip(alias).and_then(|(aliases, alias)| aliases.inbound.get(&alias));
        let topic = behind.map_or(topic, |topic| &**topic);
        if let Some(session) = self.sessions.get_mut(session) {
            self.recording.publish(&mut session.recorder, entry, topic, None);
        }
    }
}

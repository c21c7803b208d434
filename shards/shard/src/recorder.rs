//! The last packets of a client, with their sizes and times: always on, so that who asks what just happened is answered.
//!
//! Written with every packet and read by nobody but an operator: an entry is two words, topics are named by their place in a
//! table, and the ring of an idle client does not exist, that of a quiet one is small.

mod entry;
mod latency;
mod topic;

use std::time::Duration;

use mqtt::{PacketId, PacketKind, QoS};

use crate::Instant;
pub(crate) use entry::{ENTRIES_MAX, Entry};
pub use latency::Unacknowledged;
pub(crate) use latency::tell_latencies;
pub(crate) use topic::{LastTopic, Topic};

/// One packet as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub ago: Duration,
    /// Between it and its acknowledgement, of both. None: there was none yet, or it is not known.
    pub latency: Option<Duration>,
    pub direction: Direction,
    pub kind: PacketKind,
    /// It was made for the client, whose connection ended before its socket had taken it.
    pub is_unsent: bool,
    /// Of the whole packet.
    pub bytes: u32,
    /// 0: none.
    pub packet_id: u16,
    /// What it says in its first byte, or its reason code.
    pub detail: Detail,
    /// Of a PUBLISH; the first filter of a SUBSCRIBE or UNSUBSCRIBE. The middle of a long one is left out, and an ellipsis stands there.
    pub topic: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Received,
    Sent,
}

impl Direction {
    fn other(self) -> Direction {
        match self {
            Direction::Received => Direction::Sent,
            Direction::Sent => Direction::Received,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Publish {
        qos: QoS,
        dup: bool,
        retain: bool,
    },
    /// Of an acknowledgement.
    Reason(u8),
    /// Of an acknowledgement without one: the PUBLISH was refused for this reason, and before 5.0 none can say so.
    Unsaid(u8),
    /// Of a SUBSCRIBE or UNSUBSCRIBE: it has so many, or at least so many if it is 255.
    Filters {
        count: u8,
    },
    Nothing,
}

/// How much a session has said and heard, and its last packets.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub traffic: Traffic,
    /// Grows up to `most` when it is full; then the oldest entry gives way. Entries that were never written are no packets.
    ring: Box<[Entry]>,
    /// Topics of entries, each at its place. As many changes of the topic as there are entries lead around the table once, so that
    /// no entry loses its topic before it gives way itself.
    topics: Vec<Topic>,
    /// The address of the topic at `place`. 0: there is none.
    topic_at: usize,
    /// Of the topic that came last.
    place: u16,
    /// Where the next entry goes, if the ring is not full.
    next: u16,
    most: u16,
    /// Tells it from another one of the same client.
    number: u16,
}

/// Since the session was made, or since the broker was started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
}

impl Recorder {
    /// `most`: entries, and not 0.
    pub fn new(most: u16, number: u16) -> Recorder {
        assert!((1..=ENTRIES_MAX).contains(&most), "the configuration allows 1 to 1024 entries");
        Recorder {
            traffic: Traffic::default(),
            ring: vec![Entry::default(); FIRST_ENTRIES.min(most.into())].into(),
            topics: Vec::new(),
            topic_at: 0,
            place: 0,
            next: 0,
            most,
            number,
        }
    }

    /// A packet that is no PUBLISH.
    #[inline(always)]
    pub fn push(&mut self, entry: Entry) {
        let entry = entry.at_place(self.place);
        match self.ring.get_mut(usize::from(self.next)) {
            Some(place) => *place = entry,
            None => self.turn_around(entry),
        }
        self.next += 1;
    }

    /// `known`: the text that others have of the topic, where there is one.
    #[inline(always)]
    pub fn push_publish(
        &mut self,
        entry: Entry,
        topic: &str,
        known: Option<&Topic>,
        last_topic: &mut LastTopic,
    ) {
        if known.is_none_or(|known| known.address() != self.topic_at) {
            self.change_topic(topic, known, last_topic);
        }
        self.push(entry);
    }

    /// What came last is a SUBSCRIBE or UNSUBSCRIBE with these filters.
    pub fn name_last<'a>(
        &mut self,
        mut filters: impl ExactSizeIterator<Item = &'a str>,
        last_topic: &mut LastTopic,
    ) {
        let count = filters.len();
        let Some(first) = filters.next() else { return };
        self.change_topic(first, None, last_topic);
        let last = &mut self.ring[usize::from(self.next) - 1];
        *last = last.with_filters(count, self.place);
    }

    /// What came last acknowledges a PUBLISH that was refused, and cannot say why.
    #[cold]
    pub fn leave_last_unsaid(&mut self, packet_id: PacketId, reason: u8) {
        let last = usize::from(self.next).checked_sub(1).and_then(|last| self.ring.get_mut(last));
        if let Some(last) = last.filter(|last| last.answers(packet_id)) {
            last.leave_unsaid(reason);
        }
    }

    /// The ring is full: it grows, or begins again.
    #[cold]
    fn turn_around(&mut self, entry: Entry) {
        let (len, most) = (self.ring.len(), usize::from(self.most));
        if len == most {
            self.next = 0;
            self.ring[0] = entry;
            return;
        }
        let mut ring = std::mem::take(&mut self.ring).into_vec();
        let more = len.min(most - len);
        ring.reserve_exact(more);
        ring.resize(len + more, Entry::default());
        ring[len] = entry;
        self.ring = ring.into_boxed_slice();
    }

    #[cold]
    fn change_topic(&mut self, topic: &str, known: Option<&Topic>, last_topic: &mut LastTopic) {
        let current = self.topics.get(usize::from(self.place));
        let is_same = current.is_some_and(|current| last_topic.is(current, topic));
        if is_same && known.is_none() {
            return;
        }
        let named = known.unwrap_or_else(|| last_topic.of(topic)).clone();
        self.topic_at = named.address();
        if is_same {
            self.topics[usize::from(self.place)] = named;
            return;
        }
        if !self.topics.is_empty() {
            self.place = if self.place + 1 == self.most { 0 } else { self.place + 1 };
        }
        match self.topics.get_mut(usize::from(self.place)) {
            Some(older) => *older = named,
            None => {
                self.topics.reserve_exact(if self.topics.is_empty() { 1 } else { self.topics.len() });
                self.topics.push(named);
            }
        }
    }

    /// So many packets, which had to wait, go out only now. Those that came behind them wait on.
    #[cold]
    pub fn leave(&mut self, packets: u64, behind: u64, now: Instant) {
        self.sent_before(behind).take(count(packets)).for_each(|entry| entry.leave(now));
    }

    /// So many packets never went out. Others came behind them.
    #[cold]
    pub fn give_up(&mut self, packets: u64, behind: u64) {
        let unsure = self.sent_before(behind).filter(|entry| !entry.is_unsent());
        unsure.take(count(packets)).for_each(Entry::give_up);
    }

    /// The latest first.
    fn sent_before(&mut self, behind: u64) -> impl Iterator<Item = &mut Entry> {
        let (newer, older) = self.ring.split_at_mut(usize::from(self.next));
        let latest_first = newer.iter_mut().rev().chain(older.iter_mut().rev());
        let sent = latest_first.filter(|entry| entry.is_sent());
        sent.skip(count(behind))
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    /// No more than that is in it.
    pub fn bytes_max(&self) -> usize {
        size_of::<Recorder>()
            + self.ring.len() * size_of::<Entry>()
            + self.topics.capacity() * (size_of::<Topic>() + Topic::BYTES_MAX)
    }

    /// The oldest first, with the topic of each that has one, by which those with the same ends are told apart.
    pub fn entries_with_topics(&self, now: Instant) -> impl Iterator<Item = (Recorded, Option<&Topic>)> {
        let (newer, older) = self.ring.split_at(usize::from(self.next));
        older.iter().chain(newer).filter_map(move |entry| {
            let topic = self.topics.get(usize::from(entry.place()));
            let topic = topic.filter(|_| entry.is_named());
            Some((entry.recorded(now, topic.map_or("", Topic::as_str))?, topic))
        })
    }
}

fn count(packets: u64) -> usize {
    usize::try_from(packets).unwrap_or(usize::MAX)
}

/// A client that has said only a little keeps only a little: SUBSCRIBE and SUBACK.
const FIRST_ENTRIES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(recorder: &Recorder) -> Vec<String> {
        recorder.entries_with_topics(Instant::START).map(|(entry, _)| entry.topic.into_string()).collect()
    }

    fn sent(n: u64) -> Entry {
        Entry::publish(Direction::Sent, Instant::from_nanos(n), 10, None, 0x33)
    }

    fn received(bytes: &[u8]) -> Entry {
        Entry::other(Direction::Received, Instant::START, bytes)
    }

    #[test]
    fn the_oldest_gives_way() {
        let (mut recorder, mut last) = (Recorder::new(6, 0), LastTopic::default());
        for n in 0..11_u64 {
            recorder.push_publish(sent(n), &format!("t{n}"), None, &mut last);
            let known = n.saturating_sub(5)..=n;
            assert_eq!(topics(&recorder), known.map(|n| format!("t{n}")).collect::<Vec<_>>());
        }
        assert_eq!((recorder.ring.len(), recorder.topics.len()), (6, 6), "no more than asked for");
    }

    #[test]
    fn entries_keep_their_topics_however_topics_change() {
        let (mut recorder, mut last) = (Recorder::new(7, 0), LastTopic::default());
        let known: Vec<Topic> = (0..5).map(|n| Topic::new(&format!("t{n}"))).collect();
        let mut expected = Vec::new();
        let mut state: u64 = 1;
        for n in 0..2000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let draw = (state >> 33) as usize;
            if draw.is_multiple_of(11) {
                recorder.push(received(&[0x40, 2, 0, 1]));
                expected.push(String::new());
            } else if draw.is_multiple_of(7) {
                recorder.push(received(&[0x82, 2, 0, 1]));
                recorder.name_last([format!("t{}", draw % 3).as_str(), "x"].into_iter(), &mut last);
                expected.push(format!("t{}", draw % 3));
            } else if draw.is_multiple_of(5) {
                recorder.push(received(&[0xA2, 2, 0, 1]));
                expected.push(String::new());
            } else {
                let topic = format!("t{}", draw % 5);
                let known = Some(&known[draw % 5]).filter(|_| draw.is_multiple_of(2));
                recorder.push_publish(sent(n), &topic, known, &mut last);
                expected.push(topic);
            }
            assert_eq!(topics(&recorder), expected[expected.len().saturating_sub(7)..], "{n}");
        }
    }

    #[test]
    fn a_subscribe_has_its_first_filter_and_how_many_there_are() {
        let (mut recorder, mut last) = (Recorder::new(4, 0), LastTopic::default());
        recorder.push(received(&[0x82, 2, 0, 1]));
        recorder.name_last(["a/#", "b"].into_iter(), &mut last);
        recorder.push(received(&[0xA2, 2, 0, 2]));
        recorder.name_last(["c"; 300].into_iter(), &mut last);
        let seen: Vec<_> = recorder.entries_with_topics(Instant::START).map(|(entry, _)| entry).collect();
        assert_eq!((&*seen[0].topic, seen[0].detail), ("a/#", Detail::Filters { count: 2 }));
        assert_eq!((&*seen[1].topic, seen[1].detail), ("c", Detail::Filters { count: 255 }));
        assert_eq!((seen[1].kind, seen[1].packet_id), (PacketKind::Unsubscribe, 2));
    }

    #[test]
    fn a_client_that_says_little_keeps_little() {
        let (mut recorder, mut last) = (Recorder::new(64, 0), LastTopic::default());
        for _ in 0..FIRST_ENTRIES {
            recorder.push(received(&[0x82, 2, 0, 1]));
        }
        assert_eq!((recorder.ring.len(), recorder.topics.capacity()), (FIRST_ENTRIES, 0));
        for n in 0..100 {
            recorder.push_publish(sent(n), "a", None, &mut last);
        }
        assert_eq!(recorder.topics.capacity(), 1, "one topic takes one place");
    }

    #[test]
    fn one_text_serves_all_that_record_it() {
        let mut last = LastTopic::default();
        let (mut one, mut other) = (Recorder::new(4, 0), Recorder::new(4, 0));
        one.push_publish(sent(1), "a/b", None, &mut last);
        other.push_publish(sent(1), "a/b", None, &mut last);
        assert_eq!(one.topic_at, other.topic_at);
        let known = Topic::new("a/b");
        one.push_publish(sent(2), "a/b", Some(&known), &mut last);
        assert_eq!((one.topic_at, one.topics.len()), (known.address(), 1));
    }
}

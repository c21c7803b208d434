//! Who publishes what and how fast, and who gets it. What each message becomes is worked out here, so that every
//! subscriber's account knows what is to come.

use std::sync::Arc;

use client::QoS;
use client::wire::matches;

use super::template::Shape;
use crate::churn::Settings;

/// One run's publishers and subscribers.
#[derive(Default)]
pub struct Cast {
    pub scenario: String,
    pub publishers: Vec<PublisherRole>,
    pub subscribers: Vec<SubscriberRole>,
    /// Their sessions outlive their connections.
    pub is_stored: bool,
    /// What subscribers are counted by; their latencies are kept apart.
    pub parts: Vec<String>,
    /// How many groups share subscriptions.
    pub groups: usize,
    /// Open loops: messages per second of all publishers of each together.
    pub rates: Vec<u64>,
    /// Clients that come and go meanwhile.
    pub churn: Option<Settings>,
}

pub struct PublisherRole {
    /// It publishes to them in turns. Each is a stream of its own.
    pub topics: Vec<String>,
    pub shape: Shape,
    pub pace: Pace,
}

/// When a publisher sends.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many messages are under way.
    Window(u64),
    /// In turns with all others of this one of the cast's rates.
    Rate(usize),
}

pub struct SubscriberRole {
    pub filter: String,
    pub qos: QoS,
    /// Whose messages it gets, or its group does.
    pub streams: Arc<Streams>,
    pub part: usize,
    /// The group with which it shares its subscription.
    pub group: Option<usize>,
}

/// A set of streams with a position for each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// In ascending order.
    streams: Vec<u32>,
    /// Positions from the first stream on; empty where the streams follow one another without a gap.
    sparse: Vec<u32>,
}

impl Streams {
    pub fn new(streams: Vec<u32>) -> Streams {
        debug_assert!(streams.is_sorted_by(|one, other| one < other));
        let (Some(first), Some(last)) = (streams.first(), streams.last()) else { return Streams::default() };
        let span = (last - first) as usize + 1;
        if span == streams.len() {
            return Streams { streams, sparse: Vec::new() };
        }
        let mut sparse = vec![NO_POSITION; span];
        for (position, stream) in streams.iter().enumerate() {
            sparse[(stream - first) as usize] = position as u32;
        }
        Streams { streams, sparse }
    }

    #[inline]
    pub fn position(&self, stream: u32) -> Option<usize> {
        let offset = stream.checked_sub(*self.streams.first()?)? as usize;
        if self.sparse.is_empty() {
            return (offset < self.streams.len()).then_some(offset);
        }
        self.sparse
            .get(offset)
            .filter(|position| **position != NO_POSITION)
            .map(|position| *position as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.streams.iter().copied()
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }
}

/// To be asked before so many topics are made.
pub fn check_topics(publishers: u32, topics: u32) -> Result<(), String> {
    match u64::from(publishers) * u64::from(topics) {
        0..=TOPICS_MAX => Ok(()),
        all => Err(format!(
            "{publishers} publishers with {topics} topics each are {all} topics, and {TOPICS_MAX} fit: take fewer"
        )),
    }
}

impl Cast {
    /// The streams in their order: of the first publisher by topic, of the second, and so on.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.publishers.iter().flat_map(|publisher| publisher.topics.iter().map(String::as_str))
    }

    /// All streams whose topic a filter matches.
    pub fn streams_of(&self, filter: &str) -> Streams {
        let matching = (0..).zip(self.topics()).filter(|(_, topic)| matches(filter, topic));
        Streams::new(matching.map(|(stream, _)| stream).collect())
    }

    /// How many deliveries a message of each stream becomes: one for each subscriber, and one for each group.
    pub fn receivers(&self) -> Vec<u64> {
        let mut receivers = vec![0; self.topics().count()];
        let mut counted = vec![false; self.groups];
        for subscriber in &self.subscribers {
            let is_first = subscriber.group.is_none_or(|group| !std::mem::replace(&mut counted[group], true));
            for stream in subscriber.streams.iter().filter(|_| is_first) {
                receivers[stream as usize] += 1;
            }
        }
        receivers
    }

    /// From one message of each publisher of that rate to its next.
    pub fn interval_ns(&self, rate: usize) -> f64 {
        let is_of = |publisher: &&PublisherRole| matches!(publisher.pace, Pace::Rate(its) if its == rate);
        self.publishers.iter().filter(is_of).count() as f64 * 1e9 / self.rates[rate] as f64
    }

    /// How many accounts the subscribers keep in all: one for each of their streams.
    pub fn accounts(&self) -> u64 {
        self.subscribers.iter().map(|subscriber| subscriber.streams.len() as u64).sum()
    }
}

const NO_POSITION: u32 = u32::MAX;
const TOPICS_MAX: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_found_with_and_without_gaps() {
        let dense = Streams::new(vec![4, 5, 6]);
        let sparse = Streams::new(vec![4, 6, 9]);
        let positions =
            |streams: &Streams| (3..=10).map(|stream| streams.position(stream)).collect::<Vec<_>>();
        assert_eq!(positions(&dense), [None, Some(0), Some(1), Some(2), None, None, None, None]);
        assert_eq!(positions(&sparse), [None, Some(0), None, Some(1), None, None, Some(2), None]);
        assert_eq!(positions(&Streams::default()), [None; 8]);
    }

    #[test]
    fn a_message_becomes_one_delivery_for_each_subscriber_and_each_group() {
        let shape = Shape { qos: QoS::AtMostOnce, payload_bytes: 20, retain: false };
        let publisher = |topics: &[&str]| PublisherRole {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            shape,
            pace: Pace::Window(1),
        };
        let mut cast = Cast {
            publishers: vec![publisher(&["a/0", "b/0"]), publisher(&["a/1", "b/1"])],
            groups: 1,
            ..Cast::default()
        };
        for (filter, group) in [("a/+", None), ("+/1", Some(0)), ("+/1", Some(0)), ("c", None)] {
            let streams = Arc::new(cast.streams_of(filter));
            let filter = filter.to_owned();
            cast.subscribers.push(SubscriberRole { filter, qos: shape.qos, streams, part: 0, group });
        }
        assert_eq!(cast.receivers(), [1, 0, 2, 1]);
        assert_eq!(cast.accounts(), 2 + 2 + 2);
        assert_eq!(*cast.subscribers[0].streams, Streams::new(vec![0, 2]));
    }
}

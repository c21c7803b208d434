//! One subscriber: acknowledges what arrives, keeps the account of it, and takes its latency.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use client::wire::{Frame, PacketKind, Publish};
use client::{QoS, Version};
use hdrhistogram::Histogram;

use super::cast::{Streams, SubscriberRole};
use super::group::{Group, Tally};
use crate::acknowledgement::{acknowledge, complete, unexpected};
use crate::connection::{Connection, unusable};
use crate::ledger::{Faults, Ledger};
use crate::payload::Stamp;

pub struct Subscriber {
    pub connection: Connection,
    version: Version,
    index: u32,
    qos: QoS,
    part: usize,
    streams: Arc<Streams>,
    account: Account,
    /// A topic that may well come again: the same bytes need no check of their own.
    topic: String,
    received: u64,
}

/// What has arrived, by position of the stream.
enum Account {
    /// Every message of its streams is for it.
    Alone(Vec<Ledger>),
    /// Every message is for one member of the group. Which one gets it is open; the order at each is not.
    Member { group: Arc<Group>, next: Vec<u64>, reordered: u64 },
}

impl Subscriber {
    pub fn new(
        connection: Connection,
        version: Version,
        index: u32,
        role: &SubscriberRole,
        group: Option<Arc<Group>>,
    ) -> Subscriber {
        let streams = Arc::clone(&role.streams);
        let account = match group {
            Some(group) => Account::Member { group, next: vec![0; streams.len()], reordered: 0 },
            None => Account::Alone(streams.iter().map(|_| Ledger::default()).collect()),
        };
        Subscriber {
            connection,
            version,
            index,
            qos: role.qos,
            part: role.part,
            streams,
            account,
            topic: String::new(),
            received: 0,
        }
    }

    /// Takes deliveries; gives the number of messages that arrived for the first time.
    pub fn receive(&mut self, buffer: &mut [u8], world: &mut Reception<'_>) -> Result<u64, String> {
        let Subscriber { connection, version, account, streams, qos, part, topic, .. } = self;
        let mut delivered = 0;
        let (mut last, mut publisher, mut in_a_row) = (None, None, 0);
        // Held while this socket is read: other threads that read for the same group wait that long.
        let mut account = account.open();
        let open = connection.read(buffer, |frame, output| {
            match frame.kind {
                PacketKind::Publish => {
                    let expectation = Expectation { streams: world.expected, qos: *qos };
                    let stamp = on_publish(frame, *version, &expectation, last, topic, output)?;
                    let position = streams.position(stamp.stream).ok_or_else(|| NOT_FOR_IT.to_owned())?;
                    if account.on_delivery(position, stamp.sequence) {
                        delivered += 1;
                        if last != Some(stamp.stream) {
                            last = Some(stamp.stream);
                            let its_publisher = world.publishers[stamp.stream as usize];
                            if publisher != Some(its_publisher) {
                                world.count(publisher, in_a_row);
                                (publisher, in_a_row) = (Some(its_publisher), 0);
                            }
                        }
                        in_a_row += 1;
                        world.take_latency(*part, stamp.due_ns);
                    }
                }
                PacketKind::Pubrel => complete(frame, *version, output)?,
                _ => return Err(unexpected(frame, *version, "a subscriber")),
            }
            Ok(())
        })?;
        drop(account);
        world.count(publisher, in_a_row);
        self.received += delivered;
        if !open {
            return Err(format!("the broker closed the connection of subscriber {}", self.index));
        }
        self.connection.flush()?;
        Ok(delivered)
    }

    /// Its own faults, without what its group as a whole has lost. `sent` is by stream.
    pub fn faults(&self, sent: &[AtomicU64]) -> Faults {
        match &self.account {
            Account::Member { reordered, .. } => Faults { reordered: *reordered, ..Faults::default() },
            Account::Alone(ledgers) => {
                let mut faults = Faults::default();
                for (stream, ledger) in self.streams.iter().zip(ledgers) {
                    faults += ledger.faults(sent[stream as usize].load(Ordering::Relaxed));
                }
                faults
            }
        }
    }

    pub fn part(&self) -> usize {
        self.part
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    /// Messages that came to it and to nobody of its group before.
    pub fn received(&self) -> u64 {
        self.received
    }
}

impl Account {
    fn open(&mut self) -> OpenAccount<'_> {
        match self {
            Account::Alone(ledgers) => OpenAccount::Alone(ledgers),
            Account::Member { group, next, reordered } => {
                OpenAccount::Member { tallies: group.tallies(), next, reordered }
            }
        }
    }
}

enum OpenAccount<'a> {
    Alone(&'a mut [Ledger]),
    Member { tallies: MutexGuard<'a, Vec<Tally>>, next: &'a mut [u64], reordered: &'a mut u64 },
}

impl OpenAccount<'_> {
    /// True if it is the first delivery of this message.
    #[inline]
    fn on_delivery(&mut self, position: usize, sequence: u64) -> bool {
        match self {
            OpenAccount::Alone(ledgers) => ledgers[position].on_delivery(sequence),
            OpenAccount::Member { tallies, next, reordered } => {
                if !tallies[position].on_delivery(sequence) {
                    return false;
                }
                if sequence < next[position] {
                    **reordered += 1;
                } else {
                    next[position] = sequence.saturating_add(1);
                }
                true
            }
        }
    }
}

/// What deliveries are told to, beside the ledgers.
pub struct Reception<'a> {
    /// Deliveries by publisher.
    pub arrived: &'a [AtomicU64],
    /// The publisher of each stream.
    pub publishers: &'a [u32],
    /// What the messages of each stream look like.
    pub expected: &'a [Expected],
    /// Publishers whose window may have room again.
    pub touched: &'a mut Vec<u32>,
    /// By part, and only while measuring.
    pub latencies: Option<&'a mut [Histogram<u64>]>,
    /// When the run began: the clock of the stamps.
    pub epoch: Instant,
    /// When the first message of this read was seen.
    pub seen_ns: Option<u64>,
}

impl Reception<'_> {
    fn count(&mut self, publisher: Option<u32>, deliveries: u64) {
        if let Some(publisher) = publisher {
            self.arrived[publisher as usize].fetch_add(deliveries, Ordering::Relaxed);
            self.touched.push(publisher);
        }
    }

    #[inline]
    fn take_latency(&mut self, part: usize, due_ns: u64) {
        if let Some(latencies) = &mut self.latencies {
            let seen_ns = *self.seen_ns.get_or_insert_with(|| nanos_since(self.epoch));
            latencies[part].saturating_record(seen_ns.saturating_sub(due_ns).max(1));
        }
    }
}

pub fn nanos_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What the messages of a stream look like, wherever they arrive.
pub struct Expected {
    pub topic: String,
    pub payload_bytes: u32,
    pub qos: QoS,
}

struct Expectation<'a> {
    streams: &'a [Expected],
    /// Of the subscription.
    qos: QoS,
}

impl Expectation<'_> {
    /// That the message is what was published.
    #[inline]
    fn check(&self, stream: u32, publish: &Publish<'_>) -> Result<(), String> {
        let expected = self.streams.get(stream as usize).ok_or_else(|| NOT_FOR_IT.to_owned())?;
        if publish.topic != expected.topic {
            return Err(format!("a message to `{}` came as one to `{}`", expected.topic, publish.topic));
        }
        if publish.payload.len() != expected.payload_bytes as usize {
            let (sent, came) = (expected.payload_bytes, publish.payload.len());
            return Err(format!("a message of {sent} bytes came with {came}: `{}`", publish.topic));
        }
        let granted = (expected.qos as u8).min(self.qos as u8);
        if (publish.qos as u8) < granted {
            let came = publish.qos as u8;
            return Err(format!(
                "a message that is due at QoS {granted} came at QoS {came}: `{}`",
                publish.topic
            ));
        }
        Ok(())
    }
}

/// Acknowledges a delivery, checks it and reads its stamp. `last` is the stream of the delivery before.
#[inline]
fn on_publish(
    frame: &Frame<'_>,
    version: Version,
    expectation: &Expectation<'_>,
    last: Option<u32>,
    topic: &mut String,
    output: &mut Vec<u8>,
) -> Result<Stamp, String> {
    let publish = Publish::decode_expecting(frame, version, topic).map_err(unusable)?;
    acknowledge(&publish, version, output);
    let stamp = Stamp::read(publish.payload)
        .ok_or_else(|| "a message arrived that this tool did not publish".to_owned())?;
    expectation.check(stamp.stream, &publish)?;
    // Where streams take turns no topic comes again at once, and it would be copied for nothing.
    if last == Some(stamp.stream) && publish.topic.as_ptr() != topic.as_ptr() {
        let repeated = publish.topic.to_owned();
        *topic = repeated;
    }
    Ok(stamp)
}

const NOT_FOR_IT: &str = "a message reached a subscriber that it is not for";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use client::wire;

    use super::super::template::{Shape, Template};
    use super::*;

    #[test]
    fn stamps_are_read_whether_the_topic_is_the_one_before_or_not() {
        let shape = Shape { qos: QoS::AtMostOnce, payload_bytes: Stamp::BYTES as u32, retain: false };
        let (mut last, mut topic) = (None, String::new());
        let streams = ["a/0", "a/1", "a/2", "b"].map(expected);
        let expectation = Expectation { streams: &streams, qos: QoS::ExactlyOnce };
        for (stream, sent_to, remembered) in [
            (1, "a/1", ""),
            (1, "a/1", "a/1"),
            (2, "a/2", "a/1"),
            (1, "a/1", "a/1"),
            (3, "b", "a/1"),
            (3, "b", "b"),
        ] {
            let mut bytes = Vec::new();
            let stamp = Stamp { stream, sequence: 2, due_ns: 3 };
            Template::new(sent_to, shape, Version::V311).append(stamp, 0, &mut bytes);
            let frame = wire::split(&bytes, wire::MAX_PACKET_SIZE).unwrap().unwrap();
            let read = on_publish(&frame, Version::V311, &expectation, last, &mut topic, &mut Vec::new());
            assert_eq!(read, Ok(stamp));
            assert_eq!(topic, remembered);
            last = Some(stream);
        }
    }

    #[test]
    fn what_another_program_published_is_an_error() {
        let bytes = b"\x30\x05\x00\x01thi";
        let frame = wire::split(bytes, 100).unwrap().unwrap();
        let expectation = Expectation { streams: &[], qos: QoS::AtMostOnce };
        let read = on_publish(&frame, Version::V311, &expectation, None, &mut String::new(), &mut Vec::new());
        assert!(read.unwrap_err().contains("did not publish"));
    }

    #[test]
    fn a_message_that_is_not_as_it_was_published_is_an_error() {
        let streams = ["a/0", "a/1"].map(|topic| Expected { qos: QoS::AtLeastOnce, ..expected(topic) });
        for (topic, more, qos, words) in [
            ("a/0", 0, QoS::AtLeastOnce, "came as one to `a/0`"),
            ("a/1", 1, QoS::AtLeastOnce, "of 20 bytes came with 21"),
            ("a/1", 0, QoS::AtMostOnce, "due at QoS 1 came at QoS 0"),
        ] {
            let shape = Shape { qos, payload_bytes: Stamp::BYTES as u32 + more, retain: false };
            let mut bytes = Vec::new();
            Template::new(topic, shape, Version::V311).append(
                Stamp { stream: 1, sequence: 0, due_ns: 0 },
                1,
                &mut bytes,
            );
            let frame = wire::split(&bytes, wire::MAX_PACKET_SIZE).unwrap().unwrap();
            let read = |qos| {
                let expectation = Expectation { streams: &streams, qos };
                on_publish(&frame, Version::V311, &expectation, None, &mut String::new(), &mut Vec::new())
            };
            let error = read(QoS::ExactlyOnce).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert_eq!(read(QoS::AtMostOnce).is_ok(), words.contains("QoS"), "a subscription may have less");
        }
    }

    fn expected(topic: &str) -> Expected {
        Expected { topic: topic.to_owned(), payload_bytes: Stamp::BYTES as u32, qos: QoS::AtMostOnce }
    }
}

//! One publisher: its window or its schedule, and the acknowledgements that it waits for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use client::{QoS, Version};
use hdrhistogram::Histogram;

use super::cast::{Pace, PublisherRole};
use super::subscriber::nanos_since;
use super::template::Template;
use crate::acknowledgement::on_acknowledgement;
use crate::connection::Connection;
use crate::payload::Stamp;

pub struct Publisher {
    pub connection: Connection,
    version: Version,
    /// It publishes to them in turns.
    topics: Vec<Topic>,
    turn: usize,
    first_stream: u32,
    index: u32,
    qos: QoS,
    /// Messages under way at most; `None` if it publishes when messages are due.
    window: Option<u64>,
    unacknowledged_max: u64,
    /// Published and not acknowledged in full.
    unacknowledged: u64,
    /// When those were due, in the order in which a broker has to acknowledge them. Empty at QoS 0.
    dues_ns: VecDeque<u64>,
    next_packet_id: u16,
    /// Deliveries that its messages become.
    expected: u64,
    /// Deliveries that one of its messages becomes at most.
    receivers_max: u64,
    /// Deliveries that never came and are not waited for.
    written_off: u64,
    arrived_before: u64,
}

/// One of its streams.
struct Topic {
    template: Template,
    /// Deliveries that each message becomes.
    receivers: u64,
    sent: u64,
}

/// Which publisher of the run it is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub index: u32,
    pub first_stream: u32,
}

impl Publisher {
    /// `receivers` is by topic.
    pub fn new(
        connection: Connection,
        version: Version,
        place: Place,
        role: &PublisherRole,
        receivers: &[u64],
    ) -> Self {
        let new_topic = |(topic, receivers): (&String, &u64)| Topic {
            template: Template::new(topic, role.shape, version),
            receivers: *receivers,
            sent: 0,
        };
        let window = match role.pace {
            Pace::Window(window) => Some(window),
            Pace::Rate(_) => None,
        };
        Publisher {
            version,
            topics: role.topics.iter().zip(receivers).map(new_topic).collect(),
            turn: 0,
            first_stream: place.first_stream,
            index: place.index,
            qos: role.shape.qos,
            window,
            unacknowledged_max: UNACKNOWLEDGED_MAX.min(connection.receive_maximum.into()),
            unacknowledged: 0,
            dues_ns: VecDeque::new(),
            next_packet_id: 1,
            expected: 0,
            receivers_max: receivers.iter().copied().max().unwrap_or(0).max(1),
            written_off: 0,
            arrived_before: 0,
            connection,
        }
    }

    /// Publishes what its window has room for, in one write. `arrived` counts the deliveries of this publisher.
    pub fn top_up(&mut self, arrived: &AtomicU64, now_ns: u64) -> Result<(), String> {
        let Some(window) = self.window else { return Ok(()) };
        let under_way = self.under_way(arrived).div_ceil(self.receivers_max).max(self.unacknowledged);
        let window = if self.qos == QoS::AtMostOnce { window } else { window.min(self.unacknowledged_max) };
        for _ in under_way..window {
            self.append(now_ns);
            if self.connection.backlog() >= BACKLOG_BYTES_MAX {
                self.connection.flush()?;
                if self.connection.backlog() >= BACKLOG_BYTES_MAX {
                    // The rest waits for the socket, whose next edge comes back here.
                    return Ok(());
                }
            }
        }
        self.connection.flush()
    }

    /// Publishes one message that was due at `due_ns`. False: too much is not acknowledged or not written yet, and it has
    /// to wait.
    pub fn publish_due(&mut self, due_ns: u64) -> Result<bool, String> {
        if self.unacknowledged >= self.unacknowledged_max || self.connection.backlog() >= BACKLOG_BYTES_MAX {
            return Ok(false);
        }
        self.append(due_ns);
        self.connection.flush()?;
        Ok(true)
    }

    fn append(&mut self, due_ns: u64) {
        let topic = &mut self.topics[self.turn];
        let stamp = Stamp { stream: self.first_stream + self.turn as u32, sequence: topic.sent, due_ns };
        topic.template.append(stamp, self.next_packet_id, &mut self.connection.output);
        topic.sent += 1;
        self.expected += topic.receivers;
        self.turn += 1;
        if self.turn == self.topics.len() {
            self.turn = 0;
        }
        if self.qos != QoS::AtMostOnce {
            self.unacknowledged += 1;
            self.dues_ns.push_back(due_ns);
            self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
        }
    }

    fn under_way(&self, arrived: &AtomicU64) -> u64 {
        self.expected.saturating_sub(arrived.load(Ordering::Relaxed) + self.written_off)
    }

    /// Takes acknowledgements, and how long each message waited for its last one: on the clock that began at `epoch`.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        epoch: Instant,
        mut latencies: Option<&mut Histogram<u64>>,
    ) -> Result<(), String> {
        let Publisher { connection, unacknowledged, dues_ns, version, .. } = self;
        let mut seen_ns = None;
        let open = connection.read(buffer, |frame, output| {
            let finished = on_acknowledgement(frame, *version, output)?.min(*unacknowledged);
            *unacknowledged -= finished;
            for due_ns in dues_ns.drain(..finished as usize) {
                if let Some(latencies) = &mut latencies {
                    let seen_ns = *seen_ns.get_or_insert_with(|| nanos_since(epoch));
                    latencies.saturating_record(seen_ns.saturating_sub(due_ns).max(1));
                }
            }
            Ok(())
        })?;
        if !open {
            return Err(format!("the broker closed the connection of publisher {}", self.index));
        }
        self.connection.flush()
    }

    /// A message that was dropped never frees its place in the window. After a while without any delivery the
    /// window opens again; what was under way counts as lost unless it arrives after all.
    pub fn write_off_if_stalled(&mut self, arrived: &AtomicU64) {
        let count = arrived.load(Ordering::Relaxed);
        let is_stalled = count == self.arrived_before && self.under_way(arrived) > 0;
        self.arrived_before = count;
        if is_stalled && self.window.is_some() {
            self.written_off += self.under_way(arrived);
        }
    }

    pub fn is_unfinished(&self, arrived: &AtomicU64) -> bool {
        self.unacknowledged > 0 || self.under_way(arrived) > 0
    }

    /// By stream: how many messages were published.
    pub fn sent(&self) -> impl Iterator<Item = (u32, u64)> {
        (self.first_stream..).zip(self.topics.iter().map(|topic| topic.sent))
    }
}

/// What waits here is this process's own memory, and a queue that no broker could be blamed for.
const BACKLOG_BYTES_MAX: usize = 1 << 20;
/// Fewer than there are packet ids, so that none is used twice.
const UNACKNOWLEDGED_MAX: u64 = 60_000;

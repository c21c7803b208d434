//! One subscriber: acknowledges what arrives, keeps the account of it, and takes its latency.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use client::wire::{Ack, Frame, PacketKind, Publish};
use client::{QoS, Version};
use hdrhistogram::Histogram;

use crate::connection::Connection;
use crate::ledger::{Faults, Ledger};
use crate::payload::Stamp;

pub struct Subscriber {
    pub connection: Connection,
    version: Version,
    /// Its publishers are those from here on, one ledger each.
    first_publisher: u32,
    ledgers: Vec<Ledger>,
    index: u32,
}

impl Subscriber {
    pub fn new(
        connection: Connection,
        version: Version,
        index: u32,
        publishers: std::ops::Range<u32>,
    ) -> Subscriber {
        let ledgers = publishers.clone().map(|_| Ledger::default()).collect();
        Subscriber { connection, version, first_publisher: publishers.start, ledgers, index }
    }

    /// Takes deliveries; gives the number of messages that arrived for the first time. `arrived` counts by publisher.
    pub fn receive(&mut self, buffer: &mut [u8], world: &mut Reception<'_>) -> Result<u64, String> {
        let Subscriber { connection, version, ledgers, first_publisher, .. } = self;
        let mut delivered = 0;
        let (mut publisher, mut in_a_row) = (None, 0);
        let open = connection.read(buffer, |frame, output| {
            match frame.kind {
                PacketKind::Publish => {
                    let stamp = on_publish(frame, *version, output)?;
                    let at = stamp.publisher.wrapping_sub(*first_publisher) as usize;
                    let ledger = ledgers.get_mut(at).ok_or_else(|| {
                        format!("a message of publisher {} reached another's subscriber", stamp.publisher)
                    })?;
                    if ledger.on_delivery(stamp.sequence) {
                        delivered += 1;
                        if publisher != Some(stamp.publisher) {
                            world.count(publisher, in_a_row);
                            (publisher, in_a_row) = (Some(stamp.publisher), 0);
                        }
                        in_a_row += 1;
                        world.take_latency(stamp.due_ns);
                    }
                }
                PacketKind::Pubrel => {
                    let ack = Ack::decode(frame, *version).map_err(|violation| violation.to_string())?;
                    Ack::new(ack.packet_id).encode(PacketKind::Pubcomp, *version, output);
                }
                kind => return Err(format!("the broker sent a {kind:?} to a subscriber")),
            }
            Ok(())
        })?;
        world.count(publisher, in_a_row);
        if !open {
            return Err(format!("the broker closed the connection of subscriber {}", self.index));
        }
        self.connection.flush()?;
        Ok(delivered)
    }

    /// `sent` is by publisher.
    pub fn faults(&self, sent: &[AtomicU64]) -> Faults {
        let mut faults = Faults::default();
        for (publisher, ledger) in (self.first_publisher as usize..).zip(&self.ledgers) {
            faults += ledger.faults(sent[publisher].load(Ordering::Relaxed));
        }
        faults
    }
}

/// What deliveries are told to, beside the ledgers.
pub struct Reception<'a> {
    /// Deliveries by publisher.
    pub arrived: &'a [AtomicU64],
    /// Publishers whose window may have room again.
    pub touched: &'a mut Vec<u32>,
    /// Only while measuring.
    pub latencies: Option<&'a mut Histogram<u64>>,
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

    fn take_latency(&mut self, due_ns: u64) {
        if let Some(latencies) = &mut self.latencies {
            let seen_ns = *self.seen_ns.get_or_insert_with(|| nanos_since(self.epoch));
            latencies.saturating_record(seen_ns.saturating_sub(due_ns).max(1));
        }
    }
}

pub fn nanos_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Acknowledges a delivery and reads its stamp.
fn on_publish(frame: &Frame<'_>, version: Version, output: &mut Vec<u8>) -> Result<Stamp, String> {
    let publish = Publish::decode(frame, version).map_err(|violation| violation.to_string())?;
    if let Some(packet_id) = publish.packet_id {
        let kind = if publish.qos == QoS::ExactlyOnce { PacketKind::Pubrec } else { PacketKind::Puback };
        Ack::new(packet_id).encode(kind, version, output);
    }
    Stamp::read(publish.payload).ok_or_else(|| "a message arrived that this tool did not publish".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use client::wire;

    use super::super::template::Template;
    use super::*;

    #[test]
    fn deliveries_are_acknowledged_by_their_qos() {
        let template = Template::new("t", QoS::ExactlyOnce, Stamp::BYTES, Version::V311);
        let mut bytes = Vec::new();
        let stamp = Stamp { publisher: 1, sequence: 2, due_ns: 3 };
        template.append(stamp, 9, &mut bytes);
        let frame = wire::split(&bytes, wire::MAX_PACKET_SIZE).unwrap().unwrap();
        let mut output = Vec::new();
        assert_eq!(on_publish(&frame, Version::V311, &mut output).unwrap(), stamp);
        assert_eq!(output, b"\x50\x02\x00\x09");
    }
}

//! One publisher and its subscriber: the window between them, the acknowledgements, the account of what arrived.

use client::wire::{Ack, Frame, PacketKind, Publish, PublishProperties};
use client::{PacketId, QoS, ReasonCode, Version};

use super::P2pArgs;
use crate::connection::{Connection, Hello};
use crate::epoll::Epoll;
use crate::ledger::{Faults, Ledger};
use crate::payload::Stamp;

pub struct Pair {
    publisher: Connection,
    subscriber: Connection,
    version: Version,
    template: Template,
    stamp: Stamp,
    window: u32,
    /// Published and neither delivered nor written off.
    under_way: u32,
    /// Published and not acknowledged in full.
    unacknowledged: u32,
    next_packet_id: u16,
    ledger: Ledger,
    /// What the ledger had at the last look for stalls.
    delivered: u64,
    delivered_before: u64,
}

/// A PUBLISH that was encoded once; each message is a copy with two places patched.
struct Template {
    frame: Vec<u8>,
    qos: QoS,
    packet_id_at: Option<usize>,
    payload_at: usize,
}

impl Pair {
    pub fn connect(args: &P2pArgs, index: u32) -> Result<Pair, String> {
        let (server, version) = (args.broker.address()?, args.broker.protocol_version);
        let topic = format!("loadgen/p2p/{index}");
        let open = |role: &str, subscription| {
            let client_id = format!("loadgen-{role}-{index}");
            let hello = Hello { version, client_id: &client_id, keep_alive_s: 0, subscription };
            Connection::open(server, 2 * index as usize, &hello)
        };
        Ok(Pair {
            subscriber: open("subscriber", Some((&topic, args.qos)))?,
            publisher: open("publisher", None)?,
            version,
            template: Template::new(&topic, args.qos, args.payload_bytes as usize, version),
            stamp: Stamp { publisher: index, sequence: 0 },
            window: args.window,
            under_way: 0,
            unacknowledged: 0,
            next_packet_id: 1,
            ledger: Ledger::default(),
            delivered: 0,
            delivered_before: 0,
        })
    }

    /// The publisher gets the even token.
    pub fn register(&self, epoll: &Epoll, token: u64) -> Result<(), String> {
        epoll.add(&self.publisher, token).map_err(|error| error.to_string())?;
        epoll.add(&self.subscriber, token + 1).map_err(|error| error.to_string())
    }

    /// Publishes as much as the window allows, in one write.
    pub fn top_up(&mut self) -> Result<(), String> {
        let taken = self.under_way.max(self.unacknowledged);
        for _ in taken..self.window {
            self.template.append(self.stamp, self.next_packet_id, &mut self.publisher.output);
            self.stamp.sequence += 1;
            self.under_way += 1;
            if self.template.qos != QoS::AtMostOnce {
                self.unacknowledged += 1;
                self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
            }
        }
        self.publisher.flush()
    }

    pub fn receive_acknowledgements(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        let Pair { publisher, unacknowledged, version, .. } = self;
        let open = publisher.read(buffer, |frame, output| {
            let ack = Ack::decode(frame, *version).map_err(|violation| violation.to_string());
            match frame.kind {
                PacketKind::Puback | PacketKind::Pubcomp => {
                    check_reason(ack?.reason)?;
                    *unacknowledged = unacknowledged.saturating_sub(1);
                }
                PacketKind::Pubrec => {
                    let ack = ack?;
                    check_reason(ack.reason)?;
                    Ack::new(ack.packet_id).encode(PacketKind::Pubrel, *version, output);
                }
                kind => return Err(unexpected(kind, "publisher")),
            }
            Ok(())
        })?;
        if !open {
            return Err(format!("the broker closed the connection of publisher {}", self.stamp.publisher));
        }
        self.publisher.flush()
    }

    /// Gives the number of messages that arrived for the first time.
    pub fn receive_deliveries(&mut self, buffer: &mut [u8]) -> Result<u64, String> {
        let Pair { subscriber, ledger, version, stamp, under_way, .. } = self;
        let mut delivered = 0;
        let open = subscriber.read(buffer, |frame, output| {
            match frame.kind {
                PacketKind::Publish => {
                    let arrived = on_publish(frame, *version, output)?;
                    if arrived.publisher != stamp.publisher {
                        return Err(format!(
                            "a message of publisher {} reached the subscriber of another",
                            arrived.publisher
                        ));
                    }
                    if ledger.on_delivery(arrived.sequence) {
                        delivered += 1;
                        *under_way = under_way.saturating_sub(1);
                    }
                }
                PacketKind::Pubrel => {
                    let ack = Ack::decode(frame, *version).map_err(|violation| violation.to_string())?;
                    Ack::new(ack.packet_id).encode(PacketKind::Pubcomp, *version, output);
                }
                kind => return Err(unexpected(kind, "subscriber")),
            }
            Ok(())
        })?;
        if !open {
            return Err(format!("the broker closed the connection of subscriber {}", self.stamp.publisher));
        }
        self.delivered += delivered;
        self.subscriber.flush()?;
        Ok(delivered)
    }

    /// A QoS 0 message that was dropped never frees its place in the window. After a while without any delivery the
    /// window opens again; what was under way counts as lost unless it arrives after all.
    pub fn write_off_if_stalled(&mut self) -> Result<(), String> {
        let is_stalled = self.delivered == self.delivered_before && self.under_way == self.window;
        self.delivered_before = self.delivered;
        if is_stalled && self.template.qos == QoS::AtMostOnce {
            self.under_way = 0;
            return self.top_up();
        }
        Ok(())
    }

    pub fn is_unfinished(&self) -> bool {
        self.under_way > 0 || self.unacknowledged > 0
    }

    pub fn published(&self) -> u64 {
        self.stamp.sequence
    }

    pub fn faults(&self) -> Faults {
        self.ledger.faults(self.stamp.sequence)
    }
}

impl Template {
    fn new(topic: &str, qos: QoS, payload_bytes: usize, version: Version) -> Template {
        let mut frame = Vec::new();
        let publish = Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: (qos != QoS::AtMostOnce).then_some(PacketId::MIN),
            properties: PublishProperties::default(),
            payload: &vec![b'x'; payload_bytes],
        };
        publish.encode(version, &mut frame);
        let payload_at = frame.len() - payload_bytes;
        // Behind the packet id 5.0 has the length of the properties, which is zero in one byte.
        let properties_bytes = usize::from(version == Version::V5);
        let packet_id_at = publish.packet_id.map(|_| payload_at - properties_bytes - PACKET_ID_BYTES);
        Template { frame, qos, packet_id_at, payload_at }
    }

    fn append(&self, stamp: Stamp, packet_id: u16, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        if let Some(at) = self.packet_id_at {
            frame[at..at + PACKET_ID_BYTES].copy_from_slice(&packet_id.to_be_bytes());
        }
        stamp.write(&mut frame[self.payload_at..]);
    }
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

fn check_reason(reason: ReasonCode) -> Result<(), String> {
    if reason.is_error() { Err(format!("the broker refused a message: {}", reason.name())) } else { Ok(()) }
}

fn unexpected(kind: PacketKind, whom: &str) -> String {
    format!("the broker sent a {kind:?} to a {whom}")
}

const PACKET_ID_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use client::wire;

    use super::*;

    #[test]
    fn patched_template_is_the_publish_that_was_meant() {
        for version in [Version::V311, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let template = Template::new("loadgen/p2p/7", qos, 300, version);
                let mut out = b"before".to_vec();
                let stamp = Stamp { publisher: 7, sequence: 123_456_789_012 };
                template.append(stamp, 40_000, &mut out);
                let frame = wire::split(&out[6..], wire::MAX_PACKET_SIZE).unwrap().unwrap();
                assert_eq!(frame.size, out.len() - 6);
                let publish = Publish::decode(&frame, version).unwrap();
                assert_eq!((publish.topic, publish.qos), ("loadgen/p2p/7", qos));
                assert_eq!(publish.payload.len(), 300);
                assert_eq!(Stamp::read(publish.payload), Some(stamp));
                let expected = (qos != QoS::AtMostOnce).then(|| PacketId::new(40_000).unwrap());
                assert_eq!(publish.packet_id, expected);
            }
        }
    }

    #[test]
    fn deliveries_are_acknowledged_by_their_qos() {
        let template = Template::new("t", QoS::ExactlyOnce, 12, Version::V311);
        let mut bytes = Vec::new();
        template.append(Stamp { publisher: 1, sequence: 2 }, 9, &mut bytes);
        let frame = wire::split(&bytes, wire::MAX_PACKET_SIZE).unwrap().unwrap();
        let mut output = Vec::new();
        let stamp = on_publish(&frame, Version::V311, &mut output).unwrap();
        assert_eq!(stamp, Stamp { publisher: 1, sequence: 2 });
        assert_eq!(output, b"\x50\x02\x00\x09");
    }
}

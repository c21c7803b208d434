//! A PUBLISH that was encoded once; each message is a copy with two places patched.

use client::wire::{Publish, PublishProperties};
use client::{PacketId, QoS, Version};

use crate::payload::Stamp;

/// What all messages of a publisher have in common.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub qos: QoS,
    pub payload_bytes: u32,
    pub retain: bool,
}

pub struct Template {
    frame: Vec<u8>,
    packet_id_at: Option<usize>,
    payload_at: usize,
}

impl Template {
    pub fn new(topic: &str, shape: Shape, version: Version) -> Template {
        let Shape { qos, payload_bytes, retain } = shape;
        let payload_bytes = payload_bytes as usize;
        let mut frame = Vec::new();
        let publish = Publish {
            dup: false,
            qos,
            retain,
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
        Template { frame, packet_id_at, payload_at }
    }

    pub fn append(&self, stamp: Stamp, packet_id: u16, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        if let Some(at) = self.packet_id_at {
            frame[at..at + PACKET_ID_BYTES].copy_from_slice(&packet_id.to_be_bytes());
        }
        stamp.write(&mut frame[self.payload_at..]);
    }
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
                let shape = Shape { qos, payload_bytes: 300, retain: qos == QoS::AtLeastOnce };
                let template = Template::new("loadgen/p2p/7", shape, version);
                let mut out = b"before".to_vec();
                let stamp = Stamp { stream: 7, sequence: 123_456_789_012, due_ns: 5 };
                template.append(stamp, 40_000, &mut out);
                let frame = wire::split(&out[6..], wire::MAX_PACKET_SIZE).unwrap().unwrap();
                assert_eq!(frame.size, out.len() - 6);
                let publish = Publish::decode(&frame, version).unwrap();
                assert_eq!(
                    (publish.topic, publish.qos, publish.retain),
                    ("loadgen/p2p/7", qos, shape.retain)
                );
                assert_eq!(publish.payload.len(), 300);
                assert_eq!(Stamp::read(publish.payload), Some(stamp));
                let expected = (qos != QoS::AtMostOnce).then(|| PacketId::new(40_000).unwrap());
                assert_eq!(publish.packet_id, expected);
            }
        }
    }
}

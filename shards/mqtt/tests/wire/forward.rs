//! A message on its way through the broker: what arrives at the receiver, against what was published.

use crate::build::{id, subscription_ids};
use crate::round_trip::{packet_id, publish, qos, topic_name, version};
use mqtt::{
    Alias, Connect, Forward, MAX_PACKET_SIZE, PacketId, Publish, PublishProperties, QoS, Version,
    forwardable, split,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn encoded(publish: &Publish<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    publish.encode(version, &mut bytes);
    bytes
}

fn decoded(bytes: &[u8], version: Version) -> Publish<'_> {
    let frame = split(bytes, MAX_PACKET_SIZE).expect("valid").expect("complete");
    assert_eq!(frame.size, bytes.len());
    Publish::decode(&frame, version).expect("valid")
}

fn plain<'a>(version: Version, topic: &'a str) -> Forward<'a> {
    Forward {
        version,
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic,
        alias: Alias::None,
        packet_id: None,
        message_expiry_interval_s: None,
        subscription_ids: &[],
        forwarded: b"",
        payload_len: 2,
    }
}

fn head(forward: &Forward<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    forward.encode_head(&mut out);
    assert_eq!(forward.size(), out.len() + forward.payload_len);
    out
}

#[test]
fn heads_byte_by_byte() {
    let at_least_once =
        |version| Forward { qos: QoS::AtLeastOnce, packet_id: Some(id(0x0102)), ..plain(version, "a/b") };
    assert_eq!(head(&plain(Version::V31, "a/b")), b"\x30\x07\x00\x03a/b");
    assert_eq!(head(&at_least_once(Version::V311)), b"\x32\x09\x00\x03a/b\x01\x02");
    assert_eq!(head(&plain(Version::V5, "a/b")), b"\x30\x08\x00\x03a/b\x00");
    let rich = Forward {
        dup: true,
        retain: true,
        alias: Alias::Define(7),
        message_expiry_interval_s: Some(1),
        subscription_ids: &[5, 300],
        forwarded: b"\x01\x01",
        ..at_least_once(Version::V5)
    };
    assert_eq!(
        head(&rich),
        b"\x3b\x19\x00\x03a/b\x01\x02\x0f\x23\x00\x07\x02\x00\x00\x00\x01\x0b\x05\x0b\xac\x02\x01\x01"
    );
    let known = Forward { alias: Alias::Known(7), ..at_least_once(Version::V5) };
    assert_eq!(head(&known), b"\x32\x0a\x00\x00\x01\x02\x03\x23\x00\x07");
}

#[test]
fn aliases_and_properties_do_not_reach_3_x() {
    let forward = Forward {
        alias: Alias::Known(7),
        message_expiry_interval_s: Some(1),
        subscription_ids: &[5],
        forwarded: b"\x01\x01",
        ..plain(Version::V311, "a/b")
    };
    assert_eq!(head(&forward), b"\x30\x07\x00\x03a/b");
}

#[test]
fn the_packet_id_of_a_copied_head_can_be_patched() {
    for (version, alias) in
        [(Version::V311, Alias::None), (Version::V5, Alias::None), (Version::V5, Alias::Known(3))]
    {
        // The remaining length takes one, two and three bytes.
        for payload_len in [0, 1_000, 100_000] {
            let topic = "some/topic";
            let packet_id = Some(id(1));
            let base = Forward { qos: QoS::ExactlyOnce, alias, packet_id, ..plain(version, topic) };
            let forward = Forward { payload_len, ..base };
            let mut patched = head(&forward);
            let at = forward.packet_id_offset().expect("QoS 2 has a packet identifier");
            patched[at..at + 2].copy_from_slice(&0xABCD_u16.to_be_bytes());
            assert_eq!(patched, head(&Forward { packet_id: Some(id(0xABCD)), ..forward }));
        }
    }
    assert_eq!(plain(Version::V5, "a").packet_id_offset(), None);
}

#[test]
fn what_belongs_to_one_connection_is_left_behind() {
    let kept = b"\x03\x00\x01c\x26\x00\x01k\x00\x01v\x08\x00\x01r\x01\x00\x26\x00\x01k\x00\x01w\x09\x00\x01d";
    let mut publish = b"\x0b\x05\x23\x00\x01\x02\x00\x00\x00\x09\x0b\xff\x7f".to_vec();
    publish.extend_from_slice(kept);
    let mut out = b"before".to_vec();
    forwardable(&publish, &mut out);
    assert_eq!(out, [&b"before"[..], kept].concat());
}

#[test]
fn the_delay_of_a_will_is_left_behind() {
    let connect = b"\x10\x1d\x00\x04MQTT\x05\x04\x00\x00\x00\x00\x01a\
                    \x07\x01\x01\x18\x00\x00\x00\x05\x00\x01w\x00\x02hi";
    let frame = split(connect, 100).expect("valid").expect("complete");
    let connect = Connect::decode(&frame, Version::V5).expect("valid");
    let mut out = Vec::new();
    forwardable(connect.will.expect("there is a will").properties.block, &mut out);
    assert_eq!(out, b"\x01\x01");
}

/// `forwardable` is only given blocks that have been checked. If it is not, it must still not panic.
#[test]
fn a_block_that_was_not_checked_is_read_up_to_its_fault() {
    for fault in [
        &b"\x01"[..],
        b"\x02\x00\x00\x00",
        b"\x23\x00",
        b"\x0b\x80",
        b"\x03\x00\x02a",
        b"\x7f",
        b"\x26\x00\x00",
    ] {
        let mut out = Vec::new();
        forwardable(&[b"\x01\x00", fault].concat(), &mut out);
        assert_eq!(out, b"\x01\x00");
    }
}

/// What the broker decides for one receiver.
#[derive(Clone, Debug)]
struct Delivery {
    version: Version,
    dup: bool,
    qos: QoS,
    retain: bool,
    alias: Alias,
    packet_id: Option<PacketId>,
    message_expiry_interval_s: Option<u32>,
    subscription_ids: Vec<u32>,
}

prop_compose! {
    fn delivery()(
        (version, qos) in (version(), qos()),
        (dup, retain) in any::<(bool, bool)>(),
        alias in prop_oneof![
            Just(Alias::None), (1..=u16::MAX).prop_map(Alias::Define), (1..=u16::MAX).prop_map(Alias::Known)
        ],
        packet_id in packet_id(),
        message_expiry_interval_s in option::of(any::<u32>()),
        subscription_ids in vec(1..=268_435_455u32, 0..4),
    ) -> Delivery {
        Delivery {
            version, dup: dup && qos != QoS::AtMostOnce, qos, retain, alias,
            packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
            message_expiry_interval_s, subscription_ids,
        }
    }
}

impl Delivery {
    fn forward<'a>(&'a self, topic: &'a str, forwarded: &'a [u8], payload_len: usize) -> Forward<'a> {
        Forward {
            version: self.version,
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic,
            alias: self.alias,
            packet_id: self.packet_id,
            message_expiry_interval_s: self.message_expiry_interval_s,
            subscription_ids: &self.subscription_ids,
            forwarded,
            payload_len,
        }
    }

    /// The oracle: the published message with what this delivery changes in it.
    fn expected<'a>(&self, published: &Publish<'a>, topic: &'a str) -> Publish<'a> {
        let is_v5 = self.version == Version::V5;
        let properties = PublishProperties {
            message_expiry_interval_s: self.message_expiry_interval_s,
            topic_alias: match self.alias {
                Alias::None => None,
                Alias::Define(alias) | Alias::Known(alias) => Some(alias),
            },
            subscription_ids: subscription_ids(&self.subscription_ids),
            ..published.properties.clone()
        };
        Publish {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: if is_v5 && matches!(self.alias, Alias::Known(_)) { "" } else { topic },
            packet_id: self.packet_id,
            properties: if is_v5 { properties } else { PublishProperties::default() },
            payload: published.payload,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_receiver_gets_what_was_published_and_what_its_delivery_adds(
        (source, published) in version().prop_flat_map(|v| (Just(v), publish(v))),
        topic in topic_name(),
        delivery in delivery(),
    ) {
        let bytes = encoded(&published, source);
        let arrived = decoded(&bytes, source);
        let mut forwarded = Vec::new();
        forwardable(arrived.properties.block, &mut forwarded);
        let mut out = head(&delivery.forward(topic, &forwarded, arrived.payload.len()));
        out.extend_from_slice(arrived.payload);
        prop_assert_eq!(decoded(&out, delivery.version), delivery.expected(&published, topic));
    }
}

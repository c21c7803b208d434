//! Bytes of those who break the protocol. They must cost nobody else anything.

use mqtt::{
    Connect, ConnectProperties, Packet, PacketId, Publish, PublishProperties, QoS, Subscribe,
    SubscriptionOptions, UserProperties, Version,
};

use crate::{random::Random, said::STRANGER_PAYLOAD};

/// Whatever else is among them, a message of which `STRANGER_PAYLOAD` is all has the retain flag only if `retains` says so.
pub fn bytes(random: &mut Random, retains: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    match random.below(6) {
        0 => garbage(random, &mut bytes),
        1 => {
            connect(random, &mut bytes);
            bytes.truncate(random.index(bytes.len()));
        }
        2 => {
            connect(random, &mut bytes);
            let at = random.index(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        _ => {
            let version = connect(random, &mut bytes);
            for _ in 0..random.between(1, 6) {
                violate(random, version, retains, &mut bytes);
            }
        }
    }
    bytes
}

fn garbage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.between(1, 200) {
        bytes.push(random.next() as u8);
    }
}

/// A right CONNECT, with an id that is nobody else's and a session that ends with the connection.
fn connect(random: &mut Random, bytes: &mut Vec<u8>) -> Version {
    let version = *random.pick(&Version::ALL);
    let client_id = format!("stranger-{}", random.next());
    let connect = Connect {
        version,
        clean_start: true,
        keep_alive_s: random.below(3) as u16,
        client_id: &client_id,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    };
    Packet::Connect(Box::new(connect)).encode(version, bytes);
    version
}

fn violate(random: &mut Random, version: Version, retains: bool, bytes: &mut Vec<u8>) {
    match random.below(9) {
        0 => garbage(random, bytes),
        1 => {
            connect(random, bytes);
        }
        // A packet that only a server sends.
        2 => bytes.extend_from_slice(&[0x20, 0x02, 0x00, 0x00]),
        // QoS 3, a wrong flag, packet id zero, a length that never ends.
        3 => bytes.extend_from_slice(&[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01]),
        4 => bytes.extend_from_slice(&[0x80, 0x02, 0x00, 0x01]),
        5 => bytes.extend_from_slice(&[0x40, 0x02, 0x00, 0x00]),
        6 => bytes.extend_from_slice(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        7 => subscribe(random, version, bytes),
        _ => publish(random, version, retains, bytes),
    }
}

/// More QoS 2 messages than anybody allows, aliases out of range, topics with wildcards.
fn publish(random: &mut Random, version: Version, retains: bool, bytes: &mut Vec<u8>) {
    let qos = *random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
    let topic = *random.pick(&["a/b", "x/y", "t/1", "a/+", "$SYS/x"]);
    let alias = (version == Version::V5 && random.percent(30)).then(|| random.below(100) as u16 + 1);
    for n in 1..=random.between(1, 40) as u16 {
        let publish = Publish {
            dup: false,
            qos,
            retain: retains,
            topic,
            packet_id: (qos > QoS::AtMostOnce).then(|| PacketId::new(n).expect("it counts from one")),
            properties: PublishProperties { topic_alias: alias, ..PublishProperties::default() },
            payload: STRANGER_PAYLOAD,
        };
        Packet::Publish(publish).encode(version, bytes);
    }
}

fn subscribe(random: &mut Random, version: Version, bytes: &mut Vec<u8>) {
    let filter = *random.pick(&["a/#/b", "#", "$share//x", "$share/g", "a+", "x/#"]);
    let subscribe = Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: vec![(
            filter,
            SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() },
        )],
    };
    Packet::Subscribe(subscribe).encode(version, bytes);
}

//! The packets of most clients, to be varied.

use mqtt::{
    Ack, Connect, ConnectProperties, PacketId, Publish, PublishProperties, QoS, SubscriptionOptions, Version,
};

pub fn connect(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_s: 0,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

pub fn publish<'a>(topic: &'a str, payload: &'a str, qos: QoS, packet_id: Option<PacketId>) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id,
        properties: PublishProperties::default(),
        payload: payload.as_bytes(),
    }
}

pub fn options(qos: u8) -> SubscriptionOptions {
    SubscriptionOptions::from_u8(qos).unwrap()
}

pub fn ack<'a>(id: u16) -> Ack<'a> {
    Ack::new(PacketId::new(id).unwrap())
}

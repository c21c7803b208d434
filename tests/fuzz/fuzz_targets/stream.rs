//! What must hold for any bytes that a peer sends: no panic, and whatever decodes survives the wire.

use mqtt::{Alias, Connect, Forward, MAX_PACKET_SIZE, Packet, Publish, Version, decode, forwardable, split};

/// Reads packets until the bytes end or are refused.
pub fn check(mut bytes: &[u8], version: Version) {
    // The version of a CONNECT is its own, and the stream goes on in it.
    let mut version = version;
    while let Ok(Some(frame)) = split(bytes, MAX_PACKET_SIZE) {
        assert_eq!(mqtt::frame_size(bytes), Some(frame.size));
        let Ok(packet) = decode(&frame, version) else { return };
        assert_eq!(packet.kind(), frame.kind);
        check_round_trip(&packet, version);
        match &packet {
            Packet::Publish(publish) => check_forward(publish, version),
            Packet::Connect(connect) => {
                check_will(connect);
                version = connect.version;
            }
            _ => {}
        }
        bytes = &bytes[frame.size..];
    }
}

fn check_round_trip(packet: &Packet<'_>, version: Version) {
    let mut again = Vec::new();
    packet.encode(version, &mut again);
    assert_eq!(again.len(), packet.size(version));
    let frame = split(&again, MAX_PACKET_SIZE).expect("encoded").expect("whole");
    assert_eq!(&decode(&frame, version).expect("encoded"), packet);
    let mut within = Vec::new();
    let limit = again.len() as u32 / 2;
    if packet.encode_within(version, limit, &mut within) {
        assert!(within.len() <= limit as usize);
        let frame = split(&within, limit).expect("encoded").expect("whole");
        decode(&frame, version).expect("encoded");
    } else {
        assert!(within.is_empty());
    }
}

/// A message that the broker passes on unaltered arrives as it was published.
fn check_forward(publish: &Publish<'_>, version: Version) {
    let properties = &publish.properties;
    let mut forwarded = Vec::new();
    forwardable(properties.block, &mut forwarded);
    let subscription_ids: Vec<u32> = properties.subscription_ids.iter().collect();
    let alias = match properties.topic_alias {
        None => Alias::None,
        Some(alias) if publish.topic.is_empty() => Alias::Known(alias),
        Some(alias) => Alias::Define(alias),
    };
    let forward = Forward {
        version,
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: publish.topic,
        alias,
        packet_id: publish.packet_id,
        message_expiry_interval_s: properties.message_expiry_interval_s,
        subscription_ids: &subscription_ids,
        forwarded: &forwarded,
        payload_len: publish.payload.len(),
    };
    let mut out = Vec::new();
    forward.encode_head(&mut out);
    if let (Some(at), Some(id)) = (forward.packet_id_offset(), publish.packet_id) {
        assert_eq!(out[at..at + 2], id.get().to_be_bytes());
    }
    out.extend_from_slice(publish.payload);
    assert_eq!(out.len(), forward.size());
    let frame = split(&out, MAX_PACKET_SIZE).expect("encoded").expect("whole");
    assert_eq!(&Publish::decode(&frame, version).expect("encoded"), publish);
}

/// What a will forwards is a property block that a PUBLISH may have.
fn check_will(connect: &Connect<'_>) {
    let Some(will) = &connect.will else { return };
    let mut forwarded = Vec::new();
    forwardable(will.properties.block, &mut forwarded);
    let forward = Forward {
        version: connect.version,
        dup: false,
        qos: mqtt::QoS::AtMostOnce,
        retain: will.retain,
        topic: will.topic,
        alias: Alias::None,
        packet_id: None,
        message_expiry_interval_s: will.properties.message_expiry_interval_s,
        subscription_ids: &[],
        forwarded: &forwarded,
        payload_len: will.payload.len(),
    };
    let mut out = Vec::new();
    forward.encode_head(&mut out);
    out.extend_from_slice(will.payload);
    let frame = split(&out, MAX_PACKET_SIZE).expect("encoded").expect("whole");
    let publish = Publish::decode(&frame, connect.version).expect("encoded");
    assert_eq!(publish.properties.user_properties, will.properties.user_properties);
    assert_eq!(publish.properties.correlation_data, will.properties.correlation_data);
}

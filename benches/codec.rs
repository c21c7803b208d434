//! Decoding and encoding each kind of packet, and passing a PUBLISH on as the broker does for every message.

use std::hint::black_box;

use benches::Operation;
use criterion::{Criterion, Throughput, criterion_group};
use mqtt::{
    Ack, Alias, Auth, Connack, ConnackProperties, Connect, ConnectProperties, Disconnect, Forward, Packet,
    PacketId, Publish, PublishProperties, QoS, ReasonCode, Suback, Subscribe, SubscriptionOptions, Unsuback,
    Unsubscribe, UserProperties, Version, Will,
};

/// One packet of each kind, with what clients and brokers usually say.
fn packets(version: Version) -> Vec<(&'static str, Packet<'static>)> {
    let packet_id = PacketId::MIN;
    let user_properties = UserProperties::default();
    let mut packets = vec![
        ("connect", Packet::Connect(Box::new(connect(version)))),
        ("connack", Packet::Connack(connack())),
        ("publish-qos0", Packet::Publish(publish(QoS::AtMostOnce))),
        ("publish-qos1", Packet::Publish(publish(QoS::AtLeastOnce))),
        ("puback", Packet::Puback(Ack::new(packet_id))),
        ("pubrec", Packet::Pubrec(Ack::new(packet_id))),
        ("pubrel", Packet::Pubrel(Ack::new(packet_id))),
        ("pubcomp", Packet::Pubcomp(Ack::new(packet_id))),
        ("subscribe", {
            let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
            let filters = vec![(TOPIC, options), ("site3/+/cell1/#", options)];
            Packet::Subscribe(Subscribe { packet_id, subscription_id: None, user_properties, filters })
        }),
        ("suback", {
            let codes = vec![ReasonCode::GrantedQoS1; 2];
            Packet::Suback(Suback { packet_id, reason_string: None, user_properties, codes })
        }),
        ("unsubscribe", {
            let filters = vec![TOPIC, "site3/+/cell1/#"];
            Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, filters })
        }),
        ("unsuback", {
            // Not on the wire before 5.0.
            let codes = if version == Version::V5 { vec![ReasonCode::Success; 2] } else { Vec::new() };
            Packet::Unsuback(Unsuback { packet_id, reason_string: None, user_properties, codes })
        }),
        ("pingreq", Packet::Pingreq),
        ("pingresp", Packet::Pingresp),
        ("disconnect", Packet::Disconnect(Disconnect::default())),
    ];
    if version == Version::V5 {
        let reason = ReasonCode::ContinueAuthentication;
        let auth = Auth { reason, method: Some("SCRAM-SHA-256"), data: Some(PAYLOAD), ..Auth::default() };
        packets.push(("auth", Packet::Auth(auth)));
    }
    packets
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "sensor-0123456789",
        will: Some(Will { qos: QoS::AtLeastOnce, topic: TOPIC, payload: b"gone", ..Will::default() }),
        username: Some("sensor"),
        password: Some(b"0123456789abcdef"),
        properties: ConnectProperties::default(),
    }
}

fn connack() -> Connack<'static> {
    Connack { session_present: false, reason: ReasonCode::Success, properties: ConnackProperties::default() }
}

fn publish(qos: QoS) -> Publish<'static> {
    let packet_id = PacketId::new(77).filter(|_| qos > QoS::AtMostOnce);
    let properties = PublishProperties::default();
    Publish { dup: false, qos, retain: false, topic: TOPIC, packet_id, properties, payload: PAYLOAD }
}

fn forward(version: Version) -> Forward<'static> {
    Forward {
        version,
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: TOPIC,
        alias: Alias::None,
        packet_id: None,
        message_expiry_interval_s: None,
        subscription_ids: &[],
        forwarded: &[],
        payload_len: PAYLOAD.len(),
    }
}

/// From the bytes, as the broker does: cut the packet out, then decode it.
fn decode(bytes: &[u8], version: Version) {
    let frame = mqtt::split(black_box(bytes), 1 << 20).expect("valid").expect("whole");
    black_box(mqtt::decode(&frame, version).expect("valid"));
}

fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    out.clear();
    black_box(packet).encode(version, out);
    black_box(&*out);
}

fn pass_on(version: Version, out: &mut Vec<u8>) {
    out.clear();
    black_box(forward(version)).encode_head(out);
    out.extend_from_slice(PAYLOAD);
    black_box(&*out);
}

fn codec(criterion: &mut Criterion) {
    for (version, name) in VERSIONS {
        let mut group = criterion.benchmark_group(format!("codec/{name}"));
        let mut out = Vec::with_capacity(1 << 10);
        for (kind, packet) in packets(version) {
            let mut bytes = Vec::new();
            packet.encode(version, &mut bytes);
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(format!("decode/{kind}"), |bencher| {
                bencher.iter(|| decode(&bytes, version));
            });
            group.bench_function(format!("encode/{kind}"), |bencher| {
                bencher.iter(|| encode(&packet, version, &mut out));
            });
        }
        group.bench_function("forward/publish-qos0", |bencher| bencher.iter(|| pass_on(version, &mut out)));
        group.finish();
    }
}

const TOPIC: &str = "site3/line7/cell1/unit4/data9";
const PAYLOAD: &[u8] = &[b'x'; 64];
const VERSIONS: [(Version, &str); 2] = [(Version::V311, "3.1.1"), (Version::V5, "5.0")];

criterion_group!(benches, codec);

fn main() {
    if !benches::is_counting(&operations()) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

fn operations() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (version, name) in VERSIONS {
        for (kind, packet) in packets(version) {
            let mut bytes = Vec::new();
            packet.encode(version, &mut bytes);
            let decode_all = move |rounds| (0..rounds).for_each(|_| decode(&bytes, version));
            operations.push(Operation::new(format!("{name}-decode-{kind}"), 10_000, decode_all));
            let encode_all = move |rounds| {
                let mut out = Vec::with_capacity(1 << 10);
                (0..rounds).for_each(|_| encode(&packet, version, &mut out));
            };
            operations.push(Operation::new(format!("{name}-encode-{kind}"), 10_000, encode_all));
        }
        let pass_all_on = move |rounds| {
            let mut out = Vec::with_capacity(1 << 10);
            (0..rounds).for_each(|_| pass_on(version, &mut out));
        };
        operations.push(Operation::new(format!("{name}-forward-publish-qos0"), 10_000, pass_all_on));
    }
    operations
}

//! Decoding and encoding a PUBLISH with a payload of 64 bytes, as the broker does for every message.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt::{Alias, Forward, PacketId, Publish, PublishProperties, QoS, Version};

fn publish(qos: QoS) -> Publish<'static> {
    let packet_id = PacketId::new(77).filter(|_| qos > QoS::AtMostOnce);
    let properties = PublishProperties::default();
    Publish { dup: false, qos, retain: false, topic: TOPIC, packet_id, properties, payload: PAYLOAD }
}

fn codec(criterion: &mut Criterion) {
    for (version, name) in [(Version::V311, "3.1.1"), (Version::V5, "5.0")] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let mut group = criterion.benchmark_group(format!("publish/{name}/qos{}", qos as u8));
            let mut bytes = Vec::new();
            publish(qos).encode(version, &mut bytes);
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function("decode", |bencher| {
                bencher.iter(|| {
                    let frame = mqtt::split(black_box(&bytes), 1 << 20).expect("valid").expect("whole");
                    Publish::decode(&frame, version).expect("valid").payload.len()
                });
            });
            let mut out = Vec::with_capacity(bytes.len());
            group.bench_function("encode", |bencher| {
                bencher.iter(|| {
                    out.clear();
                    black_box(publish(qos)).encode(version, &mut out);
                    out.len()
                });
            });
            group.bench_function("forward", |bencher| {
                bencher.iter(|| {
                    out.clear();
                    let forward = black_box(forward(version, qos));
                    forward.encode_head(&mut out);
                    out.extend_from_slice(PAYLOAD);
                    out.len()
                });
            });
            group.finish();
        }
    }
}

fn forward(version: Version, qos: QoS) -> Forward<'static> {
    Forward {
        version,
        dup: false,
        qos,
        retain: false,
        topic: TOPIC,
        alias: Alias::None,
        packet_id: PacketId::new(77).filter(|_| qos > QoS::AtMostOnce),
        message_expiry_interval_s: None,
        subscription_ids: &[],
        forwarded: &[],
        payload_len: PAYLOAD.len(),
    }
}

const TOPIC: &str = "site3/line7/cell1/unit4/data9";
const PAYLOAD: &[u8] = &[b'x'; 64];

criterion_group!(benches, codec);
criterion_main!(benches);

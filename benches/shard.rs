//! One shard without any I/O: fifty publishers, each with a subscriber, and what one message costs from the bytes of its
//! PUBLISH to the bytes of its delivery, acknowledgements included.

use std::hint::black_box;

use benches::Operation;
use criterion::{Criterion, Throughput, criterion_group};
use mqtt::{
    Ack, Connect, ConnectProperties, Packet, PacketId, PacketKind, Publish, PublishProperties, QoS,
    RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe, UserProperties, Version,
};
use shard::{Config, ConnId, Effect, Effects, Event, Instant, Limits, Shard, ShardId};

struct Scene {
    shard: Shard,
    effects: Effects,
    now: Instant,
    answers: Vec<(ConnId, Vec<u8>)>,
}

impl Scene {
    fn new(pairs: u32, subscribers_each: u32, qos: QoS) -> Scene {
        Scene::with(Config::default(), pairs, subscribers_each, qos)
    }

    fn with(config: Config, pairs: u32, subscribers_each: u32, qos: QoS) -> Scene {
        let now = Instant::from_nanos(1_000_000_000);
        let mut scene = Scene {
            shard: Shard::new(ShardId(0), &config, now, 7),
            effects: Effects::default(),
            now,
            answers: Vec::new(),
        };
        for pair in 0..pairs {
            scene.connect(publisher(pair), &format!("publisher-{pair}"));
            for number in 0..subscribers_each {
                let conn = subscriber(pairs, pair * subscribers_each + number);
                scene.connect(conn, &format!("subscriber-{pair}-{number}"));
                scene.subscribe(conn, &topic(pair), qos);
            }
        }
        scene
    }

    fn connect(&mut self, conn: ConnId, client_id: &str) {
        self.handle(Event::Opened { conn, refuse: None, door: 0 });
        let connect = Packet::Connect(Box::new(Connect {
            version: VERSION,
            clean_start: true,
            keep_alive_s: 60,
            client_id,
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        }));
        self.say(conn, &encoded(&connect));
    }

    fn subscribe(&mut self, conn: ConnId, filter: &str, qos: QoS) {
        self.say(conn, &subscribe(filter, qos));
    }

    fn say(&mut self, conn: ConnId, bytes: &[u8]) {
        self.handle(Event::Bytes { conn, bytes });
        self.flush();
    }

    fn handle(&mut self, event: Event<'_>) {
        self.shard.handle(self.now, event, &mut self.effects);
    }

    /// Ends the tick and lets the sockets take everything; gives the number of PUBLISH packets among it.
    fn flush(&mut self) -> usize {
        self.handle(Event::Flush);
        let mut deliveries = 0;
        let mut queue = std::mem::take(&mut self.effects.queue);
        for effect in queue.drain(..) {
            if let Effect::Send { conn, bytes } = effect {
                let mut answer = Vec::new();
                deliveries += answer_all(bytes.as_contiguous().expect("small payloads"), &mut answer);
                if !answer.is_empty() {
                    self.answers.push((conn, answer));
                }
                self.effects.recycle(bytes);
                self.handle(Event::Sent { conn });
            }
        }
        deliveries
    }

    /// Everything that follows from these bytes, until nobody has anything left to say.
    fn run(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.handle(Event::Bytes { conn, bytes });
        let mut deliveries = self.flush();
        while !self.answers.is_empty() {
            for (conn, answer) in std::mem::take(&mut self.answers) {
                self.handle(Event::Bytes { conn, bytes: &answer });
            }
            deliveries += self.flush();
        }
        deliveries
    }
}

/// What a client answers to these packets.
fn answer_all(bytes: &[u8], answer: &mut Vec<u8>) -> usize {
    let (mut at, mut deliveries) = (0, 0);
    while let Ok(Some(frame)) = mqtt::split(&bytes[at..], mqtt::MAX_PACKET_SIZE) {
        at += frame.size;
        let id_of = |frame| Ack::decode(frame, VERSION).expect("valid").packet_id;
        match frame.kind {
            PacketKind::Publish => {
                deliveries += 1;
                // The topic's length stands before the topic, the packet id behind it.
                let qos = bytes[at - frame.size] >> 1 & 3;
                if qos > 0 {
                    let kind = if qos == 2 { PacketKind::Pubrec } else { PacketKind::Puback };
                    let topic_len = usize::from(u16::from_be_bytes([frame.body[0], frame.body[1]]));
                    let id = u16::from_be_bytes([frame.body[2 + topic_len], frame.body[3 + topic_len]]);
                    Ack::new(PacketId::new(id).expect("valid")).encode(kind, VERSION, answer);
                }
            }
            PacketKind::Pubrec => Ack::new(id_of(&frame)).encode(PacketKind::Pubrel, VERSION, answer),
            PacketKind::Pubrel => Ack::new(id_of(&frame)).encode(PacketKind::Pubcomp, VERSION, answer),
            _ => {}
        }
    }
    deliveries
}

fn messages(criterion: &mut Criterion) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut scene = Scene::new(PAIRS, 1, qos);
        let batches: Vec<Vec<u8>> = (0..PAIRS).map(|pair| batch(pair, qos, BATCH)).collect();
        let mut group = criterion.benchmark_group("shard/50 pairs");
        group.throughput(Throughput::Elements(u64::from(PAIRS) * u64::from(BATCH)));
        group.bench_function(format!("qos{}", qos as u8), |bencher| {
            bencher.iter(|| {
                for (pair, batch) in (0..).zip(&batches) {
                    assert_eq!(scene.run(publisher(pair), black_box(batch)), usize::from(BATCH));
                }
            });
        });
        group.finish();
    }
}

fn fanout(criterion: &mut Criterion) {
    let mut scene = Scene::new(1, 1000, QoS::AtMostOnce);
    let batch = batch(0, QoS::AtMostOnce, 4);
    let mut group = criterion.benchmark_group("shard/1 to 1000");
    group.throughput(Throughput::Elements(4000));
    group.bench_function("qos0", |bencher| {
        bencher.iter(|| assert_eq!(scene.run(publisher(0), black_box(&batch)), 4000));
    });
    group.finish();
}

fn batch(pair: u32, qos: QoS, count: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 1..=count {
        let packet_id = PacketId::new(number).filter(|_| qos > QoS::AtMostOnce);
        let properties = PublishProperties::default();
        let topic = &topic(pair);
        let payload = &[b'x'; 64];
        Publish { dup: false, qos, retain: false, topic, packet_id, properties, payload }
            .encode(VERSION, &mut bytes);
    }
    bytes
}

fn subscribe(filter: &str, qos: QoS) -> Vec<u8> {
    let retain_handling = RetainHandling::Send;
    let options = SubscriptionOptions { qos, no_local: false, retain_as_published: false, retain_handling };
    encoded(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: vec![(filter, options)],
    }))
}

fn unsubscribe(filter: &str) -> Vec<u8> {
    encoded(&Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::MIN,
        user_properties: UserProperties::default(),
        filters: vec![filter],
    }))
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(VERSION, &mut bytes);
    bytes
}

fn topic(pair: u32) -> String {
    format!("site/line{pair}/data")
}

fn publisher(pair: u32) -> ConnId {
    ConnId { slot: pair, generation: 0 }
}

fn subscriber(pairs: u32, number: u32) -> ConnId {
    ConnId { slot: pairs + number, generation: 0 }
}

const VERSION: Version = Version::V311;
const PAIRS: u32 = 50;
/// As many PUBLISH packets as one receive brings of a publisher that has 40 messages under way.
const BATCH: u16 = 20;

criterion_group!(benches, messages, fanout);

fn main() {
    let recorded = Config::default().limits.recorded_packets;
    let mut operations: Vec<Operation> = [(recorded, ""), (0, "-unrecorded")]
        .into_iter()
        .flat_map(|(recorded, name)| {
            [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].map(|qos| {
                let name = format!("message-qos{}{name}", qos as u8);
                Operation::new(name, 50_000, move |count| messages_of(qos, recorded, count))
            })
        })
        .collect();
    operations.push(Operation::new("subscribe-unsubscribe", 10_000, subscribe_and_unsubscribe));
    if !benches::is_counting(&operations) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

fn messages_of(qos: QoS, recorded_packets: u16, count: usize) {
    let limits = Limits { recorded_packets, ..Limits::default() };
    let mut scene = Scene::with(Config { limits, ..Config::default() }, PAIRS, 1, qos);
    let batches: Vec<Vec<u8>> = (0..PAIRS).map(|pair| batch(pair, qos, BATCH)).collect();
    for (pair, batch) in (0..PAIRS).zip(&batches).cycle().take(count / usize::from(BATCH)) {
        scene.run(publisher(pair), batch);
    }
}

/// A packet with one filter each, which nobody else has.
fn subscribe_and_unsubscribe(count: usize) {
    let mut scene = Scene::new(PAIRS, 1, QoS::AtMostOnce);
    let packets = [subscribe(FILTER, QoS::AtMostOnce), unsubscribe(FILTER)];
    for number in (0..PAIRS).cycle().take(count) {
        packets.iter().for_each(|packet| scene.say(subscriber(PAIRS, number), packet));
    }
}

const FILTER: &str = "site/line/+/state";

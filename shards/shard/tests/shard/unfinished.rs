//! Packets that are begun and not brought to their end: who gives way when they have no room, and who takes too long.

use mqtt::{Connect, PublishProperties, QoS, ReasonCode, Version, Will, WillProperties};
use shard::{Config, Flow, Limits, Reading};

use crate::{
    asking,
    rates::of_client,
    script::{Client, Script, connect, publish},
};

/// A PUBLISH that says that it has a million bytes.
const BEGUN: &[u8] = &[0x30, 0xc0, 0x84, 0x3d, 0x00, 0x01, b'a', 0x00];

fn with_room_for(bytes: usize) -> Script {
    let mut config = Config::default();
    config.limits.receive_memory_max = bytes;
    Script::new(config)
}

/// Begins a packet and brings so many bytes of it.
fn begin(s: &mut Script, client: Client, bytes: usize) {
    let mut begun = BEGUN.to_vec();
    begun.resize(bytes, b'x');
    s.bytes(client, &begun);
}

fn hogs(s: &mut Script, count: usize, bytes: usize) -> Vec<Client> {
    let hogs: Vec<_> = (0..count).map(|n| s.join(&format!("hog{n}"))).collect();
    for hog in &hogs {
        begin(s, *hog, bytes);
    }
    hogs
}

fn whole_publish(payload_bytes: usize) -> Vec<u8> {
    let payload = "x".repeat(payload_bytes);
    let mut bytes = Vec::new();
    let packet = publish("v", &payload, QoS::AtLeastOnce, mqtt::PacketId::new(1));
    mqtt::Packet::Publish(packet).encode(Version::V5, &mut bytes);
    bytes
}

/// More than a stalled mesh takes.
fn many_retained() -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..4000 {
        let topic = format!("t{}", n % 100);
        let retained = publish(&topic, "x", QoS::AtMostOnce, None);
        mqtt::Packet::Publish(mqtt::Publish { retain: true, ..retained }).encode(Version::V5, &mut bytes);
    }
    bytes
}

/// With a will of 20,000 bytes.
fn long_connect(client_id: &str) -> Vec<u8> {
    let payload = [b'x'; 20_000];
    let will = Will {
        topic: "w",
        payload: &payload,
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties::default(),
    };
    let mut bytes = Vec::new();
    let connect = Connect { will: Some(will), ..connect(client_id) };
    mqtt::Packet::Connect(Box::new(connect)).encode(Version::V5, &mut bytes);
    bytes
}

fn closed(s: &Script, clients: &[Client]) -> usize {
    clients.iter().filter(|client| s.is_closed(**client)).count()
}

#[test]
fn three_hundred_who_fill_the_room_cut_off_nobody_who_goes_on() {
    let mut s = with_room_for(10_000_000);
    let hogs = hogs(&mut s, 300, 40_000);
    let left = hogs.len() - closed(&s, &hogs);
    assert_eq!(left, 250, "as many as there is room for");
    let victim = s.join("victim");
    for _ in 0..20 {
        for piece in whole_publish(100_000).chunks(16 << 10) {
            s.bytes(victim, piece);
        }
        assert_eq!(s.hear(victim), ["PUBACK 1 No matching subscribers"]);
    }
    // No more of them than the room for one such packet takes.
    assert_eq!(left - (hogs.len() - closed(&s, &hogs)), 3);
    assert_eq!(s.shards[0].gauges().receive_bytes, 247 * 40_000);
}

#[test]
fn who_began_first_and_did_not_go_on_is_told_why_it_ends() {
    let mut s = with_room_for(100_000);
    let hogs = hogs(&mut s, 2, 50_000);
    let victim = s.join("victim");
    begin(&mut s, victim, 10_000);
    assert_eq!(s.hear(hogs[0]), ["DISCONNECT Quota exceeded"]);
    assert_eq!((closed(&s, &hogs), s.is_closed(victim)), (1, false));
    assert_eq!(s.counter("receive_memory_exceeded"), 1);
    assert_eq!((s.counter("ended_receive_memory"), s.counter("violations")), (1, 0));
    let told = |note: &String| note.starts_with("QuotaExceeded") && note.contains("max_receive_memory");
    assert!(s.notes.iter().any(told), "{:?}", s.notes);
}

#[test]
fn single_bytes_now_and_then_keep_nobody_in_its_place() {
    let mut s = with_room_for(100_000);
    let hogs = hogs(&mut s, 2, 45_000);
    let slow = s.join("slow");
    begin(&mut s, slow, 9000);
    for second in 0..59 {
        s.secs(1);
        for hog in &hogs {
            s.bytes(*hog, b"x");
        }
        if second == 30 {
            s.bytes(slow, &[b'x'; 4096]);
        }
    }
    assert_eq!((closed(&s, &hogs), s.counter("receive_memory_exceeded")), (1, 1));
    s.secs(2);
    assert_eq!((closed(&s, &hogs), s.counter("packet_timeouts")), (2, 1));
    assert!(!s.is_closed(slow), "it brought a stretch meanwhile");
}

#[test]
fn who_brings_a_stretch_in_time_may_take_as_long_as_it_likes() {
    let mut s = Script::of_one();
    let slow = s.join("slow");
    let bytes = whole_publish(50_000);
    for piece in bytes.chunks(5000) {
        s.secs(50);
        s.bytes(slow, piece);
    }
    assert_eq!(s.hear(slow), ["PUBACK 1 No matching subscribers"]);
    s.secs(1000);
    assert!(!s.is_closed(slow));
    assert_eq!(s.counter("packet_timeouts"), 0);
}

#[test]
fn who_is_silent_in_the_middle_of_a_packet_is_ended_in_time_without_a_keep_alive() {
    let mut s = Script::of_one();
    let (hog, small) = (s.join("hog"), s.join("small"));
    begin(&mut s, hog, 5000);
    begin(&mut s, small, 1000);
    s.secs(59);
    assert!(!s.is_closed(hog));
    s.secs(2);
    assert_eq!(s.hear(hog), ["DISCONNECT Quota exceeded"]);
    assert!(s.is_closed(hog) && !s.is_closed(small));
    assert_eq!((s.counter("packet_timeouts"), s.counter("receive_memory_exceeded")), (1, 0));
    assert_eq!((s.counter("ended_receive_memory"), s.counter("violations")), (0, 0));
    assert!(s.notes.iter().any(|note| note.starts_with("QuotaExceeded")), "{:?}", s.notes);
    assert_eq!(s.shards[0].gauges().receive_bytes, 1000);
}

#[test]
fn a_packet_has_room_at_each_of_several_shards_beside_all_that_aliases_may_take() {
    for (shards, payload_bytes) in [(1, 100_001), (3, 70_000), (128, 30_002)] {
        let packet = whole_publish(payload_bytes);
        let mut limits = Config::default().limits;
        let least = Limits::receive_memory_for(packet.len() as u64, shards);
        limits.receive_memory_max = usize::try_from(least).expect("it is not much");
        let room = limits.of_one_shard(shards).receive_memory_max;
        let mut s = with_room_for(room);
        let (topic, client) = ("t".repeat(room / 4), s.join("c"));
        let properties = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
        let aliased = mqtt::Publish { properties, ..publish(&topic, "", QoS::AtMostOnce, None) };
        s.packet(client, &mqtt::Packet::Publish(aliased));
        assert_eq!((s.hear(client), s.shards[0].gauges().receive_bytes), (Vec::new(), room / 4));
        let (last, most) = packet.split_last().expect("it has bytes");
        s.bytes(client, most);
        s.bytes(client, &[*last]);
        assert_eq!(s.hear(client), ["PUBACK 1 No matching subscribers"], "{payload_bytes}");
        assert_eq!(s.counter("receive_memory_exceeded"), 0);
    }
}

#[test]
fn many_who_are_silent_are_ended_over_several_events() {
    let mut s = Script::of_one();
    let hogs = hogs(&mut s, 300, 5000);
    s.secs(61);
    assert_eq!(closed(&s, &hogs), 300);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn bytes_of_an_unfinished_packet_are_no_sign_of_life_to_the_keep_alive() {
    let mut s = Script::of_one();
    let (dripping, _) = s.connect(&Connect { keep_alive_s: 10, ..connect("c") });
    begin(&mut s, dripping, 5000);
    for _ in 0..16 {
        s.secs(1);
        s.bytes(dripping, &[b'x'; 5000]);
    }
    assert_eq!(s.counter("keep_alive_timeouts"), 1);
    assert!(s.is_closed(dripping));
}

#[test]
fn a_packet_that_begins_where_another_ends_has_its_own_time() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let bytes = whole_publish(20_000);
    s.bytes(client, &bytes[..15_000]);
    s.secs(50);
    s.bytes(client, &[&bytes[15_000..], &bytes[..16_000]].concat());
    s.secs(50);
    s.bytes(client, &bytes[16_000..]);
    assert_eq!(s.hear(client).len(), 2);
    assert_eq!(s.counter("packet_timeouts"), 0);
}

#[test]
fn who_is_not_read_because_of_others_is_not_ended_for_it() {
    let mut s = Script::new(Config { shards: 2, ..Config::default() });
    s.give_room(0);
    let ids = Script::ids_by_home(&Config { shards: 2, ..Config::default() }, "c");
    let client = s.join(&ids[0]);
    s.bytes(client, &many_retained());
    assert_eq!(s.reading(client), Reading::Paused);
    assert!(s.shards[0].gauges().receive_bytes > 4096);
    s.secs(200);
    assert_eq!(s.counter("packet_timeouts"), 0);
    assert!(!s.is_closed(client));
}

#[test]
fn those_who_have_not_connected_take_room_from_each_other_only() {
    let mut s = with_room_for(100_000);
    let client = s.join("c");
    begin(&mut s, client, 40_000);
    let mut connect_begun = vec![0x10, 0xc0, 0x84, 0x3d, 0, 4, b'M', b'Q', b'T', b'T', 5];
    connect_begun.resize(20_000, 0);
    let strangers: Vec<_> = (0..10)
        .map(|_| {
            let stranger = s.open();
            s.bytes(stranger, &connect_begun);
            stranger
        })
        .collect();
    assert_eq!(closed(&s, &strangers), 8);
    assert!(!s.is_closed(strangers[8]) && !s.is_closed(strangers[9]) && !s.is_closed(client));
}

#[test]
fn a_connect_that_came_in_pieces_and_moves_is_held_by_nobody() {
    let mut config = Config { shards: 2, ..Config::default() };
    config.limits.receive_memory_max = 80_000;
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    for _ in 0..10 {
        let client = s.open_at_shard(0);
        let bytes = long_connect(&ids[1]);
        s.bytes(client, &bytes[..5000]);
        s.bytes(client, &bytes[5000..]);
        assert_eq!(s.hear(client), ["CONNACK Success"]);
        assert_eq!(s.conn(client).0, 1, "it has moved");
        s.disconnect(client, ReasonCode::Success);
    }
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
    // Half of the room of the shard is theirs: two of them are as many as fit.
    let strangers: Vec<_> = (0..2)
        .map(|_| {
            let stranger = s.open_at_shard(0);
            s.bytes(stranger, &long_connect(&ids[1])[..10_000]);
            stranger
        })
        .collect();
    assert_eq!(closed(&s, &strangers), 0);
    assert_eq!((s.counter("receive_memory_exceeded"), s.counter("violations")), (0, 0));
    let third = s.open_at_shard(0);
    s.bytes(third, &long_connect(&ids[1])[..10_000]);
    assert!(s.is_closed(strangers[0]), "there is no room for a third, and the first has waited longest");
    assert_eq!((closed(&s, &strangers), s.is_closed(third)), (1, false));
    assert_eq!(s.counter("receive_memory_exceeded"), 1);
}

#[test]
fn who_is_held_to_a_rate_does_not_give_way_to_those_who_do_not_go_on() {
    let mut config = of_client(Flow::PublishBytes, 2000);
    config.limits.receive_memory_max = 100_000;
    let mut s = Script::new(config);
    let victim = s.join("victim");
    let three = whole_publish(10_000).repeat(3);
    s.bytes(victim, &three);
    assert_eq!(s.reading(victim), Reading::Watched);
    assert!(s.shards[0].gauges().receive_bytes > 4096);
    let hogs = hogs(&mut s, 20, 20_000);
    assert!(!s.is_closed(victim) && closed(&s, &hogs) > 15, "{:?}", s.notes);
    s.secs(60);
    assert_eq!(s.hear(victim).len(), 3);
}

#[test]
fn who_waits_for_the_mesh_does_not_give_way_to_those_who_do_not_go_on() {
    let mut config = Config { shards: 2, ..Config::default() };
    config.limits.receive_memory_max = 400_000;
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    s.give_room(0);
    let victim = s.open_at_shard(0);
    s.say_connect(victim, &connect(&ids[0]));
    s.bytes(victim, &many_retained());
    assert_eq!(s.reading(victim), Reading::Paused);
    let mover = s.open_at_shard(0);
    s.bytes(mover, &long_connect(&ids[1]));
    assert_eq!(s.reading(mover), Reading::Paused);
    for _ in 0..20 {
        let stranger = s.open_at_shard(0);
        s.bytes(stranger, &long_connect("stranger")[..19_000]);
    }
    assert!(s.counter("receive_memory_exceeded") > 10);
    assert!(!s.is_closed(victim) && !s.is_closed(mover), "{:?}", s.notes);
    s.give_room(1 << 20);
    assert_eq!(s.hear(mover), ["CONNACK Success"]);
}

#[test]
fn whose_connect_is_asked_about_does_not_give_way_to_those_who_do_not_go_on() {
    let mut config = asking::config();
    config.limits.receive_memory_max = 100_000;
    let mut s = Script::new(config);
    let victim = s.open_by(1, false);
    s.bytes(victim, &long_connect("victim"));
    let strangers: Vec<_> = (0..10)
        .map(|_| {
            let stranger = s.open();
            s.bytes(stranger, &long_connect("stranger")[..19_000]);
            stranger
        })
        .collect();
    assert!(!s.is_closed(victim) && closed(&s, &strangers) == 9, "{:?}", s.notes);
    s.answer(victim, asking::accept("ada"));
    assert_eq!(s.hear(victim), ["CONNACK Success"]);
}

#[test]
fn of_those_who_all_wait_whoever_has_waited_longest_gives_way() {
    let mut config = asking::config();
    config.limits.receive_memory_max = 100_000;
    let mut s = Script::new(config);
    let waiting: Vec<_> = (0..3)
        .map(|n| {
            let client = s.open_by(1, false);
            s.bytes(client, &long_connect(&format!("c{n}")));
            client
        })
        .collect();
    assert_eq!(waiting.iter().map(|client| s.is_closed(*client)).collect::<Vec<_>>(), [true, false, false]);
    for client in &waiting[1..] {
        s.answer(*client, asking::accept("ada"));
        assert_eq!(s.hear(*client), ["CONNACK Success"]);
    }
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn a_client_that_reads_no_answers_gives_its_room_back_too() {
    let mut config = Config::default();
    config.limits.outbox_bytes_max = 1000;
    let mut s = Script::new(config);
    let client = s.join("c");
    s.stick(client);
    while s.reading(client) != Reading::Paused {
        s.packet(client, &mqtt::Packet::Pingreq);
    }
    s.bytes(client, &whole_publish(100_000));
    s.secs(61);
    assert_eq!(s.counter("packet_timeouts"), 1);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn topics_behind_aliases_leave_room_for_packets_and_for_small_aliases_of_others() {
    let mut s = with_room_for(100_000);
    let alias = |s: &mut Script, client: Client, topic: &str| {
        let properties = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
        let packet = mqtt::Publish { properties, ..publish(topic, "x", QoS::AtMostOnce, None) };
        s.packet(client, &mqtt::Packet::Publish(packet));
    };
    let hogs: Vec<_> = (0..10).map(|n| s.join(&format!("hog{n}"))).collect();
    for hog in &hogs {
        alias(&mut s, *hog, &"t".repeat(10_000));
    }
    assert_eq!(closed(&s, &hogs), 8);
    assert_eq!((s.counter("ended_alias_memory"), s.counter("violations")), (8, 0));
    let victim = s.join("victim");
    alias(&mut s, victim, &"t".repeat(1000));
    s.bytes(victim, &whole_publish(70_000)[..60_000]);
    assert!(!s.is_closed(victim));
    for client in hogs.into_iter().chain([victim]) {
        s.cut(client);
    }
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

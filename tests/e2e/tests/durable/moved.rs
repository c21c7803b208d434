//! A data directory and another number of shards at each start: whatever was acknowledged has moved with its session.

use std::collections::BTreeMap;
use std::path::Path;

use client::{Options, Publication, QoS, Version, Will};
use e2e::link::lasting;
use e2e::socket::{Socket, publish_acknowledged};
use e2e::{Broker, Link, Setup, program, v5};

/// Each number is reached from another one, with fewer and with more.
const SHARDS: [u8; 5] = [2, 3, 1, 4, 2];

#[test]
fn queues_subscriptions_and_retained_messages_move_with_every_change() {
    let dir = program::fresh_folder("durable-moved-queues");
    let mut broker = on(&dir, SHARDS[0]);
    for client in 0..CLIENTS {
        let mut link = Link::connect(broker.port, lasting(version(client), &client_id(client)));
        link.subscribe(&format!("own/{client}/+"), QoS::ExactlyOnce);
        link.subscribe("all", QoS::AtLeastOnce);
        link.close();
    }
    // What each of them is owed, in its order.
    let mut owed: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut kept = BTreeMap::new();
    for (life, shards) in SHARDS.into_iter().enumerate() {
        if life > 0 {
            broker.end(if life % 2 == 0 { libc::SIGTERM } else { libc::SIGKILL });
            broker = on(&dir, shards);
            assert!(broker.process.says("everything has moved"), "{}", broker.process.shown());
        }
        let is_last = life + 1 == SHARDS.len();
        for client in (0..CLIENTS).filter(|client| is_last || client % 4 == life) {
            read(&broker, client, &owed.remove(&client).unwrap_or_default());
        }
        look(&broker, &kept);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        for number in 0..6 {
            let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            for client in 0..CLIENTS {
                let text = format!("{life}-{number} {}", "x".repeat(client * 300));
                publisher.publish(&format!("own/{client}/{number}"), text.clone(), qos);
                owed.entry(client).or_default().push(text);
            }
            let text = format!("{life}-{number} for all");
            publisher.publish("all", text.clone(), qos);
            owed.values_mut().for_each(|owed| owed.push(text.clone()));
        }
        for topic in (0..KEPT).filter(|topic| topic.is_multiple_of(life + 2)) {
            let (topic, value) = (format!("kept/{topic}"), format!("of {life}"));
            // Some are cleared, and some come back.
            let value = if (topic.len() + life).is_multiple_of(3) { String::new() } else { value };
            publisher
                .publish_with(Publication::new(topic.clone(), value.clone(), QoS::AtLeastOnce).retained());
            if value.is_empty() {
                kept.remove(&topic)
            } else {
                kept.insert(topic, value)
            };
        }
        look(&broker, &kept);
        publisher.close();
    }
    for client in 0..CLIENTS {
        read(&broker, client, &owed.remove(&client).unwrap());
    }
    broker.end(libc::SIGTERM);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn handshakes_go_on_where_they_were() {
    for to in [1, 3, 5] {
        let dir = program::fresh_folder("durable-moved-handshakes");
        let broker = on(&dir, 2);
        let names: Vec<String> = (0..6).map(|n| format!("half-{n}")).collect();
        for name in &names {
            let mut reader = Socket::connect(broker.port, name, false);
            reader.subscribe(&format!("{name}/+"), QoS::ExactlyOnce);
            let mut publisher = Socket::connect(broker.port, &format!("{name}-publisher"), false);
            // The first is received, the second taken over, the third and the fourth are under way.
            for packet_id in 1..=4 {
                let qos = if packet_id == 4 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                let topic = format!("{name}/{packet_id}");
                publisher.send(&publish_acknowledged(&topic, b"text", qos, packet_id));
                assert_eq!(publisher.packet().1, packet_id.to_be_bytes());
                assert_eq!(reader.packet().1, published(&topic, packet_id));
            }
            reader.send(&[0x50, 2, 0, 1]);
            assert_eq!(reader.packet(), (0x62, vec![0, 1]));
            reader.send(&[0x70, 2, 0, 1]);
            reader.send(&[0x50, 2, 0, 2]);
            assert_eq!(reader.packet(), (0x62, vec![0, 2]));
            // It has had its PUBCOMP when it gets this.
            reader.send(&[0xC0, 0]);
            assert_eq!(reader.packet(), (0xD0, Vec::new()));
            // One publication is released, two are not.
            publisher.send(&[0x62, 2, 0, 1]);
            assert_eq!(publisher.packet(), (0x70, vec![0, 1]));
        }
        broker.end(libc::SIGKILL);
        let broker = on(&dir, to);
        for name in &names {
            let mut reader = Socket::connect(broker.port, name, false);
            assert_eq!(reader.packet(), (0x62, vec![0, 2]), "the second is taken over and not at its end");
            assert_eq!(reader.packet(), (0x3C, published(&format!("{name}/3"), 3)), "the third once more");
            assert_eq!(reader.packet(), (0x3A, published(&format!("{name}/4"), 4)), "the fourth once more");
            let mut publisher = Socket::connect(broker.port, &format!("{name}-publisher"), false);
            for packet_id in [2_u8, 3] {
                let mut again = publish_acknowledged(
                    &format!("{name}/{packet_id}"),
                    b"text",
                    QoS::ExactlyOnce,
                    packet_id.into(),
                );
                again[0] |= 8;
                publisher.send(&again);
                assert_eq!(publisher.packet(), (0x50, vec![0, packet_id]));
                publisher.send(&[0x62, 2, 0, packet_id]);
                assert_eq!(publisher.packet(), (0x70, vec![0, packet_id]));
            }
            // The first one's packet id is free, and nothing came twice.
            publisher.send(&publish_acknowledged(&format!("{name}/5"), b"text", QoS::ExactlyOnce, 1));
            assert_eq!(publisher.packet(), (0x50, vec![0, 1]));
            assert_eq!(reader.packet(), (0x34, published(&format!("{name}/5"), 5)));
        }
        broker.end(libc::SIGTERM);
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn a_will_that_was_left_by_the_crash_is_published_by_its_home_to_be() {
    let dir = program::fresh_folder("durable-moved-wills");
    let broker = on(&dir, 3);
    let mut watcher = Link::connect(broker.port, lasting(Version::V5, "watcher"));
    watcher.subscribe("will/+", QoS::AtLeastOnce);
    watcher.close();
    let mut mortal: Vec<Link> = Vec::new();
    for client in 0..8 {
        mortal.push(Link::connect(broker.port, mortal_options(client)));
    }
    broker.end(libc::SIGKILL);
    drop(mortal);
    let broker = on(&dir, 2);
    let mut watcher = Link::connect(broker.port, lasting(Version::V5, "watcher"));
    assert!(watcher.session_present);
    let mut topics: Vec<String> = (0..8).map(|_| watcher.message().topic).collect();
    topics.sort();
    assert_eq!(topics, (0..8).map(|client| format!("will/{client}")).collect::<Vec<_>>());
    watcher.expect_silence();
    broker.end(libc::SIGTERM);
    std::fs::remove_dir_all(dir).unwrap();
}

fn setup(dir: &Path, shards: u8) -> Setup {
    let config = "[server]\nmax_packet_size = \"128 KiB\"\n[store]\nsegment_bytes = \"2 MiB\"\n";
    Setup::new("moved").shards(shards).config(config).args(["--data-dir".into(), dir.as_os_str().to_owned()])
}

fn on(dir: &Path, shards: u8) -> Broker {
    setup(dir, shards).start()
}

/// What this client gets is what it is owed, once and in its order.
#[track_caller]
fn read(broker: &Broker, client: usize, owed: &[String]) {
    let mut link = Link::connect(broker.port, lasting(version(client), &client_id(client)));
    assert!(link.session_present);
    for text in owed {
        assert_eq!(link.text(), *text, "client {client}");
    }
    link.expect_silence();
    link.close();
}

#[track_caller]
fn look(broker: &Broker, kept: &BTreeMap<String, String>) {
    let mut link = Link::connect(broker.port, v5("looker"));
    link.subscribe("kept/+", QoS::AtLeastOnce);
    let mut seen = BTreeMap::new();
    for _ in 0..kept.len() {
        let message = link.message();
        seen.insert(message.topic, String::from_utf8(message.payload).unwrap());
    }
    assert_eq!(seen, *kept);
    link.expect_silence();
    link.close();
}

fn published(topic: &str, packet_id: u16) -> Vec<u8> {
    publish_acknowledged(topic, b"text", QoS::AtLeastOnce, packet_id)[2..].to_vec()
}

fn mortal_options(client: usize) -> Options {
    let publication = Publication::new(format!("will/{client}"), "gone", QoS::AtLeastOnce);
    let will = Will { publication, delay_interval_s: Some(1) };
    Options { will: Some(will), ..lasting(Version::V5, &format!("mortal-{client}")) }
}

fn version(client: usize) -> Version {
    if client.is_multiple_of(3) { Version::V311 } else { Version::V5 }
}

fn client_id(client: usize) -> String {
    format!("client-{client}")
}

const CLIENTS: usize = 12;
const KEPT: usize = 20;

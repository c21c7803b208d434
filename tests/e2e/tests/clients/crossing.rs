//! The whole matrix: each client program in each version publishes at each QoS to each client program in each version.

use std::fs;

use client::QoS;
use e2e::peer::Received;
use e2e::{Broker, Peer, Process, Subscriber, program};

#[test]
fn every_client_reaches_every_client_on_one_shard() {
    let broker = Broker::start("crossing-1", 1);
    everybody_reaches_everybody(&broker, &Peer::all(), QoS::ExactlyOnce);
}

#[test]
fn every_client_reaches_every_client_on_two_shards() {
    let broker = Broker::start("crossing-2", 2);
    everybody_reaches_everybody(&broker, &Peer::all(), QoS::ExactlyOnce);
}

#[test]
fn every_client_reaches_every_client_on_four_shards() {
    let broker = Broker::start("crossing-4", 4);
    everybody_reaches_everybody(&broker, &Peer::all(), QoS::ExactlyOnce);
}

#[test]
fn a_subscription_lowers_the_qos_of_what_it_gets() {
    let broker = Broker::start("crossing-lower", 2);
    for qos_max in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        everybody_reaches_everybody(&broker, &Peer::all(), qos_max);
    }
}

#[test]
fn a_file_of_nine_hundred_kilobytes_reaches_every_client() {
    let broker = Broker::start("crossing-large", 2);
    let folder = program::fresh_folder("crossing-large");
    let path = folder.join("payload");
    // Printable, and without a line end: the peers print it as one line.
    let payload: String = (0..LARGE_BYTES).map(|at| char::from(b'!' + (at % 90) as u8)).collect();
    fs::write(&path, &payload).unwrap();
    let subscribers: Vec<(Peer, Subscriber)> = Peer::all()
        .into_iter()
        .map(|peer| (peer, peer.begin_to_subscribe(broker.port, "large", QoS::ExactlyOnce, 2)))
        .collect();
    subscribers.iter().for_each(|(_, subscriber)| subscriber.await_subscription());
    let mut theirs = program::command(program::installed("mosquitto_pub"));
    let mut ours = program::command(program::iothub());
    ours.arg("pub");
    for command in [&mut theirs, &mut ours] {
        command
            .args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-t", "large", "-q", "2", "-f"])
            .arg(&path);
        Process::start("publisher", command).succeed();
    }
    fs::remove_dir_all(folder).unwrap();
    for (peer, subscriber) in subscribers {
        let received = subscriber.received();
        assert_eq!(received.len(), 2, "{}", peer.name());
        assert!(received.iter().all(|message| message.payload == payload), "{}", peer.name());
    }
}

#[test]
fn clients_of_3_1_reach_each_other() {
    let broker = Broker::start("crossing-31", 2);
    everybody_reaches_everybody(&broker, &Peer::all_of_31(), QoS::ExactlyOnce);
}

/// All of them at once: as many programs as there are peers make every pair of them.
fn everybody_reaches_everybody(broker: &Broker, peers: &[Peer], qos_max: QoS) {
    let expected_by_peer = peers.len() * ALL_QOS.len();
    let topic = format!("crossing/{}", qos_max as u8);
    let subscribers: Vec<(Peer, Subscriber)> = peers
        .iter()
        .map(|peer| (*peer, peer.begin_to_subscribe(broker.port, &topic, qos_max, expected_by_peer)))
        .collect();
    subscribers.iter().for_each(|(_, subscriber)| subscriber.await_subscription());

    let publishers: Vec<_> = peers
        .iter()
        .flat_map(|peer| peer.begin_to_publish(broker.port, &topic, &peer.name(), &ALL_QOS))
        .collect();
    for mut publisher in publishers {
        publisher.succeed();
    }

    for (subscriber, subscription) in subscribers {
        let mut received = subscription.received();
        received.sort();
        let mut expected: Vec<Received> = peers
            .iter()
            .flat_map(|publisher| ALL_QOS.map(|qos| expected(*publisher, subscriber, &topic, qos, qos_max)))
            .collect();
        expected.sort();
        let missing: Vec<_> = expected.iter().filter(|message| !received.contains(message)).collect();
        let strange: Vec<_> = received.iter().filter(|message| !expected.contains(message)).collect();
        let place = subscriber.name();
        assert!(
            missing.is_empty() && strange.is_empty(),
            "{place}: missing {missing:#?}, strange {strange:#?}"
        );
        assert_eq!(received.len(), expected.len(), "{place} gets everything once");
    }
}

fn expected(publisher: Peer, subscriber: Peer, topic: &str, qos: QoS, qos_max: QoS) -> Received {
    let [content_type, response_topic, correlation_data, user_properties] =
        publisher.properties_to(subscriber.version).map(str::to_owned);
    Received {
        topic: topic.to_owned(),
        qos: (qos as u8).min(qos_max as u8),
        retain: false,
        payload: format!("{}-{}", publisher.name(), qos as u8),
        content_type,
        response_topic,
        correlation_data,
        user_properties,
    }
}

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const LARGE_BYTES: usize = 900 * 1024;

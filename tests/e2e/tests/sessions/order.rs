//! The order of one publisher's messages holds from shard to shard, also for large ones and many.

use std::thread;

use client::{Publication, QoS, Version};
use e2e::{Broker, Link, PATIENCE, Setup, v5};

#[test]
fn twenty_thousand_messages_cross_shards_in_order() {
    for shards in [2, 4] {
        // The subscriber may fall behind; its queue is not what is tested here.
        let config = format!("[session]\nmax_queued_messages = {MESSAGES}\n");
        let broker = Setup::new("order").shards(shards).config(&config).start();
        let ids = broker.ids_by_home(shards, "order");
        let mut subscriber = Link::connect(broker.port, v5(&ids[0]));
        subscriber.subscribe("sequence", QoS::AtLeastOnce);
        let mut publisher = Link::connect(broker.port, v5(&ids[1]));
        assert_ne!(broker.home_of(&ids[0]), broker.home_of(&ids[1]));

        thread::scope(|scope| {
            scope.spawn(move || publish_all(&mut publisher));
            for number in 0..MESSAGES {
                assert_eq!(subscriber.text(), number.to_string());
            }
        });
        subscriber.expect_silence();
    }
}

#[test]
fn a_large_message_arrives_whole() {
    for shards in crate::SHARDS {
        let broker = Broker::start("order-large", shards);
        let payload: Vec<u8> = (0..LARGE_BYTES).map(|at| (at % 251) as u8).collect();
        for version in [Version::V311, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let options =
                    |name: &str| client::Options::new(version, format!("{name}-{version:?}-{qos:?}"));
                let mut subscriber = Link::connect(broker.port, options("subscriber"));
                subscriber.subscribe("large", qos);
                let mut publisher = Link::connect(broker.port, options("publisher"));
                publisher.publish("large", payload.clone(), qos);
                let message = subscriber.message();
                assert!(message.payload == payload, "{} bytes arrived", message.payload.len());
                assert_eq!(message.qos, qos);
            }
        }
    }
}

fn publish_all(publisher: &mut Link) {
    for number in 0..MESSAGES {
        while !publisher.driver.client().has_room(QoS::AtLeastOnce) {
            publisher.driver.next_event(PATIENCE).unwrap().expect("an acknowledgement");
        }
        publisher.driver.publish(Publication::new("sequence", number.to_string(), QoS::AtLeastOnce)).unwrap();
    }
    // Nothing is left behind when the last one is acknowledged.
    publisher.publish("end", "", QoS::AtLeastOnce);
}

const MESSAGES: usize = 20_000;
const LARGE_BYTES: usize = 900 * 1024;

//! Retained messages: one for each topic, wherever its home is.

use std::collections::BTreeMap;

use client::{Publication, QoS, RetainHandling, Subscription};
use e2e::{Broker, Link, Peer, v5, v311};

use crate::SHARDS;

#[test]
fn a_wildcard_finds_all_of_them_once_on_every_shard() {
    for shards in SHARDS {
        let broker = Broker::start("retained-wildcard", shards);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        let topics: BTreeMap<String, String> =
            (0..300).map(|number| (format!("kept/{number}/value"), number.to_string())).collect();
        for (topic, payload) in &topics {
            publisher.publish_with(Publication::new(topic, payload.as_str(), QoS::AtLeastOnce).retained());
        }

        for client_id in broker.ids_by_home(shards, "reader") {
            let mut reader = Link::connect(broker.port, v311(&client_id));
            reader.subscribe("kept/+/value", QoS::AtLeastOnce);
            let mut found = BTreeMap::new();
            for _ in 0..topics.len() {
                let message = reader.message();
                assert!(message.retain);
                found.insert(message.topic, String::from_utf8(message.payload).unwrap());
            }
            assert_eq!(found, topics);
            reader.expect_silence();
        }
    }
}

#[test]
fn the_latest_one_counts_and_an_empty_one_clears() {
    for shards in SHARDS {
        let broker = Broker::start("retained-latest", shards);
        let ids = broker.ids_by_home(shards, "client");
        for (round, client_id) in ids.iter().enumerate() {
            let mut publisher = Link::connect(broker.port, v311(client_id));
            let payload = round.to_string();
            publisher.publish_with(Publication::new("state", payload.as_str(), QoS::ExactlyOnce).retained());
            publisher.close();
            let mut reader = Link::connect(broker.port, v5("reader"));
            reader.subscribe("state", QoS::ExactlyOnce);
            let message = reader.message();
            assert_eq!((message.retain, message.payload), (true, payload.into_bytes()));
        }

        let mut publisher = Link::connect(broker.port, v5(ids.last().unwrap()));
        publisher.publish_with(Publication::new("state", "", QoS::AtLeastOnce).retained());
        let mut reader = Link::connect(broker.port, v5("reader"));
        reader.subscribe("state", QoS::ExactlyOnce);
        reader.expect_silence();
        assert_eq!(broker.counter("retained_messages"), 0);
    }
}

#[test]
fn every_client_program_gets_it() {
    let broker = Broker::start("retained-peers", 2);
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    publisher.publish_with(Publication::new("greeting", "hello", QoS::AtLeastOnce).retained());
    let subscribers: Vec<_> = Peer::all()
        .into_iter()
        .map(|peer| (peer, peer.begin_to_subscribe(broker.port, "greeting", QoS::AtLeastOnce, 1)))
        .collect();
    for (peer, subscriber) in subscribers {
        let received = subscriber.received();
        let message = &received[0];
        assert_eq!(
            (message.payload.as_str(), message.retain, message.qos),
            ("hello", true, 1),
            "{}",
            peer.name()
        );
    }
}

#[test]
fn retain_handling_decides_what_a_subscription_gets() {
    for shards in SHARDS {
        let broker = Broker::start("retained-handling", shards);
        let mut link = Link::connect(broker.port, v5("reader"));
        link.publish_with(Publication::new("kept", "value", QoS::AtLeastOnce).retained());
        let mut subscription = Subscription::new("kept", QoS::AtLeastOnce);
        for (handling, expected) in [
            (RetainHandling::SendIfNew, 1),
            (RetainHandling::SendIfNew, 0),
            (RetainHandling::Send, 1),
            (RetainHandling::DoNotSend, 0),
        ] {
            subscription.filters[0].1.retain_handling = handling;
            link.subscribe_with(subscription.clone());
            for _ in 0..expected {
                assert_eq!(link.text(), "value", "{handling:?}");
            }
            link.expect_silence();
        }
    }
}

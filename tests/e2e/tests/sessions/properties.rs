//! What travels with a message in 5.0: request and response, aliases, identifiers, expiry.

use std::time::Duration;

use client::{Properties, Publication, QoS, Subscription, Version};
use e2e::link::lasting;
use e2e::{Broker, Link, v5, v311};

use crate::SHARDS;

#[test]
fn a_request_gets_its_response() {
    for shards in SHARDS {
        let broker = Broker::start("properties-request", shards);
        let mut responder = Link::connect(broker.port, v5("responder"));
        responder.subscribe("service/+", QoS::AtLeastOnce);
        let mut requester = Link::connect(broker.port, v5("requester"));
        requester.subscribe("answers/requester", QoS::AtLeastOnce);
        let mut request = Publication::new("service/add", "1 2", QoS::AtLeastOnce);
        request.properties = Properties {
            response_topic: Some("answers/requester".to_owned()),
            correlation_data: Some(vec![0, 255, 7]),
            ..Properties::default()
        };
        requester.publish_with(request);

        let asked = responder.message();
        let mut response = Publication::new(asked.properties.response_topic.unwrap(), "3", QoS::AtLeastOnce);
        response.properties.correlation_data = asked.properties.correlation_data;
        responder.publish_with(response);
        let answer = requester.message();
        assert_eq!(
            (answer.payload, answer.properties.correlation_data),
            (b"3".to_vec(), Some(vec![0, 255, 7]))
        );
    }
}

#[test]
fn aliases_stand_for_topics_in_both_directions() {
    for shards in SHARDS {
        let broker = Broker::start("properties-alias", shards);
        let mut options = v5("subscriber");
        options.topic_alias_maximum = Some(2);
        let mut subscriber = Link::connect(broker.port, options);
        subscriber.subscribe("alias/#", QoS::AtLeastOnce);
        let mut old = Link::connect(broker.port, v311("old"));
        old.subscribe("alias/#", QoS::AtLeastOnce);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        // The same alias for one topic after the other, and more topics than aliases.
        for round in 0..3 {
            for topic in ["alias/a", "alias/b", "alias/c"] {
                let mut publication = Publication::new(topic, round.to_string(), QoS::AtLeastOnce);
                publication.properties.topic_alias = Some(1);
                publisher.publish_with(publication);
                let message = subscriber.message();
                assert_eq!(
                    (message.topic.as_str(), message.payload),
                    (topic, round.to_string().into_bytes())
                );
                assert!(message.properties.topic_alias.is_none_or(|alias| (1..=2).contains(&alias)));
                assert_eq!(old.message().topic, topic);
            }
        }
        // What was given an alias first is sent by it alone, which is what the alias is for.
        publisher.publish("alias/a", "", QoS::AtLeastOnce);
        assert!(subscriber.message().properties.topic_alias.is_some());
    }
}

#[test]
fn a_message_says_which_subscriptions_it_met() {
    for shards in SHARDS {
        let broker = Broker::start("properties-ids", shards);
        let mut link = Link::connect(broker.port, v5("subscriber"));
        for (filter, id) in [("id/+", 7), ("id/#", 268_435_455)] {
            let mut subscription = Subscription::new(filter, QoS::AtLeastOnce);
            subscription.subscription_id = Some(id);
            link.subscribe_with(subscription);
        }
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        publisher.publish("id/one", "", QoS::AtLeastOnce);
        let mut ids = link.message().properties.subscription_ids;
        // One message for both or one for each: the specification leaves it to the server.
        if ids.len() == 1 {
            ids.extend(link.message().properties.subscription_ids);
        }
        ids.sort_unstable();
        assert_eq!(ids, [7, 268_435_455]);
        link.expect_silence();
    }
}

#[test]
fn a_message_expires_while_it_waits() {
    let broker = Broker::start("properties-expiry", 2);
    let mut reader = Link::connect(broker.port, lasting(Version::V5, "reader"));
    reader.subscribe("brief", QoS::AtLeastOnce);
    reader.close();
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    for (payload, expiry) in [("short", 1), ("long", 100)] {
        let mut publication = Publication::new("brief", payload, QoS::AtLeastOnce);
        publication.properties.message_expiry_interval_s = Some(expiry);
        publisher.publish_with(publication);
    }
    // Time itself is what is awaited here.
    std::thread::sleep(Duration::from_millis(1200));
    let mut reader = Link::connect(broker.port, lasting(Version::V5, "reader"));
    let message = reader.message();
    assert_eq!(message.payload, b"long");
    let left = message.properties.message_expiry_interval_s.unwrap();
    assert!((90..100).contains(&left), "{left} seconds are left of 100");
    reader.expect_silence();
}

#[test]
fn a_packet_beyond_the_limit_costs_its_own_connection_only() {
    let broker =
        e2e::Setup::new("properties-size").config("[server]\nmax_packet_size = \"10 KiB\"\n").start();
    let mut bystander = Link::connect(broker.port, v5("bystander"));
    let mut socket = e2e::socket::Socket::connect(broker.port, "large", true);
    socket.send(&e2e::socket::publish("large", &[0; 11 << 10]));
    assert!(socket.read_to_end(e2e::PATIENCE).is_empty(), "3.1.1 is closed without a word");
    assert_eq!(broker.counter("packets_too_large"), 1);
    bystander.expect_silence();
}

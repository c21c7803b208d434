//! Chapters 4.6 and 4.7: the order of messages, and how filters match topic names.

use conformance::*;

/// [MQTT-4.6.0-5]
#[test]
fn mqtt5_4_6_0_5_messages_are_delivered_in_the_order_of_their_publisher() {
    let topic = unique("order");
    let mut publishers = [v5("one").open(), v5("two").open()];
    let mut subscribers: Vec<Client> = (0..3).map(|_| v5("sub").open()).collect();
    subscribers.iter_mut().for_each(|client| client.subscribe(&topic, 2));
    for qos in 0..=2 {
        for number in 0..6 {
            for (index, publisher) in publishers.iter_mut().enumerate() {
                publisher.publish(message(&topic, format!("{index} {number}")).qos(qos));
            }
        }
        for client in &mut subscribers {
            let messages = client.recv_publishes(12);
            for index in ["0 ", "1 "] {
                let of_one: Vec<_> =
                    messages.iter().filter_map(|publish| publish.text().strip_prefix(index)).collect();
                assert_eq!(of_one, ["0", "1", "2", "3", "4", "5"]);
            }
            messages.iter().for_each(|publish| client.ack(publish));
        }
    }
}

/// [MQTT-4.6.0-6] In one burst, without waiting for acknowledgements.
#[test]
fn mqtt5_4_6_0_6_every_topic_is_ordered_by_default() {
    let topic = unique("burst");
    let (mut publisher, mut client) = (v5("pub").open(), v5("sub").open());
    client.subscribe(&format!("{topic}/#"), 0);
    let publish =
        |number: u32| message(format!("{topic}/{}", number % 3), number.to_string()).bytes(Version::V5);
    publisher.send((0..500).flat_map(publish).collect::<Vec<u8>>());
    let messages = client.recv_publishes(500);
    for remainder in 0..3 {
        let name = format!("{topic}/{remainder}");
        let numbers =
            messages.iter().filter(|publish| publish.topic == name).map(|publish| publish.text().parse());
        let expected = (remainder..500).step_by(3).map(Ok::<u32, std::num::ParseIntError>);
        assert!(numbers.eq(expected), "messages of {name} are out of order");
    }
}

#[test]
fn messages_that_are_sent_again_keep_their_order() {
    let (topic, connect) = (unique("resend"), v5("resend").lasting());
    let (mut publisher, mut client) = (v5("pub").open(), connect.open());
    client.subscribe(&topic, 2);
    for number in 0..10 {
        publisher.publish(message(&topic, number.to_string()).qos(1 + number % 2));
    }
    client.expect("0");
    client.cut();
    let mut client = connect.open();
    (0..10).for_each(|number| drop(client.expect(&number.to_string())));
}

/// Subscribes to each filter on its own and says which of the topics it gets.
fn matching(prefix: &str, filter: &str, topics: &[&str]) -> Vec<String> {
    let (mut publisher, mut client) = (v5("pub").open(), v5("sub").open());
    client.subscribe(&format!("{prefix}{filter}"), 0);
    for topic in topics {
        publisher.publish(message(format!("{prefix}{topic}"), "x"));
    }
    let messages = client.messages_from(&mut publisher);
    messages.iter().map(|publish| publish.topic[prefix.len()..].to_owned()).collect()
}

fn filter_is_refused(filter: &str) {
    let mut client = v5("filter").open();
    client.send(subscribe(Version::V5, 1000, &[(filter, 0)], &[]));
    client.expect_filter_refused();
}

/// [MQTT-4.7.0-1]
#[test]
fn mqtt5_4_7_0_1_wildcards_are_for_filters_and_not_for_topic_names() {
    assert_eq!(matching(&unique("wild"), "/+/#", &["/a", "/a/b"]), ["/a", "/a/b"]);
    for topic in ["a/+/b", "a/#"] {
        let mut client = v5("wild").open();
        client.send_message(&message(topic, "x"));
        client.expect_disconnect(&[0x90, 0x81, 0x82]);
    }
}

/// [MQTT-4.7.1-1]
#[test]
fn mqtt5_4_7_1_1_the_multi_level_wildcard_is_the_last_level() {
    let prefix = unique("multi");
    let topics = ["", "/", "/a", "/a/b", "x", "/a/b/c"];
    assert_eq!(matching(&prefix, "/#", &topics), ["", "/", "/a", "/a/b", "/a/b/c"]);
    assert_eq!(matching(&prefix, "/a/#", &topics), ["/a", "/a/b", "/a/b/c"]);
    for filter in ["a#", "a/#/b", "#/a", "a/b#", "##"] {
        filter_is_refused(filter);
    }
}

/// [MQTT-4.7.1-2]
#[test]
fn mqtt5_4_7_1_2_the_single_level_wildcard_takes_a_whole_level() {
    let prefix = unique("single");
    let topics = ["", "/", "/a", "/a/b", "/a/c", "/b/c", "//c", "/a/b/c"];
    assert_eq!(matching(&prefix, "/+", &topics), ["/", "/a"]);
    assert_eq!(matching(&prefix, "/+/c", &topics), ["/a/c", "/b/c", "//c"]);
    assert_eq!(matching(&prefix, "/+/+", &topics), ["/a/b", "/a/c", "/b/c", "//c"]);
    assert_eq!(matching(&prefix, "/a/+/c", &topics), ["/a/b/c"]);
    let name = unique("first");
    let (mut publisher, mut client) = (v5("pub").open(), v5("sub").open());
    client.subscribe(&format!("+/{name}"), 0);
    publisher.publish(message(format!("/{name}"), "empty first level"));
    client.expect("empty first level");
    for filter in ["a+", "+a", "a/b+", "a/+b/c", "++"] {
        filter_is_refused(filter);
    }
}

/// [MQTT-4.7.2-1]
#[test]
fn mqtt5_4_7_2_1_a_leading_wildcard_does_not_match_a_dollar_topic() {
    let name = unique("dollar");
    let (mut publisher, mut wild, mut exact) = (v5("pub").open(), v5("wild").open(), v5("exact").open());
    for filter in [format!("+/{name}"), format!("+/{name}/#")] {
        wild.subscribe(&filter, 0);
    }
    exact.subscribe(&format!("$conformance/{name}"), 0);
    exact.subscribe(&format!("$conformance/+/{name}"), 0);
    // A server may keep `$` topics to itself, so it is the others' silence that counts.
    publisher.publish(message(format!("$conformance/{name}"), "x").qos(1));
    publisher.publish(message(format!("x/{name}"), "y").qos(1));
    let topics = wild.messages_from(&mut publisher);
    assert!(!topics.is_empty() && topics.iter().all(|publish| publish.topic.starts_with("x/")), "{topics:?}");
    let exact = exact.messages_from(&mut publisher);
    assert!(exact.iter().all(|publish| publish.topic == format!("$conformance/{name}")));
}

/// [MQTT-4.7.3-1]
#[test]
fn mqtt5_4_7_3_1_topic_names_and_filters_have_at_least_one_character() {
    filter_is_refused("");
    let mut client = v5("empty").open();
    client.send(unsubscribe(Version::V5, 1000, &[""]));
    client.expect_filter_refused();
    let mut client = v5("empty").open();
    client.send_message(&message("", "x").qos(1).id(1000));
    client.expect_disconnect(&[0x82, 0x81, 0x90]);
    let mut client = v5("space").open();
    client.subscribe(" ", 0);
    client.subscribe("/", 0);
}

/// [MQTT-4.7.3-2]
#[test]
fn mqtt5_4_7_3_2_topic_names_and_filters_have_no_null() {
    let mut client = v5("null").open();
    client.send_message(&message("a\0", "x"));
    client.expect_disconnect(&[0x81, 0x90]);
    let mut client = v5("null").open();
    client.send(subscribe(Version::V5, 1, &[("a\0", 0)], &[]));
    client.expect_disconnect(&[0x81, 0x8F]);
}

/// [MQTT-4.7.3-3]
#[test]
fn mqtt5_4_7_3_3_a_topic_name_may_have_65_535_bytes() {
    let name = unique("long");
    let topic = format!("{name}{}", "x".repeat(65_535 - name.len()));
    let (mut publisher, mut client) = (v5("pub").open(), v5("sub").open());
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "x"));
    assert_eq!(client.expect("x").topic.len(), 65_535);
}

/// [MQTT-4.7.3-4]
#[test]
fn mqtt5_4_7_3_4_topics_are_not_normalised() {
    let prefix = unique("normal");
    // Composed and decomposed, upper and lower case, separators that look superfluous, white space.
    let topics = ["/é", "/e\u{301}", "/É", "/E", "//é", "/é/", "/é ", "/./é", "/%C3%A9", "\\é"];
    for topic in topics {
        assert_eq!(matching(&prefix, topic, &topics), [topic]);
    }
}

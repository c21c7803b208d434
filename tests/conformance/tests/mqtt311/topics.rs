//! Chapter 4.7: topic names and filters.

use conformance::*;

/// Subscribes to a filter and says which of the topics the client gets.
fn matching(prefix: &str, filter: &str, topics: &[&str]) -> Vec<String> {
    let (mut publisher, mut client) = (v311("pub").open(), v311("sub").open());
    client.subscribe(&format!("{prefix}{filter}"), 0);
    for topic in topics {
        publisher.publish(message(format!("{prefix}{topic}"), "x"));
    }
    let messages = client.messages_from(&mut publisher);
    messages.iter().map(|publish| publish.topic[prefix.len()..].to_owned()).collect()
}

fn filter_is_refused(filter: &str) {
    let mut client = v311("filter").open();
    client.send(subscribe(Version::V311, 1000, &[(filter, 0)], &[]));
    client.expect_filter_refused();
}

/// [MQTT-4.7.1-1]
#[test]
fn mqtt311_4_7_1_1_wildcards_are_for_filters_and_not_for_topic_names() {
    assert_eq!(matching(&unique("wild"), "/+/#", &["/a", "/a/b"]), ["/a", "/a/b"]);
    for topic in ["a/+/b", "a/#"] {
        let mut client = v311("wild").open();
        client.send_message(&message(topic, "x"));
        client.expect_close();
    }
}

/// [MQTT-4.7.1-2]
#[test]
fn mqtt311_4_7_1_2_the_multi_level_wildcard_is_the_last_level() {
    let topics = ["", "/", "/a", "/a/b", "x"];
    assert_eq!(matching(&unique("multi"), "/#", &topics), ["", "/", "/a", "/a/b"]);
    for filter in ["a#", "a/#/b", "#/a", "a/b#", "##"] {
        filter_is_refused(filter);
    }
}

/// [MQTT-4.7.1-3]
#[test]
fn mqtt311_4_7_1_3_the_single_level_wildcard_takes_a_whole_level() {
    let prefix = unique("single");
    let topics = ["", "/", "/a", "/a/b", "/b/c", "//c"];
    assert_eq!(matching(&prefix, "/+", &topics), ["/", "/a"]);
    assert_eq!(matching(&prefix, "/+/c", &topics), ["/b/c", "//c"]);
    for filter in ["a+", "+a", "a/b+", "a/+b/c"] {
        filter_is_refused(filter);
    }
}

#[test]
fn a_leading_wildcard_does_not_match_a_dollar_topic() {
    let (mut publisher, mut client, name) = (v311("pub").open(), v311("sub").open(), unique("dollar"));
    client.subscribe(&format!("+/{name}"), 0);
    publisher.publish(message(format!("$conformance/{name}"), "hidden").qos(1));
    publisher.publish(message(format!("x/{name}"), "seen").qos(1));
    client.expect("seen");
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-4.7.3-1]
#[test]
fn mqtt311_4_7_3_1_topic_names_and_filters_have_at_least_one_character() {
    filter_is_refused("");
    let mut client = v311("empty").open();
    client.send_message(&message("", "x"));
    client.expect_close();
}

/// [MQTT-4.7.3-2]
#[test]
fn mqtt311_4_7_3_2_topic_names_and_filters_have_no_null() {
    let packets = [message("a\0", "x").bytes(Version::V311), subscribe(Version::V311, 1, &[("a\0", 0)], &[])];
    for packet in packets {
        let mut client = v311("null").open();
        client.send(packet);
        client.expect_close();
    }
}

/// [MQTT-4.7.3-3]
#[test]
fn mqtt311_4_7_3_3_a_topic_name_may_have_65_535_bytes() {
    let name = unique("long");
    let topic = format!("{name}{}", "x".repeat(65_535 - name.len()));
    let (mut publisher, mut client) = (v311("pub").open(), v311("sub").open());
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "x"));
    assert_eq!(client.expect("x").topic.len(), 65_535);
}

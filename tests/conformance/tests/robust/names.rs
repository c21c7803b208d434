//! Client ids, topics and groups that some brokers refuse or mix up.

use conformance::*;

#[test]
fn client_ids_may_have_any_characters() {
    for odd in ["a-b", "a/b", "a.b:c", "a b", "ключ-水", "😀", "a+b#c", "$SYS", "\"quoted\"", "a\\b"] {
        for version in [Version::V311, Version::V5] {
            let connect = Connect::new(version, format!("{odd}{}", unique("id"))).lasting();
            connect.open().disconnect();
            assert!(connect.open().connack().session_present, "{odd}");
        }
    }
}

#[test]
fn client_ids_may_be_very_long() {
    for version in [Version::V311, Version::V5] {
        for length in [24, 256, 10_000] {
            let name = unique("long");
            let id = format!("{name}{}", "ü".repeat((length - name.len()) / 2));
            let connect = Connect::new(version, &id).lasting();
            connect.open().disconnect();
            assert!(connect.open().connack().session_present);
            // One that differs in its last character is another client.
            let other = Connect::new(version, format!("{id}x")).lasting();
            assert!(!other.open().connack().session_present);
        }
    }
}

#[test]
fn the_lone_multi_level_wildcard_does_not_get_dollar_topics() {
    let (mut publisher, mut client, name) = (v5("pub").open(), v5("all").open(), unique("dollar"));
    client.subscribe("#", 0);
    client.subscribe("+/+", 0);
    for first in ["$conformance", "$SYS", "$", "x$"] {
        publisher.send_message(&message(format!("{first}/{name}"), "x"));
    }
    publisher.ping();
    let messages = client.messages_from(&mut publisher);
    let topics: Vec<_> = messages.iter().map(|publish| publish.topic.as_str()).collect();
    assert!(topics.iter().all(|topic| !topic.starts_with('$')), "{topics:?}");
    assert!(topics.contains(&format!("x$/{name}").as_str()), "{topics:?}");
}

#[test]
fn groups_of_one_name_with_different_filters_are_different_groups() {
    let (mut publisher, name) = (v5("pub").open(), unique("group"));
    let mut one = v5("one").open();
    let mut other = v5("other").open();
    one.subscribe(&format!("$share/{name}/{name}/a"), 1);
    other.subscribe(&format!("$share/{name}/{name}/+"), 1);
    for number in 0..6 {
        publisher.publish(message(format!("{name}/a"), number.to_string()).qos(1));
    }
    // Each group gets each message.
    for client in [&mut one, &mut other] {
        (0..6).for_each(|number| drop(client.expect(&number.to_string())));
    }
}

#[test]
fn groups_of_different_names_each_get_the_message() {
    let (mut publisher, topic) = (v5("pub").open(), unique("group"));
    let mut members: Vec<Client> = (0..4).map(|_| v5("member").open()).collect();
    for (index, member) in members.iter_mut().enumerate() {
        member.subscribe(&format!("$share/{}/{topic}", index % 2), 1);
    }
    for number in 0..10 {
        publisher.publish(message(&topic, number.to_string()).qos(1));
    }
    let counts: Vec<_> =
        members.iter_mut().map(|member| member.messages_from(&mut publisher).len()).collect();
    assert_eq!(counts[0] + counts[2], 10, "{counts:?}");
    assert_eq!(counts[1] + counts[3], 10, "{counts:?}");
}

#[test]
fn a_group_loses_no_message_when_a_member_leaves() {
    let (mut publisher, topic) = (v5("pub").open(), unique("group"));
    let mut members: Vec<Client> = (0..6).map(|_| v5("member").open()).collect();
    members.iter_mut().for_each(|member| member.subscribe(&format!("$share/group/{topic}"), 1));
    while members.len() > 1 {
        members.pop().unwrap().disconnect();
        for number in 0..10 {
            publisher.publish(message(&topic, number.to_string()).qos(1));
        }
        // Where members are spread over cores, a message can go by way of the shard that its member has just left.
        let mut numbers: Vec<String> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            for member in &mut members {
                for publish in member.messages_from(&mut publisher) {
                    numbers.push(publish.text().to_owned());
                    member.ack(&publish);
                }
            }
            if numbers.len() >= 10 {
                break;
            }
        }
        numbers.sort();
        assert_eq!(numbers, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn topics_with_many_levels_and_empty_ones_are_matched() {
    let (mut publisher, mut client, name) = (v5("pub").open(), v5("sub").open(), unique("levels"));
    let deep = format!("{name}{}", "/x".repeat(100));
    for filter in [&deep, &format!("{name}/+/+/#")] {
        client.subscribe(filter, 0);
        publisher.publish(message(&deep, "deep"));
        client.expect("deep");
        client.unsubscribe(&[filter]);
    }
    client.subscribe(&format!("/{name}//+/"), 0);
    publisher.publish(message(format!("/{name}////"), "one level too many"));
    publisher.publish(message(format!("/{name}///"), "empty levels"));
    client.expect("empty levels");
}

/// Round trips that a message may take to find its member.
const ROUNDS_MAX: usize = 100;

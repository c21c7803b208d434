//! Messages between clients of 3.1, 3.1.1 and 5.0, and sessions that change their version.

use conformance::*;

fn one_of_each(name: &str) -> [Connect; 3] {
    [v31(name), v311(name), v5(name)]
}

#[test]
fn a_message_crosses_between_all_versions() {
    let topic = unique("cross");
    let mut subscribers = one_of_each("sub").map(|connect| connect.open());
    subscribers.iter_mut().for_each(|client| client.subscribe(&topic, 2));
    for mut publisher in one_of_each("pub").map(|connect| connect.open()) {
        for qos in 0..=2 {
            let payload = format!("{:?} {qos}", publisher.version());
            publisher.publish(message(&topic, &payload).qos(qos));
            for client in &mut subscribers {
                let publish = client.expect(&payload);
                assert!(publish.qos == qos && publish.topic == topic && publish.properties.is_empty());
                client.ack(&publish);
            }
        }
    }
}

#[test]
fn the_properties_of_5_0_do_not_reach_older_clients() {
    let (topic, mut publisher) = (unique("props"), v5("pub").open());
    let mut subscribers = one_of_each("sub").map(|connect| connect.open());
    subscribers.iter_mut().for_each(|client| client.subscribe(&topic, 1));
    let alias = property::two(property::TOPIC_ALIAS, 1);
    let properties =
        [property::user("name", "value"), property::text(property::CONTENT_TYPE, "text")].concat();
    if publisher.connack().topic_alias_maximum() > 0 {
        publisher.publish(message(&topic, "first").qos(1).with(alias.clone()));
        publisher.publish(message("", "second").qos(1).with([alias, properties].concat()));
    } else {
        publisher.publish(message(&topic, "first").qos(1));
        publisher.publish(message(&topic, "second").qos(1).with(properties));
    }
    for client in &mut subscribers {
        client.expect("first");
        let publish = client.expect("second");
        assert_eq!(publish.topic, topic);
        assert_eq!(publish.properties.user().len(), usize::from(client.version() == Version::V5));
    }
}

#[test]
fn retained_messages_and_wills_cross_between_versions() {
    for connect in one_of_each("will") {
        let topic = unique("retain");
        let mut witness = v5("witness").open();
        witness.subscribe(&topic, 1);
        connect.will(Will::new(&topic, "gone").qos(1).retain()).open().cut();
        witness.expect("gone");
        for mut late in one_of_each("late").map(|connect| connect.open()) {
            late.subscribe(&topic, 1);
            assert!(late.expect("gone").retain);
        }
    }
}

#[test]
fn a_client_id_is_one_session_in_every_version() {
    let id = unique("version");
    let topic = unique("version");
    let mut publisher = v5("pub").open();
    let versions = [Version::V311, Version::V5, Version::V311];
    let mut client = Connect::new(versions[0], &id).lasting().open();
    client.subscribe(&topic, 1);
    for version in versions {
        client.disconnect();
        publisher.publish(message(&topic, "queued").qos(1).with(property::user("name", "value")));
        client = Connect::new(version, &id).lasting().open();
        assert!(client.connack().session_present);
        let publish = client.expect("queued");
        client.ack(&publish);
    }
}

#[test]
fn a_takeover_works_between_versions() {
    let id = unique("taken");
    let first = Connect::new(Version::V5, &id).open();
    let second = Connect::new(Version::V311, &id).open();
    first.expect_disconnect(&[0x8E]);
    let _third = Connect::new(Version::V5, &id).open();
    second.expect_close();
}

#[test]
fn shared_subscriptions_serve_all_versions() {
    let topic = unique("share");
    let mut publisher = v311("pub").open();
    let mut members = [v311("member"), v5("member")].map(|connect| connect.open());
    members.iter_mut().for_each(|member| member.subscribe(&format!("$share/group/{topic}"), 0));
    for number in 0..20 {
        publisher.publish(message(&topic, number.to_string()));
    }
    let counts = members.each_mut().map(|member| member.messages_from(&mut publisher).len());
    assert_eq!(counts.iter().sum::<usize>(), 20, "{counts:?}");
}

//! Chapter 4.8: shared subscriptions.

use conformance::*;

/// Members of one group, each with its own connection.
fn group(count: usize, filter: &str, qos: u8) -> Vec<Client> {
    let mut members: Vec<Client> = (0..count).map(|_| v5("member").open()).collect();
    members.iter_mut().for_each(|member| member.subscribe(&format!("$share/group/{filter}"), qos));
    members
}

/// [MQTT-4.8.2-1]
#[test]
fn mqtt5_4_8_2_1_a_share_name_has_at_least_one_character() {
    let topic = unique("share");
    let (mut publisher, mut members) = (v5("pub").open(), group(2, &topic, 0));
    publisher.publish(message(&topic, "x"));
    let messages: usize = members.iter_mut().map(|member| member.messages_from(&mut publisher).len()).sum();
    assert_eq!(messages, 1, "one member of the group gets the message");
    filter_is_refused("$share//a");
}

fn filter_is_refused(filter: &str) {
    let mut client = v5("share").open();
    client.send(subscribe(Version::V5, 1000, &[(filter, 0)], &[]));
    client.expect_filter_refused();
}

/// [MQTT-4.8.2-2]
#[test]
fn mqtt5_4_8_2_2_a_share_name_has_no_wildcards_and_is_followed_by_a_filter() {
    for filter in ["$share/a+b/c", "$share/a#/c", "$share/+/c", "$share/#/c", "$share/a", "$share/a/"] {
        filter_is_refused(filter);
    }
    let topic = unique("share");
    let mut client = v5("share").open();
    for filter in [format!("$share/a b/{topic}/#"), format!("$share/ü/+/{topic}"), "$share/a//".to_owned()] {
        client.subscribe(&filter, 0);
    }
}

/// [MQTT-4.8.2-3]
#[test]
fn mqtt5_4_8_2_3_the_granted_qos_of_each_member_counts() {
    for granted in 0..=2 {
        let topic = unique("share");
        let (mut publisher, mut members) = (v5("pub").open(), group(1, &topic, granted));
        for published in 0..=2 {
            publisher.publish(message(&topic, "x").qos(published));
            let publish = members[0].expect("x");
            assert_eq!(publish.qos, granted.min(published));
            members[0].ack(&publish);
        }
    }
}

/// [MQTT-4.8.2-4]
#[test]
fn mqtt5_4_8_2_4_a_delivery_of_qos_2_that_has_begun_goes_on_with_its_member() {
    let topic = unique("share");
    let connect = v5("member").lasting();
    let (mut publisher, mut member) = (v5("pub").open(), connect.open());
    member.subscribe(&format!("$share/group/{topic}"), 2);
    publisher.publish(message(&topic, "begun").qos(2));
    let begun = member.expect("begun");
    let mut others = group(1, &topic, 2);
    member.cut();
    assert_eq!(others[0].messages_from(&mut publisher), []);
    let mut member = connect.open();
    let again = member.expect("begun");
    assert_eq!(again.packet_id, begun.packet_id);
    member.ack(&again);
}

/// [MQTT-4.8.2-5]
#[test]
fn mqtt5_4_8_2_5_a_delivery_of_qos_2_that_has_begun_ends_with_the_session() {
    let topic = unique("share");
    let connect = v5("member").lasting();
    let (mut publisher, mut member) = (v5("pub").open(), connect.open());
    member.subscribe(&format!("$share/group/{topic}"), 2);
    publisher.publish(message(&topic, "begun").qos(2));
    member.expect("begun");
    let mut others = group(1, &topic, 2);
    member.cut();
    // A connection with Clean Start ends the old session.
    let mut again = connect.clean(true).open();
    assert_eq!(others[0].messages_from(&mut again), []);
    again.expect_nothing();
}

/// [MQTT-4.8.2-6]
#[test]
fn mqtt5_4_8_2_6_a_message_that_a_member_refuses_goes_to_no_other() {
    for (qos, first) in [(1, PUBACK), (2, PUBREC)] {
        let topic = unique("share");
        let (mut publisher, mut members) = (v5("pub").open(), group(1, &topic, 2));
        publisher.publish(message(&topic, "refused").qos(qos));
        let publish = members[0].expect("refused");
        let mut others = group(1, &topic, 2);
        members[0].send(ack_with(first, publish.id(), 0x80));
        members[0].ping();
        assert_eq!(others[0].messages_from(&mut members[0]), []);
    }
}

#[test]
fn a_retained_message_does_not_answer_a_shared_subscription() {
    let topic = unique("share");
    let mut publisher = v5("pub").open();
    publisher.publish(message(&topic, "retained").qos(1).retain());
    let mut members = group(1, &topic, 1);
    assert_eq!(members[0].messages_from(&mut publisher), []);
}

#[test]
fn a_shared_and_a_plain_subscription_of_one_client_both_deliver() {
    let topic = unique("share");
    let (mut publisher, mut members) = (v5("pub").open(), group(1, &topic, 1));
    members[0].subscribe(&topic, 1);
    publisher.publish(message(&topic, "x").qos(1));
    assert_eq!(members[0].messages_from(&mut publisher).len(), 2);
}

#[test]
fn unsubscribing_the_last_member_ends_the_group() {
    let topic = unique("share");
    let (mut publisher, mut members) = (v5("pub").open(), group(2, &topic, 1));
    let filter = format!("$share/group/{topic}");
    assert_eq!(members[0].unsubscribe(&[&filter]), [0x00]);
    publisher.publish(message(&topic, "x").qos(1));
    members[1].expect("x");
    assert_eq!(members[1].unsubscribe(&[&filter]), [0x00]);
    publisher.publish(message(&topic, "x").qos(1));
    for member in &mut members {
        assert_eq!(member.messages_from(&mut publisher), []);
    }
}

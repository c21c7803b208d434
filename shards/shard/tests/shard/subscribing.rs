//! SUBSCRIBE and UNSUBSCRIBE, topic aliases of clients, and members of shared subscriptions that come and go.

use mqtt::{
    Connect, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, RetainHandling,
    SubscriptionIdsBuf, SubscriptionOptions, Version,
};
use shard::{Config, Event};

use crate::script::{Client, Script, connect, options, publish};

fn publish_as(s: &mut Script, client: Client, topic: &str, alias: u16) {
    let properties = PublishProperties { topic_alias: Some(alias), ..PublishProperties::default() };
    s.packet(client, &Packet::Publish(Publish { properties, ..publish(topic, "x", QoS::AtMostOnce, None) }));
}

#[test]
fn unsubscribe_ends_the_subscription_and_says_what_was_not_there() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe(client, "a", 0);
    s.subscribe(client, "$share/g/b", 0);
    s.hear(client);
    for filter in ["a", "a", "$share/g/b"] {
        s.unsubscribe(client, filter);
    }
    assert_eq!(s.hear(client), ["UNSUBACK 10 0x00", "UNSUBACK 10 0x11", "UNSUBACK 10 0x00"]);
    s.publish(client, "a", "x");
    s.publish(client, "b", "x");
    assert_eq!(s.hear(client), Vec::<String>::new());
    let gauges = s.shards[0].gauges();
    assert_eq!((gauges.subscriptions, gauges.filters), (0, 0));
}

#[test]
fn a_filter_with_a_misplaced_wildcard_ends_the_connection() {
    for filter in ["a/#/b", "a+", "", "$share/g/", "$share//a", "$share/g/a#"] {
        let mut s = Script::of_one();
        let client = s.join("c");
        s.subscribe(client, filter, 0);
        assert_eq!(s.hear(client), ["DISCONNECT Topic Filter invalid"], "{filter}");
        let client = s.join("c");
        s.unsubscribe(client, filter);
        assert_eq!(s.hear(client), ["DISCONNECT Topic Filter invalid"], "{filter}");
    }
}

#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe_with(client, "$share/g/a", SubscriptionOptions { no_local: true, ..options(0) }, None);
    assert_eq!(s.hear(client), ["DISCONNECT Protocol Error"]);
}

#[test]
fn retain_handling_decides_whether_retained_messages_come() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.retain(client, "a", "x");
    let handled = |retain_handling| SubscriptionOptions { retain_handling, ..options(0) };
    s.subscribe_with(client, "a", handled(RetainHandling::DoNotSend), None);
    s.subscribe_with(client, "a", handled(RetainHandling::SendIfNew), None);
    assert_eq!(s.hear(client), ["SUBACK 9 0x00", "SUBACK 9 0x00"]);
    s.subscribe_with(client, "a", handled(RetainHandling::Send), Some(3));
    assert_eq!(s.hear(client), ["SUBACK 9 0x00", "a 'x' retained sub 3"]);
    s.subscribe_with(client, "+", handled(RetainHandling::SendIfNew), None);
    assert_eq!(s.hear(client), ["SUBACK 9 0x00", "a 'x' retained"]);
}

#[test]
fn an_alias_stands_for_the_topic_that_it_was_set_to_last() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe(client, "#", 0);
    s.hear(client);
    for topic in ["one", "", "two", ""] {
        publish_as(&mut s, client, topic, 1);
    }
    assert_eq!(s.hear(client), ["one 'x'", "one 'x'", "two 'x'", "two 'x'"]);
    assert_eq!(s.shards[0].gauges().receive_bytes, 3);
    s.disconnect(client, ReasonCode::Success);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn an_alias_that_was_not_set_or_is_too_high_is_refused() {
    let mut s = Script::of_one();
    let client = s.join("c");
    publish_as(&mut s, client, "", 1);
    assert_eq!(s.hear(client), ["DISCONNECT Protocol Error"]);
    let client = s.join("c");
    publish_as(&mut s, client, "a", 17);
    assert_eq!(s.hear(client), ["DISCONNECT Topic Alias invalid"]);
}

#[test]
fn topics_behind_many_bytes_of_aliases_share_a_part_of_the_budget_of_unfinished_packets() {
    let mut config = Config::default();
    config.limits.receive_memory_max = 20_000;
    let mut s = Script::new(config);
    let client = s.join("c");
    publish_as(&mut s, client, &"t".repeat(3000), 1);
    publish_as(&mut s, client, &"t".repeat(2000), 2);
    publish_as(&mut s, client, &"t".repeat(3000), 2);
    assert_eq!((s.is_closed(client), s.shards[0].gauges().receive_bytes), (true, 0));
    assert_eq!(s.hear(client), ["DISCONNECT Quota exceeded"]);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn a_subscription_identifier_from_a_client_is_a_protocol_error() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let mut ids = SubscriptionIdsBuf::default();
    ids.push(4);
    let properties = PublishProperties { subscription_ids: ids.as_ref(), ..PublishProperties::default() };
    s.packet(client, &Packet::Publish(Publish { properties, ..publish("a", "x", QoS::AtMostOnce, None) }));
    assert_eq!(s.hear(client), ["DISCONNECT Protocol Error"]);
}

#[test]
fn what_belongs_to_the_server_is_refused_and_what_claims_to_be_utf8_is_checked() {
    let mut s = Script::new(Config { validate_payload_format: true, ..Config::default() });
    let client = s.join("c");
    s.publish_qos(client, "$SYS/x", "x", 1, 1);
    let properties = PublishProperties { payload_format: Some(1), ..PublishProperties::default() };
    let packet =
        Publish { properties, payload: &[0xff], ..publish("a", "", QoS::ExactlyOnce, PacketId::new(2)) };
    s.packet(client, &Packet::Publish(packet));
    assert_eq!(s.hear(client), ["PUBACK 1 Not authorized", "PUBREC 2 Payload format invalid"]);
    assert_eq!((s.counter("refused_publish_topic"), s.counter("refused_publish_format")), (1, 1));
}

#[test]
fn a_shared_message_waits_in_the_queue_of_an_absent_member() {
    let mut s = Script::of_one();
    let (publisher, member) = (s.join("p"), s.join_for_an_hour("m"));
    s.subscribe(member, "$share/g/a", 1);
    s.cut(member);
    s.publish_qos(publisher, "a", "kept", 1, 1);
    s.publish(publisher, "a", "nobody");
    assert_eq!(s.counter("dropped_shared_nobody"), 1);
    let (_, heard) = s.connect(&Connect { clean_start: false, ..connect("m") });
    assert_eq!(heard, ["CONNACK Success present", "a 'kept' q1 #1"]);
}

#[test]
fn a_shared_message_goes_to_the_member_who_can_take_it_now() {
    let config = Config { shards: 2, ..Config::default() };
    let ids = Script::ids_by_home(&config, "m");
    let mut s = Script::new(config);
    let (absent, present) = (s.join_for_an_hour(&ids[0]), s.join_for_an_hour(&ids[1]));
    for member in [absent, present] {
        s.subscribe(member, "$share/g/a", 1);
    }
    s.hear(present);
    s.cut(absent);
    let publisher = s.join("p");
    for n in 1..=4 {
        s.publish_qos(publisher, "a", &n.to_string(), 1, n);
    }
    assert_eq!(s.hear(present).len(), 4);
    s.cut(present);
    s.publish_qos(publisher, "a", "5", 1, 5);
    assert_eq!(s.counter("dropped_shared_nobody"), 0);
}

#[test]
fn a_member_with_a_connection_comes_before_those_without() {
    let mut s = Script::of_one();
    let publisher = s.join("p");
    for id in ["m1", "m2", "m3"] {
        let member = s.join_for_an_hour(id);
        s.subscribe(member, "$share/g/a", 1);
        s.cut(member);
    }
    let mut wanted = Connect { clean_start: false, ..connect("m2") };
    wanted.properties.receive_maximum = Some(1);
    wanted.properties.session_expiry_interval_s = Some(3600);
    let (back, heard) = s.connect(&wanted);
    assert_eq!(heard, ["CONNACK Success present"]);
    for n in 1..=4 {
        s.publish_qos(publisher, "a", &n.to_string(), 1, n);
    }
    // The first goes out; the others wait for its acknowledgement, not with those who are away.
    for n in 1..=4 {
        assert_eq!(s.hear(back), [format!("a '{n}' q1 #{n}")]);
        s.puback(back, n);
    }
    s.cut(back);
    for n in 5..=7 {
        s.publish_qos(publisher, "a", &n.to_string(), 1, n);
    }
    for id in ["m1", "m2", "m3"] {
        let (_, heard) = s.connect(&Connect { clean_start: false, ..connect(id) });
        assert_eq!(heard.len(), 2, "CONNACK and one message for {id}: {heard:?}");
    }
}

#[test]
fn groups_of_one_name_with_different_filters_are_different_groups() {
    let mut s = Script::of_one();
    let (one, other) = (s.join("one"), s.join("other"));
    s.subscribe(one, "$share/g/a", 0);
    s.subscribe(other, "$share/g/+", 0);
    s.hear(one);
    s.hear(other);
    s.publish(one, "a", "x");
    assert_eq!(s.hear(one), ["a 'x'"]);
    assert_eq!(s.hear(other), ["a 'x'"]);
}

#[test]
fn a_session_expiry_that_was_0_cannot_be_raised_in_disconnect() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let raise = mqtt::Disconnect { session_expiry_interval_s: Some(10), ..mqtt::Disconnect::default() };
    s.packet(client, &Packet::Disconnect(raise.clone()));
    assert_eq!(s.hear(client), ["DISCONNECT Protocol Error"]);
    let client = s.join_for_an_hour("d");
    s.packet(client, &Packet::Disconnect(raise));
    s.secs(11);
    assert_eq!(s.shards[0].gauges().sessions, 0);
}

#[test]
fn an_operator_ends_a_connection() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
    s.settle();
    assert_eq!(s.hear(client), ["DISCONNECT Administrative action"]);
    assert!(s.is_closed(client));
}

#[test]
fn retained_messages_expire() {
    let mut s = Script::of_one();
    let client = s.join("c");
    for expiry_s in [5, 50] {
        let properties =
            PublishProperties { message_expiry_interval_s: Some(expiry_s), ..PublishProperties::default() };
        let packet = publish("r", "x", QoS::AtMostOnce, None);
        let topic = if expiry_s == 5 { "r/short" } else { "r/long" };
        s.packet(client, &Packet::Publish(Publish { properties, retain: true, topic, ..packet }));
    }
    s.secs(6);
    assert_eq!(s.shards[0].gauges().retained_messages, 1);
    assert_eq!(s.counter("retained_expired"), 1);
    s.subscribe(client, "r/#", 0);
    assert_eq!(s.hear(client), ["SUBACK 9 0x00", "r/long 'x' retained expires 44"]);
}

#[test]
fn a_closing_client_that_takes_nothing_is_let_go_after_a_while() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.stick(client);
    s.packet(client, &Packet::Pingreq);
    s.packet(client, &Packet::Pingreq);
    let (other, _) = s.connect(&connect("c"));
    assert!(!s.is_closed(client));
    s.secs(6);
    assert!(s.is_closed(client));
    assert!(!s.is_closed(other));
    assert_eq!(s.shards[0].gauges().unsent_bytes, 0);
}

#[test]
fn a_connect_that_is_none_is_answered_where_the_version_has_an_answer() {
    let mut s = Script::of_one();
    // A reserved flag is set; level 5 is told, level 4 is not.
    for (level, answers) in [(5, 1), (4, 0)] {
        let client = s.open();
        let mut bytes = vec![0x10, 0x0d, 0, 4, b'M', b'Q', b'T', b'T', level, 0x01, 0, 0];
        bytes.extend(if level == 5 { &[0, 0, 0][..] } else { &[0, 1, b'c'] });
        s.bytes(client, &bytes);
        assert_eq!(s.hear(client).len(), answers, "level {level}");
        assert!(s.is_closed(client));
    }
    let client = s.open();
    s.bytes(client, &[0xc0, 0x00]);
    assert!(s.is_closed(client));
}

#[test]
fn sessions_and_wills_have_their_limits() {
    let mut config = Config::default();
    config.limits.sessions_max = 1;
    config.limits.queue_memory_max = 1000;
    let mut s = Script::new(config);
    let first = s.join_for_an_hour("first");
    s.cut(first);
    assert_eq!(s.connect(&connect("second")).1, ["CONNACK Quota exceeded"]);
    assert_eq!(s.counter("refused_max_sessions"), 1);
    let payload = [b'x'; 2000];
    let will = mqtt::Will {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "will",
        payload: &payload,
        properties: mqtt::WillProperties::default(),
    };
    let deep = "a/".repeat(300);
    for (topic, answer) in [
        ("will", "CONNACK Quota exceeded"),
        ("$SYS/will", "CONNACK Not authorized"),
        (&deep, "CONNACK Topic Name invalid"),
    ] {
        let wanted = Connect { will: Some(mqtt::Will { topic, ..will.clone() }), ..connect("first") };
        assert_eq!(s.connect(&wanted).1, [answer]);
    }
    assert_eq!((s.counter("refused_will_memory"), s.counter("topic_levels_exceeded")), (1, 1));
    assert_eq!((s.counter("refused_max_sessions"), s.counter("refused_connect")), (1, 4));
}

#[test]
fn a_client_id_needs_room_in_the_memory_of_sessions() {
    let mut config = Config::default();
    config.limits.session_memory_max = 10;
    let mut s = Script::new(config);
    assert_eq!(s.connect(&connect("short")).1, ["CONNACK Success"]);
    assert_eq!(s.connect(&connect("longer")).1, ["CONNACK Quota exceeded"]);
    assert_eq!(s.counter("refused_session_memory"), 1);
}

#[test]
fn versions_3_get_no_reasons_and_no_properties() {
    let mut s = Script::of_one();
    let (client, heard) = s.connect(&Connect { version: Version::V311, ..connect("c") });
    assert_eq!(heard, ["CONNACK Success"]);
    s.subscribe(client, "a", 1);
    s.publish_qos(client, "$SYS/x", "x", 1, 1);
    s.publish_qos(client, "a", "y", 1, 2);
    assert_eq!(s.hear(client), ["SUBACK 9 0x01", "PUBACK 1", "a 'y' q1 #1", "PUBACK 2"]);
    s.publish(client, "a", &"x".repeat(2 << 20));
    assert_eq!(s.hear(client), Vec::<String>::new());
    assert!(s.is_closed(client));
}

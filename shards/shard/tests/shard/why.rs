//! Why a client gets a message, or does not: for each thing that decides it a script, and what the answer says.

use std::sync::Arc;

use mqtt::{Connect, Packet, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version};
use shard::{
    Answer, Bans, Because, Config, Detail, Direction, Event, Grant, Limits, Look, Network, Outcome, Says,
    Seen, Why,
};

use crate::{
    departing::last,
    keeping::kept,
    permitted::{config, mosquitto, rules},
    regranting::{accept, config as regranted},
    script::{Client, Script, connect, options, publish},
};

pub fn question(client_id: &str, topic: &str) -> Why {
    Why {
        client_id: client_id.into(),
        topic: topic.into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        payload_bytes: None,
        other: None,
    }
}

pub fn ask(s: &Script, look: &Look) -> Because {
    match s.look(0, look) {
        Seen::Why(because) => *because,
        other => panic!("{other:?}"),
    }
}

pub fn receive(s: &Script, client_id: &str, topic: &str) -> Because {
    ask(s, &Look::WhyReceive(Box::new(question(client_id, topic))))
}

pub fn publishing(s: &Script, client_id: &str, topic: &str) -> Because {
    ask(s, &Look::WhyPublish(Box::new(question(client_id, topic))))
}

/// The steps of one kind, as lines.
pub fn told(because: &Because, about: &str) -> Vec<String> {
    let steps = because.steps.iter().filter(|step| step.about == about);
    let line = |step: &shard::Step| {
        let place = step.place.as_deref().map_or(String::new(), |place| format!(" [{place}]"));
        format!("{}: {}{place}", step.says.word(), step.text)
    };
    steps.map(line).collect()
}

#[test]
fn nobody_knows_a_client_that_was_never_here() {
    let s = Script::of_one();
    let because = receive(&s, "c", "a");
    assert_eq!((because.outcome, because.steps[0].says), (Outcome::Misses, Says::No));
}

#[test]
fn a_message_that_would_be_sent_at_once_says_by_which_subscriptions() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let no_local = SubscriptionOptions { no_local: true, ..options(2) };
    s.subscribe_with(client, "a/+", no_local, Some(7));
    s.subscribe(client, "b", 0);
    let because = receive(&s, "c", "a/b");
    assert_eq!(because.outcome, Outcome::Goes);
    assert_eq!(told(&because, "subscription"), ["yes: a/+ at QoS 2, No Local, subscription identifier 7"]);
    assert_eq!(told(&because, "delivery"), ["yes: it is sent at once, at QoS 1"]);
    let own = Why { other: Some("c".into()), ..question("c", "a/b") };
    let because = ask(&s, &Look::WhyReceive(Box::new(own)));
    assert_eq!(because.outcome, Outcome::Misses);
    assert_eq!(told(&because, "no_local").len(), 1, "{because:?}");
}

#[test]
fn of_a_client_without_subscriptions_and_packets_neither_is_counted() {
    let mut s = Script::of_one();
    s.join("c");
    let because = receive(&s, "c", "a/b");
    assert_eq!(told(&because, "subscription"), ["no: it has no subscriptions"]);
    assert_eq!(told(&because, "packets"), ["fact: no packet of it is remembered"]);
}

#[test]
fn a_filter_that_nearly_matches_is_named() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe(client, "House/Kitchen/", 0);
    s.subscribe(client, "#", 0);
    s.unsubscribe(client, "x");
    let because = receive(&s, "c", "$SYS/broker/uptime");
    assert_eq!(because.outcome, Outcome::Misses);
    assert!(told(&because, "subscription")[1].contains("matches no topic that begins with $"), "{because:?}");
    s.unsubscribe(client, "#");
    let because = receive(&s, "c", "house/kitchen");
    let steps = told(&because, "subscription");
    assert_eq!(steps[0], "no: its only filter does not match the topic");
    assert!(
        steps[1].starts_with("fact: House/Kitchen/: it would match but for upper and lower case"),
        "{steps:?}"
    );
}

#[test]
fn who_is_away_gets_nothing_at_qos_0_and_the_rest_waits_as_long_as_there_is_room() {
    let mut limited = Config::default();
    limited.limits.queued_messages_max = 1;
    let mut s = Script::new(limited);
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "a", 1);
    s.disconnect(client, ReasonCode::Success);
    let at_most_once = Why { qos: QoS::AtMostOnce, ..question("c", "a") };
    let because = ask(&s, &Look::WhyReceive(Box::new(at_most_once)));
    assert_eq!(because.outcome, Outcome::Stops);
    assert!(told(&because, "offline")[0].ends_with("[session.queue_qos0]"), "{because:?}");
    assert_eq!(receive(&s, "c", "a").outcome, Outcome::Waits);
    let publisher = s.join("p");
    s.publish_qos(publisher, "a", "x", 1, 1);
    s.publish_qos(publisher, "a", "x", 1, 2);
    s.secs(12);
    let because = receive(&s, "c", "a");
    assert_eq!(because.outcome, Outcome::Stops);
    let full = "no: the client's queue is full, with 1 messages: it is dropped [session.max_queued_messages]";
    assert_eq!(told(&because, "queue"), [full]);
    let lost =
        "fact: 1 lost on this topic, the last 12 s ago: the client's queue had session.max_queued_messages";
    assert_eq!(told(&because, "losses"), [lost]);
}

#[test]
fn who_does_not_acknowledge_or_read_keeps_messages_waiting() {
    let mut s = Script::of_one();
    let mut wanted = connect("c");
    wanted.properties.receive_maximum = Some(1);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "a", 1);
    let publisher = s.join("p");
    s.publish_qos(publisher, "a", "x", 1, 1);
    s.secs(2);
    let because = receive(&s, "c", "a");
    assert_eq!(because.outcome, Outcome::Waits);
    assert!(
        told(&because, "window")[0].starts_with("later: 1 messages are not acknowledged, and no more than 1")
    );
    assert!(told(&because, "window")[0].ends_with("[receive_maximum of the client]"), "{because:?}");
    assert_eq!(told(&because, "packets"), ["fact: sent 2 s ago, with packet id 1, and not acknowledged"]);
    s.puback(client, 1);
    s.secs(1);
    let because = receive(&s, "c", "a");
    assert_eq!(because.outcome, Outcome::Goes);
    assert_eq!(told(&because, "packets"), ["fact: sent 3 s ago, with packet id 1, and acknowledged 1 s ago"]);
    s.stick(client);
    for _ in 0..3 {
        s.publish(publisher, "a", &"x".repeat(600_000));
    }
    let because = receive(&s, "c", "a");
    assert_eq!(because.outcome, Outcome::Waits);
    assert!(told(&because, "socket")[0].ends_with("[session.max_outbox_bytes]"), "{because:?}");
}

#[test]
fn a_rule_is_named_with_its_line_at_both_ends() {
    let mut s = Script::new(config(Some(mosquitto("pattern write shut/#\npattern readwrite open/#\n"))));
    let client = s.join("c");
    s.subscribe(client, "#", 0);
    let because = receive(&s, "c", "shut/a");
    assert_eq!(because.outcome, Outcome::Stops);
    assert!(
        told(&because, "rules")[0].starts_with("no: the rules say of \"receive\": denied"),
        "{because:?}"
    );
    let because = receive(&s, "c", "open/a");
    assert_eq!(because.outcome, Outcome::Goes);
    assert!(told(&because, "rules")[0].ends_with("[acl:2]"), "{because:?}");
    assert_eq!(publishing(&s, "c", "shut/a").outcome, Outcome::Goes);
    assert_eq!(s.counter("dropped_denied"), 0, "a question is no delivery");

    let mut s = Script::new(config(Some(rules("{ allow = \"publish\", topics = \"a/#\" }"))));
    s.join("c");
    assert_eq!(publishing(&s, "c", "a/b").outcome, Outcome::Goes);
    assert_eq!(publishing(&s, "c", "b").outcome, Outcome::Stops);
}

#[test]
fn a_publisher_is_told_what_became_of_its_last_message() {
    let mut s = Script::of_one();
    let publisher = s.join("p");
    s.publish_qos(publisher, "a", "x", 1, 1);
    let because = publishing(&s, "p", "a");
    assert_eq!(because.outcome, Outcome::Goes);
    assert_eq!(
        told(&because, "packets"),
        ["fact: its last message on this topic came 0 s ago, and nobody had subscribed to it"]
    );
    assert_eq!(publishing(&s, "p", "$SYS/x").outcome, Outcome::Stops);
    assert_eq!(publishing(&s, "p", &"a/".repeat(200)).outcome, Outcome::Stops);
    assert_eq!(publishing(&s, "nobody", "a").outcome, Outcome::Stops);
}

#[test]
fn what_is_too_large_for_the_client_stops() {
    let mut s = Script::of_one();
    let mut wanted = connect("c");
    wanted.properties.maximum_packet_size = Some(100);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "a", 0);
    assert_eq!(receive(&s, "c", "a").outcome, Outcome::Goes);
    let large = Why { payload_bytes: Some(100), ..question("c", "a") };
    let because = ask(&s, &Look::WhyReceive(Box::new(large)));
    assert_eq!((because.outcome, told(&because, "size").len()), (Outcome::Stops, 1));
}

#[test]
fn members_of_a_group_take_turns() {
    let mut s = Script::of_one();
    let members: Vec<Client> = ["one", "two"].iter().map(|name| s.join(name)).collect();
    members.iter().for_each(|member| s.subscribe(*member, "$share/g/a/#", 1));
    let because = receive(&s, "one", "a/b");
    assert_eq!(because.outcome, Outcome::Perhaps);
    let group = told(&because, "group");
    assert!(group[0].contains("2 connected and 0 away on this shard, 0 on others"), "{group:?}");
    assert!(group[0].ends_with("when it is this shard's turn the next is one"), "{group:?}");
    let publisher = s.join("p");
    s.packet(publisher, &Packet::Publish(publish("a/b", "x", QoS::AtMostOnce, None)));
    assert!(told(&receive(&s, "one", "a/b"), "group")[0].ends_with("is two"));
}

#[test]
fn a_member_that_is_away_gets_nothing_while_another_can_take_it() {
    let mut s = Script::of_one();
    let away = s.join_for_an_hour("away");
    s.subscribe(away, "$share/g/a", 1);
    s.disconnect(away, ReasonCode::Success);
    let alone = receive(&s, "away", "a");
    assert_eq!(alone.outcome, Outcome::Perhaps);
    let here = s.join("here");
    s.subscribe(here, "$share/g/a", 1);
    let because = receive(&s, "away", "a");
    assert_eq!(because.outcome, Outcome::Misses);
    assert!(
        told(&because, "group")[1].starts_with("no: the client is away, and somebody else"),
        "{because:?}"
    );
    s.hear(here);
    let publisher = s.join("p");
    for n in 1..=6 {
        s.publish_qos(publisher, "a", "x", 1, n);
    }
    assert_eq!(s.hear(here).len(), 6);
    let away = s.join_for_an_hour("away");
    assert_eq!(s.hear(away), Vec::<String>::new(), "nothing has waited for it");
}

#[test]
fn a_ban_is_named_of_who_has_a_session_and_of_who_has_none() {
    let mut s = Script::of_one();
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "a", 1);
    s.disconnect(client, ReasonCode::Success);
    let named = |name: &str| (name.into(), None);
    let bans = Bans { client_ids: vec![named("c"), named("stranger")], ..Bans::default() };
    s.event(0, Event::Bans(Arc::new(bans)));
    for name in ["c", "stranger"] {
        for because in [receive(&s, name, "a"), publishing(&s, name, "a")] {
            assert!(told(&because, "ban")[0].starts_with("no: this client id is banned"), "{because:?}");
        }
    }
    assert_eq!(told(&receive(&s, "other", "a"), "ban"), Vec::<String>::new());
}

/// As this user and from there, at a door where somebody is asked.
fn join_as(s: &mut Script, client_id: &str, user: &str, expiry_s: u32) -> Client {
    let mut wanted = connect(client_id);
    wanted.properties.session_expiry_interval_s = Some(expiry_s);
    let client = s.open_by(0, false);
    s.say_connect(client, &wanted);
    let Answer::Accept { grant, .. } = accept("file", user, "all") else { panic!("it accepts") };
    let address = Some("192.0.2.7".parse().unwrap());
    let grant = Arc::new(Grant { address, ..(*grant).clone() });
    s.answer(client, Answer::Accept { grant, lasts: None, data: None });
    s.hear(client);
    client
}

#[test]
fn a_ban_of_the_user_or_of_the_address_is_named_of_who_was_here() {
    for expiry_s in [0, 1000] {
        for (bans, words) in [
            (Bans { users: vec![("anna".into(), None)], ..Bans::default() }, "the user anna is banned"),
            (
                Bans { networks: vec![(Network::parse("192.0.2.0/24").unwrap(), None)], ..Bans::default() },
                "nobody is let in from 192.0.2.7",
            ),
        ] {
            let mut s = Script::new(regranted(None));
            let client = join_as(&mut s, "c", "anna", expiry_s);
            join_as(&mut s, "other", "bob", 1000);
            s.disconnect(client, ReasonCode::Success);
            assert_eq!(told(&receive(&s, "c", "a"), "ban"), Vec::<String>::new());
            s.event(0, Event::Bans(Arc::new(bans)));
            for because in [receive(&s, "c", "a"), publishing(&s, "c", "a")] {
                assert!(told(&because, "ban")[0].starts_with(&format!("no: {words}")), "{because:?}");
            }
        }
    }
}

#[test]
fn whose_address_was_banned_is_known_though_nobody_is_asked() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let (shard, conn) = s.conn(client);
    let ip = "2001:db8::7".parse().unwrap();
    let networks = vec![(Network::parse("2001:db8::/32").unwrap(), None)];
    s.event(shard, Event::Barred { conn, ip });
    s.event(0, Event::Bans(Arc::new(Bans { networks, ..Bans::default() })));
    let because = receive(&s, "c", "a");
    assert!(told(&because, "ban")[0].contains("from 2001:db8::7"), "{because:?}");
    assert!(told(&because, "left")[0].ends_with("ago: banned: its address"), "{because:?}");
}

#[test]
fn how_a_client_left_is_told_while_its_session_lives_and_when_it_has_ended() {
    let mut s = Script::of_one();
    for (client_id, lives) in [("lasting", true), ("clean", false)] {
        let client = if lives { s.join_for_an_hour(client_id) } else { s.join(client_id) };
        s.cut(client);
        s.secs(5);
        let because = receive(&s, client_id, "a");
        let left = told(&because, "left");
        assert_eq!(left.len(), 1, "{because:?}");
        assert!(left[0].ends_with("and left 5 s ago: the network connection was closed"), "{left:?}");
        let session = told(&because, "session");
        assert_eq!(
            session[0].ends_with("it has ended 5 s ago: it was to last as long as its connection"),
            !lives,
            "{session:?}"
        );
        assert_eq!(told(&publishing(&s, client_id, "a"), "left").len(), 1);
    }
    let client = s.join("clean");
    assert_eq!(told(&receive(&s, "clean", "a"), "left").len(), 0, "it is here");
    s.packet(client, &Packet::Connect(Box::new(connect("clean"))));
    let because = receive(&s, "clean", "a");
    assert!(told(&because, "left")[0].ends_with("ago: a second CONNECT"), "{because:?}");
}

#[test]
fn a_retained_message_is_told_and_a_subscription_that_does_not_want_it() {
    let mut s = Script::of_one();
    let publisher = s.join("p");
    s.retain(publisher, "a", "warm");
    let client = s.join("c");
    let unwanted = SubscriptionOptions { retain_handling: RetainHandling::DoNotSend, ..options(1) };
    s.subscribe_with(client, "a", unwanted, None);
    let because = receive(&s, "c", "a");
    let subscription = "yes: a at QoS 1, Retain Handling 2: no retained messages when it is made";
    assert_eq!(told(&because, "subscription"), [subscription]);
    let retained = &because.elsewhere[0];
    assert_eq!(retained.about, "retained");
    assert!(retained.text.starts_with("a message of 4 bytes at QoS 0 is retained"), "{}", retained.text);
    assert!(receive(&s, "c", "b").elsewhere.is_empty());
}

/// The answer is compared with what happens when the message comes.
#[test]
fn why_a_message_was_not_retained_is_said_in_words() {
    let limited = |limits| Script::new(Config { limits, ..Config::default() });
    let number = limited(Limits { retained_messages_max: 0, ..Limits::default() });
    let bytes = limited(Limits { retained_bytes_max: 0, ..Limits::default() });
    let mut full = kept();
    full.event(0, Event::StoreRoom { bytes: 0, grows: false });
    let deny =
        "{ allow = [\"publish\", \"subscribe\"], topics = \"#\" }, { deny = \"retain\", topics = \"#\" }";
    let denied = Script::new(config(Some(rules(deny))));
    let of_limit = |limit: &str| {
        format!(
            "it was to be retained, and the shard of its topic had its part of {limit}: those who had subscribed got it"
        )
    };
    let of_store = "it was to be retained at QoS 0, and the store was full: those who had subscribed got it";
    let of_rules = "the rules of access do not let the client publish it as a retained one";
    for (mut s, why) in [
        (number, of_limit("router.retained_message_limit")),
        (bytes, of_limit("router.max_retained_bytes")),
        (full, of_store.to_owned()),
        (denied, of_rules.to_owned()),
    ] {
        let publisher = s.join("p");
        let client = s.join("c");
        s.subscribe(client, "a/#", 0);
        (0..2).for_each(|_| s.retain(publisher, "a/b", "x"));
        let what = "2 that p published on this topic were not taken in, or not retained, the last 0 s ago";
        let of_publishers = |topic: &str| {
            let because = receive(&s, "c", topic);
            told(&Because { steps: because.elsewhere.clone(), ..because }, "refused")
        };
        assert_eq!(of_publishers("a/b"), [format!("fact: {what}: {why}")]);
        assert!(of_publishers("a/c").is_empty(), "{why}: that is another topic");
    }
}

#[test]
fn what_was_never_sent_is_not_told_as_sent() {
    let mut s = Script::of_one();
    let (client, publisher) = (s.join_for_an_hour("c"), s.join("p"));
    s.subscribe(client, "a", 0);
    s.publish(publisher, "a", "taken");
    s.secs(1);
    s.stick(client);
    s.publish(publisher, "a", "not taken");
    s.cut(client);
    let never =
        "made 0 s ago, at QoS 0, and never sent: its socket had not taken it when the connection ended";
    assert_eq!(
        told(&receive(&s, "c", "a"), "packets"),
        [format!("fact: {never}"), "fact: sent 1 s ago, at QoS 0".to_owned()]
    );
}

#[test]
fn what_it_says_is_what_comes_to_pass() {
    for seed in 1..=40_u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut roll = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut limited = Config::default();
        limited.limits.queued_messages_max = 2;
        let mut s = Script::new(limited);
        let mut wanted = connect("c");
        wanted.properties.receive_maximum = Some(1 + roll(3) as u16);
        wanted.properties.session_expiry_interval_s = Some(3600);
        let (client, _) = s.connect(&wanted);
        let filter = ["a/#", "+/b", "b", "#"][roll(4) as usize];
        s.subscribe(client, filter, roll(3) as u8);
        if roll(3) == 0 {
            s.disconnect(client, ReasonCode::Success);
        }
        let publisher = s.join("p");
        for n in 1..=6 {
            let topic = ["a/b", "b", "c/d"][roll(3) as usize];
            let qos = roll(3) as u8;
            let why = Why { qos: QoS::try_from(qos).unwrap(), ..question("c", topic) };
            let said = ask(&s, &Look::WhyReceive(Box::new(why)));
            let before = (s.counter("publish_sent"), queued(&s), lost(&s));
            s.publish_qos(publisher, topic, "x", qos, n);
            let after = (s.counter("publish_sent"), queued(&s), lost(&s));
            let came = match (after.0 - before.0, after.1 - before.1, after.2 - before.2) {
                (1, 0, 0) => Outcome::Goes,
                (0, 1, 0) => Outcome::Waits,
                (0, 0, 1) => Outcome::Stops,
                (0, 0, 0) => Outcome::Misses,
                other => panic!("{other:?}"),
            };
            assert_eq!(said.outcome, came, "seed {seed}, message {n} on {topic} at {qos}: {said:?}");
        }
    }
}

fn queued(s: &Script) -> usize {
    match s.look(0, &Look::Client { client_id: "c".into(), most: 1 }) {
        Seen::Client(client) => client.unwrap().client.queued,
        other => panic!("{other:?}"),
    }
}

fn lost(s: &Script) -> u64 {
    s.shards[0]
        .counters()
        .iter()
        .filter(|(name, _, _)| name.starts_with("dropped_"))
        .map(|(_, _, count)| count)
        .sum()
}

#[test]
fn of_many_and_long_filters_some_are_looked_at_and_the_beginnings_shown() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let long = "ä".repeat(16_000);
    (0..40).for_each(|n| {
        s.subscribe(client, &format!("f/{n:02}{long}"), 0);
    });
    s.subscribe(client, "z/Near", 0);
    let because = receive(&s, "c", "z/near");
    let words: Vec<_> = because.steps.iter().filter(|step| step.about == "subscription").collect();
    assert_eq!(&*words[0].text, "none of its 41 filters matches the topic");
    assert_eq!(&*words[1].text, "2 of them were looked at for one that nearly does");
    (0..40).for_each(|n| {
        s.subscribe(client, &format!("a/+/{long}{n:02}"), 0);
    });
    s.subscribe(client, &format!("+/b/{long}"), 0);
    let because = receive(&s, "c", &format!("a/b/{long}"));
    assert_eq!(because.outcome, Outcome::Goes);
    assert!(because.steps.iter().all(|step| step.text.len() < 1000));
}

#[test]
fn a_topic_that_is_too_long_for_the_client_is_told_without_a_size() {
    let mut s = Script::of_one();
    let mut wanted = connect("c");
    wanted.properties.maximum_packet_size = Some(50);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "#", 0);
    let topic = "t".repeat(47);
    let because = receive(&s, "c", &topic);
    assert_eq!(because.outcome, Outcome::Stops);
    let size = because.steps.iter().find(|step| step.about == "size").unwrap();
    assert_eq!(
        &*size.text,
        "even an empty message on this topic exceeds the client's maximum packet size of 50 bytes"
    );
    assert_eq!(receive(&s, "c", &topic[1..]).outcome, Outcome::Goes);
}

#[test]
fn losses_and_packets_of_a_topic_with_the_same_ends_are_not_taken_for_its_own() {
    let mut s = Script::of_one();
    let mut wanted = connect("c");
    wanted.properties.maximum_packet_size = Some(200);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "#", 0);
    let topic = |middle: &str| format!("{}{middle}{}", "x".repeat(100), "y".repeat(40));
    let publisher = s.join("p");
    s.publish(publisher, &topic("1"), &"z".repeat(100));
    s.publish(publisher, &topic("1"), "z");
    let lost = |s: &Script, middle| told(&receive(s, "c", &topic(middle)), "losses");
    assert!(lost(&s, "1")[0].contains("1 lost on this topic"));
    assert!(lost(&s, "2")[0].contains("as far as is known none of them on this topic"));
    let sent = told(&receive(&s, "c", &topic("2")), "packets");
    assert!(sent[0].contains("no message on this topic was sent to it"), "{sent:?}");
    let sent = told(&receive(&s, "c", &topic("1")), "packets");
    assert!(sent.len() == 1 && sent[0].ends_with("at QoS 0"), "{sent:?}");
    let published = |middle| told(&publishing(&s, "p", &topic(middle)), "packets");
    assert!(published("1")[0].starts_with("fact: its last message on this topic"), "{:?}", published("1"));
    assert!(published("2")[0].contains("there is no message on this topic"), "{:?}", published("2"));
}

#[test]
fn a_message_of_its_own_that_was_refused_is_told_to_who_asks_why_it_does_not_get_it() {
    for (version, answered) in [
        (Version::V5, "was answered with reason 0x87"),
        (
            Version::V311,
            "was refused with reason 0x87, which its acknowledgement could not say: it speaks no MQTT 5.0",
        ),
    ] {
        let mut s = Script::new(config(Some(mosquitto("pattern write open/#\npattern readwrite shut/no\n"))));
        let (client, _) = s.connect(&Connect { version, ..connect("c") });
        s.publish_qos(client, "open/a", "x", 1, 1);
        s.publish_qos(client, "secret/door", "x", 1, 2);
        s.publish_qos(client, "secret/lamp", "x", 2, 3);
        s.secs(2);
        for topic in ["secret/door", "secret/lamp"] {
            assert_eq!(
                told(&receive(&s, "c", topic), "packets"),
                [
                    "fact: among its last 6 packets no message on this topic was sent to it".to_owned(),
                    format!("fact: a message of its own on this topic came 2 s ago, and {answered}"),
                ]
            );
            let published = told(&publishing(&s, "c", topic), "packets");
            assert_eq!(
                published,
                [format!("fact: its last message on this topic came 2 s ago, and {answered}")]
            );
        }
        let taken = told(&receive(&s, "c", "open/a"), "packets");
        assert_eq!(taken.len(), 1, "what was taken in is no news: {taken:?}");
    }
}

#[test]
fn an_acknowledgement_that_cannot_say_that_a_message_was_refused_is_remembered_with_the_reason() {
    for (version, detail) in [(Version::V5, Detail::Reason(0x87)), (Version::V311, Detail::Unsaid(0x87))] {
        let mut s = Script::new(config(Some(mosquitto("pattern write open/#\n"))));
        let (client, _) = s.connect(&Connect { version, ..connect("c") });
        s.publish_qos(client, "secret", "x", 1, 1);
        s.publish_qos(client, "secret", "x", 2, 2);
        s.publish_qos(client, "secret", "x", 0, 0);
        s.publish_qos(client, "open/a", "x", 1, 3);
        let packets = last(&s, "c").unwrap().packets;
        let details: Vec<Detail> = packets
            .iter()
            .filter(|packet| packet.direction == Direction::Sent)
            .map(|packet| packet.detail)
            .collect();
        let taken = if version == Version::V5 { Detail::Reason(0x10) } else { Detail::Reason(0) };
        assert_eq!(details, [detail, detail, taken]);
    }
}

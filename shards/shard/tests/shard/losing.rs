//! The ledger of lost messages: its sums are those of the counters, and clients are told of their own losses.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mqtt::{Ack, Connect, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, Will};
use shard::{Act, Bans, Cause, ClientLost, Config, Event, Limits, Look, Loss, Seen, Side};

use crate::{
    keeping::kept,
    permitted::{config, mosquitto, rules},
    script::{Client, Script, ack, connect, options, publish},
};

pub fn lost(s: &Script, client_id: &str) -> Option<ClientLost> {
    match s.look(0, &Look::Client { client_id: client_id.into(), most: 1 }) {
        Seen::Client(client) => client.and_then(|client| client.losses),
        other => panic!("{other:?}"),
    }
}

pub fn told(losses: &[Loss]) -> Vec<String> {
    let one = |loss: &Loss| {
        let topic = loss.topic.as_deref().map_or(String::new(), |topic| format!(" {topic}"));
        let (first, last) = (loss.first_ago.as_secs(), loss.last_ago.as_secs());
        format!("{} {}{topic} {first}-{last}", loss.count, loss.cause.word())
    };
    losses.iter().map(one).collect()
}

/// All clients of a shard that lost something, page by page.
pub fn clients(s: &Script, shard: usize) -> Vec<ClientLost> {
    let (mut after, mut all) = (None, Vec::new());
    loop {
        match s.look(shard, &Look::ClientLosses { client_id: None, after, most: 2 }) {
            Seen::ClientLosses(page) => {
                all.extend(page.rows);
                after = page.next;
            }
            other => panic!("{other:?}"),
        }
        if after.is_none() {
            return all;
        }
    }
}

fn add(losses: &[Loss], sums: &mut BTreeMap<&'static str, u64>) {
    losses.iter().for_each(|loss| *sums.entry(loss.cause.counter()).or_default() += loss.count);
}

/// The ledger says what the counters say, by client and by prefix.
pub fn check(s: &Script) -> BTreeMap<&'static str, u64> {
    let (mut by_client, mut by_prefix) = (BTreeMap::new(), BTreeMap::new());
    for shard in 0..s.shards.len() {
        clients(s, shard).iter().for_each(|client| add(&client.losses, &mut by_client));
        match s.look(shard, &Look::PrefixLosses { after: None, most: 500 }) {
            Seen::PrefixLosses(page) => {
                assert_eq!(page.next, None);
                page.rows.iter().for_each(|row| add(&row.losses, &mut by_prefix));
            }
            other => panic!("{other:?}"),
        }
        match s.look(shard, &Look::OtherLosses) {
            Seen::OtherLosses(others) => {
                add(&others.other_clients, &mut by_client);
                add(&others.of_operators, &mut by_client);
                add(&others.of_nobody, &mut by_client);
                add(&others.other_prefixes, &mut by_prefix);
            }
            other => panic!("{other:?}"),
        }
    }
    let counted = Cause::ALL.iter().map(|cause| (cause.counter(), s.counter(cause.counter())));
    let counted: BTreeMap<_, _> = counted.filter(|(_, count)| *count > 0).collect();
    assert_eq!(by_client, counted);
    assert_eq!(by_prefix, counted);
    counted
}

/// Of operators, and of nobody.
fn others(s: &Script) -> [Vec<String>; 2] {
    match s.look(0, &Look::OtherLosses) {
        Seen::OtherLosses(others) => [told(&others.of_operators), told(&others.of_nobody)],
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_operators_published_in_vain_stands_in_their_books() {
    let order = |qos, retain| Act::Publish {
        topic: "a".into(),
        payload: (*b"x").into(),
        qos,
        retain,
        expiry_s: None,
    };
    let mut s = kept();
    s.event(0, Event::StoreRoom { bytes: 0, grows: false });
    s.act(0, order(QoS::AtLeastOnce, false));
    s.act(0, order(QoS::AtMostOnce, true));
    let of_operators = ["1 publish_store_full 0-0", "1 publish_retain_store_full 0-0"];
    assert_eq!(others(&s), [of_operators.map(str::to_owned).to_vec(), vec![]]);
    check(&s);

    let mut config = Config::default();
    config.limits.retained_messages_max = 0;
    let mut s = Script::new(config);
    s.act(0, order(QoS::AtMostOnce, true));
    assert_eq!(others(&s), [vec!["1 publish_retain_messages 0-0".to_owned()], vec![]]);
    check(&s);
}

fn slow(queued: u32) -> Config {
    let mut config = Config::default();
    config.limits.queued_messages_max = queued;
    config
}

#[test]
fn a_loss_stands_in_the_books_of_its_client_with_topic_and_times() {
    let mut s = Script::new(slow(2));
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "house/#", 1);
    s.disconnect(client, ReasonCode::Success);
    let publisher = s.join("p");
    for n in 1..=5 {
        s.publish_qos(publisher, "house/kitchen/heat", "x", 1, n);
        s.secs(10);
    }
    s.publish(publisher, "house/door", "open");
    s.secs(3);
    let losses = lost(&s, "c").unwrap();
    assert_eq!(told(&losses.losses), ["3 queue_messages 33-13", "1 offline_qos0 3-3"]);
    let topics = told(&losses.topics);
    assert_eq!(topics, ["3 queue_messages house/kitchen/heat 33-13", "1 offline_qos0 house/door 3-3"]);
    assert_eq!(lost(&s, "p"), None);
    let Seen::PrefixLosses(page) = s.look(0, &Look::PrefixLosses { after: None, most: 10 }) else {
        panic!("prefixes")
    };
    let prefixes: Vec<_> = page.rows.iter().map(|row| (&*row.prefix, told(&row.losses))).collect();
    assert_eq!(prefixes[0], ("house/kitchen", vec!["3 queue_messages 33-13".to_owned()]));
    assert_eq!(prefixes[1], ("house/door", vec!["1 offline_qos0 3-3".to_owned()]));
    check(&s);
}

#[test]
fn the_books_outlive_the_session() {
    let mut s = Script::of_one();
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "a", 1);
    s.disconnect(client, ReasonCode::Success);
    let publisher = s.join("p");
    for n in 1..=3 {
        s.publish_qos(publisher, "a", "x", 1, n);
    }
    s.act(0, Act::EndSession { client_id: "c".into() });
    assert_eq!(told(&clients(&s, 0)[0].losses), ["3 session_ended 0-0"]);
    s.join("c");
    assert_eq!(told(&lost(&s, "c").unwrap().topics), ["3 session_ended a 0-0"]);
    check(&s);
}

#[test]
fn what_gives_way_is_what_is_lost() {
    let mut config = slow(1);
    config.limits.queue_full = shard::QueueFull::DropOldest;
    let mut s = Script::new(config);
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "#", 1);
    s.disconnect(client, ReasonCode::Success);
    let publisher = s.join("p");
    s.publish_qos(publisher, "first", "x", 1, 1);
    s.publish_qos(publisher, "second", "x", 1, 2);
    assert_eq!(told(&lost(&s, "c").unwrap().topics), ["1 queue_messages first 0-0"]);
}

#[test]
fn what_the_client_refuses_and_what_is_too_large_for_it_is_lost() {
    let mut s = Script::of_one();
    let mut wanted = connect("c");
    wanted.properties.maximum_packet_size = Some(30);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "#", 2);
    let publisher = s.join("p");
    s.publish_qos(publisher, "refused", "x", 1, 1);
    s.packet(client, &Packet::Puback(Ack { reason: ReasonCode::UnspecifiedError, ..ack(1) }));
    s.publish(publisher, "large", &"x".repeat(40));
    let topics = told(&lost(&s, "c").unwrap().topics);
    assert_eq!(topics, ["1 refused_by_client refused 0-0", "1 packet_too_large large 0-0"]);
    check(&s);
}

#[test]
fn what_the_rules_do_not_let_a_client_receive_is_lost() {
    let mut s = Script::new(config(Some(mosquitto("pattern write #\npattern read open/#\n"))));
    let client = s.join("c");
    s.subscribe(client, "#", 0);
    let publisher = s.join("p");
    s.publish(publisher, "open/a", "x");
    s.publish(publisher, "shut/a", "x");
    assert_eq!(told(&lost(&s, "c").unwrap().topics), ["1 denied shut/a 0-0"]);
    check(&s);
}

#[test]
fn what_is_not_taken_in_is_lost_for_its_publisher_and_for_nobody_else() {
    let rules = rules(
        "{ allow = [\"publish\", \"subscribe\", \"receive\"], topics = \"#\" },\n\
         { deny = \"publish\", topics = \"shut/#\" },\n{ deny = \"retain\", topics = \"#\" }",
    );
    let mut s = Script::new(Config { validate_payload_format: true, ..config(Some(rules)) });
    let (watcher, publisher) = (s.join("watcher"), s.join("p"));
    s.subscribe(watcher, "#", 1);
    s.subscribe(watcher, "$SYS/client/drops", 0);
    s.publish(publisher, "shut/door", "x");
    s.publish_qos(publisher, "shut/door", "x", 1, 1);
    s.secs(2);
    s.retain(publisher, "open/door", "x");
    s.publish(publisher, "$SYS/x", "x");
    let properties = PublishProperties { payload_format: Some(1), ..PublishProperties::default() };
    let wrong = Publish { properties, payload: &[0xff], ..publish("open", "", QoS::AtMostOnce, None) };
    s.packet(publisher, &Packet::Publish(wrong));
    let losses = lost(&s, "p").unwrap();
    let causes = [
        "2 publish_denied 2-2",
        "1 publish_retain_denied 0-0",
        "1 publish_topic 0-0",
        "1 publish_format 0-0",
    ];
    assert_eq!(told(&losses.losses), causes);
    let topics = told(&losses.topics);
    assert_eq!(topics[..2], ["2 publish_denied shut/door 2-2", "1 publish_retain_denied open/door 0-0"]);
    assert_eq!(lost(&s, "watcher"), None, "it was for nobody yet");
    let counters = s.shards[0].counters();
    assert_eq!((Side::In.count(counters), Side::Out.count(counters)), (5, 0));
    check(&s);
}

#[test]
fn a_will_that_may_not_be_published_is_lost_for_who_left_it() {
    let mut s = Script::new(config(None));
    let will = Will { topic: "last/words", payload: b"gone", ..Will::default() };
    s.connect(&Connect { will: Some(will), ..connect("ada") });
    let bans = Bans { client_ids: vec![("ada".into(), None)], ..Bans::default() };
    s.event(0, Event::Bans(Arc::new(bans)));
    assert_eq!(s.counter("ended_banned"), 1);
    s.secs(1);
    assert_eq!(told(&clients(&s, 0)[0].topics), ["1 publish_will_denied last/words 1-1"]);
    check(&s);
}

#[test]
fn a_publisher_reads_what_was_not_taken_in_from_it() {
    let mut s = Script::new(config(Some(mosquitto("pattern write open/#\npattern read shut/#\n"))));
    let client = s.join("c");
    s.subscribe(client, "$SYS/client/drops", 0);
    s.publish(client, "shut/a", "x");
    s.secs(6);
    let told = reports(&mut s, client).concat();
    assert!(told.contains(r#"{"topic":"shut/a","cause":"publish_denied","count":1"#), "{told}");
}

fn reports(s: &mut Script, client: Client) -> Vec<String> {
    let heard = s.hear(client);
    heard.into_iter().filter(|line| line.starts_with("$SYS/client/drops")).collect()
}

#[test]
fn a_client_reads_its_own_losses_and_is_told_when_they_change() {
    let mut s = Script::new(slow(1));
    let client = s.join("c");
    let other = s.join("other");
    s.subscribe_with(client, "$SYS/client/drops", options(1), Some(7));
    s.subscribe(other, "$SYS/#", 0);
    s.subscribe(other, "#", 0);
    s.secs(1);
    let nothing = r#"$SYS/client/drops '{"lost":[],"topics":[]}'"#;
    let first = reports(&mut s, client);
    assert_eq!(first.len(), 1);
    assert!(first[0].starts_with(nothing), "{first:?}");
    s.subscribe(client, "a", 0);
    s.stick(client);
    let publisher = s.join("p");
    let large = "x".repeat(600_000);
    for _ in 0..9 {
        s.publish(publisher, "a", &large);
    }
    s.secs(60);
    assert_eq!(reports(&mut s, client), Vec::<String>::new(), "it takes nothing");
    s.unstick(client);
    s.secs(6);
    let told = reports(&mut s, client);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(r#""cause":"queue_messages","count":"#), "{told:?}");
    s.secs(60);
    assert_eq!(reports(&mut s, client), Vec::<String>::new(), "nothing has changed");
    assert_eq!(reports(&mut s, other), Vec::<String>::new(), "what others lose is not for it");
    check(&s);
}

#[test]
fn many_losses_make_few_reports() {
    let mut s = Script::of_one();
    let mut wanted = connect("c");
    wanted.properties.maximum_packet_size = Some(400);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "$SYS/client/drops", 0);
    s.subscribe(client, "a", 0);
    let publisher = s.join("p");
    for _ in 0..100 {
        s.publish(publisher, "a", &"x".repeat(500));
        s.pass(std::time::Duration::from_millis(100));
    }
    s.secs(10);
    let told = reports(&mut s, client);
    assert!((3..=4).contains(&told.len()), "at once, and then every five seconds: {told:?}");
    assert!(told.last().unwrap().contains(r#""count":100"#), "{told:?}");
}

#[test]
fn a_report_that_is_too_large_for_its_client_is_not_sent_again_and_again() {
    let mut s = Script::of_one();
    let mut wanted = connect("c");
    wanted.properties.maximum_packet_size = Some(40);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "$SYS/client/drops", 0);
    s.secs(600);
    assert_eq!(s.shards[0].next_deadline(), None);
    assert_eq!(s.counter("dropped_packet_too_large"), 0, "what the broker says of itself is no loss");
}

#[test]
fn a_report_names_no_topic_that_its_client_may_not_receive() {
    let mut s = Script::new(config(Some(mosquitto("pattern write #\npattern read open/#\n"))));
    let mut wanted = connect("c");
    wanted.properties.maximum_packet_size = Some(400);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "$SYS/client/drops", 0);
    s.subscribe(client, "#", 0);
    let publisher = s.join("p");
    s.publish(publisher, "shut/a", "x");
    s.publish(publisher, "open/a", &"x".repeat(500));
    s.secs(6);
    let told = reports(&mut s, client).concat();
    assert!(told.contains("open/a") && !told.contains("shut") && !told.contains("denied"), "{told}");

    // Whoever has the client id then may receive less.
    for shard in 0..s.shards.len() {
        let rules = mosquitto("pattern write #\npattern read else/#\n");
        s.event(shard, Event::Rules(Some(rules)));
    }
    s.publish(publisher, "else/a", &"x".repeat(500));
    s.secs(6);
    let told = reports(&mut s, client).concat();
    assert!(told.contains("else/a") && !told.contains("open"), "{told}");
}

#[test]
fn who_comes_back_or_is_held_to_rules_is_told_as_well_and_who_leaves_is_not() {
    let mut s = Script::new(config(Some(mosquitto("pattern readwrite #\n"))));
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "$SYS/client/drops", 0);
    s.secs(1);
    assert_eq!(reports(&mut s, client).len(), 1);
    s.disconnect(client, ReasonCode::Success);
    let publisher = s.join("p");
    s.secs(60);
    s.publish(publisher, "$SYS/client/drops", "forged");
    let client = s.join_for_an_hour("c");
    s.secs(1);
    assert_eq!(reports(&mut s, client).len(), 1, "its own, and none of anybody else");
    s.unsubscribe(client, "$SYS/client/drops");
    s.secs(60);
    assert_eq!(reports(&mut s, client), Vec::<String>::new());
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Clients that come and go, take nothing, refuse, expire, are purged and ended, on three shards with a store.
fn random_run(seed: u64) -> Script {
    let mut config = Config { shards: 3, ..kept_config() };
    config.limits.queued_messages_max = 6;
    config.limits.queue_memory_max = 60_000;
    config.limits.queue_window_bytes = 1000;
    config.limits.retained_messages_max = 3;
    config.limits.retained_bytes_max = 1500;
    let mut s = Script::new(config);
    let mut dice = Dice(seed);
    let mut there: Vec<Option<Client>> = vec![None; 8];
    for step in 0..600_u64 {
        let who = dice.roll(8) as usize;
        let name = format!("c{who}");
        match (dice.roll(10), there[who]) {
            (_, None) => {
                let client = s.join_for_an_hour(&name);
                let filter = ["a/#", "+/b", "#", "$share/g/a/#"][dice.roll(4) as usize];
                s.subscribe(client, filter, dice.roll(3) as u8);
                there[who] = Some(client);
            }
            (0, Some(client)) => {
                s.disconnect(client, ReasonCode::Success);
                there[who] = None;
            }
            (1, Some(client)) => s.stick(client),
            (2, Some(client)) => {
                let id = PacketId::new(1 + dice.roll(9) as u16).unwrap();
                let refusal = Ack { reason: ReasonCode::UnspecifiedError, ..Ack::new(id) };
                s.packet(
                    client,
                    &if dice.roll(2) == 0 { Packet::Puback(refusal) } else { Packet::Pubrec(refusal) },
                );
            }
            (3, _) if dice.roll(4) == 0 => {
                for shard in 0..3 {
                    s.act(shard, Act::PurgeQueue { client_id: name.as_str().into() });
                }
            }
            (4, _) if dice.roll(8) == 0 => {
                for shard in 0..3 {
                    s.act(shard, Act::EndSession { client_id: name.as_str().into() });
                }
                there[who] = None;
            }
            (5, _) => s.secs(dice.roll(3)),
            (_, Some(client)) => {
                let topic = ["a/b", "a/c/d", "x/b", "y"][dice.roll(4) as usize];
                let qos = QoS::try_from(dice.roll(3) as u8).unwrap();
                let id = PacketId::new(1 + (step % 60_000) as u16).filter(|_| qos != QoS::AtMostOnce);
                let payload = "x".repeat(dice.roll(4) as usize * 300);
                let message_expiry_interval_s = (dice.roll(3) == 0).then_some(1);
                let properties =
                    PublishProperties { message_expiry_interval_s, ..PublishProperties::default() };
                let retain = dice.roll(4) == 0;
                let packet = Publish { properties, retain, ..publish(topic, &payload, qos, id) };
                s.packet(client, &Packet::Publish(packet));
            }
        }
        there.iter_mut().for_each(|client| *client = client.filter(|client| !s.is_closed(*client)));
    }
    s
}

fn kept_config() -> Config {
    Config { store_epoch_ms: Some(1_700_000_000_000), ..Config::default() }
}

#[test]
fn after_a_random_run_the_books_and_the_counters_agree() {
    let mut causes = BTreeMap::new();
    for seed in 1..=12 {
        let counted = check(&random_run(seed));
        counted.into_iter().for_each(|(cause, count)| *causes.entry(cause).or_default() += count);
    }
    let seen: Vec<&str> =
        causes.iter().filter(|(_, count): &(_, &u64)| **count > 0).map(|(cause, _)| *cause).collect();
    for cause in [
        "dropped_queue_messages",
        "dropped_queue_memory",
        "dropped_offline_qos0",
        "dropped_expired",
        "dropped_purged",
        "dropped_session_ended",
        "dropped_refused_by_client",
        "refused_publish_retain_messages",
        "refused_publish_retain_bytes",
    ] {
        assert!(seen.contains(&cause), "the runs lose nothing by {cause}: {seen:?}");
    }
}

/// A client goes away, and so many messages wait for it on two topics, by far the most of them with the store alone.
fn two_topics_wait(expiry_s: Option<u32>) -> Script {
    let mut s = kept();
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "a/#", 1);
    s.disconnect(client, ReasonCode::Success);
    let publisher = s.join("p");
    let properties =
        || PublishProperties { message_expiry_interval_s: expiry_s, ..PublishProperties::default() };
    let payload = "x".repeat(1000);
    for n in 1..=100 {
        let topic = if n % 4 == 0 { "a/lamp" } else { "a/door" };
        let packet = publish(topic, &payload, QoS::AtLeastOnce, PacketId::new(n));
        s.packet(publisher, &Packet::Publish(Publish { properties: properties(), ..packet }));
    }
    s.settle();
    assert!(s.shards[0].gauges().queued_away_bytes > 80 * payload.len());
    s
}

/// A log tells of many messages, of most of which nobody is owed any more when it has been read.
#[test]
fn what_was_taken_long_ago_leaves_room_for_the_topics_of_what_waits() {
    let mut s = kept();
    let taker = s.join_for_an_hour("taker");
    s.subscribe(taker, "#", 1);
    let publisher = s.join("p");
    let long = "x".repeat(90);
    for n in 0..60_000_u32 {
        s.publish_qos(publisher, &format!("{n:06}{long}"), "", 1, 1);
        s.packet(taker, &Packet::Puback(ack(u16::try_from(n % 65_535).unwrap() + 1)));
        s.hear(taker);
        s.hear(publisher);
    }
    s.disconnect(taker, ReasonCode::Success);
    s.publish_qos(publisher, &format!("waits/{long}"), "", 1, 1);
    s.settle();
    s.crash();
    assert_eq!(s.act(0, Act::PurgeQueue { client_id: "taker".into() }).count, 1);
    assert_eq!(told(&clients(&s, 0)[0].topics), [format!("1 purged waits/{long} 0-0")]);
}

/// All at once are under way to clients that take them a moment later, and more than has room for its topics.
#[test]
fn what_was_under_way_at_one_moment_leaves_room_for_the_topics_of_what_waits() {
    const EACH: u16 = 1000;
    let limits = Limits { inflight_max: EACH, ..Limits::default() };
    let mut s = Script::new(Config { store_epoch_ms: Some(1_700_000_000_000), limits, ..Config::default() });
    let away = s.join_for_an_hour("away");
    s.subscribe(away, "waits/#", 1);
    s.disconnect(away, ReasonCode::Success);
    let publisher = s.join("p");
    let takers: Vec<Client> = (0..60).map(|n| s.join_for_an_hour(&format!("taker{n}"))).collect();
    let long = "x".repeat(80);
    for (number, taker) in takers.iter().enumerate() {
        s.subscribe(*taker, &format!("{number:02}/#"), 1);
        for n in 0..EACH {
            s.publish_qos(publisher, &format!("{number:02}/{n:04}/{long}"), "", 1, 1);
        }
        s.hear(publisher);
    }
    s.publish_qos(publisher, &format!("waits/{long}"), "", 1, 1);
    for taker in takers {
        assert!(s.hear(taker).len() > usize::from(EACH));
        (1..=EACH).for_each(|packet_id| s.packet(taker, &Packet::Puback(ack(packet_id))));
    }
    s.crash();
    assert_eq!(s.act(0, Act::PurgeQueue { client_id: "away".into() }).count, 1);
    assert_eq!(told(&clients(&s, 0)[0].topics), [format!("1 purged waits/{long} 0-0")]);
}

type Lose = fn(&mut Script);

#[test]
fn what_the_store_alone_has_is_lost_under_its_topic() {
    let ways: [(&str, Option<u32>, Lose); 3] = [
        ("purged", None, |s| assert_eq!(s.act(0, Act::PurgeQueue { client_id: "c".into() }).count, 100)),
        ("session_ended", None, |s| assert_eq!(s.act(0, Act::EndSession { client_id: "c".into() }).count, 1)),
        ("expired", Some(5), |s| s.pass(Duration::from_secs(6))),
    ];
    for (cause, expiry_s, lose) in ways {
        for crashes in [false, true] {
            let mut s = two_topics_wait(expiry_s);
            if crashes {
                s.crash();
            }
            assert!(s.shards[0].gauges().stored_topics_bytes > 0);
            lose(&mut s);
            let lost = clients(&s, 0).remove(0).topics;
            let mut lost: Vec<_> =
                lost.iter().map(|loss| (loss.topic.as_deref(), loss.cause.word(), loss.count)).collect();
            lost.sort_unstable();
            assert_eq!(lost, [(Some("a/door"), cause, 75), (Some("a/lamp"), cause, 25)], "{crashes}");
            s.settle();
            assert_eq!(s.shards[0].gauges().stored_topics_bytes, 0, "nobody needs them any more");
            check(&s);
        }
    }
}

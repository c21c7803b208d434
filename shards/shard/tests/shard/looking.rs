//! What is seen from outside, and what an operator has done.

use std::collections::BTreeMap;

use mqtt::{Packet, Publish, QoS, ReasonCode, SubscriptionOptions};
use shard::{
    Act, Acted, Cause, ClientWhole, Config, Direction, Kept, Limits, Look, Matching, Page, Placement,
    QueueSeen, Seen,
};

use crate::{
    keeping::{come_back, kept},
    script::{Script, connect, options, publish},
};

fn clients(s: &Script, matching: Matching, after: Option<u64>, most: usize) -> Page<String> {
    match s.look(0, &Look::Clients { matching, after, most }) {
        Seen::Clients(Page { rows, next }) => {
            Page { rows: rows.iter().map(|row| row.client_id.to_string()).collect(), next }
        }
        other => panic!("{other:?}"),
    }
}

fn whole(s: &Script, client_id: &str) -> Option<ClientWhole> {
    whole_with(s, client_id, 2)
}

fn whole_with(s: &Script, client_id: &str, most: usize) -> Option<ClientWhole> {
    match s.look(0, &Look::Client { client_id: client_id.into(), most }) {
        Seen::Client(client) => client.map(|client| *client),
        other => panic!("{other:?}"),
    }
}

fn retained(s: &Script, filter: &str) -> Vec<String> {
    match s.look(0, &Look::Retained { filter: filter.into(), after: None, most: 100 }) {
        Seen::Retained { messages, next: None } => {
            messages.iter().map(|message| message.topic().to_owned()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn clients_are_seen_page_by_page_by_name_and_by_whether_they_are_there() {
    let mut s = Script::of_one();
    for name in ["pump-1", "pump-2", "valve-1"] {
        s.join_for_an_hour(name);
    }
    let away = s.join_for_an_hour("valve-2");
    s.disconnect(away, ReasonCode::Success);
    let all = clients(&s, Matching::default(), None, 3);
    assert_eq!(all, Page { rows: ["pump-1", "pump-2", "valve-1"].map(String::from).into(), next: Some(2) });
    let rest = clients(&s, Matching::default(), all.next, 3);
    assert_eq!(rest, Page { rows: vec!["valve-2".to_owned()], next: None });
    let pumps = Matching { client_id: Some("pump".into()), ..Matching::default() };
    assert_eq!(clients(&s, pumps, None, 9).rows, ["pump-1", "pump-2"]);
    let absent = Matching { is_connected: Some(false), ..Matching::default() };
    assert_eq!(clients(&s, absent, None, 9).rows, ["valve-2"]);
}

#[test]
fn a_page_that_finds_nothing_in_its_share_of_work_goes_on() {
    let mut s = Script::of_one();
    for n in 0..5000 {
        s.join(&format!("c{n}"));
    }
    let last = Matching { client_id: Some("c4999".into()), ..Matching::default() };
    let first = clients(&s, last.clone(), None, 10);
    assert!(first.rows.is_empty());
    assert_eq!(clients(&s, last, first.next, 10), Page { rows: vec!["c4999".to_owned()], next: None });
}

/// All pages of them, with the names in each.
fn subscriptions(s: &Script, filter: Option<&str>, most: usize) -> Vec<Vec<String>> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let filter = filter.map(Box::from);
        let look = Look::Subscriptions { matching: Matching::default(), filter, after, most };
        let Seen::Subscriptions(page) = s.look(0, &look) else { panic!("another question's answer") };
        pages.push(page.rows.iter().map(|row| row.filter.to_string()).collect());
        assert!(page.next.is_none() || page.next > after, "it goes on");
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

#[test]
fn a_page_of_subscriptions_ends_within_a_session() {
    let mut s = Script::of_one();
    for (name, filters) in [("few", 3), ("many", 50), ("none", 0), ("one", 1)] {
        let client = s.join(name);
        (0..filters).for_each(|n| {
            s.subscribe(client, &format!("{name}/{n:02}"), 0);
        });
    }
    for most in [1, 2, 7, 1000] {
        let pages = subscriptions(&s, None, most);
        assert!(pages.iter().all(|page| page.len() <= most));
        let mut all = pages.concat();
        assert_eq!(all.len(), 54, "{most} at a time");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 54, "{most} at a time");
    }
    assert_eq!(subscriptions(&s, Some("many/4"), 4).concat().len(), 10);
}

#[test]
fn a_page_ends_when_its_names_are_long() {
    let mut s = Script::of_one();
    let long = "x".repeat(60_000);
    let client = s.join(&format!("c{long}"));
    (0..40).for_each(|n| {
        s.subscribe(client, &format!("{n:02}{long}"), 0);
    });
    let pages = subscriptions(&s, None, 1000);
    // With the client id that stands in each of them.
    assert!(pages.iter().all(|page| page.len() <= 3), "{:?}", pages.iter().map(Vec::len).collect::<Vec<_>>());
    assert_eq!(pages.concat().len(), 40);
    let whole = whole_with(&s, &format!("c{long}"), 1000).unwrap();
    assert_eq!((whole.subscriptions.len(), whole.client.subscriptions), (3, 40));
    for n in 0..40 {
        s.join(&format!("d{n}{long}"));
    }
    assert_eq!(clients(&s, Matching::default(), None, 1000).rows.len(), 5);
}

#[test]
fn what_is_read_of_long_names_counts_as_work() {
    let mut s = Script::of_one();
    let long = "x".repeat(60_000);
    let client = s.join("c");
    (0..40).for_each(|n| {
        s.subscribe(client, &format!("{n:02}{long}"), 0);
    });
    let pages = subscriptions(&s, Some("nowhere"), 1000);
    assert!(pages.len() >= 8, "{} pages", pages.len());
    (0..40).for_each(|n| {
        s.join(&format!("d{n}{long}"));
    });
    let nobody = Matching { client_id: Some("nobody".into()), ..Matching::default() };
    let first = clients(&s, nobody, None, 1000);
    assert!(first.rows.is_empty() && first.next.is_some_and(|next| next < 10), "{:?}", first.next);
}

#[test]
fn a_client_is_seen_with_what_it_holds() {
    let mut s = Script::new(Config::default());
    let mut wanted = connect("c");
    wanted.clean_start = false;
    wanted.keep_alive_s = 30;
    wanted.properties.session_expiry_interval_s = Some(60);
    wanted.properties.receive_maximum = Some(1);
    let (client, _) = s.connect(&wanted);
    s.subscribe_with(client, "a/#", options(2), Some(7));
    s.subscribe(client, "$share/g/b", 1);
    s.secs(5);
    let publisher = s.join("p");
    for n in 1..=4 {
        s.publish_qos(publisher, "a/b", &format!("{n}"), 1, n);
    }
    let seen = whole(&s, "c").unwrap();
    let link = seen.client.link.clone().unwrap();
    assert_eq!((link.keep_alive_s, link.receive_maximum, link.connected_for.as_secs()), (30, 1, 5));
    assert_eq!((seen.client.inflight, seen.client.queued, seen.client.subscriptions), (1, 3, 2));
    let filters: Vec<_> =
        seen.subscriptions.iter().map(|held| (&*held.filter, held.subscription_id)).collect();
    assert_eq!(filters, [("a/#", 7), ("$share/g/b", 0)]);
    assert_eq!(seen.subscriptions[1].options, SubscriptionOptions { qos: QoS::AtLeastOnce, ..options(1) });
    assert_eq!(seen.queue.len(), 2, "no more than asked for");
    assert_eq!((&*seen.inflight[0].topic, seen.inflight[0].packet_id), ("a/b", Some(1)));
    s.disconnect(client, ReasonCode::Success);
    s.secs(20);
    let seen = whole(&s, "c").unwrap().client;
    assert_eq!((seen.link, seen.ends_in.map(|left| left.as_secs())), (None, Some(40)));
    assert_eq!(whole(&s, "nobody"), None);
}

#[test]
fn a_queue_is_seen_page_by_page_and_found_by_its_length() {
    let mut s = Script::of_one();
    for name in ["full", "idle"] {
        let client = s.join_for_an_hour(name);
        s.subscribe(client, &format!("{name}/#"), 1);
        s.disconnect(client, ReasonCode::Success);
    }
    let publisher = s.join("p");
    for n in 1..=5 {
        s.publish_qos(publisher, &format!("full/{n}"), "x", 1, n);
    }
    let page = |after, most| match s.look(0, &Look::Queue { client_id: "full".into(), after, most }) {
        Seen::Queue(Some(QueueSeen { page, away: 0 })) => {
            (page.rows.iter().map(|row| row.topic.to_string()).collect::<Vec<_>>(), page.next)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(page(None, 2), (["full/1", "full/2"].map(String::from).into(), Some(1)));
    assert_eq!(page(Some(1), 3), (["full/3", "full/4", "full/5"].map(String::from).into(), None));
    assert_eq!(page(Some(9), 3), (vec![], None), "it has become shorter meanwhile");
    let nobody = Look::Queue { client_id: "nobody".into(), after: None, most: 1 };
    assert!(matches!(s.look(0, &nobody), Seen::Queue(None)));
    let least = |queued_least| clients(&s, Matching { queued_least, ..Matching::default() }, None, 9).rows;
    assert_eq!((least(1), least(6)), (vec!["full".to_owned()], vec![]));
}

/// All pieces together, and how many there are.
fn count(s: &Script, kept: Kept) -> (BTreeMap<String, u64>, usize) {
    let (mut counts, mut from, mut pieces) = (BTreeMap::new(), None, 0);
    loop {
        let Seen::Kept(piece) = s.look(0, &Look::Kept { kept, from }) else { panic!("a count") };
        assert!(piece.counts.iter().map(|(_, count)| count).sum::<u64>() <= 4096, "bounded work");
        pieces += 1;
        for (prefix, count) in piece.counts {
            *counts.entry(prefix.into()).or_default() += count;
        }
        from = piece.next;
        if from.is_none() {
            return (counts, pieces);
        }
    }
}

#[test]
fn what_is_kept_is_counted_by_prefix_in_pieces() {
    let mut s = Script::of_one();
    let client = s.join("c");
    for n in 0..5000 {
        s.retain(client, &format!("house/kitchen/{n}"), "x");
    }
    s.retain(client, "house/kitchen", "x");
    s.retain(client, "house/bath/x", "x");
    let expected = [("house/bath", 1), ("house/kitchen", 5001)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(count(&s, Kept::Retained), (BTreeMap::from(expected), 2));
    for n in 0..5000 {
        s.subscribe(client, &format!("plant/line/{n}"), 0);
    }
    let other = s.join("d");
    for filter in ["plant/line/#", "$share/g/plant/line/1", "#", "+/line/x"] {
        s.subscribe(other, filter, 0);
    }
    let expected =
        [("#", 1), ("+/line", 1), ("plant/line", 5002)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(count(&s, Kept::Subscriptions), (BTreeMap::from(expected), 2));
}

#[test]
fn subscriptions_are_found_by_a_part_of_their_filter() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe(client, "house/kitchen", 0);
    s.subscribe(client, "house/garage", 0);
    let look = Look::Subscriptions {
        matching: Matching::default(),
        filter: Some("kit".into()),
        after: None,
        most: 10,
    };
    let Seen::Subscriptions(Page { rows, next: None }) = s.look(0, &look) else { panic!("one page") };
    assert_eq!(rows.iter().map(|row| &*row.filter).collect::<Vec<_>>(), ["house/kitchen"]);
}

#[test]
fn an_operator_ends_a_connection_and_the_session_lives_on() {
    let mut s = Script::of_one();
    let client = s.join_for_an_hour("c");
    let act = Act::Disconnect { client_id: "c".into(), reason: ReasonCode::AdministrativeAction };
    assert_eq!(s.act(0, act.clone()).count, 1);
    assert_eq!(s.hear(client), ["DISCONNECT Administrative action"]);
    assert_eq!(s.act(0, act).count, 0, "it is away");
    assert_eq!(s.shards[0].gauges().sessions, 1);
    assert_eq!(s.act(0, Act::EndSession { client_id: "c".into() }).count, 1);
    assert_eq!(s.shards[0].gauges().sessions, 0);
    assert_eq!(s.act(0, Act::EndSession { client_id: "c".into() }).count, 0);
}

#[test]
fn an_operator_ends_a_session_that_would_end_with_its_connection() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe(client, "a", 0);
    assert_eq!(s.act(0, Act::EndSession { client_id: "c".into() }).count, 1);
    assert_eq!(s.hear(client), ["SUBACK 9 0x00", "DISCONNECT Administrative action"]);
    let gauges = s.shards[0].gauges();
    assert_eq!((gauges.sessions, gauges.subscriptions, gauges.filters), (0, 0, 0));
}

#[test]
fn what_is_purged_does_not_come_back() {
    let mut s = kept();
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "a", 1);
    s.disconnect(client, ReasonCode::Success);
    let publisher = s.join("p");
    for n in 1..=3 {
        s.publish_qos(publisher, "a", &format!("{n}"), 1, n);
    }
    assert_eq!(s.act(0, Act::PurgeQueue { client_id: "c".into() }).count, 3);
    s.settle();
    assert_eq!(s.shards[0].gauges().queued_bytes, 0);
    s.crash();
    assert_eq!(come_back(&mut s, "c").1, ["CONNACK Success present"]);
    assert_eq!(s.shards[0].gauges().stored_messages, 0);
}

#[test]
fn retained_messages_are_seen_and_dropped_by_filter() {
    let mut s = kept();
    let publisher = s.join("p");
    for topic in ["a/1", "a/2", "b/1"] {
        s.retain(publisher, topic, "x");
    }
    s.settle();
    assert_eq!(retained(&s, "a/+"), ["a/1", "a/2"]);
    let dropped = s.act(0, Act::DropRetained { filter: "a/#".into(), after: None });
    assert_eq!(dropped, Acted { count: 2, ..Acted::default() });
    s.settle();
    assert_eq!(retained(&s, "#"), ["b/1"]);
    s.crash();
    assert_eq!(retained(&s, "#"), ["b/1"]);
}

#[test]
fn an_operator_publishes_to_all_shards() {
    let mut s = Script::new(Config { shards: 3, ..Config::default() });
    let subscribers: Vec<_> = (0..4).map(|n| s.join(&format!("s{n}"))).collect();
    for subscriber in &subscribers {
        s.subscribe(*subscriber, "a", 1);
        s.hear(*subscriber);
    }
    let act = Act::Publish {
        topic: "a".into(),
        payload: (*b"x").into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        expiry_s: None,
    };
    let home = Placement::new(3, Config::default().placement_seed).topic("a").index();
    assert_eq!(s.act(home, act).count, 1);
    s.settle();
    for subscriber in subscribers {
        assert_eq!(s.hear(subscriber), ["a 'x' q1 #1"]);
    }
}

#[test]
#[should_panic(expected = "an operator publishes at the home of the topic")]
fn an_operator_publishes_nowhere_else_than_at_the_home_of_the_topic() {
    let mut s = Script::new(Config { shards: 2, ..Config::default() });
    let elsewhere = 1 - Placement::new(2, Config::default().placement_seed).topic("a").index();
    let payload = (*b"x").into();
    s.act(
        elsewhere,
        Act::Publish { topic: "a".into(), payload, qos: QoS::AtMostOnce, retain: true, expiry_s: None },
    );
}

#[test]
fn an_operator_is_told_what_is_not_retained_and_why() {
    let full = Limits { retained_messages_max: 0, ..Limits::default() };
    let lean = Limits { retained_bytes_max: 0, ..Limits::default() };
    let cases = [
        (full.clone(), true, "x", Some(Cause::PublishRetainMessages)),
        (lean, true, "x", Some(Cause::PublishRetainBytes)),
        (Limits::default(), true, "x", None),
        (full.clone(), true, "", None),
        (full, false, "x", None),
    ];
    for (limits, retain, payload, unretained) in cases {
        let mut s = Script::new(Config { shards: 2, limits, ..Config::default() });
        let listener = s.join("listener");
        s.subscribe(listener, "#", 0);
        s.hear(listener);
        let placement = Placement::new(2, Config::default().placement_seed);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            for topic in ["a", "b", "c", "d"] {
                let payload = payload.as_bytes().into();
                let act = Act::Publish { topic: topic.into(), payload, qos, retain, expiry_s: None };
                let acted = s.act(placement.topic(topic).index(), act);
                assert_eq!((acted.count, acted.refused, acted.unretained), (1, None, unretained), "{topic}");
            }
        }
        s.settle();
        assert_eq!(s.hear(listener).len(), 8, "it is delivered all the same");
        let is_kept = retain && !payload.is_empty() && unretained.is_none();
        let kept: usize = s.shards.iter().map(|shard| shard.gauges().retained_messages).sum();
        assert_eq!(kept, if is_kept { 4 } else { 0 });
    }
}

fn packets(s: &Script, client_id: &str) -> Vec<String> {
    let told = |packet: &shard::Recorded| {
        let direction = if packet.direction == Direction::Received { '<' } else { '>' };
        format!("{direction} {:?} {} {}", packet.kind, packet.packet_id, packet.topic).trim_end().to_owned()
    };
    whole(s, client_id).unwrap().packets.iter().map(told).collect()
}

#[test]
fn the_last_packets_of_a_client_are_remembered_beyond_its_connection() {
    let mut s = Script::of_one();
    let client = s.join_for_an_hour("c");
    assert_eq!(packets(&s, "c"), Vec::<String>::new(), "an idle client costs nothing");
    s.subscribe(client, "a/+", 1);
    s.publish_qos(client, "a/b", "x", 1, 5);
    s.puback(client, 1);
    let mut aliased = publish("", "y", QoS::AtMostOnce, None);
    s.packet(client, &Packet::Publish(Publish { topic: "z/long", ..with_alias(&aliased, 3) }));
    aliased = with_alias(&aliased, 3);
    s.packet(client, &Packet::Publish(aliased));
    s.disconnect(client, ReasonCode::Success);
    s.secs(3);
    let expected = [
        "< Subscribe 9 a/+",
        "> Suback 9",
        "< Publish 5 a/b",
        "> Publish 1 a/b",
        "> Puback 5",
        "< Puback 1",
        "< Publish 0 z/long",
        "< Publish 0 z/long",
        "< Disconnect 0",
    ];
    assert_eq!(packets(&s, "c"), expected);
    let client = whole(&s, "c").unwrap();
    assert_eq!(client.packets[2].ago.as_secs(), 3);
    let traffic = client.client.traffic;
    assert_eq!((traffic.packets_received, traffic.packets_sent), (6, 3));
}

fn with_alias<'a>(publish: &Publish<'a>, alias: u16) -> Publish<'a> {
    let mut publish = publish.clone();
    publish.properties.topic_alias = Some(alias);
    publish
}

#[test]
fn a_client_names_the_limit_that_it_is_nearest_to() {
    let mut config = Config::default();
    config.limits.queued_messages_max = 10;
    let mut s = Script::new(config);
    let mut wanted = connect("c");
    wanted.keep_alive_s = 100;
    wanted.properties.receive_maximum = Some(4);
    wanted.properties.session_expiry_interval_s = Some(3600);
    let (client, _) = s.connect(&wanted);
    let pressure = |s: &Script| {
        let pressure = whole(s, "c").unwrap().client.pressure;
        (pressure.limit, pressure.permille)
    };
    s.subscribe(client, "a", 1);
    s.secs(100);
    assert!(pressure(&s).1 < 5, "a client that keeps its time is near to nothing");
    s.secs(10);
    assert_eq!(pressure(&s), ("keep_alive", 200));
    s.subscribe(client, "a", 1);
    let publisher = s.join("p");
    s.publish_qos(publisher, "a", "x", 1, 1);
    assert_eq!(pressure(&s), ("receive_maximum of the client", 250));
    s.disconnect(client, ReasonCode::Success);
    for n in 2..=6 {
        s.publish_qos(publisher, "a", "x", 1, n);
    }
    assert_eq!(pressure(&s), ("session.max_queued_messages", 500));
}

#[test]
fn nothing_is_remembered_where_nothing_is_to_be() {
    let mut config = Config::default();
    config.limits.recorded_packets = 0;
    let mut s = Script::new(config);
    let client = s.join("c");
    s.subscribe(client, "a", 0);
    assert_eq!(packets(&s, "c"), Vec::<String>::new());
}

#[test]
fn how_long_the_oldest_message_is_in_flight_counts_from_its_first_sending_until_it_is_acknowledged() {
    let mut s = Script::of_one();
    let client = s.join_for_an_hour("c");
    let publisher = s.join("p");
    let age = |s: &Script| whole(s, "c").unwrap().client.inflight_for.map(|age| age.as_secs());
    s.subscribe(client, "a", 1);
    assert_eq!(age(&s), None, "there is none");
    s.publish_qos(publisher, "a", "first", 1, 1);
    s.secs(20);
    s.publish_qos(publisher, "a", "second", 1, 2);
    s.secs(10);
    assert_eq!(age(&s), Some(30));
    s.cut(client);
    s.secs(10);
    let client = s.join_for_an_hour("c");
    assert_eq!(age(&s), Some(40), "it is sent again, and still the same");
    s.puback(client, 1);
    assert_eq!(age(&s), Some(20));
    s.puback(client, 2);
    assert_eq!(age(&s), None);
}

#[test]
fn whoever_comes_again_and_again_is_seen_with_how_often() {
    let mut s = Script::of_one();
    let seen = |s: &Script| {
        let client = whole(s, "c").unwrap().client;
        (client.ended, client.taken_over)
    };
    for _ in 0..3 {
        s.join("c");
    }
    assert_eq!(seen(&s), (0, 0), "twice is not often");
    let client = s.join("c");
    assert_eq!(seen(&s), (3, 3));
    s.cut(client);
    s.join("c");
    assert_eq!(seen(&s), (4, 3));
    s.secs(1300);
    assert_eq!(seen(&s), (0, 0));
}

//! A store without room, for now or for good.

use std::collections::BTreeMap;

use mqtt::{Connect, Packet, QoS, Version, Will, WillProperties};
use shard::{Act, Acted, Cause, Config, Event, Flow, Look, Outcome, Reading, Why};

use crate::{
    failing,
    keeping::{absent, come_back},
    losing::{check, lost, told},
    rates::{flood, of_client},
    script::{Client, Script, connect, options},
    why::{ask, question, told as steps},
};

#[test]
fn a_store_without_room_refuses_what_it_would_have_to_store_and_nothing_else() {
    let (mut s, publisher) = absent(1);
    let listener = s.join("listener");
    s.subscribe(listener, "a", 0);
    s.hear(listener);
    s.event(0, Event::StoreRoom { bytes: 0, grows: false });
    assert_eq!(s.shards[0].gauges().store_full, 1);
    s.publish_qos(publisher, "a", "refused", 1, 1);
    s.publish_qos(publisher, "a", "refused as well", 2, 2);
    s.publish(publisher, "a", "passes");
    s.retain(publisher, "a", "passes, and is not retained");
    assert_eq!(s.hear(publisher), ["PUBACK 1 Quota exceeded", "PUBREC 2 Quota exceeded"]);
    assert_eq!(s.hear(listener), ["a 'passes'", "a 'passes, and is not retained'"]);
    assert_eq!(s.shards[0].gauges().retained_messages, 0);
    assert_eq!(come_back(&mut s, "new").1, ["CONNACK Quota exceeded"]);
    assert_eq!(s.counter("refused_store_full"), 1);
    let (old, _) = come_back(&mut s, "s");
    s.subscribe_with(old, "b", options(1), None);
    assert_eq!(s.hear(old), ["SUBACK 9 0x97"]);
    s.unsubscribe(old, "a");
    s.subscribe_with(listener, "b", options(1), None);
    assert_eq!(s.hear(listener), ["SUBACK 9 0x01"], "its session is not stored");
    s.event(0, Event::StoreRoom { bytes: 1 << 30, grows: true });
    s.settle();
    assert_eq!(s.shards[0].gauges().store_full, 0);
    s.publish_qos(publisher, "a", "again", 1, 3);
    assert_eq!(s.hear(publisher), ["PUBACK 3"]);
    assert!(s.notes.contains(&"StoreFull".to_owned()) && s.notes.contains(&"StoreHasRoom".to_owned()));
}

#[test]
fn a_retained_message_that_the_store_has_no_room_for_is_lost_by_that_cause() {
    let (mut s, publisher) = absent(1);
    s.event(0, Event::StoreRoom { bytes: 0, grows: false });
    s.retain(publisher, "k/1", "x");
    s.retain(publisher, "k/1", "y");
    s.publish(publisher, "k/2", "not to be retained");
    assert_eq!(check(&s), BTreeMap::from([("refused_publish_retain_store_full", 2)]));
    let losses = lost(&s, "p").expect("two are not kept");
    assert_eq!(told(&losses.topics), ["2 publish_retain_store_full k/1 0-0"]);
    s.event(0, Event::StoreRoom { bytes: 1 << 30, grows: true });
    s.retain(publisher, "k/1", "z");
    assert_eq!((check(&s).len(), s.shards[0].gauges().retained_messages), (1, 1), "there is room again");
}

#[test]
fn a_client_that_cannot_be_told_waits_until_the_store_has_room() {
    let (mut s, _) = absent(1);
    let mut wanted = connect("p3");
    wanted.version = Version::V311;
    let (publisher, _) = s.connect(&wanted);
    s.event(0, Event::StoreRoom { bytes: 0, grows: false });
    s.publish(publisher, "a", "passes");
    s.publish_qos(publisher, "a", "waits", 1, 1);
    s.packet(publisher, &Packet::Pingreq);
    assert_eq!(s.hear(publisher), Vec::<String>::new());
    assert_eq!(s.reading(publisher), Reading::Paused);
    s.event(0, Event::StoreRoom { bytes: 1 << 30, grows: true });
    s.settle();
    assert_eq!(s.hear(publisher), ["PUBACK 1", "PINGRESP"]);
    assert_eq!(s.reading(publisher), Reading::Continuous);
    assert_eq!(come_back(&mut s, "s").1[1..], ["a 'waits' q1 #1"]);
}

#[test]
fn whoever_publishes_waits_while_room_is_coming_and_is_refused_when_none_comes() {
    for comes in [true, false] {
        let (mut s, publisher) = absent(1);
        let mut wanted = connect("p3");
        wanted.version = Version::V311;
        let (elder, _) = s.connect(&wanted);
        let retainer = s.join("retainer");
        let listener = s.join("listener");
        s.subscribe(listener, "a", 0);
        s.hear(listener);
        s.event(0, Event::StoreRoom { bytes: 0, grows: true });
        s.publish(publisher, "a", "passes");
        assert_eq!(s.hear(listener), ["a 'passes'"]);
        s.publish_qos(publisher, "a", "new", 1, 1);
        s.publish_qos(elder, "a", "elder", 2, 1);
        s.retain(retainer, "a", "retained");
        for conn in [publisher, elder, retainer] {
            assert_eq!(s.hear(conn), Vec::<String>::new());
            assert_eq!(s.reading(conn), Reading::Paused);
        }
        assert_eq!(come_back(&mut s, "other").1, ["CONNACK Success"], "what is small finds room");
        let before = s.counter("refused_publish_store_full");
        let bytes = if comes { 1 << 30 } else { 0 };
        s.event(0, Event::StoreRoom { bytes, grows: false });
        s.settle();
        assert_eq!(s.reading(publisher), Reading::Continuous);
        if comes {
            assert_eq!(s.hear(publisher), ["PUBACK 1"]);
            assert_eq!(s.hear(elder), ["PUBREC 1"]);
            assert_eq!(s.counter("refused_publish_store_full"), before);
            assert!(!s.notes.contains(&"StoreFull".to_owned()));
        } else {
            assert_eq!(s.hear(publisher), ["PUBACK 1 Quota exceeded"]);
            assert_eq!(s.reading(elder), Reading::Paused);
        }
        assert_eq!(s.shards[0].gauges().retained_messages, usize::from(comes));
    }
}

fn order(qos: QoS, retain: bool) -> Act {
    order_on("a", qos, retain)
}

fn order_on(topic: &str, qos: QoS, retain: bool) -> Act {
    Act::Publish { topic: topic.into(), payload: (*b"x").into(), qos, retain, expiry_s: None }
}

fn with_will(s: &mut Script, client_id: &str) -> Client {
    let properties = WillProperties::default();
    let will = Will { qos: QoS::AtLeastOnce, retain: true, topic: "a", payload: b"gone", properties };
    s.connect(&Connect { will: Some(will), ..connect(client_id) }).0
}

fn lose_the_store(s: &mut Script, is_full: bool) {
    s.event(0, if is_full { Event::StoreRoom { bytes: 0, grows: false } } else { Event::StoreFailed });
}

#[test]
fn what_is_published_for_an_operator_is_refused_where_it_cannot_be_stored() {
    for (is_full, words) in [(true, "the store is full"), (false, "the store has failed")] {
        let (mut s, _) = absent(1);
        let listener = s.join("listener");
        s.subscribe(listener, "a", 0);
        s.hear(listener);
        lose_the_store(&mut s, is_full);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let acted = s.act(0, order(qos, true));
            assert!(acted.refused.is_some_and(|why| why.starts_with(words)), "{acted:?}");
        }
        assert_eq!(s.hear(listener), Vec::<String>::new());
        let unretained =
            Some(if is_full { Cause::PublishRetainStoreFull } else { Cause::PublishRetainStoreFailed });
        let acted = s.act(0, order(QoS::AtMostOnce, true));
        assert_eq!(acted, Acted { count: 1, unretained, ..Acted::default() });
        assert_eq!(s.hear(listener), ["a 'x'"]);
        assert_eq!(s.shards[0].gauges().retained_messages, 0);
        let causes = if is_full {
            [(Cause::PublishRetainStoreFull, 1), (Cause::PublishStoreFull, 2)]
        } else {
            [(Cause::PublishRetainStoreFailed, 1), (Cause::PublishStoreFailed, 2)]
        };
        let lost = check(&s).into_iter().filter(|(name, _)| name.starts_with("refused_"));
        assert_eq!(lost.collect::<Vec<_>>(), causes.map(|(cause, count)| (cause.counter(), count)));
    }
}

#[test]
fn an_operator_is_told_of_a_message_when_every_shard_has_stored_it() {
    for shards in [1, 2] {
        let (mut s, _, subscriber) = failing::absent(shards);
        let subscriber = s.join_for_an_hour(&subscriber);
        s.subscribe(subscriber, "b/#", 2);
        s.cut(subscriber);
        let topic = Script::ids_by_home(&Config { shards, ..Config::default() }, "b/").remove(0);
        let order = |qos| order_on(&topic, qos, false);
        s.disk_is_slow = true;
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut acted = s.act(0, order(qos));
            assert!(!s.shards[0].is_settled(&mut acted), "{shards} shards, {qos:?}");
            assert!(s.store(usize::from(shards) - 1), "where the subscriber is");
            s.settle();
            assert!(s.shards[0].is_settled(&mut acted));
            assert_eq!(acted.refused, None);
        }
        let mut passes = s.act(0, order(QoS::AtMostOnce));
        assert!(s.shards[0].is_settled(&mut passes));
        let mut acted = s.act(0, order(QoS::AtLeastOnce));
        s.event(0, Event::StoreFailed);
        s.settle();
        assert!(s.shards[0].is_settled(&mut acted));
        assert!(acted.refused.is_some_and(|why| why.starts_with("the store has failed")));
    }
}

#[test]
fn what_is_published_for_an_operator_in_a_drain_is_refused() {
    let (mut s, _) = absent(1);
    s.event(0, Event::Drain);
    assert!(s.act(0, order(QoS::AtMostOnce, false)).refused.is_some());
}

#[test]
fn a_will_that_is_published_and_cannot_be_stored_is_counted() {
    for is_full in [true, false] {
        let (mut s, _) = absent(1);
        let listener = s.join("listener");
        s.subscribe(listener, "a", 1);
        s.hear(listener);
        let mortal = with_will(&mut s, "mortal");
        lose_the_store(&mut s, is_full);
        s.cut(mortal);
        assert_eq!(s.hear(listener), ["a 'gone' q1 #1"]);
        let cause = if is_full { Cause::PublishWillStoreFull } else { Cause::PublishWillStoreFailed };
        assert_eq!(check(&s).get(cause.counter()), Some(&1));
    }
}

#[test]
fn a_failed_store_is_not_told_as_a_full_one() {
    for (is_full, counter, limit, words) in [
        (true, "refused_publish_store_full", "refused_subscription_store_full", "the store is full"),
        (false, "refused_publish_store_failed", "refused_subscription_store_failed", "the store has failed"),
    ] {
        let (mut s, publisher) = absent(1);
        let lasting = s.join_for_an_hour("lasting");
        lose_the_store(&mut s, is_full);
        s.publish_qos(publisher, "a", "refused", 1, 1);
        s.subscribe_with(lasting, "b", options(1), None);
        assert_eq!((s.counter(counter), s.counter(limit)), (1, 1));
        let because = ask(&s, &Look::WhyPublish(Box::new(question("p", "a"))));
        assert_eq!(because.outcome, Outcome::Stops);
        assert!(because.steps.iter().any(|step| step.text.starts_with(words)), "{because:?}");
    }
}

const FULL: &str = "the store is full: only QoS 0 is taken in until there is room on its disk";

#[test]
fn who_names_no_publisher_is_told_that_nothing_is_taken_in_that_would_be_stored() {
    let (mut s, _) = absent(1);
    let receive = |s: &Script, question| ask(s, &Look::WhyReceive(Box::new(question)));
    assert_eq!(receive(&s, question("s", "a")).outcome, Outcome::Waits);
    lose_the_store(&mut s, true);
    let because = receive(&s, question("s", "a"));
    let expected =
        format!("no: {FULL}; whoever publishes by 5.0 is refused with 0x97, and others wait [store]");
    assert_eq!((because.outcome, steps(&because, "store")), (Outcome::Stops, vec![expected]));
    let because = receive(&s, question("s", "of nobody"));
    assert_eq!((because.outcome, steps(&because, "store").len()), (Outcome::Misses, 1));
    let at_most_once = Why { qos: QoS::AtMostOnce, ..question("s", "a") };
    assert_eq!(steps(&receive(&s, at_most_once.clone()), "store"), Vec::<String>::new());
    let retained = receive(&s, Why { retain: true, ..at_most_once });
    assert_eq!(steps(&retained, "store"), [format!("fact: {FULL}, and it is not retained [store]")]);
    let named = receive(&s, Why { other: Some("p".into()), ..question("s", "a") });
    assert_eq!((named.outcome, steps(&named, "store").len()), (Outcome::Waits, 0), "its publisher is asked");
}

#[test]
fn a_publisher_at_its_rate_is_told_of_a_full_store_as_well() {
    for (version, says, outcome) in
        [(Version::V5, "no", Outcome::Stops), (Version::V311, "later", Outcome::Waits)]
    {
        let config = Config { store_epoch_ms: Some(0), ..of_client(Flow::PublishMessages, 5) };
        let mut s = Script::new(config);
        let (client, _) = s.connect(&Connect { version, ..connect("c") });
        lose_the_store(&mut s, true);
        let publish = |s: &Script, question| ask(s, &Look::WhyPublish(Box::new(question)));
        let because = publish(&s, question("c", "a"));
        let expected = (outcome, vec![format!("{says}: {FULL} [store]")]);
        assert_eq!((because.outcome, steps(&because, "store")), expected, "before it has sent anything");
        flood(&mut s, client, "a", 20);
        let because = publish(&s, question("c", "a"));
        assert_eq!((because.outcome, steps(&because, "store")), expected);
        assert_eq!(steps(&because, "rates").len(), 1, "{because:?}");
        let unstored = Why { qos: QoS::AtMostOnce, retain: true, ..question("c", "a") };
        let because = publish(&s, unstored);
        assert_eq!(because.outcome, Outcome::Waits, "for its rate");
        assert_eq!(steps(&because, "store"), [format!("fact: {FULL}, and it is not retained [store]")]);
    }
}

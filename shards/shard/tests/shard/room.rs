//! A store without room, for now or for good.

use std::collections::BTreeMap;

use mqtt::{Packet, Version};
use shard::{Event, Reading};

use crate::{
    keeping::{absent, come_back},
    losing::{check, lost, told},
    script::{connect, options},
};

#[test]
fn a_store_without_room_refuses_what_it_would_have_to_store_and_nothing_else() {
    let (mut s, publisher) = absent(1);
    let listener = s.join("listener");
    s.subscribe(listener, "a", 0);
    s.hear(listener);
    s.event(0, Event::StoreRoom { bytes: 0, grows: false });
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

//! The retained messages against a plain map, and paging against what stays put meanwhile.

use std::collections::BTreeMap;

use mqtt::QoS;
use proptest::prelude::*;

use super::*;
use crate::message::Parts;

fn message(topic: &str, payload: &[u8], expires_at: Option<u64>) -> Message {
    Message::new(&Parts {
        topic,
        qos: QoS::AtLeastOnce,
        retain: true,
        expires_at: expires_at.map(Instant::from_nanos),
        retained_id: None,
        forwarded: &[],
        payload,
    })
}

fn unlimited() -> Retained {
    Retained::new(usize::MAX, usize::MAX)
}

fn store_of(topics: &[&str]) -> Retained {
    let mut retained = unlimited();
    for topic in topics {
        assert_eq!(retained.set(message(topic, b"x", None)), Set::Stored);
    }
    retained
}

/// All pages, and how many there were.
fn pages(retained: &Retained, filter: &str, messages_max: usize) -> (Vec<String>, usize) {
    let mut topics = Vec::new();
    let mut after: Option<Box<str>> = None;
    for count in 1.. {
        let page = retained.page(filter, after.as_deref(), messages_max, Instant::START);
        topics.extend(page.messages.iter().map(|message| message.topic().to_owned()));
        if page.next.is_none() {
            return (topics, count);
        }
        assert!(page.next > after, "every page gets on");
        after = page.next;
    }
    unreachable!("the loop ends with the last page")
}

fn matching(retained: &Retained, filter: &str) -> Vec<String> {
    pages(retained, filter, usize::MAX).0
}

#[test]
fn an_empty_payload_clears_and_is_not_stored() {
    let mut retained = unlimited();
    assert_eq!(retained.set(message("a", b"", None)), Set::Nothing);
    assert_eq!(retained.set(message("a", b"1", Some(9))), Set::Stored);
    assert_eq!(retained.set(message("a", b"22", Some(5))), Set::Replaced);
    assert_eq!(retained.get("a").map(Message::payload), Some(&b"22"[..]));
    assert_eq!(retained.next_expiry(), Some(Instant::from_nanos(5)));
    assert_eq!(retained.set(message("a", b"", Some(5))), Set::Cleared);
    assert!(retained.is_empty());
    assert_eq!((retained.bytes(), retained.next_expiry()), (0, None));
}

#[test]
fn a_message_beyond_a_limit_is_refused_and_takes_the_older_one_with_it() {
    let weight = message("a", b"1", None).weight();
    let mut retained = Retained::new(2, 2 * weight + 1);
    assert_eq!(retained.set(message("a", b"1", None)), Set::Stored);
    assert_eq!(retained.set(message("b", b"1", None)), Set::Stored);
    assert_eq!(retained.set(message("c", b"1", None)), Set::Refused(Cause::PublishRetainMessages));
    assert_eq!(retained.set(message("b", b"22", None)), Set::Replaced);
    assert_eq!(retained.set(message("b", b"333", None)), Set::Refused(Cause::PublishRetainBytes));
    assert!(retained.get("b").is_none());
    assert_eq!((retained.len(), retained.bytes()), (1, weight));
}

#[test]
fn what_is_restored_stays_beyond_the_limits_and_only_what_grows_is_refused() {
    let weight = message("a", b"22", None).weight();
    let mut retained = Retained::new(1, weight);
    for topic in ["a", "b"] {
        retained.restore(message(topic, b"22", Some(7)));
    }
    assert!(retained.is_beyond_limits());
    assert_eq!((retained.len(), retained.bytes()), (2, 2 * weight));
    assert_eq!(retained.set(message("c", b"1", None)), Set::Refused(Cause::PublishRetainMessages));
    assert_eq!(retained.set(message("a", b"33", None)), Set::Replaced);
    assert_eq!(retained.set(message("b", b"1", None)), Set::Replaced);
    assert_eq!(retained.set(message("b", b"22", None)), Set::Refused(Cause::PublishRetainBytes));
    assert!(!retained.is_beyond_limits());
}

#[test]
fn filters_find_topics_among_their_look_alikes() {
    // `!` sorts before `/`, and `0` behind it.
    let topics =
        ["$SYS/x", "/", "a", "a!", "a!/b", "a/!", "a/", "a/b", "a/b!", "a/b/c", "a/b0", "a0", "a0/b", "b"];
    let retained = store_of(&topics);
    for filter in [
        "#",
        "+",
        "+/#",
        "+/+",
        "/#",
        "/+",
        "a",
        "a/#",
        "a/+",
        "a/+/#",
        "a/b/#",
        "+/b",
        "+/b/#",
        "+/+/c",
        "a/+/c",
        "$SYS/#",
        "$SYS/+",
        "+/x",
        "a/b/c/#",
        "a/b/c/+",
        "nothing/#",
        "a/+/nothing",
    ] {
        let mut expected: Vec<&str> =
            topics.iter().copied().filter(|topic| mqtt::matches(filter, topic)).collect();
        expected.sort_unstable();
        assert_eq!(matching(&retained, filter), expected, "{filter}");
    }
}

#[test]
fn expired_messages_are_not_found_and_go_in_the_order_of_their_expiry() {
    let mut retained = unlimited();
    for (topic, at) in [("a/1", 30), ("a/2", 10), ("a/3", 20), ("a/4", 10)] {
        retained.set(message(topic, b"x", Some(at)));
    }
    retained.set(message("a/5", b"x", None));
    let page = retained.page("a/#", None, 10, Instant::from_nanos(20));
    assert_eq!(page.messages.iter().map(Message::topic).collect::<Vec<_>>(), ["a/1", "a/5"]);
    assert_eq!(retained.expire(Instant::from_nanos(9), 10).len(), 0);
    assert_eq!(retained.expire(Instant::from_nanos(20), 2).len(), 2);
    assert!(retained.get("a/2").is_none() && retained.get("a/4").is_none());
    assert_eq!(retained.next_expiry(), Some(Instant::from_nanos(20)));
    assert_eq!(retained.expire(Instant::from_nanos(40), 10).len(), 2);
    assert_eq!((retained.len(), retained.next_expiry()), (1, None));
}

#[test]
fn the_cost_of_a_filter_follows_its_matches() {
    let mut retained = unlimited();
    for x in 0..100 {
        for y in 0..500 {
            retained.set(message(&format!("a/{x}/other/{y}"), b"x", None));
            retained.set(message(&format!("z/{x}/b/{y}"), b"x", None));
        }
        retained.set(message(&format!("a/{x}/b/c"), b"x", None));
    }
    // A hundred thousand topics, a hundred matches: one page, whose work is bounded.
    let (topics, pages) = pages(&retained, "a/+/b/#", usize::MAX);
    assert_eq!((topics.len(), pages), (100, 1));
}

#[test]
fn a_page_without_a_match_ends_too() {
    let mut retained = unlimited();
    for x in 0..20_000 {
        retained.set(message(&format!("a/{x}/b"), b"x", None));
    }
    let page = retained.page("a/+/c", None, 10, Instant::START);
    assert!(page.messages.is_empty() && page.next.is_some());
    let (topics, pages) = pages(&retained, "a/+/c", 10);
    assert!(topics.is_empty());
    assert!(pages <= 20_000 * (LEAP_WORK + 2) / PAGE_WORK_MAX, "{pages} pages");
}

#[test]
fn a_page_over_long_topics_looks_at_few_of_them() {
    let mut retained = unlimited();
    let long = "x".repeat(60_000);
    for n in 0..100 {
        retained.set(message(&format!("{n:02}{long}"), b"x", None));
    }
    let of_page = PAGE_WORK_MAX * BYTES_OF_STEP / 60_000 + 1;
    for (filter, found) in [("+/nope", 0), ("#", of_page)] {
        let page = retained.page(filter, None, usize::MAX, Instant::START);
        assert_eq!(page.messages.len(), found);
        assert!(page.next.is_some_and(|next| next < format!("{:02}", of_page + 1).into()), "{filter}");
    }
    assert_eq!(matching(&retained, "#").len(), 100);
}

fn levels(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(names), 1..5).prop_map(|levels| levels.join("/"))
}

fn a_topic() -> impl Strategy<Value = String> {
    // Names that sort on either side of `/`, and that are prefixes of each other.
    levels(&["", "a", "b", "a!", "a0", "$x"])
        .prop_filter("a topic is not empty", |topic| mqtt::is_topic_name(topic))
}

fn a_filter() -> impl Strategy<Value = String> {
    let plain = || levels(&["", "a", "b", "a!", "a0", "$x", "+", "+", "+"]);
    let filter =
        prop_oneof![1 => Just("#".to_owned()), 3 => plain(), 2 => plain().prop_map(|head| head + "/#")];
    filter.prop_filter("a filter is not empty", |filter| mqtt::is_topic_filter(filter))
}

/// A topic and what to do with it: 0 clears, 1 to 9 stores without an expiry, others expire then.
fn changes(count: usize) -> impl Strategy<Value = Vec<(String, u64)>> {
    prop::collection::vec((a_topic(), 0..30u64), 0..count)
}

fn apply(retained: &mut Retained, map: &mut BTreeMap<String, Message>, topic: &str, what: u64) {
    let payload: &[u8] = if what == 0 { b"" } else { b"payload" };
    let message = message(topic, payload, (what >= 10).then_some(what));
    let expected = match (what, map.contains_key(topic)) {
        (0, true) => Set::Cleared,
        (0, false) => Set::Nothing,
        (_, true) => Set::Replaced,
        (_, false) => Set::Stored,
    };
    assert_eq!(retained.set(message.clone()), expected);
    if what == 0 {
        map.remove(topic);
    } else {
        map.insert(topic.to_owned(), message);
    }
}

fn check(retained: &Retained, map: &BTreeMap<String, Message>) {
    assert_eq!(retained.len(), map.len());
    assert_eq!(retained.bytes(), map.values().map(Message::weight).sum::<usize>());
    assert_eq!(retained.next_expiry(), map.values().filter_map(Message::expires_at).min());
}

proptest! {
    #[test]
    fn the_store_finds_what_the_definition_finds(
        changes in changes(120),
        filters in prop::collection::vec(a_filter(), 20),
        now in 0..30u64,
        page_max in 1..6usize,
        expire_max in 0..9usize,
    ) {
        let now = Instant::from_nanos(now);
        let mut retained = unlimited();
        let mut map = BTreeMap::new();
        for (topic, what) in &changes {
            apply(&mut retained, &mut map, topic, *what);
            check(&retained, &map);
        }
        for filter in &filters {
            let expected: Vec<&String> =
                map.keys().filter(|topic| mqtt::matches(filter, topic)).collect();
            let (found, _) = pages(&retained, filter, page_max);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{}", filter);
            let alive = expected.iter().filter(|topic| !map[**topic].is_expired(now)).count();
            assert_eq!(retained.page(filter, None, usize::MAX, now).messages.len(), alive);
        }
        let expired = map.values().filter(|message| message.is_expired(now)).count();
        assert_eq!(retained.expire(now, expire_max).len(), expired.min(expire_max));
        assert_eq!(retained.expire(now, usize::MAX).len(), expired - expired.min(expire_max));
        map.retain(|_, message| !message.is_expired(now));
        check(&retained, &map);
        for topic in map.keys() {
            assert_eq!(retained.set(message(topic, b"", None)), Set::Cleared);
        }
        check(&retained, &BTreeMap::new());
    }

    #[test]
    fn paging_gives_what_stays_put_exactly_once_while_others_come_and_go(
        first in changes(80),
        between in prop::collection::vec(changes(6), 40),
        filter in a_filter(),
        page_max in 1..4usize,
    ) {
        let mut retained = unlimited();
        let mut map = BTreeMap::new();
        for (topic, what) in &first {
            apply(&mut retained, &mut map, topic, *what);
        }
        // Neither cleared nor new at any time.
        let mut steady: Vec<String> = map.keys().filter(|topic| mqtt::matches(&filter, topic)).cloned().collect();
        let mut found = Vec::new();
        let mut after: Option<Box<str>> = None;
        for number in 0.. {
            let page = retained.page(&filter, after.as_deref(), page_max, Instant::START);
            found.extend(page.messages.iter().map(|message| message.topic().to_owned()));
            after = page.next;
            if after.is_none() {
                break;
            }
            for (topic, what) in between.get(number).into_iter().flatten() {
                apply(&mut retained, &mut map, topic, *what);
                if *what == 0 {
                    steady.retain(|held| held != topic);
                }
            }
        }
        assert!(found.is_sorted_by(|topic, next| topic < next), "no topic comes twice");
        assert!(found.iter().all(|topic| mqtt::matches(&filter, topic)));
        assert!(steady.iter().all(|topic| found.contains(topic)));
    }
}

//! Retained messages and the limits of what is retained.

use shard::{Config, Event, Limits};

use crate::script::{Client, Script};

fn kept(shards: u8, messages_max: usize) -> Script {
    let limits = limits(messages_max);
    Script::new(Config { shards, limits, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() })
}

fn limits(retained_messages_max: usize) -> Limits {
    Limits { retained_messages_max, ..Limits::default() }
}

fn fill(s: &mut Script, publisher: Client, count: usize) {
    (0..count).for_each(|n| s.retain(publisher, &format!("r/{n}"), "x"));
}

fn retained(s: &Script) -> usize {
    s.shards.iter().map(|shard| shard.gauges().retained_messages).sum()
}

fn has_told(s: &Script) -> bool {
    s.notes.iter().any(|note| note.starts_with("RetainedBeyondLimits"))
}

#[test]
fn what_is_retained_stays_whatever_the_number_of_shards() {
    let mut s = kept(1, 100);
    let publisher = s.join("p");
    fill(&mut s, publisher, 100);
    assert!(!has_told(&s));
    for shards in [4, 3, 1] {
        s.move_to(shards);
        assert_eq!((retained(&s), s.counter("retained_refused")), (100, 0), "on {shards} shards");
        assert_eq!(has_told(&s), shards > 1, "topics are not spread evenly");
    }
}

#[test]
fn what_is_retained_stays_where_the_limit_is_lower_after_a_start() {
    let mut s = kept(1, 10);
    let publisher = s.join("p");
    fill(&mut s, publisher, 10);
    s.crash_into(limits(3));
    assert!(has_told(&s));
    let publisher = s.join("p");
    s.retain(publisher, "r/7", "y");
    s.retain(publisher, "another", "x");
    assert_eq!(retained(&s), 10, "its topic has a place, and the other finds none");
    (0..8).for_each(|n| s.retain(publisher, &format!("r/{n}"), ""));
    s.retain(publisher, "another", "x");
    s.crash();
    assert_eq!((retained(&s), has_told(&s)), (3, false));
}

#[test]
fn limits_that_are_lowered_meanwhile_take_nothing_away_and_are_told_of() {
    let mut s = kept(1, 10);
    let publisher = s.join("p");
    fill(&mut s, publisher, 10);
    let config = Config { limits: limits(3), ..Config::default() };
    s.event(0, Event::Config(Box::new(config)));
    assert!(has_told(&s));
    assert_eq!(retained(&s), 10);
}

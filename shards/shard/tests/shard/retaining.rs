//! Retained messages whose publishers lose the right to publish them.

use access::Rules;
use mqtt::{Connect, Will};
use shard::{Config, Event};

use crate::{
    permitted::{bob, config, rules},
    script::{Client, Script, connect},
};

fn change(s: &mut Script, rules: &Rules) {
    for shard in 0..s.shards.len() {
        s.event(shard, Event::Rules(Some(rules.clone())));
    }
    s.settle();
}

/// What somebody gets who subscribes now.
fn retained(s: &mut Script, subscriber: Client, filter: &str) -> Vec<String> {
    s.subscribe(subscriber, filter, 0);
    s.hear(subscriber).into_iter().filter(|line| !line.starts_with("SUBACK")).collect()
}

const MAY: &str = "{ allow = [\"publish\", \"retain\", \"will\"], topics = [\"a\", \"w\"] }";

#[test]
fn a_message_is_given_out_while_its_publisher_may_publish_it() {
    for shards in [1, 3] {
        let (may, may_not) = (rules(MAY), rules("{ allow = \"publish\", topics = \"a\" }"));
        let mut s = Script::new(Config { shards, ..config(Some(may.clone())) });
        let (ada, bob) = (s.join("ada"), bob(&mut s));
        s.retain(ada, "a", "of ada");
        s.retain(bob, "b", "of bob");
        let both = ["a 'of ada' retained", "b 'of bob' retained"];
        let mut heard = retained(&mut s, bob, "#");
        heard.sort();
        assert_eq!(heard, both);
        change(&mut s, &may_not);
        assert_eq!(retained(&mut s, bob, "#"), both[1..], "on {shards} shards");
        assert_eq!(s.counter("denied_retain_source"), 1);
        s.cut(ada);
        assert_eq!(retained(&mut s, bob, "#"), both[1..], "also when the publisher is gone");
        change(&mut s, &may);
        let mut heard = retained(&mut s, bob, "#");
        heard.sort();
        assert_eq!(heard, both, "the message was kept");
        s.retain(bob, "a", "of bob");
        s.hear(bob);
        change(&mut s, &may_not);
        let mut heard = retained(&mut s, bob, "#");
        heard.sort();
        assert_eq!(heard, ["a 'of bob' retained", both[1]], "who publishes last is the publisher");
    }
}

#[test]
fn a_will_has_its_client_for_a_publisher() {
    let mut s = Script::new(config(Some(rules(MAY))));
    let bob = bob(&mut s);
    let will = Will { topic: "w", payload: b"gone", retain: true, ..Will::default() };
    let (ada, _) = s.connect(&Connect { will: Some(will), ..connect("ada") });
    s.cut(ada);
    assert_eq!(retained(&mut s, bob, "w"), ["w 'gone' retained"]);
    change(&mut s, &rules("{ allow = \"publish\", topics = \"b\" }"));
    assert!(retained(&mut s, bob, "w").is_empty());
}

#[test]
fn what_is_gone_leaves_nothing_behind() {
    let mut s = Script::new(config(Some(rules(MAY))));
    let ada = s.join("ada");
    let held = |s: &Script| {
        let gauges = s.shards[0].gauges();
        (gauges.retained_bytes, gauges.retained_source_bytes)
    };
    let before = held(&s);
    for round in 0..3 {
        s.retain(ada, "a", &round.to_string());
        assert!(held(&s).1 > before.1 + 100, "whoever published it counts");
    }
    s.retain(ada, "a", "");
    assert_eq!(held(&s), before);
}

#[test]
fn what_is_retained_weighs_as_much_after_a_start_and_its_publishers_are_not_known_any_more() {
    let mut s = Script::new(Config { store_epoch_ms: Some(1_700_000_000_000), ..config(Some(rules(MAY))) });
    let ada = s.join("ada");
    s.retain(ada, "a", "of ada");
    let before = s.shards[0].gauges();
    assert!(before.retained_source_bytes > 0);
    s.crash();
    let after = s.shards[0].gauges();
    assert_eq!((after.retained_messages, after.retained_bytes), (1, before.retained_bytes));
    assert_eq!(after.retained_source_bytes, 0);
}

#[test]
fn where_nobody_asks_for_it_every_message_is_given_out() {
    let mut s = Script::new(Config { checks_retain_source: false, ..config(Some(rules(MAY))) });
    let (ada, bob) = (s.join("ada"), bob(&mut s));
    s.retain(ada, "a", "of ada");
    change(&mut s, &rules("{ allow = \"publish\", topics = \"b\" }"));
    assert_eq!(retained(&mut s, bob, "a"), ["a 'of ada' retained"]);
}

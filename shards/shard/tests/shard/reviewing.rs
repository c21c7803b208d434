//! Sessions with thousands of subscriptions lose their rights: all of them soon, and not so many in one turn that others wait.

use std::sync::Arc;

use access::{Fallback, Rules};
use mqtt::{Packet, PacketId, ReasonCode, Subscribe, UserProperties};
use shard::{Event, Revision, Rights};

use crate::exchanging::{auth, with_method};
use crate::regranting::{accept, config, rules};
use crate::script::{Client, Script, options};

/// Known by SCRAM as `anna`, with the role `all`, and with so many subscriptions and a will.
fn subscriber(s: &mut Script, client_id: &str, count: usize) -> Client {
    let client = s.open_by(0, false);
    let will = Some(mqtt::Will { topic: "will", ..mqtt::Will::default() });
    s.say_connect(client, &mqtt::Connect { will, ..with_method(client_id) });
    s.answer(client, accept("file", "anna", "all"));
    let filters: Vec<String> = (0..count).map(|n| format!("{client_id}/{n}")).collect();
    for filters in filters.chunks(500) {
        let filters = filters.iter().map(|filter| (&**filter, options(1))).collect();
        let (packet_id, user_properties) = (PacketId::new(1).unwrap(), UserProperties::default());
        let subscribe = Subscribe { packet_id, subscription_id: None, user_properties, filters };
        s.packet(client, &Packet::Subscribe(subscribe));
        // The retained messages of these come before those of the next.
        s.pass(std::time::Duration::from_millis(10));
    }
    s.hear(client);
    client
}

fn script() -> Script {
    Script::new(config(Some(rules())))
}

/// Nobody may do anything.
fn no_rights() -> Rules {
    Rules::builder(Fallback::Deny).build()
}

/// Lets one turn follow the other; gives back how much each of them has revoked.
fn turns(s: &mut Script) -> Vec<u64> {
    let mut before = s.counter("subscriptions_revoked");
    let turn = |_| {
        s.now = s.now + std::time::Duration::from_nanos(1);
        s.event(0, Event::Timer);
        let now = s.counter("subscriptions_revoked");
        now - std::mem::replace(&mut before, now)
    };
    (0..50).map(turn).collect()
}

type Change = fn(&mut Script, Client);

const CHANGES: [(&str, Change); 3] = [
    ("other rules", |s, _| s.event(0, Event::Rules(Some(no_rights())))),
    ("another role of the user", |s, _| {
        let rights = Rights { roles: [Arc::from("none")].into(), ..Rights::default() };
        let users = [("anna".into(), Ok(rights))].into();
        s.event(0, Event::Revised(Arc::new(Revision::Users { by: "file".into(), users })));
    }),
    ("a renewal with another role", |s, client| {
        auth(s, client, ReasonCode::Reauthenticate, "SCRAM-SHA-256", "again");
        s.answer(client, accept("file", "anna", "none"));
    }),
];

#[test]
fn ten_thousand_subscriptions_of_one_session_go_some_in_each_turn() {
    for (what, change) in CHANGES {
        let mut s = script();
        let client = subscriber(&mut s, "c", 10_000);
        assert_eq!(s.shards[0].gauges().subscriptions, 10_000);
        change(&mut s, client);
        let at_once = s.counter("subscriptions_revoked");
        assert!(at_once <= PER_TURN_MAX, "{what}: {at_once} at once");
        let revoked = turns(&mut s);
        assert!(revoked.iter().all(|count| *count <= PER_TURN_MAX), "{what}: {revoked:?}");
        assert_eq!((s.shards[0].gauges().subscriptions, s.shards[0].gauges().will_bytes), (0, 0), "{what}");
        assert_eq!(s.counter("subscriptions_revoked"), 10_000, "{what}");
        assert!(!s.is_closed(client));
    }
}

#[test]
fn changes_that_come_one_after_the_other_make_no_turn_longer() {
    let mut s = script();
    let clients: Vec<_> = ["a", "b", "c"].map(|id| subscriber(&mut s, id, 6000)).into();
    for (_, change) in CHANGES {
        clients.iter().for_each(|client| change(&mut s, *client));
    }
    let revoked = turns(&mut s);
    assert!(revoked.iter().all(|count| *count <= PER_TURN_MAX), "{revoked:?}");
    assert_eq!(s.counter("subscriptions_revoked"), 18_000);
}

#[test]
fn who_renews_while_it_is_looked_at_is_looked_at_to_the_end() {
    let mut s = script();
    let client = subscriber(&mut s, "c", 10_000);
    let (_, renew) = CHANGES[2];
    renew(&mut s, client);
    for turn in 0.. {
        assert!(turn < 50, "{} are left", s.shards[0].gauges().subscriptions);
        s.now = s.now + std::time::Duration::from_nanos(1);
        s.event(0, Event::Timer);
        if s.shards[0].gauges().subscriptions == 0 {
            break;
        }
        renew(&mut s, client);
    }
}

#[test]
fn a_few_subscriptions_go_at_once() {
    let mut s = script();
    let client = subscriber(&mut s, "c", 20);
    let (_, renew) = CHANGES[2];
    renew(&mut s, client);
    assert_eq!(s.counter("subscriptions_revoked"), 20);
}

const PER_TURN_MAX: u64 = 2048 + 512;

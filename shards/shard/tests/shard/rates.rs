//! How fast clients may be: who sends more is not read for a while or disconnected, who gets more is sent it later.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use access::{Fallback, Rules};
use shard::{
    Answer, Charge, Config, DoorConfig, DoorRates, Event, Flow, Grant, Look, Over, Rates, Reading, Seen,
    Tallies, Tally,
};

use crate::script::{Client, Script, connect};

/// As the edge keeps it.
#[derive(Debug, Default)]
pub struct Words([AtomicU64; 4]);

impl Tally for Words {
    fn due_ns(&self, flow: Flow) -> u64 {
        self.0[flow as usize].load(Ordering::Relaxed)
    }

    fn charge(&self, flow: Flow, charge: Charge) -> u64 {
        let due_ns = self.due_ns(flow);
        self.0[flow as usize].store(charge.moves(due_ns), Ordering::Relaxed);
        charge.excess_ns(due_ns)
    }
}

fn rate(flow: Flow, per_s: u64) -> Rates {
    Rates::default().with(flow, per_s)
}

/// At door 0; door 1 has no rates.
fn config(rates: DoorRates) -> Config {
    Config { rates: [rates, DoorRates::default()].into(), ..Config::default() }
}

pub fn of_client(flow: Flow, per_s: u64) -> Config {
    config(DoorRates { client: rate(flow, per_s), ..DoorRates::default() })
}

/// A subscriber of everything, by the door without rates.
pub fn watcher(s: &mut Script) -> Client {
    let watcher = s.open_by(1, false);
    s.say_connect(watcher, &connect("w"));
    s.subscribe(watcher, "#", 0);
    s.hear(watcher);
    watcher
}

pub fn flood(s: &mut Script, client: Client, topic: &str, count: u32) {
    for n in 0..count {
        s.publish(client, topic, &n.to_string());
    }
}

#[test]
fn a_client_that_floods_is_not_read_until_its_rate_allows_more() {
    let mut s = Script::new(of_client(Flow::PublishMessages, 50));
    let watcher = watcher(&mut s);
    let client = s.join("c");
    flood(&mut s, client, "a", 200);
    assert_eq!(s.hear(watcher).len(), 50, "what the burst allows");
    assert_eq!(s.reading(client), Reading::Watched);
    assert_eq!((s.counter("waited_client_publish_messages"), s.counter("paused_for_client")), (1, 0));
    s.pass(Duration::from_millis(500));
    let half = s.hear(watcher).len();
    assert!((23..=25).contains(&half), "{half}");
    s.secs(10);
    let rest = s.hear(watcher);
    assert_eq!(rest.last().map(String::as_str), Some("a '199'"), "nothing is lost");
    assert_eq!(50 + half + rest.len(), 200);
    assert_eq!(s.reading(client), Reading::Continuous);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn what_came_with_the_connect_is_held_to_the_rate_as_well() {
    let mut s = Script::new(of_client(Flow::PublishMessages, 3));
    let watcher = watcher(&mut s);
    let client = s.open();
    let mut bytes = Vec::new();
    mqtt::Packet::Connect(Box::new(connect("c"))).encode(mqtt::Version::V5, &mut bytes);
    for n in 0..9 {
        let payload = n.to_string();
        let publish = crate::script::publish("a", &payload, mqtt::QoS::AtMostOnce, None);
        mqtt::Packet::Publish(publish).encode(mqtt::Version::V5, &mut bytes);
    }
    s.bytes(client, &bytes);
    assert_eq!(s.hear(watcher).len(), 3);
    s.pass(Duration::from_millis(2100));
    assert_eq!(s.hear(watcher).len(), 6);
}

#[test]
fn bytes_are_those_of_whole_packets_of_every_kind() {
    let mut s = Script::new(of_client(Flow::PublishBytes, 100));
    let watcher = watcher(&mut s);
    let client = s.join("c");
    // Two bytes each.
    for _ in 0..40 {
        s.packet(client, &mqtt::Packet::Pingreq);
    }
    s.publish(client, "a", &"x".repeat(300));
    s.publish(client, "a", "y");
    assert_eq!(s.hear(watcher).len(), 1, "a packet goes whole, and those behind it wait the longer");
    s.secs(2);
    assert!(s.hear(watcher).is_empty());
    s.secs(2);
    assert_eq!(s.hear(watcher), ["a 'y'"]);
}

#[test]
fn where_the_configuration_says_so_it_is_disconnected_in_the_words_of_its_version() {
    for (flow, limit, per_s, reason, said) in [
        (
            Flow::PublishMessages,
            "publish_messages_per_s",
            5,
            "MessageRateTooHigh",
            "DISCONNECT Message rate too high",
        ),
        (Flow::PublishBytes, "publish_bytes_per_s", 30, "QuotaExceeded", "DISCONNECT Quota exceeded"),
    ] {
        for version in [mqtt::Version::V5, mqtt::Version::V311] {
            let client_rates = rate(flow, per_s);
            let mut s = Script::new(config(DoorRates {
                client: client_rates,
                over: Over::Disconnect,
                ..DoorRates::default()
            }));
            let watcher = watcher(&mut s);
            let (client, _) = s.connect(&mqtt::Connect { version, ..connect("c") });
            flood(&mut s, client, "a", 10);
            let heard = s.hear(client);
            assert_eq!(heard, if version == mqtt::Version::V5 { vec![said] } else { vec![] });
            assert!(s.is_closed(client));
            assert!(s.hear(watcher).len() < 10);
            let key = format!("client_{limit} = {per_s} at ");
            assert!(
                s.notes.iter().any(|note| note.contains(reason) && note.contains(&key)),
                "{key}: {:?}",
                s.notes
            );
            let ended = format!("ended_client_{}", limit.trim_end_matches("_per_s"));
            assert_eq!((s.counter(&ended), s.counter("violations")), (1, 0));
        }
    }
}

#[test]
fn nobody_is_disconnected_for_what_a_whole_listener_sends() {
    let rates = DoorRates {
        listener: rate(Flow::PublishMessages, 10),
        over: Over::Disconnect,
        tally: Some(Arc::new(Words::default())),
        ..DoorRates::default()
    };
    let mut s = Script::new(config(rates));
    let watcher = watcher(&mut s);
    let (one, other) = (s.join("one"), s.join("other"));
    flood(&mut s, one, "a", 20);
    flood(&mut s, other, "b", 20);
    assert_eq!(s.hear(watcher).len(), 10, "of both together");
    assert!(!s.is_closed(one) && !s.is_closed(other));
    s.secs(4);
    let heard = s.hear(watcher);
    assert_eq!(heard.len(), 30);
    // Neither starves while the other sends.
    let of_other = heard[..20].iter().filter(|line| line.starts_with('b')).count();
    assert!((5..=15).contains(&of_other), "{heard:?}");
}

fn asked(rates: DoorRates) -> Config {
    let doors = vec![DoorConfig { asks: true, ..DoorConfig::default() }, DoorConfig::default()];
    Config { doors, ..config(rates) }
}

fn come(s: &mut Script, client_id: &str, tallies: Tallies) -> Client {
    let client = s.open_by(0, false);
    s.say_connect(client, &connect(client_id));
    let grant = Grant {
        user: Some("ada".into()),
        is_authenticated: true,
        tallies: Some(Box::new(tallies)),
        ..Grant::default()
    };
    s.answer(client, Answer::Accept { grant: Arc::new(grant), lasts: None, data: None });
    s.hear(client);
    client
}

#[test]
fn a_user_and_an_address_have_one_rate_for_all_their_connections_on_all_shards() {
    type Of = fn(Arc<dyn Tally>) -> Tallies;
    let of_user: Of = |tally| Tallies { user: Some(tally), address: None };
    let of_address: Of = |tally| Tallies { user: None, address: Some(tally) };
    for (of, rates) in [
        (of_user, DoorRates { user: rate(Flow::PublishMessages, 10), ..DoorRates::default() }),
        (of_address, DoorRates { address: rate(Flow::PublishMessages, 10), ..DoorRates::default() }),
    ] {
        let config = Config { shards: 2, ..asked(rates) };
        let ids = Script::ids_by_home(&config, "c");
        let mut s = Script::new(config);
        let watcher = watcher(&mut s);
        let shared: Arc<dyn Tally> = Arc::new(Words::default());
        let both = [0, 1].map(|home| come(&mut s, &ids[home], of(Arc::clone(&shared))));
        let stranger = come(&mut s, "stranger", of(Arc::new(Words::default())));
        for client in both {
            flood(&mut s, client, "a", 20);
        }
        s.settle();
        assert_eq!(s.hear(watcher).len(), 10);
        flood(&mut s, stranger, "b", 9);
        assert_eq!(s.hear(watcher).len(), 9, "others are not touched");
        s.secs(4);
        assert_eq!(s.hear(watcher).len(), 30);
    }
}

#[test]
fn messages_for_a_client_wait_in_its_queue_until_its_rate_allows_them() {
    for (flow, per_s, counter) in [
        (Flow::ReceiveMessages, 10, "waited_client_receive_messages"),
        (Flow::ReceiveBytes, 80, "waited_client_receive_bytes"),
    ] {
        let mut s = Script::new(of_client(flow, per_s));
        let subscriber = s.join("s");
        s.subscribe(subscriber, "a", 1);
        s.hear(subscriber);
        let publisher = s.open_by(1, false);
        s.say_connect(publisher, &connect("p"));
        for n in 0..30 {
            s.publish(publisher, "a", &format!("{n:02}"));
        }
        assert_eq!(s.hear(subscriber).len(), 10, "{flow:?}");
        s.pass(Duration::from_millis(1050));
        let second = s.hear(subscriber).len();
        assert!((9..=11).contains(&second), "{second}");
        s.secs(3);
        assert_eq!(s.hear(subscriber).last().map(String::as_str), Some("a '29'"));
        assert!(s.counter(counter) > 1);
        assert_eq!(s.shards[0].gauges().queued_bytes, 0);
        s.publish(publisher, "a", "at once");
        assert_eq!(s.hear(subscriber), ["a 'at once'"]);
    }
}

#[test]
fn a_role_that_names_a_rate_takes_the_place_of_the_listeners() {
    let text = "[roles.slow]\npublish_messages_per_s = 2\nrules = [ { allow = \"readwrite\", topics = \"#\" } ]\n\
                [users]\nada = \"slow\"\n";
    let layer = access::own::parse("rules.toml", text).unwrap();
    let rules = Rules::builder(Fallback::Allow).layer(layer).build();
    let rates = DoorRates { client: rate(Flow::PublishMessages, 7), ..DoorRates::default() };
    let mut s = Script::new(Config { rules: Some(rules), ..asked(rates) });
    let watcher = watcher(&mut s);
    let ada = come(&mut s, "c", Tallies::default());
    flood(&mut s, ada, "a", 10);
    assert_eq!(s.hear(watcher).len(), 2);
    // Without rules the role is gone; what waits goes at the rate of the listener.
    s.event(0, Event::Rules(None));
    s.settle();
    s.secs(1);
    let gone = s.hear(watcher).len();
    assert!((6..=7).contains(&gone), "{gone}");
}

#[test]
fn who_is_disconnected_for_the_rate_of_a_role_is_told_of_with_the_role_and_its_place() {
    let text = "everyone = \"slow\"\n[roles.slow]\npublish_messages_per_s = 2\n";
    let layer = access::own::parse("rules.toml", text).unwrap();
    let rules = Rules::builder(Fallback::Allow).layer(layer).build();
    let rates = DoorRates { over: Over::Disconnect, ..DoorRates::default() };
    let mut s = Script::new(Config { rules: Some(rules), ..config(rates) });
    let client = s.join("c");
    flood(&mut s, client, "a", 10);
    assert!(s.is_closed(client));
    let place =
        "more messages than the rate allows: role slow: publish_messages_per_s = 2 (rules.toml:3, rules)";
    assert!(s.notes.iter().any(|note| note.contains(place)), "{:?}", s.notes);
}

#[test]
fn other_rates_count_at_once_for_those_who_are_here() {
    let mut s = Script::new(of_client(Flow::PublishMessages, 1));
    let watcher = watcher(&mut s);
    let (client, subscriber) = (s.join("c"), s.join("s"));
    s.subscribe(subscriber, "a", 0);
    s.hear(subscriber);
    flood(&mut s, client, "a", 20);
    assert_eq!(s.hear(watcher).len(), 1);
    s.event(0, Event::Rates(Arc::default()));
    s.settle();
    assert_eq!(s.hear(watcher).len(), 19, "no rate, no wait");
    assert_eq!(s.hear(subscriber).len(), 20);
    let rates = DoorRates { client: rate(Flow::ReceiveMessages, 4), ..DoorRates::default() };
    s.event(0, Event::Rates([rates].into()));
    flood(&mut s, client, "a", 20);
    assert_eq!(s.hear(subscriber).len(), 4);
    assert_eq!(s.hear(watcher).len(), 20);
    s.event(0, Event::Rates(Arc::default()));
    s.settle();
    assert_eq!(s.hear(subscriber).len(), 16);
}

#[test]
fn who_waits_for_its_rate_is_not_silent_and_can_go() {
    let mut s = Script::new(of_client(Flow::PublishMessages, 1));
    let (client, _) = s.connect(&mqtt::Connect { keep_alive_s: 2, ..connect("c") });
    flood(&mut s, client, "a", 20);
    s.secs(15);
    assert!(!s.is_closed(client));
    s.cut(client);
    s.secs(100);
    assert_eq!(s.shards[0].gauges().connections, 0);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn what_a_client_has_said_before_it_left_counts_as_far_as_a_second_more_allows() {
    for (leaves, count, late) in [(false, 18, 8), (true, 18, 8), (true, 40, 10)] {
        let mut s = Script::new(of_client(Flow::PublishMessages, 10));
        let watcher = watcher(&mut s);
        let (client, _) = s.connect(&mqtt::Connect {
            will: Some(mqtt::Will { topic: "gone", ..mqtt::Will::default() }),
            ..connect("c")
        });
        flood(&mut s, client, "a", count);
        if leaves {
            s.packet(client, &mqtt::Packet::Disconnect(mqtt::Disconnect::default()));
        }
        assert_eq!(s.hear(watcher).len(), 10);
        s.cut(client);
        let heard = s.hear(watcher);
        assert_eq!(heard.iter().filter(|line| line.starts_with('a')).count(), late);
        assert_eq!(heard.len() - late, usize::from(!leaves), "its DISCONNECT counts, and so does its will");
        assert_eq!(s.counter("refused_publish_rate"), u64::from(count) - 10 - late as u64);
        let left = s.notes.iter().filter(|note| note.contains("the client disconnected")).count();
        assert_eq!(left, usize::from(leaves), "{:?}", s.notes);
        s.secs(100);
        let gauges = s.shards[0].gauges();
        assert_eq!((gauges.connections, gauges.receive_bytes, gauges.unsent_bytes), (1, 0, 0), "the watcher");
        assert_eq!(s.counter("connections_closed"), 1);
    }
}

#[test]
fn who_sends_and_leaves_and_comes_back_gets_no_more_than_its_rate() {
    for leaves in [false, true] {
        let mut s = Script::new(of_client(Flow::PublishMessages, 10));
        let watcher = watcher(&mut s);
        let mut heard = 0;
        for _ in 0..50 {
            let client = s.join("c");
            flood(&mut s, client, "a", 40);
            if leaves {
                s.packet(client, &mqtt::Packet::Disconnect(mqtt::Disconnect::default()));
            }
            s.cut(client);
            heard += s.hear(watcher).len();
            s.pass(Duration::from_millis(100));
        }
        // Five seconds, the burst, and the second that the leaving may borrow.
        assert!((50..=71).contains(&heard), "{heard}");
        let other = s.join("other");
        flood(&mut s, other, "b", 10);
        assert_eq!(s.hear(watcher).len(), 10, "who has another client id owes nothing");
    }
}

#[test]
fn who_is_taken_over_hands_on_what_it_has_used() {
    let mut s = Script::new(of_client(Flow::PublishMessages, 10));
    let watcher = watcher(&mut s);
    for expected in [10, 0] {
        let client = s.join("c");
        flood(&mut s, client, "a", 10);
        assert_eq!(s.hear(watcher).len(), expected);
    }
}

/// At a listener with that rate.
fn of_listener(flow: Flow, per_s: u64) -> Config {
    let tally: Arc<dyn Tally> = Arc::new(Words::default());
    config(DoorRates { listener: rate(flow, per_s), tally: Some(tally), ..DoorRates::default() })
}

#[test]
fn who_leaves_uses_up_nothing_that_others_share() {
    let mut s = Script::new(of_listener(Flow::PublishMessages, 10));
    let watcher = watcher(&mut s);
    for n in 0..20 {
        let client = s.join(&format!("c{n}"));
        flood(&mut s, client, "a", 40);
        s.cut(client);
    }
    assert_eq!(s.hear(watcher).len(), 10);
    assert_eq!(s.counter("refused_publish_rate"), 20 * 40 - 10);
    let honest = s.join("honest");
    s.publish(honest, "b", "m");
    s.pass(Duration::from_millis(1100));
    assert_eq!(s.hear(watcher), ["b 'm'"]);
}

#[test]
fn nobody_waits_long_for_what_another_has_sent_at_once() {
    let mut s = Script::new(of_listener(Flow::PublishBytes, 100));
    let watcher = watcher(&mut s);
    let (large, honest) = (s.join("large"), s.join("honest"));
    s.publish(large, "a", &"x".repeat(6000));
    s.publish(large, "a", "behind");
    s.publish(honest, "b", "m");
    assert_eq!(s.hear(watcher).len(), 1, "a packet goes whole");
    s.pass(Duration::from_millis(1200));
    assert_eq!(s.hear(watcher), ["b 'm'"], "two seconds of the rate are all that can be owed");
    s.secs(50);
    assert!(s.hear(watcher).is_empty(), "whose packet it was waits for all of it");
    s.cut(large);
    assert!(s.hear(watcher).is_empty());
    let large = s.join("large");
    s.publish(large, "a", "again");
    assert!(s.hear(watcher).is_empty(), "to come back does not help");
    s.secs(15);
    assert_eq!(s.hear(watcher), ["a 'again'"]);
}

#[test]
fn other_rates_forgive_what_is_owed_beyond_a_burst() {
    let slow = DoorRates { client: rate(Flow::PublishBytes, 1), ..DoorRates::default() };
    let fast = DoorRates { client: rate(Flow::PublishBytes, 1000), ..DoorRates::default() };
    let mut s = Script::new(config(slow));
    let watcher = watcher(&mut s);
    let (here, gone) = (s.join("here"), s.join("gone"));
    for client in [here, gone] {
        s.publish(client, "a", &"x".repeat(10_000));
        s.publish(client, "a", "behind");
    }
    s.cut(gone);
    assert_eq!(s.hear(watcher).len(), 2);
    s.event(0, Event::Rates([fast].into()));
    let gone = s.join("gone");
    s.publish(gone, "a", "back");
    s.secs(2);
    assert_eq!(s.hear(watcher), ["a 'back'", "a 'behind'"]);
    let _ = here;
}

#[test]
fn who_is_held_at_a_rate_is_nearest_to_that() {
    for (flow, key) in [
        (Flow::PublishMessages, "rates.client_publish_messages_per_s"),
        (Flow::ReceiveMessages, "rates.client_receive_messages_per_s"),
    ] {
        let mut s = Script::new(of_client(flow, 10));
        let client = s.join("c");
        s.subscribe(client, "a", 0);
        let pressure = |s: &Script| match s.look(0, &Look::Client { client_id: "c".into(), most: 1 }) {
            Seen::Client(Some(seen)) => (seen.client.pressure.limit, seen.client.pressure.permille),
            other => panic!("{other:?}"),
        };
        assert_eq!(pressure(&s).1, 0, "it has used nothing yet");
        flood(&mut s, client, "a", 5);
        assert_eq!(pressure(&s), (key, 500));
        flood(&mut s, client, "a", 10);
        let (limit, permille) = pressure(&s);
        assert!(limit == key && permille >= 1000, "{limit}: {permille}");
    }
}

//! Why a client is not read is told with what decides it, to who looks at the client and to who asks why.

use std::sync::Arc;

use access::{Fallback, Rules};
use mqtt::{Packet, QoS, Version};
use shard::{
    Answer, Config, DoorConfig, DoorRates, Event, Flow, Grant, Limits, Look, Rates, Seen, ShardId, Tallies,
};

use crate::{
    keeping::kept,
    rates::{Words, flood, of_client},
    script::{Client, Script, connect, publish},
    why::{question, told},
};

/// Its text and in brackets its place, as the home of the client tells it, and as the reason why it cannot publish.
fn pause(s: &Script, shard: usize, client_id: &str, step: &str) -> String {
    let Seen::Client(Some(whole)) = s.look(shard, &Look::Client { client_id: client_id.into(), most: 1 })
    else {
        panic!("{client_id} is not at shard {shard}")
    };
    let pause = whole.client.link.unwrap().pause.unwrap();
    let text = format!("{} [{}]", pause.text, pause.place.as_deref().unwrap_or("-"));
    let look = Look::WhyPublish(Box::new(question(client_id, "a")));
    let Seen::Why(because) = s.look(shard, &look) else { panic!("another question's answer") };
    let place = pause.place.map_or(String::new(), |place| format!(" [{place}]"));
    assert_eq!(told(&because, step), [format!("later: {}{place}", pause.text)]);
    text
}

fn waits_for(rate: &str, seconds: u64, place: &str) -> String {
    format!(
        "it sent more than {rate}, and is read no faster than that, for {seconds} s now: \
         a PINGREQ of it waits with the rest, and that it has gone may be seen late [{place}]"
    )
}

#[test]
fn a_client_that_is_read_is_not_paused() {
    let mut s = Script::of_one();
    s.join("c");
    let Seen::Client(Some(whole)) = s.look(0, &Look::Client { client_id: "c".into(), most: 1 }) else {
        panic!("it is here")
    };
    assert_eq!(whole.client.link.unwrap().pause, None);
}

#[test]
fn its_own_rate_is_named_with_its_key() {
    for (flow, rate, key) in [
        (Flow::PublishMessages, "5 messages a second", "rates.client_publish_messages_per_s"),
        (Flow::PublishBytes, "5 bytes a second", "rates.client_publish_bytes_per_s"),
    ] {
        let mut s = Script::new(of_client(flow, 5));
        let client = s.join("c");
        flood(&mut s, client, "a", 20);
        assert_eq!(pause(&s, 0, "c", "rates"), waits_for(rate, 0, key));
    }
}

#[test]
fn how_long_it_is_held_counts_on_as_long_as_its_burst_has_not_come_back() {
    const KEY: &str = "rates.client_publish_messages_per_s";
    let mut s = Script::new(of_client(Flow::PublishMessages, 5));
    let client = s.join("c");
    flood(&mut s, client, "a", 205);
    s.secs(30);
    assert_eq!(pause(&s, 0, "c", "rates"), waits_for("5 messages a second", 30, KEY));
    s.secs(10);
    // What came before has been handled.
    flood(&mut s, client, "a", 20);
    assert_eq!(pause(&s, 0, "c", "rates"), waits_for("5 messages a second", 40, KEY));
    s.secs(10);
    flood(&mut s, client, "a", 20);
    assert_eq!(pause(&s, 0, "c", "rates"), waits_for("5 messages a second", 0, KEY));
}

#[test]
fn a_rate_that_it_shares_is_named_with_whose_it_is() {
    let door = DoorConfig { asks: true, ..DoorConfig::default() };
    let rates = DoorRates { user: Rates::default().with(Flow::PublishMessages, 5), ..DoorRates::default() };
    let mut s = Script::new(Config { doors: vec![door], rates: [rates].into(), ..Config::default() });
    let client = s.open();
    s.say_connect(client, &connect("c"));
    let tallies = Tallies { user: Some(Arc::new(Words::default())), address: None };
    let grant = Grant { user: Some("ada".into()), tallies: Some(Box::new(tallies)), ..Grant::default() };
    s.answer(client, Answer::Accept { grant: Arc::new(grant), lasts: None, data: None });
    flood(&mut s, client, "a", 20);
    let expected = waits_for("5 messages a second of its user", 0, "rates.user_publish_messages_per_s");
    assert_eq!(pause(&s, 0, "c", "rates"), expected);
}

#[test]
fn a_rate_of_a_role_is_named_with_the_role_and_its_place() {
    let text = "everyone = \"slow\"\n[roles.slow]\npublish_messages_per_s = 2\n\
                rules = [ { allow = \"readwrite\", topics = \"#\" } ]\n";
    let layer = access::own::parse("rules.toml", text).unwrap();
    let rules = Rules::builder(Fallback::Allow).layer(layer).build();
    let mut s = Script::new(Config { rules: Some(rules), ..of_client(Flow::PublishMessages, 5) });
    let client = s.join("c");
    flood(&mut s, client, "a", 10);
    let place = "role slow: publish_messages_per_s = 2 (rules.toml:3, rules)";
    assert_eq!(pause(&s, 0, "c", "rates"), waits_for("2 messages a second", 0, place));
}

#[test]
fn a_client_that_does_not_take_its_answers_is_told_as_such() {
    let limits = Limits { outbox_bytes_max: 4096, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    let client = s.join("c");
    s.stick(client);
    (0..60_000).for_each(|_| s.packet(client, &Packet::Pingreq));
    let told = pause(&s, 0, "c", "backpressure");
    assert!(told.starts_with("it does not take what it is sent: "), "{told}");
    assert!(told.ends_with(" bytes wait for its socket [session.max_outbox_bytes]"), "{told}");
}

#[test]
fn a_client_that_waits_for_room_in_the_store_is_told_what_the_store_lacks() {
    let mut s = kept();
    let (client, _) = s.connect(&mqtt::Connect { version: Version::V311, ..connect("c") });
    s.event(0, Event::StoreRoom { bytes: 0, grows: false });
    s.publish_qos(client, "a", "waits", 1, 1);
    let told = pause(&s, 0, "c", "store");
    assert!(told.starts_with("the store is full") && told.ends_with("[store]"), "{told}");
}

#[test]
fn a_client_that_fills_a_ring_is_told_which_shard_does_not_keep_up() {
    let config = Config { shards: 2, ..Config::default() };
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    let subscriber = s.join(&ids[1]);
    s.subscribe(subscriber, "#", 0);
    let flooder = s.join(&ids[0]);
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 32 });
    bring(&mut s, flooder, 100);
    let expected = "it sent more than its share of what shard 1 keeps up with [runtime.mail_ring_slots]";
    assert_eq!(pause(&s, 0, &ids[0], "backpressure"), expected);
}

/// So many publications of their own slot each, in the midst of a tick.
fn bring(s: &mut Script, client: Client, count: usize) {
    let (payload, mut bytes) = ("x".repeat(9000), Vec::new());
    for _ in 0..count {
        let publish = publish("a", &payload, QoS::AtMostOnce, None);
        Packet::Publish(publish).encode(Version::V5, &mut bytes);
    }
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Bytes { conn, bytes: &bytes });
}

#[test]
fn who_gets_no_more_for_its_rate_is_told_which() {
    let mut s = Script::new(of_client(Flow::ReceiveMessages, 2));
    let client = s.join("c");
    s.subscribe(client, "a", 0);
    let publisher = s.open_by(1, false);
    s.say_connect(publisher, &connect("p"));
    flood(&mut s, publisher, "a", 9);
    let Seen::Why(because) = s.look(0, &Look::WhyReceive(Box::new(question("c", "a")))) else {
        panic!("another question's answer")
    };
    let expected = "later: it has got 2 messages a second, and gets more when its rate allows it \
                    [rates.client_receive_messages_per_s]";
    assert_eq!(told(&because, "rates"), [expected]);
}

//! Clients that go while they are not read for their rate: what they said before counts as far as the rate allows, and at once.

use mqtt::{Connect, Disconnect, Packet, QoS, Will};
use shard::{Event, Flow, Reading};

use crate::{
    losing::{clients, told},
    rates::{flood, of_client, watcher},
    script::{Client, Script, connect},
};

/// Has sent more than it may, and leaves a will.
fn throttled(s: &mut Script) -> Client {
    let will = Some(Will { topic: "gone", ..Will::default() });
    let (client, _) = s.connect(&Connect { will, ..connect("c") });
    flood(s, client, "a", 15);
    client
}

fn has_said_its_last(s: &mut Script, client: Client) {
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Leaving { conn });
    s.settle();
}

#[test]
fn who_has_gone_while_it_waits_is_read_to_its_end_at_once_and_gets_a_second_more() {
    for says_goodbye in [false, true] {
        let mut s = Script::new(of_client(Flow::PublishMessages, 10));
        let watcher = watcher(&mut s);
        let client = throttled(&mut s);
        assert_eq!((s.hear(watcher).len(), s.reading(client)), (10, Reading::Watched));
        has_said_its_last(&mut s, client);
        assert_eq!((s.hear(watcher).len(), s.reading(client)), (5, Reading::Continuous));
        // What the socket still had, in several pieces.
        for _ in 0..4 {
            flood(&mut s, client, "a", 100);
            assert_eq!(s.reading(client), Reading::Continuous, "nothing waits any more");
        }
        s.publish_qos(client, "a", "m", 1, 1);
        if says_goodbye {
            s.packet(client, &Packet::Disconnect(Disconnect::default()));
        }
        s.cut(client);
        let heard = s.hear(watcher);
        assert_eq!(heard.iter().filter(|line| line.starts_with('a')).count(), 5);
        assert_eq!(
            heard.len() - 5,
            usize::from(!says_goodbye),
            "its DISCONNECT counts, and so does its will"
        );
        assert_eq!(s.counter("refused_publish_rate"), 396);
        let topics = told(&clients(&s, 0)[0].topics);
        assert_eq!(topics, ["396 publish_rate a 0-0"], "the topic is known of what was not decoded");
        assert!(s.hear(client).is_empty(), "what is dropped is not acknowledged");
        let gauges = s.shards[0].gauges();
        assert_eq!((gauges.connections, gauges.receive_bytes), (1, 0), "the watcher");
    }
}

#[test]
fn who_is_read_again_already_is_held_to_its_rate_as_before() {
    let mut s = Script::new(of_client(Flow::PublishMessages, 10));
    let watcher = watcher(&mut s);
    let client = throttled(&mut s);
    s.secs(10);
    assert_eq!(s.reading(client), Reading::Continuous);
    has_said_its_last(&mut s, client);
    flood(&mut s, client, "a", 20);
    assert_eq!((s.hear(watcher).len(), s.reading(client)), (25, Reading::Watched));
    s.secs(10);
    assert_eq!((s.hear(watcher).len(), s.counter("refused_publish_rate")), (10, 0));
    s.publish_qos(client, "a", "m", QoS::AtLeastOnce as u8, 1);
    assert_eq!(s.hear(client), ["PUBACK 1"]);
}

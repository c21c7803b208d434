//! One client that comes with thousands of filters and gives them up, again and again: no message of others is lost for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use client::QoS;
use e2e::pace::Done;
use e2e::socket::{Socket, frame, publish, publish_acknowledged, string};
use e2e::{Broker, Setup};

use super::alone;

#[test]
fn whoever_gives_up_thousands_of_filters_costs_others_no_message() {
    let _alone = alone();
    let broker = Setup::new("leaving").shards(2).start();
    let pairs = pairs(&broker);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let streams = pairs.map(|(publisher, subscriber)| {
            let (port, is_over) = (broker.port, &is_over);
            scope.spawn(move || stream(port, (&publisher, &subscriber), is_over))
        });
        let done = Done(&is_over);
        (0..ROUNDS).for_each(|round| come_and_go(broker.port, round));
        drop(done);
        for (sent, arrived) in streams.map(|stream| stream.join().unwrap()) {
            println!("{arrived} of {sent} messages arrived");
            assert!(sent > MESSAGES_MIN, "{sent} messages are not enough to lose one");
            assert_eq!(arrived, sent);
        }
    });
    assert_eq!(broker.counter("dropped_mesh_full"), 0);
}

/// A publisher and a subscriber on the other shard, in both directions: whoever leaves has its home on one of them.
fn pairs(broker: &Broker) -> [(String, String); 2] {
    let [publishers, subscribers] = ["publisher", "subscriber"].map(|prefix| broker.ids_by_home(2, prefix));
    [(publishers[0].clone(), subscribers[1].clone()), (publishers[1].clone(), subscribers[0].clone())]
}

/// Messages at QoS 0, one at a time, until it is over: how many were sent, and how many arrived.
fn stream(port: u16, (publisher, subscriber): (&str, &str), is_over: &AtomicBool) -> (usize, usize) {
    let topic = format!("to/{subscriber}");
    let mut source = Socket::connect(port, publisher, true);
    let mut target = Socket::connect(port, subscriber, true);
    target.subscribe(&topic, QoS::AtMostOnce);
    let arriving = thread::spawn(move || (0..).take_while(|_| !target.packet().1.ends_with(END)).count());
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        source.send(&publish(&topic, b"message"));
        sent += 1;
        thread::sleep(PAUSE);
    }
    // Nothing loses one that is to be acknowledged, and it is the last.
    source.send(&publish_acknowledged(&topic, END, QoS::AtLeastOnce, 1));
    (sent, arriving.join().unwrap())
}

/// Every other time the filters go by an UNSUBSCRIBE, and else with the session.
fn come_and_go(port: u16, round: usize) {
    let mut client = Socket::connect(port, &format!("leaving-{round}"), true);
    let (mut subscribe, mut unsubscribe) = (vec![0, 1], vec![0, 2]);
    for number in 0..FILTERS {
        let filter = string(&format!("left/{number}"));
        subscribe.extend([&filter[..], &[0]].concat());
        unsubscribe.extend(filter);
    }
    client.send(&frame(0x82, &subscribe));
    assert_eq!(client.packet().0, 0x90);
    if round.is_multiple_of(2) {
        client.send(&frame(0xA2, &unsubscribe));
        assert_eq!(client.packet().0, 0xB0);
    }
    client.send(&[0xE0, 0]);
}

const FILTERS: usize = 9900;
const ROUNDS: usize = 40;
const MESSAGES_MIN: usize = 100;
const PAUSE: Duration = Duration::from_millis(1);
const END: &[u8] = b"the end";

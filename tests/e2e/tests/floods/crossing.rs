//! Streams of messages at QoS 0 from one shard to the other, in both directions, beside something that fills the way between them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use client::QoS;
use e2e::Broker;
use e2e::pace::Done;
use e2e::socket::{Socket, publish, publish_acknowledged};

/// Runs it, and holds the broker of two shards to this: every message of the streams arrives meanwhile, and none is lost between shards.
#[track_caller]
pub fn beside_streams(broker: &Broker, work: impl FnOnce()) {
    let pairs = pairs(broker);
    let is_over = AtomicBool::new(false);
    let streams = thread::scope(|scope| {
        let streams = pairs.map(|(publisher, subscriber)| {
            let (port, is_over) = (broker.port, &is_over);
            scope.spawn(move || stream(port, (&publisher, &subscriber), is_over))
        });
        let done = Done(&is_over);
        work();
        drop(done);
        streams.map(|stream| stream.join().unwrap())
    });
    for (sent, arrived) in streams {
        println!("{arrived} of {sent} messages arrived");
        assert!(sent > MESSAGES_MIN, "{sent} messages are not enough to lose one");
        assert_eq!(arrived, sent);
    }
    assert_eq!(broker.counter("dropped_mesh_full"), 0);
}

/// A publisher and a subscriber on the other shard, in both directions: whoever fills a way has its home on one of them.
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

const MESSAGES_MIN: usize = 100;
const PAUSE: Duration = Duration::from_millis(1);
const END: &[u8] = b"the end";

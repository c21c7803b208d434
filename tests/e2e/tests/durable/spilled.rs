//! Far more waits for clients that are away than memory may hold: it stays in the store and comes back, also when the
//! broker is killed in between.

use std::fs;
use std::time::Instant;

use client::{Event, Message, Publication, QoS, Version};
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, Setup, program, resources::resident_bytes, v5};

use crate::shelf::{Shelf, segments};

const READERS: usize = 4;
const MESSAGES: usize = 4000;
const PAYLOAD_BYTES: usize = 4096;

/// 64 MB of payloads wait with this.
const CONFIG: &str = "[limits]\nmax_queue_memory = \"8 MiB\"\n\
                      [session]\nmax_queued_messages = 1000000\nmax_queued_bytes = \"1 GiB\"\n";

/// One at a time, so that nothing is acknowledged that was not looked at.
const TAKEN_BEFORE: usize = 200;

/// What the process may grow by meanwhile: the budget, batches on their way and what the allocator keeps.
const GROWTH_MAX: u64 = 40 << 20;

#[test]
fn queues_far_beyond_memory_are_kept_in_order_and_across_a_kill() {
    let dir = program::fresh_folder("spilled-data");
    let start = || {
        let setup = Setup::new("spilled").shards(2).config(CONFIG);
        setup.args(["--data-dir".into(), dir.clone().into_os_string()]).start()
    };
    let broker = start();
    for reader in 0..READERS {
        let mut link = come(&broker, reader, 1);
        link.subscribe("log", if reader % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce });
        link.close();
    }
    let before = resident_bytes(broker.process.id());
    fill(&broker);
    let grown = resident_bytes(broker.process.id()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{} MiB", grown >> 20);
    assert_eq!(broker.counter("dropped_queue_memory"), 0);
    let away = broker.counter("queued_away_bytes");
    assert!(away > (READERS * MESSAGES * PAYLOAD_BYTES * 3 / 4) as u64, "{away}");
    let mut got: Vec<usize> =
        (0..READERS).map(|reader| take(come(&broker, reader, 1), 0, TAKEN_BEFORE)).collect();
    broker.end(libc::SIGKILL);
    let broker = start();
    let restarted = resident_bytes(broker.process.id());
    assert!(restarted < before + GROWTH_MAX, "{} MiB", restarted >> 20);
    for (reader, got) in got.iter_mut().enumerate() {
        *got = take(come(&broker, reader, 500), *got, MESSAGES);
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_broker_tells_how_much_its_store_takes_of_the_disk() {
    let shelf = Shelf::filled("takes", 2000);
    let broker = shelf.broker(1);
    let on_disk = || segments(&shelf.dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert!(on_disk() > 0);
    let deadline = Instant::now() + PATIENCE;
    // Files are made and deleted beside it.
    while broker.counter("store_file_bytes") != on_disk() {
        assert!(Instant::now() < deadline, "{} of {}", broker.counter("store_file_bytes"), on_disk());
    }
}

fn come(broker: &Broker, reader: usize, receive_maximum: u16) -> Link {
    let mut options = lasting(Version::V5, &format!("reader-{reader}"));
    options.receive_maximum = Some(receive_maximum);
    Link::connect(broker.port, options)
}

fn fill(broker: &Broker) {
    const AT_ONCE: usize = 100;
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    for first in (0..MESSAGES).step_by(AT_ONCE) {
        for number in first..first + AT_ONCE {
            let payload = format!("{number:PAYLOAD_BYTES$}");
            publisher.driver.publish(Publication::new("log", payload, QoS::ExactlyOnce)).unwrap();
        }
        let mut left = AT_ONCE;
        while left > 0 {
            match publisher.driver.next_event(PATIENCE).expect("a connection that works") {
                Some(Event::Published { reason, .. }) if !reason.is_error() => left -= 1,
                Some(Event::Published { reason, .. }) => panic!("refused: {reason:?}"),
                Some(_) => {}
                None => panic!("no acknowledgement within {PATIENCE:?}"),
            }
        }
    }
}

/// Takes messages until it has all from `got` up to `wanted`. The last one of before may come a second time, as such: who
/// goes away has forgotten that it was on its way.
fn take(mut link: Link, mut got: usize, wanted: usize) -> usize {
    let first = got;
    while got < wanted {
        let message = link.message();
        let number = number(&message);
        if number == got {
            got += 1;
        } else {
            assert_eq!(number + 1, first, "{got} is due");
            assert!(message.dup, "{number} comes twice and says it is the first time");
        }
    }
    link.close();
    got
}

fn number(message: &Message) -> usize {
    let text = std::str::from_utf8(&message.payload).expect("text");
    text.trim_start().parse().expect("a number")
}

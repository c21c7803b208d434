//! Clients that ask for thousands of filters in one packet and give them up in the next, again and again: others feel it no
//! more than few filters in each packet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::Setup;
use e2e::pace::{Done, Pace};
use e2e::socket::{Socket, frame, string};

use super::alone;

#[test]
fn packets_with_thousands_of_filters_hold_nobody_up() {
    let _alone = alone();
    let broker = Setup::new("filters").shards(2).start();
    let beside = |what: &str, count: usize, filter: &dyn Fn(usize) -> String| {
        let of = |packet: usize| Rounds::new(broker.port, count, packet, filter);
        let (short, long) = (of(FEW), of(count));
        // A shard that works gets less of a machine that does much else than one that waits: it works for both.
        let (_, before) = Pace::during(broker.port, || short.run());
        let (packets, during) = Pace::during(broker.port, || long.run());
        println!(
            "few filters at a time: {}\n{packets} packets of {what}: {}",
            before.shown(),
            during.shown()
        );
        assert!(packets >= CLIENTS, "each of them has its turns");
        if let Some(wrong) = during.held_up_since(&before) {
            panic!("{what}: {wrong}");
        }
    };
    beside("9,900 topics", 9900, &|number| format!("{number:06}"));
    beside("7,500 filters of 125 levels", 7500, &|number| format!("{number:06}{}", "/".repeat(124)));
    assert!(broker.counter("changes_put_off") > 0);
}

/// Clients that subscribe to filters and unsubscribe from them, so many in a packet, as long as it goes on.
struct Rounds {
    port: u16,
    /// A SUBSCRIBE and its UNSUBSCRIBE, and of how many filters.
    packets: Vec<(Vec<u8>, usize)>,
}

impl Rounds {
    fn new(port: u16, count: usize, packet: usize, filter: &dyn Fn(usize) -> String) -> Rounds {
        let filters: Vec<Vec<u8>> = (0..count).map(|number| string(&filter(number))).collect();
        let both = |some: &[Vec<u8>]| ([subscribe(some), unsubscribe(some)].concat(), some.len());
        Rounds { port, packets: filters.chunks(packet).map(both).collect() }
    }

    /// Says how many SUBSCRIBEs were answered.
    fn run(&self) -> usize {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let is_over = &is_over;
                    scope.spawn(move || self.run_one(number, is_over))
                })
                .collect();
            let done = Done(&is_over);
            thread::sleep(DURATION);
            drop(done);
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        })
    }

    fn run_one(&self, number: usize, is_over: &AtomicBool) -> usize {
        let mut client = Socket::connect(self.port, &format!("filters-{number}"), true);
        let going_on = self.packets.iter().cycle().take_while(|_| !is_over.load(Ordering::Relaxed));
        let answered = going_on.map(|(packets, count)| {
            client.send(packets);
            // A SUBACK waits for the other shard, and an UNSUBACK does not.
            let mut answers = [client.packet(), client.packet()];
            answers.sort_unstable();
            let [(first, body), (second, _)] = &answers;
            // A packet id, and a code for each filter.
            assert_eq!((*first, body.len(), *second), (0x90, 2 + count, 0xB0));
        });
        answered.count()
    }
}

fn subscribe(filters: &[Vec<u8>]) -> Vec<u8> {
    let filters = filters.iter().flat_map(|filter| [filter, &[0][..]].concat());
    frame(0x82, &[0, 1].into_iter().chain(filters).collect::<Vec<u8>>())
}

fn unsubscribe(filters: &[Vec<u8>]) -> Vec<u8> {
    frame(0xA2, &[&[0, 2], &filters.concat()[..]].concat())
}

const CLIENTS: usize = 12;
const DURATION: Duration = Duration::from_secs(3);
/// Filters of a packet that is done in one go.
const FEW: usize = 100;

//! One client that comes with thousands of filters and gives them up, again and again: no message of others is lost for it.

use e2e::Setup;
use e2e::socket::{Socket, frame, string};

use super::{alone, crossing::beside_streams};

#[test]
fn whoever_gives_up_thousands_of_filters_costs_others_no_message() {
    let _alone = alone();
    let broker = Setup::new("leaving").shards(2).start();
    beside_streams(&broker, || (0..ROUNDS).for_each(|round| come_and_go(broker.port, round)));
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

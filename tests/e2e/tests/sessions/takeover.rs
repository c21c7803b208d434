//! A second connection with the same client id takes the session of the first.

use std::thread;

use client::{Disconnection, Error, Publication, QoS, ReasonCode, Version};
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, v5, v311};

use crate::SHARDS;

#[test]
fn the_earlier_connection_hears_why_it_ends() {
    for shards in SHARDS {
        let broker = Broker::start("takeover-reason", shards);
        let mut first = Link::connect(broker.port, v5("twin"));
        let second = Link::connect(broker.port, v311("twin"));
        assert_eq!(first.ended_by_server(), ReasonCode::SessionTakenOver);

        let mut second = second;
        let third = Link::connect(broker.port, v5("twin"));
        assert_eq!(second.disconnection(), Disconnection::Lost, "3.1.1 has no word for it");
        third.close();
        assert_eq!(broker.counter("takeovers"), 2);
    }
}

#[test]
fn subscriptions_and_queue_move_to_the_later_connection() {
    for shards in SHARDS {
        let broker = Broker::start("takeover-session", shards);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        let mut holder = Link::connect(broker.port, lasting(Version::V5, "holder"));
        holder.subscribe("kept/#", QoS::AtLeastOnce);

        // Versions alternate: the session belongs to the client id alone.
        for round in 0..20 {
            let version = if round % 2 == 0 { Version::V311 } else { Version::V5 };
            let mut next = Link::connect(broker.port, lasting(version, "holder"));
            assert!(next.session_present, "in round {round}");
            publisher.publish("kept/topic", round.to_string(), QoS::AtLeastOnce);
            assert_eq!(next.text(), round.to_string());
            holder.disconnection();
            holder = next;
        }
        holder.expect_silence();
    }
}

#[test]
fn many_connections_at_once_leave_exactly_one() {
    let broker = Broker::start("takeover-race", 4);
    let port = broker.port;
    let connect = || Link::try_connect(port, v5("wanted")).ok();
    let contenders: Vec<Link> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CONTENDERS).map(|_| scope.spawn(connect)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    let mut alive = 0;
    for mut link in contenders {
        let question = Publication::new("any", "", QoS::AtLeastOnce);
        match link.driver.publish_and_wait(question, PATIENCE) {
            Ok(_) => alive += 1,
            Err(Error::Disconnected(Disconnection::Ended { reason, .. })) => {
                assert_eq!(reason, ReasonCode::SessionTakenOver);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(alive, 1);
}

const CONTENDERS: usize = 32;

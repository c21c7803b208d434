//! The judgement on what a client takes in, where connections of two lives of the broker speak under one packet id.

use shard::Placement;

use super::*;
use crate::{
    ledger::session::Session,
    said::example::{self, TOPIC},
};

const SOCKET: usize = 7;

/// A session to which the broker sent publication 0 at QoS 1 as packet 1; the client has taken it in.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(Placement::new(1, 0), 10);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        ledger.announce(example::content(qos));
    }
    ledger.on_connect(SOCKET, 0, example::connect("c"), false);
    ledger.deliveries.push(Delivery {
        kind: Kind::Live,
        qos: QoS::AtLeastOnce,
        is_received: true,
        step: 0,
        is_forgotten: false,
    });
    ledger.copies.insert((0, 0), vec![0]);
    let outstanding = Outstanding {
        identity: Identity::Known(0),
        delivery: Some(0),
        is_qos2: false,
        retain: false,
        is_released: false,
        sent_on: SOCKET,
        is_release_sent: false,
        is_doubtful: false,
        is_release_doubtful: false,
        is_from_earlier_life: false,
    };
    session(&mut ledger).outstanding.insert(1, outstanding);
    ledger
}

fn session(ledger: &mut Ledger) -> &mut Session {
    &mut ledger.sessions[0]
}

fn receive(ledger: &mut Ledger, id: usize, qos: QoS) {
    let payload = ledger.publications[id].content.payload(id);
    let publish = Publish {
        dup: false,
        qos,
        retain: false,
        topic: TOPIC,
        packet_id: std::num::NonZeroU16::new(1),
        properties: Default::default(),
        payload: &payload,
    };
    ledger.on_received(SOCKET, Identity::Known(id), &publish);
}

#[test]
fn a_message_is_not_the_one_that_an_earlier_life_sent_under_its_packet_id() {
    let mut ledger = ledger();
    session(&mut ledger).outstanding.get_mut(&1).expect("it was sent").is_doubtful = true;
    receive(&mut ledger, 1, QoS::ExactlyOnce);
    assert_eq!(ledger.oracles(), []);
    assert_eq!(session(&mut ledger).heard.get(&1), Some(&1));
}

#[test]
fn a_message_under_a_packet_id_that_is_in_use_breaks_the_protocol() {
    let mut ledger = ledger();
    receive(&mut ledger, 1, QoS::ExactlyOnce);
    assert_eq!(ledger.oracles(), [Oracle::Protocol]);
}

#[test]
fn the_same_message_at_qos_2_is_received_once() {
    let mut ledger = ledger();
    ledger.deliveries[0].is_received = false;
    session(&mut ledger).outstanding.get_mut(&1).expect("it was sent").is_qos2 = true;
    receive(&mut ledger, 0, QoS::ExactlyOnce);
    assert_eq!(ledger.oracles(), []);
    receive(&mut ledger, 0, QoS::ExactlyOnce);
    assert_eq!(ledger.oracles(), [Oracle::Duplicate]);
}

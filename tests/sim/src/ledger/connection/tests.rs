//! Sessions are those of the client ids: one simulated client has asked for two of them, and comes back under either.

use mqtt::{ConnackProperties, Packet, PacketId, Publish, PublishProperties, QoS, SubscriptionOptions};
use shard::Placement;

use super::*;
use crate::said::{
    Content,
    example::{self, AUTHOR, TOPIC},
};

fn ledger() -> Ledger {
    Ledger::new(Placement::new(1, 0), 10)
}

/// Sockets 1 and 2 have asked for a client id and been told `a` and `b`.
fn ledger_of_two(wills: [Option<WillSaid>; 2]) -> Ledger {
    let mut ledger = ledger();
    ledger.announce(Content { is_will: true, ..example::content(QoS::AtLeastOnce) });
    ledger.announce(Content { is_will: true, ..example::content(QoS::AtLeastOnce) });
    for (socket, (name, will)) in ["a", "b"].into_iter().zip(wills).enumerate() {
        connect(&mut ledger, socket + 1, ConnectSaid { will, ..example::connect("") });
        accept(&mut ledger, socket + 1, false, Some(name));
    }
    assert_eq!(ledger.oracles(), []);
    ledger
}

fn connect(ledger: &mut Ledger, socket: usize, said: ConnectSaid) {
    ledger.step += 1;
    ledger.on_connect(socket, 0, said, false);
}

fn accept(ledger: &mut Ledger, socket: usize, session_present: bool, assigned_client_id: Option<&str>) {
    ledger.step += 1;
    let properties = ConnackProperties { assigned_client_id, ..ConnackProperties::default() };
    ledger.on_connack(socket, &Connack { session_present, properties, ..Connack::default() });
}

fn subscribe(ledger: &mut Ledger, socket: usize, options: SubscriptionOptions) {
    ledger.step += 1;
    ledger.on_subscribe(socket, 1, None, &[(TOPIC.to_owned(), options)]);
    ledger.on_suback(socket, 1, &[ReasonCode::granted(options.qos)]);
}

fn unsubscribe(ledger: &mut Ledger, socket: usize, says: ReasonCode) {
    ledger.step += 1;
    ledger.on_unsubscribe(socket, 1, &[TOPIC.to_owned()]);
    ledger.on_unsuback(socket, 1, &[says]);
}

/// Socket 1 has subscribed and is lost; socket 2 came as the session ended, and was lost before it was answered; socket 3 is told
/// that there is a session: that of socket 1, or that of socket 2.
fn ledger_of_either() -> Ledger {
    let mut ledger = ledger();
    connect(&mut ledger, 1, example::connect("a"));
    accept(&mut ledger, 1, false, None);
    subscribe(&mut ledger, 1, QOS_1);
    ledger.end_connection(1, End::Lost);
    ledger.now = ledger.now.add_secs(60);
    connect(&mut ledger, 2, example::connect("a"));
    ledger.end_connection(2, End::Lost);
    connect(&mut ledger, 3, example::connect("a"));
    accept(&mut ledger, 3, true, None);
    ledger
}

fn publish(ledger: &mut Ledger, socket: usize) -> PublicationId {
    ledger.step += 1;
    let id = ledger.announce(example::content(QoS::AtLeastOnce));
    ledger.on_publish(socket, id, Some(1));
    id
}

/// The broker sends the message, and the client takes it in.
fn deliver(ledger: &mut Ledger, socket: usize, id: PublicationId, packet_id: u16) {
    ledger.step += 1;
    let payload = ledger.publications[id].content.payload(id);
    let publish = Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: TOPIC,
        packet_id: PacketId::new(packet_id),
        properties: PublishProperties::default(),
        payload: &payload,
    };
    ledger.on_packet(socket, &Packet::Publish(publish.clone()), payload.len());
    ledger.on_received(socket, crate::said::Identity::Known(id), &publish);
}

const QOS_1: SubscriptionOptions = SubscriptionOptions {
    qos: QoS::AtLeastOnce,
    no_local: false,
    retain_as_published: false,
    retain_handling: mqtt::RetainHandling::Send,
};

#[test]
fn a_client_comes_back_to_the_session_of_the_id_that_it_names() {
    let mut ledger = ledger_of_two([None; 2]);
    connect(&mut ledger, 3, example::connect("a"));
    accept(&mut ledger, 3, true, None);
    assert_eq!(ledger.session_of(3), ledger.session_of(1));
    assert_eq!(ledger.connections[&1].ended, Some(End::TakenOver));
    assert_eq!(ledger.connections[&2].ended, None);
    assert_eq!(ledger.oracles(), []);
}

#[test]
fn a_session_that_is_said_to_be_absent_under_its_id_is_noticed() {
    for (name, present) in [("a", false), ("b", false), ("c", true)] {
        let mut ledger = ledger_of_two([None; 2]);
        connect(&mut ledger, 3, example::connect(name));
        accept(&mut ledger, 3, present, None);
        assert_eq!(ledger.oracles(), [Oracle::SessionPresent], "{name}");
    }
}

#[test]
fn an_id_that_is_missing_or_somebody_elses_is_noticed() {
    for (asked, assigned) in [("", None), ("", Some("a")), ("c", Some("d"))] {
        let mut ledger = ledger_of_two([None; 2]);
        connect(&mut ledger, 3, example::connect(asked));
        accept(&mut ledger, 3, false, assigned);
        assert_eq!(ledger.oracles(), [Oracle::Content], "{asked:?} {assigned:?}");
    }
}

#[test]
fn who_comes_back_calls_off_the_will_of_that_session_alone() {
    let mut ledger = ledger_of_two([0, 1].map(|id| Some(WillSaid { id, delay_s: 30 })));
    ledger.end_connection(1, End::Lost);
    ledger.end_connection(2, End::Lost);
    connect(&mut ledger, 3, example::connect("a"));
    assert!(ledger.publications[0].arrivals.is_empty(), "it is called off");
    ledger.now = ledger.now.add_secs(40);
    ledger.on_quiet_mesh();
    assert!(!ledger.publications[0].is_certain);
    assert!(ledger.publications[1].is_certain);
}

#[test]
fn what_another_session_subscribed_may_be_gone_and_what_was_granted_since_is_not() {
    use ReasonCode::{NoSubscriptionExisted, Success};
    for says in [Success, NoSubscriptionExisted] {
        let mut ledger = ledger_of_either();
        unsubscribe(&mut ledger, 3, says);
        assert_eq!(ledger.oracles(), [], "{says:?}");
    }
    for (says, expected) in [(Success, vec![]), (NoSubscriptionExisted, vec![Oracle::Content])] {
        let mut ledger = ledger_of_either();
        subscribe(&mut ledger, 3, QOS_1);
        unsubscribe(&mut ledger, 3, says);
        assert_eq!(ledger.oracles(), expected, "{says:?}");
        unsubscribe(&mut ledger, 3, Success);
        assert_eq!(ledger.oracles().len(), expected.len() + 1, "it is gone");
    }
}

#[test]
fn of_a_session_that_connack_says_is_new_all_is_certain() {
    let mut ledger = ledger();
    connect(&mut ledger, 1, example::connect("a"));
    accept(&mut ledger, 1, false, None);
    ledger.end_connection(1, End::Lost);
    ledger.now = ledger.now.add_secs(60);
    connect(&mut ledger, 2, example::connect("a"));
    accept(&mut ledger, 2, false, None);
    subscribe(&mut ledger, 2, QOS_1);
    let id = publish(&mut ledger, 2);
    deliver(&mut ledger, 2, id, 1);
    assert_eq!(ledger.oracles(), []);
    deliver(&mut ledger, 2, id, 2);
    assert_eq!(ledger.oracles(), [Oracle::Duplicate]);
}

#[test]
fn a_crash_leaves_in_doubt_whoever_may_come_back_to_an_unclear_session() {
    let mut ledger = ledger_of_two([None; 2]);
    ledger.end_connection(1, End::Lost);
    ledger.end_session(0);
    ledger.step += 1;
    assert_eq!(ledger.on_crash(&[ledger.step]), []);
    assert_eq!(ledger.on_crash(&[0]), [AUTHOR]);
    assert_eq!(ledger.on_loss(), [AUTHOR]);
}

#[test]
fn no_local_holds_back_what_was_published_under_the_same_id_alone() {
    for (subscriber, expected) in [(2, vec![]), (1, vec![Oracle::Stranger])] {
        let mut ledger = ledger_of_two([None; 2]);
        subscribe(&mut ledger, subscriber, SubscriptionOptions { no_local: true, ..QOS_1 });
        let id = publish(&mut ledger, 1);
        deliver(&mut ledger, subscriber, id, 1);
        assert_eq!(ledger.oracles(), expected, "socket {subscriber}");
    }
}

#[test]
fn order_is_kept_under_one_id_and_not_between_two() {
    for (later, expected) in [(2, vec![]), (1, vec![Oracle::Order])] {
        let mut ledger = ledger_of_two([None; 2]);
        connect(&mut ledger, 3, example::connect("c"));
        accept(&mut ledger, 3, false, None);
        subscribe(&mut ledger, 3, QOS_1);
        let (first, second) = (publish(&mut ledger, 1), publish(&mut ledger, later));
        deliver(&mut ledger, 3, second, 1);
        deliver(&mut ledger, 3, first, 2);
        assert_eq!(ledger.oracles(), expected, "socket {later}");
    }
}

//! What was made for a client and not taken by its socket when the connection ended.

use std::collections::BTreeMap;

use mqtt::ReasonCode;
use shard::{Act, Config, Direction, Event, Pieces, Told};

use crate::{
    departing::last,
    failing::absent,
    keeping::kept,
    losing::{check, clients, lost, told},
    mounting,
    script::{Client, Script, connect},
};

/// A subscriber whose socket takes nothing, and so many messages for it at this QoS: the first is under way, and the others wait.
fn stuck(s: &mut Script, qos: u8, count: u16) -> Client {
    let (publisher, subscriber) = (s.join("p"), s.join("c"));
    s.subscribe(subscriber, "a/#", qos);
    s.stick(subscriber);
    send(s, publisher, qos, count);
    subscriber
}

/// The same with three messages, of which the first alone has a topic that is written out.
fn stuck_behind_its_alias(s: &mut Script) -> Client {
    let publisher = s.join("p");
    let mut wanted = connect("c");
    wanted.properties.topic_alias_maximum = Some(5);
    let (client, _) = s.connect(&wanted);
    s.subscribe(client, "topic/#", 0);
    s.stick(client);
    (0..3).for_each(|_| s.publish(publisher, "topic/long/enough", "x"));
    client
}

fn send(s: &mut Script, publisher: Client, qos: u8, count: u16) {
    (1..=count).for_each(|n| match qos {
        0 => s.publish(publisher, "a/b", "x"),
        _ => s.publish_qos(publisher, "a/b", "x", qos, n),
    });
}

/// Of one that was sent: fixed header, topic, no properties, payload.
const PACKET_BYTES: usize = 2 + 2 + 3 + 1 + 1;

/// Where and how often they are lost by client `c`.
fn lost_by_c(s: &Script) -> Vec<String> {
    let row = clients(s, 0).into_iter().find(|row| &*row.client_id == "c").expect("it lost something");
    row.topics.iter().map(|loss| format!("{} {}", loss.count, loss.topic.as_deref().unwrap_or("?"))).collect()
}

/// Packets of client `c` as its recorder has them, with a question mark at those that never went out.
fn recorded(s: &Script) -> Vec<String> {
    let last = last(s, "c").expect("it is known");
    let of_ended = last.ended.iter().flat_map(|ended| &ended.packets);
    let sent = of_ended.chain(&last.packets).filter(|packet| packet.direction == Direction::Sent);
    sent.map(|packet| format!("{:?}{}", packet.kind, if packet.is_unsent { "?" } else { "" })).collect()
}

#[test]
fn what_no_socket_took_is_lost_for_a_client_that_breaks_off() {
    let mut s = Script::of_one();
    let client = stuck(&mut s, 0, 20);
    assert_eq!(lost(&s, "c"), None, "it may still be taken");
    s.cut(client);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 20)]));
    assert_eq!(lost_by_c(&s), ["20 a/b"]);
}

#[test]
fn what_the_socket_takes_in_the_end_is_not_lost() {
    let mut s = Script::of_one();
    let client = stuck(&mut s, 0, 20);
    s.unstick(client);
    s.cut(client);
    assert_eq!(check(&s), BTreeMap::new());
}

#[test]
fn packets_that_were_taken_whole_count_as_sent() {
    let mut s = Script::of_one();
    let (publisher, client) = (s.join("p"), s.join("c"));
    s.subscribe(client, "a/#", 0);
    s.stick(client);
    // What is under way is one packet, and three more go out at once behind it.
    send(&mut s, publisher, 0, 4);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Sent { conn });
    s.settle();
    s.event(shard, Event::Closed { conn });
    s.give_up(client, 2 * PACKET_BYTES - 1);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 2)]));
}

#[test]
fn a_client_that_is_disconnected_and_takes_nothing_loses_it_under_its_own_name() {
    let mut s = Script::of_one();
    let client = stuck(&mut s, 0, 20);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
    s.settle();
    assert_eq!(check(&s), BTreeMap::new(), "its last bytes have some time");
    s.secs(10);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 19)]), "one is in the socket");
    s.give_up(client, 0);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 20)]));
    let row = clients(&s, 0).remove(0);
    assert_eq!((&*row.client_id, told(&row.losses)), ("c", vec!["20 unsent 5-0".to_owned()]));
}

#[test]
fn what_is_taken_after_the_end_is_not_lost() {
    let mut s = Script::of_one();
    let client = stuck(&mut s, 0, 1);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Closed { conn });
    s.event(shard, Event::Sent { conn });
    s.give_up(client, 0);
    assert_eq!(check(&s), BTreeMap::new());
}

#[test]
fn what_has_a_packet_id_is_sent_again_or_lost_with_its_session_and_counts_once() {
    let mut s = kept();
    let client = stuck(&mut s, 1, 20);
    s.cut(client);
    assert_eq!(check(&s), BTreeMap::from([("dropped_session_ended", 20)]));
}

#[test]
fn a_topic_is_known_behind_its_alias() {
    let mut s = Script::of_one();
    let client = stuck_behind_its_alias(&mut s);
    s.cut(client);
    assert_eq!(lost_by_c(&s), ["3 topic/long/enough"]);
}

#[test]
fn a_topic_beneath_a_mount_point_has_its_whole_name() {
    let mut s = Script::new(mounting::config(1));
    let (publisher, client) = (s.join("p"), mounting::join(&mut s, 1, "c"));
    s.subscribe(client, "a/#", 0);
    s.stick(client);
    (0..3).for_each(|_| s.publish(publisher, "one/a/b", "x"));
    s.cut(client);
    assert_eq!(lost_by_c(&s), ["3 one/a/b"]);
}

#[test]
fn what_the_broker_says_of_itself_is_counted_apart() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe(client, "$SYS/#", 0);
    s.stick(client);
    for n in 0..3 {
        let told = Told { topic: "$SYS/broker/x".into(), payload: format!("{n}").as_bytes().into() };
        s.act(0, Act::Tell([told].into()));
    }
    s.cut(client);
    assert_eq!((check(&s), s.counter("sys_dropped_unsent")), (BTreeMap::new(), 3));
}

#[test]
fn large_payloads_are_walked_over() {
    let mut s = Script::of_one();
    let (publisher, client) = (s.join("p"), s.join("c"));
    s.subscribe(client, "a/#", 0);
    s.stick(client);
    let large = "x".repeat(10_000);
    ["a/1", "a/2", "a/2", "a/3"].iter().for_each(|topic| s.publish(publisher, topic, &large));
    s.cut(client);
    let mut lost = lost_by_c(&s);
    lost.sort();
    assert_eq!(lost, ["1 a/1", "1 a/3", "2 a/2"]);
}

#[test]
fn the_recorder_tells_what_never_went_out() {
    let mut s = Script::of_one();
    let client = stuck(&mut s, 0, 3);
    s.cut(client);
    assert_eq!(recorded(&s), ["Suback", "Publish?", "Publish?", "Publish?"]);
}

#[test]
fn the_recorder_tells_it_of_a_client_that_has_come_back_meanwhile() {
    let mut s = Script::of_one();
    let (publisher, client) = (s.join("p"), s.join_for_an_hour("c"));
    s.subscribe(client, "a/#", 0);
    send(&mut s, publisher, 0, 1);
    s.stick(client);
    send(&mut s, publisher, 0, 2);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Closed { conn });
    s.join_for_an_hour("c");
    send(&mut s, publisher, 0, 1);
    s.give_up(client, 0);
    assert_eq!(recorded(&s), ["Suback", "Publish", "Publish?", "Publish?", "Connack", "Publish"]);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 2)]));
}

/// What is under way is so many packets, and so many wait behind it.
fn under_way_and_behind(s: &mut Script, under_way: u16, behind: u16) -> (Client, Client) {
    let (publisher, client) = (s.join("p"), s.join("c"));
    s.subscribe(client, "a/#", 0);
    s.stick(client);
    send(s, publisher, 0, 1 + under_way);
    let (shard, conn) = s.conn(client);
    // The first of them has gone out, and the others follow at once.
    s.event(shard, Event::Sent { conn });
    s.settle();
    send(s, publisher, 0, behind);
    (publisher, client)
}

#[test]
fn a_send_that_fails_and_what_waits_behind_it_is_lost_once() {
    for (taken, unsent) in [(0, 3), (2 * PACKET_BYTES - 1, 2), (3 * PACKET_BYTES, 0)] {
        let mut s = Script::of_one();
        let (_, client) = under_way_and_behind(&mut s, 3, 2);
        s.fail(client, taken);
        assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", unsent + 2)]));
        assert_eq!(lost_by_c(&s), [format!("{} a/b", unsent + 2)]);
        let mut expected = vec!["Suback"];
        expected.extend(vec!["Publish"; 4 - unsent as usize]);
        expected.extend(vec!["Publish?"; unsent as usize + 2]);
        assert_eq!(recorded(&s), expected);
        assert_eq!(s.shards[0].gauges().unsent_bytes, 0);
    }
}

#[test]
fn a_send_that_fails_after_its_client_was_disconnected_is_lost_under_its_name() {
    let mut s = Script::of_one();
    let (_, client) = under_way_and_behind(&mut s, 3, 2);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
    s.settle();
    s.fail(client, PACKET_BYTES);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 2 + 2)]));
    assert_eq!(lost_by_c(&s), ["4 a/b"]);
    assert_eq!(
        recorded(&s),
        ["Suback", "Publish", "Publish", "Publish?", "Publish?", "Publish?", "Publish?", "Disconnect?"]
    );
}

#[test]
fn a_topic_is_known_behind_its_alias_where_the_send_fails_first() {
    let mut s = Script::of_one();
    let client = stuck_behind_its_alias(&mut s);
    s.fail(client, 0);
    assert_eq!(lost_by_c(&s), ["3 topic/long/enough"]);
}

#[test]
fn of_a_client_that_is_read_on_each_send_that_fails_is_lost_and_nothing_else() {
    for unsent_packets in [1, 100] {
        let mut s = Script::new(of_pieces(unsent_packets));
        let (publisher, client) = under_way_and_behind(&mut s, 1, 2);
        s.fail_and_go_on(client, 0);
        s.secs(1);
        assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 1)]), "two are under way");
        assert_eq!(recorded(&s), ["Suback", "Publish", "Publish?", "Publish", "Publish"]);
        send(&mut s, publisher, 0, 1);
        s.fail_and_go_on(client, PACKET_BYTES);
        s.secs(1);
        assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 2)]));
        let expected = ["Suback", "Publish", "Publish?", "Publish", "Publish?", "Publish"];
        assert_eq!(recorded(&s), expected, "the last may still be taken");
        s.unstick(client);
        s.cut(client);
        assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 2)]));
        assert_eq!(recorded(&s), expected);
    }
}

#[test]
fn a_send_that_failed_is_known_from_what_goes_out_behind_it_until_it_is_counted() {
    let mut s = Script::new(of_pieces(1));
    let (publisher, client) = under_way_and_behind(&mut s, 1, 2);
    s.fail_and_go_on(client, 0);
    assert_eq!(s.shards[0].gauges().unsent_bytes, 3 * PACKET_BYTES, "one of them is not counted yet");
    send(&mut s, publisher, 0, 1);
    s.secs(1);
    assert_eq!(recorded(&s), ["Suback", "Publish", "Publish?", "Publish", "Publish", "Publish"]);
}

#[test]
fn a_send_that_failed_is_known_from_what_waits_where_its_session_ends_until_it_is_counted() {
    let mut s = Script::new(of_pieces(1));
    let (_, client) = under_way_and_behind(&mut s, 1, 2);
    let (shard, conn) = s.conn(client);
    s.fail_and_go_on(client, 0);
    s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
    s.secs(1);
    s.unstick(client);
    assert_eq!(recorded(&s), ["Suback", "Publish", "Publish?", "Publish", "Publish", "Disconnect"]);
}

#[test]
fn a_send_that_failed_is_known_from_what_waits_where_its_connection_ends_until_it_is_counted() {
    // It is counted while its connection ends, or in a later tick.
    for failed in [1, 2] {
        let mut s = Script::new(of_pieces(1));
        let (publisher, client) = under_way_and_behind(&mut s, failed, 2);
        s.fail_and_go_on(client, 0);
        send(&mut s, publisher, 0, 1);
        let (shard, conn) = s.conn(client);
        s.event(shard, Event::Closed { conn });
        s.give_up(client, 2 * PACKET_BYTES);
        s.secs(1);
        let mut expected = vec!["Suback", "Publish"];
        expected.extend(vec!["Publish?"; usize::from(failed)]);
        expected.extend(["Publish", "Publish", "Publish?"]);
        assert_eq!(recorded(&s), expected);
        assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", u64::from(failed) + 1)]));
        assert_eq!(s.shards[0].gauges().unsent_bytes, 0);
    }
}

#[test]
fn a_client_that_waits_for_a_store_that_fails_loses_what_was_under_way_too() {
    let (mut s, publisher, _) = absent(2);
    let client = s.join_for_an_hour(&Script::ids_by_home(&of_two_shards(), "c")[0]);
    s.subscribe(client, "b", 0);
    s.stick(client);
    (0..3).for_each(|_| s.publish(publisher, "b", "x"));
    s.disk_is_slow = true;
    s.publish_qos(client, "a", "waits", 2, 1);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
    s.event(shard, Event::StoreFailed);
    s.settle();
    assert_eq!(s.counter("dropped_unsent"), 2, "one may still be taken");
    s.fail(client, 0);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 3)]));
    s.secs(10);
    assert_eq!(s.shards[0].gauges().unsent_bytes, 0);
}

fn of_two_shards() -> Config {
    Config { shards: 2, ..Config::default() }
}

/// A tick looks at so many packets that were lost.
fn of_pieces(unsent_packets: usize) -> Config {
    Config { pieces: Pieces { unsent_packets, ..Pieces::default() }, ..Config::default() }
}

const STUCK: usize = 100;

/// Packets in the outbox of each of these.
const STUCK_PACKETS: u16 = 50;

/// Subscribers whose sockets take nothing, each with a packet under way and others behind it, where a tick has room for so many.
fn many_stuck(unsent_packets: usize) -> (Script, Client, Vec<Client>) {
    let mut s = Script::new(of_pieces(unsent_packets));
    let publisher = s.join("p");
    let stuck: Vec<Client> = (0..STUCK).map(|n| s.join(&format!("c{n}"))).collect();
    for client in &stuck {
        s.subscribe(*client, "a/#", 0);
        s.stick(*client);
    }
    send(&mut s, publisher, 0, STUCK_PACKETS + 1);
    (s, publisher, stuck)
}

fn all_lost(s: &Script) -> Vec<String> {
    clients(s, 0).iter().flat_map(|row| &row.topics).map(|loss| loss.count.to_string()).collect()
}

/// All end before the next tick.
fn break_off(s: &mut Script, stuck: &[Client]) {
    for client in stuck {
        let (shard, conn) = s.conn(*client);
        s.event(shard, Event::Closed { conn });
    }
}

/// The next tick, and what was left to it.
fn tick(s: &mut Script) {
    s.event(0, Event::Flush);
    let due = s.shards[0].next_deadline().expect("something is left");
    s.now = s.now.max(due);
    s.event(0, Event::Timer);
}

#[test]
fn outboxes_that_end_at_once_are_counted_some_in_a_tick() {
    const ROOM: usize = 200;
    let (mut s, _, stuck) = many_stuck(ROOM);
    let unsent_bytes = s.shards[0].gauges().unsent_bytes;
    break_off(&mut s, &stuck);
    let under_way = STUCK * PACKET_BYTES;
    let in_outboxes = STUCK as u64 * u64::from(STUCK_PACKETS);
    let (mut ticks, mut before) = (0, 0);
    loop {
        let counted = s.counter("dropped_unsent");
        assert!(counted - before <= ROOM as u64, "tick {ticks}: {counted} after {before}");
        let gauges = s.shards[0].gauges();
        if counted == in_outboxes && gauges.unsent_bytes == 0 {
            break;
        }
        // What is counted of an outbox leaves the memory with the rest of it.
        let held = unsent_bytes - under_way - counted as usize * PACKET_BYTES;
        assert!(gauges.unsent_bytes >= held, "tick {ticks}");
        assert!(gauges.unsent_bytes <= held + usize::from(STUCK_PACKETS) * PACKET_BYTES, "tick {ticks}");
        before = counted;
        ticks += 1;
        tick(&mut s);
    }
    assert!(ticks > in_outboxes as usize / ROOM, "{ticks}");
    for client in &stuck {
        s.give_up(*client, 0);
    }
    s.secs(1);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", in_outboxes + STUCK as u64)]));
    assert_eq!(all_lost(&s), vec![(STUCK_PACKETS + 1).to_string(); STUCK]);
}

#[test]
fn what_the_sockets_took_of_it_is_walked_over_in_ticks_as_well() {
    let (mut s, _, stuck) = many_stuck(10);
    for client in &stuck {
        let (shard, conn) = s.conn(*client);
        // Now all that waited is under way.
        s.event(shard, Event::Sent { conn });
    }
    s.settle();
    break_off(&mut s, &stuck);
    for client in &stuck {
        s.give_up(*client, PACKET_BYTES * usize::from(STUCK_PACKETS - 1) + 1);
    }
    assert!(s.counter("dropped_unsent") < 20, "one each is too much for so few ticks");
    s.secs(1);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", STUCK as u64)]));
    assert_eq!(s.shards[0].gauges().unsent_bytes, 0);
}

#[test]
fn at_the_end_of_a_drain_all_is_counted() {
    let (mut s, publisher, stuck) = many_stuck(100);
    s.cut(publisher);
    break_off(&mut s, &stuck);
    let counted = s.counter("dropped_unsent");
    assert!(counted <= 100, "{counted}");
    s.event(0, Event::Drain);
    assert_eq!(s.drained, 1);
    let in_outboxes = STUCK as u64 * u64::from(STUCK_PACKETS);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", in_outboxes)]));
    for client in &stuck {
        s.give_up(*client, 0);
    }
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", in_outboxes + STUCK as u64)]));
    assert_eq!(s.shards[0].gauges().unsent_bytes, 0);
}

#[test]
fn each_of_many_topics_is_told_in_whatever_order_they_come() {
    let mut s = Script::new(of_pieces(7));
    let (publisher, client) = (s.join("p"), s.join("c"));
    s.subscribe(client, "a/#", 0);
    s.stick(client);
    for n in 0..60 {
        s.publish(publisher, &format!("a/{}", n % 20), "x");
        s.publish(publisher, "a/b", "x");
    }
    s.cut(client);
    s.secs(1);
    assert_eq!(check(&s), BTreeMap::from([("dropped_unsent", 120)]));
    assert!(lost_by_c(&s).contains(&"60 a/b".to_owned()), "{:?}", lost_by_c(&s));
}

//! Other threads look at real shards and act on them.

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use crossbeam_channel::{Receiver, bounded};
use shard::{Act, Acted, Look, Matching, ReasonCode, Seen, ShardId};

use super::{
    client::{HANGS, ask, config, connect, echoing, start},
    wire::{packet, push_string},
};
use crate::{Depth, Desk, Looked, Reply, Snapshot};

fn reply<T: Send + 'static>() -> (Reply<T>, Receiver<T>) {
    let (sender, receiver) = bounded(1);
    (Box::new(move |answer| sender.send(answer).unwrap()), receiver)
}

fn look(desk: &Desk, shard: ShardId) -> Looked {
    let (reply, answer) = reply();
    let asker = Arc::new(());
    let look = Look::Clients { matching: Matching::default(), after: None, most: 100 };
    desk.look(shard, look, Arc::downgrade(&asker), reply).unwrap();
    answer.recv_timeout(HANGS).unwrap()
}

fn act(desk: &Desk, shard: ShardId, act: Act) -> Acted {
    let (reply, answer) = reply();
    desk.act(shard, act, reply).unwrap();
    answer.recv_timeout(HANGS).unwrap()
}

fn say_connect(client_id: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    push_string(&mut body, client_id);
    packet(0x10, &body)
}

#[test]
fn clients_of_all_shards_are_seen_with_their_addresses() {
    let broker = crate::start(config(2)).unwrap();
    let mut streams = BTreeMap::new();
    for n in 0..8 {
        let (mut stream, client_id) = (connect(&broker), format!("c{n}"));
        assert_eq!(ask(&mut stream, &say_connect(&client_id), 4), [0x20, 2, 0, 0]);
        streams.insert(client_id, stream);
    }
    let desk = broker.desk();
    let mut seen = BTreeMap::new();
    for shard in desk.shards() {
        let Looked { seen: Seen::Clients(page), addresses, .. } = look(&desk, shard) else {
            panic!("the answer to another question")
        };
        for client in page.rows {
            let conn = client.link.unwrap().conn;
            let address = addresses.iter().find(|(held, _)| *held == conn).unwrap().1;
            seen.insert(client.client_id.to_string(), address);
        }
    }
    let expected: BTreeMap<_, _> =
        streams.iter().map(|(id, stream)| (id.clone(), stream.local_addr().unwrap())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn what_an_act_brings_about_reaches_its_client() {
    let broker = crate::start(config(2)).unwrap();
    let mut stream = connect(&broker);
    assert_eq!(ask(&mut stream, &say_connect("c"), 4), [0x20, 2, 0, 0]);
    let desk = broker.desk();
    let disconnect = Act::Disconnect { client_id: "c".into(), reason: ReasonCode::AdministrativeAction };
    let counts: usize = desk.shards().map(|shard| act(&desk, shard, disconnect.clone()).count).sum();
    assert_eq!(counts, 1);
    assert!(matches!(stream.read(&mut [0]), Ok(0)), "it is closed");
}

#[test]
fn a_snapshot_has_what_was_counted_and_how_long_it_took() {
    let broker = crate::start(config(2)).unwrap();
    let mut stream = connect(&broker);
    assert_eq!(ask(&mut stream, &say_connect("c"), 4), [0x20, 2, 0, 0]);
    for n in 1..=3 {
        let mut body = Vec::new();
        push_string(&mut body, "a");
        body.extend_from_slice(&[0, n, b'x']);
        assert_eq!(ask(&mut stream, &packet(0x32, &body), 4), [0x40, 2, 0, n]);
    }
    let desk = broker.desk();
    let snapshots: Vec<Snapshot> = desk
        .shards()
        .map(|shard| {
            let (reply, answer) = reply();
            desk.snapshot(shard, reply).unwrap();
            answer.recv_timeout(HANGS).unwrap()
        })
        .collect();
    let sum = |of: fn(&Snapshot) -> u64| snapshots.iter().map(of).sum::<u64>();
    assert_eq!(sum(|snapshot| snapshot.counters.publish_received), 3);
    // An answer leaves when its turn is over.
    assert_eq!(sum(|snapshot| snapshot.timings.routing.count()), 3);
    assert!(sum(|snapshot| snapshot.timings.turn.count()) >= 3);
    assert_eq!(sum(|snapshot| snapshot.timings.handshake.count()), 0, "there are no layers");
    for (snapshot, other) in snapshots.iter().zip([1, 0]) {
        let [Depth { to, letters: 0, slots }] = snapshot.mesh[..] else { panic!("{:?}", snapshot.mesh) };
        assert_eq!((to, slots), (ShardId(other), config(2).mail_ring));
        assert_eq!(snapshot.limits.sessions_max, config(2).core.limits.sessions_max.div_ceil(2));
    }
    assert_eq!((desk.connections(), desk.connections_max()), (1, config(2).max_connections));
}

#[test]
fn a_broker_that_has_ended_takes_no_orders() {
    let broker = crate::start(config(1)).unwrap();
    let desk = broker.desk();
    drop(broker);
    let (reply, answer) = reply();
    let sent = desk.snapshot(ShardId(0), reply);
    assert!(sent.is_err() || answer.recv_timeout(HANGS).is_err(), "whoever asks hears of it");
    let (reply, _answer) = self::reply();
    assert!(desk.snapshot(ShardId(7), reply).is_err(), "there is no such shard");
}

/// Each answer takes ten milliseconds, and no more than a tenth of the time may go into them.
#[test]
fn clients_are_served_while_many_questions_wait() {
    let (broker, _observed) = start(config(1));
    let mut stream = echoing(&broker);
    let desk = broker.desk();
    let answered = Arc::new(AtomicUsize::new(0));
    let asker = Arc::new(());
    for _ in 0..QUESTIONS {
        let counted = Arc::clone(&answered);
        let reply = Box::new(move |_: Looked| {
            counted.fetch_add(1, SeqCst);
        });
        desk.look(ShardId(0), Look::Prefixes, Arc::downgrade(&asker), reply).unwrap();
    }
    assert_eq!(ask(&mut stream, b"x", 1), b"x");
    let answered = answered.load(SeqCst);
    assert!(answered < QUESTIONS / 2, "{answered} questions were answered before a client");
}

/// Fewer than a shard takes orders.
const QUESTIONS: usize = 60;

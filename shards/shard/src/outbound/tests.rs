//! Queue and messages in flight against a list that knows nothing but what was sent and what was acknowledged. Where the
//! messages are, in memory or in the store alone, makes no difference to it.

use std::collections::{BTreeMap, VecDeque};

use mqtt::{PacketId, QoS};
use proptest::prelude::*;

use super::{
    inflight::DONE_ALWAYS,
    queue::{AWAY_WEIGHT, EXPIRY_WEIGHT, PLACE_BYTES},
    *,
};
use crate::{Instant, message::Parts};

#[derive(Debug, Clone)]
enum Step {
    /// At this QoS, for so many seconds; 0 is for ever.
    Queue(u8, u64),
    SendNext,
    Acknowledge(usize),
    Release(usize),
    Reconnect,
    SendAgain,
    DropQos0,
    /// So many seconds go by, and what has expired is dropped, as far as so many looks find it.
    Pass(u64, usize),
    /// Everything that came so far is stored.
    Stored,
    /// The client goes away.
    Retreat(usize),
    /// What is wanted comes back.
    Fetch(usize),
}

/// What is known of one packet id.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    Published(u32),
    Released,
}

/// The naive twin: order by a growing number, nothing derived.
#[derive(Default)]
struct Oracle {
    queue: VecDeque<(u32, QoS)>,
    inflight: BTreeMap<u64, (PacketId, Known, bool)>,
    again: VecDeque<u64>,
    sent: u64,
    /// By its number in the queue, each message at QoS 1 or 2.
    made: BTreeMap<u64, (u32, QoS)>,
    stored: u64,
    now: Instant,
    expiries: BTreeMap<u32, Instant>,
}

impl Oracle {
    fn number_of(&self, id: PacketId) -> Option<u64> {
        self.inflight.iter().find(|(_, (held, _, _))| *held == id).map(|(number, _)| *number)
    }

    fn outstanding(&self) -> usize {
        self.inflight.values().filter(|(_, _, here)| *here).count()
    }
}

fn queued(number: u32, qos: QoS) -> Queued {
    queued_until(number, qos, None)
}

fn queued_until(number: u32, qos: QoS, expires_at: Option<Instant>) -> Queued {
    let payload = number.to_be_bytes();
    let parts = Parts {
        topic: "t",
        qos,
        retain: false,
        expires_at,
        retained_id: None,
        forwarded: &[],
        payload: &payload,
    };
    Queued::new(Message::new(&parts), &Delivery { qos, retain: false, subscription_ids: &[], topic: None })
}

fn number_in(queued: &Queued) -> u32 {
    u32::from_be_bytes(queued.message.payload().try_into().expect("four bytes were put in"))
}

/// The id that a step means: one in flight, if there is any.
fn pick(oracle: &Oracle, at: usize) -> Option<PacketId> {
    let ids: Vec<PacketId> = oracle.inflight.values().map(|(id, _, _)| *id).collect();
    (!ids.is_empty()).then(|| ids[at % ids.len()])
}

fn take(step: &Step, outbound: &mut Outbound, oracle: &mut Oracle, made: &mut u32) {
    match step {
        Step::Queue(qos, life_s) => queue(outbound, oracle, made, *qos, *life_s),
        Step::SendNext => send_next(outbound, oracle),
        Step::Acknowledge(at) => acknowledge(outbound, oracle, *at),
        Step::Release(at) => release(outbound, oracle, *at),
        Step::Reconnect => {
            oracle.inflight.values_mut().for_each(|(_, _, here)| *here = false);
            oracle.again = oracle.inflight.keys().copied().collect();
            outbound.inflight.restart();
        }
        Step::SendAgain => send_again(outbound, oracle),
        Step::Stored => {
            oracle.stored = *oracle.made.keys().next_back().unwrap_or(&0);
            assert!(!outbound.queue.spill(WINDOW, |_, _| true), "all of it is stored");
        }
        Step::Retreat(window) => {
            // Without a store of its own the test cannot tell bodies apart: all is stored or nothing.
            let is_stored = oracle.made.keys().all(|number| *number <= oracle.stored);
            outbound.retreat(*window, |_, _| is_stored);
        }
        Step::Fetch(window) => fetch(outbound, oracle, *window),
        Step::DropQos0 => {
            let before = oracle.queue.len();
            oracle.queue.retain(|(_, qos)| *qos != QoS::AtMostOnce);
            assert_eq!(outbound.queue.drop_qos0().len(), before - oracle.queue.len());
        }
        Step::Pass(seconds, looks_max) => {
            oracle.now = oracle.now.add_secs(*seconds);
            drop_expired(outbound, oracle, *looks_max);
        }
    }
}

fn queue(outbound: &mut Outbound, oracle: &mut Oracle, made: &mut u32, qos: u8, life_s: u64) {
    let qos = QoS::try_from(qos).expect("0, 1 or 2");
    *made += 1;
    let expires_at = (life_s > 0).then(|| oracle.now.add_secs(life_s));
    oracle.expiries.extend(expires_at.map(|at| (*made, at)));
    let mut queued = queued_until(*made, qos, expires_at);
    outbound.number(&mut queued);
    if qos != QoS::AtMostOnce {
        oracle.made.insert(queued.number, (*made, qos));
    }
    outbound.queue.push(queued, WINDOW);
    oracle.queue.push_back((*made, qos));
}

fn acknowledge(outbound: &mut Outbound, oracle: &mut Oracle, at: usize) {
    let Some(id) = pick(oracle, at) else { return };
    let number = oracle.number_of(id).expect("it was picked");
    oracle.inflight.remove(&number);
    assert!(outbound.inflight.remove(id).is_some());
    assert!(outbound.inflight.remove(id).is_none(), "an id is acknowledged once");
}

fn release(outbound: &mut Outbound, oracle: &mut Oracle, at: usize) {
    let Some(id) = pick(oracle, at) else { return };
    let number = oracle.number_of(id).expect("it was picked");
    oracle.inflight.get_mut(&number).expect("it was picked").1 = Known::Released;
    drop(outbound.inflight.release(id));
}

fn drop_expired(outbound: &mut Outbound, oracle: &mut Oracle, looks_max: usize) {
    let is_due = outbound.queue.expiry_look_at().is_some_and(|at| at <= oracle.now);
    let was_under_way = outbound.queue.is_looking();
    let expired = outbound.drop_expired(oracle.now, looks_max);
    assert!(expired.looks <= looks_max);
    let made_of = |dropped: &Popped| match dropped {
        Popped::Here(queued) => number_in(queued),
        Popped::Away(away) => oracle.made[&away.number].0,
    };
    let dropped: Vec<u32> = expired.messages.iter().map(made_of).collect();
    let has_expired = |made: &u32| oracle.expiries.get(made).is_some_and(|at| *at <= oracle.now);
    let before = oracle.queue.len();
    assert!(dropped.iter().all(has_expired));
    oracle.queue.retain(|(made, _)| !dropped.contains(made));
    assert_eq!(oracle.queue.len(), before - dropped.len(), "each of them waited");
    if is_due && looks_max > 0 && !was_under_way && !outbound.queue.is_looking() {
        assert!(!oracle.queue.iter().any(|(made, _)| has_expired(made)), "a whole look finds them all");
    }
}

/// However a look was interrupted, the next one comes in time for all that waits.
fn assert_look_comes(outbound: &Outbound, oracle: &Oracle) {
    let earliest = oracle.queue.iter().filter_map(|(made, _)| oracle.expiries.get(made)).min();
    if let Some(earliest) = earliest {
        let at = outbound.queue.expiry_look_at().expect("there is something that expires");
        assert!(at <= (*earliest).max(oracle.now.add_secs(1)));
    }
}

fn fetch(outbound: &mut Outbound, oracle: &Oracle, window: usize) {
    let wanted: Vec<Away> = outbound.wanted(window).collect();
    // They come in any order.
    for away in wanted.iter().rev() {
        assert_eq!(outbound.away(away.number), Some(*away));
        let (made, qos) = oracle.made[&away.number];
        let expires_at = oracle.expiries.get(&made).copied();
        outbound.bring_back(Queued { number: away.number, ..queued_until(made, qos, expires_at) });
    }
    outbound.queue.count_ready();
}

fn send_next(outbound: &mut Outbound, oracle: &mut Oracle) {
    if outbound.inflight.is_resending() {
        return;
    }
    if let Some(First::Away) = outbound.queue.first() {
        assert!(outbound.wants_more(), "what is sent next is not here");
        fetch(outbound, oracle, 0);
    }
    let popped = outbound.pop().map(|popped| match popped {
        Popped::Here(queued) => queued,
        Popped::Away(away) => panic!("{away:?} was not brought back"),
    });
    assert_eq!(popped.as_ref().map(number_in), oracle.queue.pop_front().map(|(number, _)| number));
    let Some(popped) = popped.filter(|popped| popped.qos != QoS::AtMostOnce) else { return };
    let number = number_in(&popped);
    let id = popped.packet_id();
    outbound.inflight.insert(popped, Instant::START);
    assert_eq!(oracle.number_of(id), None, "an id in use is not given again");
    oracle.sent += 1;
    oracle.inflight.insert(oracle.sent, (id, Known::Published(number), true));
}

fn send_again(outbound: &mut Outbound, oracle: &mut Oracle) {
    oracle.again.retain(|number| oracle.inflight.contains_key(number));
    if let Some(Again::Away) = outbound.inflight.next_again() {
        fetch(outbound, oracle, 0);
    }
    let expected = oracle.again.pop_front();
    let got = match outbound.inflight.next_again() {
        None => None,
        Some(Again::Publish(id, queued)) => Some((id, Known::Published(number_in(&queued)))),
        Some(Again::Pubrel(id)) => Some((id, Known::Released)),
        Some(Again::Away) => unreachable!("what is away was brought back"),
    };
    let known = |number: u64| oracle.inflight.get(&number).map(|(id, known, _)| (*id, known.clone()));
    assert_eq!(got, expected.and_then(known), "in the order of the first sending");
    if let (Some((_, known)), Some(number)) = (got, expected) {
        outbound.inflight.sent_again();
        let entry = oracle.inflight.get_mut(&number).expect("it is in flight");
        entry.2 = matches!(known, Known::Published(_));
    }
}

/// Three messages.
const WINDOW: usize = 3 * (size_of::<Queued>() + 100);

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 0..6u64).prop_map(|(qos, life_s)| Step::Queue(qos, life_s)),
        2 => (0..4u64, prop_oneof![Just(usize::MAX), 0..5usize])
            .prop_map(|(seconds, looks)| Step::Pass(seconds, looks)),
        4 => Just(Step::SendNext),
        3 => any::<usize>().prop_map(Step::Acknowledge),
        2 => any::<usize>().prop_map(Step::Release),
        1 => Just(Step::Reconnect),
        4 => Just(Step::SendAgain),
        1 => Just(Step::DropQos0),
        1 => Just(Step::Stored),
        1 => (0..4 * WINDOW).prop_map(Step::Retreat),
        1 => (0..4 * WINDOW).prop_map(Step::Fetch),
    ]
}

proptest! {
    #[test]
    fn queue_and_flight_do_what_a_list_would(steps in prop::collection::vec(a_step(), 1..300)) {
        let (mut outbound, mut oracle, mut made) = (Outbound::default(), Oracle::default(), 0);
        for step in &steps {
            take(step, &mut outbound, &mut oracle, &mut made);
            prop_assert_eq!(outbound.queue.len(), oracle.queue.len());
            prop_assert_eq!(outbound.inflight.len(), oracle.inflight.len());
            prop_assert_eq!(usize::from(outbound.inflight.outstanding()), oracle.outstanding());
            let published = oracle.inflight.values().filter(|(_, known, _)| *known != Known::Released).count();
            prop_assert_eq!(outbound.inflight.publishes(), published);
            let (one, bytes) = (queued(0, QoS::AtLeastOnce).weight(), queued(0, QoS::AtLeastOnce).message.bytes());
            let away = outbound.queue.away_bytes() / bytes;
            let here = outbound.queue.len() - away;
            let is_away = |number: &u64| outbound.queue.away(*number).is_some();
            let expires = |made: &u32| oracle.expiries.contains_key(made);
            let expiring_away = oracle.made.iter().filter(|(number, (made, _))| expires(made) && is_away(number)).count();
            let weight = here * one + away * AWAY_WEIGHT + expiring_away * EXPIRY_WEIGHT;
            prop_assert_eq!(outbound.queue.weight(), weight);
            prop_assert_eq!(outbound.queue.waiting_bytes(), outbound.queue.len() * (bytes + PLACE_BYTES));
            assert_look_comes(&outbound, &oracle);
            let inflight_away = outbound.bodies().count() - outbound.queue.bodies().count();
            prop_assert_eq!(inflight_away, published);
            prop_assert!(outbound.inflight.weight() <= published * one);
        }
        while !oracle.queue.is_empty() && !outbound.inflight.is_resending() {
            send_next(&mut outbound, &mut oracle);
        }
    }
}

#[test]
fn an_id_is_used_again_only_after_all_others() {
    let mut outbound = Outbound::default();
    let mut ids = Vec::new();
    for n in 0..70_000 {
        let mut queued = queued(n, QoS::AtLeastOnce);
        outbound.number(&mut queued);
        let id = queued.packet_id();
        outbound.inflight.insert(queued, Instant::START);
        outbound.inflight.remove(id);
        ids.push(id);
    }
    let mut once = ids[..65_535].to_vec();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), 65_535);
    assert_eq!(ids[65_535..], ids[..70_000 - 65_535]);
    assert_eq!(outbound.inflight.entries(), 0);
}

#[test]
fn one_message_that_is_never_acknowledged_keeps_its_id_and_costs_little() {
    let mut outbound = Outbound::default();
    let send = |outbound: &mut Outbound| {
        let mut queued = queued(0, QoS::AtLeastOnce);
        outbound.number(&mut queued);
        let id = queued.packet_id();
        outbound.inflight.insert(queued, Instant::START);
        id
    };
    let kept = send(&mut outbound);
    while outbound.has_packet_id() {
        let id = send(&mut outbound);
        assert_ne!(id, kept);
        outbound.inflight.remove(id);
        assert!(outbound.inflight.entries() <= 2 + DONE_ALWAYS);
    }
    assert!(outbound.inflight.remove(kept).is_some());
    assert!(outbound.has_packet_id());
    assert_eq!(send(&mut outbound), kept);
}

//! Any history of a few sessions, on any number of shards, moved to any other: all of it is there, at its new home.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use mqtt::{PacketId, QoS, SubscriptionOptions};
use proptest::prelude::*;

use super::*;
use crate::store::{entry::WillEntry, log::Position, record};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// The client comes, with or without a will; who was there comes back.
    Connect {
        client: usize,
        will: bool,
    },
    Detach {
        client: usize,
        is_will_due: bool,
    },
    End {
        client: usize,
    },
    Subscribe {
        client: usize,
        filter: u8,
    },
    Unsubscribe {
        client: usize,
        filter: u8,
    },
    /// For those clients whose bits are set, as far as they are known.
    Publish {
        clients: u8,
        topic: u8,
        retain: bool,
    },
    Clear {
        topic: u8,
    },
    /// The oldest message of the queue is over, or taken over.
    Done {
        client: usize,
    },
    Release {
        client: usize,
    },
    /// The oldest part of the log was given up: what is alive there was written again.
    Rewrite {
        client: usize,
    },
    Receive {
        client: usize,
        packet_id: u16,
    },
    Free {
        client: usize,
        packet_id: u16,
    },
    /// Those shards whose bits are set have stored a publication of the client that is not acknowledged.
    Store {
        client: usize,
        packet_id: u16,
        shards: u8,
        share: bool,
    },
    /// The client has released it.
    Over {
        client: usize,
        packet_id: u16,
    },
}

/// A session as the naive model knows it, and as it is read from records.
#[derive(Debug, Clone, PartialEq, Default)]
struct Seen {
    expiry_s: u32,
    sent: Option<u64>,
    has_will: bool,
    filters: BTreeMap<String, u32>,
    received: BTreeSet<u16>,
    /// By number; none for one that is released.
    queue: BTreeMap<u64, Option<Owed>>,
}

/// Topic, payload and subscription identifiers.
type Owed = (String, Vec<u8>, Vec<u32>);

#[derive(Debug, Default, PartialEq)]
struct Model {
    sessions: BTreeMap<String, Seen>,
    retained: BTreeMap<String, Vec<u8>>,
    /// By publisher and packet id: who has got the publication and will not get it again.
    stored: BTreeMap<(String, u16), BTreeSet<String>>,
}

/// What writes the records of the store that is moved.
struct Written {
    placement: Placement,
    logs: Vec<Vec<u8>>,
    model: Model,
    ids: BTreeMap<String, SessionId>,
    numbers: BTreeMap<String, u64>,
    made: u64,
    /// By publisher and packet id: the shards that have stored the publication, and whether a shared subscription has got it.
    stored: BTreeMap<(String, u16), (u8, bool)>,
}

fn client_id(client: usize) -> String {
    format!("client-{client}")
}

impl Written {
    fn new(shards: u8) -> Written {
        let logs = vec![Vec::new(); shards.into()];
        let placement = Placement::new(shards, SEED);
        let (ids, numbers) = Default::default();
        let stored = BTreeMap::new();
        Written { placement, logs, model: Model::default(), ids, numbers, made: 0, stored }
    }

    fn append(&mut self, client: &str, entry: &Entry<'_>) {
        let home = self.placement.client(client).index();
        entry.encode(&mut self.logs[home], false);
    }

    fn step(&mut self, step: &Step) {
        self.made += 1;
        let client = match *step {
            Step::Connect { client, .. } | Step::Detach { client, .. } | Step::End { client } => client,
            Step::Subscribe { client, .. } | Step::Unsubscribe { client, .. } => client,
            Step::Done { client } | Step::Release { client } | Step::Rewrite { client } => client,
            Step::Receive { client, .. } | Step::Free { client, .. } => client,
            Step::Store { client, .. } | Step::Over { client, .. } => client,
            Step::Publish { clients, topic, retain } => return self.publish(clients, topic, retain),
            Step::Clear { topic } => {
                let topic = format!("topic/{topic}");
                self.model.retained.remove(&topic);
                let home = self.placement.topic(&topic).index();
                Entry::RetainedGone { topic: &topic }.encode(&mut self.logs[home], false);
                return;
            }
        };
        let client = client_id(client);
        if let Step::Connect { will, .. } = *step {
            self.connect(&client, will);
        } else if self.model.sessions.contains_key(&client) {
            self.step_of(&client, step);
        }
    }

    fn connect(&mut self, client: &str, has_will: bool) {
        let is_whole = !self.model.sessions.contains_key(client);
        if is_whole {
            // Names of all shards look alike.
            let home = self.placement.client(client);
            let before = self.ids.keys().filter(|known| self.placement.client(known) == home).count();
            self.ids.insert(client.to_owned(), SessionId((self.made << 32) | before as u64));
        }
        let will = has_will.then_some(WillEntry {
            will: SessionId(self.made),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay_s: 1,
            message_expiry_s: None,
            topic: "w",
            forwarded: &[],
            payload: b"gone",
        });
        let (session, expiry_s) = (self.ids[client], self.made as u32);
        let entry = SessionEntry { session, is_whole, client_id: client, expiry_s, detached: None, will };
        self.append(client, &Entry::Session(entry));
        let seen = self.model.sessions.entry(client.to_owned()).or_default();
        (seen.expiry_s, seen.sent, seen.has_will) = (expiry_s, None, has_will);
    }

    fn step_of(&mut self, client: &str, step: &Step) {
        let session = self.ids[client];
        let seen = self.model.sessions.get_mut(client).unwrap();
        let oldest = seen.queue.first_key_value().map(|(number, message)| (*number, message.clone()));
        match *step {
            Step::Detach { is_will_due, .. } => {
                seen.has_will &= is_will_due;
                (seen.expiry_s, seen.sent) = (7, Some(3));
                let will_at_ms = is_will_due.then_some(9);
                let detached = Detached { session, expiry_s: 7, ends_at_ms: Some(8), will_at_ms, sent: 3 };
                self.append(client, &Entry::Detached(detached));
            }
            Step::End { .. } => {
                self.stored.retain(|(publisher, _), _| publisher != client);
                self.model.sessions.remove(client);
                self.append(client, &Entry::SessionGone { session });
            }
            Step::Subscribe { filter, .. } => {
                let subscription_id = self.made as u32;
                let filter = format!("topic/{filter}");
                seen.filters.insert(filter.clone(), subscription_id);
                let options = SubscriptionOptions::default();
                let filter = filter.as_str();
                self.append(client, &Entry::Subscribed { session, options, subscription_id, filter });
            }
            Step::Unsubscribe { filter, .. } => {
                let filter = format!("topic/{filter}");
                seen.filters.remove(&filter);
                self.append(client, &Entry::Unsubscribed { session, filter: &filter });
            }
            Step::Done { .. } => {
                let Some((number, _)) = oldest else { return };
                seen.queue.remove(&number);
                self.append(client, &Entry::Done { session, number });
            }
            Step::Release { .. } => {
                let Some((number, _)) = oldest else { return };
                seen.queue.insert(number, None);
                self.append(client, &Entry::Released { session, number });
            }
            Step::Rewrite { .. } => {
                let Some((number, Some((topic, payload, ids)))) = oldest else { return };
                let mut receivers = Vec::new();
                receiver(session, number, &ids).encode(&mut receivers);
                let receivers = Receivers { count: 1, bytes: &receivers };
                self.append(client, &Entry::Message(message(&topic, &payload, receivers, false)));
            }
            Step::Receive { packet_id, .. } => {
                seen.received.insert(packet_id);
                let packet_id = PacketId::new(packet_id).unwrap();
                self.append(client, &Entry::Received { session, packet_id });
            }
            Step::Free { packet_id, .. } => {
                seen.received.remove(&packet_id);
                let packet_id = PacketId::new(packet_id).unwrap();
                self.append(client, &Entry::Freed { session, packet_id });
            }
            Step::Store { packet_id, shards, share, .. } => self.store(client, packet_id, shards, share),
            Step::Over { packet_id, .. } => {
                self.stored.remove(&(client.to_owned(), packet_id));
                let handshake = self.handshake(client, packet_id);
                for log in &mut self.logs {
                    Entry::HandshakeOver(handshake).encode(log, false);
                }
            }
            _ => unreachable!("those are everybody's"),
        }
    }

    fn handshake(&self, client: &str, packet_id: u16) -> Handshake {
        let packet_id = PacketId::new(packet_id).unwrap();
        Handshake { home: self.placement.client(client), session: self.ids[client], packet_id }
    }

    fn store(&mut self, client: &str, packet_id: u16, shards: u8, share: bool) {
        let handshake = self.handshake(client, packet_id);
        for (shard, log) in self.logs.iter_mut().enumerate().filter(|(shard, _)| shards & 1 << shard != 0) {
            Entry::Handshake { handshake, share: "" }.encode(log, false);
            if share {
                Entry::Handshake { handshake, share: SHARE }.encode(log, false);
            }
            let stored = self.stored.entry((client.to_owned(), packet_id)).or_default();
            *stored = (stored.0 | 1 << shard, stored.1 | share);
        }
    }

    /// What is to be found after any move.
    fn expected(mut self) -> Model {
        for ((publisher, packet_id), (shards, share)) in self.stored {
            if self.model.sessions[&publisher].received.contains(&packet_id) {
                continue;
            }
            let has_got = |client: &&String| shards & 1 << self.placement.client(client).index() != 0;
            let mut got: BTreeSet<String> = self.model.sessions.keys().filter(has_got).cloned().collect();
            got.extend(share.then(|| SHARE.to_owned()));
            if !got.is_empty() {
                self.model.stored.insert((publisher, packet_id), got);
            }
        }
        self.model
    }

    /// One record on each shard on which somebody gets it, or on which it is retained.
    fn publish(&mut self, clients: u8, topic: u8, retain: bool) {
        let topic = format!("topic/{topic}");
        let payload = self.made.to_le_bytes().to_vec();
        for shard in 0..self.logs.len() {
            let mut receivers = Vec::new();
            let mut count = 0;
            for client in (0..CLIENTS).filter(|client| clients & 1 << client != 0).map(client_id) {
                let Some(seen) = self.model.sessions.get_mut(&client) else { continue };
                if self.placement.client(&client).index() == shard {
                    let number = self.numbers.entry(client.clone()).or_default();
                    *number += 1;
                    let ids = vec![self.made as u32, 2];
                    receiver(self.ids[&client], *number, &ids).encode(&mut receivers);
                    seen.queue.insert(*number, Some((topic.clone(), payload.clone(), ids)));
                    count += 1;
                }
            }
            let is_retained = retain && self.placement.topic(&topic).index() == shard;
            if count > 0 || is_retained {
                let receivers = Receivers { count, bytes: &receivers };
                let entry = Entry::Message(message(&topic, &payload, receivers, is_retained));
                entry.encode(&mut self.logs[shard], false);
            }
        }
        if retain {
            self.model.retained.insert(topic, payload);
        }
    }
}

/// The logs of so many shards with the same in them.
fn moved(from: &[Vec<u8>], shards: u8) -> Vec<Vec<u8>> {
    let mut census = Census::new(from.len() as u8);
    for (shard, log) in (0..).map(ShardId).zip(from) {
        for record in placed(log) {
            census.take(shard, &record).unwrap();
        }
    }
    let mut relocation = Relocation::new(census, Placement::new(shards, SEED));
    let mut logs = vec![Vec::new(); shards.into()];
    // The first time for nothing, to see that it can be done twice.
    for _ in 0..2 {
        logs.iter_mut().for_each(Vec::clear);
        while relocation.write_session() {}
        for (shard, log) in (0..).map(ShardId).zip(from) {
            for record in placed(log) {
                relocation.write_message(shard, &record).unwrap();
            }
        }
        relocation.write_handshakes();
        while let Some((to, batch)) = relocation.take_batch(0) {
            logs[to.index()].extend(batch);
        }
        relocation.rewind();
    }
    let counts = relocation.counts();
    let model = read(&logs, &Placement::new(shards, SEED));
    assert_eq!(
        (counts.sessions, counts.retained),
        (model.sessions.len() as u64, model.retained.len() as u64)
    );
    logs
}

/// The records as a log gives them back: each has a place.
fn placed(log: &[u8]) -> impl Iterator<Item = Record<'_>> {
    record::records(log).map(|record| {
        let position = Position { generation: 1, ..record.position };
        Record { position, ..record }
    })
}

fn receiver(session: SessionId, number: u64, ids: &[u32]) -> Receiver {
    let subscription_ids = ids.iter().copied().collect();
    Receiver { session, number, qos: QoS::AtLeastOnce, retain: false, subscription_ids }
}

fn message<'a>(
    topic: &'a str,
    payload: &'a [u8],
    receivers: Receivers<'a>,
    is_retained: bool,
) -> MessageEntry<'a> {
    MessageEntry {
        qos: QoS::AtLeastOnce,
        retain: is_retained,
        is_retained,
        expires_at_ms: Some(77),
        topic,
        forwarded: &[1, 2, 3],
        payload,
        receivers,
    }
}

/// What the logs hold, read by the simplest means; everything is where `placement` wants it.
fn read(logs: &[Vec<u8>], placement: &Placement) -> Model {
    let mut model = Model::default();
    let mut all_names: BTreeMap<(ShardId, SessionId), String> = BTreeMap::new();
    let mut handshakes = Vec::new();
    for (shard, log) in logs.iter().enumerate() {
        let mut names: BTreeMap<SessionId, String> = BTreeMap::new();
        for record in placed(log) {
            match Entry::decode(&record).unwrap() {
                Entry::Session(entry) => {
                    assert!(entry.is_whole);
                    assert_eq!(placement.client(entry.client_id).index(), shard, "at home");
                    assert!(entry.detached.is_none_or(|detached| detached.session == entry.session));
                    let seen = Seen {
                        expiry_s: entry.expiry_s,
                        sent: entry.detached.map(|detached| detached.sent),
                        has_will: entry.will.is_some(),
                        ..Seen::default()
                    };
                    assert!(
                        names.insert(entry.session, entry.client_id.to_owned()).is_none(),
                        "a name is given once"
                    );
                    assert!(model.sessions.insert(entry.client_id.to_owned(), seen).is_none(), "one of each");
                }
                Entry::Subscribed { session, subscription_id, filter, .. } => {
                    let seen = model.sessions.get_mut(&names[&session]).unwrap();
                    seen.filters.insert(filter.to_owned(), subscription_id);
                }
                Entry::Received { session, packet_id } => {
                    model.sessions.get_mut(&names[&session]).unwrap().received.insert(packet_id.get());
                }
                Entry::Released { session, number } => {
                    let seen = model.sessions.get_mut(&names[&session]).unwrap();
                    assert_eq!(seen.queue.insert(number, None), None, "once");
                }
                Entry::Message(entry) => {
                    let kept = (entry.topic.to_owned(), entry.payload.to_vec());
                    for Receiver { session, number, subscription_ids, .. } in entry.receivers.iter() {
                        let seen = model.sessions.get_mut(&names[&session]).unwrap();
                        let owed = Some((kept.0.clone(), kept.1.clone(), subscription_ids.to_vec()));
                        assert_eq!(seen.queue.insert(number, owed), None, "once");
                    }
                    if entry.is_retained {
                        assert_eq!(placement.topic(entry.topic).index(), shard, "at home");
                        assert_eq!(model.retained.insert(kept.0, kept.1), None, "one for each topic");
                    }
                    assert_eq!((entry.expires_at_ms, entry.forwarded), (Some(77), &[1, 2, 3][..]));
                }
                Entry::Handshake { handshake, share: "" } => {
                    handshakes.push((handshake, names.values().cloned().collect::<Vec<_>>()));
                }
                Entry::Handshake { handshake, share } => handshakes.push((handshake, vec![share.to_owned()])),
                Entry::HandshakePart { handshake, first, last } => {
                    let got: Vec<String> = names.range(first..=last).map(|(_, name)| name.clone()).collect();
                    assert!(!got.is_empty() && got.len() < names.len(), "some, and not all");
                    handshakes.push((handshake, got));
                }
                other => panic!("nothing that is over is written: {other:?}"),
            }
        }
        let shard = ShardId(shard as u8);
        all_names.extend(names.into_iter().map(|(id, name)| ((shard, id), name)));
    }
    for (Handshake { home, session, packet_id }, got) in handshakes {
        let publisher = all_names[&(home, session)].clone();
        model.stored.entry((publisher, packet_id.get())).or_default().extend(got);
    }
    model
}

fn step() -> impl Strategy<Value = Step> {
    let (client, few) = (0..CLIENTS, 0..4_u8);
    prop_oneof![
        3 => (client.clone(), any::<bool>()).prop_map(|(client, will)| Step::Connect { client, will }),
        1 => (client.clone(), any::<bool>()).prop_map(|(client, due)| Step::Detach { client, is_will_due: due }),
        1 => client.clone().prop_map(|client| Step::End { client }),
        2 => (client.clone(), few.clone()).prop_map(|(client, filter)| Step::Subscribe { client, filter }),
        1 => (client.clone(), few.clone()).prop_map(|(client, filter)| Step::Unsubscribe { client, filter }),
        6 => (any::<u8>(), few.clone(), any::<bool>())
            .prop_map(|(clients, topic, retain)| Step::Publish { clients, topic, retain }),
        1 => few.prop_map(|topic| Step::Clear { topic }),
        2 => client.clone().prop_map(|client| Step::Done { client }),
        1 => client.clone().prop_map(|client| Step::Release { client }),
        2 => client.clone().prop_map(|client| Step::Rewrite { client }),
        1 => (client.clone(), 1..4_u16).prop_map(|(client, packet_id)| Step::Receive { client, packet_id }),
        1 => (client.clone(), 1..4_u16).prop_map(|(client, packet_id)| Step::Free { client, packet_id }),
        3 => (client.clone(), 1..4_u16, any::<u8>(), any::<bool>())
            .prop_map(|(client, packet_id, shards, share)| Step::Store { client, packet_id, shards, share }),
        1 => (client, 1..4_u16).prop_map(|(client, packet_id)| Step::Over { client, packet_id }),
    ]
}

proptest! {
    #[test]
    fn everything_alive_moves_to_its_home_and_nothing_else_does(
        from in 1..5_u8,
        between in 1..5_u8,
        to in 1..5_u8,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut written = Written::new(from);
        steps.iter().for_each(|step| written.step(step));
        let logs = moved(&written.logs, between);
        let expected = written.expected();
        prop_assert_eq!(&read(&logs, &Placement::new(between, SEED)), &expected);
        let logs = moved(&logs, to);
        prop_assert_eq!(&read(&logs, &Placement::new(to, SEED)), &expected);
    }
}

const CLIENTS: usize = 8;
const SEED: u64 = 5;
const SHARE: &str = "$share/group/topic/+";

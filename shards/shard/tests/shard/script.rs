//! A few shards, a clock that the test moves, and clients that speak in packets and hear in words.

mod moving;
mod noting;
mod packets;
mod sockets;
mod turns;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::{net::IpAddr, sync::Arc, time::Duration};

use mqtt::{
    Connect, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, SubscriptionOptions,
    Unsubscribe, UserProperties, Version,
};
use shard::{
    Act, Acted, Answer, Ask, Batch, Config, ConnId, Effect, Effects, Event, Fetch, Full, Instant, Look, Mail,
    Outgoing, Piece, Reading, Seen, Shard, ShardId, Span, TapOrder, TapRead,
    store::{
        log::Position,
        record::{Record, records},
        restoring::Restoring,
    },
};

pub use packets::{ack, connect, options, publish};

/// A client: where its connection is now does not matter to a test.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Client(pub usize);

struct Wire {
    shard: usize,
    conn: ConnId,
    version: Version,
    /// What the broker sent and the test has not looked at.
    heard: Vec<u8>,
    closed: bool,
    reading: Reading,
    /// `Sent` is held back: the socket is full.
    stuck: bool,
    /// What it is full of.
    sending: Option<Box<Outgoing>>,
    sends: usize,
    door: u16,
}

pub struct Script {
    pub now: Instant,
    pub shards: Vec<Shard>,
    /// Between ordered pairs of shards; `None` in `room` is boundless.
    mail: VecDeque<(usize, usize, Mail)>,
    /// From whom and to whom each of them went, and how large it was.
    pub bundles: Vec<(usize, usize, usize)>,
    pub ring_slots: usize,
    wires: Vec<Wire>,
    by_conn: BTreeMap<(usize, ConnId), usize>,
    next_slot: u32,
    pub notes: Vec<String>,
    /// Whom each of them names.
    pub noted: Vec<Option<Arc<str>>>,
    /// Of messages that are traced, by shard.
    pub spans: Vec<(usize, Span)>,
    /// What shards want to know of clients.
    pub asks: Vec<Ask>,
    pub drained: usize,
    pub restored: usize,
    has_sent: bool,
    config: Config,
    /// What each shard has stored.
    stores: Vec<Vec<Batch>>,
    /// Batches that were not stored yet, while the disk is slow.
    under_way: Vec<Option<Batch>>,
    /// How many of its first batches each shard has given up.
    given_up: Vec<usize>,
    pub disk_is_slow: bool,
    /// What is to be read back.
    fetches: VecDeque<(usize, Fetch)>,
    /// How many messages were asked for in all.
    pub fetched: usize,
    pub reads_wait: bool,
    /// The disk gives nothing back, and the shard is told so after each read.
    pub reads_fail: bool,
    /// Whoever is told of from now on is at this address.
    pub crowd: Option<IpAddr>,
    /// From one shard to another: what is in it does not arrive.
    pub late_ring: Option<(usize, usize)>,
}

impl Script {
    pub fn new(config: Config) -> Script {
        Script::with_rings(config, 1 << 20)
    }

    /// Where each ring has so many slots.
    pub fn with_rings(config: Config, slots: usize) -> Script {
        let now = Instant::from_nanos(1_000_000_000);
        let shards = (0..config.shards).map(|id| Shard::new(ShardId(id), &config, now, 42)).collect();
        let mut script = Script {
            now,
            shards,
            mail: VecDeque::new(),
            bundles: Vec::new(),
            ring_slots: slots,
            wires: Vec::new(),
            by_conn: BTreeMap::new(),
            next_slot: 0,
            notes: Vec::new(),
            noted: Vec::new(),
            spans: Vec::new(),
            asks: Vec::new(),
            drained: 0,
            restored: 0,
            has_sent: false,
            stores: vec![Vec::new(); usize::from(config.shards)],
            under_way: vec![None; usize::from(config.shards)],
            given_up: vec![0; usize::from(config.shards)],
            disk_is_slow: false,
            fetches: VecDeque::new(),
            fetched: 0,
            reads_wait: false,
            reads_fail: false,
            crowd: None,
            late_ring: None,
            config,
        };
        script.give_room(slots);
        script
    }

    pub fn of_one() -> Script {
        Script::new(Config::default())
    }

    /// Tells every shard how much room its rings have.
    pub fn give_room(&mut self, slots: usize) {
        self.ring_slots = slots;
        for shard in 0..self.shards.len() {
            for to in 0..self.shards.len() {
                if to != shard {
                    self.event(shard, Event::MailRoom { to: ShardId(to as u8), slots });
                }
            }
        }
        self.settle();
    }

    /// One event, its effects, no more.
    pub fn event(&mut self, shard: usize, event: Event<'_>) {
        let mut effects = Effects::default();
        self.shards[shard].handle(self.now, event, &mut effects);
        for effect in std::mem::take(&mut effects.queue) {
            self.carry_out(shard, effect);
        }
    }

    pub fn act(&mut self, shard: usize, act: Act) -> Acted {
        let acted = self.act_unsettled(shard, act);
        self.settle();
        acted
    }

    /// In the midst of a tick.
    pub fn act_unsettled(&mut self, shard: usize, act: Act) -> Acted {
        let mut effects = Effects::default();
        let acted = self.shards[shard].act(self.now, act, &mut effects);
        for effect in std::mem::take(&mut effects.queue) {
            self.carry_out(shard, effect);
        }
        acted
    }

    /// Every connection comes from an address of its own, which ends with its slot.
    pub fn tap(&mut self, shard: usize, order: &TapOrder) -> TapRead {
        let mut address = |conn: shard::ConnId| Some(([192, 0, 2, conn.slot as u8], 1883).into());
        self.shards[shard].name_tapped(&mut address);
        let read = self.shards[shard].tap(self.now, order);
        // The turn ends.
        self.shards[shard].name_tapped(&mut address);
        read
    }

    pub fn look(&self, shard: usize, look: &Look) -> Seen {
        self.shards[shard].look(self.now, look)
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Send { conn, bytes } => {
                let wire = self.by_conn[&(shard, conn)];
                let wire = &mut self.wires[wire];
                wire.sends += 1;
                self.has_sent = true;
                bytes.slices().for_each(|slice| wire.heard.extend_from_slice(slice));
                if wire.stuck {
                    wire.sending = Some(bytes);
                } else {
                    self.event(shard, Event::Sent { conn });
                }
            }
            Effect::Close { conn } => {
                let wire = self.by_conn.remove(&(shard, conn)).expect("only an open connection is closed");
                self.wires[wire].closed = true;
            }
            Effect::Read { conn, reading } => {
                if let Some(wire) = self.by_conn.get(&(shard, conn)) {
                    self.wires[*wire].reading = reading;
                }
            }
            Effect::HandOver { conn, to, unread } => {
                let index = self.by_conn.remove(&(shard, conn)).expect("only an open connection moves");
                let to = to.index();
                let conn = self.open_at(to, index);
                let door = self.wires[index].door;
                self.event(to, Event::Opened { conn, refuse: None, door });
                self.event(to, Event::Bytes { conn, bytes: unread.expose() });
            }
            Effect::Authenticate { conn, ask } => {
                assert!(self.by_conn.contains_key(&(shard, conn)), "only who is there is asked about");
                self.asks.push(*ask);
            }
            Effect::Mail { to, mail } => {
                if let Mail::Bundle(bundle) = &mail {
                    self.bundles.push((shard, to.index(), bundle.len()));
                }
                self.mail.push_back((shard, to.index(), mail));
            }
            Effect::Span(span) => self.spans.push((shard, *span)),
            Effect::Note(note) => self.note(shard, note),
            Effect::Drained => self.drained += 1,
            Effect::Restored => self.restored += 1,
            Effect::Fetch(fetch) => {
                self.fetches.push_back((shard, fetch));
                self.fetched += 1;
                self.has_sent = true;
            }
            Effect::Store(batch) => {
                assert!(self.under_way[shard].replace(batch).is_none(), "one batch is under way");
                if !self.disk_is_slow {
                    self.store(shard);
                }
            }
        }
    }

    /// The disk has done what it was asked to do. False: it was asked for nothing.
    pub fn store(&mut self, shard: usize) -> bool {
        let Some(batch) = self.under_way[shard].take() else { return false };
        let number = batch.number;
        let position = Position::from_u64(place_of(self.stores[shard].len()));
        let piece = Piece { range: 0..batch.records.len(), position };
        self.stores[shard].push(batch);
        self.has_sent = true;
        self.event(shard, Event::Stored { batch: number, pieces: &[piece] });
        true
    }

    /// The disk has read what was asked for last.
    fn read(&mut self) -> bool {
        let Some((shard, fetch)) = self.fetches.pop_back() else { return false };
        if self.reads_fail {
            assert!(self.fetched < 100_000, "what cannot be read is asked for for ever");
            self.event(shard, Event::Fetched { fetch, record: None });
            self.event(shard, Event::StoreFailed);
            return true;
        }
        let (count, offset) = batch_at(fetch.position.to_u64());
        let batch = self.stores[shard].get(count).filter(|_| count >= self.given_up[shard]).cloned();
        let record = batch.as_ref().map(|batch| {
            let record = records(&batch.records).find(|record| record.position.offset == offset);
            Record { position: fetch.position, ..record.expect("a record stands there") }
        });
        self.event(shard, Event::Fetched { fetch, record });
        true
    }

    /// The oldest batch of a shard is given up: what is alive in it is written again.
    pub fn give_up_oldest(&mut self, shard: usize) {
        let count = self.given_up[shard];
        self.given_up[shard] += 1;
        let batch = self.stores[shard][count].clone();
        for record in records(&batch.records) {
            let position = Position::from_u64(place_of(count) + u64::from(record.position.offset));
            self.event(shard, Event::Review { record: Record { position, ..record } });
        }
        self.settle();
    }

    /// Everything ends at once; what was stored comes back. Nobody is connected.
    pub fn crash(&mut self) {
        let slow = self.disk_is_slow;
        self.restart();
        self.settle();
        assert_eq!(self.restored, self.shards.len(), "every shard says that it is restored");
        self.disk_is_slow = slow;
    }

    /// The same, but no shard has heard of the others yet.
    pub fn restart(&mut self) {
        let stores = std::mem::take(&mut self.stores);
        let mut next = Script::new(self.config.clone());
        next.now = self.now;
        next.late_ring = self.late_ring;
        next.stores.clone_from(&stores);
        for (shard, batches) in stores.iter().enumerate() {
            let mut restoring = Restoring::new(self.config.store_epoch_ms.expect("there is a store"));
            next.given_up[shard] = self.given_up[shard];
            each_record(batches, self.given_up[shard], |record| {
                restoring.take(record).expect("a shard understands what it has written");
            });
            let mut effects = Effects::default();
            next.shards[shard].restore(restoring, self.now, &mut effects);
            effects.queue.drain(..).for_each(|effect| next.carry_out(shard, effect));
        }
        *self = next;
    }

    fn open_at(&mut self, shard: usize, wire: usize) -> ConnId {
        let conn = ConnId { slot: self.next_slot, generation: 7 };
        self.next_slot += 1;
        self.wires[wire].shard = shard;
        self.wires[wire].conn = conn;
        self.by_conn.insert((shard, conn), wire);
        conn
    }

    /// Flushes and delivers mail until nothing moves.
    pub fn settle(&mut self) {
        loop {
            self.has_sent = false;
            for shard in 0..self.shards.len() {
                self.event(shard, Event::Flush);
            }
            match self.next_mail() {
                Some((from, to, mail)) => self.event(to, Event::Mail { from: ShardId(from as u8), mail }),
                None if self.has_sent => {}
                None if !self.reads_wait && self.read() => {}
                None => break,
            }
        }
    }

    fn next_mail(&mut self) -> Option<(usize, usize, Mail)> {
        let late = self.late_ring;
        let first = self.mail.iter().position(|(from, to, _)| Some((*from, *to)) != late)?;
        self.mail.remove(first)
    }

    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = self.shards.iter().filter_map(Shard::next_deadline).min();
            match due {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    for shard in 0..self.shards.len() {
                        self.event(shard, Event::Timer);
                    }
                    self.settle();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub fn secs(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub fn given_up(&self, shard: usize) -> usize {
        self.given_up[shard]
    }

    /// How many batches a shard has stored.
    pub fn batches(&self, shard: usize) -> usize {
        self.stores[shard].len()
    }

    pub fn open(&mut self) -> Client {
        self.open_by(0, false)
    }

    pub fn open_by(&mut self, door: u16, refuse: bool) -> Client {
        let refuse = refuse.then_some(Full::Server);
        self.open_by_at(door, refuse, self.wires.len() % self.shards.len())
    }

    /// The system gives the connection to that shard.
    pub fn open_at_shard(&mut self, shard: usize) -> Client {
        self.open_by_at(0, None, shard)
    }

    pub fn open_by_at(&mut self, door: u16, refuse: Option<Full>, shard: usize) -> Client {
        let index = self.wires.len();
        let conn = ConnId { slot: 0, generation: 0 };
        let version = Version::V5;
        self.wires.push(Wire {
            shard: 0,
            conn,
            version,
            heard: Vec::new(),
            closed: false,
            reading: Reading::Once,
            stuck: false,
            sending: None,
            sends: 0,
            door,
        });
        let conn = self.open_at(shard, index);
        self.event(shard, Event::Opened { conn, refuse, door });
        Client(index)
    }

    pub fn bytes(&mut self, client: Client, bytes: &[u8]) {
        let (shard, conn) = (self.wires[client.0].shard, self.wires[client.0].conn);
        if !self.wires[client.0].closed {
            self.event(shard, Event::Bytes { conn, bytes });
        }
        self.settle();
    }

    pub fn packet(&mut self, client: Client, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.wires[client.0].version, &mut bytes);
        self.bytes(client, &bytes);
    }

    /// A 5.0 client whose session ends with its connection, connected and with its CONNACK taken.
    pub fn join(&mut self, client_id: &str) -> Client {
        self.connect(&connect(client_id)).0
    }

    /// A 5.0 client whose session lives for an hour.
    pub fn join_for_an_hour(&mut self, client_id: &str) -> Client {
        let mut wanted = connect(client_id);
        wanted.clean_start = false;
        wanted.properties.session_expiry_interval_s = Some(3600);
        self.connect(&wanted).0
    }

    pub fn connect(&mut self, connect: &Connect<'_>) -> (Client, Vec<String>) {
        let client = self.open();
        self.say_connect(client, connect);
        let heard = self.hear(client);
        (client, heard)
    }

    pub fn say_connect(&mut self, client: Client, connect: &Connect<'_>) {
        self.wires[client.0].version = connect.version;
        self.packet(client, &Packet::Connect(Box::new(connect.clone())));
    }

    /// Whoever was asked about this client answers, whatever has become of it.
    pub fn answer(&mut self, client: Client, answer: Answer) {
        let (shard, conn) = (self.wires[client.0].shard, self.wires[client.0].conn);
        self.event(shard, Event::Authenticated { conn, answer: Box::new(answer) });
        self.settle();
    }

    pub fn publish(&mut self, client: Client, topic: &str, payload: &str) {
        self.packet(client, &Packet::Publish(publish(topic, payload, QoS::AtMostOnce, None)));
    }

    pub fn publish_qos(&mut self, client: Client, topic: &str, payload: &str, qos: u8, id: u16) {
        let qos = QoS::try_from(qos).unwrap();
        self.packet(client, &Packet::Publish(publish(topic, payload, qos, PacketId::new(id))));
    }

    pub fn retain(&mut self, client: Client, topic: &str, payload: &str) {
        let packet = Publish { retain: true, ..publish(topic, payload, QoS::AtMostOnce, None) };
        self.packet(client, &Packet::Publish(packet));
    }

    pub fn subscribe(&mut self, client: Client, filter: &str, qos: u8) {
        self.subscribe_with(client, filter, options(qos), None);
    }

    pub fn subscribe_with(
        &mut self,
        client: Client,
        filter: &str,
        options: SubscriptionOptions,
        id: Option<u32>,
    ) {
        let subscribe = Subscribe {
            packet_id: PacketId::new(9).unwrap(),
            subscription_id: id,
            user_properties: UserProperties::default(),
            filters: vec![(filter, options)],
        };
        self.packet(client, &Packet::Subscribe(subscribe));
    }

    pub fn unsubscribe(&mut self, client: Client, filter: &str) {
        let packet_id = PacketId::new(10).unwrap();
        let filters = vec![filter];
        let user_properties = UserProperties::default();
        self.packet(client, &Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, filters }));
    }

    pub fn puback(&mut self, client: Client, id: u16) {
        self.packet(client, &Packet::Puback(ack(id)));
    }

    pub fn disconnect(&mut self, client: Client, reason: ReasonCode) {
        self.packet(client, &Packet::Disconnect(Disconnect { reason, ..Disconnect::default() }));
    }

    /// How many there were.
    pub fn clients(&self) -> usize {
        self.wires.len()
    }

    pub fn is_closed(&self, client: Client) -> bool {
        self.wires[client.0].closed
    }

    pub fn reading(&self, client: Client) -> Reading {
        self.wires[client.0].reading
    }

    pub fn sends(&self, client: Client) -> usize {
        self.wires[client.0].sends
    }

    pub fn conn(&self, client: Client) -> (usize, ConnId) {
        (self.wires[client.0].shard, self.wires[client.0].conn)
    }

    /// What the client got since the last look, a line per packet.
    pub fn hear(&mut self, client: Client) -> Vec<String> {
        let wire = &mut self.wires[client.0];
        let heard = std::mem::take(&mut wire.heard);
        let mut lines = Vec::new();
        let mut at = 0;
        while let Some(frame) =
            mqtt::split(&heard[at..], u32::MAX).expect("the broker sends well-formed frames")
        {
            let packet = mqtt::decode(&frame, wire.version).expect("the broker sends well-formed packets");
            lines.push(words::describe(&packet));
            at += frame.size;
        }
        assert_eq!(at, heard.len(), "the broker sends whole packets");
        lines
    }

    /// What the client has not looked at.
    pub fn heard_bytes(&self, client: Client) -> usize {
        self.wires[client.0].heard.len()
    }

    pub fn counter(&self, name: &str) -> u64 {
        let values = self.shards.iter().flat_map(|shard| shard.counters().iter());
        values.filter(|(counter, _, _)| *counter == name).map(|(_, _, value)| value).sum()
    }

    /// Client ids whose homes are the shards 0, 1, 2 …
    pub fn ids_by_home(config: &Config, prefix: &str) -> Vec<String> {
        let placement = shard::Placement::new(config.shards, config.placement_seed);
        let home = |shard: u8| {
            let ids = (0..).map(|n| format!("{prefix}-{n}"));
            ids.into_iter().find(|id| placement.client(id) == ShardId(shard)).unwrap()
        };
        (0..config.shards).map(home).collect()
    }
}

/// What is there after a crash: a group whose end is not there does not count.
fn each_record(batches: &[Batch], given_up: usize, mut each: impl FnMut(&Record<'_>)) {
    let mut group = Vec::new();
    for (count, batch) in batches.iter().enumerate().skip(given_up) {
        for record in records(&batch.records) {
            let position = Position::from_u64(place_of(count) + u64::from(record.position.offset));
            group.push(Record { position, ..record });
            if !record.more {
                group.drain(..).for_each(|record| each(&record));
            }
        }
    }
}

/// Batches of this store stand far from each other.
fn place_of(count: usize) -> u64 {
    (count as u64 + 1) << 32
}

fn batch_at(place: u64) -> (usize, u32) {
    ((place >> 32) as usize - 1, place as u32)
}

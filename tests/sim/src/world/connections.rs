//! How connections begin and how they break.

use std::time::Duration;

use mqtt::Version;
use shard::{ConnId, Event, Full, Look, Message, Seen};

use super::World;
use crate::{
    agenda::Action,
    client::{Client, ConnectPlan},
    fault::Fault,
    ledger::{Oracle, SLACK},
    malice,
    said::{Identity, STRANGER_PAYLOAD},
    socket::{Owner, Receive, Side, Socket},
};

impl World {
    pub(super) fn make_clients(&mut self) {
        for index in 0..self.settings.clients {
            let version =
                *self.random.pick(&[Version::V5, Version::V5, Version::V311, Version::V311, Version::V31]);
            let is_nameless = self.random.percent(5) && version == Version::V5;
            let client_id =
                if is_nameless { String::new() } else { format!("c{index}/-{}", self.random.below(1000)) };
            self.clients.push(Client::new(index, client_id, version));
            self.plan_in(self.settings.pause_us_max, Action::Act(index));
        }
    }

    pub fn connect(&mut self, client: usize, plan: &ConnectPlan) {
        if let Some(old) = self.clients[client].socket {
            // The old connection is left to be taken over, or closed at the same time.
            self.sockets[old].attached = false;
            self.sockets[old].up_ends |= self.random.percent(50);
            self.plan_up(old);
        }
        let socket = self.new_socket(Owner::Client(client));
        self.clients[client].connect(socket, plan, &mut self.ledger);
        self.write_out(client);
    }

    fn new_socket(&mut self, owner: Owner) -> usize {
        let to = self.random.index(self.cores.len());
        let (low, high) = self.settings.network.down_room;
        let room = self.random.between(low, high) as usize;
        self.sockets.push(Socket::new(owner, to, room));
        self.taps.push(crate::tap::Tap::default());
        let socket = self.sockets.len() - 1;
        self.plan_in(self.settings.network.wire_delay_us_max, Action::Open(socket));
        socket
    }

    /// A socket arrives at a shard, with the bytes that it brought to another one.
    pub(super) fn open(&mut self, socket: usize) {
        let Side::Moving { to, unread } = self.sockets[socket].side.clone() else { return };
        if !self.is_serving {
            return self.plan_in(BACKLOG_US_MAX, Action::Open(socket));
        }
        let is_first = unread.is_empty();
        if is_first {
            let open = self.sockets.iter().filter(|socket| matches!(socket.side, Side::Open { .. })).count();
            self.sockets[socket].refuse =
                open >= self.settings.connections_max && self.phase == super::Phase::Acting;
        }
        let conn = self.take_slot(to, socket);
        let it = &mut self.sockets[socket];
        it.side = Side::Open { shard: to, conn };
        it.receive = Receive::Armed;
        it.opened = self.now;
        it.given = Some(unread.clone());
        let refuse = it.refuse.then_some(Full::Server);
        self.handle(to, Event::Opened { conn, refuse, door: 0 });
        if !is_first && self.sockets[socket].on() == Some((to, conn)) {
            self.sockets[socket].receive = Receive::Idle;
            self.handle(to, Event::Bytes { conn, bytes: &unread });
        }
        self.plan_up(socket);
    }

    /// A slot is used again with a higher generation, as soon as it is free.
    fn take_slot(&mut self, core: usize, socket: usize) -> ConnId {
        let slots = &mut self.cores[core].slots;
        let slot = slots.iter().position(|(_, used)| used.is_none()).unwrap_or_else(|| {
            slots.push((0, None));
            slots.len() - 1
        });
        slots[slot].0 += 1;
        slots[slot].1 = Some(socket);
        ConnId { slot: slot as u32, generation: slots[slot].0 }
    }

    /// The client closes its end without a DISCONNECT.
    pub fn hang_up(&mut self, client: usize, socket: usize) {
        self.clients[client].leave();
        self.sockets[socket].attached = false;
        self.sockets[socket].up_ends = true;
        self.plan_up(socket);
    }

    /// The connection breaks. What was under way is lost at any byte.
    pub fn cut(&mut self, client: usize) {
        let Some(socket) = self.clients[client].socket else { return };
        self.clients[client].leave();
        let it = &mut self.sockets[socket];
        it.attached = false;
        match self.random.below(10) {
            // The client closes without a word; what it has written arrives.
            0..=2 => it.up_ends = true,
            // Nobody is told. The broker finds out by the keep-alive, or after a long time.
            3 => {
                it.dead = true;
                let after = Duration::from_millis(self.random.between(100, 30_000));
                self.agenda.plan(self.now + after, Action::Gone(socket));
            }
            _ => {
                let (up, down) = (it.up_len(), it.down.len());
                it.lose_up(self.random.index(up + 1));
                if !self.sockets[socket].is_sending() {
                    self.sockets[socket].lose_down(self.random.index(down + 1));
                }
                self.plan_in(500_000, Action::Gone(socket));
            }
        }
        self.plan_up(socket);
        self.plan_read(socket);
    }

    /// A connection that does what it should not.
    pub(super) fn send_stranger(&mut self) {
        if self.phase != super::Phase::Acting {
            return;
        }
        let socket = self.new_socket(Owner::Stranger);
        let retains = self.fault == Some(Fault::RetainStrangers);
        let bytes = malice::bytes(&mut self.random, retains);
        self.trace.explain(self.now, format_args!("a stranger opens socket {socket}"));
        self.sockets[socket].write(&bytes, None);
        if self.random.percent(30) {
            self.sockets[socket].up_ends = true;
        }
        self.sockets[socket].stalled = self.random.percent(20);
        self.plan_in(2_000_000, Action::Stranger);
    }

    /// The topics on which strangers have left something retained, as the shards show them: nobody else keeps account of it.
    pub fn topics_of_strangers(&mut self) -> Vec<String> {
        let messages: Vec<Message> = (0..self.cores.len()).flat_map(|core| self.retained(core)).collect();
        let is_strangers = |message: &&Message| Identity::of(message.payload()) == Identity::Stranger;
        let mut topics = Vec::new();
        for message in messages.iter().filter(is_strangers) {
            if message.payload() == STRANGER_PAYLOAD {
                let what =
                    format!("{:?} retains a message that was published without the flag", message.topic());
                self.ledger.fail(Oracle::Retained, what);
            }
            topics.push(message.topic().to_owned());
        }
        topics
    }

    fn retained(&self, core: usize) -> Vec<Message> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let look = Look::Retained { filter: "#".into(), after, most: usize::MAX };
            let Seen::Retained { messages, next } = self.cores[core].shard.look(self.shard_now(), &look)
            else {
                return found;
            };
            found.extend(messages);
            after = next;
            if after.is_none() {
                return found;
            }
        }
    }

    /// Who has not brought a CONNECT in time is gone.
    pub fn check_strangers_are_closed(&mut self) {
        let limit = self.settings.config.limits.connect_timeout + SLACK;
        for index in 0..self.sockets.len() {
            let it = &self.sockets[index];
            if it.on().is_some() && !it.is_connected && !it.dead && self.now > it.opened + limit {
                let what = format!("socket {index}: open since {:?} without a CONNECT", it.opened);
                self.ledger.fail(Oracle::LeftOpen, what);
            }
        }
    }

    /// Ends everything that keeps the world from coming to rest: dead networks, stopped readers, abandoned connections.
    pub fn heal(&mut self) {
        for socket in 0..self.sockets.len() {
            let it = &self.sockets[socket];
            let owner = it.owner;
            let is_current =
                matches!(owner, Owner::Client(client) if self.clients[client].socket == Some(socket));
            if it.dead || !is_current {
                self.sockets[socket].dead = false;
                self.sockets[socket].lose_up(0);
                self.plan_in(1_000, Action::Gone(socket));
            }
            self.sockets[socket].stalled = false;
            self.plan_read(socket);
            self.plan_down(socket);
        }
        for client in 0..self.clients.len() {
            if self.clients[client].is_silent {
                self.cut(client);
            }
        }
    }
}

/// A broker that is not ready yet leaves connections in the backlog for so long before it looks again.
const BACKLOG_US_MAX: u64 = 50_000;

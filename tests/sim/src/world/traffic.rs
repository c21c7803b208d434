//! How bytes move: in pieces of any size, after any time, as far as somebody reads.

use shard::{Event, Outgoing};

use super::{World, looking_on::unkept_behind};
use crate::{
    agenda::Action,
    client::Phase,
    fault::Fault,
    ledger::Oracle,
    socket::{Owner, Receive, Side},
};

impl World {
    /// What the client has written goes into its socket.
    pub fn write_out(&mut self, client: usize) {
        let out = std::mem::take(&mut self.clients[client].out);
        let Some(socket) = self.clients[client].socket else { return };
        for (bytes, mut said) in out {
            if let Some(fault) = self.fault {
                fault.misstate(&mut said);
            }
            self.sockets[socket].write(&bytes, Some(said));
        }
        self.plan_up(socket);
        if self.clients[client].wants_close {
            self.sockets[socket].up_ends = true;
            self.sockets[socket].attached = false;
            self.clients[client].leave();
            self.plan_up(socket);
        }
    }

    pub(super) fn plan_up(&mut self, socket: usize) {
        let it = &self.sockets[socket];
        let has_something = (it.up_len() > 0 && it.may_arrive()) || (it.up_len() == 0 && it.up_ends);
        if has_something && !it.up_due && !it.dead && it.on().is_some() {
            self.sockets[socket].up_due = true;
            self.plan_in(self.settings.network.wire_delay_us_max, Action::Up(socket));
        }
    }

    pub(super) fn move_up(&mut self, socket: usize) {
        self.sockets[socket].up_due = false;
        let Some((core, conn)) = self.sockets[socket].on() else { return };
        let len = self.sockets[socket].up_len();
        if len == 0 {
            if self.sockets[socket].up_ends {
                self.lose(socket);
            }
            return;
        }
        // A read that was under way when the shard paused the connection still brings its bytes.
        let is_late = self.sockets[socket].receive == Receive::Paused && self.random.percent(30);
        if self.sockets[socket].may_arrive() || is_late {
            let n = if self.random.percent(60) { len } else { 1 + self.random.skewed(len as u64) as usize };
            let bytes = self.sockets[socket].arrive(n);
            self.handle(core, Event::Bytes { conn, bytes: &bytes });
        }
        self.plan_up(socket);
    }

    pub(super) fn plan_down(&mut self, socket: usize) {
        let it = &self.sockets[socket];
        if it.is_sending() && !it.down_due && !it.dead && !it.is_full() {
            self.sockets[socket].down_due = true;
            self.plan_in(self.settings.network.wire_delay_us_max, Action::Down(socket));
        }
    }

    pub(super) fn move_down(&mut self, socket: usize) {
        self.sockets[socket].down_due = false;
        if !self.sockets[socket].is_sending() || self.sockets[socket].dead {
            return;
        }
        if self.sockets[socket].is_left() && (self.sockets[socket].down_ends || self.random.percent(50)) {
            return self.fail_send_to_leaver(socket);
        }
        let n = if self.random.percent(50) { usize::MAX } else { 1 + self.random.skewed(4096) as usize };
        let is_early = self.fault == Some(Fault::ConfirmEarly) && self.random.percent(20);
        if is_early && let Some((core, conn)) = self.sockets[socket].on() {
            self.handle(core, Event::Sent { conn });
        }
        if self.sockets[socket].take_down(n) {
            self.sockets[socket].down_due = true;
            self.plan_in(self.settings.network.wire_delay_us_max / 4 + 1, Action::Sent(socket));
        } else {
            self.plan_down(socket);
        }
        self.plan_read(socket);
    }

    pub(super) fn finish_send(&mut self, socket: usize) {
        self.sockets[socket].down_due = false;
        if self.sockets[socket].dead || !self.sockets[socket].is_sending() {
            return;
        }
        self.sockets[socket].finish_send();
        match self.sockets[socket].on() {
            Some((core, conn)) => self.handle(core, Event::Sent { conn }),
            None => {
                self.sockets[socket].down_ends = true;
                if let Some((core, conn)) = self.sockets[socket].was {
                    self.handle(core, Event::Sent { conn });
                }
            }
        }
        self.plan_read(socket);
    }

    /// The client has closed its end, and what it has said before that is read all the same.
    fn fail_send_to_leaver(&mut self, socket: usize) {
        let Some((core, conn)) = self.sockets[socket].on() else { return };
        self.sockets[socket].end_send();
        self.sockets[socket].down_ends = true;
        self.tell_unsent(socket);
        self.handle(core, Event::Sent { conn });
    }

    /// A shard learns what the socket has not taken.
    pub(super) fn tell_unsent(&mut self, socket: usize) {
        let Some((bytes, mut taken)) = self.sockets[socket].take_unsent() else { return };
        let Some((core, conn)) = self.sockets[socket].on().or(self.sockets[socket].was) else { return };
        self.unkept.untaken += unkept_behind(&bytes, taken);
        match self.fault {
            Some(Fault::UnderstateTaken) => taken = 0,
            Some(Fault::OverstateTaken) => taken = bytes.len(),
            _ => {}
        }
        let outgoing = Box::new(Outgoing::of_bytes(bytes));
        self.handle(core, Event::Unsent { conn, outgoing, taken });
    }

    pub fn plan_read(&mut self, socket: usize) {
        let it = &self.sockets[socket];
        let has_something = !it.down.is_empty() || it.down_ends;
        if has_something && !it.read_due && !it.stalled && !it.dead {
            self.sockets[socket].read_due = true;
            self.plan_in(self.settings.network.wire_delay_us_max, Action::Read(socket));
        }
    }

    /// The client's end reads.
    pub(super) fn read(&mut self, socket: usize) {
        self.sockets[socket].read_due = false;
        if self.sockets[socket].stalled || self.sockets[socket].dead {
            return;
        }
        let n = if self.random.percent(60) { usize::MAX } else { 1 + self.random.skewed(2048) as usize };
        let bytes = self.sockets[socket].read_down(n);
        self.plan_down(socket);
        let is_over = self.sockets[socket].down_ends && self.sockets[socket].down.is_empty();
        if let Owner::Client(client) = self.sockets[socket].owner
            && self.sockets[socket].attached
            && self.clients[client].socket == Some(socket)
        {
            self.clients[client].receive(&bytes, &mut self.ledger);
            self.plan_acks(client);
            if is_over {
                self.clients[client].wants_close = true;
            }
            self.write_out(client);
        }
        if is_over {
            self.end_if_closed(socket);
        } else {
            self.plan_read(socket);
        }
    }

    fn end_if_closed(&mut self, socket: usize) {
        if self.sockets[socket].side == Side::Closing {
            self.sockets[socket].side = Side::Gone;
        }
    }

    pub fn plan_acks(&mut self, client: usize) {
        let it = &self.clients[client];
        if it.acks.is_empty() || it.acks_due || it.phase != Phase::Online {
            return;
        }
        let us_max = if it.acks_are_slow { 2_000_000 } else { 1_000 };
        self.clients[client].acks_due = true;
        self.plan_in(us_max, Action::Acks(client));
    }

    pub(super) fn send_acks(&mut self, client: usize) {
        self.clients[client].acks_due = false;
        if self.clients[client].phase != Phase::Online || self.clients[client].is_silent {
            return;
        }
        let owed = self.clients[client].acks.len() as u64;
        let n = if self.random.percent(70) { owed } else { self.random.between(1, owed.max(1)) };
        self.clients[client].acknowledge(n as usize);
        self.write_out(client);
        self.plan_acks(client);
    }

    /// Everything that a shard sends is heard here first, packet by packet.
    pub(super) fn listen(&mut self, socket: usize, bytes: &[u8]) {
        let Some(version) = self.ledger.connection(socket).map(|connection| connection.said.version) else {
            // Who has not said CONNECT gets no packet, but strangers are not in the ledger.
            if matches!(self.sockets[socket].owner, Owner::Client(_)) {
                let what = format!("socket {socket}: {} bytes before CONNECT", bytes.len());
                self.ledger.fail(Oracle::Protocol, what);
            }
            return;
        };
        let mut tap = std::mem::take(&mut self.taps[socket]);
        let readable = self.trace.is_readable();
        let (ledger, trace, now) = (&mut self.ledger, &mut self.trace, self.now);
        let mut publishes = 0;
        let heard = tap.hear(bytes, version, |packet, size| {
            if readable {
                trace.explain(now, format_args!("    socket {socket} is sent {packet:?}"));
            }
            publishes += u64::from(matches!(packet, mqtt::Packet::Publish(_)));
            ledger.on_packet(socket, packet, size);
        });
        if let Err(violation) = heard {
            self.ledger.fail(Oracle::Undecodable, format!("socket {socket}: {violation}"));
        }
        if heard.is_ok() && !tap.is_at_boundary() {
            self.ledger.fail(Oracle::Undecodable, format!("socket {socket}: a send ends within a packet"));
        }
        self.ledger.on_send(socket);
        self.publishes_sent += publishes;
        self.taps[socket] = tap;
    }

    /// A shard learns that a socket is gone.
    pub(super) fn lose(&mut self, socket: usize) {
        let Some((core, conn)) = self.sockets[socket].on() else { return };
        if self.fault == Some(Fault::ForgetClosed) && self.random.percent(20) {
            self.sockets[socket].dead = true;
            return;
        }
        self.release(core, socket);
        self.sockets[socket].side = Side::Gone;
        let fails = self.sockets[socket].is_sending() && self.random.percent(50);
        // A send that fails is told before the end that it brings about; one that is given up with the connection, behind it.
        let is_first = fails && self.random.percent(50);
        if fails {
            self.sockets[socket].end_send();
        }
        if is_first {
            self.tell_unsent(socket);
        }
        self.lost = Some(socket);
        self.handle(core, Event::Closed { conn });
        if fails && !is_first {
            self.plan_in(self.settings.network.wire_delay_us_max, Action::Unsent(socket));
        }
    }
}

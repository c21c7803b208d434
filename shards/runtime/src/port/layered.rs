//! Connections with layers between their sockets and MQTT.
//!
//! The shard hears of one when its layers stand, and of bytes when they have come out of them. Until then the connection
//! is this file's alone. What layers say themselves and what the shard says leaves by one output, so that at most one send
//! is under way here, too.

use shard::{ConnId, Full, Instant, NotOpened, Outgoing, Reading};

use super::{
    Happened, Port, shut,
    turned_away::{BANNED, TOO_OFTEN},
};
use crate::{
    buffers::Filled,
    connection::{Address, Stage},
    layers::{At, Layers, Refusal},
};

impl Port {
    /// What `Happened::Layered` brought. It goes back with `keep_plain`.
    pub fn take_plain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch.plain)
    }

    pub fn keep_plain(&mut self, mut plain: Vec<u8>) {
        plain.clear();
        plain.shrink_to(PLAIN_BYTES_KEPT);
        self.scratch.plain = plain;
    }

    /// The shard may be told of this connection.
    pub fn is_open(&mut self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(|entry| entry.stage == Stage::Open)
    }

    pub fn has_due(&self) -> bool {
        !self.due.is_empty() || !self.leaving.is_empty()
    }

    /// Ends one of those that have ended their WebSocket, and says whether by a violation. The shard has had what they said before, and has answered.
    pub fn on_leaving(&mut self, now: Instant) -> Option<(ConnId, bool)> {
        loop {
            let conn = self.leaving.pop_front()?;
            let Some(entry) = self.connections.get(conn) else { continue };
            let layers = entry.layers.as_mut().filter(|_| entry.stage == Stage::Open);
            if let Some((refusal, is_violation)) = layers.and_then(|layers| layers.leave(&mut self.scratch)) {
                self.refuse(now, conn, &refusal);
                return Some((conn, is_violation));
            }
        }
    }

    /// Takes one step of one handshake.
    pub fn on_due(&mut self, now: Instant) -> Option<Happened> {
        loop {
            let conn = self.due.pop_front()?;
            let Some(entry) = self.connections.get(conn) else { continue };
            let Some(layers) = entry.layers.as_mut() else { continue };
            let mut due = std::mem::take(&mut layers.due);
            if matches!(entry.stage, Stage::Opening | Stage::Open) {
                return Some(self.go_on(now, conn, &mut due));
            }
            self.settle(conn);
        }
    }

    /// Ends those that did not come to stand in time, and says how many they were.
    pub(super) fn end_slow_openings(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        while let Some(&(at, conn)) = self.opening.front() {
            if at > now {
                break;
            }
            self.opening.pop_front();
            if self.connections.get(conn).is_some_and(|entry| entry.stage == Stage::Opening) {
                self.kill(conn);
                ended += 1;
            }
        }
        ended
    }

    pub(super) fn begin_opening(
        &mut self,
        now: Instant,
        conn: ConnId,
        layers: Result<Layers, Refusal>,
    ) -> Happened {
        let entry = self.connections.get(conn).expect("it was inserted just now");
        entry.stage = Stage::Opening;
        match layers {
            Ok(layers) => entry.layers.insert(Box::new(layers)).since = now,
            Err(refusal) => return self.refuse(now, conn, &refusal),
        }
        self.opening.push_back((now + self.handshake_max, conn));
        self.settle(conn);
        Happened::Nothing
    }

    pub(super) fn receive_layered(&mut self, now: Instant, conn: ConnId, filled: Filled) -> Happened {
        let entry = self.connections.get(conn).expect("the caller looked");
        let layers = entry.layers.as_mut().expect("the caller looked");
        let bytes = self.buffers.bytes(&filled);
        if !layers.is_established() {
            // It is not received again before its turn has come.
            assert!(layers.due.is_empty(), "one piece is due at a time");
            layers.due.extend_from_slice(bytes);
            self.due.push_back(conn);
            self.buffers.recycle(filled);
            return Happened::Nothing;
        }
        if layers.is_leaving() {
            self.buffers.recycle(filled);
            return Happened::Nothing;
        }
        // The buffers are not lent while the connection is worked on.
        let mut received = std::mem::take(&mut self.scratch.received);
        received.clear();
        received.extend_from_slice(bytes);
        self.buffers.recycle(filled);
        let happened = self.go_on(now, conn, &mut received);
        self.scratch.received = received;
        happened
    }

    /// Brings the layers further, and says what has come of it.
    fn go_on(&mut self, now: Instant, conn: ConnId, bytes: &mut [u8]) -> Happened {
        let opened = match self.pass_layers(now, conn, bytes) {
            Ok(opened) => opened,
            Err(refusal) => return self.refuse(now, conn, &refusal),
        };
        self.flush_layers(conn);
        let entry = self.connections.get(conn).expect("a send ends nothing");
        let layers = entry.layers.as_mut().expect("a send leaves the layers");
        if !self.scratch.plain.is_empty() && entry.wanted == Reading::Once {
            entry.wanted = Reading::Paused;
            // The connection may move to another shard for these bytes, and nothing may be under way then.
            if entry.sending.is_some() {
                layers.held = std::mem::take(&mut self.scratch.plain);
            }
        }
        if layers.is_leaving() && layers.held.is_empty() {
            self.leaving.push_back(conn);
        }
        self.settle(conn);
        if opened.is_none() && self.scratch.plain.is_empty() {
            return Happened::Nothing;
        }
        Happened::Layered { conn, opened }
    }

    /// Takes what came through the layers, and looks at whom they name. What the shard is told if they stand with it.
    fn pass_layers(
        &mut self,
        now: Instant,
        conn: ConnId,
        bytes: &mut [u8],
    ) -> Result<Option<(Option<Full>, u16)>, Refusal> {
        let entry = self.connections.get(conn).expect("the caller looked");
        let layers = entry.layers.as_mut().expect("the caller looked");
        self.scratch.plain.clear();
        let door = entry.door.as_deref().expect(HAS_DOOR);
        let at = At { door: &door.door, peer: entry.address.ip() };
        layers.receive(bytes, at, &mut self.scratch)?;
        entry.is_relayed |= layers.is_relayed;
        let is_proxy = at.peer.is_some_and(|peer| door.door.is_proxy(peer));
        let mut is_uncounted = is_proxy && !layers.is_counted;
        if let Some(source) = layers.source.map(Address::from)
            && entry.address != source
        {
            entry.address = source;
            let (id, ip) = (door.id, source.ip());
            if ip.is_some_and(|ip| self.barred.holds(ip, now)) {
                return Err(Refusal { why: NotOpened::Banned, what: BANNED.to_owned() });
            }
            layers.is_counted = true;
            let is_too_often = self.doorkeeper.as_ref().is_some_and(|doorkeeper| {
                ip.is_some_and(|ip| !doorkeeper.may_come_from(id, ip))
                    || std::mem::take(&mut is_uncounted) && !doorkeeper.opens(id)
            });
            if is_too_often {
                return Err(too_often());
            }
        }
        let stands = entry.stage == Stage::Opening && layers.is_established();
        // Nobody has looked at who might have brought another.
        if stands
            && layers.source.is_none()
            && let Some((doorkeeper, ip)) = self.doorkeeper.as_ref().zip(entry.address.ip())
            && (layers.is_for_itself && !doorkeeper.may_come_from(door.id, ip)
                || is_uncounted && !doorkeeper.opens(door.id))
        {
            return Err(too_often());
        }
        if stands {
            entry.stage = Stage::Open;
            self.stood_since = Some(layers.since);
        }
        Ok(stands.then_some((entry.refuse, door.id)))
    }

    /// The last words of the layers go out, and then it is over.
    fn refuse(&mut self, now: Instant, conn: ConnId, refusal: &Refusal) -> Happened {
        self.scratch.plain.clear();
        self.flush_layers(conn);
        let entry = self.connections.get(conn).expect("the caller looked");
        let (stage, address, door) = (entry.stage, entry.address, entry.door.clone().expect(HAS_DOOR));
        entry.stage = Stage::Closing;
        self.lingering.push_back((now + self.linger, conn));
        // What comes of the others is the shard's to say.
        match stage {
            Stage::Opening => drop(self.turn_away(now, &door, address, refusal.why, &refusal.what)),
            _ => self.log_turned_away(now, &door, address, refusal.why, &refusal.what),
        }
        self.settle(conn);
        if stage == Stage::Open { Happened::Closed { conn } } else { Happened::NotOpened(refusal.why) }
    }

    pub(super) fn send_layered(&mut self, conn: ConnId, bytes: Box<Outgoing>) {
        let entry = self.connections.open(conn);
        let layers = entry.layers.as_mut().expect("the caller looked");
        if layers.send(bytes, &mut self.scratch).is_err() {
            // Nothing can be said any more. The send that fails for it tells the shard.
            shut(entry.socket.as_ref(), libc::SHUT_RDWR);
            layers.output.get_or_insert_default().bytes.push(0);
        }
        self.flush_layers(conn);
    }

    pub(super) fn finish_layers(&mut self, conn: ConnId) {
        let entry = self.connections.get(conn).expect("the caller looked");
        if let Some(layers) = entry.layers.as_mut() {
            layers.finish(&mut self.scratch);
            self.flush_layers(conn);
        }
    }

    /// Gives the output to the socket, unless a send is under way: then it waits for that.
    pub(super) fn flush_layers(&mut self, conn: ConnId) {
        let entry = self.connections.get(conn).expect("the caller looked");
        // Who is refused at once never got any.
        let Some(layers) = entry.layers.as_mut() else { return };
        match layers.output.take_if(|output| entry.sending.is_none() || output.is_empty()) {
            Some(output) if output.is_empty() => self.scratch.spare.recycle(output),
            Some(output) => self.begin_send(conn, output),
            None => {}
        }
    }

    /// The socket has taken all of what was under way.
    pub(super) fn on_sent_layered(&mut self, conn: ConnId, output: Box<Outgoing>) -> Happened {
        self.scratch.spare.recycle(output);
        self.flush_layers(conn);
        let entry = self.connections.get(conn).expect("the caller looked");
        let stage = entry.stage;
        let layers = entry.layers.as_mut().expect("the caller looked");
        let happened = if entry.sending.is_some() {
            Happened::Nothing
        } else if let Some(outgoing) = layers.of_shard.take() {
            Happened::Sent { conn, outgoing }
        } else if stage == Stage::Open && !layers.held.is_empty() {
            self.scratch.plain = std::mem::take(&mut layers.held);
            if layers.is_leaving() {
                self.leaving.push_back(conn);
            }
            Happened::Layered { conn, opened: None }
        } else {
            Happened::Nothing
        };
        self.settle(conn);
        happened
    }
}

fn too_often() -> Refusal {
    Refusal { why: NotOpened::TooOften, what: TOO_OFTEN.to_owned() }
}

const HAS_DOOR: &str = "where there is a socket there is a door";

/// More than that is not kept for what the next connection brings.
const PLAIN_BYTES_KEPT: usize = 256 << 10;

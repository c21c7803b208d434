//! Carries out what shards ask for, and checks that they may ask for it.

use shard::{Bundled, Effect, Effects, Errand, Mail, Message, Reading, What};

use super::{World, looking_on::unkept_behind, said::ends};
use crate::{
    agenda::Action,
    fault::{Fault, part_of},
    ledger::Oracle,
    mesh::Parcel,
    said::Identity,
    socket::{Owner, Side},
};

impl World {
    pub(super) fn carry_out(&mut self, core: usize, effect: Effect, effects: &mut Effects) {
        match effect {
            Effect::Send { conn, bytes } => {
                let flat: Vec<u8> = bytes.slices().flatten().copied().collect();
                if flat.is_empty() || flat.len() != bytes.len() {
                    self.illegal(core, format!("an empty send to {conn:?}, or one of the wrong length"));
                }
                effects.recycle(bytes);
                self.trace.record(self.now, format_args!("{core} -> {conn:?} {} bytes", flat.len()));
                self.trace.record_bytes(&flat);
                self.unkept.given += unkept_behind(&flat, 0);
                self.send(core, conn, flat);
            }
            Effect::Close { conn } => {
                self.trace.record(self.now, format_args!("{core} -> close {conn:?}"));
                self.close(core, conn);
            }
            Effect::Read { conn, reading } => {
                self.trace.record(self.now, format_args!("{core} -> read {conn:?} {reading:?}"));
                match self.socket_of(core, conn) {
                    Some(socket) => self.set_reading(core, socket, reading),
                    None => self.illegal(core, format!("Read for {conn:?}, which is closed")),
                }
            }
            Effect::HandOver { conn, to, unread } => {
                self.trace.record(self.now, format_args!("{core} -> hand {conn:?} over to {to:?}"));
                self.hand_over(core, conn, to.index(), unread.expose().to_vec());
            }
            Effect::Authenticate { conn, ask } => self.ask_about(core, conn, &ask),
            Effect::Mail { to, mail } => {
                self.trace.record(self.now, format_args!("{core} -> mail to {} {}", to.index(), show(&mail)));
                self.post(core, to.index(), mail);
            }
            Effect::Note(note) => {
                self.trace.record(self.now, format_args!("{core} -> {note:?}"));
                let ends = ends(&note.what);
                let is_connected = matches!(note.what, What::Connected { .. });
                if let Some(socket) = note.conn.and_then(|conn| self.socket_of(core, conn)) {
                    self.sockets[socket].is_connected |= is_connected;
                }
                if let Some(socket) = note.conn.filter(|_| ends).and_then(|conn| self.socket_of(core, conn)) {
                    self.ledger.on_broker_close(socket);
                }
            }
            Effect::Span(span) => self.trace.record(self.now, format_args!("{core} -> {span:?}")),
            Effect::Drained => {
                self.trace.record(self.now, format_args!("{core} -> drained"));
                self.cores[core].is_drained = true;
            }
            Effect::Store(batch) => {
                let (number, bytes) = (batch.number, batch.records.len());
                self.trace.record(self.now, format_args!("{core} -> store batch {number}, {bytes} bytes"));
                self.store(core, batch);
            }
            Effect::Fetch(fetch) => {
                self.trace.record(self.now, format_args!("{core} -> {fetch:?}"));
                self.fetch(core, fetch);
            }
            Effect::Restored => {
                self.trace.record(self.now, format_args!("{core} -> restored"));
                self.note_restored(core);
            }
        }
    }

    pub fn illegal(&mut self, core: usize, what: String) {
        self.ledger.fail(Oracle::Illegal, format!("shard {core}: {what}"));
    }

    fn send(&mut self, core: usize, conn: shard::ConnId, mut bytes: Vec<u8>) {
        let Some(socket) = self.socket_of(core, conn) else {
            return self.illegal(core, format!("Send to {conn:?}, which is closed"));
        };
        if let (Some(fault), Owner::Client(client)) = (self.fault, self.sockets[socket].owner) {
            bytes = fault.edit(bytes, self.clients[client].version);
        }
        self.listen(socket, &bytes);
        if self.fault == Some(Fault::Misdeliver) {
            self.misdeliver(socket, &bytes);
        }
        if self.sockets[socket].send(bytes) {
            self.plan_down(socket);
        } else {
            self.illegal(core, format!("a second Send to {conn:?} before the first was taken"));
        }
    }

    fn misdeliver(&mut self, socket: usize, bytes: &[u8]) {
        let Some(version) = self.ledger.connection(socket).map(|connection| connection.said.version) else {
            return;
        };
        let is_other = |other: &usize| {
            *other != socket
                && self.ledger.connection(*other).is_some_and(|c| c.said.version == version && c.is_accepted)
        };
        if let Some(other) = (0..self.sockets.len()).find(is_other) {
            self.listen(other, bytes);
        }
    }

    fn close(&mut self, core: usize, conn: shard::ConnId) {
        let Some(socket) = self.socket_of(core, conn) else {
            return self.illegal(core, format!("Close of {conn:?}, which is closed"));
        };
        self.ledger.on_broker_close(socket);
        let is_sending = self.sockets[socket].is_sending();
        self.ledger.check_told(socket, is_sending);
        self.release(core, socket);
        self.sockets[socket].side = Side::Closing;
        if !self.sockets[socket].is_sending() {
            self.sockets[socket].down_ends = true;
        } else if self.random.percent(50) {
            // The short while has passed.
            let keep = self.random.index(self.sockets[socket].down.len() + 1);
            self.sockets[socket].lose_down(keep);
            self.plan_in(self.settings.network.wire_delay_us_max, Action::Unsent(socket));
        }
        self.plan_down(socket);
        self.plan_read(socket);
    }

    fn hand_over(&mut self, core: usize, conn: shard::ConnId, to: usize, unread: Vec<u8>) {
        let Some(socket) = self.socket_of(core, conn) else {
            return self.illegal(core, format!("{conn:?} is handed over and closed"));
        };
        if self.sockets[socket].given.as_ref() != Some(&unread) {
            self.illegal(core, format!("{conn:?} is handed over without all the bytes that it brought"));
        }
        if self.sockets[socket].is_sending() || to == core {
            self.illegal(core, format!("{conn:?} is handed over to {to} in the middle of a send"));
        }
        self.release(core, socket);
        self.sockets[socket].side = Side::Moving { to, unread };
        if self.mesh.ring(core, to).push(Parcel::Connection(socket)) {
            self.plan_mail(core, to);
        } else {
            self.illegal(core, format!("handed a connection over to {to} without room"));
        }
    }

    fn post(&mut self, core: usize, to: usize, mut mail: Mail) {
        let is_hit = self.fault.filter(|fault| fault.hits(&mail));
        match (is_hit, &mail) {
            (Some(Fault::LoseRetained), Mail::Bundle(bundle)) if self.random.percent(20) => {
                let rest = part_of(bundle, Errand::Retain, false);
                mail = Mail::Bundle(rest);
            }
            (Some(Fault::LoseMail | Fault::LoseRetained), _) if self.random.percent(20) => return,
            (Some(Fault::RepeatMail), Mail::Publish(publication)) if self.random.percent(20) => {
                let again = publication.clone();
                self.mesh.ring(core, to).force(Mail::Publish(again));
            }
            (Some(Fault::RepeatRetained), Mail::Retain(retain)) if self.random.percent(20) => {
                let again = retain.clone();
                self.mesh.ring(core, to).force(Mail::Retain(again));
            }
            (Some(Fault::RepeatMail | Fault::RepeatRetained), Mail::Bundle(bundle))
                if self.random.percent(20) =>
            {
                let is_retained = is_hit == Some(Fault::RepeatRetained);
                let errand = if is_retained { Errand::Retain } else { Errand::Deliver };
                let again = part_of(bundle, errand, true);
                self.mesh.ring(core, to).force(Mail::Bundle(again));
            }
            _ => {}
        }
        if !self.mesh.ring(core, to).push(Parcel::Mail(mail)) {
            self.illegal(core, format!("mail to {to} without room"));
        }
        if is_hit == Some(Fault::SwapMail) {
            self.mesh.ring(core, to).swap_last_two();
        }
        self.plan_mail(core, to);
    }

    fn plan_mail(&mut self, from: usize, to: usize) {
        let ring = self.mesh.ring(from, to);
        if !ring.mail_due && !ring.is_empty() {
            ring.mail_due = true;
            self.plan_in(self.settings.network.mail_delay_us_max, Action::Mail { from, to });
        }
    }

    /// Some of what waits in a ring arrives, and later the sender hears of the room that this made.
    pub(super) fn bring_mail(&mut self, from: usize, to: usize) {
        self.mesh.ring(from, to).mail_due = false;
        let len = self.mesh.ring(from, to).len() as u64;
        for _ in 0..self.random.between(1, len.max(1)) {
            match self.mesh.ring(from, to).pop() {
                Some(Parcel::Mail(mail)) => self.bring(from, to, mail),
                Some(Parcel::Connection(socket)) => self.open(socket),
                None => break,
            }
        }
        self.plan_mail(from, to);
        if !self.mesh.ring(from, to).room_due {
            self.mesh.ring(from, to).room_due = true;
            self.plan_in(self.settings.network.mail_delay_us_max / 4 + 1, Action::Room { from, to });
        }
    }

    fn bring(&mut self, from: usize, to: usize, mail: Mail) {
        match &mail {
            Mail::Bundle(bundle) => {
                let retained = bundle.iter().filter(|bundled| bundled.errand == Errand::Retain);
                retained.for_each(|Bundled { parts, .. }| self.note_retain(parts.topic, parts.payload, from));
            }
            Mail::Retain(retain) => {
                self.note_retain(retain.message.topic(), retain.message.payload(), from);
            }
            _ => {}
        }
        self.note_failure_elsewhere(to, &mail);
        let from = shard::ShardId(from as u8);
        self.handle(to, shard::Event::Mail { from, mail });
    }

    fn note_retain(&mut self, topic: &str, payload: &[u8], from: usize) {
        self.advance();
        let value = match Identity::of(payload) {
            Identity::Known(id) => Some(id),
            _ => None,
        };
        let step = self.ledger.step;
        if !self.ledger.retained.arrived(topic, value, from, step) {
            let what = format!("mail retains {topic:?} {value:?}, which nobody published");
            self.ledger.fail(Oracle::Retained, what);
        }
    }

    pub(super) fn tell_room(&mut self, from: usize, to: usize) {
        let is_lie = self.fault == Some(Fault::OverstateRoom);
        let slots = self.mesh.ring(from, to).tell_room() + usize::from(is_lie) * 2;
        let to = shard::ShardId(to as u8);
        self.handle(from, shard::Event::MailRoom { to, slots });
    }

    /// Room for something else in the slot of a connection.
    pub(super) fn release(&mut self, core: usize, socket: usize) {
        if let Some((_, conn)) = self.sockets[socket].on() {
            self.cores[core].slots[conn.slot as usize].1 = None;
            self.sockets[socket].was = Some((core, conn));
        }
        self.cores[core].paused.retain(|paused| *paused != socket);
        self.sockets[socket].read(Reading::Paused);
    }
}

fn show(mail: &Mail) -> String {
    match mail {
        Mail::Publish(publication) => {
            let shard::Publication { message, number, handshake, traced, .. } = &**publication;
            let traced = traced.as_ref().map(|traced| traced.parent_id);
            format!("Publish {message:?} {} {number:?} {handshake:?} {traced:?}", text(message))
        }
        Mail::Retain(retain) => format!("Retain {:?} {}", retain.message, text(&retain.message)),
        Mail::Shared(shared) => {
            format!("Shared {:?} {} {}", shared.name, text(&shared.message), shared.to_queue)
        }
        mail => format!("{mail:?}"),
    }
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload()[..message.payload().len().min(12)]).into_owned()
}

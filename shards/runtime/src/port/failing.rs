//! Sends that the socket does not take to their end: the shard is told how much of them it has taken.

use shard::{ConnId, NotOpened};

use super::{Happened, Port, Then};
use crate::{connection::Stage, sending::Sending};

impl Port {
    /// The socket takes nothing any more.
    pub(super) fn on_send_failed(&mut self, conn: ConnId, sending: Box<Sending>) -> Happened {
        let entry = self.connections.get(conn).expect("an operation keeps its entry");
        let stage = entry.stage;
        if stage == Stage::Open && entry.is_leaving {
            return self.on_send_to_leaver_failed(conn, sending);
        }
        let then = if stage == Stage::Open { Then::Closed } else { Then::Nothing };
        let happened = self.end_send(conn, sending, false, then);
        self.kill(conn);
        if stage == Stage::Opening { Happened::NotOpened(NotOpened::Gone) } else { happened }
    }

    /// What its peer has said before it left is read all the same.
    fn on_send_to_leaver_failed(&mut self, conn: ConnId, sending: Box<Sending>) -> Happened {
        let entry = self.connections.get(conn).expect("an operation keeps its entry");
        if entry.layers.as_ref().is_some_and(|layers| layers.of_shard.is_none()) {
            let output = self.keep(sending);
            return self.on_sent_layered(conn, output);
        }
        let happened = self.end_send(conn, sending, false, Then::GoesOn);
        self.flush_layers(conn);
        self.settle(conn);
        happened
    }

    /// Nothing more of it goes out. The shard hears of what it has sent.
    pub(super) fn end_send(
        &mut self,
        conn: ConnId,
        sending: Box<Sending>,
        is_done: bool,
        then: Then,
    ) -> Happened {
        let taken = sending.written();
        let output = self.keep(sending);
        let entry = self.connections.get(conn).expect("an operation keeps its entry");
        let of_shard = match entry.layers.as_mut() {
            None => Some((output, taken)),
            // How far it came is not known of what went through layers.
            Some(layers) => {
                let is_all = is_done && layers.output.is_none();
                self.scratch.spare.recycle(output);
                layers.of_shard.take().map(|outgoing| {
                    let taken = if is_all { outgoing.len() } else { 0 };
                    (outgoing, taken)
                })
            }
        };
        match (of_shard, then) {
            (Some((outgoing, taken)), Then::Nothing) if taken == outgoing.len() => {
                Happened::Sent { conn, outgoing }
            }
            (Some((outgoing, taken)), then) => Happened::Unsent { conn, outgoing, taken, then },
            (None, Then::Closed) => Happened::Closed { conn },
            (None, _) => Happened::Nothing,
        }
    }
}

//! Notices that the peer of a connection has gone that is not read: whoever has to wait for a rate shall not keep its seat for
//! what it sent before it left.
//!
//! One poll does it, which is made when a connection is first to wait and stays until it has brought the end, or the connection
//! is over. Who never has to wait has none.

use std::os::fd::AsRawFd;

use io_uring::{opcode, types::Fd};
use shard::{ConnId, Reading};

use super::{Happened, Port};
use crate::{connection::Stage, operation::Operation, ring::Completion};

impl Port {
    pub(super) fn watch(&mut self, conn: ConnId) {
        let entry = self.connections.open(conn);
        if std::mem::replace(&mut entry.watched, true) {
            return;
        }
        let socket = Fd(entry.socket.as_ref().expect("a connection has a socket").as_raw_fd());
        let name = Operation::Watch { slot: conn.slot, generation: conn.generation };
        let entry = opcode::PollAdd::new(socket, libc::POLLRDHUP as u32).build().user_data(name.pack());
        // SAFETY: the entry points to nothing.
        unsafe { self.ring.push(entry) };
    }

    pub(super) fn on_watched(&mut self, slot: u32, generation: u32, completion: Completion) -> Happened {
        let (conn, entry) = self.connections.of_operation(slot, generation);
        entry.watched = false;
        // One that is read again is told of its end by its receive.
        let is_leaving =
            completion.result > 0 && entry.stage == Stage::Open && entry.wanted == Reading::Watched;
        entry.is_leaving |= is_leaving;
        self.settle(conn);
        if is_leaving { Happened::Leaving { conn } } else { Happened::Nothing }
    }
}

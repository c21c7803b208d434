//! What the shard says of its clients: to the log, and to whoever else listens.

use shard::{Note, What};

use super::Worker;
use crate::{brain::Brain, journal, thinning::Verdict};

impl<B: Brain> Worker<B> {
    pub(super) fn log(&mut self, note: &Note) {
        let address = note.conn.and_then(|conn| self.port.address(conn));
        let other = match note.what {
            What::Contested { by, .. } => self.port.address(by),
            _ => None,
        };
        self.tell_left_out();
        let ip = address.and_then(|address| address.ip());
        if let Some(ip) = ip {
            self.brain.locate(note, ip.to_canonical());
        }
        if self.strangers.judge(note, ip, self.now) == Verdict::Tell {
            journal::write(self.id, address, other, note);
        }
        if self.auditors.is_empty() {
            return;
        }
        let occasion = note.conn.map(|conn| self.port.occasion(conn)).unwrap_or_default();
        self.auditors.iter().for_each(|auditor| auditor.record(self.id, &occasion, note));
    }

    /// Of lines that nobody follows up as well.
    pub(super) fn tell_left_out(&mut self) {
        for (what, left_out) in self.strangers.left_out(self.now) {
            journal::write_left_out(self.id, what, &left_out);
        }
    }
}

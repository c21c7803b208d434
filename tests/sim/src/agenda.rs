//! What is to happen next in the simulated world, ordered by virtual time. It carries nothing out itself.

use std::{cmp::Reverse, collections::BinaryHeap};

use shard::Instant;

/// One thing that is to happen. Numbers name clients, sockets and shards by their index in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A client chooses something to do.
    Act(usize),
    /// A client sends some of the acknowledgements that it owes.
    Acks(usize),
    /// A socket is accepted by a shard.
    Open(usize),
    /// Bytes of a client arrive at the broker.
    Up(usize),
    /// The socket takes bytes that a shard sent.
    Down(usize),
    /// All bytes of a send are taken.
    Sent(usize),
    /// A shard learns that the rest of a send is not taken.
    Unsent(usize),
    /// The client's end reads.
    Read(usize),
    /// A shard learns that a socket is gone.
    Gone(usize),
    Mail {
        from: usize,
        to: usize,
    },
    Room {
        from: usize,
        to: usize,
    },
    Timer(usize),
    Flush(usize),
    /// A connection without good intentions appears.
    Stranger,
    /// A write of a shard is on its disk.
    Written(usize),
    /// A segment of a shard's log is on its disk as a whole.
    Synced(usize),
    /// A part of a shard's log is read back.
    ReadBack(usize),
    /// Messages of a shard's log are read.
    Fetched(usize),
    /// A file for a shard's log is made.
    Made(usize),
    /// A shard asks once more for files that it did not get.
    AskAgain(usize),
    /// Disks get full, or have space again.
    Space,
    /// The next write fails.
    Failure,
    /// A shard hears who a client is.
    Answer(usize),
    /// A shard is told something else about what clients may do.
    Renew(usize),
    /// The whole broker ends at once.
    Crash {
        again: bool,
    },
    /// It is started again.
    Restart,
}

impl Action {
    /// Whether it carries something that is under way; the others happen for ever.
    fn is_traffic(self) -> bool {
        !matches!(
            self,
            Action::Act(_)
                | Action::Timer(_)
                | Action::Stranger
                | Action::Space
                | Action::Failure
                | Action::Renew(_)
                | Action::Crash { .. }
        )
    }

    /// Whether it goes on without the broker.
    fn outlives_broker(self) -> bool {
        let is_client = matches!(self, Action::Act(_) | Action::Acks(_) | Action::Read(_));
        let happens_to_it = matches!(self, Action::Renew(_) | Action::Crash { .. });
        is_client || happens_to_it || matches!(self, Action::Stranger | Action::Space | Action::Failure)
    }
}

/// A queue by time. Things due at the same moment happen in the order in which they were planned.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<(Instant, u64, Action)>>,
    planned: u64,
    traffic: usize,
}

impl Agenda {
    pub fn plan(&mut self, at: Instant, action: Action) {
        self.planned += 1;
        self.traffic += usize::from(action.is_traffic());
        self.heap.push(Reverse((at, self.planned, action)));
    }

    pub fn take(&mut self) -> Option<(Instant, Action)> {
        let Reverse((at, _, action)) = self.heap.pop()?;
        self.traffic -= usize::from(action.is_traffic());
        Some((at, action))
    }

    /// The broker is gone with everything that it had before it.
    pub fn lose_broker(&mut self) {
        self.heap.retain(|Reverse((_, _, action))| action.outlives_broker());
        self.traffic = self.heap.iter().filter(|Reverse((_, _, action))| action.is_traffic()).count();
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.traffic == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_by_time_and_then_in_the_order_in_which_they_were_planned() {
        let mut agenda = Agenda::default();
        agenda.plan(Instant::from_nanos(5), Action::Act(1));
        agenda.plan(Instant::from_nanos(5), Action::Act(0));
        agenda.plan(Instant::from_nanos(1), Action::Flush(0));
        assert!(!agenda.is_quiet());
        assert_eq!(agenda.take(), Some((Instant::from_nanos(1), Action::Flush(0))));
        assert!(agenda.is_quiet());
        assert_eq!(agenda.take().map(|(_, action)| action), Some(Action::Act(1)));
        assert_eq!(agenda.take().map(|(_, action)| action), Some(Action::Act(0)));
        assert_eq!(agenda.take(), None);
    }
}

//! The words of rates that connections share, on whatever shards they are: the only thing that shards change and do not own.

use std::sync::atomic::{AtomicU64, Ordering};

use shard::{Charge, Flow, Tally};

/// Of one user, one address or one listener. Nothing else depends on their order.
#[derive(Debug, Default)]
pub struct Words([AtomicU64; 4]);

impl Tally for Words {
    fn due_ns(&self, flow: Flow) -> u64 {
        self.0[flow as usize].load(Ordering::Relaxed)
    }

    fn charge(&self, flow: Flow, charge: Charge) -> u64 {
        let moved = |due_ns: u64| Some(charge.moves(due_ns));
        // The closure always has an answer.
        let (Ok(before_ns) | Err(before_ns)) =
            self.0[flow as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
        charge.excess_ns(before_ns)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn what_several_shards_use_at_once_is_counted_once_each() {
        let words = Arc::new(Words::default());
        let charge = Charge { cost_ns: 3, now_ns: 1000, ceiling_ns: u64::MAX };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..10_000).for_each(|_| assert_eq!(words.charge(Flow::PublishBytes, charge), 0))
                });
            }
        });
        assert_eq!(words.due_ns(Flow::PublishBytes), 1000 + 4 * 10_000 * 3);
        assert_eq!(words.due_ns(Flow::PublishMessages), 0);
    }

    #[test]
    fn nothing_moves_them_beyond_the_ceiling() {
        let words = Words::default();
        let charge = Charge { cost_ns: 700, now_ns: 1000, ceiling_ns: 2000 };
        let excess = [(); 3].map(|()| words.charge(Flow::PublishBytes, charge));
        assert_eq!(excess, [0, 400, 700]);
        assert_eq!(words.due_ns(Flow::PublishBytes), 2000);
    }
}

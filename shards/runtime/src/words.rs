//! The words of rates that connections share, on whatever shards they are: the only thing that shards change and do not own.

use std::sync::atomic::{AtomicU64, Ordering};

use shard::{Flow, Tally};

/// Of one user, one address or one listener. Nothing else depends on their order.
#[derive(Debug, Default)]
pub struct Words([AtomicU64; 4]);

impl Tally for Words {
    fn due_ns(&self, flow: Flow) -> u64 {
        self.0[flow as usize].load(Ordering::Relaxed)
    }

    fn charge(&self, flow: Flow, cost_ns: u64, now_ns: u64) {
        let moved = |due_ns: u64| Some(due_ns.max(now_ns).saturating_add(cost_ns));
        // The closure always has an answer.
        let _ = self.0[flow as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn what_several_shards_use_at_once_is_counted_once_each() {
        let words = Arc::new(Words::default());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| words.charge(Flow::PublishBytes, 3, 1000)));
            }
        });
        assert_eq!(words.due_ns(Flow::PublishBytes), 1000 + 4 * 10_000 * 3);
        assert_eq!(words.due_ns(Flow::PublishMessages), 0);
    }
}

//! What clients that are gone have used of their own rates: who comes back goes on where it was.

use hashbrown::HashMap;

use crate::{
    Instant,
    hashing::{Table, hasher},
    rates::Spent,
};

/// By client id, of which the hash is enough. Only those are here that would notice.
pub(crate) struct Spending {
    by_client_id: HashMap<u64, Spent, ahash::RandomState>,
    hasher: ahash::RandomState,
    /// With a full table what is over is looked for again then.
    sweep_at: Instant,
}

impl Spending {
    pub fn new(seed: u64) -> Spending {
        let hasher = || hasher(seed, Table::Spending);
        Spending { by_client_id: HashMap::with_hasher(hasher()), hasher: hasher(), sweep_at: Instant::START }
    }

    pub fn hash(&self, client_id: &str) -> u64 {
        self.hasher.hash_one(client_id)
    }

    /// Whoever finds no room has its rates to itself again when it comes back: the table is as large as the crowd may be that does.
    pub fn keep(&mut self, client: u64, spent: &Spent, now: Instant) {
        if spent.is_over(now) {
            return;
        }
        if self.by_client_id.len() >= CLIENTS_MAX && now >= self.sweep_at {
            self.by_client_id.retain(|_, spent| !spent.is_over(now));
            self.sweep_at = now.add_secs(SWEEP_PERIOD_S);
        }
        if self.by_client_id.len() < CLIENTS_MAX {
            self.by_client_id.insert(client, *spent);
        }
    }

    pub fn take(&mut self, client: u64) -> Option<Spent> {
        self.by_client_id.remove(&client)
    }

    pub fn forget_all(&mut self) {
        self.by_client_id = HashMap::with_hasher(self.hasher.clone());
    }
}

/// Client ids that are remembered, for each shard.
const CLIENTS_MAX: usize = 1 << 16;

const SWEEP_PERIOD_S: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_what_is_over_makes_room() {
        let (now, later) = (Instant::START.add_secs(1), Instant::START.add_secs(3));
        let mut spending = Spending::new(1);
        let spent = |until_s| Spent::until(Instant::START.add_secs(until_s));
        spending.keep(u64::MAX, &spent(1), now);
        assert!(spending.take(u64::MAX).is_none(), "nothing of it is left");
        for n in 0..=CLIENTS_MAX as u64 {
            spending.keep(n, &spent(2), now);
        }
        assert_eq!(spending.by_client_id.len(), CLIENTS_MAX);
        assert!(spending.take(7).is_some() && spending.take(7).is_none());
        // One slot is free; the next finds none.
        spending.keep(8, &spent(9), later);
        spending.keep(u64::MAX - 1, &spent(9), later);
        spending.keep(u64::MAX - 2, &spent(9), later);
        assert_eq!(spending.by_client_id.len(), 3, "those of before are over");
    }
}

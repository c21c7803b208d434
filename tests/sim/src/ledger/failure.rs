//! A store that has failed: which answers are promises that nobody can keep any more.

use super::{Ledger, Oracle};

impl Ledger {
    /// From here on the shard knows that nothing is stored any more.
    pub fn on_store_failed(&mut self, shard: usize) {
        self.failed_stores.entry(shard).or_insert(self.step);
    }

    pub fn has_store_failed(&self) -> bool {
        !self.failed_stores.is_empty()
    }

    pub fn is_store_failed(&self, shard: usize) -> bool {
        self.failed_stores.contains_key(&shard)
    }

    /// A yes to what the shard heard in that step. What came before its store failed may have been stored in time.
    pub(super) fn check_promise(&mut self, socket: usize, heard: u64, what: &str) {
        let Some(connection) = self.connections.get(&socket) else { return };
        if self.failed_stores.get(&connection.shard).is_some_and(|failed| heard > *failed) {
            let what = format!("socket {socket}: {what}, although the store has failed");
            self.fail(Oracle::Unstored, what);
        }
    }
}

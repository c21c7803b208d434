//! Another number of shards after the end of the world.

use shard::{
    Batch, Config, Limits, Placement, ShardId,
    store::relocation::{Census, Relocation},
};

use super::{Script, each_record};

impl Script {
    /// Everything ends at once; what was stored comes back beneath other limits.
    pub fn crash_into(&mut self, limits: Limits) {
        self.config.limits = limits;
        self.crash();
    }

    /// Everything ends at once; what was stored comes back on another number of shards.
    pub fn move_to(&mut self, shards: u8) {
        const UNDERSTOOD: &str = "a shard understands what it has written";
        let config = Config { shards, ..self.config.clone() };
        let mut census = Census::new(self.config.shards);
        for (from, batches) in self.stores.iter().enumerate() {
            each_record(batches, self.given_up[from], |record| {
                census.take(ShardId(from as u8), record).expect(UNDERSTOOD);
            });
        }
        let mut relocation = Relocation::new(census, Placement::new(shards, config.placement_seed));
        while relocation.write_session() {}
        for (from, batches) in self.stores.iter().enumerate() {
            each_record(batches, self.given_up[from], |record| {
                relocation.write_message(ShardId(from as u8), record).expect(UNDERSTOOD);
            });
        }
        relocation.write_handshakes();
        self.stores = vec![Vec::new(); usize::from(shards)];
        while let Some((to, records)) = relocation.take_batch(0) {
            self.stores[to.index()].push(Batch { number: 1, records });
        }
        self.given_up = vec![0; usize::from(shards)];
        self.config = config;
        self.crash();
    }
}

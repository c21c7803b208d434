//! What the loop drives: a shard, or a script that stands in for one in tests.

use std::net::{IpAddr, SocketAddr};

use shard::{
    Act, Acted, Arrivals, ConnId, Counters, Effects, Event, FreshLoss, Gauges, Instant, Limits, Look, Note,
    Seen, Shard, TapOrder, TapRead, store::restoring::Restoring,
};

pub(crate) trait Brain: 'static {
    fn handle(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects);
    fn next_deadline(&self) -> Option<Instant>;
    fn counters(&self) -> &Counters;
    fn gauges(&self) -> Gauges;
    fn limits(&self) -> &Limits;
    fn arrivals(&self) -> &Arrivals;
    fn end_turn(&mut self, ended_at: Instant);
    fn look(&self, now: Instant, look: &Look) -> Seen;
    fn act(&mut self, now: Instant, act: Act, effects: &mut Effects) -> Acted;
    fn is_settled(&self, acted: &mut Acted) -> bool;
    fn tap(&mut self, now: Instant, order: &TapOrder) -> TapRead;
    fn is_tapped(&self) -> bool;
    fn name_tapped(&mut self, address: &mut dyn FnMut(ConnId) -> Option<SocketAddr>);
    fn locate(&mut self, note: &Note, ip: IpAddr);
    fn take_fresh_losses(&mut self, now: Instant) -> Vec<FreshLoss>;
    /// Comes before every event, if there is a store.
    fn restore(&mut self, restoring: Restoring, now: Instant, effects: &mut Effects);
    fn last_batch(&self) -> u64;
}

impl Brain for Shard {
    fn handle(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects) {
        Shard::handle(self, now, event, effects);
    }

    fn next_deadline(&self) -> Option<Instant> {
        Shard::next_deadline(self)
    }

    fn counters(&self) -> &Counters {
        Shard::counters(self)
    }

    fn gauges(&self) -> Gauges {
        Shard::gauges(self)
    }

    fn limits(&self) -> &Limits {
        Shard::limits(self)
    }

    fn arrivals(&self) -> &Arrivals {
        Shard::arrivals(self)
    }

    fn end_turn(&mut self, ended_at: Instant) {
        Shard::end_turn(self, ended_at);
    }

    fn look(&self, now: Instant, look: &Look) -> Seen {
        Shard::look(self, now, look)
    }

    fn act(&mut self, now: Instant, act: Act, effects: &mut Effects) -> Acted {
        Shard::act(self, now, act, effects)
    }

    fn is_settled(&self, acted: &mut Acted) -> bool {
        Shard::is_settled(self, acted)
    }

    fn tap(&mut self, now: Instant, order: &TapOrder) -> TapRead {
        Shard::tap(self, now, order)
    }

    fn is_tapped(&self) -> bool {
        Shard::is_tapped(self)
    }

    fn name_tapped(&mut self, address: &mut dyn FnMut(ConnId) -> Option<SocketAddr>) {
        Shard::name_tapped(self, address);
    }

    fn locate(&mut self, note: &Note, ip: IpAddr) {
        Shard::locate(self, note, ip);
    }

    fn take_fresh_losses(&mut self, now: Instant) -> Vec<FreshLoss> {
        Shard::take_fresh_losses(self, now)
    }

    fn restore(&mut self, restoring: Restoring, now: Instant, effects: &mut Effects) {
        Shard::restore(self, restoring, now, effects);
    }

    fn last_batch(&self) -> u64 {
        Shard::last_batch(self)
    }
}

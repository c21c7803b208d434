//! Whom the API does not let do something: what the log and the audit log are told of it. As many come as anybody likes to send, so that
//! each address has some lines of each cause, and then one in a while.
//!
//! A token has 256 bits, so that guessing leads nowhere. Whoever has a right one is never held up by those who share the address.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use runtime::{LeftOut, LinePace, Thinning, Verdict};
use shard::Instant;
use tokio::{sync::Notify, time};

use crate::audit::{self, Refusal};

#[derive(Debug)]
pub struct Refusals {
    begun: time::Instant,
    thinning: Mutex<Thinning<Cause>>,
    /// Rung when something is left out.
    has_left_out: Notify,
    /// In the order of `Cause::ALL`.
    counts: [AtomicU64; Cause::ALL.len()],
}

/// What keeps somebody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// There is none.
    NoToken,
    /// Nobody knows it.
    Token,
    /// That of the token allows less.
    Role,
    /// The API is not called so.
    Host,
    /// A page of elsewhere asks.
    Origin,
}

/// Lines about them that the log does not have, since the start, once they are told to be left out.
pub fn lines_left_out() -> u64 {
    LINES_LEFT_OUT.load(Ordering::Relaxed)
}

static LINES_LEFT_OUT: AtomicU64 = AtomicU64::new(0);

impl Cause {
    pub const ALL: [Cause; 5] = [Cause::NoToken, Cause::Token, Cause::Role, Cause::Host, Cause::Origin];

    /// Where it stands in what is counted by cause.
    const fn index(self) -> usize {
        self as usize
    }

    /// As metrics call it.
    pub fn label(self) -> &'static str {
        match self {
            Cause::NoToken => "no_token",
            Cause::Token => "token",
            Cause::Role => "role",
            Cause::Host => "host",
            Cause::Origin => "origin",
        }
    }

    /// As the logs call it.
    pub fn word(self) -> &'static str {
        match self {
            Cause::NoToken | Cause::Token => "api token",
            Cause::Role => "api role",
            Cause::Host => "api host",
            Cause::Origin => "api origin",
        }
    }
}

impl Refusals {
    pub fn new() -> Refusals {
        let thinning = Mutex::new(Thinning::new(PACE, SOURCES_MAX));
        Refusals {
            begun: time::Instant::now(),
            thinning,
            has_left_out: Notify::new(),
            counts: Default::default(),
        }
    }

    /// Has whatever is left out told in time, whether anybody else comes or not. For as long as there is a process.
    pub async fn follow_up(&self, tell: impl Fn(LeftOut<Cause>)) {
        loop {
            self.has_left_out.notified().await;
            while let Some(wait) = self.until_look() {
                time::sleep(wait).await;
                let left_out = self.lock().left_out_lately(self.now());
                left_out.into_iter().for_each(&tell);
            }
        }
    }

    /// Tells of one. How long it is until the next is told, where it was left out of the log.
    pub fn tell(&self, peer: SocketAddr, cause: Cause, why: &str) -> Option<Duration> {
        let by = cause.word();
        self.counts[cause.index()].fetch_add(1, Ordering::Relaxed);
        audit::refuse(&Refusal { peer, by, why });
        match self.judge(peer, cause, self.now()) {
            Verdict::Tell => {
                tracing::warn!(%peer, by, why, "the API has refused somebody");
                None
            }
            Verdict::LeaveOut { wait } => {
                self.has_left_out.notify_one();
                Some(wait)
            }
        }
    }

    /// How many there were, by cause.
    pub fn counts(&self) -> [(&'static str, u64); Cause::ALL.len()] {
        Cause::ALL.map(|cause| (cause.label(), self.counts[cause.index()].load(Ordering::Relaxed)))
    }

    fn judge(&self, peer: SocketAddr, cause: Cause, now: Instant) -> Verdict {
        self.lock().judge(Some(peer.ip()), cause, "", now)
    }

    fn until_look(&self) -> Option<Duration> {
        Some(self.lock().next_look()?.since(self.now()))
    }

    fn now(&self) -> Instant {
        Instant::START + self.begun.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Thinning<Cause>> {
        self.thinning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line about lines that there are not.
pub fn write_left_out(left_out: LeftOut<Cause>) {
    let LeftOut { source, cause, count, .. } = left_out;
    let by = cause.word();
    LINES_LEFT_OUT.fetch_add(count, Ordering::Relaxed);
    tracing::warn!(address = %source, by, lines = count, "lines were left out, too many come: the API has refused somebody");
}

/// Each stands at its own place, and none behind the last.
const _: () = {
    let mut at = 0;
    while at < Cause::ALL.len() {
        assert!(Cause::ALL[at].index() == at);
        at += 1;
    }
};

/// So many at once cost nothing: somebody who pastes the wrong thing.
const PACE: LinePace = LinePace { at_once: 5, every: Duration::from_secs(10) };

/// Addresses and causes with lines of their own at a time.
const SOURCES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::runtime::Builder;

    use super::*;

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().expect("an address"), 700)
    }

    #[test]
    fn many_of_one_customer_wait_and_others_and_other_causes_do_not() {
        let refusals = Refusals::new();
        let now = Instant::START.add_secs(1000);
        let is_told = |address: &str, cause| refusals.judge(peer(address), cause, now) == Verdict::Tell;
        for (addresses, neighbour) in [
            (["192.0.2.1", "::ffff:192.0.2.1"], "192.0.2.2"),
            (["2001:db8::1", "2001:db8::2:1"], "2001:db8:0:1::1"),
        ] {
            let told = (0..20).filter(|at| is_told(addresses[at % 2], Cause::Token)).count();
            assert_eq!(told, 5, "{addresses:?}");
            assert!(is_told(neighbour, Cause::Token) && is_told(addresses[0], Cause::Role));
        }
        let verdict = refusals.judge(peer("192.0.2.1"), Cause::Token, now);
        assert_eq!(verdict, Verdict::LeaveOut { wait: Duration::from_secs(10) });
        assert_eq!(refusals.lock().left_out_lately(now.add_secs(20)).len(), 2);
        assert_eq!(refusals.judge(peer("192.0.2.1"), Cause::Token, now.add_secs(20)), Verdict::Tell);
    }

    #[test]
    fn of_more_addresses_than_are_remembered_some_are_told_and_the_rest_counted() {
        let refusals = Refusals::new();
        let now = Instant::START.add_secs(1000);
        let all = 3000;
        let judge = |number: u32| {
            let address = std::net::IpAddr::from(number.to_be_bytes());
            refusals.judge(SocketAddr::new(address, 1), Cause::Token, now)
        };
        let told = (0..all).filter(|number| judge(*number) == Verdict::Tell).count();
        assert_eq!(told, SOURCES_MAX + 5);
        let left_out = refusals.lock().left_out_lately(now.add_secs(1));
        let counts: Vec<u64> = left_out.iter().map(|left_out| left_out.count).collect();
        assert_eq!(counts, [u64::from(all) - SOURCES_MAX as u64 - 5]);
    }

    #[test]
    fn what_was_left_out_is_told_within_two_seconds_although_nobody_else_comes() {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let refusals = Refusals::new();
            for round in 1..=2 {
                for _ in 0..20 {
                    refusals.tell(peer("192.0.2.1"), Cause::Token, "no");
                }
                let told = Cell::new(0);
                let following = refusals.follow_up(|left_out| told.set(told.get() + left_out.count));
                assert!(time::timeout(Duration::from_secs(2), following).await.is_err(), "it has no end");
                assert_eq!(told.get(), [15, 20][round - 1], "in round {round}");
            }
            let counts = [("no_token", 0), ("token", 40), ("role", 0), ("host", 0), ("origin", 0)];
            assert_eq!(refusals.counts(), counts);
        });
    }
}

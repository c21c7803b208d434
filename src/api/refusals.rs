//! Whom the API does not let do something: what the log and the audit log are told of it. As many come as anybody likes to send, so that
//! each address has some lines of each cause, and then one in a while.
//!
//! A token has 256 bits, so that guessing leads nowhere. Whoever has a right one is never held up by those who share the address.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{self, Duration},
};

use runtime::{LeftOut, LinePace, Thinning, Verdict};
use shard::Instant;

use crate::audit::{self, Refusal};

#[derive(Debug)]
pub struct Refusals {
    begun: time::Instant,
    thinning: Mutex<Thinning<Cause>>,
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

impl Cause {
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
        Refusals { begun: time::Instant::now(), thinning: Mutex::new(Thinning::new(PACE, SOURCES_MAX)) }
    }

    /// Tells of one. How long it is until the next is told, where it was left out of the log.
    pub fn tell(&self, peer: SocketAddr, cause: Cause, why: &str) -> Option<Duration> {
        let by = cause.word();
        audit::refuse(&Refusal { peer, by, why });
        let (left_out, verdict) = self.judge(peer, cause, Instant::START + self.begun.elapsed());
        for LeftOut { source, cause, count, .. } in left_out {
            let by = cause.word();
            tracing::warn!(address = %source, by, lines = count, "lines were left out, too many come: the API has refused somebody");
        }
        match verdict {
            Verdict::Tell => {
                tracing::warn!(%peer, by, why, "the API has refused somebody");
                None
            }
            Verdict::LeaveOut { wait } => Some(wait),
        }
    }

    fn judge(&self, peer: SocketAddr, cause: Cause, now: Instant) -> (Vec<LeftOut<Cause>>, Verdict) {
        let mut thinning = self.thinning.lock().unwrap_or_else(PoisonError::into_inner);
        (thinning.left_out_lately(now), thinning.judge(Some(peer.ip()), cause, "", now))
    }
}

/// So many at once cost nothing: somebody who pastes the wrong thing.
const PACE: LinePace = LinePace { at_once: 5, every: Duration::from_secs(10) };

/// Addresses and causes with lines of their own at a time.
const SOURCES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().expect("an address"), 700)
    }

    #[test]
    fn many_of_one_customer_wait_and_others_and_other_causes_do_not() {
        let refusals = Refusals::new();
        let now = Instant::START.add_secs(1000);
        let is_told = |address: &str, cause| refusals.judge(peer(address), cause, now).1 == Verdict::Tell;
        for (addresses, neighbour) in [
            (["192.0.2.1", "::ffff:192.0.2.1"], "192.0.2.2"),
            (["2001:db8::1", "2001:db8::2:1"], "2001:db8:0:1::1"),
        ] {
            let told = (0..20).filter(|at| is_told(addresses[at % 2], Cause::Token)).count();
            assert_eq!(told, 5, "{addresses:?}");
            assert!(is_told(neighbour, Cause::Token) && is_told(addresses[0], Cause::Role));
        }
        let (_, verdict) = refusals.judge(peer("192.0.2.1"), Cause::Token, now);
        assert_eq!(verdict, Verdict::LeaveOut { wait: Duration::from_secs(10) });
        let (left_out, verdict) = refusals.judge(peer("192.0.2.1"), Cause::Token, now.add_secs(20));
        assert_eq!((left_out.len(), verdict), (2, Verdict::Tell));
    }

    #[test]
    fn of_more_addresses_than_are_remembered_some_are_told_and_the_rest_counted() {
        let refusals = Refusals::new();
        let now = Instant::START.add_secs(1000);
        let all = 3000;
        let judge = |number: u32| {
            let address = std::net::IpAddr::from(number.to_be_bytes());
            refusals.judge(SocketAddr::new(address, 1), Cause::Token, now).1
        };
        let told = (0..all).filter(|number| judge(*number) == Verdict::Tell).count();
        assert_eq!(told, SOURCES_MAX + 5);
        let (left_out, _) = refusals.judge(peer("::1"), Cause::Role, now.add_secs(1));
        let counts: Vec<u64> = left_out.iter().map(|left_out| left_out.count).collect();
        assert_eq!(counts, [u64::from(all) - SOURCES_MAX as u64 - 5]);
    }
}

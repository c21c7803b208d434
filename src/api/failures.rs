//! Tokens that are not known, counted by the address that they come from.
//!
//! A token has 256 bits, so that guessing leads nowhere; what is bounded here is the noise. Whoever has a right one is never held up by
//! those who share the address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub struct Failures {
    by_address: Mutex<HashMap<IpAddr, Failure>>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    count: u32,
    last: Instant,
}

impl Failures {
    /// One more. How long to wait before the next, if there were too many.
    pub fn count(&self, address: IpAddr) -> Option<Duration> {
        self.count_at(address, Instant::now())
    }

    fn count_at(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let address = address.to_canonical();
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        by_address.retain(|_, failure| now.duration_since(failure.last) < FORGIVEN);
        if by_address.len() >= ADDRESSES_MAX && !by_address.contains_key(&address) {
            // Somebody has very many addresses: all of them wait.
            return Some(WAIT_MAX);
        }
        let failure = by_address.entry(address).or_insert(Failure { count: 0, last: now });
        failure.count = failure.count.saturating_add(1);
        failure.last = now;
        let beyond = failure.count.saturating_sub(FREE);
        (beyond > 0).then(|| Duration::from_secs(1 << (beyond - 1).min(6)).min(WAIT_MAX))
    }
}

/// So many cost nothing: somebody who pastes the wrong thing.
const FREE: u32 = 5;
const WAIT_MAX: Duration = Duration::from_secs(60);
/// An address that is quiet for so long begins anew.
const FORGIVEN: Duration = Duration::from_secs(60);
const ADDRESSES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_failures_of_one_address_wait_longer_and_longer_and_others_do_not() {
        let failures = Failures::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let now = Instant::now();
        let waits: Vec<Option<u64>> =
            (0..8).map(|_| failures.count_at(one, now).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [None, None, None, None, None, Some(1), Some(2), Some(4)]);
        assert_eq!(failures.count_at(other, now), None);
        assert_eq!(failures.count_at(one, now + FORGIVEN), None);
    }

    #[test]
    fn addresses_that_are_remembered_are_bounded() {
        let failures = Failures::default();
        let now = Instant::now();
        for number in 0..ADDRESSES_MAX as u32 + 5 {
            failures.count_at(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(failures.by_address.lock().expect("nobody panics").len(), ADDRESSES_MAX);
    }
}

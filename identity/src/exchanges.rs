//! Conversations that wait for the client's next word.

use std::collections::{HashMap, VecDeque};

use crate::judgement::Exchange;

/// A conversation, by a number that is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// Each is taken once. The oldest go where there are too many, or where they waited too long.
#[derive(Default)]
pub(crate) struct Exchanges {
    waiting: HashMap<ExchangeId, Kept>,
    /// In the order in which they began; may name some that are gone.
    begun: VecDeque<(u64, ExchangeId)>,
    last: u64,
}

/// With whom it is to prove.
pub(crate) type Kept = (Box<dyn Exchange>, Option<Box<str>>);

impl Exchanges {
    pub fn keep(&mut self, now_ms: u64, exchange: Kept) -> ExchangeId {
        while let Some((begun_ms, oldest)) = self.begun.front().copied() {
            let is_over = begun_ms + EXCHANGE_MS_MAX <= now_ms || self.begun.len() >= EXCHANGES_MAX;
            if !is_over && self.waiting.contains_key(&oldest) {
                break;
            }
            self.begun.pop_front();
            self.waiting.remove(&oldest);
        }
        self.last += 1;
        let id = ExchangeId(self.last);
        self.waiting.insert(id, exchange);
        self.begun.push_back((now_ms, id));
        id
    }

    pub fn take(&mut self, id: ExchangeId) -> Option<Kept> {
        self.waiting.remove(&id)
    }
}

/// Some hundred bytes each.
const EXCHANGES_MAX: usize = 16_384;

/// A client that needs longer has to begin again.
const EXCHANGE_MS_MAX: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Judgement};

    struct Silent;
    impl Exchange for Silent {
        fn go_on(self: Box<Self>, _data: &[u8], _unix_ms: u64, _chain: &Chain) -> Judgement {
            Judgement::Pass
        }
    }

    fn silent() -> Kept {
        (Box::new(Silent), None)
    }

    #[test]
    fn an_exchange_is_taken_once() {
        let mut exchanges = Exchanges::default();
        let (one, two) = (exchanges.keep(0, silent()), exchanges.keep(0, silent()));
        assert_ne!(one, two);
        assert!(exchanges.take(one).is_some() && exchanges.take(one).is_none());
        assert!(exchanges.take(two).is_some());
    }

    #[test]
    fn those_that_wait_too_long_or_are_too_many_go_oldest_first() {
        let mut exchanges = Exchanges::default();
        let first = exchanges.keep(0, silent());
        let second = exchanges.keep(1, silent());
        exchanges.keep(EXCHANGE_MS_MAX, silent());
        assert!(exchanges.take(first).is_none() && exchanges.take(second).is_some());
        let third = exchanges.keep(EXCHANGE_MS_MAX, silent());
        for _ in 0..2 * EXCHANGES_MAX {
            exchanges.keep(EXCHANGE_MS_MAX, silent());
        }
        assert!(exchanges.take(third).is_none());
        assert!(exchanges.waiting.len() <= EXCHANGES_MAX && exchanges.begun.len() <= EXCHANGES_MAX);
    }
}

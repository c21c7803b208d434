//! What waits for a thread: bounded, and in turn by address.
//!
//! Each address has a queue of its own, and the addresses take turns: who sends ten thousand CONNECTs waits behind himself, and
//! whoever comes alone waits for one of each of the others.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

pub(crate) struct Queue<T> {
    by_address: HashMap<Option<IpAddr>, VecDeque<T>>,
    /// Each address that waits, once, in the order of their turns.
    turns: VecDeque<Option<IpAddr>>,
    len: usize,
    len_max: usize,
}

impl<T> Queue<T> {
    pub fn new(len_max: usize) -> Queue<T> {
        Queue { by_address: HashMap::new(), turns: VecDeque::new(), len: 0, len_max: len_max.max(1) }
    }

    /// Gives back what there is no room for.
    pub fn push(&mut self, ip: Option<IpAddr>, item: T) -> Result<(), T> {
        let address = turn_of(ip);
        let own = self.by_address.get(&address).map_or(0, VecDeque::len);
        // While more than half is free an address may take what it likes; beyond that, what would be left for it if all that
        // wait had equally much.
        let share = self.len_max / (self.turns.len() + 1);
        if self.len >= self.len_max || (self.len >= self.len_max / 2 && own > share) {
            return Err(item);
        }
        if own == 0 {
            self.turns.push_back(address);
        }
        self.by_address.entry(address).or_default().push_back(item);
        self.len += 1;
        Ok(())
    }

    pub fn pop(&mut self) -> Option<T> {
        let address = self.turns.pop_front()?;
        let own = self.by_address.get_mut(&address).expect("an address with a turn has a queue");
        let item = own.pop_front().expect("an address with a turn waits for something");
        match own.is_empty() {
            true => drop(self.by_address.remove(&address)),
            false => self.turns.push_back(address),
        }
        self.len -= 1;
        Some(item)
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

/// A /64 of IPv6 takes one turn.
fn turn_of(ip: Option<IpAddr>) -> Option<IpAddr> {
    match ip?.to_canonical() {
        IpAddr::V6(ip) => Some(IpAddr::V6((ip.to_bits() >> 64 << 64).into())),
        ip => Some(ip),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, last).into())
    }

    #[test]
    fn addresses_take_turns_and_each_keeps_its_order() {
        let mut queue = Queue::new(100);
        for number in 0..4 {
            queue.push(ip(1), (1, number)).expect("room");
        }
        queue.push(ip(2), (2, 0)).expect("room");
        queue.push(None, (3, 0)).expect("room");
        queue.push(ip(2), (2, 1)).expect("room");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (1, 3)]);
        assert_eq!((queue.len(), queue.by_address.len()), (0, 0));
    }

    #[test]
    fn one_address_fills_no_more_than_leaves_room_for_others() {
        let mut queue = Queue::new(100);
        let taken = (0..200).filter(|_| queue.push(ip(1), ()).is_ok()).count();
        assert!((50..100).contains(&taken), "{taken}");
        for other in 2..20 {
            assert!(queue.push(ip(other), ()).is_ok(), "{other}");
        }
        let all = taken + 18;
        assert_eq!(queue.len(), all);
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), all);
    }

    #[test]
    fn a_full_queue_takes_nothing() {
        let mut queue = Queue::new(4);
        for other in 0..4 {
            queue.push(ip(other), other).expect("room");
        }
        assert_eq!(queue.push(ip(9), 9), Err(9));
        assert_eq!(queue.pop(), Some(0));
        assert_eq!(queue.push(ip(9), 9), Ok(()));
    }
}

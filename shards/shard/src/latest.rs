//! A table by client id that is bounded by number and bytes, for what somebody may ask for afterwards: the oldest makes way.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;

use crate::{
    hashing::{Table, hasher},
    losses::CLIENT_ID_BYTES_MAX,
};

/// What was put in first makes way.
pub(crate) struct Latest<T> {
    by_client_id: HashMap<Arc<str>, Held<T>, ahash::RandomState>,
    /// By the number of their coming.
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
    bytes: usize,
    most: usize,
    bytes_max: usize,
}

struct Held<T> {
    number: u64,
    bytes: usize,
    value: T,
}

impl<T> Latest<T> {
    pub fn new(seed: u64, most: usize, bytes_max: usize) -> Latest<T> {
        let hasher = hasher(seed, Table::Latest);
        let by_client_id = HashMap::with_hasher(hasher);
        Latest { by_client_id, order: BTreeMap::new(), next: 0, bytes: 0, most, bytes_max }
    }

    /// `bytes`: what the value holds beyond itself. Nobody makes way for what has too long a name, or is too much alone.
    pub fn put(&mut self, client_id: &Arc<str>, value: T, bytes: usize) {
        self.take(client_id);
        let bytes = bytes + client_id.len() + size_of::<Held<T>>() + ORDER_BYTES;
        if client_id.len() > CLIENT_ID_BYTES_MAX || bytes > self.bytes_max {
            return;
        }
        let number = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.by_client_id.insert(Arc::clone(client_id), Held { number, bytes, value });
        self.order.insert(number, Arc::clone(client_id));
        while (self.order.len() > self.most || self.bytes > self.bytes_max)
            && let Some((_, oldest)) = self.order.pop_first()
        {
            let held = self.by_client_id.remove(&oldest).expect("who has a number is held");
            self.bytes -= held.bytes;
        }
    }

    pub fn take(&mut self, client_id: &str) -> Option<T> {
        let Held { number, bytes, value } = self.by_client_id.remove(client_id)?;
        self.order.remove(&number);
        self.bytes -= bytes;
        Some(value)
    }

    pub fn get_mut(&mut self, client_id: &str) -> Option<&mut T> {
        self.by_client_id.get_mut(client_id).map(|held| &mut held.value)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn get(&self, client_id: &str) -> Option<&T> {
        self.by_client_id.get(client_id).map(|held| &held.value)
    }
}

/// What standing in order costs.
const ORDER_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(latest: &Latest<u32>) -> Vec<&str> {
        latest.order.values().map(|client_id| &**client_id).collect()
    }

    #[test]
    fn the_oldest_makes_way_and_who_comes_again_is_the_latest() {
        let mut latest = Latest::new(1, 3, 1 << 20);
        for (value, client_id) in ["a", "b", "a", "c", "d"].into_iter().enumerate() {
            latest.put(&client_id.into(), value as u32, 0);
        }
        assert_eq!(ids(&latest), ["a", "c", "d"]);
        assert_eq!((latest.get("a"), latest.get("b")), (Some(&2), None));
        assert_eq!((latest.take("a"), latest.get("a")), (Some(2), None));
        for client_id in ["c", "d"] {
            latest.take(client_id);
        }
        assert_eq!((latest.bytes, latest.order.len(), latest.by_client_id.len()), (0, 0, 0));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut latest = Latest::new(1, 100, 10_000);
        for n in 0..50_u32 {
            latest.put(&format!("c{n}").into(), n, 1000);
            assert!(latest.bytes <= 10_000);
        }
        assert_eq!(ids(&latest).last(), Some(&"c49"));
        latest.put(&"huge".into(), 1, 20_000);
        assert_eq!(latest.get("huge"), None, "it alone is too much");
        assert_eq!(ids(&latest).last(), Some(&"c49"), "nobody makes way for it");
    }
}

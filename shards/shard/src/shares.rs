//! A table by client id, bounded by number and bytes, in which no address takes the room of others: where there is none, the oldest row of
//! the address that has the most makes way. So whoever comes with many ids pushes out his own.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use access::Network;
use hashbrown::HashMap;

use crate::hashing::{Table, hasher};

pub(crate) struct Shares<T> {
    rows: HashMap<Arc<str>, Row<T>, ahash::RandomState>,
    /// Of each holder those that came first in front.
    order: BTreeMap<(Holder, u64), Arc<str>>,
    /// How many each has.
    counts: BTreeMap<Holder, usize>,
    /// Whose row makes way stands last.
    ranks: BTreeSet<Rank>,
    next: u64,
    bytes: usize,
    most: usize,
    bytes_max: usize,
}

struct Row<T> {
    holder: Holder,
    number: u64,
    bytes: usize,
    value: T,
}

/// The addresses of one customer. None: not known, as over a local socket.
type Holder = Option<Network>;

/// Who has as many as another is behind it where its oldest is older.
type Rank = (usize, Reverse<u64>, Holder);

impl<T> Shares<T> {
    pub fn new(seed: u64, most: usize, bytes_max: usize) -> Shares<T> {
        let (order, counts, ranks) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let rows = HashMap::with_hasher(hasher(seed, Table::Shares));
        Shares { rows, order, counts, ranks, next: 0, bytes: 0, most, bytes_max }
    }

    /// The latest of whoever had the row of this client id before. `bytes`: what the value holds beyond itself.
    pub fn put(&mut self, client_id: &str, value: T, bytes: usize) {
        let holder = self.rows.get(client_id).and_then(|row| row.holder);
        self.take(client_id);
        let bytes = bytes + client_id.len() + size_of::<Row<T>>() + ORDER_BYTES;
        let client_id: Arc<str> = client_id.into();
        let number = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.rows.insert(Arc::clone(&client_id), Row { holder, number, bytes, value });
        self.hold(holder, number, client_id);
        while self.rows.len() > self.most || self.bytes > self.bytes_max {
            self.make_way();
        }
    }

    /// From there it came. A row that two addresses ask for is held by the one that has fewer: nobody takes those of others into his share.
    pub fn locate(&mut self, client_id: &str, ip: IpAddr) {
        let Some(row) = self.rows.get(client_id) else { return };
        let (holder, number, before) = (customer(ip), row.number, row.holder);
        let count = |holder| self.counts.get(&holder).copied().unwrap_or(0);
        if before.is_none() || count(holder) + 1 < count(before) {
            let client_id = self.release(before, number);
            self.hold(holder, number, Arc::clone(&client_id));
            self.rows.get_mut(&client_id).expect("it is there").holder = holder;
        }
    }

    pub fn get(&self, client_id: &str) -> Option<&T> {
        self.rows.get(client_id).map(|row| &row.value)
    }

    pub fn get_mut(&mut self, client_id: &str) -> Option<&mut T> {
        self.rows.get_mut(client_id).map(|row| &mut row.value)
    }

    pub fn remove(&mut self, client_id: &str) {
        self.take(client_id);
    }

    fn take(&mut self, client_id: &str) -> Option<T> {
        let Row { holder, number, bytes, value } = self.rows.remove(client_id)?;
        self.release(holder, number);
        self.bytes -= bytes;
        Some(value)
    }

    fn make_way(&mut self) {
        let (_, Reverse(number), holder) = *self.ranks.last().expect("there are rows");
        let client_id = self.release(holder, number);
        let row = self.rows.remove(&client_id).expect("what is held is a row");
        self.bytes -= row.bytes;
    }

    fn hold(&mut self, holder: Holder, number: u64, client_id: Arc<str>) {
        let before = self.rank(holder);
        self.order.insert((holder, number), client_id);
        *self.counts.entry(holder).or_default() += 1;
        self.rerank(holder, before);
    }

    fn release(&mut self, holder: Holder, number: u64) -> Arc<str> {
        let before = self.rank(holder);
        let client_id = self.order.remove(&(holder, number)).expect("each row stands in order");
        let count = self.counts.get_mut(&holder).expect("each row is counted");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&holder);
        }
        self.rerank(holder, before);
        client_id
    }

    fn rerank(&mut self, holder: Holder, before: Option<Rank>) {
        before.map(|rank| self.ranks.remove(&rank));
        let after = self.rank(holder);
        self.ranks.extend(after);
    }

    /// None: it has none.
    fn rank(&self, holder: Holder) -> Option<Rank> {
        let count = *self.counts.get(&holder)?;
        let ((_, oldest), _) = self.order.range((holder, 0)..=(holder, u64::MAX)).next()?;
        Some((count, Reverse(*oldest), holder))
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A network of IPv6 gives one customer a /64 at least.
fn customer(ip: IpAddr) -> Holder {
    let ip = ip.to_canonical();
    Network::around(ip, if ip.is_ipv4() { 32 } else { 64 })
}

/// What standing in order costs, with a holder of its own.
const ORDER_BYTES: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn put(shares: &mut Shares<u32>, client_id: &str, ip: IpAddr) {
        shares.put(client_id, 0, 0);
        shares.locate(client_id, ip);
    }

    fn check(shares: &Shares<u32>) {
        let counted: usize = shares.counts.values().sum();
        assert_eq!((shares.order.len(), counted), (shares.rows.len(), shares.rows.len()));
        assert_eq!(shares.ranks.len(), shares.counts.len());
        let held = |((holder, number), client_id): (&(Holder, u64), &Arc<str>)| {
            shares.rows.get(client_id).is_some_and(|row| (row.holder, row.number) == (*holder, *number))
        };
        assert!(shares.order.iter().all(held));
        assert_eq!(shares.bytes, shares.rows.values().map(|row| row.bytes).sum());
    }

    #[test]
    fn whoever_has_the_most_makes_way_and_of_equals_the_oldest() {
        let mut shares = Shares::new(1, 8, 1 << 20);
        for n in 0..4 {
            put(&mut shares, &format!("quiet {n}"), ip(n));
        }
        for n in 0..100 {
            put(&mut shares, &format!("flood {n}"), ip(200));
            check(&shares);
        }
        assert!((0..4).all(|n| shares.get(&format!("quiet {n}")).is_some()));
        assert!((96..100).all(|n| shares.get(&format!("flood {n}")).is_some()), "the last of them stay");
        for n in 4..8 {
            put(&mut shares, &format!("quiet {n}"), ip(n));
        }
        assert!(
            (0..8).all(|n| shares.get(&format!("quiet {n}")).is_some() == (n != 0)),
            "one of flood's is left"
        );
        check(&shares);
    }

    #[test]
    fn a_customer_of_ipv6_has_one_share_whatever_his_addresses() {
        let mut shares = Shares::new(1, 8, 1 << 20);
        put(&mut shares, "quiet", "2001:db8:0:1::1".parse().expect("an address"));
        for n in 0..100_u16 {
            put(&mut shares, &format!("flood {n}"), IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, n]));
        }
        assert!(shares.get("quiet").is_some());
        assert_eq!(shares.counts.len(), 2);
    }

    #[test]
    fn who_has_many_does_not_take_the_row_of_another_into_his_share() {
        let mut shares = Shares::new(1, 8, 1 << 20);
        put(&mut shares, "quiet", ip(1));
        for n in 0..100 {
            put(&mut shares, &format!("flood {n}"), ip(2));
            put(&mut shares, "quiet", ip(2));
            check(&shares);
        }
        (0..8).for_each(|n| put(&mut shares, &format!("more {n}"), ip(2)));
        assert!(shares.get("quiet").is_some());
        put(&mut shares, "more 7", ip(3));
        (0..8).for_each(|n| put(&mut shares, &format!("others {n}"), ip(2)));
        assert!(shares.get("more 7").is_some(), "it is held by who has fewer");
        check(&shares);
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let mut shares = Shares::new(1, 8, 4000);
        for n in 0..100 {
            put(&mut shares, &format!("{n}"), ip(n % 3));
            shares.remove(&format!("{}", n / 2));
            assert!(shares.bytes() <= 4000);
            check(&shares);
        }
        (0..100).for_each(|n| shares.remove(&format!("{n}")));
        assert_eq!((shares.len(), shares.bytes(), shares.counts.len(), shares.ranks.len()), (0, 0, 0, 0));
    }
}

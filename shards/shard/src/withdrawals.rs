//! What one shard need not mail to another any more: many filters in one piece of mail, because many go at once.
//!
//! The names stand one behind the other in one block: a block for each would be allocated on one core and freed on another.

/// Filters that nobody at the sender has any more, and shared ones of which it has fewer members.
#[derive(Debug, Default)]
pub struct Withdrawals {
    names: String,
    ends: Vec<Withdrawal>,
}

#[derive(Debug)]
struct Withdrawal {
    /// Where its name ends.
    end: u32,
    /// How many members the sender still has.
    left: u32,
}

impl Withdrawals {
    /// The first one always has room.
    pub(crate) fn has_room_for(&self, name: &str) -> bool {
        self.ends.is_empty() || self.bytes() + name.len() + size_of::<Withdrawal>() <= WITHDRAWALS_BYTES_MAX
    }

    pub(crate) fn push(&mut self, name: &str, left: u32) {
        assert!(self.has_room_for(name), "who does not fit goes with the next");
        self.names.push_str(name);
        let end = u32::try_from(self.names.len()).expect("a filter has 65,535 bytes at most");
        self.ends.push(Withdrawal { end, left });
    }

    /// In the order in which they were pushed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        let mut begin = 0;
        self.ends.iter().map(move |withdrawal| {
            let end = withdrawal.end as usize;
            (&self.names[std::mem::replace(&mut begin, end)..end], withdrawal.left)
        })
    }

    fn bytes(&self) -> usize {
        self.names.len() + self.ends.len() * size_of::<Withdrawal>()
    }
}

/// More than a thousand filters of usual length, and no more than is taken out in a millisecond or two.
const WITHDRAWALS_BYTES_MAX: usize = 32 << 10;

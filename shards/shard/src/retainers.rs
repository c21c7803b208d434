//! Who published the messages that were mailed lately to be retained elsewhere: the shard of a topic says which it has not retained, and
//! knows nobody's name.

use std::{collections::VecDeque, sync::Arc};

use crate::message::RetainedId;

#[derive(Default)]
pub(crate) struct Retainers {
    /// By the counts in the ids of the messages, which grow.
    recent: VecDeque<(u32, Arc<str>)>,
}

impl Retainers {
    pub fn note(&mut self, id: RetainedId, client_id: Arc<str>) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((id.get() as u32, client_id));
    }

    /// None: so many came after it that it is not known any more, or no client published it.
    pub fn find(&self, id: RetainedId) -> Option<Arc<str>> {
        let (first, _) = self.recent.front()?;
        // A count comes round again after four billion messages.
        let behind = |count: u32| count.wrapping_sub(*first);
        let wanted = behind(id.get() as u32);
        let at = self.recent.binary_search_by_key(&wanted, |(count, _)| behind(*count)).ok()?;
        Some(Arc::clone(&self.recent[at].1))
    }
}

/// The answer comes within a few ticks.
const RECENT_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_known_also_where_the_count_begins_anew() {
        for begin in [0, u64::from(u32::MAX) - 2000] {
            let id = |n: u64| RetainedId::new(7, begin + 3 * n);
            let mut retainers = Retainers::default();
            assert_eq!(retainers.find(id(1)), None);
            (1..=5000).for_each(|n| retainers.note(id(n), n.to_string().into()));
            assert_eq!(retainers.find(id(5000)).as_deref(), Some("5000"));
            assert_eq!(retainers.find(id(905)).as_deref(), Some("905"));
            assert_eq!(retainers.find(id(904)), None, "it is long ago");
            assert_eq!(retainers.find(RetainedId::new(7, begin + 3 * 4000 + 1)), None, "of no client");
        }
    }
}

//! Losses since they were last asked for, while somebody asks again and again: one row for each client, topic and cause, and what
//! finds no room counts by its cause alone, so that the sums are those of the counters.

use std::time::Duration;

use hashbrown::HashTable;

use super::{Lost, Sums};
use crate::{
    Instant,
    look::{FreshLoss, Loss},
};

pub(crate) struct Fresh {
    rows: HashTable<Row>,
    text_bytes: usize,
    others: Sums,
    hasher: ahash::RandomState,
    asked_at: Instant,
}

struct Row {
    /// None: it was not known yet whom the message was for.
    client_id: Option<Box<str>>,
    topic: Box<str>,
    lost: Lost,
}

impl Fresh {
    pub fn new(hasher: ahash::RandomState, now: Instant) -> Fresh {
        Fresh { rows: HashTable::new(), text_bytes: 0, others: Sums::default(), hasher, asked_at: now }
    }

    /// Nobody has asked for so long that nobody will.
    pub fn is_forgotten(&self, now: Instant) -> bool {
        now.since(self.asked_at) >= UNASKED_MAX
    }

    pub fn add(&mut self, client_id: Option<&str>, topic: &str, lost: Lost) {
        let hasher = &self.hasher;
        let hash = hasher.hash_one((client_id, topic, lost.cause));
        let is_it = |row: &Row| {
            row.lost.cause == lost.cause && row.client_id.as_deref() == client_id && *row.topic == *topic
        };
        if let Some(row) = self.rows.find_mut(hash, is_it) {
            return row.lost.join(lost);
        }
        let bytes = client_id.map_or(0, str::len) + topic.len();
        if self.rows.len() >= ROWS_MAX || self.text_bytes + bytes > TEXT_BYTES_MAX {
            return self.others.add(lost);
        }
        self.text_bytes += bytes;
        let row = Row { client_id: client_id.map(Box::from), topic: topic.into(), lost };
        self.rows.insert_unique(hash, row, |row| {
            hasher.hash_one((row.client_id.as_deref(), &*row.topic, row.lost.cause))
        });
    }

    pub fn take(&mut self, now: Instant) -> Vec<FreshLoss> {
        self.asked_at = now;
        self.text_bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        let others = std::mem::take(&mut self.others);
        let rows = rows.into_iter().map(|Row { client_id, topic, lost }| FreshLoss {
            client_id,
            loss: seen(&lost, Some(topic), now),
        });
        let others = others.iter().map(|lost| FreshLoss { client_id: None, loss: seen(lost, None, now) });
        rows.chain(others).collect()
    }
}

fn seen(lost: &Lost, topic: Option<Box<str>>, now: Instant) -> Loss {
    let Lost { cause, count, first, last } = *lost;
    Loss { cause, topic, count, first_ago: now.since(first), last_ago: now.since(last) }
}

/// Of one shard, between two questions.
const ROWS_MAX: usize = 1024;
const TEXT_BYTES_MAX: usize = 256 << 10;
const UNASKED_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cause;

    fn fresh() -> Fresh {
        Fresh::new(ahash::RandomState::with_seeds(1, 2, 3, 4), Instant::START)
    }

    fn lost(cause: Cause) -> Lost {
        Lost { cause, count: 1, first: Instant::START, last: Instant::START }
    }

    fn total(rows: &[FreshLoss]) -> u64 {
        rows.iter().map(|row| row.loss.count).sum()
    }

    #[test]
    fn a_row_stands_for_client_topic_and_cause() {
        let mut fresh = fresh();
        for (client_id, topic, cause) in [
            (Some("a"), "t", Cause::Expired),
            (Some("a"), "t", Cause::Expired),
            (Some("a"), "u", Cause::Expired),
            (Some("b"), "t", Cause::Expired),
            (Some("a"), "t", Cause::Denied),
            (None, "t", Cause::Expired),
        ] {
            fresh.add(client_id, topic, lost(cause));
        }
        let rows = fresh.take(Instant::START);
        assert_eq!((rows.len(), total(&rows)), (5, 6));
        let twice = rows.iter().find(|row| row.loss.count == 2).expect("the first two");
        assert_eq!((twice.client_id.as_deref(), twice.loss.topic.as_deref()), (Some("a"), Some("t")));
        assert!(fresh.take(Instant::START).is_empty());
    }

    #[test]
    fn what_finds_no_room_counts_by_its_cause() {
        let mut fresh = fresh();
        for n in 0..ROWS_MAX + 10 {
            fresh.add(Some(&format!("c{n}")), "t", lost(Cause::QueueBytes));
        }
        fresh.add(Some("c0"), "t", lost(Cause::QueueBytes));
        let rows = fresh.take(Instant::START);
        assert_eq!((rows.len(), total(&rows)), (ROWS_MAX + 1, ROWS_MAX as u64 + 11));
        let others = rows.iter().find(|row| row.loss.topic.is_none()).expect("the others");
        assert_eq!((others.client_id.as_deref(), others.loss.count), (None, 10));

        let long = "x".repeat(TEXT_BYTES_MAX / 4);
        for n in 0..6 {
            fresh.add(Some(&format!("c{n}")), &long, lost(Cause::QueueBytes));
        }
        let rows = fresh.take(Instant::START);
        assert_eq!((rows.len(), total(&rows)), (4, 6), "three of them, and the others");
    }

    #[test]
    fn who_does_not_ask_is_forgotten() {
        let mut fresh = fresh();
        let now = Instant::START + UNASKED_MAX;
        assert!(fresh.is_forgotten(now));
        fresh.take(now);
        assert!(!fresh.is_forgotten(now));
    }
}

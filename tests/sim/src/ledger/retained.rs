//! What the retained store can hold at any step. Who is to get it is decided in `delivery.rs` and `verdict.rs`.

use std::collections::BTreeMap;

use shard::Instant;

use crate::said::PublicationId;

/// A retained message, or a clearing of one, on its way to the home of its topic.
#[derive(Debug, Clone)]
pub struct Write {
    pub publication: PublicationId,
    /// The step of the arrival that it came from.
    pub begun: u64,
    /// None clears.
    pub value: Option<PublicationId>,
    pub from_shard: usize,
    pub earliest: u64,
    /// By this step it is in the store; none: still on its way.
    pub latest: Option<u64>,
    pub expires_at: Option<Instant>,
    /// A crash came before it was stored for certain.
    pub is_doubtful: bool,
}

#[derive(Debug, Default)]
pub struct Retained {
    topics: BTreeMap<String, Vec<Write>>,
}

impl Retained {
    pub fn write(&mut self, topic: &str, write: Write) {
        self.topics.entry(topic.to_owned()).or_default().push(write);
    }

    /// Mail with a retained message has arrived at its home; false if nobody sent such a one.
    pub fn arrived(
        &mut self,
        topic: &str,
        value: Option<PublicationId>,
        from_shard: usize,
        step: u64,
    ) -> bool {
        let writes = self.topics.get_mut(topic).map(Vec::as_mut_slice).unwrap_or_default();
        let awaited = writes
            .iter_mut()
            .filter(|w| w.latest.is_none() && w.value == value && w.from_shard == from_shard);
        // Clearings look alike, and one that may never have been sent must not pass for one that was.
        let Some(write) = awaited.min_by_key(|write| write.is_doubtful) else { return false };
        (write.earliest, write.latest) = (step, Some(step));
        true
    }

    pub fn applied_by(&mut self, topic: &str, id: PublicationId, step: u64) {
        let writes = self.topics.get_mut(topic).map(Vec::as_mut_slice).unwrap_or_default();
        for write in writes.iter_mut().filter(|write| write.value == Some(id)) {
            write.latest.get_or_insert(step);
        }
    }

    pub fn forget(&mut self, topic: &str, id: PublicationId) {
        if let Some(writes) = self.topics.get_mut(topic) {
            writes.retain(|write| write.value != Some(id));
        }
    }

    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Everything that the store can have held for the topic at some step from `from` to `to`.
    pub fn candidates(&self, topic: &str, from: u64, to: u64) -> Vec<Option<&Write>> {
        let writes = self.topics.get(topic).map(Vec::as_slice).unwrap_or_default();
        // A write is out of question once another one, that certainly came later, was there before `from`.
        let is_overwritten = |write: &Write| {
            let latest = write.latest.unwrap_or(u64::MAX);
            let is_later =
                |later: &Write| later.earliest > latest && later.latest.is_some_and(|at| at < from);
            writes.iter().any(|later| is_later(later) && !later.is_doubtful)
        };
        let empty = Write {
            publication: 0,
            begun: 0,
            value: None,
            from_shard: 0,
            earliest: 0,
            latest: Some(0),
            expires_at: None,
            is_doubtful: false,
        };
        let mut found: Vec<Option<&Write>> =
            writes.iter().filter(|write| write.earliest <= to && !is_overwritten(write)).map(Some).collect();
        if !is_overwritten(&empty) {
            found.push(None);
        }
        found
    }

    /// The one message that the topic had all the time from `from` to `to`, if that is certain.
    pub fn certain(&self, topic: &str, from: u64, to: u64) -> Option<&Write> {
        match self.candidates(topic, from, to)[..] {
            [Some(write)] if write.value.is_some() && write.latest.is_some_and(|at| at < from) => Some(write),
            _ => None,
        }
    }

    /// When `b` was published, if it certainly came to the store after `a`.
    pub fn replaced(&self, topic: &str, a: PublicationId, b: PublicationId) -> Option<u64> {
        let writes = self.topics.get(topic).map(Vec::as_slice).unwrap_or_default();
        let of = |id| writes.iter().filter(move |write| write.value == Some(id));
        let latest = of(a).map(|write| write.latest.unwrap_or(u64::MAX)).max();
        if of(b).any(|write| write.is_doubtful) {
            return None;
        }
        let first = of(b).min_by_key(|write| write.earliest)?;
        latest.is_some_and(|at| at < first.earliest).then_some(first.begun)
    }

    /// After a crash: what was acknowledged stays, what was on its way is gone, and of the rest nobody knows.
    pub fn doubt(
        &mut self,
        step: u64,
        durable: impl Fn(&str) -> u64,
        is_acknowledged: impl Fn(&Write) -> bool,
        is_will: impl Fn(PublicationId) -> bool,
    ) {
        for (topic, writes) in &mut self.topics {
            let durable = durable(topic);
            writes.retain_mut(|write| {
                if is_acknowledged(write) {
                    write.latest.get_or_insert(step);
                } else if is_will(write.publication) {
                    write.is_doubtful = true;
                } else {
                    write.is_doubtful |= write.latest.is_some_and(|at| at > durable);
                }
                write.latest.is_some() || is_will(write.publication)
            });
        }
    }

    /// Writes that have not come to the store.
    pub fn under_way(&self) -> impl Iterator<Item = (&str, Option<PublicationId>)> {
        let each =
            self.topics.iter().flat_map(|(topic, writes)| writes.iter().map(move |w| (topic.as_str(), w)));
        each.filter(|(_, write)| write.latest.is_none() && !write.is_doubtful)
            .map(|(topic, write)| (topic, write.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: Option<usize>, earliest: u64, latest: Option<u64>) -> Write {
        Write {
            publication: value.unwrap_or(0),
            begun: earliest,
            value,
            from_shard: 0,
            earliest,
            latest,
            expires_at: None,
            is_doubtful: false,
        }
    }

    #[test]
    fn what_is_on_its_way_makes_the_store_uncertain() {
        let mut retained = Retained::default();
        retained.write("t", write(Some(1), 10, Some(10)));
        assert_eq!(retained.certain("t", 11, 20).and_then(|w| w.value), Some(1));
        assert!(retained.certain("t", 5, 20).is_none(), "before step 10 there was nothing");
        retained.write("t", write(Some(2), 15, None));
        assert!(retained.certain("t", 11, 20).is_none());
        assert_eq!(retained.certain("t", 11, 14).and_then(|w| w.value), Some(1));
        assert!(retained.arrived("t", Some(2), 0, 18));
        assert_eq!(retained.certain("t", 19, 30).and_then(|w| w.value), Some(2));
        assert_eq!(retained.under_way().count(), 0);
        assert_eq!((retained.replaced("t", 1, 2), retained.replaced("t", 2, 1)), (Some(15), None));
    }

    #[test]
    fn what_arrives_is_what_was_sent_for_certain() {
        let mut retained = Retained::default();
        retained.write("t", Write { is_doubtful: true, ..write(None, 3, None) });
        retained.write("t", write(None, 5, None));
        assert!(retained.arrived("t", None, 0, 7));
        assert_eq!(retained.under_way().count(), 0);
        assert!(retained.arrived("t", None, 0, 8) && !retained.arrived("t", None, 0, 9));
    }

    #[test]
    fn mail_that_nobody_sent_is_noticed() {
        let mut retained = Retained::default();
        retained.write("t", write(None, 3, None));
        assert!(!retained.arrived("t", Some(1), 0, 4));
        assert!(retained.arrived("t", None, 0, 4));
        assert!(!retained.arrived("t", None, 0, 5));
    }
}

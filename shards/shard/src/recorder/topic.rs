//! A topic as recorders remember it: one text for all that have it.

use std::rc::Rc;

use crate::{
    filters::{inner, is_shared, overlap},
    losses::cut,
};

/// The middle of a long one is left out, and an ellipsis stands there. Behind a long one stands the hash of the whole, so that
/// those with the same ends are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic(Rc<[u8]>);

impl Topic {
    /// Of its text, with what counts its holders.
    pub const BYTES_MAX: usize = TOPIC_BYTES_MAX + HASH_BYTES + 2 * size_of::<usize>();

    pub fn new(topic: &str) -> Topic {
        Topic::hashed(topic, hash)
    }

    fn hashed(topic: &str, hash: impl FnOnce(&str) -> u64) -> Topic {
        match ends(topic) {
            None => Topic(topic.as_bytes().into()),
            Some((head, tail)) => {
                let text = [head, ELLIPSIS, tail].map(str::as_bytes).concat();
                Topic([&text[..], &hash(topic).to_be_bytes()].concat().into())
            }
        }
    }

    /// What `new` makes of it is this one.
    fn is(&self, topic: &str, hash: impl FnOnce(&str) -> u64) -> bool {
        let Some((head, tail)) = ends(topic) else { return *self.0 == *topic.as_bytes() };
        let rest = self.0.strip_prefix(head.as_bytes());
        let rest = rest.and_then(|rest| rest.strip_prefix(ELLIPSIS.as_bytes()));
        let rest = rest.and_then(|rest| rest.strip_prefix(tail.as_bytes()));
        rest.is_some_and(|rest| *rest == hash(topic).to_be_bytes())
    }

    fn is_cut(&self) -> bool {
        self.0.len() > TOPIC_BYTES_MAX
    }

    /// None: it was too long to be kept as it is.
    pub fn whole(&self) -> Option<&str> {
        (!self.is_cut()).then(|| self.as_str())
    }

    pub fn as_str(&self) -> &str {
        let text = if self.is_cut() { &self.0[..self.0.len() - HASH_BYTES] } else { &self.0 };
        std::str::from_utf8(text).expect("it was made of whole characters")
    }

    /// Whether the filter matches it. Of a long one as far as its ends say: a filter with wildcards that may match does.
    pub fn matches(&self, filter: &str) -> bool {
        if !filter.contains(['+', '#']) {
            return self.is(filter, hash);
        }
        if !self.is_cut() {
            return mqtt::matches(filter, self.as_str());
        }
        let (head, tail) = self.as_str().split_once(ELLIPSIS).expect("an ellipsis stands in a long one");
        // [MQTT-4.7.2-1]
        if head.starts_with('$') && filter.starts_with(['+', '#']) {
            return false;
        }
        may_begin(filter, head) && may_end(filter, tail)
    }

    /// Of a filter: whether there may be a topic that both match, as far as the ends of a long one say.
    pub fn overlaps(&self, filter: &str) -> bool {
        match self.as_str().split_once(ELLIPSIS).filter(|_| self.is_cut()) {
            None => overlap(self.as_str(), filter),
            // Of a shared subscription it may be the group that is cut.
            Some((head, _)) if is_shared(head) && inner(head) == head => true,
            Some((head, _)) => begins_overlap(inner(head), inner(filter)),
        }
    }

    /// Tells it from all others that live.
    #[inline(always)]
    pub fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }
}

/// Whether a topic that begins so may match. The last level is not whole.
fn may_begin(filter: &str, head: &str) -> bool {
    let Some((whole, part)) = head.rsplit_once('/') else {
        return may_be(filter.split('/').next(), head, "");
    };
    let mut wanted = filter.split('/');
    for level in whole.split('/') {
        match wanted.next() {
            Some("#") => return true,
            Some(wanted) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    may_be(wanted.next(), part, "")
}

/// Whether a filter that begins so may overlap. The last level is not whole.
fn begins_overlap(head: &str, filter: &str) -> bool {
    match head.rsplit_once('/') {
        Some((whole, _)) => overlap(&format!("{whole}/#"), filter),
        None if head.is_empty() => true,
        // [MQTT-4.7.2-1]
        None if head == "+" => !filter.starts_with('$'),
        None if head.starts_with('$') && filter.starts_with(['+', '#']) => false,
        None => may_be(filter.split('/').next(), head, ""),
    }
}

/// Whether a topic that ends so may match. The first level is not whole.
fn may_end(filter: &str, tail: &str) -> bool {
    let mut wanted = filter.rsplit('/');
    if filter.ends_with('#') {
        return true;
    }
    let Some((part, whole)) = tail.split_once('/') else { return may_be(wanted.next(), "", tail) };
    whole.rsplit('/').all(|level| wanted.next().is_some_and(|wanted| wanted == "+" || wanted == level))
        && may_be(wanted.next(), "", part)
}

/// Whether a level that begins and ends so may be the one that is wanted.
fn may_be(wanted: Option<&str>, begins: &str, ends: &str) -> bool {
    wanted.is_some_and(|wanted| {
        ["+", "#"].contains(&wanted) || wanted.starts_with(begins) && wanted.ends_with(ends)
    })
}

/// The topic that was asked for last, so that the receivers of a message have one text of it.
#[derive(Debug, Default)]
pub(crate) struct LastTopic {
    topic: Option<Topic>,
    hashed: Hashed,
}

impl LastTopic {
    pub fn of(&mut self, topic: &str) -> &Topic {
        let LastTopic { topic: last, hashed } = self;
        if !last.as_ref().is_some_and(|last| last.is(topic, |topic| hashed.of(topic))) {
            *last = Some(Topic::hashed(topic, |topic| hashed.of(topic)));
        }
        last.as_ref().expect("it was set if it was not there")
    }

    /// Whether the topic is this one.
    pub fn is(&mut self, kept: &Topic, topic: &str) -> bool {
        kept.is(topic, |topic| self.hashed.of(topic))
    }
}

/// The hash of the long topic that came last: a message is recorded by all that get it, and hashed once.
#[derive(Debug, Default)]
struct Hashed {
    topic: String,
    hash: u64,
}

impl Hashed {
    fn of(&mut self, topic: &str) -> u64 {
        if self.topic != topic {
            self.topic.clear();
            self.topic.push_str(topic);
            self.hash = hash(topic);
        }
        self.hash
    }
}

fn hash(topic: &str) -> u64 {
    ahash::RandomState::with_seeds(21, 22, 23, 24).hash_one(topic)
}

/// Of a long topic the ends tell most. None: it is not long.
fn ends(topic: &str) -> Option<(&str, &str)> {
    if topic.len() <= TOPIC_BYTES_MAX {
        return None;
    }
    let head = cut(topic, HEAD_BYTES);
    let tail = (topic.len() - TAIL_BYTES..).find(|at| topic.is_char_boundary(*at)).unwrap_or(topic.len());
    Some((head, &topic[tail..]))
}

const ELLIPSIS: &str = "…";
/// Longer ones are cut.
const TOPIC_BYTES_MAX: usize = 64;
const HEAD_BYTES: usize = 24;
const TAIL_BYTES: usize = TOPIC_BYTES_MAX - HEAD_BYTES - ELLIPSIS.len();
const HASH_BYTES: usize = size_of::<u64>();

/// The ends of a long topic are short of their bytes by less than a character each.
const CHARACTER_BYTES_MAX: usize = 4;
const _: () = assert!(HASH_BYTES > 2 * (CHARACTER_BYTES_MAX - 1), "what is cut is longer than what is not");

#[cfg(test)]
mod tests {
    use super::*;

    fn is(kept: &Topic, topic: &str) -> bool {
        LastTopic::default().is(kept, topic)
    }

    #[test]
    fn of_a_long_topic_the_ends_are_kept_in_whole_characters() {
        let whole = "a".repeat(TOPIC_BYTES_MAX);
        assert_eq!(Topic::new(&whole).as_str(), whole);
        let long = format!("building/{}/temperature", "ä".repeat(40));
        let topic = Topic::new(&long);
        assert_eq!(topic.as_str(), "building/äääääää…ääääääääääää/temperature");
        assert!(is(&topic, &long) && !is(&topic, &whole) && topic.as_str().len() <= TOPIC_BYTES_MAX);
        assert!(!is(&topic, &format!("{long}s")) && !is(&topic, &format!("s{long}")));
    }

    #[test]
    fn long_topics_with_the_same_ends_are_told_apart() {
        let [one, other] = ["a", "b"].map(|middle| format!("{0}{middle}{0}", "x".repeat(60)));
        let mut last = LastTopic::default();
        let kept = last.of(&one).clone();
        assert_eq!(kept.as_str(), Topic::new(&other).as_str());
        assert!(last.is(&kept, &one) && !last.is(&kept, &other) && kept == Topic::new(&one));
        assert_ne!(last.of(&other).address(), kept.address());
        assert!(kept.matches(&one) && !kept.matches(&other));
    }

    #[test]
    fn a_topic_of_four_byte_characters_keeps_its_hash_apart() {
        for bytes in 0..4 {
            let topic = format!("{}{}", "x".repeat(bytes), "🦀".repeat(40));
            let kept = Topic::new(&topic);
            assert!(kept.is_cut() && kept.as_str().contains(ELLIPSIS) && is(&kept, &topic), "{topic}");
        }
    }

    #[test]
    fn a_filter_with_wildcards_that_may_match_a_long_topic_does() {
        let topic = format!("plant/hall/{}/press/7/temperature", "x".repeat(60));
        let kept = Topic::new(&topic);
        for filter in ["#", "plant/#", "plant/+/+/press/+/temperature", "+/hall/+/press/7/temperature"] {
            assert!(mqtt::matches(filter, &topic) && kept.matches(filter), "{filter}");
        }
        for filter in
            ["lab/#", "plant/+/+/press/8/temperature", "plant/hall", "+/+/+/temperatures", "+", "+/+"]
        {
            assert!(!mqtt::matches(filter, &topic) && !kept.matches(filter), "{filter}");
        }
        assert!(!Topic::new(&format!("$SYS/{topic}")).matches("#"), "it is the server's");
        assert!(Topic::new("a/b").matches("a/+") && !Topic::new("a/b").matches("a/+/#/c"));
    }

    #[test]
    fn a_long_filter_overlaps_as_far_as_its_beginning_says() {
        let kept = Topic::new(&format!("$share/crew/plant/{}/+/press", "x".repeat(80)));
        assert!(kept.is_cut() && kept.overlaps("plant/+/7/press") && !kept.overlaps("lab/#"));
        assert!(Topic::new("a/+").overlaps("a/b") && !Topic::new("a/+").overlaps("b"));
    }

    #[test]
    fn a_long_filter_overlaps_whatever_may_stand_where_it_is_cut() {
        let end = "temperature/of/the/upper/bearing/of/the/second/press";
        let kept = |begins: &str| Topic::new(&format!("{begins}/{end}"));
        let in_group = kept("$share/workers-of-the-north-hall/plant");
        assert!(in_group.is_cut() && in_group.overlaps("plant/#") && in_group.overlaps("$SYS/#"));
        let in_level = kept("$share/workers-of-it/$SYS/broker");
        assert!(in_level.overlaps("$SYS/#") && !in_level.overlaps("plant/#"));
        let behind_group = kept("$share/a-group-of-those/$SYS");
        assert!(behind_group.overlaps("$SYS/#") && behind_group.overlaps("plant/#"));
        assert!(!in_level.overlaps("#"), "it is the server's");
        let long = kept("$internals-of-the-north-hall");
        assert!(
            long.overlaps("$internals-of-the-north-hall/#")
                && long.overlaps("$internals-of-the-north-hall/+/#")
        );
        assert!(!long.overlaps("#") && !long.overlaps("$SYS/#") && !long.overlaps("plant/#"));
        assert!(kept("$share/g/+").overlaps("plant/#") && !kept("$share/g/+").overlaps("$SYS/#"));
        assert!(kept("internals-of-the-north-hall").overlaps("#"));
    }

    #[test]
    fn a_topic_that_comes_again_is_the_same_text() {
        let mut last = LastTopic::default();
        let first = last.of("a/b").clone();
        assert_eq!(last.of("a/b").address(), first.address());
        assert_ne!(last.of("a/c").address(), first.address());
    }
}

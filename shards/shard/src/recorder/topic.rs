//! A topic as recorders remember it: one text for all that have it.

use std::rc::Rc;

use crate::losses::cut;

/// The middle of a long one is left out, and an ellipsis stands there.
#[derive(Debug, Clone)]
pub(crate) struct Topic(Rc<str>);

impl Topic {
    pub fn new(topic: &str) -> Topic {
        match ends(topic) {
            None => Topic(topic.into()),
            Some((head, tail)) => Topic(format!("{head}{ELLIPSIS}{tail}").into()),
        }
    }

    /// What `new` makes of it looks like this one.
    pub fn is(&self, topic: &str) -> bool {
        match ends(topic) {
            None => *self.0 == *topic,
            Some((head, tail)) => {
                let rest = self.0.strip_prefix(head).and_then(|rest| rest.strip_prefix(ELLIPSIS));
                rest == Some(tail)
            }
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells it from all others that live.
    #[inline(always)]
    pub fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }
}

/// The topic that was asked for last, so that the receivers of a message have one text of it.
#[derive(Debug, Default)]
pub(crate) struct LastTopic(Option<Topic>);

impl LastTopic {
    pub fn of(&mut self, topic: &str) -> &Topic {
        if !self.0.as_ref().is_some_and(|last| last.is(topic)) {
            self.0 = Some(Topic::new(topic));
        }
        self.0.as_ref().expect("it was set if it was not there")
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_topic_the_ends_are_kept_in_whole_characters() {
        let whole = "a".repeat(TOPIC_BYTES_MAX);
        assert_eq!(Topic::new(&whole).as_str(), whole);
        let long = format!("building/{}/temperature", "ä".repeat(40));
        let topic = Topic::new(&long);
        assert_eq!(topic.as_str(), "building/äääääää…ääääääääääää/temperature");
        assert!(topic.is(&long) && !topic.is(&whole) && topic.as_str().len() <= TOPIC_BYTES_MAX);
        assert!(!topic.is(&format!("{long}s")) && !topic.is(&format!("s{long}")));
    }

    #[test]
    fn a_topic_that_comes_again_is_the_same_text() {
        let mut last = LastTopic::default();
        let first = last.of("a/b").clone();
        assert_eq!(last.of("a/b").address(), first.address());
        assert_ne!(last.of("a/c").address(), first.address());
    }
}

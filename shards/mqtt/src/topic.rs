//! Topic names and topic filters: what is valid, and the definition of a match. Not an index: the broker's trie
//! is tested against `matches`.

use crate::{ReasonCode, Violation};

/// A shared subscription's two parts: `$share/{group}/{filter}`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SharedFilter<'a> {
    pub group: &'a str,
    pub filter: &'a str,
}

/// A name that a message may be published to.
// [MQTT-4.7.0-1] Wildcards do not occur in a topic name. [MQTT-4.7.3-1] It has at least one character.
// [MQTT-4.7.3-2] It has no null character. [MQTT-4.7.3-3] It fits into a string of the wire.
pub fn is_topic_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= TOPIC_BYTES_MAX && !has_wildcard_or_nul(name.as_bytes())
}

/// A filter that may be subscribed to. `$share/` is a prefix like any other here: see `shared_filter`.
pub fn is_topic_filter(filter: &str) -> bool {
    let bytes = filter.as_bytes();
    if bytes.is_empty() || bytes.len() > TOPIC_BYTES_MAX {
        return false;
    }
    // One packet can bring a megabyte of filters: most are looked through word by word, and none is cut into its levels.
    !has_wildcard_or_nul(bytes) || has_each_wildcard_alone(bytes)
}

fn has_each_wildcard_alone(filter: &[u8]) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == b'/');
    let mut before = None;
    filter.iter().enumerate().all(|(at, byte)| {
        let begins_level = is_end(before.replace(byte));
        match byte {
            // [MQTT-4.7.1-1] The multi-level wildcard is the last character of the filter.
            b'#' => begins_level && at + 1 == filter.len(),
            // [MQTT-4.7.1-2] The single-level wildcard occupies an entire level, wherever it is.
            b'+' => begins_level && is_end(filter.get(at + 1)),
            _ => *byte != 0,
        }
    })
}

/// Takes `$share/{group}/{filter}` apart. `Ok(None)`: this is not a shared subscription's filter at all.
pub fn shared_filter(filter: &str) -> Result<Option<SharedFilter<'_>>, Violation> {
    let Some(rest) = filter.strip_prefix(SHARE_PREFIX) else { return Ok(None) };
    let invalid = |what| Violation::new(ReasonCode::TopicFilterInvalid, what);
    // [MQTT-4.8.2-2] The share name is followed by a `/` and that by a topic filter.
    let (group, filter) =
        rest.split_once('/').ok_or(invalid("shared subscription without a topic filter"))?;
    // [MQTT-4.8.2-1] [MQTT-4.8.2-2] The share name has at least one character and no `/`, `+` or `#`.
    if group.is_empty() || group.contains(['+', '#', '\0']) {
        return Err(invalid("share name is empty or has a wildcard"));
    }
    if !is_topic_filter(filter) {
        return Err(invalid("topic filter of a shared subscription is not valid"));
    }
    Ok(Some(SharedFilter { group, filter }))
}

/// Whether a message on `topic` goes to a subscription to `filter`, both of them valid and `$share/` removed.
pub fn matches(filter: &str, topic: &str) -> bool {
    // [MQTT-4.7.2-1] A filter that starts with a wildcard never matches a topic that starts with `$`.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut filter_levels = Some(filter);
    for name in topic.split('/') {
        // A level of the filter is read as far as the name goes: it may be much longer.
        let behind = match filter_levels {
            // `#` stands for its parent level as well, which is why it matches where the topic has ended.
            Some("#") => return true,
            Some(levels) => levels.strip_prefix('+').or_else(|| levels.strip_prefix(name)),
            None => None,
        };
        filter_levels = match behind.map(|behind| (behind.is_empty(), behind.strip_prefix('/'))) {
            Some((true, _)) => None,
            Some((false, Some(next))) => Some(next),
            _ => return false,
        };
    }
    matches!(filter_levels, None | Some("#"))
}

/// How many levels a topic name or a topic filter has; an empty level counts.
pub fn level_count(topic: &str) -> usize {
    // As many bytes at a time as a byte can count, which is what processors do quickly.
    let slashes = |chunk: &[u8]| usize::from(chunk.iter().map(|byte| u8::from(*byte == b'/')).sum::<u8>());
    1 + topic.as_bytes().chunks(u8::MAX.into()).map(slashes).sum::<usize>()
}

// Word by word: topics are too short for what wider instructions leave over, and the last word may overlap the one before.
#[inline]
pub(crate) fn has_wildcard_or_nul(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else { return bytes.iter().any(|byte| b"+#\0".contains(byte)) };
    let (words, _) = bytes.as_chunks();
    words.iter().fold(word_has_wildcard_or_nul(*last), |found, word| found | word_has_wildcard_or_nul(*word))
}

#[inline]
fn word_has_wildcard_or_nul(word: [u8; 8]) -> bool {
    let word = u64::from_ne_bytes(word);
    let (ones, highs) = (u64::from_ne_bytes([0x01; 8]), u64::from_ne_bytes([0x80; 8]));
    let has_nul = |word: u64| word.wrapping_sub(ones) & !word & highs;
    // With one bit set `#` becomes `+`, and nothing else does.
    let wildcards = (word | u64::from_ne_bytes([0x08; 8])) ^ u64::from_ne_bytes([b'+'; 8]);
    has_nul(word) | has_nul(wildcards) != 0
}

const TOPIC_BYTES_MAX: usize = u16::MAX as usize;
const SHARE_PREFIX: &str = "$share/";

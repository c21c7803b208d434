//! Verdicts that were given a moment ago: one for each question, as long as nothing else needs its place.

use std::sync::Arc;

use crate::{
    Action, Ask, Holder, Verdict,
    filter::Names,
    holder::{Key, Profile},
};

/// What one shard remembers. The same question of the same holder gets the same verdict as without it.
#[derive(Debug)]
pub struct Memory {
    /// A question has one place, which it takes from whatever is there.
    places: Box<[Option<Box<Remembered>>]>,
}

#[derive(Debug)]
struct Remembered {
    // Held, so that nobody else can have the same address.
    profile: Arc<Profile>,
    /// Whose verdict it is, where it is personal.
    names: Option<Arc<Names>>,
    action: Action,
    qos: u8,
    retain: bool,
    topic: Box<str>,
    verdict: Verdict,
}

impl Memory {
    pub fn new() -> Memory {
        Memory { places: (0..PLACES).map(|_| None).collect() }
    }

    /// As [`Holder::check`].
    pub fn check(&mut self, holder: &Holder, ask: &Ask<'_>) -> Verdict {
        if ask.topic.len() > TOPIC_BYTES_MAX {
            return holder.check(ask);
        }
        let key = holder.key();
        let place = &mut self.places[place(key.profile, ask)];
        if let Some(remembered) = place
            && remembered.is_of(&key, ask)
        {
            return remembered.verdict;
        }
        let verdict = holder.check(ask);
        *place = Some(Box::new(Remembered {
            profile: Arc::clone(key.profile),
            names: key.names.filter(|_| verdict.is_personal).cloned(),
            action: ask.action,
            qos: ask.qos,
            retain: ask.retain,
            topic: ask.topic.into(),
            verdict,
        }));
        verdict
    }

    /// Forgets everything, and lets go of the rules that it came from.
    pub fn clear(&mut self) {
        self.places.fill_with(|| None);
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl Remembered {
    fn is_of(&self, key: &Key<'_>, ask: &Ask<'_>) -> bool {
        let is_theirs = match (self.verdict.is_personal, &self.names, key.names) {
            // Whoever brings rules of its own is told what was found with them, and nothing else.
            (false, _, asked) => asked.is_none_or(|names| names.permits.is_none()),
            (true, Some(own), Some(asked)) => Arc::ptr_eq(own, asked),
            (true, own, asked) => own.is_none() && asked.is_none(),
        };
        is_theirs
            && Arc::ptr_eq(&self.profile, key.profile)
            && (self.action, self.qos, self.retain) == (ask.action, ask.qos, ask.retain)
            && *self.topic == *ask.topic
    }
}

// Whoever finds topics that share a place gains that they are asked about each time, which costs what it costs without a memory:
// so there is no need of keys.
fn place(profile: &Arc<Profile>, ask: &Ask<'_>) -> usize {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(MULTIPLIER).rotate_left(29);
    let flags = ask.action as u64 | u64::from(ask.qos) << 8 | u64::from(ask.retain) << 16;
    let (words, rest) = ask.topic.as_bytes().as_chunks::<8>();
    let start = mix(flags, Arc::as_ptr(profile).addr() as u64);
    let sum = words.iter().fold(start, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let sum = mix(mix(sum, u64::from_le_bytes(last)), ask.topic.len() as u64);
    (sum >> (64 - PLACES.ilog2())) as usize
}

const PLACES: usize = 4_096;
/// A longer topic is not remembered, so that a memory that is full has a few megabytes at most.
const TOPIC_BYTES_MAX: usize = 512;
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

const _: () = assert!(PLACES.is_power_of_two());

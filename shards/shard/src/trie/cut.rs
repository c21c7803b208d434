//! A topic or a filter cut into its levels, each with its hash. Why hashes are added up, `shaped.rs` says.

use crate::hashing::{Table, hasher};

/// The keys of the hashes: without them nobody can aim at one chain of a table.
pub(super) struct Keys {
    start: u64,
    step: u64,
    /// A name hashes differently on each level.
    levels: [u64; LEVELS_MAX + 1],
}

pub(super) struct Cut<'a> {
    pub text: &'a str,
    /// How many levels there are; one more than `LEVELS_MAX` where they are more.
    pub count: usize,
    /// Where the first levels end.
    ends: [u32; LEVELS_MAX],
    /// Of the first levels; those that are not there have zero.
    hashes: [u32; LEVELS_MAX],
    /// The sum of the hashes of all levels. Those behind `LEVELS_MAX` have one together.
    pub hash: u32,
}

/// The sums of the hashes of any levels, by the bits of these levels: those of the first half and those of the second.
pub(super) struct Sums {
    low: [u32; 1 << HALF],
    high: [u32; 1 << HALF],
}

impl Keys {
    pub fn new(seed: u64) -> Keys {
        let hasher = hasher(seed, Table::CutTopics);
        let key = |number: usize| hasher.hash_one(number);
        Keys { start: key(0), step: key(1) | 1, levels: std::array::from_fn(|level| key(2 + level) | 1) }
    }

    /// Each name that stands on one of the levels without a bit has the same hash as all others there.
    #[cfg(test)]
    pub fn colliding(seed: u64, distinct: u16) -> Keys {
        let mut keys = Keys { step: 0, ..Keys::new(seed) };
        for (level, key) in keys.levels.iter_mut().enumerate() {
            *key *= u64::from(distinct >> level & 1);
        }
        keys
    }

    pub fn cut<'a>(&self, text: &'a str) -> Cut<'a> {
        let mut cut = Cut::new(text);
        self.fill(&mut cut);
        cut
    }

    /// For who does not want the whole to be moved.
    #[inline]
    pub fn fill(&self, cut: &mut Cut<'_>) {
        let text = cut.text.as_bytes();
        if text.len() >= WORD {
            self.fill_padded(text, cut);
        } else {
            let mut padded = [0; WORD];
            padded[..text.len()].copy_from_slice(text);
            self.fill_padded(&padded, cut);
        }
    }

    /// `padded` is the text, with zeros behind it up to a whole word. Each word is looked at once, for its bytes and for a
    /// slash among them: where levels end is what no processor can guess byte by byte.
    #[inline]
    fn fill_padded(&self, padded: &[u8], cut: &mut Cut<'_>) {
        let len = cut.text.len();
        let (mut level, mut at, mut state, mut sum) = (0, 0, self.start, 0u32);
        while level < LEVELS_MAX {
            let word = word_or_zeros(padded, at);
            let slashes = slashes(word);
            if slashes != 0 {
                let end = at + slashes.trailing_zeros() as usize / 8;
                at = end + 1;
                // The bytes before the slash.
                let name = word & (slashes.wrapping_sub(1) & !slashes) >> 7;
                let hash = fold(state ^ name, self.levels[level]) as u32;
                sum = sum.wrapping_add(hash);
                cut.ends[level] = end as u32;
                cut.hashes[level] = hash;
                (level, state) = (level + 1, self.start);
            } else if at + WORD <= len {
                state = fold(state ^ word, self.step);
                at += WORD;
            } else {
                let hash = fold(state ^ word, self.levels[level]) as u32;
                cut.ends[level] = len as u32;
                cut.hashes[level] = hash;
                cut.hash = sum.wrapping_add(hash);
                cut.count = level + 1;
                return;
            }
        }
        cut.count = LEVELS_MAX + 1;
        cut.hash = sum.wrapping_add(self.hash_rest(padded, at));
    }

    #[cold]
    fn hash_rest(&self, padded: &[u8], mut at: usize) -> u32 {
        let mut state = self.start;
        while at < padded.len() {
            state = fold(state ^ word_or_zeros(padded, at), self.step);
            at += WORD;
        }
        fold(state, self.levels[LEVELS_MAX]) as u32
    }

    /// What tells the sums of one kind of filters from those of another.
    pub fn salt(&self, kind: u32) -> u32 {
        fold(self.start ^ u64::from(kind), self.step) as u32
    }
}

impl<'a> Cut<'a> {
    /// Not cut yet.
    #[inline]
    pub fn new(text: &'a str) -> Cut<'a> {
        Cut { text, count: 1, ends: [0; LEVELS_MAX], hashes: [0; LEVELS_MAX], hash: 0 }
    }

    /// Where the level begins.
    #[inline]
    pub fn start(&self, level: usize) -> usize {
        if level == 0 { 0 } else { self.ends[level - 1] as usize + 1 }
    }

    /// Where the level ends; only for the first `LEVELS_MAX`.
    #[inline]
    pub fn end(&self, level: usize) -> usize {
        self.ends[level] as usize
    }

    /// The level, or everything behind the first `LEVELS_MAX`.
    pub fn level(&self, level: usize) -> &[u8] {
        let end = if level < LEVELS_MAX { self.end(level) } else { self.text.len() };
        &self.text.as_bytes()[self.start(level)..end]
    }

    #[inline]
    pub fn sums(&self) -> Sums {
        let (low, high) = self.hashes.split_at(HALF);
        Sums { low: sums_of(low), high: if self.count > HALF { sums_of(high) } else { [0; 1 << HALF] } }
    }
}

impl Sums {
    /// The sum for the levels that have a bit.
    #[inline]
    pub fn of(&self, levels: u8) -> u32 {
        let (low, high) = (usize::from(levels) % (1 << HALF), usize::from(levels) >> HALF);
        self.low[low].wrapping_add(self.high[high])
    }
}

#[inline]
fn sums_of(hashes: &[u32]) -> [u32; 1 << HALF] {
    let mut sums = [0u32; 1 << HALF];
    for (bit, hash) in hashes.iter().enumerate() {
        for without in 0..1 << bit {
            sums[without | 1 << bit] = sums[without].wrapping_add(*hash);
        }
    }
    sums
}

/// The lowest bit that is set is the highest of the first byte that is a slash; no bit: there is none. Bits above the lowest
/// mean nothing.
#[inline]
fn slashes(word: u64) -> u64 {
    let other = word ^ u64::from_le_bytes([b'/'; WORD]);
    other.wrapping_sub(u64::from_le_bytes([1; WORD])) & !other & u64::from_le_bytes([0x80; WORD])
}

/// The bytes from here on, with zeros behind the end.
#[inline]
fn word_or_zeros(padded: &[u8], at: usize) -> u64 {
    let last = padded.len() - WORD;
    if at <= last {
        return word(padded, at);
    }
    // It would reach beyond the end, so it is read where it ends with it.
    let bits = 8 * (at - last) as u32;
    word(padded, last).checked_shr(bits).unwrap_or(0)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + WORD].try_into().expect("the slice is as long as a word"))
}

#[inline(always)]
fn fold(value: u64, key: u64) -> u64 {
    let product = u128::from(value) * u128::from(key);
    (product >> 64) as u64 ^ product as u64
}

/// So many levels have a hash of their own.
pub(super) const LEVELS_MAX: usize = 8;

const HALF: usize = LEVELS_MAX / 2;

const WORD: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cut_text_has_the_levels_that_it_has(text in "[/ab]{0,3}(/|[a-c]{6,9}|[a-c]{17}|ü|)(/[ab/]{0,3}){0,9}", seed: u64) {
            let keys = Keys::new(seed);
            let cut = keys.cut(&text);
            let levels: Vec<&str> = text.splitn(LEVELS_MAX + 1, '/').collect();
            assert_eq!(cut.count, levels.len());
            for (at, level) in levels.iter().enumerate() {
                assert_eq!(cut.level(at), level.as_bytes());
                // What stands around a level, and whether it is the last one, does not matter to its hash.
                if at < LEVELS_MAX {
                    let alone = "/".repeat(at) + level;
                    let longer = alone.clone() + "/behind";
                    let others = keys.cut(&longer);
                    assert_eq!(keys.cut(&alone).hashes[at], cut.hashes[at]);
                    assert_eq!(others.hashes[at], cut.hashes[at]);
                }
            }
        }

        #[test]
        fn the_hash_of_all_levels_is_that_of_the_text(text in "[a-c/]{0,20}") {
            let cut = Keys::new(7).cut(&text);
            if cut.count <= LEVELS_MAX {
                assert_eq!(cut.hash, cut.sums().of(0xff));
            }
        }
    }

    #[test]
    fn other_texts_have_other_hashes() {
        let keys = Keys::new(7);
        let texts = [
            "",
            "/",
            "//",
            "a",
            "a/",
            "/a",
            "a/b",
            "b/a",
            "ab",
            "abcdefgh",
            "abcdefgh/",
            "abcdefghi",
            "abcdefg/h",
            "1/2/3/4/5/6/7/8/9",
            "1/2/3/4/5/6/7/8/9/10",
            "1/2/3/4/5/6/7/8",
            "1/2/3/4/5/6/7/8/",
        ];
        let mut hashes: Vec<u32> = texts.iter().map(|text| keys.cut(text).hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
    }
}

//! Filters with wildcards, found by their shape: which levels are `+`, and whether they go on with `#`. A topic is looked
//! up once for each shape that there is and that fits its number of levels, by the sum of the hashes of the levels that the
//! shape names; these lookups do not wait for each other, as steps down a tree do.
//!
//! Most brokers have a handful of shapes. Their number is bounded, and so is what a topic costs; filters of any more
//! shapes, and those with many levels, belong into the tree.

use super::{
    Matches,
    chains::Chains,
    cut::{Cut, Keys, LEVELS_MAX},
    takers::Takers,
};

pub(super) struct Shaped {
    filters: Chains,
    shapes: Vec<Counted>,
    /// What a topic is looked up by, by its number of levels.
    probes: [Vec<Probe>; LEVELS_MAX + 2],
}

/// What filters have in common that differ in the names of their levels only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// The number of levels without the `#`.
    levels: u8,
    /// A bit for each level that has a name.
    named: u8,
    /// A `#` follows.
    below: bool,
}

struct Counted {
    shape: Shape,
    filter_count: usize,
}

#[derive(Clone, Copy)]
struct Probe {
    salt: u32,
    shape: Shape,
}

impl Shape {
    /// `None`: the filter has too many levels.
    pub fn of(filter: &Cut<'_>) -> Option<Shape> {
        let below = filter.level(filter.count - 1) == b"#";
        let levels = filter.count - usize::from(below);
        if levels > LEVELS_MAX {
            return None;
        }
        let named = (0..levels).filter(|&level| filter.level(level) != b"+").map(|level| 1 << level).sum();
        Some(Shape { levels: levels as u8, named, below })
    }

    fn fits(self, topic_levels: usize) -> bool {
        let levels = usize::from(self.levels);
        if self.below { levels <= topic_levels } else { levels == topic_levels }
    }

    fn salt(self, keys: &Keys) -> u32 {
        keys.salt(u32::from_le_bytes([self.levels, self.named, self.below.into(), 1]))
    }

    /// Whether the filter, which is of this shape, matches the topic.
    #[inline]
    fn matches(self, filter: &[u8], topic: &Cut<'_>) -> bool {
        // [MQTT-4.7.2-1] A filter that starts with a wildcard never matches a topic that starts with `$`.
        if self.named & 1 == 0 && topic.text.starts_with('$') {
            return false;
        }
        let name = topic.text.as_bytes();
        // What stands between two wildcards is compared at once, slashes included.
        let (mut in_filter, mut in_topic) = (0, 0);
        let mut plus = !u32::from(self.named) & ((1 << self.levels) - 1);
        while plus != 0 {
            let level = plus.trailing_zeros() as usize;
            plus &= plus - 1;
            let run = topic.start(level) - in_topic;
            let wild = in_filter + run;
            if filter.get(in_filter..wild) != name.get(in_topic..in_topic + run)
                || filter.get(wild) != Some(&b'+')
            {
                return false;
            }
            in_filter = wild + 1;
            in_topic = topic.end(level);
        }
        let (filter, end) = match (self.below, self.levels) {
            (false, _) => (filter.get(in_filter..), name.len()),
            (true, 0) => return filter == b"#",
            (true, levels) => (
                filter.get(in_filter..).and_then(|rest| rest.strip_suffix(b"/#")),
                topic.end(usize::from(levels) - 1),
            ),
        };
        filter == name.get(in_topic..end)
    }
}

impl Shaped {
    pub fn new() -> Shaped {
        Shaped { filters: Chains::new(), shapes: Vec::new(), probes: Default::default() }
    }

    pub fn find(&self, keys: &Keys, shape: Shape, filter: &Cut<'_>) -> Option<u32> {
        self.filters.find(hash(keys, shape, filter), |held| held == filter.text.as_bytes())
    }

    /// Whether a filter of this shape may be inserted.
    pub fn admits(&self, shape: Shape) -> bool {
        let mut rivals = 0;
        for Counted { shape: held, .. } in &self.shapes {
            if *held == shape {
                return true;
            }
            rivals += usize::from(held.below == shape.below && (held.below || held.levels == shape.levels));
        }
        rivals < RIVALS_MAX
    }

    /// The caller knows that the filter is not there and that its shape is admitted, and adds a taker.
    pub fn insert(&mut self, keys: &Keys, shape: Shape, filter: &Cut<'_>) -> u32 {
        if let Some(counted) = self.shapes.iter_mut().find(|counted| counted.shape == shape) {
            counted.filter_count += 1;
        } else {
            self.shapes.push(Counted { shape, filter_count: 1 });
            self.build_probes(keys);
        }
        self.filters.insert(hash(keys, shape, filter), filter.text)
    }

    pub fn remove(&mut self, keys: &Keys, shape: Shape, index: u32) {
        self.filters.remove(index);
        let at = self.shapes.iter().position(|counted| counted.shape == shape);
        let at = at.expect("the shape of every filter is counted");
        self.shapes[at].filter_count -= 1;
        if self.shapes[at].filter_count == 0 {
            self.shapes.swap_remove(at);
            self.build_probes(keys);
        }
    }

    pub fn takers(&self, index: u32) -> &Takers {
        &self.filters.entry(index).takers
    }

    pub fn takers_mut(&mut self, index: u32) -> &mut Takers {
        &mut self.filters.entry_mut(index).takers
    }

    pub fn len(&self) -> usize {
        self.filters.len()
    }

    #[inline]
    pub fn matches(&self, topic: &Cut<'_>, found: &mut Matches) {
        let probes = &self.probes[topic.count];
        if probes.is_empty() {
            return;
        }
        let sums = topic.sums();
        // First for all shapes, without a branch: no look into the table waits for what another one finds.
        let mut wanted = 0u64;
        for (at, Probe { salt, shape }) in probes.iter().enumerate() {
            wanted |= u64::from(self.filters.may_have(sums.of(shape.named).wrapping_add(*salt))) << at;
        }
        while wanted != 0 {
            let Probe { salt, shape } = probes[wanted.trailing_zeros() as usize];
            wanted &= wanted - 1;
            let hash = sums.of(shape.named).wrapping_add(salt);
            if let Some(index) = self.filters.find(hash, |filter| shape.matches(filter, topic)) {
                self.takers(index).add_to(found);
            }
        }
    }

    #[cfg(test)]
    pub fn shape_count(&self) -> usize {
        self.shapes.len()
    }

    /// The longest list of what a topic is looked up by.
    #[cfg(test)]
    pub fn probes_max(&self) -> usize {
        self.probes.iter().map(Vec::len).max().expect("there are lists")
    }

    fn build_probes(&mut self, keys: &Keys) {
        for (levels, probes) in self.probes.iter_mut().enumerate() {
            let fitting = self.shapes.iter().map(|counted| counted.shape).filter(|shape| shape.fits(levels));
            *probes = fitting.map(|shape| Probe { salt: shape.salt(keys), shape }).collect();
        }
    }
}

#[inline]
fn hash(keys: &Keys, shape: Shape, filter: &Cut<'_>) -> u32 {
    filter.sums().of(shape.named).wrapping_add(shape.salt(keys))
}

/// So many shapes with `#`, and as many without it for each number of levels: a topic is looked up at most twice as often. All
/// shapes of five levels without `#` are one less.
const RIVALS_MAX: usize = 32;

const _: () = assert!(2 * RIVALS_MAX <= u64::BITS as usize, "a topic's shapes have a bit each");

//! The filters with a wildcard, as a tree of levels that a topic walks down on all matching paths at once.

use hashbrown::HashTable;
use slab::Slab;

use super::{
    Matches,
    levels::{LevelId, Levels},
    takers::Takers,
};

/// A node is a prefix of filters and exists once, however many paths a topic takes: what a topic costs is bounded by
/// the number of prefixes that match it, and those were paid for by whoever subscribed.
pub(super) struct Tree {
    nodes: Slab<Node>,
    /// From a node to its child of a certain name. One table for all nodes: most have a single child or none.
    edges: HashTable<Edge>,
    levels: Levels,
    filter_count: usize,
    seed: u64,
}

/// Where a filter's takers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The filter ends with this node.
    At(u32),
    /// The filter goes on with `#` behind this node.
    Below(u32),
}

/// How much there is of everything.
#[cfg(test)]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub nodes: usize,
    pub edges: usize,
    pub levels: usize,
}

struct Node {
    parent: u32,
    step: Step,
    /// The child for `+`, or `NONE`.
    plus: u32,
    named_children: u32,
    at: Takers,
    below: Takers,
}

/// How a node is reached from its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Named(LevelId),
    Plus,
}

#[derive(Debug)]
struct Edge {
    parent: u32,
    level: LevelId,
    child: u32,
}

impl Tree {
    pub fn new(seed: u64) -> Tree {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::new(NONE, Step::Plus));
        assert!(root == ROOT as usize, "the first node is the root");
        Tree { nodes, edges: HashTable::new(), levels: Levels::new(seed), filter_count: 0, seed }
    }

    pub fn find(&self, filter: &str) -> Option<Place> {
        let mut node = ROOT;
        for level in filter.split('/') {
            node = match level {
                "#" => return Some(Place::Below(node)),
                "+" => Some(self.node(node).plus).filter(|&plus| plus != NONE)?,
                name => self.child(node, self.levels.find(name)?)?,
            };
        }
        Some(Place::At(node))
    }

    /// The caller adds a taker to a place that has none.
    pub fn find_or_insert(&mut self, filter: &str) -> Place {
        let mut node = ROOT;
        let mut place = None;
        for level in filter.split('/') {
            node = match level {
                "#" => {
                    place = Some(Place::Below(node));
                    break;
                }
                "+" => self.plus_or_insert(node),
                name => self.child_or_insert(node, name),
            };
        }
        let place = place.unwrap_or(Place::At(node));
        self.filter_count += usize::from(self.takers(place).is_nobody());
        place
    }

    pub fn takers(&self, place: Place) -> &Takers {
        match place {
            Place::At(node) => &self.node(node).at,
            Place::Below(node) => &self.node(node).below,
        }
    }

    pub fn takers_mut(&mut self, place: Place) -> &mut Takers {
        match place {
            Place::At(node) => &mut self.nodes[node as usize].at,
            Place::Below(node) => &mut self.nodes[node as usize].below,
        }
    }

    /// The filter of this place lost its last taker: removes all nodes that nothing needs any more.
    pub fn remove(&mut self, place: Place) {
        self.filter_count -= 1;
        let (Place::At(mut node) | Place::Below(mut node)) = place;
        while node != ROOT && self.node(node).is_unused() {
            let removed = self.nodes.remove(node as usize);
            let parent = &mut self.nodes[removed.parent as usize];
            match removed.step {
                Step::Plus => parent.plus = NONE,
                Step::Named(level) => {
                    parent.named_children -= 1;
                    let hash = hash(self.seed, removed.parent, level);
                    let entry = self.edges.find_entry(hash, |edge| edge.child == node);
                    entry.expect("every node is found by its name").remove();
                    self.levels.release(level);
                }
            }
            node = removed.parent;
        }
    }

    pub fn filter_count(&self) -> usize {
        self.filter_count
    }

    /// Adds everything that matches and says how many nodes it took.
    pub fn matches(&self, topic: &str, found: &mut Matches) -> usize {
        let mut here = std::mem::take(&mut found.here);
        let mut next = std::mem::take(&mut found.next);
        here.clear();
        here.push(ROOT);
        let mut steps = 0;
        // [MQTT-4.7.2-1] A filter that starts with a wildcard never matches a topic that starts with `$`.
        let mut wildcards = !topic.starts_with('$');
        for name in topic.split('/') {
            steps += here.len();
            self.step(name, wildcards, &here, &mut next, found);
            std::mem::swap(&mut here, &mut next);
            if here.is_empty() {
                break;
            }
            wildcards = true;
        }
        for &node in &here {
            let node = self.node(node);
            node.at.add_to(found);
            // `#` stands for its parent level as well.
            node.below.add_to(found);
        }
        steps += here.len();
        found.here = here;
        found.next = next;
        steps
    }

    /// Takes every path one level further.
    fn step(&self, name: &str, wildcards: bool, here: &[u32], next: &mut Vec<u32>, found: &mut Matches) {
        next.clear();
        // Looked up for the first node that needs it, and then the same for all.
        let mut level = None;
        for &index in here {
            let node = self.node(index);
            if wildcards {
                node.below.add_to(found);
                if node.plus != NONE {
                    next.push(node.plus);
                }
            }
            if node.named_children > 0
                && let Some(level) = *level.get_or_insert_with(|| self.levels.find(name))
                && let Some(child) = self.child(index, level)
            {
                next.push(child);
            }
        }
    }

    #[cfg(test)]
    pub fn size(&self) -> Size {
        Size { nodes: self.nodes.len(), edges: self.edges.len(), levels: self.levels.len() }
    }

    fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    fn child(&self, parent: u32, level: LevelId) -> Option<u32> {
        let same = |edge: &Edge| edge.parent == parent && edge.level == level;
        self.edges.find(hash(self.seed, parent, level), same).map(|edge| edge.child)
    }

    fn plus_or_insert(&mut self, parent: u32) -> u32 {
        let plus = self.node(parent).plus;
        if plus != NONE {
            return plus;
        }
        let plus = self.insert_node(parent, Step::Plus);
        self.nodes[parent as usize].plus = plus;
        plus
    }

    fn child_or_insert(&mut self, parent: u32, name: &str) -> u32 {
        let known = self.levels.find(name).and_then(|level| self.child(parent, level));
        if let Some(child) = known {
            return child;
        }
        let level = self.levels.acquire(name);
        let child = self.insert_node(parent, Step::Named(level));
        self.nodes[parent as usize].named_children += 1;
        let seed = self.seed;
        self.edges.insert_unique(hash(seed, parent, level), Edge { parent, level, child }, |edge| {
            hash(seed, edge.parent, edge.level)
        });
        child
    }

    fn insert_node(&mut self, parent: u32, step: Step) -> u32 {
        let index = self.nodes.insert(Node::new(parent, step));
        u32::try_from(index).expect("memory ends before 32-bit indexes do")
    }
}

impl Node {
    fn new(parent: u32, step: Step) -> Node {
        Node { parent, step, plus: NONE, named_children: 0, at: Takers::Nobody, below: Takers::Nobody }
    }

    fn is_unused(&self) -> bool {
        self.at.is_nobody() && self.below.is_nobody() && self.plus == NONE && self.named_children == 0
    }
}

/// Nodes and levels are numbered by us, but clients decide in which order: without the seed nobody can aim at one bucket.
fn hash(seed: u64, parent: u32, level: LevelId) -> u64 {
    let both = (u64::from(parent) << 32 | u64::from(level.0)) ^ seed;
    let product = u128::from(both) * u128::from(0x9E37_79B9_7F4A_7C15 ^ seed.rotate_left(32) | 1);
    (product >> 64) as u64 ^ product as u64
}

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

const _: () = assert!(size_of::<Option<Node>>() == 56, "a node stays small");

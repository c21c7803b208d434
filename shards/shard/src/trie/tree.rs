//! The filters with a wildcard, as a tree of levels that a topic walks down on all matching paths at once.

use hashbrown::HashTable;
use slab::Slab;

use super::{
    Matches,
    levels::{LevelId, Levels},
    node::{NONE, Named, Node},
    takers::Takers,
};

/// A node is a prefix of filters and exists once, however many paths a topic takes: what a topic costs is bounded by
/// the number of prefixes that match it, and those were paid for by whoever subscribed.
pub(super) struct Tree {
    nodes: Slab<Node>,
    /// From a node to its child of a certain name, for those with many: one table for all.
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

#[derive(Debug)]
struct Edge {
    parent: u32,
    level: LevelId,
    child: u32,
}

impl Tree {
    pub fn new(seed: u64) -> Tree {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::new(NONE, None));
        assert!(root == ROOT as usize, "the first node is the root");
        Tree { nodes, edges: HashTable::new(), levels: Levels::new(seed), filter_count: 0, seed }
    }

    pub fn find(&self, filter: &str) -> Option<Place> {
        let mut node = ROOT;
        for level in filter.split('/') {
            node = match level {
                "#" => return Some(Place::Below(node)),
                "+" => Some(self.node(node).plus).filter(|&plus| plus != NONE)?,
                name => self.child(node, self.node(node), self.levels.find(name.as_bytes())?)?,
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
                name => self.child_or_insert(node, name.as_bytes()),
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
            match removed.level {
                None => self.nodes[removed.parent as usize].plus = NONE,
                Some(level) => {
                    self.unlink(removed.parent, level);
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
        let mut rest = Some(topic.as_bytes());
        while let Some(bytes) = rest {
            let end = bytes.iter().position(|&byte| byte == b'/');
            let name = &bytes[..end.unwrap_or(bytes.len())];
            rest = end.map(|end| &bytes[end + 1..]);
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
    fn step(&self, name: &[u8], wildcards: bool, here: &[u32], next: &mut Vec<u32>, found: &mut Matches) {
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
            if !matches!(node.named, Named::Nobody)
                && let Some(level) = *level.get_or_insert_with(|| self.levels.find(name))
                && let Some(child) = self.child(index, node, level)
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

    #[inline]
    fn child(&self, parent: u32, node: &Node, level: LevelId) -> Option<u32> {
        match node.named {
            Named::One { level: only, child } if only == level => Some(child),
            Named::Many { mask, .. } if mask & bit(level) != 0 => {
                let same = |edge: &Edge| edge.parent == parent && edge.level == level;
                self.edges.find(hash(self.seed, parent, level), same).map(|edge| edge.child)
            }
            _ => None,
        }
    }

    fn plus_or_insert(&mut self, parent: u32) -> u32 {
        let plus = self.node(parent).plus;
        if plus != NONE {
            return plus;
        }
        let plus = self.insert_node(parent, None);
        self.nodes[parent as usize].plus = plus;
        plus
    }

    fn child_or_insert(&mut self, parent: u32, name: &[u8]) -> u32 {
        let known = self.levels.find(name).and_then(|level| self.child(parent, self.node(parent), level));
        if let Some(child) = known {
            return child;
        }
        let level = self.levels.acquire(name);
        let child = self.insert_node(parent, Some(level));
        self.link(parent, level, child);
        child
    }

    fn link(&mut self, parent: u32, level: LevelId, child: u32) {
        let named = &mut self.nodes[parent as usize].named;
        match *named {
            Named::Nobody => *named = Named::One { level, child },
            Named::One { level: other, child: sibling } => {
                *named = Named::Many { count: 2, mask: bit(other) | bit(level) };
                self.insert_edge(Edge { parent, level: other, child: sibling });
                self.insert_edge(Edge { parent, level, child });
            }
            Named::Many { count, mask } => {
                *named = Named::Many { count: count + 1, mask: mask | bit(level) };
                self.insert_edge(Edge { parent, level, child });
            }
        }
    }

    fn unlink(&mut self, parent: u32, level: LevelId) {
        let named = &mut self.nodes[parent as usize].named;
        if let Named::Many { count, mask } = *named {
            // The bit may be a sibling's as well, so it stays until all are gone.
            *named = if count == 1 { Named::Nobody } else { Named::Many { count: count - 1, mask } };
            let same = |edge: &Edge| edge.parent == parent && edge.level == level;
            let entry = self.edges.find_entry(hash(self.seed, parent, level), same);
            entry.expect("one of many children is found by its name").remove();
        } else {
            *named = Named::Nobody;
        }
    }

    fn insert_edge(&mut self, edge: Edge) {
        let seed = self.seed;
        let hash_of = |edge: &Edge| hash(seed, edge.parent, edge.level);
        self.edges.insert_unique(hash_of(&edge), edge, hash_of);
    }

    fn insert_node(&mut self, parent: u32, level: Option<LevelId>) -> u32 {
        let index = self.nodes.insert(Node::new(parent, level));
        u32::try_from(index).expect("memory ends before 32-bit indexes do")
    }
}

/// Nodes and levels are numbered by us, but clients decide in which order: without the seed nobody can aim at one bucket.
fn hash(seed: u64, parent: u32, level: LevelId) -> u64 {
    let both = (u64::from(parent) << 32 | u64::from(level.number())) ^ seed;
    let product = u128::from(both) * u128::from(0x9E37_79B9_7F4A_7C15 ^ seed.rotate_left(32) | 1);
    (product >> 64) as u64 ^ product as u64
}

/// The bit of a level in the mask of many.
fn bit(level: LevelId) -> u32 {
    1 << (level.number() % u32::BITS)
}

const ROOT: u32 = 0;

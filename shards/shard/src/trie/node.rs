//! One prefix of filters with a wildcard, and its children as far as it knows them by itself.

use super::{levels::LevelId, takers::Takers};

pub(super) struct Node {
    pub parent: u32,
    /// The name that leads here from the parent; none: it is `+`.
    pub level: Option<LevelId>,
    /// The child for `+`, or `NONE`.
    pub plus: u32,
    pub named: Named,
    /// Of the filter that ends here.
    pub at: Takers,
    /// Of the filter that goes on with `#`.
    pub below: Takers,
}

/// The children that have a name.
pub(super) enum Named {
    Nobody,
    /// Most prefixes go on in one way only, and that one needs no look into a table.
    One {
        level: LevelId,
        child: u32,
    },
    /// They are in the tree's table of edges. `mask` has the bit of each: what has none of these bits is not looked up.
    Many {
        count: u32,
        mask: u32,
    },
}

impl Node {
    pub fn new(parent: u32, level: Option<LevelId>) -> Node {
        Node { parent, level, plus: NONE, named: Named::Nobody, at: Takers::Nobody, below: Takers::Nobody }
    }

    pub fn is_unused(&self) -> bool {
        self.at.is_nobody()
            && self.below.is_nobody()
            && self.plus == NONE
            && matches!(self.named, Named::Nobody)
    }
}

/// Where no node is.
pub(super) const NONE: u32 = u32::MAX;

const _: () = assert!(size_of::<Option<Node>>() == 56, "a node stays small, and fits a cache line");

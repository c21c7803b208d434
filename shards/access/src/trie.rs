//! Rules by their filters: finds those that a topic matches, or that cover a filter, at a cost that follows what it shares with
//! them and not how many there are.

mod sprout;

pub use sprout::Sprout;

use crate::{
    action::{Action, Actions},
    filter::{Names, Template},
};

/// One rule, where its filter ends.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// Whose rule it is, where the rules of several stand in one trie.
    pub role: u32,
    /// Its number in the file's rules. Of several that match, the first is named.
    pub rule: u32,
    pub actions: Actions,
    pub is_denial: bool,
}

// A few arrays and no pointers between them: a walk waits for memory at each step, and the nodes of ten thousand rules fit where they
// are near.
/// Rules, immutable.
#[derive(Default, Debug)]
pub struct Trie {
    /// The root is the first; empty where there are no rules.
    nodes: Box<[Node]>,
    /// Of each node in order.
    children: Box<[Child]>,
    templates: Box<[(Template, u32)]>,
    /// Of each place in order.
    entries: Box<[Entry]>,
    /// What levels have beyond their first bytes.
    tails: Box<[u8]>,
}

#[derive(Copy, Clone, Default, Debug)]
struct Node {
    children: Span,
    templates: Span,
    /// Filters that end here.
    ends: Span,
    /// Filters that have their `#` below here.
    rests: Span,
    /// 0 is none: the root is nobody's child.
    any: u32,
}

/// A child by the text of its level.
#[derive(Copy, Clone, Debug)]
struct Child {
    head: u64,
    len: u32,
    tail: u32,
    node: u32,
}

/// A part of an array.
#[derive(Copy, Clone, Default, Debug)]
struct Span {
    start: u32,
    end: u32,
}

/// A walk through the rules: what is looked for, and what was found.
#[derive(Debug)]
pub struct Walk<'a> {
    pub action: Action,
    /// Whose rules count, in order; `None` for all.
    pub roles: Option<&'a [u32]>,
    /// `None` where no rule that counts has a variable.
    pub names: Option<&'a Names>,
    /// Whether variables whose values are not plain keep a permission from matching.
    pub must_be_plain: bool,
    pub allowing: Option<u32>,
    pub denying: Option<u32>,
    /// Whether a variable was looked at: with other values the walk may end otherwise.
    pub is_personal: bool,
}

/// Where a walk stands.
#[derive(Copy, Clone)]
struct Step<'t> {
    /// What is left of the topic; `None` behind its last level.
    rest: Option<&'t str>,
    /// Nothing was passed yet, and the topic begins with `$`.
    is_reserved: bool,
    /// No variable on the way had a value that keeps permissions from matching.
    is_plain: bool,
}

impl Trie {
    /// Whether any rule has a variable.
    pub fn has_variables(&self) -> bool {
        !self.templates.is_empty()
    }

    /// Finds the rules that decide on a topic name.
    pub fn match_topic(&self, topic: &str, walk: &mut Walk<'_>) {
        if let Some(root) = self.nodes.first() {
            self.topic(root, Step::first(topic), walk);
        }
    }

    /// Finds the rules that decide on a filter, of those that cover the whole of it: every topic that it matches is one of theirs.
    pub fn match_filter(&self, filter: &str, walk: &mut Walk<'_>) {
        let Some(root) = self.nodes.first() else { return };
        // `#` has no parent level at the top, so that `+/#` is the same there.
        if filter == "#" && root.any != 0 {
            walk.visit(self.entries(self.node(root.any).rests), true);
        }
        self.filter(root, Step::first(filter), walk);
    }

    // The recursion is as deep as the rules are: `LEVELS_MAX`.
    fn topic(&self, node: &Node, step: Step<'_>, walk: &mut Walk<'_>) {
        // [MQTT-4.7.2-1] A filter that starts with a wildcard never matches a topic that starts with `$`.
        if !step.is_reserved {
            walk.visit(self.entries(node.rests), step.is_plain);
        }
        let Some(rest) = step.rest else { return walk.visit(self.entries(node.ends), step.is_plain) };
        let (level, below) = split(rest);
        if let Some(child) = self.child(node, level) {
            self.topic(child, step.below(below), walk);
        }
        if node.any != 0 && !step.is_reserved {
            self.topic(self.node(node.any), step.below(below), walk);
        }
        for (template, child) in self.templates(node) {
            if let Some(step) = walk.strip(template, rest, step) {
                self.topic(self.node(*child), step, walk);
            }
        }
    }

    fn filter(&self, node: &Node, step: Step<'_>, walk: &mut Walk<'_>) {
        if !step.is_reserved {
            walk.visit(self.entries(node.rests), step.is_plain);
        }
        let Some(rest) = step.rest else { return walk.visit(self.entries(node.ends), step.is_plain) };
        let (level, below) = split(rest);
        // Only `#` covers `#`, and only `+` and `#` cover `+`.
        if level == "#" {
            return;
        }
        if node.any != 0 && !step.is_reserved {
            self.filter(self.node(node.any), step.below(below), walk);
        }
        if level == "+" {
            return;
        }
        if let Some(child) = self.child(node, level) {
            self.filter(child, step.below(below), walk);
        }
        for (template, child) in self.templates(node) {
            if let Some(step) = walk.strip(template, rest, step) {
                self.filter(self.node(*child), step, walk);
            }
        }
    }

    fn child(&self, node: &Node, level: &str) -> Option<&Node> {
        let (head, tail) = cut(level);
        let children = node.children.of(&self.children);
        let found = children.binary_search_by(|child| {
            let order = (child.head, child.len as usize).cmp(&(head, level.len()));
            order.then_with(|| self.tails[child.tail as usize..][..tail.len()].cmp(tail))
        });
        Some(self.node(children[found.ok()?].node))
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn entries(&self, span: Span) -> &[Entry] {
        span.of(&self.entries)
    }

    fn templates(&self, node: &Node) -> &[(Template, u32)] {
        node.templates.of(&self.templates)
    }
}

impl Span {
    fn of<T>(self, array: &[T]) -> &[T] {
        &array[self.start as usize..self.end as usize]
    }
}

impl<'t> Step<'t> {
    fn first(topic: &'t str) -> Step<'t> {
        Step { rest: Some(topic), is_reserved: topic.starts_with('$'), is_plain: true }
    }

    fn below(self, rest: Option<&'t str>) -> Step<'t> {
        Step { rest, is_reserved: false, is_plain: self.is_plain }
    }
}

impl Walk<'_> {
    fn visit(&mut self, entries: &[Entry], is_plain: bool) {
        match self.roles {
            Some(roles) if entries.len() > FEW => {
                for role in roles {
                    let first = entries.partition_point(|entry| entry.role < *role);
                    let theirs = entries[first..].iter().take_while(|entry| entry.role == *role);
                    theirs.for_each(|entry| self.take(entry, is_plain));
                }
            }
            Some(roles) => {
                let theirs = entries.iter().filter(|entry| roles.binary_search(&entry.role).is_ok());
                theirs.for_each(|entry| self.take(entry, is_plain));
            }
            None => entries.iter().for_each(|entry| self.take(entry, is_plain)),
        }
    }

    fn take(&mut self, entry: &Entry, is_plain: bool) {
        if !entry.actions.has(self.action) || !(is_plain || entry.is_denial) {
            return;
        }
        let found = if entry.is_denial { &mut self.denying } else { &mut self.allowing };
        if found.is_none_or(|found| entry.rule < found) {
            *found = Some(entry.rule);
        }
    }

    fn strip<'t>(&mut self, template: &Template, rest: &'t str, step: Step<'t>) -> Option<Step<'t>> {
        let names = self.names?;
        self.is_personal = true;
        let (below, is_plain) = template.strip(rest, names)?;
        let is_plain = step.is_plain && (is_plain || !self.must_be_plain);
        Some(Step { rest: below, is_reserved: false, is_plain })
    }
}

fn split(rest: &str) -> (&str, Option<&str>) {
    match rest.bytes().position(|byte| byte == b'/') {
        Some(end) => (&rest[..end], Some(&rest[end + 1..])),
        None => (rest, None),
    }
}

/// The first bytes as a number, and what follows them.
fn cut(level: &str) -> (u64, &[u8]) {
    match level.as_bytes().split_first_chunk::<HEAD_BYTES>() {
        Some((head, tail)) => (u64::from_be_bytes(*head), tail),
        None => (level.bytes().fold(0, |head, byte| head << 8 | u64::from(byte)), &[]),
    }
}

const HEAD_BYTES: usize = 8;
/// Up to so many entries are looked at one by one.
const FEW: usize = 8;

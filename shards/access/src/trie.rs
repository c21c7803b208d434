//! Rules by their filters: finds those that a topic matches, or that cover a filter, at a cost that follows what it shares with
//! them and not how many there are.

mod levels;
mod sprout;

pub use sprout::Sprout;

use levels::{Level, Levels};

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
    /// Of all children.
    texts: Box<str>,
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
    hash: u64,
    text: u32,
    len: u32,
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
struct Step {
    /// The level that is next; `None` behind the last one.
    next: Option<Level>,
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
            let levels = Levels::of(topic);
            self.topic(root, &levels, Step::first(&levels), walk);
        }
    }

    /// Finds the rules that decide on a filter, of those that cover the whole of it: every topic that it matches is one of theirs.
    pub fn match_filter(&self, filter: &str, walk: &mut Walk<'_>) {
        let Some(root) = self.nodes.first() else { return };
        // `#` has no parent level at the top, so that `+/#` is the same there.
        if filter == "#" && root.any != 0 {
            walk.visit(self.entries(self.node(root.any).rests), true);
        }
        let levels = Levels::of(filter);
        self.filter(root, &levels, Step::first(&levels), walk);
    }

    // The recursion is as deep as the rules are: `LEVELS_MAX`.
    fn topic(&self, node: &Node, levels: &Levels<'_>, step: Step, walk: &mut Walk<'_>) {
        // [MQTT-4.7.2-1] A filter that starts with a wildcard never matches a topic that starts with `$`.
        if !step.is_reserved {
            walk.visit(self.entries(node.rests), step.is_plain);
        }
        let Some(level) = step.next else { return walk.visit(self.entries(node.ends), step.is_plain) };
        let below = step.below(levels.after(&level));
        if let Some(child) = self.child(node, levels, &level) {
            self.topic(child, levels, below, walk);
        }
        if node.any != 0 && !step.is_reserved {
            self.topic(self.node(node.any), levels, below, walk);
        }
        for (template, child) in self.templates(node) {
            if let Some(step) = walk.strip(template, levels, &level, step) {
                self.topic(self.node(*child), levels, step, walk);
            }
        }
    }

    fn filter(&self, node: &Node, levels: &Levels<'_>, step: Step, walk: &mut Walk<'_>) {
        if !step.is_reserved {
            walk.visit(self.entries(node.rests), step.is_plain);
        }
        let Some(level) = step.next else { return walk.visit(self.entries(node.ends), step.is_plain) };
        // Only `#` covers `#`, and only `+` and `#` cover `+`.
        let text = levels.text(&level);
        if text == "#" {
            return;
        }
        let below = step.below(levels.after(&level));
        if node.any != 0 && !step.is_reserved {
            self.filter(self.node(node.any), levels, below, walk);
        }
        if text == "+" {
            return;
        }
        if let Some(child) = self.child(node, levels, &level) {
            self.filter(child, levels, below, walk);
        }
        for (template, child) in self.templates(node) {
            if let Some(step) = walk.strip(template, levels, &level, step) {
                self.filter(self.node(*child), levels, step, walk);
            }
        }
    }

    fn child(&self, node: &Node, levels: &Levels<'_>, level: &Level) -> Option<&Node> {
        let children = node.children.of(&self.children);
        let found = children.binary_search_by(|child| {
            child.hash.cmp(&level.hash).then_with(|| self.text(child).cmp(levels.text(level)))
        });
        Some(self.node(children[found.ok()?].node))
    }

    fn text(&self, child: &Child) -> &str {
        &self.texts[child.text as usize..][..child.len as usize]
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

impl Step {
    fn first(levels: &Levels<'_>) -> Step {
        Step { next: Some(levels.first()), is_reserved: levels.topic.starts_with('$'), is_plain: true }
    }

    fn below(self, next: Option<Level>) -> Step {
        Step { next, is_reserved: false, is_plain: self.is_plain }
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

    fn strip(&mut self, template: &Template, levels: &Levels<'_>, level: &Level, step: Step) -> Option<Step> {
        let names = self.names?;
        self.is_personal = true;
        let (rest, is_plain) = template.strip(&levels.topic[level.start..], names)?;
        let is_plain = step.is_plain && (is_plain || !self.must_be_plain);
        let next = rest.map(|rest| levels.at(levels.topic.len() - rest.len(), level));
        Some(Step { next, is_reserved: false, is_plain })
    }
}

/// Up to so many entries are looked at one by one.
const FEW: usize = 8;

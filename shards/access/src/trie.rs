//! Rules by their filters: finds those that a topic matches, or that cover a filter, at a cost that follows what it shares with
//! them and not how many there are.

use std::collections::BTreeMap;

use crate::{
    action::{Action, Actions},
    filter::{Level, Names, Template},
};

/// One rule, where its filter ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number in the file's rules.
    pub rule: u32,
    pub actions: Actions,
    /// Which of several rules that match decides: the lowest rank.
    pub rank: u32,
}

/// Rules, immutable.
#[derive(Default, Debug)]
pub struct Trie {
    /// The root is the first; empty where there are no rules.
    nodes: Box<[Node]>,
}

#[derive(Debug)]
struct Node {
    /// In order.
    texts: Box<[(Box<str>, u32)]>,
    templates: Box<[(Template, u32)]>,
    any: Option<u32>,
    /// Filters that end here.
    ends: Box<[Entry]>,
    /// Filters that have their `#` below here.
    rests: Box<[Entry]>,
}

/// Rules while they are collected.
#[derive(Default, Debug)]
pub struct Sprout {
    texts: BTreeMap<Box<str>, Sprout>,
    templates: BTreeMap<Template, Sprout>,
    any: Option<Box<Sprout>>,
    ends: Vec<Entry>,
    rests: Vec<Entry>,
}

/// A walk through the rules: what is looked for, and what was found.
#[derive(Debug)]
pub struct Walk<'a> {
    pub action: Action,
    pub names: &'a Names,
    /// Variables whose values are not plain match nothing.
    pub must_be_plain: bool,
    pub found: Option<Entry>,
    /// Whether a variable was looked at: with other values the walk may end otherwise.
    pub is_personal: bool,
}

impl Sprout {
    pub fn insert(&mut self, levels: &[Level], entry: Entry) {
        let Some((level, below)) = levels.split_first() else { return self.ends.push(entry) };
        let child = match level {
            Level::Rest => return self.rests.push(entry),
            Level::Any => self.any.get_or_insert_default(),
            Level::Text(text) => self.texts.entry(text.clone()).or_default(),
            Level::Template(template) => self.templates.entry(template.clone()).or_default(),
        };
        child.insert(below, entry);
    }

    pub fn compile(self) -> Trie {
        let mut nodes = Vec::new();
        self.place(&mut nodes);
        Trie { nodes: nodes.into_iter().map(|node| node.expect("every place is filled")).collect() }
    }

    fn place(self, nodes: &mut Vec<Option<Node>>) -> u32 {
        let at = nodes.len();
        nodes.push(None);
        let node = Node {
            texts: self.texts.into_iter().map(|(text, child)| (text, child.place(nodes))).collect(),
            templates: self.templates.into_iter().map(|(key, child)| (key, child.place(nodes))).collect(),
            any: self.any.map(|child| child.place(nodes)),
            ends: self.ends.into(),
            rests: self.rests.into(),
        };
        nodes[at] = Some(node);
        u32::try_from(at).expect("a file of rules has fewer levels than a u32 counts")
    }
}

impl Trie {
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.nodes.iter().flat_map(|node| node.ends.iter().chain(&node.rests))
    }

    /// Whether any rule has a variable.
    pub fn has_variables(&self) -> bool {
        self.nodes.iter().any(|node| !node.templates.is_empty())
    }

    /// Finds the rule that decides on a topic name.
    pub fn match_topic(&self, topic: &str, walk: &mut Walk<'_>) {
        if let Some(root) = self.nodes.first() {
            self.topic(root, Some(topic), topic.starts_with('$'), walk);
        }
    }

    /// Finds the rule that decides on a filter, of those that cover the whole of it: every topic that it matches is one of theirs.
    pub fn match_filter(&self, filter: &str, walk: &mut Walk<'_>) {
        let Some(root) = self.nodes.first() else { return };
        // `#` has no parent level at the top, so that `+/#` is the same there.
        if filter == "#"
            && let Some(any) = root.any
        {
            walk.visit(&self.node(any).rests);
        }
        self.filter(root, Some(filter), filter.starts_with('$'), walk);
    }

    // The recursion is as deep as the rules are: `LEVELS_MAX`.
    fn topic(&self, node: &Node, rest: Option<&str>, is_reserved: bool, walk: &mut Walk<'_>) {
        // [MQTT-4.7.2-1] A filter that starts with a wildcard never matches a topic that starts with `$`.
        if !is_reserved {
            walk.visit(&node.rests);
        }
        let Some(rest) = rest else { return walk.visit(&node.ends) };
        let (level, below) = split(rest);
        if let Some(child) = node.text(level) {
            self.topic(self.node(child), below, false, walk);
        }
        if let Some(child) = node.any.filter(|_| !is_reserved) {
            self.topic(self.node(child), below, false, walk);
        }
        for (template, child) in &node.templates {
            if let Some(below) = walk.strip(template, rest) {
                self.topic(self.node(*child), below, false, walk);
            }
        }
    }

    fn filter(&self, node: &Node, rest: Option<&str>, is_reserved: bool, walk: &mut Walk<'_>) {
        if !is_reserved {
            walk.visit(&node.rests);
        }
        let Some(rest) = rest else { return walk.visit(&node.ends) };
        let (level, below) = split(rest);
        // Only `#` covers `#`, and only `+` and `#` cover `+`.
        if level == "#" {
            return;
        }
        if let Some(child) = node.any.filter(|_| !is_reserved) {
            self.filter(self.node(child), below, false, walk);
        }
        if level == "+" {
            return;
        }
        if let Some(child) = node.text(level) {
            self.filter(self.node(child), below, false, walk);
        }
        for (template, child) in &node.templates {
            if let Some(below) = walk.strip(template, rest) {
                self.filter(self.node(*child), below, false, walk);
            }
        }
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }
}

impl Node {
    fn text(&self, level: &str) -> Option<u32> {
        let at = self.texts.binary_search_by(|(text, _)| (**text).cmp(level)).ok()?;
        Some(self.texts[at].1)
    }
}

impl<'a> Walk<'a> {
    pub fn new(action: Action, names: &'a Names, must_be_plain: bool) -> Walk<'a> {
        Walk { action, names, must_be_plain, found: None, is_personal: false }
    }

    fn visit(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.actions.has(self.action)) {
            if self.found.is_none_or(|found| entry.rank < found.rank) {
                self.found = Some(*entry);
            }
        }
    }

    fn strip<'t>(&mut self, template: &Template, rest: &'t str) -> Option<Option<&'t str>> {
        self.is_personal = true;
        template.strip(rest, self.names, self.must_be_plain)
    }
}

fn split(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once('/') {
        Some((level, below)) => (level, Some(below)),
        None => (rest, None),
    }
}

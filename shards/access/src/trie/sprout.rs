//! A trie of rules while they are collected.

use std::collections::BTreeMap;

use super::{Child, Entry, Node, Span, Trie, levels::hash};
use crate::filter::{Level, Template};

/// Rules that come one by one.
#[derive(Default, Debug)]
pub struct Sprout {
    texts: BTreeMap<Box<str>, Sprout>,
    templates: BTreeMap<Template, Sprout>,
    any: Option<Box<Sprout>>,
    ends: Vec<Entry>,
    rests: Vec<Entry>,
}

/// The arrays of a trie while they grow.
#[derive(Default)]
struct Arrays {
    nodes: Vec<Node>,
    children: Vec<Child>,
    templates: Vec<(Template, u32)>,
    entries: Vec<Entry>,
    texts: String,
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
        let mut arrays = Arrays::default();
        arrays.place(self);
        let Arrays { nodes, children, templates, entries, texts } = arrays;
        Trie {
            nodes: nodes.into(),
            children: children.into(),
            templates: templates.into(),
            entries: entries.into(),
            texts: texts.into(),
        }
    }
}

impl Arrays {
    fn place(&mut self, sprout: Sprout) -> u32 {
        let at = self.nodes.len();
        self.nodes.push(Node::default());
        let ends = self.entries(sprout.ends);
        let rests = self.entries(sprout.rests);
        let children = self.children(sprout.texts);
        let templates = self.templates(sprout.templates);
        let any = sprout.any.map_or(0, |child| self.place(*child));
        self.nodes[at] = Node { children, templates, ends, rests, any };
        number(at)
    }

    fn entries(&mut self, mut entries: Vec<Entry>) -> Span {
        let start = number(self.entries.len());
        entries.sort_unstable_by_key(|entry| (entry.role, entry.rule));
        self.entries.append(&mut entries);
        Span { start, end: number(self.entries.len()) }
    }

    /// All children of a node lie together, before theirs.
    fn children(&mut self, texts: BTreeMap<Box<str>, Sprout>) -> Span {
        let start = self.children.len();
        let mut texts: Vec<(Box<str>, Sprout)> = texts.into_iter().collect();
        texts.sort_by(|(a, _), (b, _)| (hash(a), a).cmp(&(hash(b), b)));
        for (text, _) in &texts {
            let at = number(self.texts.len());
            self.children.push(Child { hash: hash(text), text: at, len: number(text.len()), node: 0 });
            self.texts.push_str(text);
        }
        let end = self.children.len();
        for (at, (_, child)) in texts.into_iter().enumerate() {
            let node = self.place(child);
            self.children[start + at].node = node;
        }
        Span { start: number(start), end: number(end) }
    }

    fn templates(&mut self, templates: BTreeMap<Template, Sprout>) -> Span {
        let start = self.templates.len();
        let (keys, sprouts): (Vec<Template>, Vec<Sprout>) = templates.into_iter().unzip();
        self.templates.extend(keys.into_iter().map(|key| (key, 0)));
        let end = self.templates.len();
        for (at, child) in sprouts.into_iter().enumerate() {
            let node = self.place(child);
            self.templates[start + at].1 = node;
        }
        Span { start: number(start), end: number(end) }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("a file of rules has fewer levels and bytes than a u32 counts")
}

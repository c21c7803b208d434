//! Rules that came with the proof of who a client is: a token's claim, the answer of a program. They are one more layer for this
//! client alone.

use crate::{
    Action,
    action::Actions,
    filter::{self, Level, Names, Spelling},
    mosquitto::Saying,
    place::Place,
    trie::{Entry, Sprout, Trie, Walk},
};

/// A client's own rules, compiled.
#[derive(Debug)]
pub struct Permits {
    source: Box<str>,
    texts: Box<[Box<str>]>,
    trie: Trie,
    /// Of all filters together.
    levels: usize,
    /// Some of what they deny.
    denies: Actions,
}

/// One of them as it is written, in the words of a file of rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permit<'a> {
    pub is_denial: bool,
    pub actions: Vec<&'a str>,
    pub topics: Vec<&'a str>,
}

impl Permits {
    /// `source` is where they come from, as explanations name it. The error says what is wrong with them.
    pub fn new(source: &str, permits: &[Permit<'_>]) -> Result<Permits, String> {
        let bytes: usize = permits.iter().flat_map(|permit| &permit.topics).map(|topic| topic.len()).sum();
        if permits.len() > PERMITS_MAX || bytes > BYTES_MAX {
            return Err(format!(
                "there are at most {PERMITS_MAX} rules, and {BYTES_MAX} bytes of topics in all of them"
            ));
        }
        let (mut sprout, mut texts, mut denies) = (Sprout::default(), Vec::new(), Actions::default());
        let mut count = 0;
        for (rule, permit) in permits.iter().enumerate() {
            let actions = permit.actions()?;
            if permit.is_denial {
                denies = denies.with(actions);
            }
            let entry = Entry { role: 0, rule: rule as u32, actions, is_denial: permit.is_denial };
            for levels in permit.filters()? {
                count += levels.len();
                sprout.insert(&levels, entry);
            }
            texts.push(permit.text());
        }
        Ok(Permits {
            source: source.into(),
            texts: texts.into(),
            trie: sprout.compile(),
            levels: count,
            denies,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Roughly, in bytes.
    pub fn weight(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len()).sum();
        RULE_BYTES * (1 + self.texts.len()) + LEVEL_BYTES * self.levels + 2 * texts
    }

    /// A rule of them as it is written.
    pub fn text(&self, rule: u32) -> Option<&str> {
        self.texts.get(rule as usize).map(|text| &**text)
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn place(&self, rule: u32) -> Place<'_> {
        Place { text: self.text(rule), file: None, line: None, layer: self.source() }
    }

    pub(crate) fn denies(&self, action: Action) -> bool {
        self.denies.has(action)
    }

    pub(crate) fn say(&self, action: Action, topic: &str, names: &Names) -> Saying {
        let mut walk = Walk {
            action,
            roles: None,
            names: Some(names),
            must_be_plain: true,
            allowing: None,
            denying: None,
            is_personal: false,
        };
        match action {
            Action::Subscribe => self.trie.match_filter(topic, &mut walk),
            _ => self.trie.match_topic(topic, &mut walk),
        }
        Saying::of(&walk)
    }
}

/// What they say, and who says so.
impl PartialEq for Permits {
    fn eq(&self, other: &Permits) -> bool {
        (&self.source, &self.texts) == (&other.source, &other.texts)
    }
}

impl Eq for Permits {}

impl Permit<'_> {
    fn actions(&self) -> Result<Actions, String> {
        let mut actions = Actions::default();
        for word in &self.actions {
            actions = actions.with(Actions::of_word(word).ok_or_else(|| format!("`{word}` is no action"))?);
        }
        if actions.is_empty() {
            return Err("a rule names no action".to_owned());
        }
        Ok(actions)
    }

    fn filters(&self) -> Result<Vec<Vec<Level>>, String> {
        if self.topics.is_empty() {
            return Err("a rule names no topic".to_owned());
        }
        let parse = |topic: &&str| match topic.starts_with("$share/") {
            true => Err(format!("`{topic}`: the filter inside holds for shared subscriptions as well")),
            false => filter::parse(topic, Spelling::Both),
        };
        self.topics.iter().map(parse).collect()
    }

    fn text(&self) -> Box<str> {
        let word = if self.is_denial { "deny" } else { "allow" };
        // All of it: what is equal in it is the same rule.
        format!("{word} {} on {}", self.actions.join(", "), self.topics.join(", ")).into()
    }
}

/// So many rules, and so many bytes of their topics: a token has no more either.
const PERMITS_MAX: usize = 256;
/// What a rule takes beside its text, and a level of a filter in the trie.
const RULE_BYTES: usize = 64;
const LEVEL_BYTES: usize = 80;
const BYTES_MAX: usize = 16_384;

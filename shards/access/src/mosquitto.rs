//! mosquitto's ACL file: its format, and the order in which its entries decide.
//!
//! A user's entries come first, then the patterns; of each list the entries that deny come before the others, and the
//! first that matches and speaks of the access decides. Entries before any `user` line are for clients without a
//! user name. Where nothing matches, access is denied. SUBSCRIBE is always granted: `read` is checked at each delivery.

use std::collections::BTreeMap;

use crate::{
    PROBLEMS_MAX, RULES_MAX,
    action::{Action, Actions},
    filter::{self, Names, Spelling},
    layer::{Kind, Layer, Problem, Rule},
    trie::{Entry, Sprout, Trie, Walk},
};

/// What an ACL file says.
#[derive(Debug)]
pub(crate) struct Lists {
    anonymous: Option<u32>,
    users: BTreeMap<Box<str>, u32>,
    tries: Vec<Trie>,
    patterns: Trie,
    /// Of the rules.
    first_pattern: Option<u32>,
}

/// Which list is a client's, and whether its name keeps it from the patterns.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub list: Option<u32>,
    pub is_barred: bool,
}

/// What one layer says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Saying {
    Allowed(Option<u32>),
    Denied(Option<u32>),
    Nothing,
}

/// Reads an ACL file. `file` is its name in problems and explanations.
pub fn parse(file: &str, text: &str) -> Result<Layer, Vec<Problem>> {
    let mut parser = Parser { file, ..Parser::default() };
    // Some editors put a mark of the order of bytes before the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (at, line) in text.lines().enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        if let Err(what) = parser.line(number, line) {
            parser.problems.push(Problem { file: file.into(), line: number, what });
        }
        if parser.problems.len() >= PROBLEMS_MAX {
            break;
        }
    }
    parser.finish()
}

#[derive(Default)]
struct Parser<'t> {
    file: &'t str,
    user: Option<&'t str>,
    anonymous: Option<Sprout>,
    users: BTreeMap<&'t str, Sprout>,
    patterns: Option<Sprout>,
    first_pattern: Option<u32>,
    rules: Vec<Rule>,
    problems: Vec<Problem>,
}

impl<'t> Parser<'t> {
    fn line(&mut self, number: u32, line: &'t str) -> Result<(), String> {
        let line = line.trim_ascii_end();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let line = line.trim_start_matches(' ');
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim_start_matches(' ');
        match keyword {
            "user" if rest.is_empty() => Err("the name is missing: write `user <name>`".to_owned()),
            "user" => {
                self.user = Some(rest);
                Ok(())
            }
            "topic" | "pattern" => self.entry(number, line, keyword == "pattern", rest),
            _ => Err(strange(keyword)),
        }
    }

    fn entry(&mut self, number: u32, line: &str, is_pattern: bool, rest: &str) -> Result<(), String> {
        let (actions, is_denial, filter) = access(rest)?;
        let spelling = if is_pattern { Spelling::Percent } else { Spelling::None };
        let levels = filter::parse(filter, spelling)?;
        let rule = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        if self.rules.len() >= RULES_MAX {
            return Err(format!("the file has more than {RULES_MAX} rules"));
        }
        self.rules.push(Rule { line: number, text: line.into() });
        if is_pattern {
            self.first_pattern.get_or_insert(rule);
        }
        let sprout = match (is_pattern, self.user) {
            (true, _) => self.patterns.get_or_insert_default(),
            (false, None) => self.anonymous.get_or_insert_default(),
            (false, Some(user)) => self.users.entry(user).or_default(),
        };
        sprout.insert(&levels, Entry { role: 0, rule, actions, is_denial });
        Ok(())
    }

    fn finish(self) -> Result<Layer, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let mut tries = Vec::new();
        let mut place = |sprout: Sprout| {
            tries.push(sprout.compile());
            tries.len() as u32 - 1
        };
        let anonymous = self.anonymous.map(&mut place);
        let users = self.users.into_iter().map(|(user, sprout)| (Box::from(user), place(sprout))).collect();
        let patterns = self.patterns.map(Sprout::compile).unwrap_or_default();
        let lists = Lists { anonymous, users, tries, patterns, first_pattern: self.first_pattern };
        Ok(Layer { file: self.file.into(), rules: self.rules.into(), kind: Kind::Mosquitto(lists) })
    }
}

/// What is no short word is not shown: it may be a hash of a file that was named by mistake.
fn strange(keyword: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let shown = match keyword.len() <= WORD_BYTES_MAX && keyword.bytes().all(is_word) {
        true => format!(", and not with `{keyword}`"),
        false => String::new(),
    };
    format!(
        "a line begins with `user`, `topic` or `pattern`, before which spaces may stand, or with `#`, before which nothing may{shown}"
    )
}

/// Longer than any word that somebody would take for one of ours.
const WORD_BYTES_MAX: usize = 24;

/// The word for the access, which may be missing, and the filter, in which there may be spaces if it is not.
fn access(rest: &str) -> Result<(Actions, bool, &str), String> {
    let both = Actions::READ.with(Actions::WRITE);
    let Some((word, filter)) = rest.split_once(' ') else {
        return match rest {
            "" => Err("the topic is missing: write `topic [read|write|readwrite|deny] <filter>`".to_owned()),
            filter => Ok((both, false, filter)),
        };
    };
    let filter = filter.trim_start_matches(' ');
    match word {
        "read" => Ok((Actions::READ, false, filter)),
        "write" => Ok((Actions::WRITE, false, filter)),
        "readwrite" => Ok((both, false, filter)),
        "deny" => Ok((both, true, filter)),
        _ => Err(format!(
            "`{word}` is no access: write `read`, `write`, `readwrite` or `deny` before a filter with spaces"
        )),
    }
}

impl Lists {
    pub fn part(&self, client_id: &str, user: Option<&str>) -> Part {
        let list = match user {
            Some(user) => self.users.get(user).copied(),
            None => self.anonymous,
        };
        let is_wild = |name: &str| name.contains(['+', '#']);
        let is_barred = self.first_pattern.is_some() && (is_wild(client_id) || user.is_some_and(is_wild));
        Part { list, is_barred }
    }

    pub fn first_pattern(&self) -> Option<u32> {
        self.first_pattern
    }

    pub fn uses_names(&self, part: Part) -> bool {
        !part.is_barred && self.patterns.has_variables()
    }

    pub fn say(
        &self,
        part: Part,
        action: Action,
        topic: &str,
        names: Option<&Names>,
        is_personal: &mut bool,
    ) -> Saying {
        match action {
            Action::Subscribe => return Saying::Allowed(None),
            Action::Admin => return Saying::Nothing,
            _ => {}
        }
        let mut walk = Walk {
            action,
            roles: None,
            names,
            must_be_plain: false,
            allowing: None,
            denying: None,
            is_personal: false,
        };
        if let Some(list) = part.list {
            self.tries[list as usize].match_topic(topic, &mut walk);
        }
        if walk.allowing.or(walk.denying).is_none() {
            // Such a name would stand for other names, so that mosquitto does not ask the patterns at all.
            if part.is_barred {
                return Saying::Denied(None);
            }
            self.patterns.match_topic(topic, &mut walk);
        }
        *is_personal |= walk.is_personal;
        Saying::of(&walk)
    }
}

impl Saying {
    /// Denials come first.
    pub fn of(walk: &Walk<'_>) -> Saying {
        match (walk.denying, walk.allowing) {
            (Some(rule), _) => Saying::Denied(Some(rule)),
            (None, Some(rule)) => Saying::Allowed(Some(rule)),
            (None, None) => Saying::Nothing,
        }
    }
}

//! Random rules, clients and topics: the engine against a literal reading of what is written, without any index.

use std::sync::Arc;

use access::{Action, Ask, Fallback, Holder, Memory, Permit, Permits, Profiles, Rules, Who};
use proptest::test_runner::{Config, TestRunner};

use crate::covering::{covers, topics};

/// A small random source with a seed, so that a failure names its round.
pub struct Dice(u64);

impl Dice {
    pub fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % count
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const WORDS: [&str; 4] = ["read", "write", "readwrite", "deny"];
const IDS: [&str; 7] = ["a", "b", "a/b", "+", "x#", "$a", "other"];
const USERS: [Option<&str>; 6] = [None, Some("a"), Some("b"), Some("b/a"), Some("b+"), Some("")];
const ACTIONS: [Action; 5] =
    [Action::Publish, Action::Subscribe, Action::Receive, Action::Retain, Action::Will];

fn filter(dice: &mut Dice, levels: &[&str]) -> String {
    let depth = 1 + dice.below(3);
    let mut filter: Vec<&str> = (0..depth).map(|_| dice.pick(levels)).collect();
    if dice.below(4) == 0 {
        filter.push("#");
    }
    match filter.join("/") {
        empty if empty.is_empty() => "+".to_owned(),
        filter => filter,
    }
}

fn topic(dice: &mut Dice) -> String {
    let depth = 1 + dice.below(4);
    let levels: Vec<&str> = (0..depth).map(|_| dice.pick(&["a", "b", "", "x-a", "other"])).collect();
    let start = if dice.below(8) == 0 { "$" } else { "" };
    match format!("{start}{}", levels.join("/")) {
        empty if empty.is_empty() => "a".to_owned(),
        topic => topic,
    }
}

/// One line of an ACL file.
#[derive(Debug, Clone)]
enum Line {
    User(&'static str),
    Entry { is_pattern: bool, word: &'static str, filter: String },
}

fn acl_lines(dice: &mut Dice) -> Vec<Line> {
    let line = |dice: &mut Dice| match dice.below(5) {
        0 => Line::User(dice.pick(&["a", "b", "b/a", "b+"])),
        at => {
            let levels = ["a", "b", "+", "", "%c", "%u", "x-%c", "$a"];
            Line::Entry { is_pattern: at > 2, word: dice.pick(&WORDS), filter: filter(dice, &levels) }
        }
    };
    (0..1 + dice.below(8)).map(|_| line(dice)).collect()
}

fn acl_text(lines: &[Line]) -> String {
    let written = lines.iter().map(|line| match line {
        Line::User(name) => format!("user {name}\n"),
        Line::Entry { is_pattern, word, filter } => {
            format!("{} {word} {filter}\n", if *is_pattern { "pattern" } else { "topic" })
        }
    });
    written.collect()
}

/// As the manual says it: the user's entries, then the patterns, denials first in each, the first that matches decides.
fn acl_verdict(lines: &[Line], who: &Who<'_>, action: Action, topic: &str) -> bool {
    if action == Action::Subscribe {
        return true;
    }
    let access = if action == Action::Receive { "read" } else { "write" };
    let (mut user, mut own, mut patterns) = (None, Vec::new(), Vec::new());
    for line in lines {
        match line {
            Line::User(name) => user = Some(*name),
            Line::Entry { is_pattern: true, word, filter } => patterns.push((*word, filter.clone())),
            Line::Entry { word, filter, .. } if user == who.user => own.push((*word, filter.clone())),
            Line::Entry { .. } => {}
        }
    }
    let decide = |list: &[(&str, String)]| {
        let denials = list.iter().filter(|(word, _)| *word == "deny");
        let others = list.iter().filter(|(word, _)| *word == "readwrite" || *word == access);
        let mut matching = denials.chain(others).filter(|(_, filter)| mqtt::matches(filter, topic));
        matching.next().map(|(word, _)| *word != "deny")
    };
    if let Some(verdict) = decide(&own) {
        return verdict;
    }
    let is_wild = |name: &str| name.contains('+') || name.contains('#');
    if !patterns.is_empty() && (is_wild(who.client_id) || who.user.is_some_and(is_wild)) {
        return false;
    }
    patterns.retain(|(_, filter)| who.user.is_some() || !filter.contains("%u"));
    for (_, filter) in &mut patterns {
        *filter = filter.replace("%c", who.client_id).replace("%u", who.user.unwrap_or_default());
    }
    decide(&patterns).unwrap_or(false)
}

#[derive(Debug, Clone)]
struct OwnRule {
    role: usize,
    is_denial: bool,
    actions: Vec<&'static str>,
    filters: Vec<String>,
}

fn own_rules(dice: &mut Dice) -> Vec<OwnRule> {
    let levels = ["a", "b", "+", "", "${client_id}", "${user}", "%c", "x-%u", "$a"];
    let rule = |dice: &mut Dice| OwnRule {
        role: dice.below(ROLES),
        is_denial: dice.below(3) == 0,
        actions: (0..1 + dice.below(2))
            .map(|_| dice.pick(&["publish", "retain", "will", "subscribe", "receive", "read", "write"]))
            .collect(),
        filters: (0..1 + dice.below(2)).map(|_| filter(dice, &levels)).collect(),
    };
    (0..1 + dice.below(8)).map(|_| rule(dice)).collect()
}

/// The same as a client brings them: whoever brings rules has them, like those of a role of everybody.
fn permits(rules: &[OwnRule]) -> Arc<Permits> {
    let permits = rules.iter().map(|rule| Permit {
        is_denial: rule.is_denial,
        actions: rule.actions.clone(),
        topics: rule.filters.iter().map(String::as_str).collect(),
    });
    let permits: Vec<Permit<'_>> = permits.collect();
    Arc::new(Permits::new("claim", &permits).unwrap())
}

/// A file of our own rules, sorted by role, and on which lines what stands.
#[derive(Debug)]
struct OwnFile {
    rules: Vec<OwnRule>,
    qos_max: [Option<u8>; ROLES],
    text: String,
    rule_lines: Vec<usize>,
    limit_lines: [usize; ROLES],
}

impl OwnFile {
    /// Everyone has the first role, the user `a` the second, the client `b` the third.
    fn new(rules: &[OwnRule], qos_max: [Option<u8>; ROLES]) -> OwnFile {
        let head =
            ["default = \"deny\"", "everyone = \"r0\"", "[users]", "a = \"r1\"", "[clients]", "b = \"r2\""];
        let mut lines: Vec<String> = head.iter().map(ToString::to_string).collect();
        let (mut rules, mut rule_lines, mut limit_lines) = (rules.to_vec(), Vec::new(), [0; ROLES]);
        rules.sort_by_key(|rule| rule.role);
        for role in 0..ROLES {
            lines.push(format!("[roles.r{role}]"));
            if let Some(qos_max) = qos_max[role] {
                lines.push(format!("qos_max = {qos_max}"));
                limit_lines[role] = lines.len();
            }
            lines.push("rules = [".to_owned());
            for rule in rules.iter().filter(|rule| rule.role == role) {
                let word = if rule.is_denial { "deny" } else { "allow" };
                lines.push(format!("  {{ {word} = {:?}, topics = {:?} }},", rule.actions, rule.filters));
                rule_lines.push(lines.len());
            }
            lines.push("]".to_owned());
        }
        OwnFile { rules, qos_max, text: lines.join("\n"), rule_lines, limit_lines }
    }

    /// None: it is allowed. Otherwise the line that denies it.
    fn denying_line(&self, who: &Who<'_>, ask: &Ask<'_>, all: &[String]) -> Option<usize> {
        let has_role = has_roles(who);
        let needs_publish = matches!(ask.action, Action::Will | Action::Retain).then_some(Action::Publish);
        for action in [Some(ask.action), needs_publish].into_iter().flatten() {
            let speaks = |rule: &&OwnRule| own_speaks(rule, who, action, ask.topic, all);
            let denial = self.rules.iter().position(|rule| rule.is_denial && speaks(&rule));
            if let Some(denial) = denial {
                return Some(self.rule_lines[denial]);
            }
            if !self.rules.iter().any(|rule| speaks(&rule)) {
                return Some(DEFAULT_LINE);
            }
        }
        let of_role = |role: &usize| self.qos_max[*role].filter(|_| has_role[*role]);
        let highest = (0..ROLES).filter_map(|role| of_role(&role)).max()?;
        let is_publication = matches!(ask.action, Action::Publish | Action::Will | Action::Retain);
        let decides = (0..ROLES).find(|role| of_role(role) == Some(highest))?;
        (is_publication && ask.qos > highest).then(|| self.limit_lines[decides])
    }
}

fn has_roles(who: &Who<'_>) -> [bool; ROLES] {
    [true, who.user == Some("a"), who.client_id == "b"]
}

fn own_speaks(rule: &OwnRule, who: &Who<'_>, action: Action, topic: &str, all: &[String]) -> bool {
    let is_about = rule.actions.iter().any(|word| match *word {
        "read" | "subscribe" => matches!(action, Action::Subscribe | Action::Receive),
        "write" => matches!(action, Action::Publish | Action::Retain | Action::Will),
        word => word == action.word(),
    });
    is_about
        && has_roles(who)[rule.role]
        && rule.filters.iter().any(|filter| own_match(filter, rule.is_denial, who, action, topic, all))
}

fn own_verdict(rules: &[OwnRule], who: &Who<'_>, action: Action, topic: &str, all: &[String]) -> bool {
    let may = |action| {
        let mut found = rules.iter().filter(|rule| own_speaks(rule, who, action, topic, all)).peekable();
        found.peek().is_some() && found.all(|rule| !rule.is_denial)
    };
    match action {
        Action::Will | Action::Retain => may(action) && may(Action::Publish),
        action => may(action),
    }
}

fn own_match(
    filter: &str,
    is_denial: bool,
    who: &Who<'_>,
    action: Action,
    topic: &str,
    all: &[String],
) -> bool {
    let mut filter = filter.to_owned();
    for (written, value) in [
        ("${client_id}", Some(who.client_id)),
        ("%c", Some(who.client_id)),
        ("${user}", who.user),
        ("%u", who.user),
    ] {
        if filter.contains(written) {
            let Some(value) = value else { return false };
            let is_wild = value.contains('+') || value.contains('#');
            if is_wild || (!is_denial && (value.is_empty() || value.contains('/') || value.starts_with('$')))
            {
                return false;
            }
            filter = filter.replace(written, value);
        }
    }
    if action == Action::Subscribe { covers(&filter, topic, all) } else { mqtt::matches(&filter, topic) }
}

/// A memory says the same as the holder, also where the question was asked before, of this holder or of another.
fn remembered(
    memory: &mut Memory,
    holders: &mut Vec<Holder>,
    holder: Holder,
    ask: &Ask<'_>,
) -> access::Verdict {
    holders.push(holder);
    let last = holders.last().expect("one was added");
    for holder in [last, &holders[holders.len() / 2], last] {
        assert_eq!(memory.check(holder, ask), holder.check(ask), "{ask:?}");
    }
    last.check(ask)
}

/// One set of rules of each format, and some questions.
fn round(seed: u64, all: &[String], memory: &mut Memory) {
    let mut dice = Dice(seed.max(1));
    let lines = acl_lines(&mut dice);
    let acl = crate::rules(crate::acl(&acl_text(&lines)));
    let written = own_rules(&mut dice);
    let qos_max = std::array::from_fn(|_| dice.pick(&[None, Some(0), Some(1)]));
    let file = OwnFile::new(&written, qos_max);
    let own = Rules::builder(Fallback::Deny).layer(crate::toml(&file.text)).build();
    let (mut acl_profiles, mut own_profiles) = (Profiles::new(&acl), Profiles::new(&own));
    let brought = own_rules(&mut dice);
    let brought_permits = permits(&brought);
    let with_brought: Vec<OwnRule> =
        written.iter().cloned().chain(brought.into_iter().map(|rule| OwnRule { role: 0, ..rule })).collect();
    let mut holders = Vec::new();
    for _ in 0..20 {
        let (who, action, topic) = question(&mut dice);
        let ask = Ask { qos: dice.below(3) as u8, ..Ask::new(action, &topic) };
        let at = format!("seed {seed}: {who:?} {ask:?}");
        let verdict = remembered(memory, &mut holders, acl_profiles.holder(&who), &ask);
        let expected = acl_verdict(&lines, &who, action, &topic);
        let holder = acl.holder(&who);
        let told = holder.explain(&verdict);
        assert_eq!(verdict.is_allowed, expected, "{at}\n{}{told}", acl_text(&lines));

        let verdict = remembered(memory, &mut holders, own_profiles.holder(&who), &ask);
        let holder = own.holder(&who);
        let told = holder.explain(&verdict);
        let line = told.place.line.filter(|_| !verdict.is_allowed).map(|line| line as usize);
        assert_eq!(line, file.denying_line(&who, &ask, all), "{at}\n{}\n{told}", file.text);

        let who = Who { permits: Some(&brought_permits), ..who };
        let verdict = remembered(memory, &mut holders, own_profiles.holder(&who), &Ask::new(action, &topic));
        let expected = own_verdict(&with_brought, &who, action, &topic, all);
        let holder = own.holder(&who);
        let told = holder.explain(&verdict);
        assert_eq!(verdict.is_allowed, expected, "{at}, with rules\n{with_brought:?}\n{told}");
    }
}

/// Somebody, and what he would do.
fn question(dice: &mut Dice) -> (Who<'static>, Action, String) {
    let who =
        Who { client_id: dice.pick(&IDS), user: dice.pick(&USERS), is_authenticated: true, ..Who::default() };
    let action = dice.pick(&ACTIONS);
    let topic = match action {
        Action::Subscribe => filter(dice, &["a", "b", "+", "$a"]),
        _ => topic(dice),
    };
    (who, action, topic)
}

#[test]
fn the_engine_reads_rules_as_they_are_written() {
    let all = topics(4);
    let mut runner = TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() });
    runner
        .run(&proptest::num::u64::ANY, |seed| {
            round(seed, &all, &mut Memory::new());
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_engine_reads_thousands_of_files_as_they_are_written() {
    let all = topics(4);
    // One memory for all: what it knows of other rules must not matter.
    let mut memory = Memory::new();
    for seed in 1..ROUNDS {
        round(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), &all, &mut memory);
    }
}

const ROLES: usize = 3;
/// Where a file of our own rules says what holds otherwise.
const DEFAULT_LINE: usize = 1;
const ROUNDS: u64 = 10_000;

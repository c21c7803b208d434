//! Reads a file of rules: which sections there are and what each of them means.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::{
    Roles, Written,
    section::{Entry, Value, entries, line_of},
};
use crate::{
    Fallback, Layer, Limit, Limits, Network, PROBLEMS_MAX, Problem, RULES_MAX,
    action::Actions,
    filter::{self, Level, Spelling},
    layer::{Kind, Rule},
    trie::{self, Sprout},
};

/// The text of a file becomes a layer, or everything that is wrong with it.
pub fn read(file: &str, text: &str) -> Result<Layer, Vec<Problem>> {
    let mut reader = Reader { file, text, ..Reader::default() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.problem(at, format!("this is not TOML: {}", error.message()));
    }
    // What follows the first problem of a line is seldom one of its own.
    reader.problems.sort_by_key(|problem| problem.line);
    reader.problems.dedup_by_key(|problem| problem.line);
    if errors.is_empty() {
        let sections = entries(document.get_ref());
        // Roles have names before anybody has roles.
        for section in &sections {
            if section.name == "roles" {
                reader.names_of_roles(section);
            }
        }
        for section in &sections {
            reader.section(section);
        }
    }
    if reader.problems.is_empty() {
        reader.roles.rules = reader.sprout.compile();
        Ok(Layer { file: file.into(), rules: reader.rules.into(), kind: Kind::Own(Box::new(reader.roles)) })
    } else {
        // Roles are read first, and people read their file from the top.
        reader.problems.sort_by_key(|problem| problem.line);
        reader.problems.truncate(PROBLEMS_MAX);
        Err(reader.problems)
    }
}

#[derive(Default)]
struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    roles: Roles,
    sprout: Sprout,
    rules: Vec<Rule>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, what: String) {
        let line = line_of(self.text, at);
        self.problems.push(Problem { file: self.file.into(), line, what });
    }

    fn names_of_roles(&mut self, section: &Entry<'_, '_>) {
        let Value::Table(table) = section.value else { return };
        for (at, role) in entries(table).into_iter().enumerate() {
            self.roles.names.insert(role.name.into(), at as u32);
            self.roles.roles.push(super::Role::default());
        }
    }

    fn section(&mut self, section: &Entry<'_, '_>) {
        match section.name {
            "default" => self.roles.default = self.fallback(section, "default"),
            "everyone" => self.roles.everyone = self.roles_of(section),
            "anonymous" => self.roles.anonymous = self.roles_of(section),
            "authenticated" => self.roles.authenticated = self.roles_of(section),
            "listeners" => {
                for entry in self.table(section) {
                    if let Some(default) = self.fallback(&entry, &format!("listeners.{:?}", entry.name)) {
                        self.roles.listeners.insert(entry.name.into(), default);
                    }
                }
            }
            "users" => self.roles.users = self.by_name(section),
            "groups" => self.roles.groups = self.by_name(section),
            "members" => self.members(section),
            "clients" | "certificates" => {
                for entry in self.table(section) {
                    let roles = self.roles_of(&entry);
                    let named = if section.name == "clients" {
                        &mut self.roles.clients
                    } else {
                        &mut self.roles.certificates
                    };
                    named.insert(entry.name, roles);
                }
            }
            "addresses" => self.addresses(section),
            "roles" => {
                for (at, role) in self.table(section).into_iter().enumerate() {
                    self.role(at, &role);
                }
            }
            unknown => {
                let what = format!(
                    "`{unknown}` is unknown: there are default, listeners, roles, everyone, anonymous, authenticated, \
                     users, groups, members, clients, certificates and addresses"
                );
                self.problem(section.at, what);
            }
        }
    }

    /// The entries of a section, in the order of the file.
    fn table<'a, 'i>(&mut self, section: &Entry<'a, 'i>) -> Vec<Entry<'a, 'i>> {
        match section.value {
            Value::Table(table) => entries(table),
            _ => {
                self.problem(section.at, format!("`{0}` is a section: write [{0}]", section.name));
                Vec::new()
            }
        }
    }

    /// `key` is what it is called when it is told.
    fn fallback(&mut self, entry: &Entry<'_, '_>, key: &str) -> Option<Written<Fallback>> {
        let value = match entry.value {
            Value::String(word) if word == "allow" => Fallback::Allow,
            Value::String(word) if word == "deny" => Fallback::Deny,
            _ => {
                self.problem(entry.at, format!("`{}` is \"allow\" or \"deny\"", entry.name));
                return None;
            }
        };
        let text = format!("{key} = \"{value}\"");
        Some(Written { value, rule: self.written(entry, text) })
    }

    fn written(&self, entry: &Entry<'_, '_>, text: String) -> Rule {
        Rule { line: line_of(self.text, entry.at), text: text.into() }
    }

    fn words<'a>(&mut self, entry: &Entry<'a, '_>) -> Vec<&'a str> {
        let words = match entry.value {
            Value::String(word) => Some(vec![&**word]),
            Value::Array(array) => array.iter().map(|item| item.get_ref().as_str()).collect(),
            _ => None,
        };
        words.unwrap_or_else(|| {
            self.problem(entry.at, format!("`{}` is a text or a list of texts", entry.name));
            Vec::new()
        })
    }

    fn roles_of(&mut self, entry: &Entry<'_, '_>) -> Vec<u32> {
        let mut roles = Vec::new();
        for name in self.words(entry) {
            match self.roles.names.get(name) {
                Some(role) => roles.push(*role),
                None => self.problem(
                    entry.at,
                    format!(
                        "there is no role `{name}`: write [roles.{name}] and its rules, or remove it here"
                    ),
                ),
            }
        }
        roles
    }

    fn by_name(&mut self, section: &Entry<'_, '_>) -> BTreeMap<Box<str>, Vec<u32>> {
        self.table(section).iter().map(|entry| (entry.name.into(), self.roles_of(entry))).collect()
    }

    fn members(&mut self, section: &Entry<'_, '_>) {
        for group in self.table(section) {
            for user in self.words(&group) {
                self.roles.memberships.entry(user.into()).or_default().push(group.name.into());
            }
        }
    }

    fn addresses(&mut self, section: &Entry<'_, '_>) {
        for entry in self.table(section) {
            let roles = self.roles_of(&entry);
            match Network::parse(entry.name) {
                Ok(network) => self.roles.addresses.push((network, roles)),
                Err(what) => {
                    let what = format!("`{}` {what}; write for example \"10.0.0.0/8\"", entry.name);
                    self.problem(entry.at, what);
                }
            }
        }
    }

    fn role(&mut self, at: usize, role: &Entry<'_, '_>) {
        let (mut limits, mut limit_rules) = (Limits::default(), Vec::new());
        for entry in self.table(role) {
            match entry.name {
                "rules" => self.rules_of(at, role.name, &entry),
                "qos_max" => match self.number(&entry) {
                    Some(qos) if qos <= 2 => limits.qos_max = Some(qos as u8),
                    _ => self.problem(entry.at, "`qos_max` is 0, 1 or 2".to_owned()),
                },
                "publish_messages_per_s" => limits.publish_messages_per_s = self.rate(&entry),
                "publish_bytes_per_s" => limits.publish_bytes_per_s = self.rate(&entry),
                "receive_messages_per_s" => limits.receive_messages_per_s = self.rate(&entry),
                "receive_bytes_per_s" => limits.receive_bytes_per_s = self.rate(&entry),
                unknown => {
                    let what = format!(
                        "`{unknown}` is unknown: a role has rules, qos_max, publish_messages_per_s, publish_bytes_per_s, \
                         receive_messages_per_s and receive_bytes_per_s"
                    );
                    self.problem(entry.at, what);
                }
            }
            let limit = Limit::ALL.into_iter().find(|limit| limit.word() == entry.name);
            if let Some((limit, value)) = limit.and_then(|limit| Some((limit, limits.of(limit)?))) {
                let text = format!("role {}: {} = {value}", role.name, entry.name);
                limit_rules.push(Written { value: limit, rule: self.written(&entry, text) });
            }
        }
        let role = &mut self.roles.roles[at];
        (role.limits, role.limit_rules) = (limits, limit_rules);
    }

    fn number(&self, entry: &Entry<'_, '_>) -> Option<u64> {
        match entry.value {
            Value::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    fn rate(&mut self, entry: &Entry<'_, '_>) -> Option<core::num::NonZeroU64> {
        let rate = self.number(entry).and_then(core::num::NonZeroU64::new);
        if rate.is_none() {
            self.problem(
                entry.at,
                format!("`{}` is a whole number from 1; leave it out for no limit", entry.name),
            );
        }
        rate
    }

    fn rules_of(&mut self, role: usize, name: &str, entry: &Entry<'_, '_>) {
        let Value::Array(array) = entry.value else {
            let what = "`rules` is a list: write rules = [ { allow = \"read\", topics = \"a/#\" } ]";
            return self.problem(entry.at, what.to_owned());
        };
        for item in array.iter() {
            let at = item.span().start;
            let written = self.text.get(item.span()).unwrap_or_default();
            let text = format!("role {name}: {}", shortened(written));
            match item.get_ref() {
                DeValue::Table(table) => self.rule(role, at, text, table),
                _ => self.problem(
                    at,
                    "a rule is { allow = ..., topics = ... } or { deny = ..., topics = ... }".to_owned(),
                ),
            }
        }
    }

    fn rule(&mut self, role: usize, at: usize, text: String, table: &DeTable<'_>) {
        let (mut actions, mut topics) = (Vec::new(), Vec::new());
        for entry in entries(table) {
            match entry.name {
                "allow" | "deny" => actions.push((entry.name == "deny", self.actions(&entry))),
                "topics" => topics = self.words(&entry),
                unknown => {
                    self.problem(
                        entry.at,
                        format!("`{unknown}` is unknown: a rule has allow or deny, and topics"),
                    );
                }
            }
        }
        let [(is_denial, actions)] = actions[..] else {
            return self.problem(at, "a rule has either `allow` or `deny`".to_owned());
        };
        if topics.is_empty() {
            return self.problem(at, "a rule has `topics`: write topics = \"#\" for all".to_owned());
        }
        if self.rules.len() >= RULES_MAX {
            return self.problem(at, format!("the file has more than {RULES_MAX} rules"));
        }
        let rule = self.rules.len() as u32;
        self.rules.push(Rule { line: line_of(self.text, at), text: text.into() });
        let entry = trie::Entry { role: role as u32, rule, actions, is_denial };
        for topic in topics {
            if let Err(what) = self.filter(topic, entry) {
                self.problem(at, what);
            }
        }
    }

    fn filter(&mut self, topic: &str, entry: trie::Entry) -> Result<(), String> {
        if topic.starts_with("$share/") {
            return Err(format!(
                "`{topic}`: write the filter inside, which holds for shared subscriptions as well"
            ));
        }
        let levels = filter::parse(topic, Spelling::Both)?;
        let role = &mut self.roles.roles[entry.role as usize];
        role.has_variables |= levels.iter().any(|level| matches!(level, Level::Template(_)));
        if entry.is_denial {
            role.denies = role.denies.with(entry.actions);
        }
        self.sprout.insert(&levels, entry);
        Ok(())
    }

    fn actions(&mut self, entry: &Entry<'_, '_>) -> Actions {
        let mut actions = Actions::default();
        for word in self.words(entry) {
            match Actions::of_word(word) {
                Some(more) => actions = actions.with(more),
                None => {
                    let what = format!(
                        "`{word}` is no action: there are publish, retain, will, subscribe, receive, admin, and read, \
                         write, readwrite for several"
                    );
                    self.problem(entry.at, what);
                }
            }
        }
        if actions.is_empty() {
            self.problem(entry.at, format!("`{}` names no action", entry.name));
        }
        actions
    }
}

/// One line of bearable length.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(RULE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

const RULE_CHARS_MAX: usize = 160;

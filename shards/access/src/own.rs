//! IoTHub's own rules: roles with their permissions and limits, and who has which role. The text is TOML.
//!
//! A denial counts more than a permission, of whatever role. `subscribe` is about filters and holds at the delivery, too;
//! `receive` is about deliveries alone. A filter may be subscribed to where a permission covers the whole of it and no
//! denial does; a denial that covers a part of it counts when a message is delivered.

mod reader;
mod section;

use std::collections::BTreeMap;

use crate::{
    Fallback, Layer, Limit, Limits, Network, Problem, Who,
    action::{Action, Actions},
    filter::Names,
    glob::Glob,
    layer::Rule,
    mosquitto::Saying,
    trie::{Trie, Walk},
};

/// What a file of rules says.
#[derive(Default, Debug)]
pub(crate) struct Roles {
    roles: Vec<Role>,
    /// Of all roles.
    rules: Trie,
    names: BTreeMap<Box<str>, u32>,
    everyone: Vec<u32>,
    /// Of those who have not proved who they are.
    anonymous: Vec<u32>,
    authenticated: Vec<u32>,
    users: BTreeMap<Box<str>, Vec<u32>>,
    groups: BTreeMap<Box<str>, Vec<u32>>,
    /// The groups of a user, besides those that come with the proof of identity.
    memberships: BTreeMap<Box<str>, Vec<Box<str>>>,
    clients: Named,
    certificates: Named,
    addresses: Vec<(Network, Vec<u32>)>,
    pub default: Option<Written<Fallback>>,
    pub listeners: BTreeMap<Box<str>, Written<Fallback>>,
}

/// What is written besides rules, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Written<T> {
    pub value: T,
    pub rule: Rule,
}

#[derive(Clone, Default, Debug)]
struct Role {
    limits: Limits,
    /// Where each of them stands.
    limit_rules: Vec<Written<Limit>>,
    /// Some of what it denies.
    denies: Actions,
    has_variables: bool,
}

/// Roles by a name that may be a pattern.
#[derive(Default, Debug)]
struct Named {
    plain: BTreeMap<Box<str>, Vec<u32>>,
    patterns: Vec<(Glob, Vec<u32>)>,
}

/// Reads a file of rules. `file` is its name in problems and explanations.
pub fn parse(file: &str, text: &str) -> Result<Layer, Vec<Problem>> {
    reader::read(file, text)
}

impl Roles {
    /// The names of all roles, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// The groups that have roles, sorted.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(|name| &**name)
    }

    /// The roles that apply to a client, in order, none twice.
    pub fn of(&self, who: &Who<'_>) -> Box<[u32]> {
        let mut roles = self.everyone.clone();
        let user = who.user.filter(|_| who.is_authenticated);
        roles.extend(if who.is_authenticated { &self.authenticated } else { &self.anonymous });
        if let Some(user) = user {
            roles.extend(self.users.get(user).into_iter().flatten());
            let groups = self.memberships.get(user).into_iter().flatten();
            roles.extend(groups.filter_map(|group| self.groups.get(group)).flatten());
        }
        if who.is_authenticated {
            roles.extend(who.groups.iter().filter_map(|group| self.groups.get(*group)).flatten());
            roles.extend(who.roles.iter().filter_map(|role| self.names.get(*role)));
        }
        self.clients.find(who.client_id, &mut roles);
        for name in who.certificate_names {
            self.certificates.find(name, &mut roles);
        }
        if let Some(address) = who.address {
            let networks = self.addresses.iter().filter(|(network, _)| network.contains(address));
            roles.extend(networks.flat_map(|(_, roles)| roles));
        }
        roles.sort_unstable();
        roles.dedup();
        roles.into()
    }

    pub fn limits(&self, roles: &[u32]) -> Limits {
        self.each(roles).fold(Limits::default(), |limits, role| limits.or_higher(role.limits))
    }

    /// Where the first of the roles stands that sets the limit to this.
    pub fn limit_rule(&self, roles: &[u32], limit: Limit, value: u64) -> Option<&Rule> {
        let mut roles = roles.iter().map(|role| &self.roles[*role as usize]);
        let role = roles.find(|role| role.limits.of(limit) == Some(value))?;
        role.limit_rules.iter().find(|written| written.value == limit).map(|written| &written.rule)
    }

    pub fn uses_names(&self, roles: &[u32]) -> bool {
        self.each(roles).any(|role| role.has_variables)
    }

    pub fn denies(&self, roles: &[u32], action: Action) -> bool {
        self.each(roles).any(|role| role.denies.has(action))
    }

    pub fn say(
        &self,
        roles: &[u32],
        action: Action,
        topic: &str,
        names: Option<&Names>,
        is_personal: &mut bool,
    ) -> Saying {
        // A name that a client chose must not become more than a level where it opens something. Where it closes something it
        // may be whatever it says.
        let mut walk = Walk {
            action,
            roles: Some(roles),
            names,
            must_be_plain: true,
            allowing: None,
            denying: None,
            is_personal: false,
        };
        match action {
            Action::Subscribe => self.rules.match_filter(topic, &mut walk),
            _ => self.rules.match_topic(topic, &mut walk),
        }
        *is_personal |= walk.is_personal;
        Saying::of(&walk)
    }

    fn each<'a>(&'a self, roles: &'a [u32]) -> impl Iterator<Item = &'a Role> {
        roles.iter().map(|role| &self.roles[*role as usize])
    }
}

impl Named {
    fn insert(&mut self, name: &str, roles: Vec<u32>) {
        if Glob::is_plain(name) {
            self.plain.insert(name.into(), roles);
        } else {
            self.patterns.push((Glob::new(name), roles));
        }
    }

    fn find(&self, name: &str, roles: &mut Vec<u32>) {
        roles.extend(self.plain.get(name).into_iter().flatten());
        let patterns = self.patterns.iter().filter(|(glob, _)| glob.matches(name));
        roles.extend(patterns.flat_map(|(_, roles)| roles));
    }
}

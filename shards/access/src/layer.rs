//! A file of rules: what came of its text, and where each rule stands in it.

use std::fmt;

use crate::{mosquitto, own};

/// One file's rules, compiled.
#[derive(Debug)]
pub struct Layer {
    pub(crate) file: Box<str>,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Mosquitto(mosquitto::Lists),
    Own(Box<own::Roles>),
}

/// A rule as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub line: u32,
    pub text: Box<str>,
}

/// One rule of one layer.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleRef {
    pub(crate) layer: u32,
    pub(crate) rule: u32,
}

/// One thing to put right in a file of rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub file: Box<str>,
    /// 0 where the file as a whole is meant.
    pub line: u32,
    pub what: String,
}

impl Layer {
    /// The roles that the file makes, sorted. Mosquitto's format has none.
    pub fn roles(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Mosquitto(_) => Vec::new(),
            Kind::Own(roles) => roles.names().collect(),
        }
    }

    /// The groups to which the file gives roles, sorted. Mosquitto's format has none.
    pub fn groups(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Mosquitto(_) => Vec::new(),
            Kind::Own(roles) => roles.groups().collect(),
        }
    }

    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The layer's name in explanations.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Mosquitto(_) => "mosquitto ACL",
            Kind::Own(_) => "rules",
        }
    }

    /// Which keeps those with a wild name from all patterns.
    pub(crate) fn first_pattern(&self) -> Option<&Rule> {
        match &self.kind {
            Kind::Mosquitto(lists) => self.rules.get(lists.first_pattern()? as usize),
            Kind::Own(_) => None,
        }
    }

    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}, line {line}: {}", self.file, self.what),
        }
    }
}

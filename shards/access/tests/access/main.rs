//! Permissions as a whole: what each sentence of the formats means, and random rules against a literal reading of them.
#![allow(clippy::unwrap_used)]

mod covering;
mod denials;
mod document;
mod mosquitto;
mod oracle;
mod own;
mod permits;
mod profiles;
mod refusals;
mod shadow;

use access::{Action, Ask, Fallback, Layer, Rules, Who};

/// Rules of one layer, with everything else denied.
pub fn rules(layer: Layer) -> Rules {
    Rules::builder(Fallback::Deny).layer(layer).build()
}

#[track_caller]
pub fn acl(text: &str) -> Layer {
    access::mosquitto::parse("acl", text).unwrap()
}

#[track_caller]
pub fn toml(text: &str) -> Layer {
    access::own::parse("rules.toml", text).unwrap()
}

pub fn client<'a>(client_id: &'a str) -> Who<'a> {
    Who { client_id, ..Who::default() }
}

/// Proved to be this user.
pub fn user<'a>(client_id: &'a str, user: &'a str) -> Who<'a> {
    Who { client_id, user: Some(user), is_authenticated: true, ..Who::default() }
}

pub fn allows(rules: &Rules, who: Who<'_>, action: Action, topic: &str) -> bool {
    rules.holder(&who).check(&Ask::new(action, topic)).is_allowed
}

/// One sentence about why.
pub fn why(rules: &Rules, who: Who<'_>, action: Action, topic: &str) -> String {
    let holder = rules.holder(&who);
    holder.explain(&holder.check(&Ask::new(action, topic))).to_string()
}

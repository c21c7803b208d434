//! Permissions: who may publish, subscribe and receive what. Pure: text of rules and questions go in, verdicts come out. No file
//! is read here, nobody is authenticated here, and nothing is enforced here: that is the shard's business.
//!
//! [`mosquitto::parse`] and [`own::parse`] make a [`Layer`] of a file's text. [`Rules`] are layers put together: immutable, the same
//! for all shards, replaced as a whole. [`Rules::holder`] says once for a session which of them apply to it, and
//! [`Holder::check`] answers for one action on one topic, [`Memory::check`] faster if it was asked before. [`Holder::explain`] says of a verdict which
//! rule it comes from. [`Permits`] are rules that one client brings.
//!
//! What holds:
//! - A verdict is a function of the holder, the action, the topic, the QoS and the retain flag, so it may be remembered until the rules
//!   change: for all holders of one profile, unless [`Verdict::is_personal`].
//! - A denial of any layer counts, the client's own rules being one; otherwise a permission of any layer; otherwise a mosquitto layer denies; otherwise the
//!   default of the listener holds. It never opens `$SYS` and never grants `admin`.
//! - What a client chose (its id, its topics, its filters) can neither widen a rule nor make a check cost more than the
//!   rules which share the topic's levels: the walk is as deep as the deepest rule, however deep the topic.
#![forbid(unsafe_code)]

mod action;
mod address;
mod default;
mod filter;
mod glob;
mod holder;
mod layer;
mod limits;
mod memory;
pub mod mosquitto;
pub mod own;
mod permits;
mod place;
mod rules;
mod trie;
mod verdict;

pub use action::{Action, Ask};
pub use address::Network;
pub use default::DefaultRule;
pub use holder::{Holder, Profiles, Who};
pub use layer::{Layer, Problem, RuleRef};
pub use limits::{Limit, Limits};
pub use memory::Memory;
pub use permits::{Permit, Permits};
pub use place::Place;
pub use rules::{Builder, Fallback, Rules};
pub use verdict::{Cause, Explanation, Shadow, Verdict};

/// How many levels the filter of a rule may have. A walk through the rules is at most as deep.
pub const LEVELS_MAX: usize = 128;
/// How many rules one file may have.
pub const RULES_MAX: usize = 1_000_000;
/// How many problems of one file are told.
pub const PROBLEMS_MAX: usize = 50;

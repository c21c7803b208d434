//! The answer to a question, and its reason in words.

use std::fmt;

use crate::{
    Action, Limit, Permits, RuleRef,
    default::BUILT_IN,
    holder::Profile,
    layer::{Layer, Rule},
    place::Place,
    rules::Ruling,
};

/// Whether something is allowed, and why.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub is_allowed: bool,
    pub cause: Cause,
    /// What decided: of the several that a question may need, the one that is denied.
    pub action: Action,
    /// Whether another holder of the same profile may get another verdict. If not, it may be remembered for all of them.
    pub is_personal: bool,
    /// What the rules that are only tried out say, where they say something else.
    pub shadow: Option<Shadow>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Shadow {
    pub is_allowed: bool,
    pub cause: Cause,
    pub action: Action,
}

/// What a verdict comes from.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    Rule(RuleRef),
    /// One of the client's own rules.
    Permit {
        rule: u32,
    },
    /// A mosquitto ACL file grants every SUBSCRIBE and checks deliveries.
    SubscribeGranted {
        layer: u32,
    },
    /// A mosquitto ACL file denies what it does not list.
    NotListed {
        layer: u32,
    },
    /// The client id or the user name has `+` or `#`, and a mosquitto ACL file has patterns.
    WildName {
        layer: u32,
    },
    /// The rules allow it, but not with a QoS as high as this.
    QosAboveLimit,
    /// No rule matches: what the listener does then.
    Default,
    /// No rule matches, and without one it is never allowed: `$SYS`, and administration.
    NeedsRule,
}

/// A verdict in words: `Display` is one sentence without its stop.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Explanation<'a> {
    pub is_allowed: bool,
    pub cause: Cause,
    /// What decided.
    pub action: Action,
    /// Where it is written.
    pub place: Place<'a>,
}

impl<'a> Explanation<'a> {
    pub(crate) fn new(profile: &'a Profile, permits: Option<&'a Permits>, ruling: Ruling) -> Explanation<'a> {
        let Ruling { is_allowed, cause, action } = ruling;
        Explanation { is_allowed, cause, action, place: cause.place(profile, permits) }
    }

    /// Where no rule says so: why it is like that.
    pub fn reason(&self) -> Option<String> {
        let unmatched = |rest: &str| Some(format!("no rule about {} matches, and {rest}", self.action));
        match (self.cause, self.is_allowed) {
            (Cause::Rule(_) | Cause::Permit { .. }, _) => None,
            (Cause::SubscribeGranted { .. }, _) => {
                Some("a mosquitto ACL file grants every SUBSCRIBE and checks `read` at each delivery".to_owned())
            }
            (Cause::NotListed { .. }, _) => unmatched("a mosquitto ACL file denies what it does not list"),
            (Cause::WildName { .. }, _) => Some(
                "the client id or the user name has `+` or `#`, which a mosquitto ACL file with patterns denies"
                    .to_owned(),
            ),
            (Cause::QosAboveLimit, _) => Some("the QoS is higher than the client's roles allow".to_owned()),
            (Cause::Default, true) => unmatched("the default is to allow"),
            (Cause::Default, false) => unmatched("the default is to deny"),
            (Cause::NeedsRule, _) => unmatched("the default never allows $SYS or administration"),
        }
    }
}

impl Cause {
    fn place<'a>(self, profile: &'a Profile, permits: Option<&'a Permits>) -> Place<'a> {
        let layer = |at: u32| &profile.layers()[at as usize];
        let built_in = Place { text: None, file: None, line: None, layer: BUILT_IN };
        match self {
            Cause::Rule(RuleRef { layer: at, rule }) => {
                of_rule(layer(at), layer(at).rules.get(rule as usize))
            }
            Cause::WildName { layer: at } => of_rule(layer(at), layer(at).first_pattern()),
            Cause::SubscribeGranted { layer: at } | Cause::NotListed { layer: at } => {
                of_rule(layer(at), None)
            }
            Cause::QosAboveLimit => profile.limit_place(Limit::QosMax).unwrap_or(built_in),
            Cause::Default => profile.default_rule().place(),
            Cause::NeedsRule => built_in,
            Cause::Permit { rule } => permits.map_or(built_in, |permits| permits.place(rule)),
        }
    }
}

pub(crate) fn of_rule<'a>(layer: &'a Layer, rule: Option<&'a Rule>) -> Place<'a> {
    Place {
        text: rule.map(|rule| &*rule.text),
        file: Some(layer.file()),
        line: rule.map(|rule| rule.line),
        layer: layer.name(),
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_allowed { "allowed: " } else { "denied: " })?;
        match (self.reason(), self.place.text) {
            (None, _) => write!(f, "{}", self.place),
            (Some(reason), None) => write!(f, "{reason} {}", self.place),
            (Some(reason), Some(_)) => write!(f, "{reason}: {}", self.place),
        }
    }
}

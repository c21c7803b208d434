//! The answer to a question, and its reason in words.

use std::fmt;

use crate::{Permits, RuleRef, layer::Layer};

/// Whether something is allowed, and why.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub is_allowed: bool,
    pub cause: Cause,
    /// Whether another holder of the same profile may get another verdict. If not, it may be remembered for all of them.
    pub is_personal: bool,
    /// What the rules that are only tried out say, where they say something else.
    pub shadow: Option<Shadow>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Shadow {
    pub is_allowed: bool,
    pub cause: Cause,
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
    /// The QoS is higher than the roles allow.
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
    /// The rule as it is written.
    pub rule: Option<&'a str>,
    pub line: Option<u32>,
    pub file: Option<&'a str>,
    pub layer: Option<&'a str>,
}

impl Cause {
    pub fn rule(self) -> Option<RuleRef> {
        match self {
            Cause::Rule(rule) => Some(rule),
            _ => None,
        }
    }

    fn layer(self) -> Option<u32> {
        match self {
            Cause::Rule(rule) => Some(rule.layer),
            Cause::SubscribeGranted { layer } | Cause::NotListed { layer } | Cause::WildName { layer } => {
                Some(layer)
            }
            Cause::Permit { .. } | Cause::QosAboveLimit | Cause::Default | Cause::NeedsRule => None,
        }
    }
}

impl<'a> Explanation<'a> {
    pub(crate) fn new(
        layers: &'a [Layer],
        permits: Option<&'a Permits>,
        is_allowed: bool,
        cause: Cause,
    ) -> Explanation<'a> {
        if let (Cause::Permit { rule }, Some(permits)) = (cause, permits) {
            let (rule, layer) = (permits.text(rule), Some(permits.source()));
            return Explanation { is_allowed, cause, rule, line: None, file: None, layer };
        }
        let layer = cause.layer().and_then(|layer| layers.get(layer as usize));
        let rule = layer.zip(cause.rule()).and_then(|(layer, rule)| layer.rules.get(rule.rule as usize));
        Explanation {
            is_allowed,
            cause,
            rule: rule.map(|rule| &*rule.text),
            line: rule.map(|rule| rule.line),
            file: layer.map(Layer::file),
            layer: layer.map(Layer::name),
        }
    }

    /// Where there is no rule: what decided instead.
    pub fn reason(&self) -> &'static str {
        match (self.cause, self.is_allowed) {
            (Cause::Rule(_) | Cause::Permit { .. }, _) => "by a rule",
            (Cause::SubscribeGranted { .. }, _) => {
                "a mosquitto ACL file grants every SUBSCRIBE and checks `read` at each delivery"
            }
            (Cause::NotListed { .. }, _) => {
                "no rule matches, and a mosquitto ACL file denies what it does not list"
            }
            (Cause::WildName { .. }, _) => {
                "the client id or the user name has `+` or `#`, which a mosquitto ACL file with patterns denies"
            }
            (Cause::QosAboveLimit, _) => "the QoS is higher than the roles allow",
            (Cause::Default, true) => "no rule matches, and the default is to allow",
            (Cause::Default, false) => "no rule matches, and the default is to deny",
            (Cause::NeedsRule, _) => "no rule matches, and the default never allows $SYS or administration",
        }
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_allowed { "allowed: " } else { "denied: " })?;
        match (self.rule, self.line, self.file, self.layer) {
            (Some(rule), Some(line), Some(file), Some(layer)) => {
                write!(f, "{rule} ({file}, line {line}, {layer})")
            }
            (Some(rule), None, None, Some(layer)) => write!(f, "{rule} (by {layer})"),
            (_, _, Some(file), _) => write!(f, "{} ({file})", self.reason()),
            _ => f.write_str(self.reason()),
        }
    }
}

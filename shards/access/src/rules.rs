//! Layers put together: what is asked, and which layer decides.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::{
    Action, Ask, Cause, DefaultRule, Holder, Layer, RuleRef, Who,
    filter::Names,
    holder::{Part, Profile},
    layer::Kind,
    mosquitto::Saying,
};

/// What holds where no rule matches.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Fallback {
    Allow,
    Deny,
}

/// Everything that permissions depend on. Immutable; a clone is another handle of the same rules.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(crate) set: Arc<Set>,
    pub(crate) shadow: Option<Arc<Set>>,
}

/// The layers of rules while they are put together.
#[derive(Debug)]
pub struct Builder {
    layers: Vec<Layer>,
    default: DefaultRule,
    listeners: BTreeMap<Box<str>, DefaultRule>,
    hears_permits: bool,
}

#[derive(Debug)]
pub(crate) struct Set {
    pub layers: Box<[Layer]>,
    /// The first holds for every listener without one of its own.
    pub defaults: Box<[DefaultRule]>,
    listeners: BTreeMap<Box<str>, u32>,
    hears_permits: bool,
    /// The first mosquitto layer: it denies what no layer knows.
    closed_by: Option<u32>,
}

/// A verdict of one set of rules.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ruling {
    pub is_allowed: bool,
    pub cause: Cause,
    /// What is allowed or denied.
    pub action: Action,
}

impl Rules {
    /// Without layers, `default` decides.
    pub fn builder(default: impl Into<DefaultRule>) -> Builder {
        let default = default.into();
        Builder { layers: Vec::new(), default, listeners: BTreeMap::new(), hears_permits: false }
    }

    /// Tries other rules out: verdicts say what these would say where it is something else. Nothing else comes of them.
    pub fn with_shadow(self, shadow: Rules) -> Rules {
        Rules { set: self.set, shadow: Some(shadow.set) }
    }

    /// What applies to a client, for the life of its session or until the rules change. [`crate::Profiles::holder`] does the same
    /// and shares what holders have in common.
    pub fn holder(&self, who: &Who<'_>) -> Holder {
        Holder::new(self, who)
    }

    /// Whether everything is allowed that can be, to everybody, whatever rules clients may bring: there is nothing to ask.
    pub fn are_open(&self) -> bool {
        let is_open = |set: &Set| {
            set.layers.is_empty()
                && !set.hears_permits
                && set.defaults.iter().all(|default| default.fallback == Fallback::Allow)
        };
        is_open(&self.set) && self.shadow.as_deref().is_none_or(is_open)
    }

    pub fn layers(&self) -> &[Layer] {
        &self.set.layers
    }
}

impl Builder {
    /// Adds a layer. The order decides only which of several rules is named.
    pub fn layer(mut self, layer: Layer) -> Builder {
        self.layers.push(layer);
        self
    }

    /// What holds for a listener where no rule matches. A file of rules that says something else of it wins.
    pub fn listener(mut self, name: &str, default: impl Into<DefaultRule>) -> Builder {
        self.listeners.insert(name.into(), default.into());
        self
    }

    /// Clients may bring rules of their own, so that there is something to ask also where there are no layers.
    pub fn hears_permits(mut self, hears_permits: bool) -> Builder {
        self.hears_permits = hears_permits;
        self
    }

    pub fn build(mut self) -> Rules {
        for layer in &self.layers {
            if let Kind::Own(roles) = &layer.kind {
                let rule = |default| DefaultRule::of_layer(layer, default);
                self.default = roles.default.as_ref().map_or(self.default, rule);
                let listeners = roles.listeners.iter();
                self.listeners.extend(listeners.map(|(name, default)| (name.clone(), rule(default))));
            }
        }
        let is_mosquitto = |layer: &Layer| matches!(layer.kind, Kind::Mosquitto(_));
        let closed_by = self.layers.iter().position(is_mosquitto).map(|at| at as u32);
        let Builder { layers, default, listeners, hears_permits } = self;
        let (names, of_listeners): (Vec<Box<str>>, Vec<DefaultRule>) = listeners.into_iter().unzip();
        let defaults = [default].into_iter().chain(of_listeners).collect();
        let listeners = names.into_iter().zip(1..).collect();
        let set = Set { layers: layers.into(), defaults, listeners, hears_permits, closed_by };
        Rules { set: Arc::new(set), shadow: None }
    }
}

impl Set {
    /// Which of the defaults is that of the listener.
    pub fn default_of(&self, listener: &str) -> u32 {
        // Of several listeners with one address, the others have a number behind it: the rules know the address.
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let numbered = listener.rsplit_once('#').filter(|(_, number)| is_number(number));
        let of_address = || numbered.and_then(|(address, _)| self.listeners.get(address));
        let known = self.listeners.get(listener).or_else(of_address);
        known.copied().unwrap_or(0)
    }

    pub fn ask(
        &self,
        profile: &Profile,
        ask: &Ask<'_>,
        names: Option<&Names>,
        is_personal: &mut bool,
    ) -> Ruling {
        let topic = match ask.action {
            Action::Subscribe => inside(ask.topic),
            _ => ask.topic,
        };
        let mut first = None;
        for action in ask.needs() {
            let ruling = self.ask_one(profile, action, topic, names, is_personal);
            if !ruling.is_allowed {
                return ruling;
            }
            first.get_or_insert(ruling);
        }
        // Last, so that it does not hide that the topic is denied at every QoS.
        if profile.limits.qos_max.is_some_and(|qos_max| ask.qos > qos_max) && ask.is_publication() {
            return Ruling { is_allowed: false, cause: Cause::QosAboveLimit, action: ask.action };
        }
        first.expect("every question needs something")
    }

    fn ask_one(
        &self,
        profile: &Profile,
        action: Action,
        topic: &str,
        names: Option<&Names>,
        is_personal: &mut bool,
    ) -> Ruling {
        let mut allowed = None;
        if let Some((permits, names)) = names.and_then(|names| Some((names.permits.as_deref()?, names))) {
            *is_personal = true;
            match permits.say(action, topic, names) {
                Saying::Denied(Some(rule)) => {
                    return Ruling { is_allowed: false, cause: Cause::Permit { rule }, action };
                }
                Saying::Allowed(Some(rule)) => {
                    allowed = Some(Ruling { is_allowed: true, cause: Cause::Permit { rule }, action });
                }
                _ => {}
            }
        }
        for (at, (layer, part)) in self.layers.iter().zip(&profile.parts).enumerate() {
            let at = at as u32;
            let saying = match (&layer.kind, part) {
                (Kind::Mosquitto(lists), Part::Mosquitto(part)) => {
                    lists.say(*part, action, topic, names, is_personal)
                }
                (Kind::Own(roles), Part::Own(part)) => roles.say(part, action, topic, names, is_personal),
                _ => unreachable!("a profile has the parts of its own rules"),
            };
            let rule = |rule| Cause::Rule(RuleRef { layer: at, rule });
            match saying {
                Saying::Denied(found) => {
                    let cause = found.map_or(Cause::WildName { layer: at }, rule);
                    return Ruling { is_allowed: false, cause, action };
                }
                Saying::Allowed(found) => {
                    let cause = found.map_or(Cause::SubscribeGranted { layer: at }, rule);
                    allowed.get_or_insert(Ruling { is_allowed: true, cause, action });
                }
                Saying::Nothing => {}
            }
        }
        allowed.unwrap_or_else(|| self.without_rule(profile, action, topic))
    }

    fn without_rule(&self, profile: &Profile, action: Action, topic: &str) -> Ruling {
        let denied = |cause| Ruling { is_allowed: false, cause, action };
        if action == Action::Admin {
            return denied(Cause::NeedsRule);
        }
        if let Some(layer) = self.closed_by {
            return denied(Cause::NotListed { layer });
        }
        if topic == "$SYS" || topic.starts_with("$SYS/") {
            return denied(Cause::NeedsRule);
        }
        let default = &self.defaults[profile.default as usize];
        Ruling { is_allowed: default.fallback == Fallback::Allow, cause: Cause::Default, action }
    }
}

/// The filter of a shared subscription. One that is not valid is taken as it is: no rule can cover it by accident, because
/// `$share` is a level like any other then.
fn inside(filter: &str) -> &str {
    match mqtt::shared_filter(filter) {
        Ok(Some(shared)) => shared.filter,
        _ => filter,
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fallback::Allow => "allow",
            Fallback::Deny => "deny",
        })
    }
}

//! Who asks: what of the rules applies to a session, found once for it.

use core::net::IpAddr;
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Action, Ask, DefaultRule, Explanation, Layer, Limit, Limits, Permits, Place, Shadow, Verdict,
    filter::Names,
    layer::Kind,
    mosquitto,
    rules::{Rules, Ruling, Set},
    verdict::of_rule,
};

/// What is known of a client.
#[derive(Copy, Clone, Default, Debug)]
pub struct Who<'a> {
    pub client_id: &'a str,
    pub user: Option<&'a str>,
    /// Groups and roles that came with the proof of identity.
    pub groups: &'a [&'a str],
    pub roles: &'a [&'a str],
    /// The names of the client's certificate; `${cn}` is the first.
    pub certificate_names: &'a [&'a str],
    pub address: Option<IpAddr>,
    /// The listener's name.
    pub listener: &'a str,
    /// Whether the user name is proved. Without a proof it counts in a mosquitto ACL file only, as there.
    pub is_authenticated: bool,
    /// Rules that came with the proof of identity.
    pub permits: Option<&'a Arc<Permits>>,
}

/// A session's right to ask: two words, and its names only where rules have variables.
#[derive(Clone, Debug)]
pub struct Holder {
    profile: Arc<Profile>,
    names: Option<Arc<Names>>,
}

/// What holders with the same roles share.
#[derive(Debug)]
pub(crate) struct Profile {
    set: Arc<Set>,
    /// One for each layer.
    pub parts: Box<[Part]>,
    pub limits: Limits,
    /// Which of the defaults of the set.
    pub default: u32,
    checks_receive: bool,
    uses_names: bool,
    shadow: Option<Arc<Profile>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Mosquitto(mosquitto::Part),
    Own(Box<[u32]>),
}

/// The profiles of a shard's holders: each is there once.
#[derive(Debug)]
pub struct Profiles {
    rules: Rules,
    profiles: BTreeMap<Box<[u32]>, Arc<Profile>>,
    /// With how many of them those that nobody has are looked for.
    sweep_at: usize,
}

/// What tells the holders of a shard apart: those with the same get the same verdicts.
pub(crate) struct Key<'a> {
    pub profile: &'a Arc<Profile>,
    pub names: Option<&'a Arc<Names>>,
}

impl Holder {
    pub(crate) fn new(rules: &Rules, who: &Who<'_>) -> Holder {
        let shadow = rules.shadow.as_ref().map(|set| Parts::of(set, who).profile(set, None));
        Holder::of(Parts::of(&rules.set, who).profile(&rules.set, shadow), who)
    }

    fn of(profile: Arc<Profile>, who: &Who<'_>) -> Holder {
        let uses_names = who.permits.is_some()
            || profile.uses_names
            || profile.shadow.as_ref().is_some_and(|shadow| shadow.uses_names);
        let names = uses_names.then(|| {
            Arc::new(Names {
                client_id: who.client_id.into(),
                user: who.user.map(Box::from),
                certificate_name: who.certificate_names.first().map(|name| Box::from(*name)),
                permits: who.permits.cloned(),
            })
        });
        Holder { profile, names }
    }

    /// Answers one question. Costs what the topic shares with the rules.
    pub fn check(&self, ask: &Ask<'_>) -> Verdict {
        let names = self.names.as_deref();
        let mut is_personal = false;
        let ruling = self.profile.set.ask(&self.profile, ask, names, &mut is_personal);
        let other = self.profile.shadow.as_deref();
        let other = other.map(|shadow| shadow.set.ask(shadow, ask, names, &mut is_personal));
        let shadow = other.filter(|other| other.is_allowed != ruling.is_allowed);
        Verdict {
            is_allowed: ruling.is_allowed,
            cause: ruling.cause,
            action: ruling.action,
            is_personal,
            shadow: shadow.map(|Ruling { is_allowed, cause, action }| Shadow { is_allowed, cause, action }),
        }
    }

    /// Whether deliveries have to be checked. If not, every message that a granted subscription brings may be received; a
    /// subscription that other rules granted has to be checked again before this can be relied on.
    pub fn checks_receive(&self) -> bool {
        self.permits().is_some_and(|permits| permits.denies(Action::Receive))
            || self.profile.checks_receive
            || self.profile.shadow.as_ref().is_some_and(|shadow| shadow.checks_receive)
    }

    /// The verdict in words.
    pub fn explain(&self, verdict: &Verdict) -> Explanation<'_> {
        let Verdict { is_allowed, cause, action, .. } = *verdict;
        Explanation::new(&self.profile, self.permits(), Ruling { is_allowed, cause, action })
    }

    /// The other verdict in words, of the rules that are tried out.
    pub fn explain_shadow(&self, verdict: &Verdict) -> Option<Explanation<'_>> {
        let (profile, Shadow { is_allowed, cause, action }) =
            (self.profile.shadow.as_ref()?, verdict.shadow?);
        Some(Explanation::new(profile, self.permits(), Ruling { is_allowed, cause, action }))
    }

    fn permits(&self) -> Option<&Permits> {
        self.names.as_ref()?.permits.as_deref()
    }

    pub fn limits(&self) -> &Limits {
        &self.profile.limits
    }

    /// Which role it is that names the limit, and where.
    pub fn limit_place(&self, limit: Limit) -> Option<Place<'_>> {
        self.profile.limit_place(limit)
    }

    /// Whether its verdicts are those of these rules. After a change of the rules a holder goes on with those that it was made
    /// with, until it is replaced.
    pub fn is_of(&self, rules: &Rules) -> bool {
        let shadow = self.profile.shadow.as_ref().map(|shadow| &shadow.set);
        Arc::ptr_eq(&self.profile.set, &rules.set)
            && match (shadow, &rules.shadow) {
                (Some(own), Some(other)) => Arc::ptr_eq(own, other),
                (None, None) => true,
                _ => false,
            }
    }

    /// Whether both get the same verdicts, but for those that are personal.
    pub fn shares_profile(&self, other: &Holder) -> bool {
        Arc::ptr_eq(&self.profile, &other.profile)
    }

    pub(crate) fn key(&self) -> Key<'_> {
        Key { profile: &self.profile, names: self.names.as_ref() }
    }
}

impl Profile {
    pub fn layers(&self) -> &[Layer] {
        &self.set.layers
    }

    pub fn default_rule(&self) -> &DefaultRule {
        &self.set.defaults[self.default as usize]
    }

    pub fn limit_place(&self, limit: Limit) -> Option<Place<'_>> {
        let value = self.limits.of(limit)?;
        self.set.layers.iter().zip(&self.parts).find_map(|(layer, part)| match (&layer.kind, part) {
            (Kind::Own(roles), Part::Own(part)) => {
                Some(of_rule(layer, Some(roles.limit_rule(part, limit, value)?)))
            }
            _ => None,
        })
    }
}

impl Profiles {
    pub fn new(rules: &Rules) -> Profiles {
        Profiles { rules: rules.clone(), profiles: BTreeMap::new(), sweep_at: SWEEP_AT_MIN }
    }

    /// As [`Rules::holder`], with a profile that others may have, too.
    pub fn holder(&mut self, who: &Who<'_>) -> Holder {
        let shadow = self.rules.shadow.as_ref().map(|set| (set, Parts::of(set, who)));
        let parts = Parts::of(&self.rules.set, who);
        let mut key = parts.key();
        if let Some((_, parts)) = &shadow {
            key.extend(parts.key());
        }
        if let Some(profile) = self.profiles.get(key.as_slice()) {
            return Holder::of(Arc::clone(profile), who);
        }
        let profile = parts.profile(&self.rules.set, shadow.map(|(set, parts)| parts.profile(set, None)));
        if self.profiles.len() >= self.sweep_at {
            // With twice as many as are in use, a look at all of them is paid by those that came since the last one.
            self.profiles.retain(|_, profile| Arc::strong_count(profile) > 1);
            self.sweep_at = SWEEP_AT_MIN.max(2 * self.profiles.len());
        }
        self.profiles.insert(key.into(), Arc::clone(&profile));
        Holder::of(profile, who)
    }

    /// How many profiles there are: at most about twice as many as holders have.
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// What a profile is made of.
struct Parts {
    parts: Box<[Part]>,
    default: u32,
}

impl Parts {
    fn of(set: &Set, who: &Who<'_>) -> Parts {
        let part = |layer: &crate::Layer| match &layer.kind {
            Kind::Mosquitto(lists) => Part::Mosquitto(lists.part(who.client_id, who.user)),
            Kind::Own(roles) => Part::Own(roles.of(who)),
        };
        Parts { parts: set.layers.iter().map(part).collect(), default: set.default_of(who.listener) }
    }

    fn profile(self, set: &Arc<Set>, shadow: Option<Arc<Profile>>) -> Arc<Profile> {
        let Parts { parts, default } = self;
        let (mut limits, mut checks_receive, mut uses_names) = (Limits::default(), false, false);
        for (layer, part) in set.layers.iter().zip(&parts) {
            match (&layer.kind, part) {
                (Kind::Mosquitto(lists), Part::Mosquitto(part)) => {
                    checks_receive = true;
                    uses_names |= lists.uses_names(*part);
                }
                (Kind::Own(roles), Part::Own(part)) => {
                    limits = limits.or_higher(roles.limits(part));
                    checks_receive |= roles.denies(part, Action::Receive);
                    uses_names |= roles.uses_names(part);
                }
                _ => unreachable!("the parts were made of these layers"),
            }
        }
        Arc::new(Profile { set: Arc::clone(set), parts, limits, default, checks_receive, uses_names, shadow })
    }

    /// What tells it from all others of the same rules.
    fn key(&self) -> Vec<u32> {
        let mut key = vec![self.default];
        for part in &self.parts {
            match part {
                Part::Mosquitto(part) => {
                    key.extend([part.list.map_or(0, |list| list + 1), u32::from(part.is_barred)]);
                }
                Part::Own(roles) => {
                    key.push(roles.len() as u32);
                    key.extend(roles);
                }
            }
        }
        key
    }
}

const SWEEP_AT_MIN: usize = 64;

//! Roles and groups that clients bring, by a token or by what a program says of them: those that no rule knows are said once, because
//! nobody can look for them ahead.

use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock},
};

use identity::provider::kind;

use crate::vocabulary::{Kind, Vocabulary};

#[derive(Default)]
pub struct BroughtRights {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    vocabulary: Vocabulary,
    /// Since the rules were read.
    told: HashSet<(Kind, String)>,
}

impl BroughtRights {
    /// Other rules know others.
    pub fn replace(&self, vocabulary: Vocabulary) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { vocabulary, told: HashSet::new() };
    }

    /// Says in the log what no rule knows of it. Users of a database have been told of when that was read.
    pub fn look_at(&self, answer: &identity::Answer) {
        let identity::Answer::Accept { identity, .. } = answer else { return };
        if identity.kind == kind::DATABASE || identity.roles.is_empty() && identity.groups.is_empty() {
            return;
        }
        let roles = identity.roles.iter().map(|it| &**it);
        for sentence in self.untold(roles, identity.groups.iter().map(|it| &**it)) {
            let user = identity.user.as_deref();
            tracing::warn!(
                user,
                provider = identity.kind,
                "a client has come with rights that say nothing: {sentence}"
            );
        }
    }

    /// Of those that no rule knows, a sentence for each that was not told.
    fn untold<'a>(
        &self,
        roles: impl Iterator<Item = &'a str>,
        groups: impl Iterator<Item = &'a str>,
    ) -> Vec<String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut unknown = state.vocabulary.unknown(roles, groups);
        // A name of a million bytes is nobody's slip.
        unknown.retain(|(kind, name)| {
            name.len() <= NAME_BYTES_MAX && !state.told.contains(&(*kind, (*name).to_owned()))
        });
        if unknown.is_empty() || state.told.len() >= TOLD_MAX {
            return Vec::new();
        }
        drop(state);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let is_told = |(kind, name): &(Kind, &str)| {
            state.told.len() < TOLD_MAX && state.told.insert((*kind, (*name).to_owned()))
        };
        unknown.into_iter().filter(is_told).map(|(kind, name)| kind.sentence(name)).collect()
    }
}

/// Whoever signs tokens may write as many names into them as he likes.
const TOLD_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use access::{Fallback, Rules};

    use super::*;

    fn rights() -> BroughtRights {
        let layer = access::own::parse("rules", "[roles.known]\nrules = []\n").expect("good rules");
        let rights = BroughtRights::default();
        rights.replace(Vocabulary::of(&Rules::builder(Fallback::Deny).layer(layer).build()));
        rights
    }

    #[test]
    fn what_no_rule_knows_is_said_once_until_the_rules_are_read_again() {
        let rights = rights();
        let told = |roles: &[&'static str]| rights.untold(roles.iter().copied(), [].into_iter());
        let first = told(&["known", "other"]);
        assert!(first.len() == 1 && first[0].contains("the role `other`"), "{first:?}");
        assert!(told(&["known", "other"]).is_empty());
        assert_eq!(rights.untold([].into_iter(), ["other"].into_iter()).len(), 1, "a group is no role");
        rights.replace(Vocabulary::of(&Rules::builder(Fallback::Deny).build()));
        assert_eq!(told(&["known", "other"]).len(), 2);
    }

    #[test]
    fn a_flood_of_names_is_some_lines() {
        let rights = rights();
        let names: Vec<String> = (0..1000).map(|at| format!("r{at}")).collect();
        let told = names.iter().map(|name| rights.untold([name.as_str()].into_iter(), [].into_iter()).len());
        assert_eq!(told.sum::<usize>(), TOLD_MAX);
        assert!(rights.untold(["x".repeat(1000).as_str()].into_iter(), [].into_iter()).is_empty());
    }
}

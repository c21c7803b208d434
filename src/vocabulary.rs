//! The names of roles and groups that rules know, and those of users that no rule knows: a right that is misspelled gives nothing, and
//! nobody would hear of it.

use std::collections::{BTreeMap, BTreeSet};

use access::Rules;
use identity::UserRecord;

/// Of the rules that hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vocabulary {
    roles: BTreeSet<String>,
    groups: BTreeSet<String>,
    /// Nobody's rights are asked for: whatever they are called, they give no less.
    is_open: bool,
}

/// A name of one of both kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Role,
    Group,
}

impl Vocabulary {
    pub fn of(rules: &Rules) -> Vocabulary {
        let names = |of: fn(&access::Layer) -> Vec<&str>| {
            rules.layers().iter().flat_map(of).map(str::to_owned).collect()
        };
        Vocabulary {
            roles: names(access::Layer::roles),
            groups: names(access::Layer::groups),
            is_open: rules.are_open(),
        }
    }

    /// Sorted.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(String::as_str)
    }

    /// Those of both that no rule knows, each once.
    pub fn unknown<'a>(
        &self,
        roles: impl IntoIterator<Item = &'a str>,
        groups: impl IntoIterator<Item = &'a str>,
    ) -> BTreeSet<(Kind, &'a str)> {
        if self.is_open {
            return BTreeSet::new();
        }
        let of =
            |kind, names: &BTreeSet<String>, name: &'a str| (!names.contains(name)).then_some((kind, name));
        let roles = roles.into_iter().filter_map(|name| of(Kind::Role, &self.roles, name));
        let groups = groups.into_iter().filter_map(|name| of(Kind::Group, &self.groups, name));
        roles.chain(groups).collect()
    }

    /// Of one user, a sentence for each.
    pub fn warnings_of(&self, record: &UserRecord) -> Vec<String> {
        let unknown = self.unknown(record.roles.iter().map(|it| &**it), record.groups.iter().map(|it| &**it));
        unknown.into_iter().map(|(kind, name)| kind.sentence(name)).collect()
    }

    /// Of all users of a database, a sentence for each name.
    pub fn warnings<'a>(&self, users: impl Iterator<Item = (&'a str, &'a UserRecord)>) -> Vec<String> {
        let mut found: BTreeMap<(Kind, &str), (&str, usize)> = BTreeMap::new();
        for (user, record) in users {
            let roles = record.roles.iter().map(|it| &**it);
            for name in self.unknown(roles, record.groups.iter().map(|it| &**it)) {
                found.entry(name).or_insert((user, 0)).1 += 1;
            }
        }
        let more = found.len().saturating_sub(NAMES_MAX);
        let sentence = |((kind, name), (user, users)): ((Kind, &str), (&str, usize))| {
            let others = match users - 1 {
                0 => String::new(),
                others => format!(" and {}", crate::text::count(others as u64, "other user")),
            };
            format!("authentication.user_database, user `{user}`{others}: {}", kind.sentence(name))
        };
        let mut told: Vec<String> = found.into_iter().take(NAMES_MAX).map(sentence).collect();
        if more > 0 {
            told.push(format!(
                "authentication.user_database: no rule knows {more} more roles and groups of users"
            ));
        }
        told
    }
}

impl Kind {
    /// That it is unknown, and what to do.
    pub fn sentence(self, name: &str) -> String {
        let name = name.escape_debug();
        match self {
            Kind::Role => format!(
                "no rule knows the role `{name}`, and it gives nothing: access.rules_file makes a role by [roles.NAME]"
            ),
            Kind::Group => format!(
                "no rule knows the group `{name}`, and it gives nothing: access.rules_file gives a group its roles in [groups]"
            ),
        }
    }
}

/// That are told of a database.
const NAMES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use access::Fallback;
    use identity::UserTable;

    use super::*;

    fn rules(text: &str) -> Rules {
        let layer = access::own::parse("rules", text).expect("good rules");
        Rules::builder(Fallback::Deny).layer(layer).build()
    }

    fn warnings(rules_text: &str, users: &str) -> Vec<String> {
        let table = UserTable::parse("users", users.as_bytes()).expect("good users");
        Vocabulary::of(&rules(rules_text))
            .warnings(table.records.iter().map(|(user, record)| (&**user, record)))
    }

    #[test]
    fn what_no_rule_knows_is_named_with_who_has_it() {
        let text = "[groups]\nplant = \"operator\"\n[roles.operator]\nrules = []\n";
        let told = warnings(
            text,
            "{\"user\":\"anna\",\"roles\":[\"operator\",\"operater\"],\"groups\":[\"plant\"]}\n\
             {\"user\":\"bob\",\"roles\":[\"operater\"],\"groups\":[\"office\"]}\n",
        );
        assert_eq!(
            told,
            [
                "authentication.user_database, user `anna` and 1 other user: no rule knows the role `operater`, and it gives \
                 nothing: access.rules_file makes a role by [roles.NAME]",
                "authentication.user_database, user `bob`: no rule knows the group `office`, and it gives nothing: \
                 access.rules_file gives a group its roles in [groups]"
            ]
        );
        let vocabulary = Vocabulary::of(&rules(text));
        assert_eq!(vocabulary.roles().collect::<Vec<_>>(), ["operator"]);
        let record = UserRecord { roles: vec![Arc::from("operater")], ..UserRecord::default() };
        assert_eq!(vocabulary.warnings_of(&record).len(), 1);
    }

    #[test]
    fn mosquittos_rules_know_no_roles_and_where_everything_is_allowed_nothing_is_said() {
        let layer = access::mosquitto::parse("acl", "topic a\n").expect("good rules");
        let closed = Rules::builder(Fallback::Deny).layer(layer).build();
        let open = Rules::builder(Fallback::Allow).build();
        for (rules, count) in [(closed, 1), (open, 0)] {
            assert_eq!(Vocabulary::of(&rules).unknown(["a"], []).len(), count);
        }
    }

    #[test]
    fn of_a_database_with_another_vocabulary_so_many_names_are_told() {
        let line = |at: usize| format!("{{\"user\":\"u{at}\",\"roles\":[\"r{at}\"]}}\n");
        let told = warnings("", &(0..1000).map(line).collect::<String>());
        assert_eq!(told.len(), NAMES_MAX + 1);
        assert!(told[NAMES_MAX].contains("984 more roles and groups"), "{}", told[NAMES_MAX]);
    }
}

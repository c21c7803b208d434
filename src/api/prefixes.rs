//! `/v1/prefixes`: the first levels of topics, what there is beneath each, and where it becomes more.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use axum::{extract::State, http::Method, response::Response, routing::get};
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Beneath, Look, PrefixSeen, Seen};

use super::{
    answer::{self, Parameters},
    asking::{self, Trouble},
    census::{Held, Walk},
    context::Context,
    operation::{Access, Operation},
    pages,
    rows::seconds,
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/v1/prefixes",
    access: Access::Role(Role::Viewer),
    summary: "The first levels of topics with topics, retained messages and subscriptions beneath each, and how they grow",
    handler: || get(prefixes),
}];

/// By what prefixes are sorted, in the words of a question.
pub const PREFIXES_BY: [&str; 6] =
    ["topics", "grown", "retained", "retained_grown", "subscriptions", "subscriptions_grown"];

/// One of `PREFIXES_BY`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Topics,
    Grown,
    Retained,
    RetainedGrown,
    Subscriptions,
    SubscriptionsGrown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    by: By,
    limit: Option<usize>,
}

async fn prefixes(
    State(context): State<Context>,
    Parameters(Wanted { by, limit }): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let limit = pages::limit(limit)?;
    let desk = asking::desk(&context)?;
    let (now, earlier) = context.census().look(desk).await?;
    let mut merged: BTreeMap<Box<str>, Merged> = BTreeMap::new();
    for looked in asking::look_everywhere(desk, &Look::Prefixes).await? {
        let Seen::Prefixes(seen) = looked.seen else { continue };
        seen.iter().for_each(|seen| merged.entry(seen.prefix.clone()).or_default().add(seen));
    }
    merged.retain(|prefix, merged| merged.says_more(prefix) || now.held.contains_key(prefix));
    for prefix in now.held.keys() {
        merged.entry(prefix.clone()).or_default();
    }
    for (prefix, merged) in &mut merged {
        merged.now = now.beneath(prefix).unwrap_or_default();
        merged.before = earlier.as_ref().and_then(|earlier| before(prefix, &now, earlier));
    }
    let mut rows: Vec<_> = merged.iter().map(|(prefix, merged)| (merged.value(by), prefix, merged)).collect();
    rows.sort_by_key(|(value, prefix, merged)| (is_own(prefix), Reverse((*value, merged.now.sum()))));
    let rows: Vec<Value> =
        rows.into_iter().take(limit).map(|(_, prefix, merged)| merged.row(prefix)).collect();
    Ok(answer::ok(&json!({ "prefixes": rows, "is_partial": now.is_partial })))
}

/// What was kept beneath it earlier, and how long ago that was. None: one of the walks may have left it out, and nobody knows how it has
/// grown.
fn before(prefix: &str, now: &Walk, earlier: &Walk) -> Option<(Held, Duration)> {
    now.beneath(prefix)?;
    // The sum of a part of it is no sum.
    if is_sum(prefix) && (now.is_partial || earlier.is_partial) {
        return None;
    }
    Some((earlier.beneath(prefix)?, earlier.ago()))
}

/// One prefix, as far as shards have told.
#[derive(Default)]
struct Merged {
    topics: Beneath,
    earlier: Beneath,
    ago: Duration,
    now: Held,
    /// And how long ago.
    before: Option<(Held, Duration)>,
}

impl Merged {
    fn add(&mut self, seen: &PrefixSeen) {
        self.topics = self.topics.union(seen.now);
        self.earlier = self.earlier.union(seen.earlier);
        self.ago = self.ago.max(seen.earlier_ago);
    }

    /// A sum of what stands in one row is that row.
    fn says_more(&self, prefix: &str) -> bool {
        prefix == "#" || !is_sum(prefix) || self.topics.levels.at_least() > 1
    }

    /// None: nobody knows.
    fn value(&self, by: By) -> Option<i64> {
        let growth =
            |of: fn(&Held) -> u64| self.before.map(|(before, _)| whole(of(&self.now)) - whole(of(&before)));
        match by {
            By::Topics => Some(whole(self.topics.topics.estimate())),
            By::Grown => {
                let before = self.earlier.topics.estimate();
                Some(whole(self.topics.topics.estimate().saturating_sub(before)))
            }
            By::Retained => Some(whole(self.now.retained)),
            By::RetainedGrown => growth(|held| held.retained),
            By::Subscriptions => Some(whole(self.now.subscriptions)),
            By::SubscriptionsGrown => growth(|held| held.subscriptions),
        }
    }

    fn row(&self, prefix: &str) -> Value {
        let levels = self.topics.levels.at_least();
        json!({
            "prefix": prefix,
            "topics": self.value(By::Topics),
            "grown": self.value(By::Grown),
            "levels": levels,
            "levels_grown": levels.saturating_sub(self.earlier.levels.at_least()),
            "grown_in_s": seconds(self.ago),
            "retained": self.now.retained,
            "retained_grown": self.value(By::RetainedGrown),
            "subscriptions": self.now.subscriptions,
            "subscriptions_grown": self.value(By::SubscriptionsGrown),
            "kept_grown_in_s": self.before.map(|(_, ago)| seconds(ago)),
        })
    }
}

/// Of all topics, or of those with one first level.
fn is_sum(prefix: &str) -> bool {
    prefix.ends_with('#')
}

/// What the broker says of itself is no news to anybody: it stands at the end.
fn is_own(prefix: &str) -> bool {
    prefix == "$SYS" || prefix.starts_with("$SYS/")
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_understood() {
        for word in PREFIXES_BY {
            assert!(serde_json::from_value::<By>(json!(word)).is_ok(), "{word}");
        }
    }

    #[test]
    fn the_brokers_own_topics_stand_behind_all_others() {
        let mut prefixes = ["$SYS/broker", "b", "$SYSTEM", "$SYS"];
        prefixes.sort_by_key(|prefix| is_own(prefix));
        assert_eq!(prefixes, ["b", "$SYSTEM", "$SYS/broker", "$SYS"]);
    }

    fn walk(prefixes: &[(&str, Held)], is_partial: bool) -> Walk {
        Walk::of(prefixes.iter().map(|(prefix, held)| ((*prefix).into(), *held)).collect(), is_partial)
    }

    const FEW: Held = Held { retained: 2, subscriptions: 4 };

    #[test]
    fn what_is_kept_may_have_become_less() {
        let before = Held { retained: 5, subscriptions: 1 };
        let merged =
            Merged { now: FEW, before: Some((before, Duration::from_secs(600))), ..Merged::default() };
        assert_eq!(
            (merged.value(By::RetainedGrown), merged.value(By::SubscriptionsGrown)),
            (Some(-3), Some(3))
        );
        let row = merged.row("a/b");
        assert_eq!((&row["retained_grown"], &row["kept_grown_in_s"]), (&json!(-3), &json!(600.0)));
    }

    #[test]
    fn growth_that_nobody_knows_is_null_everywhere_and_stands_behind_all_that_is_known() {
        let unknown = Merged { now: FEW, ..Merged::default() };
        let row = unknown.row("a/b");
        for name in ["retained_grown", "subscriptions_grown", "kept_grown_in_s"] {
            assert_eq!(row[name], Value::Null, "{name}");
        }
        let less = Merged { before: Some((FEW, Duration::ZERO)), ..Merged::default() };
        assert!(unknown.value(By::RetainedGrown) < less.value(By::RetainedGrown));
    }

    #[test]
    fn one_that_was_not_there_has_grown_from_nothing_unless_it_may_have_been_left_out() {
        let (with, without) = (walk(&[("a", FEW)], false), walk(&[], false));
        assert_eq!(before("a", &with, &without).map(|(held, _)| held), Some(Held::default()));
        assert_eq!(before("a", &without, &with).map(|(held, _)| held), Some(FEW));
        let partial = walk(&[("b", FEW)], true);
        assert!(before("a", &with, &partial).is_none() && before("a", &partial, &with).is_none());
        assert_eq!(before("b", &partial, &partial).map(|(held, _)| held), Some(FEW));
    }
}

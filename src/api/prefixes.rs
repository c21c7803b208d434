//! `/v1/prefixes`: the first levels of topics, what there is beneath each, and where it becomes more.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use axum::{extract::State, http::Method, response::Response, routing::get};
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Distinct, Look, PrefixSeen, Seen};

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
    now.held.iter().for_each(|(prefix, held)| merged.entry(prefix.clone()).or_default().now = *held);
    if let Some(earlier) = &earlier {
        let known =
            merged.iter_mut().filter_map(|(prefix, merged)| Some((earlier.held.get(prefix)?, merged)));
        known.for_each(|(held, merged)| merged.before = *held);
    }
    let ago = earlier.as_ref().map(Walk::ago);
    let mut rows: Vec<_> = merged.iter().map(|(prefix, merged)| (merged.value(by), prefix, merged)).collect();
    rows.sort_by_key(|(value, prefix, merged)| (is_own(prefix), Reverse((*value, merged.now.sum()))));
    let rows: Vec<Value> =
        rows.into_iter().take(limit).map(|(_, prefix, merged)| merged.row(prefix, ago)).collect();
    Ok(answer::ok(&json!({ "prefixes": rows, "is_partial": now.is_partial })))
}

/// One prefix, as far as shards have told.
#[derive(Default)]
struct Merged {
    topics: Distinct,
    earlier: Distinct,
    ago: Duration,
    now: Held,
    before: Held,
}

impl Merged {
    fn add(&mut self, seen: &PrefixSeen) {
        self.topics = self.topics.union(seen.topics);
        self.earlier = self.earlier.union(seen.earlier);
        self.ago = self.ago.max(seen.earlier_ago);
    }

    fn value(&self, by: By) -> i64 {
        match by {
            By::Topics => whole(self.topics.estimate()),
            By::Grown => whole(self.topics.estimate().saturating_sub(self.earlier.estimate())),
            By::Retained => whole(self.now.retained),
            By::RetainedGrown => whole(self.now.retained) - whole(self.before.retained),
            By::Subscriptions => whole(self.now.subscriptions),
            By::SubscriptionsGrown => whole(self.now.subscriptions) - whole(self.before.subscriptions),
        }
    }

    /// `kept_ago` is when retained messages and subscriptions were counted before, if they were.
    fn row(&self, prefix: &str, kept_ago: Option<Duration>) -> Value {
        let since = |by| kept_ago.map(|_| self.value(by));
        json!({
            "prefix": prefix,
            "topics": self.value(By::Topics),
            "grown": self.value(By::Grown),
            "grown_in_s": seconds(self.ago),
            "retained": self.now.retained,
            "retained_grown": since(By::RetainedGrown),
            "subscriptions": self.now.subscriptions,
            "subscriptions_grown": since(By::SubscriptionsGrown),
            "kept_grown_in_s": kept_ago.map(seconds),
        })
    }
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

    #[test]
    fn what_is_kept_may_have_become_less() {
        let before = Held { retained: 5, subscriptions: 1 };
        let now = Held { retained: 2, subscriptions: 4 };
        let merged = Merged { now, before, ..Merged::default() };
        assert_eq!((merged.value(By::RetainedGrown), merged.value(By::SubscriptionsGrown)), (-3, 3));
        let row = merged.row("a/b", Some(Duration::from_secs(600)));
        assert_eq!((&row["retained_grown"], &row["kept_grown_in_s"]), (&json!(-3), &json!(600.0)));
        assert_eq!(merged.row("a/b", None)["retained_grown"], Value::Null, "nobody knows yet");
    }
}

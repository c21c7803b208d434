//! When a filter covers another: against all topics there are, as far as it matters.

use access::Action;

use crate::{allows, client, rules, toml};

/// Levels that no filter names behave alike: one of them is enough.
const NAMES: [&str; 5] = ["a", "b", "", "$a", "other"];

/// Every topic of up to `depth` levels.
pub fn topics(depth: usize) -> Vec<String> {
    let mut topics: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
    let mut last = topics.clone();
    for _ in 1..depth {
        last = last.iter().flat_map(|topic| NAMES.map(|name| format!("{topic}/{name}"))).collect();
        topics.extend(last.iter().cloned());
    }
    topics.retain(|topic| !topic.is_empty());
    topics
}

/// By definition: whatever the inner one matches, the outer one does.
pub fn covers(outer: &str, inner: &str, topics: &[String]) -> bool {
    topics.iter().filter(|topic| mqtt::matches(inner, topic)).all(|topic| mqtt::matches(outer, topic))
}

fn filters() -> Vec<String> {
    let mut found = Vec::new();
    let mut last = vec![String::new()];
    for depth in 0..3 {
        let mut next = Vec::new();
        for prefix in &last {
            for level in ["a", "b", "+", "#", "$a"] {
                let filter = if depth == 0 { level.to_owned() } else { format!("{prefix}/{level}") };
                if mqtt::is_topic_filter(&filter) {
                    next.push(filter);
                }
            }
        }
        last = next;
        found.extend(last.iter().cloned());
    }
    found
}

#[test]
fn a_permission_grants_exactly_the_filters_that_it_covers() {
    let (topics, filters) = (topics(4), filters());
    assert!(filters.len() > 100 && topics.len() > 400);
    for outer in &filters {
        let text = format!(
            "everyone = \"r\"\n[roles.r]\nrules = [ {{ allow = \"read\", topics = \"{outer}\" }} ]\n"
        );
        let rules = rules(toml(&text));
        for inner in &filters {
            let expected = covers(outer, inner, &topics);
            assert_eq!(
                allows(&rules, client("c"), Action::Subscribe, inner),
                expected,
                "{outer} over {inner}"
            );
        }
    }
}

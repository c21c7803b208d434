//! Arbitrary filters against arbitrary topics, one to a line: `matches` agrees with a definition by recursion.
#![no_main]

use mqtt::{is_topic_filter, is_topic_name, level_count, matches, shared_filter};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (filter, topic) = text.split_once('\n').unwrap_or((text, "a"));
    if let Ok(Some(shared)) = shared_filter(filter) {
        assert!(is_topic_filter(shared.filter) && !shared.group.is_empty());
        assert_eq!(filter, format!("$share/{}/{}", shared.group, shared.filter));
    }
    if is_topic_name(topic) {
        assert!(is_topic_filter(topic) && matches(topic, topic));
    }
    if is_topic_name(topic) && is_topic_filter(filter) {
        let filter_levels: Vec<&str> = filter.split('/').collect();
        let topic_levels: Vec<&str> = topic.split('/').collect();
        assert_eq!(level_count(topic), topic_levels.len());
        let is_hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
        let expected = !is_hidden && matches_by_recursion(&filter_levels, &topic_levels);
        assert_eq!(matches(filter, topic), expected);
    }
});

fn matches_by_recursion(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches_by_recursion(filter, topic),
        ([level, filter @ ..], [name, topic @ ..]) => level == name && matches_by_recursion(filter, topic),
        _ => false,
    }
}

//! Topic names, topic filters and which of them match, by table and against an oracle.

use mqtt::{ReasonCode, SharedFilter, is_topic_filter, is_topic_name, level_count, matches, shared_filter};
use proptest::prelude::*;

#[test]
fn names_without_wildcards_are_names() {
    for name in
        ["a", "/", "//", "a/b", "/a/", " ", "a b", "$SYS/x", "$share/g/t", "\u{FEFF}", "\u{e9}/\u{1F980}"]
    {
        assert!(is_topic_name(name), "{name:?}");
    }
    for name in ["", "+", "#", "a/+", "a/#", "a+b", "#a", "\0", "a\0b"] {
        assert!(!is_topic_name(name), "{name:?}");
    }
}

#[test]
fn wildcards_of_a_filter_occupy_whole_levels() {
    for filter in
        ["a", "#", "+", "/", "a/#", "/#", "+/+", "+/#", "/+", "+/", "a/+/b", "a//#", "$SYS/#", "a b/+"]
    {
        assert!(is_topic_filter(filter), "{filter:?}");
    }
    for filter in
        ["", "a#", "#a", "#/", "#/a", "a/#/b", "##", "a+", "+a", "a/b+/c", "++", "a/+#", "\0", "a/\0/#"]
    {
        assert!(!is_topic_filter(filter), "{filter:?}");
    }
}

#[test]
fn names_and_filters_have_at_most_65_535_bytes() {
    let longest = "a".repeat(65_535);
    assert!(is_topic_name(&longest) && is_topic_filter(&longest));
    let too_long = longest + "a";
    assert!(!is_topic_name(&too_long) && !is_topic_filter(&too_long));
}

#[test]
fn a_topic_name_has_no_wildcard_wherever_it_would_stand() {
    // All neighbours of the three characters that are refused, and both ends of what a byte of UTF-8 can be.
    let characters =
        ['\0', '\u{1}', '"', '#', '$', '*', '+', ',', '/', '\u{7f}', '\u{80}', '\u{a3}', '\u{10ffff}'];
    for len in 0..40 {
        for at in 0..=len {
            for character in characters {
                let name = format!("{}{character}{}", "x".repeat(at), "\u{ab}".repeat(len - at));
                assert_eq!(is_topic_name(&name), !['\0', '#', '+'].contains(&character), "{name:?}");
            }
        }
    }
}

#[test]
fn filters_match_as_the_specification_says() {
    for (filter, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/tennis/player1/#", "sport/tennis/player12", false),
        ("sport/#", "sport", true),
        ("#", "a/b/c", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("+", "", true),
        ("a", "A", false),
        ("a/b", "a", false),
        ("a", "a/b", false),
        ("a/", "a", false),
        ("a//b", "a//b", true),
        ("a/+/b", "a//b", true),
        ("+/b/#", "a/b", true),
        ("+/b/#", "a/c", false),
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("+/#", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/#", "$SYS", true),
        ("$SYS/+", "$SYS/x", true),
        ("/#", "/$SYS", true),
        ("/+", "/$SYS", true),
        ("$SYS/x", "$SYS/x", true),
        ("\u{e9}", "e\u{301}", false),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter:?} {topic:?}");
    }
}

#[test]
fn shared_filters_have_a_group_and_a_filter() {
    for (filter, group, rest) in [
        ("$share/g/a", "g", "a"),
        ("$share/g/#", "g", "#"),
        ("$share/g//", "g", "/"),
        ("$share/g//a", "g", "/a"),
        ("$share/ /+/$share/x", " ", "+/$share/x"),
    ] {
        assert_eq!(shared_filter(filter), Ok(Some(SharedFilter { group, filter: rest })), "{filter:?}");
    }
    for filter in ["a", "$share", "$shared/g/a", "/$share/g/a", "$SHARE/g/a", ""] {
        assert_eq!(shared_filter(filter), Ok(None), "{filter:?}");
    }
    for filter in [
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/g#/a",
        "$share/g/a#",
        "$share/\0/a",
    ] {
        let violation = shared_filter(filter).expect_err(filter);
        assert_eq!(violation.reason, ReasonCode::TopicFilterInvalid, "{filter:?}");
    }
}

#[test]
fn empty_levels_count() {
    for (topic, levels) in [("a", 1), ("/", 2), ("a/b", 2), ("/a/", 3), ("a//b", 3)] {
        assert_eq!(level_count(topic), levels, "{topic:?}");
    }
}

/// Section 4.7.1 by character: what stands on either side of each wildcard.
fn is_filter_oracle(filter: &str) -> bool {
    let characters: Vec<char> = filter.chars().collect();
    let is_separator = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_none_or(|c| *c == '/');
    !characters.is_empty()
        && characters.iter().enumerate().all(|(at, c)| match c {
            '#' => at + 1 == characters.len() && is_separator(at.checked_sub(1)),
            '+' => is_separator(at.checked_sub(1)) && is_separator(Some(at + 1)),
            _ => true,
        })
}

/// Sections 4.7.1 and 4.7.2 by level, as a recursion.
fn matches_oracle(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches_oracle(filter, topic),
        ([level, filter @ ..], [name, topic @ ..]) => level == name && matches_oracle(filter, topic),
        _ => false,
    }
}

fn levels(choices: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(prop::sample::select(choices), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn validity_agrees_with_the_oracle(filter in "[a/+#]{0,6}") {
        prop_assert_eq!(is_topic_filter(&filter), is_filter_oracle(&filter));
        prop_assert_eq!(is_topic_name(&filter), !filter.is_empty() && !filter.contains(['+', '#']));
    }

    #[test]
    fn matching_agrees_with_the_oracle(
        mut filter in levels(&["", "a", "b", "$s", "+", "+"]),
        ends_in_wildcard in any::<bool>(),
        topic in levels(&["", "a", "b", "$s"]),
    ) {
        if ends_in_wildcard {
            *filter.last_mut().expect("there is a level") = "#";
        }
        let (filter_text, topic_text) = (filter.join("/"), topic.join("/"));
        prop_assert!(is_topic_filter(&filter_text) || filter_text.is_empty());
        let is_hidden = topic[0] == "$s" && (filter[0] == "+" || filter[0] == "#");
        let expected = !is_hidden && matches_oracle(&filter, &topic);
        prop_assert_eq!(matches(&filter_text, &topic_text), expected, "{} {}", filter_text, topic_text);
    }

    #[test]
    fn a_name_is_matched_by_itself_and_by_its_levels_as_wildcards(topic in "[a-c/]{1,8}") {
        prop_assert!(matches(&topic, &topic));
        prop_assert!(matches("#", &topic));
        let every_level = vec!["+"; level_count(&topic)].join("/");
        prop_assert!(matches(&every_level, &topic));
    }
}

#[test]
fn levels_are_counted_in_topics_of_any_length() {
    for count in [0, 1, 254, 255, 256, 600] {
        assert_eq!(mqtt::level_count(&"/".repeat(count)), count + 1);
        assert_eq!(mqtt::level_count(&"a/b".repeat(count)), count + 1);
    }
}

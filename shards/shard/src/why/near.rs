//! Filters that people take for others: what would make one match a topic that it does not match.

/// What is wrong with the filter, if it is one of the usual mistakes. `filter` is without `$share/group/`,
/// `plain_topic` is `plain` of the topic. The work is that of the filter's length, however long the topic is.
pub(super) fn near_miss(filter: &str, topic: &str, plain_topic: &str) -> Option<&'static str> {
    let of_server = topic.strip_prefix('$').filter(|rest| mqtt::matches(filter, rest));
    if of_server.is_some() && filter.starts_with(['+', '#']) {
        return Some("a filter that begins with a wildcard matches no topic that begins with $");
    }
    if mqtt::matches(&plain(filter), plain_topic) {
        return Some("it would match but for upper and lower case, blanks, or a slash at an end");
    }
    if filter.strip_suffix('+').is_some_and(|start| mqtt::matches(&format!("{start}#"), topic)) {
        return Some("it would match with # in place of the + at its end, which stands for one level");
    }
    if !filter.ends_with('#') && mqtt::matches(&format!("{filter}/#"), topic) {
        return Some("it would match with /# at its end, for everything beneath");
    }
    is_one_letter_off(filter, topic).then_some("it would match but for one letter")
}

/// What is left when nothing is compared that people mistake.
pub(super) fn plain(topic: &str) -> String {
    topic.trim().trim_matches('/').to_lowercase()
}

/// One level has a letter that is wrong, missing or too many, and all others fit.
fn is_one_letter_off(filter: &str, topic: &str) -> bool {
    let (mut levels, mut wrong) = (topic.split('/'), 0);
    for wanted in filter.split('/') {
        if wanted == "#" {
            return wrong == 1;
        }
        let Some(level) = levels.next() else { return false };
        if wanted == "+" || wanted == level {
            continue;
        }
        wrong += 1;
        if wrong > 1 || !differs_by_one(wanted, level) {
            return false;
        }
    }
    wrong == 1 && levels.next().is_none()
}

fn differs_by_one(one: &str, other: &str) -> bool {
    if one.len().abs_diff(other.len()) > LETTER_BYTES_MAX {
        return false;
    }
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let (short, long) = if one.len() <= other.len() { (&one, &other) } else { (&other, &one) };
    // A level of one letter is near to each other one.
    if short.len() < 2 || long.len() - short.len() > 1 {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(one, other)| one == other).count();
    let behind = if short.len() == long.len() { same + 1 } else { same };
    short.get(behind..) == long.get(same + 1..)
}

const LETTER_BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_mistakes_are_known() {
        for (filter, topic, expected) in [
            ("house/+", "house/a/b", Some("+ at its end")),
            ("house", "house/a", Some("/# at its end")),
            ("hause/a", "house/a", Some("one letter")),
            ("huse/#", "house/a/b", Some("one letter")),
            ("housse/+", "house/a", Some("one letter")),
            ("House/a/", "house/a", Some("upper and lower case")),
            ("#", "$SYS/x", Some("begins with $")),
            ("garden/a", "house/a", None),
            ("a/b", "a/c", None),
            ("hause/aa", "house/ab", None),
            ("house/a", "house/a/b/c", Some("/# at its end")),
            ("house/+/x", "house/a/b", None),
        ] {
            let near = near_miss(filter, topic, &plain(topic));
            let fits = match expected {
                Some(expected) => near.is_some_and(|near| near.contains(expected)),
                None => near.is_none(),
            };
            assert!(fits, "{filter} {topic}: {near:?}");
        }
    }
}

//! How a filter finds its way through sorted topics: each topic either matches or tells where the next match can be at
//! the earliest. What a match is, mqtt::matches defines.
//!
//! Topics are sorted as bytes. What begins with `a/X/` stands together, from `a/X/` up to and without `a/X0`, since `0`
//! is the byte after `/`; but the topic `a/X` need not stand right before it: `a/X!` lies between.

use smallvec::SmallVec;

pub(super) struct Filter<'a> {
    levels: SmallVec<[&'a str; 16]>,
}

/// What a topic means for a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Match,
    /// Topics below the floor do not match either.
    NoMatch,
    /// Nor does any topic behind this one.
    End,
}

impl<'a> Filter<'a> {
    pub fn new(filter: &'a str) -> Filter<'a> {
        Filter { levels: filter.split('/').collect() }
    }

    /// No topic before this one matches.
    pub fn first_topic(&self) -> String {
        let is_name = |level: &&&str| !matches!(**level, "+" | "#");
        self.levels.iter().take_while(is_name).copied().collect::<Vec<_>>().join("/")
    }

    /// Topics have to come in their order. Raises `floor` if the topic shows that the next match lies farther on.
    pub fn judge(&self, topic: &str, floor: &mut String) -> Verdict {
        // [MQTT-4.7.2-1] A filter that starts with a wildcard never matches a topic that starts with `$`.
        if topic.starts_with('$') && matches!(self.levels[0], "+" | "#") {
            return raise(floor, &["%"]);
        }
        // Where the topic's level at the last `+` ends.
        let mut plus_end = None;
        let mut rest = Some(topic);
        for (at, &level) in self.levels.iter().enumerate() {
            // `#` stands for its parent level as well, which is why it matches where the topic has ended.
            if level == "#" {
                return Verdict::Match;
            }
            // Longer topics that match may stand right behind this one or far: the next topic will tell.
            let Some(from_here) = rest else { return Verdict::NoMatch };
            let start = topic.len() - from_here.len();
            let (name, behind) = split_level(from_here);
            if level == "+" {
                plus_end = Some(start + name.len());
            } else if level != name {
                let is_last = at + 1 == self.levels.len();
                return judge_name(topic, start, level, is_last, plus_end, floor);
            }
            rest = behind;
        }
        match rest {
            None => Verdict::Match,
            // Topics that go on are all too long, and the one that is not stood before them.
            Some(_) => next_for_plus(topic, plus_end, floor),
        }
    }
}

/// The level that begins at `start` is not the one that the filter names.
fn judge_name(
    topic: &str,
    start: usize,
    level: &str,
    is_last: bool,
    plus_end: Option<usize>,
    floor: &mut String,
) -> Verdict {
    let head = &topic[..start];
    let name_on = &topic[start..];
    if name_on < level {
        return raise(floor, &[head, level]);
    }
    // With `level` behind us, what begins with `level/` can still be ahead, for example behind `level!`.
    let is_before_children = match name_on.strip_prefix(level) {
        Some(behind) => behind < "/",
        None => false,
    };
    if !is_last && is_before_children {
        return raise(floor, &[head, level, "/"]);
    }
    next_for_plus(topic, plus_end, floor)
}

/// Under the name that the last `+` has here nothing matches any more: on to its next name.
fn next_for_plus(topic: &str, plus_end: Option<usize>, floor: &mut String) -> Verdict {
    match plus_end {
        Some(end) => raise(floor, &[&topic[..end], "0"]),
        None => Verdict::End,
    }
}

fn raise(floor: &mut String, parts: &[&str]) -> Verdict {
    floor.clear();
    floor.extend(parts.iter().copied());
    Verdict::NoMatch
}

fn split_level(topic: &str) -> (&str, Option<&str>) {
    match topic.split_once('/') {
        Some((level, behind)) => (level, Some(behind)),
        None => (topic, None),
    }
}

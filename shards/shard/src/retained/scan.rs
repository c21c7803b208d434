//! How a filter finds its way through sorted topics: each topic either matches or tells where the next match can be at
//! the earliest. What a match is, mqtt::matches defines.
//!
//! Topics are sorted as bytes. What begins with `a/X/` stands together, from `a/X/` up to and without `a/X0`, since `0`
//! is the byte after `/`; but the topic `a/X` need not stand right before it: `a/X!` lies between.

use smallvec::SmallVec;

pub(super) struct Filter<'a> {
    levels: SmallVec<[&'a [u8]; 16]>,
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
        Filter { levels: filter.as_bytes().split(|&byte| byte == b'/').collect() }
    }

    /// No topic before this one matches.
    pub fn first_topic(&self) -> Vec<u8> {
        let is_name = |level: &&&[u8]| !matches!(**level, b"+" | b"#");
        self.levels.iter().take_while(is_name).copied().collect::<Vec<_>>().join(&b'/')
    }

    /// Topics have to come in their order. Raises `floor` if the topic shows that the next match lies farther on.
    pub fn judge(&self, topic: &[u8], floor: &mut Vec<u8>) -> Verdict {
        // [MQTT-4.7.2-1] A filter that starts with a wildcard never matches a topic that starts with `$`.
        if topic.starts_with(b"$") && matches!(self.levels[0], b"+" | b"#") {
            return raise(floor, &[b"%"]);
        }
        // Where the topic's level at the last `+` ends.
        let mut plus_end = None;
        let mut rest = Some(topic);
        for (at, &level) in self.levels.iter().enumerate() {
            // `#` stands for its parent level as well, which is why it matches where the topic has ended.
            if level == b"#" {
                return Verdict::Match;
            }
            // Longer topics that match may stand right behind this one or far: the next topic will tell.
            let Some(from_here) = rest else { return Verdict::NoMatch };
            let start = topic.len() - from_here.len();
            let (name, behind) = split_level(from_here);
            if level == b"+" {
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
    topic: &[u8],
    start: usize,
    level: &[u8],
    is_last: bool,
    plus_end: Option<usize>,
    floor: &mut Vec<u8>,
) -> Verdict {
    let head = &topic[..start];
    let name_on = &topic[start..];
    if name_on < level {
        return raise(floor, &[head, level]);
    }
    // With `level` behind us, what begins with `level/` can still be ahead, for example behind `level!`.
    let is_before_children = match name_on.strip_prefix(level) {
        Some(behind) => behind < b"/".as_slice(),
        None => false,
    };
    if !is_last && is_before_children {
        return raise(floor, &[head, level, b"/"]);
    }
    next_for_plus(topic, plus_end, floor)
}

/// Under the name that the last `+` has here nothing matches any more: on to its next name.
fn next_for_plus(topic: &[u8], plus_end: Option<usize>, floor: &mut Vec<u8>) -> Verdict {
    match plus_end {
        Some(end) => raise(floor, &[&topic[..end], b"0"]),
        None => Verdict::End,
    }
}

fn raise(floor: &mut Vec<u8>, parts: &[&[u8]]) -> Verdict {
    floor.clear();
    parts.iter().for_each(|part| floor.extend_from_slice(part));
    Verdict::NoMatch
}

fn split_level(topic: &[u8]) -> (&[u8], Option<&[u8]>) {
    match slash(topic) {
        Some(end) => (&topic[..end], Some(&topic[end + 1..])),
        None => (topic, None),
    }
}

/// A level is short as a rule; what is long is looked through in large steps.
fn slash(topic: &[u8]) -> Option<usize> {
    let is_slash = |byte: &u8| *byte == b'/';
    let (near, far) = topic.split_at(topic.len().min(NEAR));
    near.iter().position(is_slash).or_else(|| {
        let (at, chunk) = far.chunks(NEAR).enumerate().find(|(_, chunk)| chunk.contains(&b'/'))?;
        chunk.iter().position(is_slash).map(|within| NEAR * (at + 1) + within)
    })
}

const NEAR: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_is_found_wherever_it_is() {
        for len in [0, 1, NEAR - 1, NEAR, NEAR + 1, 3 * NEAR, 3 * NEAR + 5] {
            let topic = vec![b'x'; len];
            assert_eq!(slash(&topic), None);
            for at in 0..len {
                let mut topic = topic.clone();
                topic[at..].iter_mut().step_by(3).for_each(|byte| *byte = b'/');
                assert_eq!(slash(&topic), Some(at));
            }
        }
    }
}

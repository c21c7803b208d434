//! A topic cut into levels once, for all the nodes that a walk comes to.

/// The levels of a topic or of a filter.
pub struct Levels<'t> {
    pub topic: &'t str,
    /// The first of them. What is behind is cut when a rule is as deep, so that a topic of many levels costs no more than others.
    cut: [Level; CUT],
}

/// One level: where it is in the topic.
#[derive(Copy, Clone, Default)]
pub struct Level {
    pub hash: u64,
    pub start: usize,
    end: usize,
    /// Its number.
    at: usize,
}

impl<'t> Levels<'t> {
    pub fn of(topic: &'t str) -> Levels<'t> {
        let mut levels = Levels { topic, cut: [Level::default(); CUT] };
        let mut start = 0;
        for at in 0..CUT {
            let level = level(topic, start, at);
            levels.cut[at] = level;
            start = level.end + 1;
            if start > topic.len() {
                break;
            }
        }
        levels
    }

    pub fn first(&self) -> Level {
        self.cut[0]
    }

    pub fn after(&self, level: &Level) -> Option<Level> {
        let (start, at) = (level.end + 1, level.at + 1);
        if start > self.topic.len() {
            return None;
        }
        Some(if at < CUT { self.cut[at] } else { self::level(self.topic, start, at) })
    }

    /// The level that begins at `start`, one or several behind `level`.
    pub fn at(&self, start: usize, level: &Level) -> Level {
        match self.after(level) {
            Some(next) if next.start == start => next,
            // Which number it has is not worth counting: beyond the last of those that are cut.
            _ => self::level(self.topic, start, CUT),
        }
    }

    pub fn text(&self, level: &Level) -> &'t str {
        &self.topic[level.start..level.end]
    }
}

fn level(topic: &str, start: usize, at: usize) -> Level {
    let rest = &topic[start..];
    let len = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
    Level { hash: hash(&rest[..len]), start, end: start + len, at }
}

// A number that differs, so that names which begin alike are told apart by one comparison. Whoever finds a level with the hash of
// another gains nothing: the text is compared as well, and no table grows by what clients send.
pub fn hash(level: &str) -> u64 {
    let (words, rest) = level.as_bytes().as_chunks::<8>();
    let last = rest.iter().fold(level.len() as u64, |last, byte| last << 8 | u64::from(*byte));
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(MULTIPLIER).rotate_left(29);
    words.iter().fold(mix(0, last), |sum, word| mix(sum, u64::from_le_bytes(*word)))
}

const CUT: usize = 10;
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

//! What the benches are fed with: filters, topics and payloads that are the same in every run. Measures nothing.

use std::fmt::Write;

/// Something to do so many times, by its name.
pub struct Operation {
    name: String,
    /// How often tells what one costs.
    rounds: usize,
    run: Box<dyn Fn(usize)>,
}

impl Operation {
    pub fn new(name: impl Into<String>, rounds: usize, run: impl Fn(usize) + 'static) -> Operation {
        Operation { name: name.into(), rounds, run: Box::new(run) }
    }
}

/// With `--rounds NAME COUNT` does it and says true: no clock is read and the work is the same in each run, for a tool that
/// counts instructions. Two counts differ by what their rounds cost. `--rounds` alone lists what there is.
pub fn is_counting(operations: &[Operation]) -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--rounds"] => {
            operations.iter().for_each(|operation| println!("{} {}", operation.name, operation.rounds))
        }
        ["--rounds", name, count] => {
            let operation = operations.iter().find(|known| known.name == name).expect("a name of the list");
            (operation.run)(count.parse().expect("a number of rounds"));
        }
        _ => return false,
    }
    true
}

/// A random number generator (splitmix64) that is as good as its seed is fixed.
pub struct Random(pub u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }
}

/// Topics of five levels out of a space twice as large as the number of subscriptions, so that about a third of the
/// random topics have a subscription of their own and some more a few with wildcards.
pub struct Topics {
    random: Random,
    names: u64,
}

impl Topics {
    pub fn new(subscriptions: usize) -> Topics {
        let names = (2.0 * subscriptions as f64).powf(1.0 / LEVELS.len() as f64).ceil() as u64;
        Topics { random: Random(7), names }
    }

    pub fn topic(&mut self) -> String {
        let mut topic = String::new();
        for (at, level) in LEVELS.iter().enumerate() {
            let separator = if at > 0 { "/" } else { "" };
            let name = self.random.below(self.names);
            write!(topic, "{separator}{level}{name}").expect("strings take everything");
        }
        topic
    }

    /// One filter in ten has a wildcard: half of those a single `+`, a quarter two, a quarter a `#` instead of the end.
    pub fn filter(&mut self) -> String {
        let topic = self.topic();
        if self.random.below(10) != 0 {
            return topic;
        }
        let mut levels: Vec<&str> = topic.split('/').collect();
        let kind = self.random.below(4);
        if kind == 0 {
            levels.truncate(3 + self.random.below(2) as usize);
            levels.push("#");
        } else {
            for _ in 0..if kind == 1 { 2 } else { 1 } {
                let at = self.random.below(levels.len() as u64) as usize;
                levels[at] = "+";
            }
        }
        levels.join("/")
    }
}

/// The topics of a store in which `a/+/b/#` has a hundred matches, all the rest its neighbours: under the same `a/+/`, and
/// under other names than `a`.
pub fn retained_topics(count: usize) -> impl Iterator<Item = String> {
    let wanted = (0..RETAINED_MATCHES).map(|x| format!("a/{x}/b/state"));
    let near = (0..count / 2).map(|n| format!("a/{}/c{}/state", n % RETAINED_MATCHES, n / RETAINED_MATCHES));
    let far = (0..).map(|n| format!("site{}/{}/b/state", n % 1000, n / 1000));
    wanted.chain(near).chain(far).take(count)
}

/// How many of `retained_topics` match `RETAINED_FILTER`.
pub const RETAINED_MATCHES: usize = 100;
pub const RETAINED_FILTER: &str = "a/+/b/#";

const LEVELS: [&str; 5] = ["site", "line", "cell", "unit", "data"];

//! How and when the whole broker ends at once. What is left on its disks is decided in `disk/medium.rs`, what a crash
//! changes for the judgement in `ledger/crash.rs`.

use std::fmt::{self, Display, Formatter};

use crate::random::Random;

/// How everything ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: what the machine has in its cache stays.
    Kill,
    /// The power fails: what is not on the medium is gone.
    Power,
}

/// What becomes of blocks that nobody has waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    Nothing,
    Everything,
    /// Any of them, in whatever order.
    Any,
}

/// When the broker crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    ByChance,
    Never,
    /// When so many points have passed at which a disk did something.
    At(Point),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub number: u64,
    pub crash: Crash,
    pub landing: Landing,
}

impl Point {
    /// All that can happen at the points up to this number.
    pub fn up_to(last: u64) -> impl Iterator<Item = Point> {
        let kinds = Crash::ALL.into_iter().flat_map(|crash| Landing::ALL.map(|landing| (crash, landing)));
        (1..=last).flat_map(move |number| {
            kinds.clone().map(move |(crash, landing)| Point { number, crash, landing })
        })
    }

    /// As it is written in a command.
    pub fn of(text: &str) -> Option<Point> {
        let mut parts = text.split(',');
        let number = parts.next()?.parse().ok()?;
        let (crash, landing) = (parts.next()?, parts.next()?);
        Some(Point {
            number,
            crash: Crash::ALL.into_iter().find(|one| one.name() == crash)?,
            landing: Landing::ALL.into_iter().find(|one| one.name() == landing)?,
        })
    }
}

impl Display for Point {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.number, self.crash.name(), self.landing.name())
    }
}

impl Crash {
    const ALL: [Crash; 2] = [Crash::Kill, Crash::Power];

    pub(crate) fn draw(random: &mut Random) -> Crash {
        *random.pick(&Crash::ALL)
    }

    fn name(self) -> &'static str {
        match self {
            Crash::Kill => "kill",
            Crash::Power => "power",
        }
    }
}

impl Landing {
    const ALL: [Landing; 3] = [Landing::Nothing, Landing::Everything, Landing::Any];

    fn name(self) -> &'static str {
        match self {
            Landing::Nothing => "nothing",
            Landing::Everything => "everything",
            Landing::Any => "any",
        }
    }

    /// In percent.
    pub(crate) fn chance(self, random: &mut Random) -> u64 {
        match self {
            Landing::Nothing => 0,
            Landing::Everything => 100,
            Landing::Any => *random.pick(&[0, 20, 50, 80, 95, 100]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_as_it_is_written() {
        for point in Point::up_to(3) {
            assert_eq!(Point::of(&point.to_string()), Some(point));
        }
        assert_eq!(Point::up_to(3).count(), 18);
        assert_eq!(Point::of("3,power"), None);
    }
}

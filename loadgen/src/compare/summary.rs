//! Medians, spreads and ratios: what the repetitions of a run are together.

use serde::Serialize;

use super::curve::{self, Curve};
use super::result::{Comparison, Failure, Outcome, RunFacts};
use crate::ledger::Faults;
use crate::report::{Better, Report};

/// One run of all brokers. Vectors are in the order of the brokers.
#[derive(Debug, Clone, Serialize)]
pub struct Block {
    pub run: String,
    /// Whom the others are compared with: the first relay, or the first broker where no relay has figures.
    pub reference: Option<usize>,
    pub standings: Vec<Standing>,
    pub figures: Vec<Row>,
    pub latencies: Vec<Option<Curve>>,
}

/// What became of one broker's repetitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// By rule it was not asked.
    pub is_left_out: bool,
    /// Repetitions in order: only these count.
    pub sound: u32,
    pub of: u32,
    /// The sum over the repetitions that had some.
    pub faults: Faults,
    pub failures: Vec<Failure>,
}

/// One figure of all brokers.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub key: String,
    pub label: String,
    pub unit: String,
    pub better: Better,
    pub spreads: Vec<Option<Spread>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of an even number of values the median is the mean of the two in the middle.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Spread { median, min, max })
    }
}

impl Block {
    pub fn row(&self, key: &str) -> Option<&Row> {
        self.figures.iter().find(|row| row.key == key)
    }

    /// The figure that all is about: CPU time, and memory where a run is about that.
    pub fn key_row(&self) -> Option<&Row> {
        [CPU_KEY, "bytes_per_connection"].iter().find_map(|key| self.row(key))
    }

    /// How many times the reference's median a broker's is.
    pub fn ratio(&self, row: &Row, broker: usize) -> Option<f64> {
        let reference = row.spreads[self.reference?]?.median;
        let own = row.spreads[broker]?.median;
        (reference > 0.0 && own >= 0.0).then(|| own / reference)
    }

    /// The figures worth a column and a plot: those that have a better and a worse, without the points of the latency that stand
    /// between the median and the tail, and without what is zero for everybody.
    pub fn judged(&self) -> impl Iterator<Item = &Row> {
        self.figures.iter().filter(|row| {
            let is_inner =
                ["latency_p90_us", "latency_p999_us", "latency_max_us"].contains(&row.key.as_str());
            let is_something = row.spreads.iter().flatten().any(|spread| spread.max != 0.0);
            row.better != Better::Neither && !is_inner && is_something
        })
    }
}

impl Standing {
    pub fn is_whole(&self) -> bool {
        self.sound == self.of
    }

    /// What was wrong, in one line; empty where nothing was.
    pub fn told(&self) -> String {
        if self.is_whole() {
            return String::new();
        }
        let mut parts = Vec::new();
        let Faults { lost, duplicated, reordered } = self.faults;
        for (count, what) in [(lost, "lost"), (duplicated, "duplicated"), (reordered, "reordered")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if let Some(failure) = self.failures.first() {
            let more = self.failures.len() - 1;
            let others = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            parts.push(format!("{}{others}", failure.what));
        }
        format!("{} of {} repetitions do not count: {}", self.of - self.sound, self.of, parts.join(", "))
    }
}

pub fn blocks(comparison: &Comparison) -> Vec<Block> {
    comparison.runs.iter().map(|run| block(comparison, run)).collect()
}

fn block(comparison: &Comparison, run: &RunFacts) -> Block {
    let outcomes = |broker: &str| {
        let broker = broker.to_owned();
        let turns = comparison.turns.iter().filter(move |turn| turn.run == run.name && turn.broker == broker);
        turns.map(|turn| &turn.outcome)
    };
    let mut standings = Vec::new();
    let mut sound: Vec<Vec<&Report>> = Vec::new();
    for broker in &comparison.brokers {
        let is_left_out = broker.is_null && !run.suits_null || run.has_restart && !broker.keeps_data;
        let (standing, reports) = standing(is_left_out, outcomes(&broker.name));
        standings.push(standing);
        sound.push(reports);
    }
    let is_null = |at: &usize| comparison.brokers[*at].is_null;
    let with_figures = (0..sound.len()).filter(|at| !sound[*at].is_empty());
    let reference = with_figures.clone().find(is_null).or_else(|| with_figures.clone().next());
    let latencies = sound.iter().map(|reports| curve::middle(reports)).collect();
    Block { run: run.name.clone(), reference, standings, figures: rows(&sound), latencies }
}

fn standing<'a>(
    is_left_out: bool,
    outcomes: impl Iterator<Item = &'a Outcome>,
) -> (Standing, Vec<&'a Report>) {
    let mut standing = Standing { is_left_out, ..Standing::default() };
    let mut sound = Vec::new();
    for outcome in outcomes {
        standing.of += 1;
        match outcome {
            Outcome::Report(report) if report.faults.any() => standing.faults += report.faults,
            Outcome::Report(report) => sound.push(report),
            Outcome::Failure(failure) => standing.failures.push(failure.clone()),
        }
    }
    standing.sound = sound.len() as u32;
    (standing, sound)
}

/// Figures in the order of the first report that has them.
fn rows(sound: &[Vec<&Report>]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for figure in sound.iter().flatten().flat_map(|report| &report.figures) {
        if rows.iter().any(|row| row.key == figure.key) {
            continue;
        }
        let value = |report: &&Report| report.figures.iter().find(|f| f.key == figure.key).map(|f| f.value);
        let spread =
            |reports: &Vec<&Report>| Spread::of(&reports.iter().filter_map(value).collect::<Vec<f64>>());
        rows.push(Row {
            key: figure.key.clone(),
            label: figure.label.clone(),
            unit: figure.unit.clone(),
            better: figure.better,
            spreads: sound.iter().map(spread).collect(),
        });
    }
    rows
}

/// The figure that survives a busy machine best.
pub const CPU_KEY: &str = "broker_cpu_us";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::sample::{comparison, report};
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values).map(|spread| spread.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0]).unwrap(), Spread { median: 2.0, min: 1.0, max: 4.0 });
    }

    #[test]
    fn ratios_are_to_the_first_relay_and_else_to_the_first_broker() {
        let blocks = comparison().summary;
        let cpu = blocks[0].row("broker_cpu_us").unwrap();
        assert_eq!(blocks[0].reference, Some(0));
        assert_eq!(blocks[0].ratio(cpu, 1), Some(2.0));
        assert_eq!(blocks[0].ratio(cpu, 0), Some(1.0));
        assert_eq!(blocks[1].reference, Some(1), "the relay is left out");
        assert!(blocks[1].standings[0].is_left_out && blocks[1].standings[0].of == 0);
        assert_eq!(blocks[1].ratio(blocks[1].row("broker_cpu_us").unwrap(), 0), None);
    }

    #[test]
    fn faulty_repetitions_are_counted_and_do_not_count() {
        let mut comparison = comparison();
        let turn = comparison.turns.iter_mut().find(|turn| turn.broker == "one").unwrap();
        let mut faulty = report(1000.0, 1.0);
        faulty.faults.lost = 7;
        turn.outcome = Outcome::Report(faulty);
        comparison.summarise();
        let block = &comparison.summary[0];
        assert_eq!((block.standings[1].sound, block.standings[1].of), (2, 3));
        assert!(block.row("broker_cpu_us").unwrap().spreads[1].unwrap().max < 1000.0);
        let told = block.standings[1].told();
        assert_eq!(told, "1 of 3 repetitions do not count: 7 lost");
        assert_eq!(block.standings[0].told(), "");
    }

    #[test]
    fn a_broker_without_any_figure_is_told_with_its_last_words() {
        let block = &comparison().summary[0];
        let dead = &block.standings[2];
        assert_eq!((dead.sound, dead.of), (0, 3));
        assert!(dead.told().contains("the broker ended"), "{}", dead.told());
        assert!(dead.told().contains("(and 2 more)"), "{}", dead.told());
        assert_eq!(block.row("broker_cpu_us").unwrap().spreads[2], None);
    }

    #[test]
    fn only_what_has_a_better_and_a_worse_is_judged() {
        let comparison = comparison();
        let keys: Vec<&str> = comparison.summary[0].judged().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["deliveries_per_s", "broker_cpu_us", "latency_p50_us", "latency_p99_us"]);
    }
}

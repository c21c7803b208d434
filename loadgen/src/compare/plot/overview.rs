//! All runs in one picture: the CPU time that a delivery costs each broker, on a logarithmic axis.

use super::scale::Scale;
use super::{Anchor, Plot, Title, WIDTH, classes, shortened};
use crate::compare::number;
use crate::compare::result::Comparison;
use crate::compare::summary::{Block, CPU_KEY, Row};

/// `None` where no run has it.
pub fn plot(comparison: &Comparison, title: Title) -> Option<Plot> {
    let rows: Vec<(&Block, &Row)> =
        comparison.summary.iter().filter_map(|block| Some((block, block.row(CPU_KEY)?))).collect();
    let spreads = || rows.iter().flat_map(|(_, row)| row.spreads.iter().flatten());
    let low = spreads().map(|spread| spread.min).reduce(f64::min)?;
    let high = spreads().map(|spread| spread.max).reduce(f64::max)?;
    let classes = classes(comparison);
    let names: Vec<String> =
        comparison.brokers.iter().map(|broker| shortened(&broker.name, NAME_CHARS)).collect();
    let legend = places(&names);
    let top = legend.last().map_or(0.0, |(_, y)| y + LEGEND_ROW + LEGEND_GAP);
    let height = top + ROW * rows.len() as f64 + BOTTOM;
    let mut plot = Plot::new(height, title);
    for (at, (x, y)) in legend.into_iter().enumerate() {
        dot(&mut plot, comparison, at, x + 6.0, y + 8.0);
        plot.text("small", x + LEGEND_TEXT, y + 12.0, Anchor::Start, &names[at]);
    }
    let scale = Scale::log(low, high, SIDE, WIDTH - SIDE);
    let base = height - BOTTOM;
    for tick in scale.ticks() {
        let x = scale.at(tick);
        plot.line("grid", [x, top, x, base]);
        plot.text("small number", x, base + 16.0, Anchor::Middle, &number::short(tick));
    }
    plot.text("small", SIDE, base + 32.0, Anchor::Start, "us, logarithmic; further left is better");
    for (line, (block, row)) in rows.into_iter().enumerate() {
        let y = top + ROW * line as f64;
        plot.text("small strong", SIDE - 8.0, y + 14.0, Anchor::Start, &shortened(&block.run, RUN_CHARS));
        let y = y + TRACK;
        plot.line("grid", [SIDE - 8.0, y, WIDTH - SIDE + 8.0, y]);
        let brokers = || row.spreads.iter().enumerate().filter_map(|(at, spread)| Some((at, (*spread)?)));
        for (at, spread) in brokers() {
            plot.line(&format!("reach {}", classes[at]), [scale.at(spread.min), y, scale.at(spread.max), y]);
        }
        for (at, spread) in brokers() {
            dot(&mut plot, comparison, at, scale.at(spread.median), y);
        }
    }
    Some(plot)
}

/// A relay is a ring, a broker a disc.
fn dot(plot: &mut Plot, comparison: &Comparison, broker: usize, x: f64, y: f64) {
    let kind = if comparison.brokers[broker].is_null { "ring" } else { "dot" };
    plot.circle(&format!("{kind} {}", classes(comparison)[broker]), x, y, DOT);
}

/// Where the names of the legend go: in rows, as many as fit.
fn places(names: &[String]) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (SIDE - 8.0, 0.0);
    let mut places = Vec::new();
    for name in names {
        let width = LEGEND_TEXT + CHAR * name.chars().count() as f64;
        if x + width > WIDTH && x > SIDE {
            (x, y) = (SIDE - 8.0, y + LEGEND_ROW);
        }
        places.push((x, y));
        x += width + LEGEND_GAP;
    }
    places
}

const SIDE: f64 = 16.0;
const ROW: f64 = 44.0;
const TRACK: f64 = 28.0;
const BOTTOM: f64 = 40.0;
const DOT: f64 = 5.5;
/// On average, of small letters.
const CHAR: f64 = 6.2;
const LEGEND_TEXT: f64 = 16.0;
const LEGEND_ROW: f64 = 22.0;
const LEGEND_GAP: f64 = 8.0;
const NAME_CHARS: usize = 24;
const RUN_CHARS: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{markup::well_formed, sample};

    fn title() -> Title {
        Title { run: String::new(), what: "What <it> is".to_owned() }
    }

    #[test]
    fn every_median_is_a_dot_and_every_broker_in_the_legend() {
        let comparison = sample::named(["null", "<a&b>", "dead"]);
        let text = plot(&comparison, title()).expect("figures").file();
        well_formed::check(&text);
        let (legend, medians) = (3, 2 + 1);
        let count = |class: &str| text.matches(&format!("class=\"{class} ")).count();
        assert_eq!((count("ring"), count("dot")), (2, legend + medians - 2));
    }

    #[test]
    fn a_legend_that_is_too_long_takes_another_row() {
        let places = places(&vec!["a name of a broker".to_owned(); 6]);
        assert!(places.iter().all(|(x, _)| *x < WIDTH - 100.0), "{places:?}");
        assert!(places.last().is_some_and(|(_, y)| *y > 0.0));
    }
}

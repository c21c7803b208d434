//! Latency by percentile: both axes logarithmic, so that the tail is as wide as the rest.

use super::scale::Scale;
use super::{Anchor, Plot, Title, WIDTH, classes, shortened};
use crate::compare::curve::{Curve, Point};
use crate::compare::number;
use crate::compare::result::Comparison;
use crate::compare::summary::Block;

/// `None` where no broker has latencies.
pub fn plot(comparison: &Comparison, block: &Block, title: Title) -> Option<Plot> {
    let curves: Vec<(usize, &Curve)> =
        block.latencies.iter().enumerate().filter_map(|(at, curve)| Some((at, curve.as_ref()?))).collect();
    let points = || curves.iter().flat_map(|(_, Curve(points))| points);
    let halvings_max = points().map(halvings).reduce(f64::max)?;
    let low = points().map(|point| point.us.min).reduce(f64::min)?;
    let high = points().map(|point| point.us.max).reduce(f64::max)?;
    let mut plot = Plot::new(HEIGHT, title);
    let base = HEIGHT - BOTTOM;
    let y = Scale::log(low, high, base, TOP);
    let x = |point: &Point| LEFT + halvings(point) / halvings_max * (WIDTH - RIGHT - LEFT);
    for tick in y.ticks() {
        plot.line("grid", [LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)]);
        plot.text("small number", LEFT - 6.0, y.at(tick) + 4.0, Anchor::End, &microseconds(tick));
    }
    for (percent, name) in PERCENTILES {
        let at = halvings_of(percent / 100.0) / halvings_max;
        if at <= 1.0 {
            let x = LEFT + at * (WIDTH - RIGHT - LEFT);
            plot.line("grid", [x, TOP, x, base]);
            plot.text("small number", x, base + 16.0, Anchor::Middle, name);
        }
    }
    plot.text("small", LEFT, base + 32.0, Anchor::Start, "percentile of messages; lower is better");
    plot.line("axis", [LEFT, base, WIDTH - RIGHT, base]);
    let classes = classes(comparison);
    for (at, Curve(points)) in &curves {
        let upper = points.iter().map(|point| (x(point), y.at(point.us.max)));
        let lower = points.iter().rev().map(|point| (x(point), y.at(point.us.min)));
        plot.path(&format!("band {}", classes[*at]), &upper.chain(lower).collect::<Vec<_>>(), true);
    }
    let mut ends = Vec::new();
    for (at, Curve(points)) in &curves {
        let places: Vec<(f64, f64)> = points.iter().map(|point| (x(point), y.at(point.us.median))).collect();
        plot.path(&format!("curve {}", classes[*at]), &places, false);
        ends.extend(places.last().map(|(_, y)| (*at, *y)));
    }
    for (at, y) in apart(ends) {
        let left = WIDTH - RIGHT + 6.0;
        plot.path(&format!("curve {}", classes[at]), &[(left, y), (left + 14.0, y)], false);
        let name = shortened(&comparison.brokers[at].name, NAME_CHARS);
        plot.text("small", left + 19.0, y + 4.0, Anchor::Start, &name);
    }
    Some(plot)
}

/// Labels in the order of their curves' ends, none on top of another.
fn apart(mut ends: Vec<(usize, f64)>) -> Vec<(usize, f64)> {
    ends.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut above = TOP - LABEL;
    for (_, y) in &mut ends {
        *y = y.max(above + LABEL);
        above = *y;
    }
    let mut below = HEIGHT - BOTTOM + LABEL;
    for (_, y) in ends.iter_mut().rev() {
        *y = y.min(below - LABEL);
        below = *y;
    }
    ends
}

fn halvings(point: &Point) -> f64 {
    halvings_of(point.fraction)
}

/// How often what is left above was halved: 50 % once, 75 % twice.
fn halvings_of(fraction: f64) -> f64 {
    -(1.0 - fraction).log2()
}

fn microseconds(us: f64) -> String {
    let (value, unit) = match us {
        us if us >= 1e6 => (us / 1e6, "s"),
        us if us >= 1e3 => (us / 1e3, "ms"),
        us => (us, "us"),
    };
    format!("{} {unit}", number::short(value))
}

const PERCENTILES: [(f64, &str); 5] =
    [(50.0, "50"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"), (99.99, "99.99")];
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 104.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;
const LABEL: f64 = 15.0;
const NAME_CHARS: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{markup::well_formed, sample};

    fn title() -> Title {
        Title { run: String::new(), what: "What <it> is".to_owned() }
    }

    #[test]
    fn every_broker_with_latencies_has_a_curve_and_a_label() {
        let comparison = sample::named(["null", "<a&b>", "dead"]);
        let plot = plot(&comparison, &comparison.summary[0], title()).expect("curves");
        let text = plot.file();
        well_formed::check(&text);
        assert_eq!(text.matches("class=\"curve").count(), 4, "a curve and a label each");
        assert!(text.contains("&lt;a&amp;b&gt;") && !text.contains("dead"));
        assert!(text.contains(">99</text>") && text.contains(" us</text>"));
    }

    #[test]
    fn labels_keep_their_distance_within_the_picture() {
        let placed = apart(vec![(0, 200.0), (1, 201.0), (2, 202.0), (3, 219.0), (4, 10.0)]);
        assert!(placed.windows(2).all(|pair| pair[1].1 - pair[0].1 >= LABEL - 1e-9), "{placed:?}");
        assert!(placed.iter().all(|(_, y)| (TOP..=HEIGHT - BOTTOM).contains(y)), "{placed:?}");
    }

    #[test]
    fn without_latencies_there_is_no_plot() {
        let mut comparison = sample::comparison();
        comparison.summary[0].latencies = vec![None; 3];
        assert!(plot(&comparison, &comparison.summary[0], title()).is_none());
    }
}

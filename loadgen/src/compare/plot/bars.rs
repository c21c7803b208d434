//! One figure of all brokers as bars from zero, with whiskers from the lowest to the highest repetition.

use super::scale::Scale;
use super::{Anchor, Plot, Title, WIDTH, classes, shortened};
use crate::compare::number;
use crate::compare::result::Comparison;
use crate::compare::summary::{Block, Row};
use crate::report::Better;

pub fn plot(comparison: &Comparison, block: &Block, row: &Row, title: Title) -> Plot {
    let shown: Vec<usize> = (0..comparison.brokers.len()).filter(|at| row.spreads[*at].is_some()).collect();
    let height = TOP + ROW * shown.len() as f64 + BOTTOM;
    let mut plot = Plot::new(height, title);
    let max = row.spreads.iter().flatten().map(|spread| spread.max).fold(0.0, f64::max);
    let (size, unit) = axis_unit(max, &row.unit);
    let scale = Scale::linear(max / size, LEFT, WIDTH - RIGHT);
    let base = height - BOTTOM;
    for tick in scale.ticks() {
        let x = scale.at(tick);
        plot.line("grid", [x, TOP, x, base]);
        plot.text("small number", x, base + 16.0, Anchor::Middle, &number::short(tick));
    }
    plot.text("small", LEFT, base + 32.0, Anchor::Start, &hint(row.better, unit));
    let classes = classes(comparison);
    for (line, at) in shown.into_iter().enumerate() {
        let Some(spread) = row.spreads[at] else { continue };
        let y = TOP + ROW * (line as f64 + 0.5);
        let name = shortened(&comparison.brokers[at].name, NAME_CHARS);
        plot.text("", LEFT - 8.0, y + 4.5, Anchor::End, &name);
        let end = scale.at(spread.median.max(0.0) / size);
        plot.rect(&format!("fill {}", classes[at]), [LEFT, y - BAR / 2.0, (end - LEFT).max(1.0), BAR], 2.0);
        let (low, high) = (scale.at(spread.min / size), scale.at(spread.max / size));
        if high - low >= 1.0 {
            plot.line("whisker", [low, y, high, y]);
            for x in [low, high] {
                plot.line("whisker", [x, y - CAP, x, y + CAP]);
            }
        }
        let ratio = block.ratio(row, at).map(|ratio| format!(" ({})", number::ratio(ratio)));
        let value = format!("{}{}", number::with_unit(spread.median, &row.unit), ratio.unwrap_or_default());
        plot.text("small number", end.max(high) + 6.0, y + 4.0, Anchor::Start, &value);
    }
    plot.line("axis", [LEFT, TOP, LEFT, base]);
    plot
}

/// What the axis counts in, so that its ticks are round, and how it is called.
fn axis_unit(max: f64, unit: &str) -> (f64, &str) {
    let steps: &[(f64, &str)] = match unit {
        "bytes" => &[(1024.0 * 1024.0, "MiB"), (1024.0, "KiB"), (1.0, "bytes")],
        "us" => &[(1000.0, "ms"), (1.0, "us")],
        "" => &[(1e6, "millions"), (1e3, "thousands"), (1.0, "")],
        unit => return (1.0, unit),
    };
    // A unit of which there is less than two makes for long ticks.
    steps.iter().copied().find(|(size, _)| max >= 2.0 * size).unwrap_or(steps[steps.len() - 1])
}

fn hint(better: Better, unit: &str) -> String {
    let better = match better {
        Better::Lower => "shorter is better",
        Better::Higher => "longer is better",
        Better::Neither => "",
    };
    if unit.is_empty() { better.to_owned() } else { format!("{unit}; {better}") }
}

const LEFT: f64 = 104.0;
/// Room for the longest value and its ratio behind the longest bar.
const RIGHT: f64 = 104.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 38.0;
const ROW: f64 = 30.0;
const BAR: f64 = 17.0;
const CAP: f64 = 4.0;
const NAME_CHARS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{markup::well_formed, sample};

    #[test]
    fn every_broker_with_figures_has_a_bar_with_its_value() {
        let comparison = sample::named(["null", "<a & \"b\">", "dead"]);
        let block = &comparison.summary[0];
        let row = block.row("broker_cpu_us").expect("a row");
        let plot =
            plot(&comparison, block, row, Title { run: "<p2p>".to_owned(), what: "CPU & time".to_owned() });
        for text in [plot.inline(), plot.file()] {
            well_formed::check(&text);
            assert_eq!(text.matches("class=\"fill").count(), 2, "{text}");
            assert!(
                text.contains("&lt;a &amp; &quot;b&quot;&gt;") && text.contains("2.20 us (2.00×)"),
                "{text}"
            );
            assert!(text.contains("shorter is better") && !text.contains("dead"), "{text}");
        }
    }

    #[test]
    fn axes_count_in_units_that_keep_ticks_short() {
        assert_eq!(axis_unit(9e6, "bytes").1, "MiB");
        assert_eq!(axis_unit(1000.0, "bytes"), (1.0, "bytes"));
        assert_eq!(axis_unit(6e6, "").1, "millions");
        assert_eq!(axis_unit(5000.0, "us"), (1000.0, "ms"));
        assert_eq!(axis_unit(0.2, "us"), (1.0, "us"));
        assert_eq!(axis_unit(90.0, "% of a core"), (1.0, "% of a core"));
    }
}

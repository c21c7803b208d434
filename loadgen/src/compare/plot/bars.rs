//! One figure of all brokers as bars from zero, with whiskers from the lowest to the highest repetition.

use super::scale::Scale;
use super::{Anchor, Plot, WIDTH, classes, shortened};
use crate::compare::number;
use crate::compare::result::Comparison;
use crate::compare::summary::{Block, Row};
use crate::report::Better;

pub fn plot(comparison: &Comparison, block: &Block, row: &Row, title: String) -> Plot {
    let shown: Vec<usize> = (0..comparison.brokers.len()).filter(|at| row.spreads[*at].is_some()).collect();
    let height = TOP + ROW * shown.len() as f64 + BOTTOM;
    let mut plot = Plot::new(height, title);
    let max = row.spreads.iter().flatten().map(|spread| spread.max).fold(0.0, f64::max);
    let scale = Scale::linear(max, LEFT, WIDTH - RIGHT);
    let base = height - BOTTOM;
    for tick in scale.ticks() {
        let x = scale.at(tick);
        plot.line("grid", [x, TOP, x, base]);
        plot.text("small number", x, base + 16.0, Anchor::Middle, &tick_text(tick, &row.unit));
    }
    plot.text("small", LEFT, base + 32.0, Anchor::Start, &hint(row));
    let classes = classes(comparison);
    for (line, at) in shown.into_iter().enumerate() {
        let Some(spread) = row.spreads[at] else { continue };
        let y = TOP + ROW * (line as f64 + 0.5);
        let name = shortened(&comparison.brokers[at].name, NAME_CHARS);
        plot.text("", LEFT - 8.0, y + 4.5, Anchor::End, &name);
        let end = scale.at(spread.median.max(0.0));
        plot.rect(&format!("fill {}", classes[at]), [LEFT, y - BAR / 2.0, (end - LEFT).max(1.0), BAR], 2.0);
        let (low, high) = (scale.at(spread.min), scale.at(spread.max));
        if high - low >= 1.0 {
            plot.line("whisker", [low, y, high, y]);
            for x in [low, high] {
                plot.line("whisker", [x, y - CAP, x, y + CAP]);
            }
        }
        let ratio = block.ratio(row, at).map(|ratio| format!("  {}", number::ratio(ratio)));
        let value = format!("{}{}", number::with_unit(spread.median, &row.unit), ratio.unwrap_or_default());
        plot.text("small number", end.max(high) + 6.0, y + 4.0, Anchor::Start, &value);
    }
    plot.line("axis", [LEFT, TOP, LEFT, base]);
    plot
}

fn tick_text(tick: f64, unit: &str) -> String {
    if unit == "bytes" || unit.is_empty() {
        return number::with_unit(tick, unit).replace(".00", "");
    }
    let text = number::digits(tick);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn hint(row: &Row) -> String {
    let unit =
        if row.unit.is_empty() || row.unit == "bytes" { String::new() } else { format!("{}; ", row.unit) };
    match row.better {
        Better::Lower => format!("{unit}shorter is better"),
        Better::Higher => format!("{unit}longer is better"),
        Better::Neither => unit,
    }
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
        let plot = plot(&comparison, block, row, "CPU <per> delivery".to_owned());
        for text in [plot.inline(), plot.file()] {
            well_formed::check(&text);
            assert_eq!(text.matches("class=\"fill").count(), 2, "{text}");
            assert!(
                text.contains("&lt;a &amp; &quot;b&quot;&gt;") && text.contains("2.20 us  2.00×"),
                "{text}"
            );
            assert!(text.contains("shorter is better") && !text.contains("dead"), "{text}");
        }
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(tick_text(0.5, "us"), "0.5");
        assert_eq!(tick_text(2.0, "us"), "2");
        assert_eq!(tick_text(100.0, "us"), "100");
        assert_eq!(tick_text(2e6, ""), "2 M");
    }
}

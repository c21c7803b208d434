//! The results as text: one block for each run, one line for each broker, no wider than the terminal.

use std::fmt::Write;
use std::ops::Range;

use super::number;
use super::result::Comparison;
use super::summary::{Block, Row};

/// `columns_max` is how wide a line may be, where that matters.
pub fn text(comparison: &Comparison, columns_max: Option<usize>) -> String {
    let mut out = String::new();
    for (run, block) in comparison.runs.iter().zip(&comparison.summary) {
        let _ = writeln!(out, "\n{}: loadgen {}", run.name, run.command);
        push_figures(comparison, block, columns_max, &mut out);
        for (broker, standing) in comparison.brokers.iter().zip(&block.standings) {
            let told = standing.told();
            if !told.is_empty() {
                let _ = writeln!(out, "  ! {}: {told}", broker.name);
            }
            for line in standing.failures.first().iter().flat_map(|failure| &failure.last_lines) {
                let _ = writeln!(out, "      {line}");
            }
        }
    }
    out
}

fn push_figures(comparison: &Comparison, block: &Block, columns_max: Option<usize>, out: &mut String) {
    let names = names(comparison, block);
    let (columns, detail) = fitting(block, &names, columns_max);
    for band in bands(&names, &columns, columns_max) {
        let columns: Vec<&Column> = std::iter::once(&names).chain(&columns[band]).collect();
        let heads = columns.iter().map(|column| column.head.len()).max().unwrap_or(0);
        for line in 0..heads + comparison.brokers.len() {
            let cells = columns.iter().map(|column| column.line(line, heads));
            let _ = writeln!(out, "  {}", cells.collect::<Vec<_>>().join(GAP).trim_end());
        }
    }
    if let Some(reference) = block.reference {
        let name = &comparison.brokers[reference].name;
        let medians = match (comparison.repeat, detail) {
            (1, _) => "one repetition".to_owned(),
            (count, Detail::Full) => format!("medians of {count}, [lowest to highest]"),
            (count, Detail::Brief) => format!("medians of {count}, ± the furthest from it"),
        };
        let _ = writeln!(out, "  {medians}, × {name}");
    }
}

/// How much stands in a cell beside the median.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Full,
    /// Only the figure that all is about has a ratio, and its spread is one number.
    Brief,
}

/// Everything where there is room, and else what matters most.
fn fitting(block: &Block, names: &Column, columns_max: Option<usize>) -> (Vec<Column>, Detail) {
    let columns = |detail| -> Vec<Column> {
        let rows: Vec<&Row> = block.judged().collect();
        let key = block.key_row().or(rows.first().copied()).map(|row| &row.key);
        rows.iter().map(|row| Column::of(block, row, key == Some(&row.key), detail)).collect()
    };
    let full = columns(Detail::Full);
    if bands(names, &full, columns_max).len() <= 1 {
        return (full, Detail::Full);
    }
    (columns(Detail::Brief), Detail::Brief)
}

/// Columns that fit beside each other; those that do not stand below, with the names once more.
fn bands(names: &Column, columns: &[Column], columns_max: Option<usize>) -> Vec<Range<usize>> {
    let columns_max = columns_max.unwrap_or(usize::MAX);
    let mut bands: Vec<Range<usize>> = Vec::new();
    let mut width = 0;
    for (at, column) in columns.iter().enumerate() {
        let more = GAP.len() + column.width();
        match bands.last_mut() {
            Some(band) if width + more <= columns_max => band.end = at + 1,
            _ => {
                bands.push(at..at + 1);
                width = INDENT + names.width();
            }
        }
        width += more;
    }
    bands
}

fn names(comparison: &Comparison, block: &Block) -> Column {
    let name = |(broker, standing): (&super::result::BrokerFacts, &super::summary::Standing)| {
        let mark = if standing.is_whole() { "" } else { " !" };
        vec![format!("{}{mark}", broker.name)]
    };
    let cells = comparison.brokers.iter().zip(&block.standings).map(name).collect();
    Column { head: Vec::new(), cells, is_left: true }
}

/// Cells of several parts, each part as wide as the widest of its kind.
struct Column {
    head: Vec<String>,
    cells: Vec<Vec<String>>,
    is_left: bool,
}

impl Column {
    fn of(block: &Block, row: &Row, is_key: bool, detail: Detail) -> Column {
        let cells = (0..row.spreads.len()).map(|at| cell(block, row, at, is_key, detail)).collect();
        let mut column = Column { head: Vec::new(), cells, is_left: false };
        column.head = wrapped(&row.label, column.width());
        column
    }

    /// The head stands at the bottom of its lines.
    fn line(&self, line: usize, heads: usize) -> String {
        let width = self.width();
        let text = match line.checked_sub(heads) {
            Some(at) => self.cell(at),
            None => {
                (line + self.head.len()).checked_sub(heads).map_or(String::new(), |at| self.head[at].clone())
            }
        };
        if self.is_left { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }

    fn cell(&self, at: usize) -> String {
        let parts = self.cells[at].iter().zip(self.part_widths());
        let is_left = self.is_left;
        let parts = parts.map(|(part, width)| if is_left { part.clone() } else { format!("{part:>width$}") });
        parts.collect::<Vec<_>>().join(" ")
    }

    fn width(&self) -> usize {
        let parts = self.part_widths();
        let cells = parts.iter().sum::<usize>() + parts.len().saturating_sub(1);
        self.head.iter().map(|line| line.chars().count()).fold(cells, usize::max)
    }

    fn part_widths(&self) -> Vec<usize> {
        let count = self.cells.iter().map(Vec::len).max().unwrap_or(0);
        let width = |part: usize| {
            let parts = self.cells.iter().filter_map(|cell| cell.get(part));
            parts.map(|part| part.chars().count()).max().unwrap_or(0)
        };
        (0..count).map(width).collect()
    }
}

fn cell(block: &Block, row: &Row, broker: usize, is_key: bool, detail: Detail) -> Vec<String> {
    let Some(spread) = row.spreads[broker] else { return vec!["-".to_owned()] };
    let mut parts = vec![number::with_unit(spread.median, &row.unit)];
    if detail == Detail::Full || is_key {
        parts.push(block.ratio(row, broker).map_or(String::new(), number::ratio));
    }
    // One repetition has no spread.
    if is_key && block.standings.iter().any(|standing| standing.of > 1) {
        parts.push(match detail {
            Detail::Full => format!("[{} to {}]", number::digits(spread.min), number::digits(spread.max)),
            Detail::Brief => {
                let furthest = (spread.max - spread.median).max(spread.median - spread.min);
                format!("±{:.0}%", 100.0 * furthest / spread.median.max(f64::MIN_POSITIVE))
            }
        });
    }
    parts
}

/// Words in lines as long as `width`, or as the longest word.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

const GAP: &str = "  ";
const INDENT: usize = 2;

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn line<'a>(text: &'a str, start: &str) -> &'a str {
        let found = text.lines().find(|line| line.trim_start().starts_with(start));
        found.unwrap_or_else(|| panic!("no `{start}`: {text}"))
    }

    #[test]
    fn every_run_has_its_block_and_what_failed_is_told() {
        let text = text(&sample::comparison(), None);
        assert!(line(&text, "p2p:").ends_with("loadgen p2p -n 5"));
        assert!(line(&text, "one").contains("2.20 us 2.00× [2.00 to 2.40]"), "{text}");
        assert!(line(&text, "one").contains("500 k 0.500×"), "{text}");
        assert!(line(&text, "dead !").contains(" - "), "{text}");
        assert!(
            line(&text, "! dead:")
                .contains("3 of 3 repetitions do not count: the broker ended with signal 9")
        );
        assert!(text.contains("      out of <memory>\n"));
        assert!(text.contains("medians of 3, [lowest to highest], × null epoll"));
        assert!(text.contains("× one"), "the second run has no relay");
    }

    #[test]
    fn a_terminal_of_eighty_columns_has_every_figure_in_its_lines() {
        let text = text(&sample::comparison(), Some(80));
        let figures: Vec<&str> = text.lines().filter(|line| !line.contains(": ")).collect();
        assert!(figures.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(line(&text, "one").contains("2.20 us 2.00× ±9%"), "{text}");
        assert!(line(&text, "one").contains("22.0 us") && line(&text, "one").contains("220 us"), "{text}");
        assert!(text.contains("± the furthest from it"), "{text}");
    }

    #[test]
    fn one_repetition_has_no_spread() {
        let mut comparison = sample::comparison();
        comparison.repeat = 1;
        comparison.turns.retain(|turn| turn.repetition == 0);
        comparison.summarise();
        for columns_max in [None, Some(80)] {
            let text = text(&comparison, columns_max);
            assert!(text.contains("  one repetition, × null epoll"), "{text}");
            assert!(!text.contains('[') && !text.contains('±'), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_beside_stands_below() {
        let text = text(&sample::comparison(), Some(40));
        let p2p = &text[..text.find("medians").expect("a foot")];
        let of_one: Vec<&str> = p2p.lines().filter(|line| line.trim_start().starts_with("one")).collect();
        assert!(of_one.len() > 1 && of_one.iter().all(|line| line.chars().count() <= 40), "{text}");
        assert!(of_one[0].contains("500 k") && of_one[1..].concat().contains("220 us"), "{text}");
    }

    #[test]
    fn heads_are_as_narrow_as_their_cells() {
        assert_eq!(wrapped("broker CPU per delivery", 10), ["broker CPU", "per", "delivery"]);
        assert_eq!(wrapped("deliveries per s", 3), ["deliveries", "per", "s"]);
    }
}

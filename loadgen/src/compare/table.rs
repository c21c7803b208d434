//! The results as text: one block for each run, one line for each broker.

use std::fmt::Write;

use super::number;
use super::result::Comparison;
use super::summary::{Block, Row};

pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    for (run, block) in comparison.runs.iter().zip(&comparison.summary) {
        let reference = block.reference.map_or("", |at| comparison.brokers[at].name.as_str());
        let _ = writeln!(out, "\n{}: loadgen {}", run.name, run.command);
        let lines = lines(comparison, block);
        for line in aligned(&lines) {
            let _ = writeln!(out, "  {line}");
        }
        if !reference.is_empty() {
            let _ = writeln!(out, "  medians of {}, [lowest to highest], × {reference}", comparison.repeat);
        }
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

/// Cells by line; the first line is the head.
fn lines(comparison: &Comparison, block: &Block) -> Vec<Vec<String>> {
    let rows: Vec<&Row> = block.judged().collect();
    let mut head = vec![String::new()];
    head.extend(rows.iter().map(|row| row.label.clone()));
    let mut lines = vec![head];
    for (at, broker) in comparison.brokers.iter().enumerate() {
        let mark = if block.standings[at].is_whole() { "" } else { " !" };
        let mut line = vec![format!("{}{mark}", broker.name)];
        line.extend(rows.iter().map(|row| cell(block, row, at)));
        lines.push(line);
    }
    lines
}

fn cell(block: &Block, row: &Row, broker: usize) -> String {
    let Some(spread) = row.spreads[broker] else { return "-".to_owned() };
    let mut cell = number::with_unit(spread.median, &row.unit);
    if let Some(ratio) = block.ratio(row, broker) {
        let _ = write!(cell, "  {}", number::ratio(ratio));
    }
    // The figure that all is about shows its spread, too.
    if row.key == "broker_cpu_us" {
        let _ = write!(cell, "  [{} to {}]", number::digits(spread.min), number::digits(spread.max));
    }
    cell
}

/// The first column to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let align = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    lines.iter().map(align).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn every_run_has_its_block_and_what_failed_is_told() {
        let text = text(&sample::comparison());
        let line = |start: &str| {
            let found = text.lines().find(|line| line.trim_start().starts_with(start));
            found.map(str::to_owned).unwrap_or_else(|| panic!("no `{start}`: {text}"))
        };
        assert!(line("p2p:").ends_with("loadgen p2p -n 5"));
        assert!(line("one").contains("2.20 us  2.00×  [2.00 to 2.40]"), "{}", line("one"));
        assert!(line("one").contains("500 k  0.500×"), "{}", line("one"));
        assert!(line("dead !").contains(" - "), "{}", line("dead !"));
        assert!(line("! dead:").contains("3 of 3 repetitions do not count: the broker ended with signal 9"));
        assert!(text.contains("      out of <memory>\n"));
        assert!(text.contains("medians of 3, [lowest to highest], × null epoll"));
        assert!(text.contains("× one"), "the second run has no relay");
    }
}

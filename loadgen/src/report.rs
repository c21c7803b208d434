//! What one run of one scenario found: faults, figures in the order in which they are printed, and the latency curve.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ledger::Faults;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub scenario: String,
    pub seconds: f64,
    pub faults: Faults,
    pub figures: Vec<Figure>,
    /// Of the latency, for plots; empty where it was not measured.
    pub latency: Vec<Quantile>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// The same for the same thing in all scenarios.
    pub key: String,
    pub label: String,
    pub value: f64,
    pub unit: String,
    pub better: Better,
}

/// Which way a figure is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Lower,
    Higher,
    Neither,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Quantile {
    pub fraction: f64,
    pub us: f64,
}

impl Report {
    pub fn new(scenario: &str, seconds: f64) -> Report {
        let scenario = scenario.to_owned();
        Report { scenario, seconds, faults: Faults::default(), figures: Vec::new(), latency: Vec::new() }
    }

    pub fn add(&mut self, key: &str, label: &str, value: f64, unit: &str, better: Better) {
        let [key, label, unit] = [key, label, unit].map(str::to_owned);
        self.figures.push(Figure { key, label, value, unit, better });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Figure { label, value, unit, .. } in &self.figures {
            let decimals = if value.fract() == 0.0 || *value >= 1000.0 { 0 } else { 2 };
            writeln!(f, "{label:<28}{value:>14.decimals$} {unit}")?;
        }
        let Faults { lost, duplicated, reordered } = self.faults;
        writeln!(f, "{:<28}{lost:>14}", "lost")?;
        writeln!(f, "{:<28}{duplicated:>14}", "duplicated")?;
        writeln!(f, "{:<28}{reordered:>14}", "reordered")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_report_is_printed_with_its_units_and_faults() {
        let mut report = Report::new("p2p", 1.0);
        report.add("deliveries_per_s", "deliveries per s", 12345.6, "", Better::Higher);
        report.add("broker_cpu_us", "broker CPU per delivery", 0.214, "us", Better::Lower);
        report.faults.lost = 3;
        let text = report.to_string();
        assert!(text.contains("deliveries per s                     12346"), "{text}");
        assert!(text.contains("0.21 us"), "{text}");
        assert!(text.contains("lost                                     3"), "{text}");
    }
}

//! Latencies: the histogram that all scenarios keep them in, and how they are reported.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::{Better, Quantile, Report};

/// From a nanosecond to a minute, three digits exact.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are in order")
}

pub fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1));
}

/// Adds percentiles and the curve.
pub fn report_latencies(latencies: &Histogram<u64>, report: &mut Report) {
    if latencies.is_empty() {
        return;
    }
    report_percentiles(latencies, "", &["p50", "p90", "p99", "p999", "max"], report);
    let curve = latencies.iter_quantiles(QUANTILES_PER_HALVING);
    report.latency = curve
        .map(|step| Quantile { fraction: step.quantile_iterated_to(), us: us(step.value_iterated_to()) })
        .collect();
}

/// Adds the percentiles of one part of a run.
pub fn report_part(latencies: &Histogram<u64>, part: &str, report: &mut Report) {
    if !latencies.is_empty() {
        report_percentiles(latencies, part, &["p50", "p99", "max"], report);
    }
}

fn report_percentiles(latencies: &Histogram<u64>, part: &str, wanted: &[&str], report: &mut Report) {
    let (before_key, before_label) = if part.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("{part}_"), format!("{part}: "))
    };
    for (key, label, fraction) in [
        ("p50", "latency p50", 0.5),
        ("p90", "latency p90", 0.9),
        ("p99", "latency p99", 0.99),
        ("p999", "latency p99.9", 0.999),
        ("max", "latency max", 1.0),
    ] {
        if wanted.contains(&key) {
            let nanos = if key == "max" { latencies.max() } else { latencies.value_at_quantile(fraction) };
            let (key, label) = (format!("{before_key}latency_{key}_us"), format!("{before_label}{label}"));
            report.add(&key, &label, us(nanos), "us", Better::Lower);
        }
    }
}

fn us(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

const LATENCY_MAX_NS: u64 = 60_000_000_000;
const QUANTILES_PER_HALVING: u32 = 4;

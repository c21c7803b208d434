//! What a run has cost and what became of its messages, for its report.

use std::time::Duration;

use super::Findings;
use super::cast::Cast;
use crate::latency::{latencies, report_latencies, report_part};
use crate::ledger::Faults;
use crate::report::{Better, Report};
use crate::usage::Usage;

/// What the time that was measured has cost.
pub struct Cost {
    /// By part.
    pub delivered: Vec<u64>,
    pub duration: Duration,
    pub broker_before: Usage,
    pub broker_after: Usage,
    pub own: Duration,
    pub threads: u32,
}

impl Cost {
    pub fn report(&self, report: &mut Report) {
        let seconds = self.duration.as_secs_f64();
        report.seconds = seconds;
        let delivered = self.delivered.iter().sum::<u64>() as f64;
        report.add("deliveries_per_s", "deliveries per s", delivered / seconds, "", Better::Higher);
        let Cost { broker_before: before, broker_after: after, .. } = self;
        after.report_cpu_since(before, delivered, ("broker_cpu_us", "broker CPU per delivery"), report);
        after.report_share_since(before, seconds, report);
        let names = ("written_bytes_per_delivery", "dirtied for disks per delivery");
        after.report_written_since(before, delivered, names, report);
        after.report_memory(report);
        let own = self.own.as_secs_f64() * 100.0 / seconds;
        let unit = format!("% of {} core(s)", self.threads);
        report.add("own_cpu_percent", "own CPU", own, &unit, Better::Neither);
    }

    /// Deliveries per second of each part.
    pub fn rates(&self) -> impl Iterator<Item = f64> {
        self.delivered.iter().map(|delivered| *delivered as f64 / self.duration.as_secs_f64())
    }
}

/// What became of the messages, from the beginning to the end.
pub struct Delivered<'a> {
    pub cast: &'a Cast,
    pub findings: Vec<Findings>,
    /// Those of the groups.
    pub faults: Faults,
    pub published: u64,
}

impl Delivered<'_> {
    pub fn report(self, cost: &Cost, report: &mut Report) -> Result<(), String> {
        let mut all = latencies();
        let mut acknowledgements = latencies();
        let mut by_part: Vec<_> = self.cast.parts.iter().map(|_| latencies()).collect();
        report.faults = self.faults;
        for found in &self.findings {
            report.faults += found.faults;
            acknowledgements.add(&found.acknowledgements).map_err(|error| error.to_string())?;
            for (part, latencies) in by_part.iter_mut().zip(&found.latencies) {
                part.add(latencies).map_err(|error| error.to_string())?;
                all.add(latencies).map_err(|error| error.to_string())?;
            }
        }
        report_latencies(&all, report);
        report_part(&acknowledgements, "ack", report);
        report.add("published", "published in all", self.published as f64, "", Better::Neither);
        if !self.cast.rates.is_empty() {
            let unsent = self.findings.iter().map(|found| found.unsent).sum::<u64>();
            report.add("unsent", "due but never sent", unsent as f64, "", Better::Lower);
        }
        if self.cast.parts.len() > 1 {
            for ((part, rate), latencies) in self.cast.parts.iter().zip(cost.rates()).zip(&by_part) {
                let (key, label) = (format!("{part}_deliveries_per_s"), format!("{part}: deliveries per s"));
                report.add(&key, &label, rate, "", Better::Higher);
                report_part(latencies, part, report);
            }
        }
        for churn in self.findings.iter().filter_map(|found| found.churn.as_ref()) {
            // Latencies are taken while it is measured.
            let rate = churn.latencies().len() as f64 / cost.duration.as_secs_f64();
            report.add("churn_cycles_per_s", "churn: clients per s", rate, "", Better::Higher);
            report_part(churn.latencies(), "churn", report);
            report.faults += churn.faults();
        }
        self.report_shares(report);
        Ok(())
    }

    /// The smallest and the largest share of a member in what its group got, as parts of an even share.
    fn report_shares(&self, report: &mut Report) {
        let mut received = vec![Vec::new(); self.cast.groups];
        for (subscriber, count) in self.findings.iter().flat_map(|found| &found.received) {
            if let Some(group) = self.cast.subscribers[*subscriber as usize].group {
                received[group].push(*count);
            }
        }
        let shares = received.iter().flat_map(|counts| {
            let even = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
            counts.iter().map(move |count| *count as f64 * 100.0 / even.max(1.0))
        });
        let (smallest, largest) =
            shares.fold((f64::INFINITY, 0.0_f64), |(low, high), share| (low.min(share), high.max(share)));
        if smallest.is_finite() {
            let unit = "% of an even share";
            report.add("smallest_share_percent", "smallest share", smallest, unit, Better::Higher);
            report.add("largest_share_percent", "largest share", largest, unit, Better::Lower);
        }
    }
}

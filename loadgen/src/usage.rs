//! What a process has used so far, where one can be looked at, and what it used in between.

use std::time::Duration;

use crate::process::Process;
use crate::report::{Better, Report};

/// Empty where no process is known.
pub struct Usage {
    used: Option<Used>,
}

struct Used {
    cpu: Duration,
    resident_bytes: u64,
    written_bytes: Option<u64>,
}

impl Usage {
    pub fn now(process: Option<&Process>) -> Result<Usage, String> {
        let used = process.map(|process| {
            Ok::<_, String>(Used {
                cpu: process.cpu_time()?,
                resident_bytes: process.resident_bytes()?,
                written_bytes: process.written_bytes(),
            })
        });
        Ok(Usage { used: used.transpose()? })
    }

    /// Once the process has done all that it was asked for.
    pub fn settled(process: Option<&Process>) -> Result<Usage, String> {
        if let Some(process) = process {
            process.settled_cpu_time()?;
        }
        Usage::now(process)
    }

    /// Microseconds of processor time since then.
    fn cpu_us_since(&self, before: &Usage) -> Option<f64> {
        let (used, before) = self.used.as_ref().zip(before.used.as_ref())?;
        Some(used.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6)
    }

    /// Adds the processor time since then, for each of `count`.
    pub fn report_cpu_since(&self, before: &Usage, count: f64, names: Names<'_>, report: &mut Report) {
        if let Some(cpu_us) = self.cpu_us_since(before) {
            report.add(names.0, names.1, cpu_us / count.max(1.0), "us", Better::Lower);
        }
    }

    /// Adds how much of a core it had in these seconds.
    pub fn report_share_since(&self, before: &Usage, seconds: f64, report: &mut Report) {
        if let Some(cpu_us) = self.cpu_us_since(before) {
            let percent = cpu_us / 1e4 / seconds;
            report.add("broker_cpu_percent", "broker CPU", percent, "% of a core", Better::Neither);
        }
    }

    /// Adds what memory has grown by since then, for each of `count`.
    pub fn report_memory_since(&self, before: &Usage, count: f64, names: Names<'_>, report: &mut Report) {
        if let Some((used, before)) = self.used.as_ref().zip(before.used.as_ref()) {
            let bytes = used.resident_bytes as f64 - before.resident_bytes as f64;
            report.add(names.0, names.1, bytes / count.max(1.0), "bytes", Better::Lower);
        }
    }

    /// Adds what went to disks since then, for each of `count`. Nothing where nothing did.
    pub fn report_written_since(&self, before: &Usage, count: f64, names: Names<'_>, report: &mut Report) {
        let written = |usage: &Usage| usage.used.as_ref()?.written_bytes;
        if let Some((after, before)) = written(self).zip(written(before))
            && after > before
        {
            let bytes = (after - before) as f64;
            report.add(names.0, names.1, bytes / count.max(1.0), "bytes", Better::Lower);
        }
    }

    pub fn report_memory(&self, report: &mut Report) {
        if let Some(used) = &self.used {
            let bytes = used.resident_bytes as f64;
            report.add("broker_rss_bytes", "broker memory", bytes, "bytes", Better::Lower);
        }
    }
}

/// Key and label of a figure.
type Names<'a> = (&'a str, &'a str);

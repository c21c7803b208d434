//! What a process has used so far, where one can be looked at, and what it used in between.

use std::time::Duration;

use crate::process::Process;
use crate::report::{Better, Report};

/// Empty where no process is known.
pub struct Usage {
    used: Option<(Duration, u64)>,
}

impl Usage {
    pub fn now(process: Option<&Process>) -> Result<Usage, String> {
        let used = process.map(|process| Ok::<_, String>((process.cpu_time()?, process.resident_bytes()?)));
        Ok(Usage { used: used.transpose()? })
    }

    /// Once the process has done all that it was asked for.
    pub fn settled(process: Option<&Process>) -> Result<Usage, String> {
        if let Some(process) = process {
            process.settled_cpu_time()?;
        }
        Usage::now(process)
    }

    /// Microseconds of processor time and bytes of memory since then.
    pub fn since(&self, before: &Usage) -> Option<(f64, f64)> {
        let ((cpu, bytes), (cpu_before, bytes_before)) = self.used.zip(before.used)?;
        Some((cpu.saturating_sub(cpu_before).as_secs_f64() * 1e6, bytes as f64 - bytes_before as f64))
    }

    pub fn report_memory(&self, report: &mut Report) {
        if let Some((_, bytes)) = self.used {
            report.add("broker_rss_bytes", "broker memory", bytes as f64, "bytes", Better::Lower);
        }
    }
}

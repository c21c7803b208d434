//! Scenario `floor`: what the disk itself takes for one small write that is on it before the next begins. It needs no broker.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::BrokerArgs;
use crate::latency::{latencies, record, report_latencies};
use crate::report::{Better, Report};

#[derive(Debug, Args)]
pub struct FloorArgs {
    /// Here as for all scenarios; nobody is asked
    #[command(flatten)]
    _broker: BrokerArgs,
    /// Folder on the disk in question; a file of 8 MiB is in it while this runs
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// How the disk is told to have it before the call returns
    #[arg(long, value_enum, default_value = "fdatasync")]
    by: By,
    /// Seconds to measure
    #[arg(long, short, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration: u64,
    /// Writes per second, evenly spaced; without it each begins when the one before is done
    #[arg(long, short, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// pwrite, then fdatasync
    Fdatasync,
    /// pwritev2 with RWF_DSYNC
    Dsync,
}

pub fn run(args: &FloorArgs) -> Result<Report, String> {
    let file = Scratch::make(&args.data)
        .map_err(|error| format!("cannot prepare a file in {}: {error}", args.data.display()))?;
    let mut taken = latencies();
    let block = [b'x'; BLOCK_BYTES];
    let begun = Instant::now();
    let length = Duration::from_secs(args.duration);
    let mut writes = 0_u64;
    while begun.elapsed() < length {
        let due = match args.rate {
            Some(rate) => begun + Duration::from_secs_f64(writes as f64 / rate as f64),
            None => Instant::now(),
        };
        if let Some(left) = due.checked_duration_since(Instant::now()) {
            thread::sleep(left);
        }
        let from = Instant::now();
        let offset = (writes % BLOCKS) * BLOCK_BYTES as u64;
        write(&file.file, &block, offset, args.by).map_err(|error| format!("cannot write: {error}"))?;
        record(&mut taken, from.elapsed());
        writes += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut report = Report::new("floor", seconds);
    report.add("writes_per_s", "writes per s", writes as f64 / seconds, "", Better::Higher);
    report_latencies(&taken, &mut report);
    Ok(report)
}

fn write(file: &File, block: &[u8], offset: u64, by: By) -> io::Result<()> {
    let slice = libc::iovec { iov_base: block.as_ptr().cast_mut().cast(), iov_len: block.len() };
    let flags = if by == By::Dsync { libc::RWF_DSYNC } else { 0 };
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: the slice points to a block that lives through the call, which reads it only.
    let written = unsafe { libc::pwritev2(file.as_raw_fd(), &raw const slice, 1, offset, flags) };
    if written < 0 {
        return Err(io::Error::last_os_error());
    }
    if usize::try_from(written) != Ok(block.len()) {
        return Err(io::ErrorKind::WriteZero.into());
    }
    if by == By::Fdatasync { file.sync_data() } else { Ok(()) }
}

/// A file full of zeros that is on the disk, and gone with its end.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn make(folder: &Path) -> io::Result<Scratch> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("loadgen-floor-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create(true).custom_flags(libc::O_EXCL).open(&path)?;
        let mut scratch = Scratch { file, path };
        scratch.file.write_all(&vec![0; BLOCKS as usize * BLOCK_BYTES])?;
        scratch.file.sync_all()?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

const BLOCK_BYTES: usize = 4096;
const BLOCKS: u64 = 2048;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct OnlyFloor {
        #[command(flatten)]
        floor: FloorArgs,
    }

    #[test]
    fn every_way_is_measured_and_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("loadgen-floor-test-{}", std::process::id()));
        let data = folder.to_str().unwrap();
        for flags in [&["--by", "fdatasync", "-r", "50"][..], &["--by", "dsync"]] {
            let line = [&["loadgen", "--data", data, "-d", "1"], flags].concat();
            let report = run(&OnlyFloor::try_parse_from(line).unwrap().floor).unwrap();
            let figure = |key: &str| report.figures.iter().find(|figure| figure.key == key).unwrap().value;
            assert!(figure("writes_per_s") > 1.0 && figure("latency_p50_us") > 1.0, "{report}");
            assert!(!flags.contains(&"-r") || figure("writes_per_s") < 60.0, "{report}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }
}

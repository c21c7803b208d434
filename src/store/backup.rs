//! `iothub store backup`: a copy of everything, whether a broker runs or not.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use runtime::{Checked, backups_cut_short};
use shard::store::sums::Totals;

use super::{DirectoryArgs, Failure, check::holds, left, quoted, told};
use crate::text::size;

/// Copy everything to another directory, whether a broker runs or not.
///
/// The copy has whatever was acknowledged before the command began. It is looked at before it gets its name: a directory of
/// that name is a whole backup. What it has can be looked at as a data directory: iothub store check --data-dir BACKUP.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct BackupArgs {
    /// Where to: a directory that is not there yet, or is empty
    #[arg(value_name = "BACKUP")]
    target: PathBuf,
    #[command(flatten)]
    directory: DirectoryArgs,
}

pub(super) fn run(args: &BackupArgs) -> Result<ExitCode, Failure> {
    let laid = args.directory.open()?;
    let shards = laid.back_up(&args.target)?;
    let target = args.target.display();
    let bytes = shards.iter().map(|shard| shard.file_bytes).sum();
    Ok(told(|out| {
        out.line(&format!("backed up {} to {target}: {}", laid.path().display(), holds(&totals(&shards))))?;
        out.line(&format!(
            "to bring it back: iothub store restore {} --data-dir DIR (needs {} there)",
            quoted(&args.target.to_string_lossy()),
            size(bytes)
        ))?;
        // Whether or not they can be looked for, the backup is made.
        backups_cut_short(&args.target).unwrap_or_default().iter().try_for_each(|it| out.line(&left(it)))
    }))
}

pub(super) fn totals(shards: &[Checked]) -> Totals {
    shards.iter().map(Checked::totals).fold(Totals::default(), Totals::plus)
}

const HELP: &str = "Examples:
  iothub store backup /backup/iothub-$(date +%F) --data-dir /var/lib/iothub
  iothub store backup /backup/before-the-update --config /etc/iothub/config.toml

Exit codes:
  0  the backup is there, whole, and on the disk
  1  the store is damaged: see iothub store check
  2  there is no backup: the reason is said";

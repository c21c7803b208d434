//! `iothub store restore`: a backup becomes a data directory.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use runtime::{Laid, Leftover, Restored};

use super::{DirectoryArgs, Failure, backup::totals, check::holds, told};
use crate::text::{count, size};

/// Bring a backup back.
///
/// It is checked first, and copied: the backup stays as it is. No broker may use the data directory. A store that is there
/// already is not touched, unless --force moves it aside.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RestoreArgs {
    /// The backup, or another copy of a data directory
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    #[command(flatten)]
    directory: DirectoryArgs,
    /// Move the store that is there aside: to a folder replaced-... of the data directory
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let target = args.directory.path()?;
    let backup = Laid::read(&args.backup)?;
    if backup.is_in_use() {
        let path = args.backup.display();
        return Err(Failure::new(format!(
            "a broker uses {path}: that is no backup. Make one with iothub store backup. Nothing was changed"
        )));
    }
    let Restored { label, shards, cleared, replaced } = backup.restore_to(&target, args.force)?;
    let taken = match &label {
        Some(label) => format!("taken {} UTC", label.taken),
        None => {
            "a copy that was not made by iothub store backup, so that nobody knows whether its end is missing"
                .to_owned()
        }
    };
    let (path, target) = (args.backup.display(), target.display());
    Ok(told(|out| {
        out.line(&format!("restored {path} ({taken}) to {target}: {}", holds(&totals(&shards))))?;
        for Leftover { path, bytes, .. } in &cleared {
            let (path, bytes) = (path.display(), size(*bytes));
            out.line(&format!(
                "removed {path} ({bytes}): a restore that did not get to its end had left it"
            ))?;
        }
        if let Some(replaced) = &replaced {
            let replaced = replaced.display();
            out.line(&format!(
                "what was there before is in {replaced}: delete that when nobody needs it any more"
            ))?;
        }
        out.line(&format!("it is laid out for {}", count(backup.shards().into(), "shard")))
    }))
}

const HELP: &str = "Examples:
  iothub store restore /backup/iothub-2026-01-31 --data-dir /var/lib/iothub
  iothub store restore /backup/iothub-2026-01-31 --data-dir /var/lib/iothub --force

Files belong to whoever runs this command: run it as the user of the broker, or chown the data directory afterwards.
Clients may get messages once more that they had between the backup and now, and what was acknowledged since is missing.

Exit codes:
  0  restored
  1  the backup is damaged, and nothing was changed: see iothub store check --data-dir BACKUP
  2  it was not restored: the reason is said";

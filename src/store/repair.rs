//! `iothub store repair`: says what is lost, saves the rest, and keeps everything as it was beside it.

use std::process::ExitCode;

use clap::Args;
use runtime::{Repair, Repaired};

use super::{DAMAGED, DirectoryArgs, Failure, Printed, check::holds, told};
use crate::text::{count, size};

/// Make a whole store of what can still be read of a damaged one.
///
/// Every shard that is damaged is written anew, without what cannot be read. Its files as they are now are kept, in a folder
/// damaged-... of the data directory. No broker may use the directory meanwhile. A store that is whole is left alone.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RepairArgs {
    #[command(flatten)]
    directory: DirectoryArgs,
    /// Only say what would be done and what would be lost
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(args: &RepairArgs) -> Result<ExitCode, Failure> {
    let laid = args.directory.open()?;
    let mut out = Printed::new();
    if laid.is_in_use() && !args.dry_run {
        let path = laid.path().display();
        return Err(Failure::new(format!(
            "a broker uses {path}. Stop it first: a repair needs the directory for itself. Nothing was changed"
        )));
    }
    let repair = Repair::plan(laid, args.dry_run)?;
    let path = repair.laid().path().display();
    if repair.shards().is_empty() {
        out.line(&format!("{path}: the store is whole. There is nothing to repair"))?;
        out.end()?;
        return Ok(ExitCode::SUCCESS);
    }
    for repaired in repair.shards() {
        show(repaired, &mut out)?;
    }
    if args.dry_run {
        let needed = size(repair.bytes_needed());
        out.line(&format!(
            "nothing was changed. The repair itself (without --dry-run) needs about {needed} more on the disk"
        ))?;
        out.end()?;
        return Ok(ExitCode::from(DAMAGED));
    }
    out.end()?;
    let aside = repair.carry_out()?;
    Ok(told(|out| {
        out.line(&format!(
            "repaired. A broker takes the store now. What was there before is in {}: delete that when nobody wants to look \
             into it any more",
            aside.display()
        ))
    }))
}

fn show(repaired: &Repaired, out: &mut Printed) -> Result<(), Failure> {
    let Repaired { before, ended, left, .. } = repaired;
    out.line(&format!("shard {}:", before.shard))?;
    let mut lost_bytes = 0;
    for problem in &before.problems {
        out.line(&format!("  DAMAGED {problem}"))?;
        lost_bytes += problem.lost_bytes();
    }
    let lost = if lost_bytes > 0 {
        format!("{} of {}", size(lost_bytes), count(before.problems.len() as u64, "damaged place"))
    } else {
        "what is named above".to_owned()
    };
    out.line(&format!("  cannot be read as a whole: {lost}"))?;
    if before.salvaged > 0 {
        out.line(&format!("  of that, saved: {} that are whole", count(before.salvaged, "record")))?;
    }
    if before.dropped > 0 {
        out.line(&format!(
            "  left out: {}, because what belongs to them cannot be read",
            count(before.dropped, "record")
        ))?;
    }
    for ended in ended {
        let client_id = &ended.client_id;
        out.line(&format!(
            "  ended: an earlier session of client {client_id:?}, because a younger one took its place and only the record \
             of its end is lost"
        ))?;
    }
    if left.strays > 0 {
        out.line(&format!(
            "  without use: remains of {} whose own record is not there",
            count(left.strays, "session")
        ))?;
    }
    out.line(&format!("  is there afterwards: {}", holds(left)))?;
    out.line(NATURE)?;
    Ok(())
}

const NATURE: &str = "  What is lost may be sessions, subscriptions or messages, and also the word that a message was \
delivered or a\n  subscription given up: such a message comes once more, such a subscription is there again.";

const HELP: &str = "Examples:
  iothub store repair --data-dir /var/lib/iothub --dry-run
  iothub store repair --data-dir /var/lib/iothub

A backup that is recent enough loses less: see iothub store restore.

Exit codes:
  0  the store is whole, or was made so
  1  with --dry-run: it is damaged, and can be repaired
  2  it was not repaired: the reason is said, and nothing was changed";

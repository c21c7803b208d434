//! `iothub store check`: what a data directory holds, what is wrong with it, and what to do.

use std::process::ExitCode;

use clap::Args;
use runtime::{Behind, Checked, Incomplete, Laid, leftovers};
use shard::store::{entry::name_of, sums::Totals};

use super::{DAMAGED, DirectoryArgs, Failure, Printed, left};
use crate::text::{count, size};

/// Read everything, say what is there and what is damaged.
///
/// A broker may use the directory meanwhile: nothing is locked or changed.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CheckArgs {
    #[command(flatten)]
    directory: DirectoryArgs,
    /// Say nothing but what is wrong
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let laid = args.directory.open()?;
    let mut out = Printed::new();
    if !args.quiet {
        out.line(&format!("{}: {}", laid.path().display(), count(laid.shards().into(), "shard")))?;
        if laid.is_in_use() {
            out.line("a broker uses it: what is said here was so a moment ago")?;
        }
    }
    let mut totals = Totals::default();
    let (mut problems, mut suspects) = (0, 0);
    for shard in 0..laid.shards() {
        let checked = laid.check(shard)?;
        totals = totals.plus(checked.totals());
        problems += checked.problems.len() as u64;
        if !args.quiet {
            show(&checked, &mut out)?;
        }
        if let Some(behind) = &checked.strange {
            suspects += 1;
            out.line(&format!("  SUSPECT {}", suspect(behind)))?;
        }
        for problem in &checked.problems {
            out.line(&format!("  DAMAGED {problem}"))?;
        }
        out.end()?;
    }
    if !args.quiet {
        let leftovers = leftovers(laid.path()).unwrap_or_default();
        leftovers.iter().try_for_each(|leftover| out.line(&left(leftover)))?;
    }
    if problems == 0 {
        if !args.quiet {
            out.line(&format!("in all: {}", holds(&totals)))?;
            out.line(if suspects == 0 { "the store is whole" } else { WHOLE_BUT_FOR_SUSPECTS })?;
        }
        out.end()?;
        return Ok(ExitCode::SUCCESS);
    }
    out.line(&remedy(&laid, &args.directory, problems))?;
    out.end()?;
    Ok(ExitCode::from(DAMAGED))
}

fn show(checked: &Checked, out: &mut Printed) -> Result<(), Failure> {
    let Checked { shard, files, file_bytes, segments, commits, records, dropped, .. } = checked;
    let totals = checked.totals();
    out.line(&format!(
        "shard {shard}: {}, {} ({} in use), {}, {}",
        count(*files, "file"),
        size(*file_bytes),
        count(*segments, "segment"),
        count(*commits, "commit"),
        count(*records, "record"),
    ))?;
    let kinds = checked.sums.kinds().iter();
    let kinds: Vec<String> = kinds
        .map(|(kind, sum)| format!("{} {}", sum.records, name_of(*kind).unwrap_or("of an unknown kind")))
        .collect();
    if !kinds.is_empty() {
        out.line(&format!("  records: {}", kinds.join(", ")))?;
    }
    out.line(&format!("  holds: {}", holds(&totals)))?;
    let live = size(totals.live_bytes);
    out.line(&format!(
        "  alive: {live} of {}",
        size(checked.sums.kinds().values().map(|sum| sum.bytes).sum())
    ))?;
    if *dropped > 0 {
        out.line(&format!(
            "  left out: {}, because what belongs to them is not there",
            count(*dropped, "record")
        ))?;
    }
    if let Some(torn) = &checked.torn {
        out.line(&format!("  note: {}", incomplete(torn)))?;
    }
    Ok(())
}

pub(super) fn holds(totals: &Totals) -> String {
    let Totals { sessions, connected, wills, subscriptions, queued, retained, handshakes, strays, .. } =
        totals;
    let mut parts = vec![
        count(*sessions, "session"),
        count(*subscriptions, "subscription"),
        count(*queued, "queued message"),
        count(*retained, "retained message"),
    ];
    if *connected > 0 {
        parts[0].push_str(&format!(" ({connected} connected when it ended)"));
    }
    for (number, noun) in [(*wills, "will"), (*handshakes, "open QoS 2 handshake")] {
        if number > 0 {
            parts.push(count(number, noun));
        }
    }
    if *strays > 0 {
        parts.push(format!("remains of {}", count(*strays, "session")));
    }
    parts.join(", ")
}

fn incomplete(torn: &Incomplete) -> String {
    let Incomplete { file, offset, commits, is_cut, .. } = torn;
    if *is_cut {
        return format!(
            "{file} is shorter than it was made, which no crash does: whatever it had behind offset {offset:#x} is lost, and may \
             have been acknowledged. A broker goes on without it"
        );
    }
    let void =
        if *commits > 0 { format!(" and {} behind it", count(*commits, "commit")) } else { String::new() };
    format!(
        "{file} at offset {offset:#x}: what stands here{void} was being written when the broker ended. That was not \
         acknowledged as being on disk, and a broker leaves it out"
    )
}

fn suspect(behind: &Behind) -> String {
    let Behind { path, offset, bytes } = behind;
    let path = path.display();
    if *offset == 0 {
        return format!(
            "{path}: the {bytes} bytes at its beginning are neither that of a segment nor zeros. The file was being begun when the \
             broker ended, or it is damaged. Whether something is lost that was acknowledged cannot be told. A broker says so, goes \
             on without it, and uses the file again"
        );
    }
    format!(
        "{path} at offset {offset:#x}: the {bytes} bytes behind the end of this log are nothing that a broker leaves there. They were \
         being written when it ended, or they are damaged. Whether something is lost that was acknowledged cannot be told. A \
         broker says so and goes on without them"
    )
}

fn remedy(laid: &Laid, directory: &DirectoryArgs, problems: u64) -> String {
    let flags = directory.flags();
    let space = if flags.is_empty() { "" } else { " " };
    format!(
        "\n{}: {} in the store. A broker refuses it as it is. What to do:\n\
         1. Look at the disk (dmesg): a disk that fails damages more with each hour.\n\
         2. Is there a backup that is recent enough? iothub store restore BACKUP{space}{flags} --force\n\
         3. If not: iothub store repair{space}{flags} --dry-run says what can be saved; without --dry-run it does so, and\n   \
            keeps all files as they are now.\n\
         iothub store dump{space}{flags} prints each record that can be read.",
        laid.path().display(),
        count(problems, "problem"),
    )
}

const WHOLE_BUT_FOR_SUSPECTS: &str =
    "the store is whole as far as can be told, and a broker takes it: see SUSPECT";

const HELP: &str = "Examples:
  iothub store check --data-dir /var/lib/iothub
  iothub store check --config /etc/iothub/config.toml --quiet || echo damaged

Exit codes:
  0  the store is whole, and a broker takes it
  1  it is damaged: each damage is named with its file, its place and what it means
  2  there is no store, or it could not be read";

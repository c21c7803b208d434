//! `iothub store dump`: every record of a data directory, as it stands in the log.

use std::{io, process::ExitCode};

use clap::Args;
use runtime::{Problem, Walked};
use shard::store::{
    Record,
    entry::{Entry, name_of},
};

use super::{
    DAMAGED, DirectoryArgs, Failure, Printed,
    entry::{Field, Value, fields_of, write_json, write_text},
};
use crate::text::count;

/// Print every record, shard by shard, in the order in which they were stored.
///
/// What is replaced or over by now is printed as well, as long as it is in the log. Where the store is damaged, it says
/// so, and goes on behind it.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DumpArgs {
    #[command(flatten)]
    directory: DirectoryArgs,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// Only this shard
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = parse_shard)]
    shard: Option<u8>,
}

pub(super) fn run(args: &DumpArgs) -> Result<ExitCode, Failure> {
    let laid = args.directory.open()?;
    let shards = match args.shard {
        Some(shard) if shard >= laid.shards() => {
            let shards = count(laid.shards().into(), "shard");
            return Err(Failure::new(format!(
                "there is no shard {shard}: the directory has {shards}, and the first one is shard 0"
            )));
        }
        Some(shard) => shard..shard + 1,
        None => 0..laid.shards(),
    };
    let mut dump = Dump { out: Printed::new(), json: args.json, outcome: Ok(()), is_damaged: false };
    for shard in shards {
        if dump.out.is_closed {
            break;
        }
        let problems = laid.walk(shard, |walked| dump.take(shard, &walked))?;
        dump.is_damaged |= !problems.is_empty();
    }
    dump.outcome.and_then(|()| dump.out.end())?;
    let is_whole = !dump.is_damaged || dump.out.is_closed;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

struct Dump {
    out: Printed,
    json: bool,
    /// What went wrong with the output: nothing is printed after it.
    outcome: io::Result<()>,
    is_damaged: bool,
}

impl Dump {
    fn take(&mut self, shard: u8, walked: &Walked<'_>) {
        // `iothub store dump | head` has shown what was wanted.
        if self.outcome.is_err() || self.out.is_closed {
            return;
        }
        let line = match walked {
            Walked::Record { file, record } => self.record(shard, file, record),
            Walked::Problem(problem) => self.problem(shard, problem),
        };
        self.outcome = self.out.line(&line);
    }

    fn record(&mut self, shard: u8, file: &str, record: &Record<'_>) -> String {
        let kind = name_of(record.kind).unwrap_or("unknown");
        let mut fields = vec![
            ("shard", Value::Number(shard.into())),
            ("file", Value::Text(file)),
            ("offset", Value::Number(record.position.offset.into())),
            ("bytes", Value::Number(record.bytes() as u64)),
            ("kind", Value::Text(kind)),
        ];
        // Only a whole group counts.
        if record.more {
            fields.push(("more", Value::Flag(true)));
        }
        match Entry::decode(record) {
            Ok(entry) => fields.extend(fields_of(&entry)),
            Err(_) => {
                self.is_damaged = true;
                fields.push(("kind_number", Value::Number(record.kind.into())));
                fields.push(("version", Value::Number(record.version.into())));
                fields.push(("body", Value::Bytes(record.body)));
            }
        }
        self.line(&fields)
    }

    fn problem(&mut self, shard: u8, problem: &Problem) -> String {
        let (path, offset) = problem.place();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let (what, meaning) = (problem.what(), problem.meaning());
        let mut fields = vec![("shard", Value::Number(shard.into())), ("file", Value::Text(&file))];
        fields.extend(offset.map(|offset| ("offset", Value::Number(offset))));
        fields.push(("kind", Value::Text("DAMAGE")));
        fields.extend(problem.until().map(|until| ("goes_on_at", Value::Number(until))));
        fields.push(("what", Value::Text(&what)));
        fields.push(("meaning", Value::Text(&meaning)));
        self.line(&fields)
    }

    fn line(&self, fields: &[Field<'_>]) -> String {
        let mut line = String::new();
        if self.json {
            write_json(fields, &mut line)
        } else {
            write_text(fields, &mut line)
        }
        line
    }
}

fn parse_shard(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("invalid shard '{text}': a whole number from 0"))
}

const HELP: &str = "Examples:
  iothub store dump --data-dir /var/lib/iothub
  iothub store dump --data-dir /var/lib/iothub --json | jq 'select(.kind == \"message\") | .topic'

Times are unix milliseconds, null stands for never. A payload that is not UTF-8 is `payload_base64`. Fields and kinds are
those of docs/storage.md.

Exit codes:
  0  everything was printed
  1  the store is damaged: a line of kind DAMAGE stands wherever something could not be read
  2  there is no store, or it could not be read";

//! `iothub store`: looks at a data directory, mends it, copies it. What it finds is decided in the runtime; here it gets
//! its words.

mod backup;
mod check;
mod dump;
mod entry;
mod repair;
mod restore;

use std::{
    env,
    io::{self, BufWriter, Stdout, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use runtime::{Laid, Leftover, StoreError};

use crate::{
    config::{self, Flags},
    text::size,
};

/// Look at a data directory, mend it, copy it and bring it back.
///
/// Nothing is changed unless the name of the command says so.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_help_heading = "Commands", after_help = EXIT_CODES)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Read everything, say what is there and what is damaged
    Check(check::CheckArgs),
    /// Make a whole store of what can still be read of a damaged one
    Repair(repair::RepairArgs),
    /// Print every record
    Dump(dump::DumpArgs),
    /// Copy everything to another directory, whether a broker runs or not
    Backup(backup::BackupArgs),
    /// Bring a backup back
    Restore(restore::RestoreArgs),
}

/// Which directory.
#[derive(Debug, Args)]
struct DirectoryArgs {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Take the data directory from this configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Why a command could not do what it was asked for.
struct Failure {
    sentence: String,
    code: u8,
}

pub fn run(args: &StoreArgs) -> ExitCode {
    let (name, outcome) = match &args.command {
        StoreCommand::Check(args) => ("check", check::run(args)),
        StoreCommand::Repair(args) => ("repair", repair::run(args)),
        StoreCommand::Dump(args) => ("dump", dump::run(args)),
        StoreCommand::Backup(args) => ("backup", backup::run(args)),
        StoreCommand::Restore(args) => ("restore", restore::run(args)),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure { sentence, code }) => {
            for line in sentence.lines() {
                // A standard error that fails has nobody who could be told of it.
                let _ = writeln!(io::stderr(), "iothub store {name}: {line}");
            }
            ExitCode::from(code)
        }
    }
}

impl Failure {
    fn new(sentence: String) -> Failure {
        Failure { sentence, code: FAILED }
    }
}

impl DirectoryArgs {
    fn path(&self) -> Result<PathBuf, Failure> {
        let flags = Flags { data_dir: self.data_dir.clone(), ..Flags::default() };
        let loaded = config::load(self.config.as_deref(), env::vars_os(), &flags).map_err(|problems| {
            Failure::new(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        loaded.tell_override("store", "dir");
        match loaded.settings.store.dir {
            dir if dir.is_empty() => Err(Failure::new(
                "which data directory? Name it with --data-dir DIR, or with --config FILE the configuration that does"
                    .to_owned(),
            )),
            dir => Ok(dir.into()),
        }
    }

    fn open(&self) -> Result<Laid, Failure> {
        Ok(Laid::read(&self.path()?)?)
    }

    /// The flags again, for a command that is proposed.
    fn flags(&self) -> String {
        match (&self.data_dir, &self.config) {
            (Some(dir), _) => format!("--data-dir {}", quoted(dir)),
            (None, Some(file)) => format!("--config {}", quoted(&file.to_string_lossy())),
            (None, None) => String::new(),
        }
    }
}

/// What nobody else would delete.
fn left(leftover: &Leftover) -> String {
    let Leftover { path, bytes, cause } = leftover;
    format!("note: {} ({}) {cause}", path.display(), size(*bytes))
}

/// As a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Standard output, of which much is written at a time.
struct Printed {
    out: BufWriter<Stdout>,
    /// Whoever reads it has closed it: `iothub store check | head -1`. The exit code still counts.
    is_closed: bool,
}

impl Printed {
    fn new() -> Printed {
        Printed { out: BufWriter::with_capacity(OUTPUT_BYTES, io::stdout()), is_closed: false }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.write(|out| {
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")
        })
    }

    fn end(&mut self) -> io::Result<()> {
        self.write(BufWriter::flush)
    }

    fn write(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        match write(&mut self.out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Says what was done. Done it is, whether or not somebody can be told so.
fn told(report: impl FnOnce(&mut Printed) -> io::Result<()>) -> ExitCode {
    let mut out = Printed::new();
    if let Err(error) = report(&mut out).and_then(|()| out.end()) {
        // A standard error that fails has nobody who could be told of it.
        let _ = writeln!(
            io::stderr(),
            "iothub store: it is done, and only the report of it could not be written to standard output: {error}"
        );
    }
    ExitCode::SUCCESS
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let code = if matches!(error, StoreError::NotWhole { .. }) { DAMAGED } else { FAILED };
        Failure { sentence: error.to_string(), code }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(format!("cannot write to standard output: {error}"))
    }
}

/// The store is damaged.
const DAMAGED: u8 = 1;
/// The command could not be carried out, or not be understood.
const FAILED: u8 = 2;

const OUTPUT_BYTES: usize = 64 << 10;

const EXIT_CODES: &str = "Exit codes:
  0  all is well
  1  the store is damaged; what is said there can still be relied on
  2  the command could not be carried out, and nothing was changed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("/var/lib/iothub"), "/var/lib/iothub");
        assert_eq!(quoted("my dir"), "'my dir'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}

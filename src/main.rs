//! The `iothub` command: reads what is asked for and hands over to what does it.

mod cli;
mod config;
mod health;
mod listen;
mod log;
mod notify;
mod open_files;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Some(Command::Health(args)) => health::run(args),
        None => ExitCode::SUCCESS,
    }
}

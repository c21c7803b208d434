//! The `iothub` command: reads what is asked for and hands over to what does it.

mod cli;
mod config;
mod control;
mod endpoint;
mod health;
mod listen;
mod log;
mod notify;
mod open_files;
mod publish;
mod signals;
mod start;
mod subscribe;

use std::{
    env,
    process::{self, ExitCode},
    sync::OnceLock,
};

use clap::Parser;

use crate::{
    cli::{Cli, Command, ServeArgs},
    config::Loaded,
    log::Log,
    signals::Signals,
};

/// The log of this process, once it is started.
static LOG: OnceLock<Log> = OnceLock::new();

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Some(Command::Health(args)) => health::run(args),
        Some(Command::Publish(args)) => publish::run(args),
        Some(Command::Subscribe(args)) => subscribe::run(args),
        None => serve(&cli.serve),
    }
}

/// The broker itself, or the check of its configuration.
fn serve(args: &ServeArgs) -> ExitCode {
    let loaded = match config::load(args.config.as_deref(), env::vars_os(), &args.flags()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in problems {
                eprintln!("iothub: {problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    if args.test_config {
        print!("{}", report(&loaded));
        return ExitCode::SUCCESS;
    }
    let code = start_and_run(&loaded);
    flush_log();
    code
}

fn start_and_run(loaded: &Loaded) -> ExitCode {
    // First of all, because threads inherit what is held back.
    let signals = Signals::hold();
    LOG.get_or_init(|| Log::start(loaded.settings.log.level, loaded.settings.log.format));
    let (sender, received) = crossbeam_channel::unbounded();
    if let Err(error) = signals.and_then(|signals| signals.forward(sender)) {
        tracing::error!(%error, "signals cannot be received");
        return ExitCode::FAILURE;
    }
    match start::start(loaded) {
        Ok(broker) => control::run(broker, &loaded.settings, &received),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the process now, with its last lines written.
fn leave(code: i32) -> ! {
    flush_log();
    process::exit(code)
}

fn flush_log() {
    if let Some(log) = LOG.get() {
        log.flush();
    }
}

/// What `--test-config` says: each setting that some source changed, with the source that decided.
fn report(loaded: &Loaded) -> String {
    let mut text = "configuration ok\n".to_owned();
    for (key, origin) in &loaded.origins {
        let value = key.show(&loaded.settings);
        text.push_str(&format!("{}.{} = {value} ({origin})\n", key.section, key.name));
    }
    let addresses: Vec<String> =
        loaded.settings.server.listen_addresses.iter().map(ToString::to_string).collect();
    text.push_str(&format!("would listen on {}\n", addresses.join(" and ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn the_report_names_what_was_set_and_by_whom() {
        let flags = Flags { shards: Some("2".to_owned()), ..Flags::default() };
        let environment = [("IOTHUB_SERVER__MAX_PACKET_SIZE".into(), "2 MiB".into())];
        let loaded = config::load(None, environment, &flags).expect("no problem");
        assert_eq!(
            report(&loaded),
            "configuration ok\n\
             server.max_packet_size = \"2 MiB\" (environment variable IOTHUB_SERVER__MAX_PACKET_SIZE)\n\
             runtime.shards = 2 (flag --shards)\n\
             would listen on tcp://127.0.0.1:1883 and tcp://[::1]:1883\n"
        );
    }
}

//! The `iothub` command: reads what is asked for and hands over to what does it.

mod access;
mod acl;
mod api;
mod audit;
mod backups;
mod ban;
mod bans;
mod brought_rights;
mod cli;
mod completions;
mod config;
mod control;
mod ctl;
mod decoys;
mod disk_room;
mod doorkeeper;
mod drops;
mod endpoint;
mod events;
mod happening;
mod health;
mod listen;
mod log;
mod memory;
mod metrics;
mod named_files;
mod notify;
mod numbering;
mod observer;
#[cfg(test)]
mod one_question;
mod open_files;
mod output;
mod passwd;
mod people;
mod places;
mod policy;
mod publish;
mod rates;
mod reload;
mod reloader;
mod remote;
mod renewal;
mod report;
mod revoked;
mod scram;
mod signals;
mod start;
mod store;
mod subscribe;
mod sys;
mod telemetry;
mod text;
mod threads;
mod tls;
mod token;
mod top;
mod trace;
mod user;
mod vocabulary;
mod warnings;
mod watch;
mod watchdog;
mod why;

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::OnceLock,
};

use clap::Parser;
use crossbeam_channel::Receiver;

use crate::{
    api::Api,
    bans::Keeper,
    cli::{Cli, Command, ServeArgs},
    config::Loaded,
    control::{Inbox, Request},
    log::Log,
    reloader::Reloader,
    renewal::Running,
    signals::{Signal, Signals},
    start::Started,
    watch::{Stamps, Watch},
};

/// The log of this process, once it is started.
static LOG: OnceLock<Log> = OnceLock::new();

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return endpoint::usage::show(&error),
    };
    match &cli.command {
        Some(Command::Acl(args)) => acl::run(args),
        Some(Command::Health(args)) => health::run(args),
        Some(Command::Ban(args)) => ban::run(args),
        Some(Command::Completions(args)) => completions::run(args),
        Some(Command::Ctl(args)) => ctl::run(args),
        Some(Command::Reload(args)) => reload::run(args),
        Some(Command::Scram(args)) => scram::run(args),
        Some(Command::Store(args)) => store::run(args),
        Some(Command::Passwd(args)) => passwd::run(args),
        Some(Command::Publish(args)) => publish::run(args),
        Some(Command::Subscribe(args)) => subscribe::run(args),
        Some(Command::Token(args)) => token::run(args),
        Some(Command::Drops(args)) => drops::run(args),
        Some(Command::Trace(args)) => trace::run(args),
        Some(Command::Why(args)) => why::run(args),
        Some(Command::Top(args)) => top::run(args),
        Some(Command::User(args)) => user::run(args),
        None => {
            memory::give_back_large();
            serve(&cli.serve)
        }
    }
}

/// The broker itself, or the check of its configuration.
fn serve(args: &ServeArgs) -> ExitCode {
    let loaded = match load(args) {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in problems {
                fail(&problem.to_string());
            }
            return ExitCode::FAILURE;
        }
    };
    if args.test_config {
        let warnings = match start::check_files(&loaded) {
            Ok(warnings) => warnings,
            Err(problems) => {
                for problem in problems {
                    fail(&problem);
                }
                return ExitCode::FAILURE;
            }
        };
        return match io::stdout().write_all(report::report(&loaded, &warnings).as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("the report cannot be written to standard output: {error}")),
        };
    }
    let code = start_and_run(&loaded, &|| load(args));
    flush_log();
    code
}

fn load(args: &ServeArgs) -> Result<Loaded, Vec<config::Problem>> {
    config::load(args.config.as_deref(), env::vars_os(), &args.flags())
}

fn start_and_run(loaded: &Loaded, load: control::Load<'_>) -> ExitCode {
    // First of all, because threads inherit what is held back.
    let signals = Signals::hold();
    match Log::start(loaded.settings.log.level, loaded.settings.log.format) {
        Ok(log) => drop(LOG.set(log)),
        Err(error) => {
            return fail(&format!("the thread of the log cannot be started: {error}. {}", threads::REMEDY));
        }
    }
    let (sender, received) = crossbeam_channel::unbounded();
    if let Err(error) = signals.and_then(|signals| signals.forward(sender)) {
        tracing::error!("signals cannot be received: {error}. {}", threads::REMEDY);
        return ExitCode::FAILURE;
    }
    // Before the start reads them: a change meanwhile is found by the first look.
    let read = watch::stamps(renewal::watched(loaded));
    let (asked, requests) = crossbeam_channel::bounded(api::REQUESTS_MAX);
    // It says that the broker starts for as long as it does.
    let served = Api::start(loaded, &asked).and_then(|api| {
        drop(asked);
        let started = start::start(loaded, api.context().events())?;
        serve_control(loaded, started, api, read, (received, requests), load)
    });
    match served {
        Ok(code) => code,
        Err(error) => {
            // What is wrong with several files is several lines.
            error.lines().for_each(|line| tracing::error!("{line}"));
            ExitCode::FAILURE
        }
    }
}

/// What serves beside the shards: the API, who watches files, and the control thread, which is this one.
fn serve_control(
    loaded: &Loaded,
    started: Started,
    mut api: Api,
    read: Stamps,
    (signals, requests): (Receiver<Signal>, Receiver<Request>),
    load: control::Load<'_>,
) -> Result<ExitCode, String> {
    let data_dir = Some(loaded.settings.store.dir.as_str()).filter(|dir| !dir.is_empty());
    let keeper = Keeper::start(data_dir.map(Path::new), &started.broker)?;
    api.context().set_observer(started.observer.clone());
    api.context().streams().lower_to(started.own.streams);
    let running = Running::new(started, loaded, api.context().clone());
    api.open(&loaded.settings, running.started.broker.desk())?;
    start::announce(&running.started, loaded);
    let (found, changed) = crossbeam_channel::bounded(1);
    let no_thread = |error: io::Error| {
        format!("the threads that watch files and the disk cannot be started: {error}. {}", threads::REMEDY)
    };
    let watch = Watch::start(found).map_err(no_thread)?;
    data_dir.map_or(Ok(()), |dir| disk_room::start(PathBuf::from(dir))).map_err(no_thread)?;
    let reloader = Reloader::new(running, load, watch, read);
    Ok(control::run(reloader, &keeper, Inbox { signals, requests, changed }))
}

/// Says it where no log is yet. A standard error that fails has nobody who could be told of it.
fn fail(sentence: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "iothub: {sentence}");
    ExitCode::FAILURE
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
    audit::flush();
}

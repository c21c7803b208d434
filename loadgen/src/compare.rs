//! `loadgen compare`: the same runs with several brokers in turn, repeated, and what came out side by side.
//!
//! Each run starts its broker afresh, loads it by a process of its own, and stops it. The figures of a run in which a message was
//! lost, doubled or out of order are told and do not count.

mod child;
mod cpus;
mod curve;
mod data;
mod host;
mod html;
mod markup;
mod number;
mod plan;
mod plot;
mod progress;
mod result;
#[cfg(test)]
mod sample;
mod server;
mod suite;
mod summary;
mod table;
mod terminal;
mod turns;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::null::Engine;
use child::{Child, Output};
use cpus::Cpus;
use host::Host;
use plan::{Contender, Run};
use result::{BrokerFacts, Comparison, RunFacts, Turn};
use suite::Suite;
use turns::Sitting;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A broker and how to start it on 127.0.0.1; `{port}` in the command is replaced by a free port. It stays in the foreground,
    /// and it is the process that the command starts whose CPU time counts
    #[arg(long = "broker", value_name = "NAME=COMMAND")]
    brokers: Vec<String>,
    /// A relay that only moves bytes, to compare with
    #[arg(long = "null", value_enum, value_name = "ENGINE")]
    nulls: Vec<Engine>,
    /// A scenario with its flags, as it stands behind `loadgen`
    #[arg(long = "run", value_name = "SCENARIO FLAGS")]
    runs: Vec<String>,
    /// Brokers and runs from a file; see loadgen/suites
    #[arg(long, value_name = "FILE")]
    suite: Option<PathBuf>,
    /// How often everything is run [default: the suite's, or 5]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: Option<u32>,
    /// Only brokers with this name
    #[arg(long, value_name = "NAME")]
    only_broker: Vec<String>,
    /// Only runs with this name
    #[arg(long, value_name = "NAME")]
    only_run: Vec<String>,
    /// A command whose first line is the version of this broker
    #[arg(long = "version-of", value_name = "NAME=COMMAND")]
    versions: Vec<String>,
    /// Processors for the brokers, such as 0 or 0,2-3
    #[arg(long, value_name = "LIST", value_parser = Cpus::parse_present)]
    broker_cpus: Option<Cpus>,
    /// Processors for the load
    #[arg(long, value_name = "LIST", value_parser = Cpus::parse_present)]
    load_cpus: Option<Cpus>,
    /// A file to lock (flock) while a run goes on, for those who share the machine and measure as well
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Folder for what brokers keep, on the disk that is to be measured; each run's own part is removed with its end
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    data: PathBuf,
    /// Seconds after which a run has failed
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    run_limit: u64,
    /// Also writes a report with plots as one HTML file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Also writes every plot as an SVG file into this folder
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// Runs nothing: shows what earlier comparisons wrote with --json, together
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all =
            ["brokers", "nulls", "runs", "suite", "repeat", "versions", "broker_cpus", "load_cpus", "lock"]
    )]
    from: Vec<PathBuf>,
}

pub fn run(args: &CompareArgs, json: Option<&Path>) -> Result<(), String> {
    if !args.from.is_empty() {
        let mut comparison = merged(&args.from)?;
        choose("--only-broker", &args.only_broker, &mut comparison.brokers, |broker| &broker.name)?;
        choose("--only-run", &args.only_run, &mut comparison.runs, |run| &run.name)?;
        comparison.forget_others();
        return show(&comparison, args, json);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&is_over))
            .map_err(|error| format!("cannot handle signals: {error}"))?;
    }
    let sitting = plan(args)?;
    let mut comparison = facts(&sitting, &is_over);
    comparison.turns = sitting.run(&is_over)?;
    comparison.summarise();
    if !comparison.turns.is_empty() {
        show(&comparison, args, json)?;
    }
    if is_over.load(Ordering::Relaxed) {
        return Err(format!("interrupted after {} runs; all brokers are stopped", comparison.turns.len()));
    }
    if !comparison.has_figures() {
        return Err("no run gave any figures".to_owned());
    }
    Ok(())
}

/// Suite and flags together.
fn plan(args: &CompareArgs) -> Result<Sitting, String> {
    let mut suite = args.suite.as_deref().map(Suite::read).transpose()?.unwrap_or_default();
    let mut contenders = Vec::new();
    for engine in &args.nulls {
        contenders.push(Contender::null(*engine)?);
    }
    contenders.append(&mut suite.contenders);
    for text in &args.brokers {
        let (name, command) = named("--broker", text)?;
        let given = Contender::new(name, command)?;
        match contenders.iter_mut().find(|known| known.name == given.name) {
            // The rest of what the suite says stays.
            Some(known) => known.command = given.command,
            None => contenders.push(given),
        }
    }
    for text in &args.versions {
        let (name, command) = named("--version-of", text)?;
        let known = contenders.iter_mut().find(|known| known.name == name);
        let known = known.ok_or_else(|| format!("--version-of: there is no broker `{name}`"))?;
        known.version_command = Some(words::split(command)?);
    }
    let mut runs = suite.runs;
    for text in &args.runs {
        runs.push(Run::new(text, text)?);
    }
    choose("--only-broker", &args.only_broker, &mut contenders, |contender| &contender.name)?;
    choose("--only-run", &args.only_run, &mut runs, |run| &run.name)?;
    check(&contenders, &runs)?;
    Ok(Sitting {
        contenders,
        runs,
        repeat: args.repeat.or(suite.repeat).unwrap_or(REPEAT_DEFAULT),
        broker_cpus: args.broker_cpus.clone().or(suite.broker_cpus),
        load_cpus: args.load_cpus.clone().or(suite.load_cpus),
        lock: args.lock.clone(),
        data: args.data.clone(),
        run_limit: Duration::from_secs(args.run_limit),
    })
}

fn named<'a>(flag: &str, text: &'a str) -> Result<(&'a str, &'a str), String> {
    text.split_once('=').ok_or_else(|| format!("{flag} {text}: write NAME=COMMAND"))
}

/// Keeps what was asked for by name; a name that nothing has is a mistake.
fn choose<T>(flag: &str, names: &[String], all: &mut Vec<T>, name: fn(&T) -> &String) -> Result<(), String> {
    if let Some(unknown) = names.iter().find(|wanted| !all.iter().any(|one| name(one) == *wanted)) {
        let known: Vec<&str> = all.iter().map(|one| name(one).as_str()).collect();
        return Err(format!("{flag} {unknown}: there is none of this name, but {}", known.join(", ")));
    }
    all.retain(|one| names.is_empty() || names.contains(name(one)));
    Ok(())
}

fn check(contenders: &[Contender], runs: &[Run]) -> Result<(), String> {
    if contenders.is_empty() {
        return Err(
            "there is nothing to compare: --broker NAME='COMMAND with {port}', --null epoll, or --suite FILE"
                .to_owned(),
        );
    }
    if runs.is_empty() {
        return Err("there is nothing to run: --run 'p2p -n 50', or --suite FILE".to_owned());
    }
    contenders.iter().try_for_each(Contender::check)?;
    let twice = |names: Vec<&String>| {
        let mut seen = std::collections::BTreeSet::new();
        names.into_iter().find(|name| !seen.insert(*name)).cloned()
    };
    let name = twice(contenders.iter().map(|contender| &contender.name).collect())
        .or_else(|| twice(runs.iter().map(|run| &run.name).collect()));
    match name {
        Some(name) => Err(format!("`{name}` is there twice: give each its own name")),
        None => Ok(()),
    }
}

/// All but the runs themselves.
fn facts(sitting: &Sitting, is_over: &AtomicBool) -> Comparison {
    let broker = |contender: &Contender| BrokerFacts {
        name: contender.name.clone(),
        command: contender.shown_command(),
        config: contender.config.as_ref().map(|config| config.trim().to_owned()),
        version: contender.version_command.as_deref().and_then(|words| version(words, is_over)),
        is_null: contender.is_null,
        keeps_data: contender.keeps_data(),
    };
    let run = |run: &Run| RunFacts {
        name: run.name.clone(),
        command: run.shown_command(),
        suits_null: run.suits_null,
        has_restart: run.before.is_some(),
    };
    Comparison {
        loadgen_version: env!("CARGO_PKG_VERSION").to_owned(),
        begun: host::utc_now(),
        host: Host::here(),
        repeat: sitting.repeat,
        broker_cpus: sitting.broker_cpus.as_ref().map(Cpus::to_string),
        load_cpus: sitting.load_cpus.as_ref().map(Cpus::to_string),
        brokers: sitting.contenders.iter().map(broker).collect(),
        runs: sitting.runs.iter().map(run).collect(),
        turns: Vec::<Turn>::new(),
        summary: Vec::new(),
    }
}

/// The first line that the command prints, wherever it prints it. Nothing where it goes on and on.
fn version(words: &[String], is_over: &AtomicBool) -> Option<String> {
    let mut child = Child::start(words, None, Output::Kept).ok()?;
    child.wait(VERSION_PATIENCE, || !is_over.load(Ordering::Relaxed))?;
    let out = String::from_utf8_lossy(&child.take_output()).into_owned();
    let lines = out.lines().map(str::to_owned).chain(child.last_lines());
    lines.map(|line| line.trim().to_owned()).find(|line| !line.is_empty())
}

fn merged(paths: &[PathBuf]) -> Result<Comparison, String> {
    let mut all: Option<Comparison> = None;
    for path in paths {
        let error = |error: String| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|found| error(found.to_string()))?;
        let one = Comparison::parse(&text).map_err(error)?;
        match &mut all {
            Some(all) => all.merge(one).map_err(error)?,
            None => all = Some(one),
        }
    }
    all.ok_or_else(|| "no file to show".to_owned())
}

fn show(comparison: &Comparison, args: &CompareArgs, json: Option<&Path>) -> Result<(), String> {
    let to_stdout = json == Some(Path::new("-"));
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(comparison).map_err(|error| error.to_string())?;
        if to_stdout {
            println!("{text}");
        } else {
            write(path, &text)?;
        }
    }
    if let Some(path) = &args.html {
        write(path, &html::page(comparison))?;
    }
    if let Some(folder) = &args.svg {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
        for (name, plot) in html::plots(comparison) {
            write(&folder.join(format!("{name}.svg")), &plot.file())?;
        }
    }
    if !to_stdout {
        print!("{}", table::text(comparison, terminal::columns()));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

const VERSION_PATIENCE: Duration = Duration::from_secs(5);
const REPEAT_DEFAULT: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn version_of(script: &str) -> Option<String> {
        version(&["sh", "-c", script].map(str::to_owned), &AtomicBool::new(false))
    }

    #[test]
    fn a_version_is_the_first_line_of_either_stream() {
        assert_eq!(version_of("echo; echo one 1.0; echo more").as_deref(), Some("one 1.0"));
        assert_eq!(version_of("echo two 2.0 >&2; exit 3").as_deref(), Some("two 2.0"));
        assert_eq!(version_of("exit 1"), None);
    }

    #[test]
    fn a_version_that_does_not_come_holds_nothing_up() {
        let words = ["sh", "-c", "sleep 1000"].map(str::to_owned);
        assert_eq!(version(&words, &AtomicBool::new(true)), None);
    }
}

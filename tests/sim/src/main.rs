//! The command that runs seeds until it is stopped, or shows one of them. What a run is, the library knows.

use std::{
    backtrace::Backtrace,
    cell::RefCell,
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use sim::{Plan, Point, Profile, Report, Schedule, run_caught};

const USAGE: &str = "sim: the seeded simulator of the shards

    sim --seeds FROM[..TO] [--shards N] [--profile P] [--seconds S] [--jobs J]
        runs seed after seed until stopped, until TO, or for S seconds; without
        --shards with 1, 2, 3 and 4, without --profile with all of them
    sim --seed N [--shards N] [--profile P] [--point P] [--trace]
        runs one seed; with --trace it prints all that happens, with --point it
        crashes once: at 17,power,any for example, as a failed run says
    sim --seeds FROM[..TO] --points ...
        as above, and each seed crashes at each of its points in turn";

#[derive(Debug, Default)]
struct Arguments {
    seed: Option<u64>,
    from: u64,
    to: Option<u64>,
    shards: Option<u8>,
    profile: Option<Profile>,
    seconds: Option<u64>,
    jobs: Option<usize>,
    trace: bool,
    point: Option<Point>,
    points: bool,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}\n\n{USAGE}\n\n{}", profiles());
            return ExitCode::from(2);
        }
    };
    report_panics();
    match arguments.seed {
        Some(seed) => run_one(seed, &arguments),
        None => run_many(&arguments),
    }
}

fn profiles() -> String {
    let names = |is_durable: bool| {
        let chosen = Profile::ALL.into_iter().filter(|profile| profile.is_durable() == is_durable);
        chosen.map(|profile| format!("\n        {}", profile.name())).collect::<String>()
    };
    format!("    profiles:{}\n    with a store, crashes and recoveries:{}", names(false), names(true))
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        if word == "--trace" {
            arguments.trace = true;
            continue;
        }
        if word == "--points" {
            arguments.points = true;
            continue;
        }
        if word == "--help" || word == "-h" {
            return Err("help".into());
        }
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: {value:?} is not a number"));
        match word.as_str() {
            "--seed" => arguments.seed = Some(number()?),
            "--seeds" => (arguments.from, arguments.to) = range(&value)?,
            "--seconds" => arguments.seconds = Some(number()?),
            "--jobs" => arguments.jobs = Some(number()? as usize),
            "--shards" => {
                let shards = u8::try_from(number()?).ok().filter(|shards| (1..=16).contains(shards));
                arguments.shards = Some(shards.ok_or("--shards takes 1 to 16")?);
            }
            "--point" => {
                arguments.point = Some(Point::of(&value).ok_or(format!("there is no point {value:?}"))?)
            }
            "--profile" => {
                let profile = Profile::of(&value).ok_or(format!("there is no profile {value:?}"))?;
                arguments.profile = Some(profile);
            }
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(arguments)
}

/// `5` is from 5 on, `5..9` ends with 8.
fn range(value: &str) -> Result<(u64, Option<u64>), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a seed"));
    match value.split_once("..") {
        None => Ok((number(value)?, None)),
        Some((from, "")) => Ok((number(from)?, None)),
        Some((from, to)) => Ok((number(from)?, Some(number(to)?))),
    }
}

fn run_one(seed: u64, arguments: &Arguments) -> ExitCode {
    let mut plan = arguments.plan(seed);
    plan.readable = arguments.trace;
    let report = run_caught(plan);
    // Whoever reads no further, as `head` does, has what he wanted.
    let _ = show(&report, &mut std::io::stdout().lock());
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(report: &Report, target: &mut impl Write) -> io::Result<()> {
    target.write_all(report.trace.as_bytes())?;
    writeln!(target, "{}", report.describe())?;
    writeln!(target, "hash {:016x}, {} publications", report.hash, report.publications)?;
    writeln!(
        target,
        "{} lives with a store, {} segments given up, {} messages fetched, counters:",
        report.lives, report.retired, report.fetched
    )?;
    for (name, _, value) in report.counters.iter().filter(|(_, _, value)| *value > 0) {
        writeln!(target, "  {name} {value}")?;
    }
    target.flush()
}

fn run_many(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(arguments.from);
    let failed = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if arguments.to.is_some_and(|to| seed >= to) || arguments.is_late(began) {
                        break;
                    }
                    for plan in arguments.plans(seed) {
                        CURRENT.with_borrow_mut(|current| *current = Some(plan));
                        let report = run_caught(plan);
                        if !report.is_good() {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("FAILED {}", report.describe());
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut told = 0;
            while done.load(Ordering::Relaxed) + arguments.from
                < next.load(Ordering::Relaxed).min(u64::MAX / 2)
            {
                std::thread::sleep(Duration::from_millis(200));
                let minutes = began.elapsed().as_secs() / 60;
                if minutes > told {
                    told = minutes;
                    println!("{} seeds in {minutes} min", done.load(Ordering::Relaxed));
                }
                if arguments.is_late(began) {
                    is_over.store(true, Ordering::Relaxed);
                    break;
                }
                if arguments.to.is_some_and(|to| next.load(Ordering::Relaxed) >= to + jobs as u64) {
                    break;
                }
            }
        });
    });
    let (done, failed) = (done.into_inner(), failed.into_inner());
    println!(
        "{done} seeds from {} on, {failed} failed, {:.1} s",
        arguments.from,
        began.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Arguments {
    fn plan(&self, seed: u64) -> Plan {
        let shards = self.shards.unwrap_or(Plan::shards_of(seed));
        let plan = Plan::new(seed, shards, self.profile.unwrap_or(Plan::profile_of(seed)));
        self.point.map_or(plan, |point| Plan { schedule: Schedule::At(point), ..plan })
    }

    /// All that is to be run of one seed.
    fn plans(&self, seed: u64) -> Vec<Plan> {
        let plan = self.plan(seed);
        if self.points { plan.at_each_point() } else { vec![plan] }
    }

    fn is_late(&self, began: Instant) -> bool {
        self.seconds.is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds))
    }
}

/// Where a panic ends the process, its seed is said first.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}\n{}", Backtrace::capture());
        if let Some(plan) = CURRENT.with_borrow(Clone::clone) {
            eprintln!("seed {} panicked; again: {}", plan.seed, plan.replay());
        }
    }));
}

thread_local! {
    static CURRENT: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

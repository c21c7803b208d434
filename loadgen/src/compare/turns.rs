//! The comparison itself: each repetition runs every scenario with every broker in turn, and the next one begins with another
//! broker, so that whatever changes on the machine meanwhile hits all of them alike.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::child::{Child, Output, outcome};
use super::cpus::Cpus;
use super::plan::{Contender, DATA, Run};
use super::progress::Progress;
use super::result::{Failure, Outcome, Turn};
use super::server::Server;
use crate::report::Report;

/// What is run and how.
pub struct Sitting {
    pub contenders: Vec<Contender>,
    pub runs: Vec<Run>,
    pub repeat: u32,
    pub broker_cpus: Option<Cpus>,
    pub load_cpus: Option<Cpus>,
    /// Held while a run goes on.
    pub lock: Option<PathBuf>,
    /// Where brokers keep what they keep.
    pub data: PathBuf,
    /// A run that takes longer has failed.
    pub run_limit: Duration,
}

/// One run of one broker.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    pub run_at: usize,
    pub run: &'a Run,
    pub contender_at: usize,
    pub contender: &'a Contender,
    pub repetition: u32,
    pub repeat: u32,
}

impl Sitting {
    fn steps(&self) -> Vec<Step<'_>> {
        let mut steps = Vec::new();
        for repetition in 0..self.repeat {
            for (run_at, run) in self.runs.iter().enumerate() {
                let suited = |at: &usize| run.suits(&self.contenders[*at]);
                let mut order: Vec<usize> = (0..self.contenders.len()).filter(suited).collect();
                let first = repetition as usize % order.len().max(1);
                order.rotate_left(first);
                for contender_at in order {
                    let contender = &self.contenders[contender_at];
                    let repeat = self.repeat;
                    steps.push(Step { run_at, run, contender_at, contender, repetition, repeat });
                }
            }
        }
        steps
    }

    /// Everything in turn, until `is_over` is set.
    pub fn run(&self, is_over: &Arc<AtomicBool>) -> Result<Vec<Turn>, String> {
        let lock = Lock::new(self.lock.as_ref())?;
        let steps = self.steps();
        let mut progress = Progress::new(steps.len());
        let mut expected = Expected::new(&self.runs, self.contenders.len());
        let mut turns = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let held = lock.hold(is_over, || progress.wait(step))?;
            let begun = Instant::now();
            let left = steps[at..].iter().map(|step| expected.of(step)).sum::<Duration>();
            let outcome = self.take(step, &mut || {
                progress.tick(step, left.saturating_sub(begun.elapsed()));
                !is_over.load(Ordering::Relaxed)
            });
            drop(held);
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            expected.saw(step, begun.elapsed());
            let outcome = outcome.map_or_else(Outcome::Failure, Outcome::Report);
            progress.finish(step, &outcome);
            let (run, broker) = (step.run.name.clone(), step.contender.name.clone());
            turns.push(Turn { run, broker, repetition: step.repetition, outcome });
        }
        progress.end();
        Ok(turns)
    }

    fn take(&self, step: &Step<'_>, go_on: &mut dyn FnMut() -> bool) -> Result<Report, Failure> {
        let cpus = self.broker_cpus.as_ref();
        let mut server = Server::start(step.contender, cpus, &self.data, &mut *go_on)?;
        let mut figures = Vec::new();
        if let Some(before) = &step.run.before {
            let before = self.load(before, &server, &mut *go_on)?;
            if before.faults.any() {
                return Ok(before);
            }
            figures = before.figures;
            server.restart(cpus, &mut *go_on)?;
        }
        let mut report = self.load(&step.run.words, &server, go_on)?;
        server.report(&mut report);
        // What it took to make what was kept, beside what it took to use it.
        figures.retain(|before| !report.figures.iter().any(|figure| figure.key == before.key));
        report.figures.append(&mut figures);
        Ok(report)
    }

    fn load(
        &self,
        words: &[String],
        server: &Server,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Report, Failure> {
        let mut load = self.start_load(words, server)?;
        let status = load.wait(self.run_limit, go_on);
        server.check_alive("during the run")?;
        let Some(status) = status else {
            let what = format!("the run was not over after {} s", self.run_limit.as_secs());
            return Err(Failure { what, last_lines: server.last_lines() });
        };
        // A run with faults fails, and tells of them.
        if let Ok(report) = serde_json::from_slice::<Report>(&load.take_output()) {
            if !status.success() && !report.faults.any() {
                let what = format!("loadgen ended with {}", outcome(status));
                return Err(Failure { what, last_lines: load.last_lines() });
            }
            return Ok(report);
        }
        let said =
            load.last_lines().into_iter().find_map(|line| Some(line.strip_prefix("loadgen: ")?.to_owned()));
        let what = said.unwrap_or_else(|| format!("loadgen ended with {} and no report", outcome(status)));
        Err(Failure { what, last_lines: server.last_lines() })
    }

    fn start_load(&self, words: &[String], server: &Server) -> Result<Child, Failure> {
        let this = std::env::current_exe()
            .ok()
            .and_then(|path| path.to_str().map(str::to_owned))
            .ok_or_else(|| Failure::new("the path of this program is not text"))?;
        let (port, pid) = (server.port.to_string(), server.id().to_string());
        let flags = ["--host", "127.0.0.1", "--port", &port, "--pid", &pid, "--json", "-"];
        let data = self.data.display().to_string();
        let words = std::iter::once(this).chain(words.iter().map(|word| word.replace(DATA, &data)));
        let words: Vec<String> = words.chain(flags.map(str::to_owned)).collect();
        Child::start(&words, self.load_cpus.as_ref(), Output::Kept).map_err(Failure::new)
    }
}

/// How long runs take.
struct Expected {
    guesses: Vec<Duration>,
    /// By run and broker: a broker that fails is through at once, time after time.
    seen: Vec<Vec<Option<Duration>>>,
}

impl Expected {
    fn new(runs: &[Run], contenders: usize) -> Expected {
        let guesses = runs.iter().map(|run| run.expected).collect();
        Expected { guesses, seen: vec![vec![None; contenders]; runs.len()] }
    }

    fn of(&self, step: &Step<'_>) -> Duration {
        let seen = &self.seen[step.run_at];
        let of_others = || seen.iter().flatten().max().copied();
        seen[step.contender_at].or_else(of_others).unwrap_or(self.guesses[step.run_at])
    }

    fn saw(&mut self, step: &Step<'_>, took: Duration) {
        self.seen[step.run_at][step.contender_at] = Some(took);
    }
}

/// A file that whoever measures on this machine locks for a while.
struct Lock(Option<File>);

struct Held<'a>(&'a File);

impl Lock {
    fn new(path: Option<&PathBuf>) -> Result<Lock, String> {
        let open = |path: &PathBuf| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|error| format!("cannot open the lock {}: {error}", path.display()))
        };
        path.map(open).transpose().map(Lock)
    }

    /// Waits for those who hold it, unless it is all over. The kernel lets go of it when the process ends.
    fn hold(&self, is_over: &AtomicBool, mut on_wait: impl FnMut()) -> Result<Option<Held<'_>>, String> {
        let Some(file) = &self.0 else { return Ok(None) };
        let error = |error: io::Error| format!("cannot lock: {error}");
        // A copy of the descriptor takes the same lock. Its own thread sleeps in the kernel's queue, where looking again and again
        // would never get a turn, while this one looks after signals.
        let copy = file.try_clone().map_err(error)?;
        let taker = thread::spawn(move || {
            // SAFETY: the descriptor is open as long as the copy lives.
            match unsafe { libc::flock(copy.as_raw_fd(), libc::LOCK_EX) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
        while !taker.is_finished() {
            if is_over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            on_wait();
            thread::sleep(LOCK_INTERVAL);
        }
        taker.join().map_err(|_| "cannot lock: a thread panicked".to_owned())?.map_err(error)?;
        Ok(Some(Held(file)))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open as long as the file lives.
        unsafe { libc::flock(self.0.as_raw_fd(), libc::LOCK_UN) };
    }
}

const LOCK_INTERVAL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::null::Engine;

    fn sitting() -> Sitting {
        let broker = |name| Contender::new(name, "x {port}").unwrap();
        Sitting {
            contenders: vec![Contender::null(Engine::Epoll).unwrap(), broker("a"), broker("b")],
            runs: vec![Run::new("p2p", "p2p").unwrap(), Run::new("q1", "p2p -q 1").unwrap()],
            repeat: 2,
            broker_cpus: None,
            load_cpus: None,
            lock: None,
            data: std::env::temp_dir(),
            run_limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn brokers_take_turns_and_change_their_order() {
        let sitting = sitting();
        let steps: Vec<String> =
            sitting.steps().iter().map(|step| format!("{} {}", step.run.name, step.contender.name)).collect();
        assert_eq!(
            steps,
            [
                "p2p null epoll",
                "p2p a",
                "p2p b",
                "q1 a",
                "q1 b",
                "p2p a",
                "p2p b",
                "p2p null epoll",
                "q1 b",
                "q1 a"
            ]
        );
    }

    #[test]
    fn a_run_takes_as_long_as_it_took_and_else_as_the_longest_of_others() {
        let sitting = sitting();
        let steps = sitting.steps();
        let [null, dead, third] = [0, 1, 2].map(|at| &steps[at]);
        let mut expected = Expected::new(&sitting.runs, sitting.contenders.len());
        assert_eq!(expected.of(null), sitting.runs[0].expected);
        expected.saw(null, Duration::from_secs(9));
        expected.saw(dead, Duration::from_millis(1));
        assert_eq!(expected.of(dead), Duration::from_millis(1));
        assert_eq!(expected.of(third), Duration::from_secs(9));
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time_and_given_back() {
        let path = std::env::temp_dir().join(format!("loadgen-lock-{}", std::process::id()));
        let (one, other) = (Lock::new(Some(&path)).unwrap(), Lock::new(Some(&path)).unwrap());
        let held = one.hold(&AtomicBool::new(false), || {}).unwrap();
        assert!(held.is_some());
        assert!(other.hold(&AtomicBool::new(true), || {}).unwrap().is_none());
        drop(held);
        assert!(other.hold(&AtomicBool::new(false), || {}).unwrap().is_some());
        std::fs::remove_file(path).unwrap();
    }
}

//! What a comparison is doing: one line that is written over on a terminal, a line for each run elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::number;
use super::result::Outcome;
use super::turns::Step;

pub struct Progress {
    is_terminal: bool,
    begun: Instant,
    drawn: Option<Instant>,
    done: usize,
    of: usize,
}

impl Progress {
    pub fn new(of: usize) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        Progress { is_terminal, begun: Instant::now(), drawn: None, done: 0, of }
    }

    /// A run goes on. `left` is what all of them will take from now.
    pub fn tick(&mut self, step: &Step<'_>, left: Duration) {
        self.draw(step, || format!("{} left", clock(left)));
    }

    /// A run waits for others who measure.
    pub fn wait(&mut self, step: &Step<'_>) {
        self.draw(step, || "waits for the lock".to_owned());
    }

    fn draw(&mut self, step: &Step<'_>, left: impl Fn() -> String) {
        if !self.is_terminal || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW_INTERVAL) {
            return;
        }
        self.drawn = Some(Instant::now());
        let line = line(self.done, self.of, &left(), &what(step));
        // The terminal may be narrower than the line: without wrapping it stays one.
        eprint!("\r\x1b[?7l\x1b[K{line}\x1b[?7h");
        let _ = io::stderr().flush();
    }

    pub fn finish(&mut self, step: &Step<'_>, outcome: &Outcome) {
        self.done += 1;
        let line = format!("[{}/{}] {}: {}", self.done, self.of, what(step), told(outcome));
        self.drawn = None;
        match (self.is_terminal, outcome) {
            // What went well makes place for the next one.
            (true, Outcome::Report(report)) if !report.faults.any() => {}
            (true, _) => eprintln!("\r\x1b[K{line}"),
            (false, _) => eprintln!("{line}"),
        }
    }

    pub fn end(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
        eprintln!("{} of {} runs in {}", self.done, self.of, clock(self.begun.elapsed()));
    }
}

/// How far it is, how long it takes, and last what may be cut off.
fn line(done: usize, of: usize, left: &str, what: &str) -> String {
    let filled = done * BAR_CELLS / of.max(1);
    let bar = "█".repeat(filled) + &"░".repeat(BAR_CELLS - filled);
    format!("{bar} {}/{of} · {left} · {what}", done + 1)
}

fn what(step: &Step<'_>) -> String {
    let Step { run, contender, repetition, repeat, .. } = step;
    format!("{} · {} · {} of {repeat}", run.name, contender.name, repetition + 1)
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failure(failure) => format!("FAILED: {}", failure.what),
        Outcome::Report(report) => {
            let shown = report.figures.iter().filter(|figure| SHOWN.contains(&figure.key.as_str()));
            let figures: Vec<String> = shown
                .map(|figure| format!("{} {}", figure.label, number::with_unit(figure.value, &figure.unit)))
                .collect();
            let faulty =
                if report.faults.any() { "FAULTY: messages lost, duplicated or reordered; " } else { "" };
            format!("{faulty}{}", figures.join(", "))
        }
    }
}

fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

const BAR_CELLS: usize = 12;
const REDRAW_INTERVAL: Duration = Duration::from_millis(500);
const SHOWN: [&str; 3] = ["deliveries_per_s", "broker_cpu_us", "bytes_per_connection"];

#[cfg(test)]
mod tests {
    use super::super::result::Failure;
    use super::super::sample::report;
    use super::*;

    #[test]
    fn a_run_is_told_by_its_first_figures_and_a_bad_one_by_what_is_bad() {
        let mut report = report(0.2, 5e6);
        let text = told(&Outcome::Report(report.clone()));
        assert_eq!(text, "deliveries per s 5.00 M, broker CPU per delivery 0.200 us");
        report.faults.reordered = 1;
        assert!(told(&Outcome::Report(report)).starts_with("FAULTY"));
        assert_eq!(told(&Outcome::Failure(Failure::new("gone"))), "FAILED: gone");
    }

    #[test]
    fn the_bar_is_full_at_the_end_only() {
        assert_eq!(line(0, 24, "2 min left", "p2p"), "░░░░░░░░░░░░ 1/24 · 2 min left · p2p");
        assert_eq!(line(23, 24, "1 s left", "p2p"), "███████████░ 24/24 · 1 s left · p2p");
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(5, "5 s"), (65, "1 min 05 s"), (3725, "1 h 02 min")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}

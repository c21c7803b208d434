//! The service manager's watchdog: it hears from the broker as long as every shard answers, and otherwise does what it was told
//! to do about a process that hangs.

use std::{env, io, process, thread, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::{notify, observer::Observer};

/// The thread ends with this.
#[derive(Debug)]
pub struct Watchdog {
    _ends: Sender<()>,
}

/// None where nobody wants to hear.
pub fn start(observer: Observer) -> io::Result<Option<Watchdog>> {
    let Some(period) = period(|name| env::var(name).ok(), process::id()) else { return Ok(None) };
    let shards = observer.shards();
    let answer_max = period / BEATS;
    let do_all_answer = move || observer.snapshots(answer_max).len() == shards;
    let (_ends, ended) = bounded(0);
    let watch = move || watch(answer_max, &ended, do_all_answer, notify::alive);
    thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
    Ok(Some(Watchdog { _ends }))
}

/// Within which the service manager wants to hear something, if that is meant for this process.
fn period(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Option<Duration> {
    let usec: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    let is_ours = variable("WATCHDOG_PID").is_none_or(|wanted| wanted.parse() == Ok(pid));
    (usec > 0 && is_ours).then(|| Duration::from_micros(usec))
}

fn watch(pause: Duration, ended: &Receiver<()>, do_all_answer: impl Fn() -> bool, tell: impl Fn()) {
    loop {
        if do_all_answer() {
            tell();
        }
        if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Of one period: one to ask, one to pause, and one in case that the first came late.
const BEATS: u32 = 3;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_period_is_for_us_unless_it_names_another_process() {
        let of = |usec: Option<&'static str>, pid: Option<&'static str>| {
            let variable =
                move |name: &str| if name == "WATCHDOG_USEC" { usec } else { pid }.map(str::to_owned);
            period(variable, 7)
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(of(Some("1000000"), None), second);
        assert_eq!(of(Some("1000000"), Some("7")), second);
        for (usec, pid) in
            [(Some("1000000"), Some("8")), (Some("0"), None), (Some("x"), None), (None, Some("7"))]
        {
            assert_eq!(of(usec, pid), None, "{usec:?} {pid:?}");
        }
    }

    #[test]
    fn nothing_is_told_as_long_as_a_shard_does_not_answer() {
        let (ends, ended) = bounded(0);
        let (asked, told) = (Cell::new(0), Cell::new(0));
        let ends = Cell::new(Some(ends));
        let answers = [true, false, false, true, false];
        let do_all_answer = || {
            let answer = answers[asked.get()];
            asked.set(asked.get() + 1);
            if asked.get() == answers.len() {
                ends.take();
            }
            answer
        };
        watch(Duration::from_micros(1), &ended, do_all_answer, || told.set(told.get() + 1));
        assert_eq!((asked.get(), told.get()), (5, 2));
    }
}

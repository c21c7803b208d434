//! When the machine itself stood still, so that the broker is not blamed for what another guest of its host, or a program of
//! more weight, has taken.
//!
//! A thread on each core sleeps and wakes. One that is busy with the broker lets it wake in time; one that is taken away does
//! not.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Looks out from when it is made until it is asked.
pub struct Lookout {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Standstill>>>,
}

/// A core did nothing for the threads that look out.
#[derive(Debug, Clone, Copy)]
pub struct Standstill {
    from: Instant,
    until: Instant,
}

impl Lookout {
    pub fn start() -> Lookout {
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = cores().into_iter().map(|core| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || look_out(core, &is_over))
        });
        Lookout { threads: threads.collect(), is_over }
    }

    /// What was seen, sorted by its beginning and without overlaps.
    pub fn end(self) -> Vec<Standstill> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut seen: Vec<Standstill> =
            self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        seen.sort_unstable_by_key(|standstill| standstill.from);
        seen.dedup_by(|next, kept| {
            let is_overlap = next.from <= kept.until;
            if is_overlap {
                kept.until = kept.until.max(next.until);
            }
            is_overlap
        });
        seen
    }
}

/// How much of the time from `begun` on was no standstill. What took less than the shortest of them was not met by any.
pub fn without(standstills: &[Standstill], begun: Instant, took: Duration) -> Duration {
    if took <= LATE {
        return took;
    }
    let ended = begun + took;
    let lost = standstills
        .iter()
        .map(|standstill| standstill.until.min(ended).saturating_duration_since(standstill.from.max(begun)))
        .sum();
    took.saturating_sub(lost)
}

fn look_out(core: usize, is_over: &AtomicBool) -> Vec<Standstill> {
    pin(core);
    let mut seen = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let due = Instant::now() + BEAT;
        thread::sleep(BEAT);
        let until = Instant::now();
        if until.saturating_duration_since(due) > LATE {
            seen.push(Standstill { from: due, until });
        }
    }
    seen
}

/// Those that this process may use.
fn cores() -> Vec<usize> {
    // SAFETY: a set of zeros is an empty one, and the call writes no more than its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        set
    };
    // SAFETY: each is below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

fn pin(core: usize) {
    // SAFETY: the core is one that the set of this process had.
    let status = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(status, 0, "core {core} was there a moment ago");
}

const BEAT: Duration = Duration::from_millis(2);
/// More than the scheduler lets a thread wait that hardly runs.
const LATE: Duration = Duration::from_millis(10);

//! How quick the broker is for others while something costly goes on: round trips through it, timed one by one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::QoS;

use crate::{Link, v5};

/// The times of round trips, sorted.
pub struct Pace {
    times: Vec<Duration>,
}

impl Pace {
    /// Times so many round trips, each from a publisher to a subscriber with a home of its own.
    #[track_caller]
    pub fn of(port: u16, round_trips: usize) -> Pace {
        let mut probe = Probe::connect(port);
        let mut times: Vec<Duration> = (0..round_trips).map(|_| probe.round_trip()).collect();
        times.sort_unstable();
        Pace { times }
    }

    /// Times round trips as long as `work` takes, and gives what it gives.
    pub fn during<T>(port: u16, work: impl FnOnce() -> T) -> (T, Pace) {
        let mut probe = Probe::connect(port);
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let timing = scope.spawn(|| {
                let mut times = vec![probe.round_trip()];
                while !is_done.load(Ordering::Relaxed) {
                    times.push(probe.round_trip());
                    // A probe that never rests would be the load itself.
                    thread::sleep(PROBE_PAUSE);
                }
                times.sort_unstable();
                Pace { times }
            });
            let done = Done(&is_done);
            let result = work();
            drop(done);
            (result, timing.join().unwrap())
        })
    }

    pub fn median(&self) -> Duration {
        self.times[self.times.len() / 2]
    }

    /// All but one in a hundred took at most this.
    pub fn p99(&self) -> Duration {
        self.times[self.times.len() * 99 / 100]
    }

    pub fn worst(&self) -> Duration {
        self.times[self.times.len() - 1]
    }

    /// What is wrong where others were held up since `before`: half of the round trips, or more than one in a hundred, took longer
    /// than four times as long as before and an allowance, which a machine that does much else takes from everybody. More
    /// than [`HELD_UP`] is wrong however slow it was before.
    pub fn held_up_since(&self, before: &Pace) -> Option<String> {
        let limit = |before: Duration, allowance: Duration| (before * 4 + allowance).min(HELD_UP);
        let median_max = limit(before.median(), MEDIAN_ALLOWANCE);
        let p99_max = limit(before.p99(), P99_ALLOWANCE);
        let is_held_up = self.median() > median_max || self.p99() > p99_max;
        is_held_up.then(|| {
            let (before, during) = (before.shown(), self.shown());
            format!("before: {before}; during: {during}; allowed: median {median_max:?}, p99 {p99_max:?}")
        })
    }

    /// For the output of a test.
    pub fn shown(&self) -> String {
        let (median, p99, worst) = (self.median(), self.p99(), self.worst());
        format!("median {median:?}, p99 {p99:?}, worst {worst:?} of {} round trips", self.times.len())
    }
}

struct Probe {
    publisher: Link,
    subscriber: Link,
}

impl Probe {
    fn connect(port: u16) -> Probe {
        let mut subscriber = Link::connect(port, v5("pace-subscriber"));
        subscriber.subscribe("pace", QoS::AtMostOnce);
        Probe { publisher: Link::connect(port, v5("pace-publisher")), subscriber }
    }

    fn round_trip(&mut self) -> Duration {
        let begun = Instant::now();
        self.publisher.publish("pace", "tick", QoS::AtMostOnce);
        self.subscriber.message();
        begun.elapsed()
    }
}

const MEDIAN_ALLOWANCE: Duration = Duration::from_millis(5);
const P99_ALLOWANCE: Duration = Duration::from_millis(40);

/// Somebody who waits so long for a round trip is held up.
const HELD_UP: Duration = Duration::from_millis(100);

const PROBE_PAUSE: Duration = Duration::from_millis(1);

/// Ends the probing, also when the work fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

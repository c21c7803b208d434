//! How quick the broker is for others while something costly goes on: round trips through it, timed one by one. The time
//! in which the machine stood still does not count.

use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::QoS;

use crate::standstill::{self, Lookout};
use crate::{Link, v5};

/// What round trips took that were due at fixed times, sorted: one that is long stands for those that could not begin meanwhile.
pub struct Pace {
    times: Vec<Duration>,
    trips: usize,
    /// What the slowest took on the clock.
    worst_by_clock: Duration,
}

impl Pace {
    /// Times so many round trips, each from a publisher to a subscriber with a home of its own.
    #[track_caller]
    pub fn of(port: u16, round_trips: usize) -> Pace {
        let mut probe = Probe::connect(port);
        let lookout = Lookout::start();
        let trips = (0..round_trips).map(|_| probe.round_trip()).collect();
        Pace::new(trips, lookout)
    }

    /// Times round trips as long as `work` takes, and gives what it gives.
    pub fn during<T>(port: u16, work: impl FnOnce() -> T) -> (T, Pace) {
        let mut probe = Probe::connect(port);
        let is_done = AtomicBool::new(false);
        let lookout = Lookout::start();
        thread::scope(|scope| {
            let timing = scope.spawn(|| {
                let mut trips = vec![probe.round_trip()];
                while !is_done.load(Ordering::Relaxed) {
                    trips.push(probe.round_trip());
                    // A probe that never rests would be the load itself.
                    thread::sleep(PROBE_PAUSE);
                }
                Pace::new(trips, lookout)
            });
            let done = Done(&is_done);
            let result = work();
            drop(done);
            (result, timing.join().unwrap())
        })
    }

    fn new(trips: Vec<RoundTrip>, lookout: Lookout) -> Pace {
        let standstills = lookout.end();
        let worst_by_clock = trips.iter().map(|trip| trip.took).max().unwrap_or_default();
        let own = |trip: RoundTrip| standstill::without(&standstills, trip.begun, trip.took);
        let count = trips.len();
        let mut times: Vec<Duration> = trips.into_iter().map(own).flat_map(all_that_were_due).collect();
        times.sort_unstable();
        Pace { times, trips: count, worst_by_clock }
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
    /// than [`HELD_UP`] is wrong however slow it was before, and so is one that took [`STOOD_STILL`].
    pub fn held_up_since(&self, before: &Pace) -> Option<String> {
        let limit = |before: Duration, allowance: Duration| (before * 4 + allowance).min(HELD_UP);
        let median_max = limit(before.median(), MEDIAN_ALLOWANCE);
        let p99_max = limit(before.p99(), P99_ALLOWANCE);
        let is_held_up = self.median() > median_max || self.p99() > p99_max || self.worst() > STOOD_STILL;
        is_held_up.then(|| {
            let (before, during) = (before.shown(), self.shown());
            format!(
                "before: {before}; during: {during}; allowed: median {median_max:?}, p99 {p99_max:?}, worst {STOOD_STILL:?}"
            )
        })
    }

    /// For the output of a test.
    pub fn shown(&self) -> String {
        let (median, p99, worst) = (self.median(), self.p99(), self.worst());
        let (count, clock) = (self.trips, self.worst_by_clock);
        format!(
            "median {median:?}, p99 {p99:?}, worst {worst:?} ({clock:?} by the clock) of {count} round trips"
        )
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

    fn round_trip(&mut self) -> RoundTrip {
        let begun = Instant::now();
        self.publisher.publish("pace", "tick", QoS::AtMostOnce);
        self.subscriber.message();
        RoundTrip { begun, took: begun.elapsed() }
    }
}

struct RoundTrip {
    begun: Instant,
    took: Duration,
}

/// What it took itself, and what those would have taken that were due before it had ended.
fn all_that_were_due(took: Duration) -> impl Iterator<Item = Duration> {
    iter::successors(Some(took), |late| late.checked_sub(PROBE_PAUSE).filter(|late| *late > PROBE_PAUSE))
}

const MEDIAN_ALLOWANCE: Duration = Duration::from_millis(5);
/// The longest time that the machine may take without being seen to have stood still, and half of it again.
const P99_ALLOWANCE: Duration = Duration::from_millis(15);

/// Somebody who waits so long for a round trip is held up.
const HELD_UP: Duration = Duration::from_millis(100);

/// A broker that does nothing for others for so long stands still, and be it once.
const STOOD_STILL: Duration = Duration::from_millis(500);

/// Between two round trips.
const PROBE_PAUSE: Duration = Duration::from_millis(1);

/// Ends what goes on beside some work, also when that fails.
pub struct Done<'a>(pub &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

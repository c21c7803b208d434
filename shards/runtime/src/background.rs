//! Work of the executor beside the shard's loop: what must not be done on the loop's time, files for example.
//!
//! The loop waits in a ring that glommio does not know. While anything counted here is outstanding that wait is bounded
//! and the loop gives way to the executor now and then; otherwise the loop waits as long as it likes and glommio costs
//! nothing. So every task on the executor is spawned here: another may be runnable and still wait for the next tick.
//! Work that computes for long calls `pause` in between. What should not depend on such a bound belongs on the
//! private ring; what comes back regularly belongs into the shard's own deadlines.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use glommio::{
    Latency, Shares, Task, TaskQueueHandle,
    timer::{Timer, sleep},
};
use shard::Instant;

/// One per shard; clones count together.
#[derive(Clone)]
pub struct Background {
    outstanding: Rc<Cell<usize>>,
    queue: TaskQueueHandle,
}

impl Background {
    /// Must be called on the executor.
    pub(crate) fn new() -> Background {
        let latency = Latency::NotImportant;
        let queue = glommio::executor().create_task_queue(Shares::Static(SHARES), latency, "background");
        Background { outstanding: Rc::default(), queue }
    }

    /// Runs `work` when the shard has time, and in any case a little at a time.
    pub fn spawn<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Task<T> {
        let counted = Counted::new(&self.outstanding);
        let work = async move {
            let _counted = counted;
            work.await
        };
        glommio::spawn_local_into(work, self.queue).expect("the queue exists as long as the executor")
    }

    /// How long the loop may wait, given what is outstanding here.
    pub(crate) fn wait_max(&self) -> Option<Duration> {
        self.is_outstanding().then_some(BACKGROUND_WAIT_MAX)
    }

    pub(crate) fn is_outstanding(&self) -> bool {
        self.outstanding.get() > 0
    }

    /// Whether the executor has waited long enough. Each time it runs costs some twenty system calls.
    pub(crate) fn is_due(&self, last: Instant, now: Instant) -> bool {
        self.is_outstanding() && now.since(last) >= BACKGROUND_PERIOD
    }

    /// Lets the executor look at its timers and completions, and run what is runnable.
    pub(crate) async fn give_way(&self) {
        // An executor that finds its preemption timer expired before it has run anything takes that for idleness and
        // parks, with this very task runnable. A timer that is registered all the while ends such a park.
        let mut guard = Timer::new(GUARD);
        poll_fn(|context| {
            let _ = Pin::new(&mut guard).poll(context);
            Poll::Ready(())
        })
        .await;
        self.pause().await;
    }

    /// Lets the shard's loop run, from within work that computes for long. Merely yielding would not do: glommio looks
    /// at its timers and completions only when nothing is runnable or its preemption timer has expired.
    pub async fn pause(&self) {
        sleep(PAUSE).await;
    }
}

/// Counts for as long as it lives, also when the work is cancelled.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(count: &Rc<Cell<usize>>) -> Counted {
        count.set(count.get() + 1);
        Counted(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The loop's own queue has glommio's default of 1,000.
const SHARES: usize = 200;

/// The longest that an idle shard waits while background work is outstanding.
const BACKGROUND_WAIT_MAX: Duration = Duration::from_millis(1);

/// The shortest time between two turns of the executor.
const BACKGROUND_PERIOD: Duration = Duration::from_micros(500);

/// Long enough to be registered before it expires, and too short to be noticed.
const PAUSE: Duration = Duration::from_micros(2);

const GUARD: Duration = Duration::from_millis(10);

//! Work of the executor beside the shard's loop: what must not be done on the loop's time, files for example.
//!
//! The loop waits in a ring that glommio does not know. While anything counted here is outstanding that wait is bounded
//! and the loop lets the executor run after each tick; otherwise the loop waits as long as it likes and glommio costs
//! nothing. So every task on the executor is spawned here: another may be runnable and still wait for the next tick.
//! Whatever should not depend on such a bound belongs on the private ring; whatever comes back
//! regularly belongs into the shard's own deadlines.

use std::{cell::Cell, future::Future, rc::Rc, time::Duration};

use glommio::{Latency, Shares, Task, TaskQueueHandle};

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

    /// Lets the other queues of the executor run.
    pub(crate) async fn give_way(&self) {
        glommio::executor().yield_task_queue_now().await;
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

/// The longest that glommio's timers and completions wait for an idle shard.
const BACKGROUND_WAIT_MAX: Duration = Duration::from_millis(1);

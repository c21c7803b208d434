//! Places of the control socket: few, for those on this machine who may reach it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Used;

#[derive(Debug)]
pub struct ControlPlaces {
    places: Arc<Semaphore>,
    /// Those that are kept for whoever comes next: one, or none.
    offered: AtomicU64,
    full: AtomicU64,
}

impl Default for ControlPlaces {
    fn default() -> ControlPlaces {
        let places = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX as usize));
        ControlPlaces { places, offered: AtomicU64::default(), full: AtomicU64::default() }
    }
}

impl ControlPlaces {
    /// One for whoever comes next.
    pub async fn offer(&self) -> OwnedSemaphorePermit {
        if self.places.available_permits() == 0 {
            self.full.fetch_add(1, Ordering::Relaxed);
        }
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it");
        self.offered.store(1, Ordering::Relaxed);
        place
    }

    /// Somebody has come, or nobody does.
    pub fn settle(&self) {
        self.offered.store(0, Ordering::Relaxed);
    }

    /// How many are taken, and how often all of them were.
    pub fn used(&self) -> Used {
        let held = CONTROL_CONNECTIONS_MAX - self.places.available_permits() as u64;
        let taken = held.saturating_sub(self.offered.load(Ordering::Relaxed));
        let refused = self.full.load(Ordering::Relaxed);
        Used { place: "control", taken, most: CONTROL_CONNECTIONS_MAX, refused }
    }
}

pub const CONTROL_CONNECTIONS_MAX: u64 = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{runtime::Builder, time::timeout};

    use super::*;

    #[test]
    fn a_place_that_is_kept_for_whoever_comes_next_is_not_taken() {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let places = ControlPlaces::default();
            let used = || (places.used().taken, places.used().refused);
            let mut held = Vec::new();
            for taken in 0..CONTROL_CONNECTIONS_MAX {
                held.push(places.offer().await);
                assert_eq!(used(), (taken, 0), "nobody has come yet");
                places.settle();
                assert_eq!(used(), (taken + 1, 0));
            }
            let next = timeout(Duration::from_secs(1), places.offer());
            assert!(next.await.is_err(), "all are taken");
            assert_eq!(used(), (CONTROL_CONNECTIONS_MAX, 1));
            held.pop();
            held.push(places.offer().await);
            assert_eq!(used(), (CONTROL_CONNECTIONS_MAX - 1, 1));
            places.settle();
            assert_eq!(used(), (CONTROL_CONNECTIONS_MAX, 1));
            held.clear();
            assert_eq!(used(), (0, 1));
        });
    }
}

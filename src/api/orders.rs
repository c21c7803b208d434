//! Orders of those who may change something: what has begun is carried out to its end and told, whether or not somebody waits for it.
//!
//! Who waits hears in time, and whether it has begun. Of each kind a few go at once and the others wait in their order; whoever goes away
//! meanwhile has ordered nothing.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{answer, asking::Trouble, reload::ENDING};

/// How many go at once, by kind.
#[derive(Debug)]
pub struct Orders {
    places: [Arc<Semaphore>; Queue::ALL.len()],
}

/// What is ordered. None keeps out the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Of the shards.
    Act,
    /// Of the control thread.
    Ban,
    /// Of the control thread, and of a higher role.
    Configuration,
    /// Of the user database, which takes one change at a time.
    User,
}

impl Queue {
    const ALL: [Queue; 4] = [Queue::Act, Queue::Ban, Queue::Configuration, Queue::User];

    fn at_once(self) -> usize {
        match self {
            Queue::Act => ACTS_MAX,
            Queue::Ban | Queue::Configuration => CONTROL_MAX,
            Queue::User => 1,
        }
    }
}

impl Default for Orders {
    fn default() -> Orders {
        Orders { places: Queue::ALL.map(|kind| Arc::new(Semaphore::new(kind.at_once()))) }
    }
}

impl Orders {
    /// What comes of it, if that is known in time.
    pub async fn see_through<T: Send + 'static>(
        &self,
        kind: Queue,
        work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Result<T, Trouble> {
        let until = Instant::now() + ANSWER_MAX;
        let Ok(place) = timeout_at(until, Arc::clone(&self.places[kind as usize]).acquire_owned()).await
        else {
            return Err(answer::unavailable(NOT_BEGUN).into());
        };
        let place = place.expect("nobody closes it");
        let begun = tokio::spawn(async move {
            let _place = place;
            work.await
        });
        match timeout_at(until, begun).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(answer::unavailable(ENDING).into()),
            Err(_) => Err(answer::unavailable(GOES_ON).into()),
        }
    }
}

/// Acts of shards that wait for an answer at a time.
const ACTS_MAX: usize = 64;

/// Of each kind that goes to the control thread.
const CONTROL_MAX: usize = 2;

/// Requests for which the control thread has room: all that may be ordered at once.
pub const REQUESTS_MAX: usize = 2 * CONTROL_MAX + 1;

/// Less than an answer may take altogether, so that it says how far the order has come.
const ANSWER_MAX: Duration = Duration::from_secs(25);

const NOT_BEGUN: &str = "nothing is done: the broker has others of its kind to carry out first, and did not get to this one in time";
const GOES_ON: &str = "it has begun and goes on: the log and the audit log say what comes of it, with the name of who has ordered it";

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, response::IntoResponse as _};
    use tokio::{
        runtime::Builder,
        sync::{Notify, oneshot},
        time::sleep,
    };

    use super::*;

    fn on_a_clock(work: impl Future<Output = ()>) {
        let mut clock = Builder::new_current_thread();
        clock.enable_time().start_paused(true).build().expect("a runtime").block_on(work);
    }

    async fn sentence(trouble: Trouble) -> String {
        let body = to_bytes(trouble.into_response().into_body(), 4096).await.expect("a body");
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[test]
    fn what_has_begun_is_carried_out_though_nobody_waits_for_it() {
        on_a_clock(async {
            let (orders, go, (done, told)) = (Orders::default(), Arc::new(Notify::new()), oneshot::channel());
            let held = Arc::clone(&go);
            let work = async move {
                held.notified().await;
                done.send(()).expect("somebody listens");
                Ok(())
            };
            tokio::select! {
                _ = orders.see_through(Queue::Act, work) => unreachable!("it waits"),
                () = sleep(Duration::from_millis(1)) => {}
            }
            go.notify_one();
            assert_eq!(told.await, Ok(()), "who has ordered it is gone");
        });
    }

    #[test]
    fn whoever_goes_before_his_turn_has_ordered_nothing_and_holds_up_nobody() {
        on_a_clock(async {
            let (orders, go) = (Arc::new(Orders::default()), Arc::new(Notify::new()));
            let held = Arc::clone(&go);
            let first = tokio::spawn({
                let orders = Arc::clone(&orders);
                async move {
                    let work = async move {
                        held.notified().await;
                        Ok(())
                    };
                    orders.see_through(Queue::User, work).await.is_ok()
                }
            });
            sleep(Duration::from_millis(1)).await;
            for _ in 0..1000 {
                let never = async { unreachable!("it was given up before its turn") };
                let waits = orders.see_through::<()>(Queue::User, never);
                assert!(tokio::time::timeout(Duration::from_millis(1), waits).await.is_err());
            }
            assert!(orders.see_through(Queue::Ban, async { Ok(()) }).await.is_ok(), "others go past them");
            go.notify_one();
            assert!(first.await.expect("no panic"));
            assert!(orders.see_through(Queue::User, async { Ok(()) }).await.is_ok());
        });
    }

    #[test]
    fn who_is_told_that_it_was_too_late_hears_whether_it_has_begun() {
        on_a_clock(async {
            let orders = Orders::default();
            let begun = orders.see_through::<()>(Queue::User, std::future::pending()).await;
            assert!(sentence(begun.expect_err("it does not end")).await.contains("it has begun and goes on"));
            let waited = orders.see_through(Queue::User, async { Ok(()) }).await;
            assert!(sentence(waited.expect_err("another one goes on")).await.contains("nothing is done"));
        });
    }
}

//! The control thread: waits for signals and for shards that fail, and ends the broker in order.

use std::{
    fmt::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded, never, select};
use runtime::{Ban, Broker, Failure, Snapshot};

use crate::{
    audit::{self, Act},
    bans::{BanText, Keeper, Order},
    config::{Loaded, Problem, Sigterm},
    notify,
    reloader::{Outcome, Reloader},
    signals::Signal,
    start::Started,
};

/// Why the broker is to end.
enum Ending {
    Drain,
    AtOnce,
    Failed,
}

/// Reads the configuration again.
pub type Load<'a> = &'a dyn Fn() -> Result<Loaded, Vec<Problem>>;

/// What comes to the control thread beside what it hears of the shards.
pub struct Inbox {
    pub signals: Receiver<Signal>,
    pub requests: Receiver<Request>,
    /// Files that have changed.
    pub changed: Receiver<Vec<PathBuf>>,
}

/// Of the API, and by whom.
pub enum Request {
    /// A plan only says what a reload would change.
    Reload {
        is_plan: bool,
        by: String,
        /// The configuration that is meant by who asks, if that is said.
        config: Option<PathBuf>,
        reply: Reply<Outcome>,
    },
    Bans {
        order: Order,
        by: String,
        reply: Reply<Result<Arc<[Ban]>, String>>,
    },
    /// The user database has been changed, and is to count.
    Users {
        by: String,
        reply: Reply<Outcome>,
    },
    Drain {
        by: String,
    },
}

/// Who has asked hears of it.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// Serves until something ends it.
pub fn run(mut reloader: Reloader<'_>, keeper: &Keeper, mut inbox: Inbox) -> ExitCode {
    let ending = wait(&mut reloader, keeper, &mut inbox);
    let Inbox { signals, requests, .. } = inbox;
    // Who waits for an answer is told that there will be none.
    drop(requests);
    notify::stopping();
    reloader.api().drain();
    let (started, settings) = reloader.into_parts();
    if let Ending::Drain = ending {
        drain(&started, Duration::from_secs(settings.server.shutdown_timeout_secs), &signals);
        if tracing::enabled!(tracing::Level::DEBUG) {
            tell_counters(&started, |counted| tracing::debug!("{counted}"));
        }
    }
    let in_order = match (ending, end(started.broker)) {
        (Ending::Failed, _) | (_, false) => false,
        (Ending::Drain | Ending::AtOnce, true) => true,
    };
    let outcome = if in_order { "done" } else { "failed" };
    audit::tell(&Act { act: "end", by: "", outcome, details: &[] });
    if in_order { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn wait(reloader: &mut Reloader<'_>, keeper: &Keeper, inbox: &mut Inbox) -> Ending {
    loop {
        select! {
            recv(reloader.started().broker.failures()) -> failure => match failure {
                Ok(failure) if failure.serves => {
                    reloader.api().lose_store();
                    tell_store_failure(&failure);
                }
                failure => {
                    tell_failure(failure.ok());
                    return Ending::Failed;
                }
            },
            recv(inbox.signals) -> signal => match signal {
                Ok(Signal::Terminate) if reloader.settings().server.sigterm == Sigterm::End => {
                    tracing::info!("SIGTERM: ending at once, as server.sigterm says");
                    audit::tell(&Act { act: "end", by: "SIGTERM", outcome: "begun", details: &[] });
                    return Ending::AtOnce;
                }
                Ok(signal @ (Signal::Interrupt | Signal::Terminate)) => {
                    tracing::info!("{}: draining; once more ends at once", signal.name());
                    audit::tell(&Act { act: "drain", by: signal.name(), outcome: "begun", details: &[] });
                    return Ending::Drain;
                }
                Ok(Signal::Hangup) => drop(reloader.reload("SIGHUP")),
                Ok(signal) => answer(reloader.started(), signal),
                // The thread that waits for signals is gone, and with it every way to end in order.
                Err(_) => return Ending::Drain,
            },
            recv(inbox.requests) -> request => match request {
                Ok(Request::Reload { is_plan, by, config, reply }) => {
                    reply(reloader.asked(is_plan, &by, config.as_deref()));
                }
                Ok(Request::Bans { order, by, reply }) => {
                    reply(carry_out(order, &by, keeper, reloader.started()));
                }
                Ok(Request::Users { by, reply }) => reply(reloader.take_users(&by)),
                Ok(Request::Drain { by }) => {
                    tracing::info!("{by}: draining");
                    audit::tell(&Act { act: "drain", by: &by, outcome: "begun", details: &[] });
                    return Ending::Drain;
                }
                Err(_) => inbox.requests = never(),
            },
            recv(inbox.changed) -> changed => match changed {
                Ok(changed) => reloader.take_changed(&changed),
                Err(_) => inbox.changed = never(),
            },
        }
    }
}

fn carry_out(order: Order, by: &str, keeper: &Keeper, started: &Started) -> Result<Arc<[Ban]>, String> {
    let (act, whom) = match &order {
        Order::Add(ban) => ("ban", BanText::of(ban)),
        Order::Lift(whom) => ("lift_ban", BanText::of(&Ban { whom: whom.clone(), until: None })),
    };
    let told = serde_json::to_string(&whom).unwrap_or_default();
    let outcome = keeper.carry_out(order, &started.broker);
    let (word, details) = match &outcome {
        Ok(_) => ("done", vec![told.clone()]),
        Err(error) => ("refused", vec![told.clone(), error.clone()]),
    };
    match &outcome {
        Ok(_) => tracing::info!("{by}: {act} {told}"),
        Err(error) => tracing::warn!("{by}: {act} {told}: {error}"),
    }
    audit::tell(&Act { act, by, outcome: word, details: &details });
    outcome
}

/// Signals that end nothing.
fn answer(started: &Started, signal: Signal) {
    match signal {
        Signal::Count => tell_counters(started, |counted| tracing::info!("{counted}")),
        Signal::Save => tracing::info!(
            "{}: there is nothing to save: with a data directory everything is stored as it comes, without one it lives in memory",
            signal.name()
        ),
        _ => tracing::info!("{}: not while the broker ends", signal.name()),
    }
}

/// A second signal, or a shard that fails, ends the process from here.
fn drain(started: &Started, timeout: Duration, signals: &Receiver<Signal>) {
    let broker = &started.broker;
    let connections = broker.connections();
    let begun = Instant::now();
    thread::scope(|scope| {
        let (done, drained) = bounded(1);
        let drainer = thread::Builder::new().name("drain".to_owned());
        if let Err(error) = drainer.spawn_scoped(scope, move || done.send(broker.drain(timeout))) {
            tracing::error!(
                connections,
                "no thread can be started to drain: {error}. All connections are cut"
            );
            return;
        }
        loop {
            select! {
                recv(drained) -> in_time => {
                    match in_time {
                        Ok(true) => tracing::info!(connections, "drained"),
                        _ => {
                            let cut = broker.connections();
                            tracing::warn!(connections, cut, "server.shutdown_timeout_secs is over: connections are cut");
                        }
                    }
                    return;
                }
                recv(signals) -> signal => match signal {
                    // Some programs signal the process and its group: that is one request, not two.
                    Ok(Signal::Interrupt | Signal::Terminate) if begun.elapsed() < SAME_REQUEST => {}
                    Ok(signal @ (Signal::Interrupt | Signal::Terminate)) => {
                        tracing::warn!("{} again: ending at once", signal.name());
                        crate::leave(1);
                    }
                    Ok(signal) => answer(started, signal),
                    Err(_) => return,
                },
                recv(broker.failures()) -> failure => match failure {
                    Ok(failure) if failure.serves => tell_store_failure(&failure),
                    failure => {
                        tell_failure(failure.ok());
                        crate::leave(1);
                    }
                }
            }
        }
    })
}

/// Whether all shards end in order; one that does not is ended with the process.
fn end(broker: Broker) -> bool {
    broker.stop();
    let (done, joined) = bounded(1);
    if let Err(error) = thread::Builder::new().spawn(move || done.send(broker.join())) {
        tracing::error!("no thread can be started to await the shards: {error}");
        return false;
    }
    match joined.recv_timeout(STOP_MAX) {
        Ok(Ok(())) => true,
        Ok(Err(failure)) => {
            tell_failure(Some(failure));
            false
        }
        Err(_) => {
            tracing::error!("a shard does not stop: ending the process");
            false
        }
    }
}

fn tell_failure(failure: Option<Failure>) {
    match failure {
        Some(failure) => tracing::error!(shard = failure.shard.0, "a shard ended: {}", failure.what),
        None => tracing::error!("the shards ended"),
    }
}

/// The broker goes on, as store.on_failure says.
fn tell_store_failure(failure: &Failure) {
    tracing::error!(
        shard = failure.shard.0,
        "a shard goes on without its store: {}. Until then QoS 1 and 2 and sessions that live on are refused, and all \
         else is served",
        failure.what
    );
    notify::status("the store has failed: only what needs none is served until the broker is started again");
}

/// Asks every shard for its counters and names those that did not answer in time.
fn tell_counters(started: &Started, tell: impl FnOnce(&str)) {
    let snapshots = started.broker.snapshot();
    tell(&counted(&snapshots, started.broker.connections()));
    if let Some(silent) = silent(&snapshots, started.shards) {
        tracing::warn!("{silent}");
    }
}

/// The shards of which there is no snapshot.
fn silent(snapshots: &[Snapshot], shards: u8) -> Option<String> {
    let answered = |id: &u8| snapshots.iter().any(|snapshot| snapshot.shard.0 == *id);
    let missing: Vec<String> = (0..shards).filter(|id| !answered(id)).map(|id| id.to_string()).collect();
    match missing.as_slice() {
        [] => None,
        [one] => Some(format!("shard {one} did not answer in time: the sums lack what it counted and holds")),
        several => {
            let named = several.join(", ");
            Some(format!("shards {named} did not answer in time: the sums lack what they counted and hold"))
        }
    }
}

/// All counters that are not zero, and what is held now, on one line.
fn counted(snapshots: &[Snapshot], connections: usize) -> String {
    let mut total = shard::Counters::default();
    let shards = snapshots.len();
    let plural = if shards == 1 { "" } else { "s" };
    let mut line = format!("counters of {shards} shard{plural}: connections={connections}");
    let held = |of: fn(&shard::Gauges) -> usize| {
        snapshots.iter().map(|snapshot| of(&snapshot.gauges)).sum::<usize>()
    };
    for (name, value) in [
        ("sessions", held(|gauges| gauges.sessions)),
        ("subscriptions", held(|gauges| gauges.subscriptions)),
        ("retained_messages", held(|gauges| gauges.retained_messages)),
        ("retained_bytes", held(|gauges| gauges.retained_bytes)),
        ("retained_source_bytes", held(|gauges| gauges.retained_source_bytes)),
        ("queued_bytes", held(|gauges| gauges.queued_bytes)),
        ("queued_away_bytes", held(|gauges| gauges.queued_away_bytes)),
        ("will_bytes", held(|gauges| gauges.will_bytes)),
        ("unsent_bytes", held(|gauges| gauges.unsent_bytes)),
        ("receive_bytes", held(|gauges| gauges.receive_bytes)),
        ("store_file_bytes", snapshots.iter().map(|snapshot| snapshot.store_file_bytes as usize).sum()),
    ] {
        // Writing to a string cannot fail.
        let _ = write!(line, " {name}={value}");
    }
    for snapshot in snapshots {
        total.add(&snapshot.counters);
    }
    for (name, _, value) in total.iter().filter(|(_, _, value)| *value > 0) {
        let _ = write!(line, " {name}={value}");
    }
    line
}

/// Signals this close together come from one request.
const SAME_REQUEST: Duration = Duration::from_millis(100);
/// How long a shard may take to stop: longer than it gives its store and its operations.
const STOP_MAX: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use shard::ShardId;

    use super::*;

    fn snapshots(shards: &[u8]) -> Vec<Snapshot> {
        shards.iter().map(|id| Snapshot::empty(ShardId(*id))).collect()
    }

    #[test]
    fn shards_that_do_not_answer_are_named() {
        assert_eq!(silent(&snapshots(&[0, 1]), 2), None);
        assert_eq!(
            silent(&snapshots(&[1]), 2).as_deref(),
            Some("shard 0 did not answer in time: the sums lack what it counted and holds")
        );
        assert_eq!(
            silent(&snapshots(&[1]), 4).as_deref(),
            Some("shards 0, 2, 3 did not answer in time: the sums lack what they counted and hold")
        );
    }

    #[test]
    fn one_shard_is_not_several() {
        assert!(counted(&snapshots(&[0]), 3).starts_with("counters of 1 shard: connections=3 sessions=0 "));
        assert!(counted(&snapshots(&[0, 1]), 3).starts_with("counters of 2 shards: connections=3 "));
    }
}

//! The control thread: waits for signals and for shards that fail, and ends the broker in order.

use std::{
    fmt::Write as _,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded, select};
use runtime::{Broker, Failure};

use crate::{
    config::{Settings, Sigterm},
    notify,
    signals::Signal,
};

/// Why the broker is to end.
enum Ending {
    Drain,
    AtOnce,
    Failed,
}

/// Serves until something ends it.
pub fn run(broker: Broker, settings: &Settings, signals: &Receiver<Signal>) -> ExitCode {
    let ending = wait(&broker, settings.server.sigterm, signals);
    notify::stopping();
    if let Ending::Drain = ending {
        drain(&broker, Duration::from_secs(settings.server.shutdown_timeout_secs), signals);
        tracing::debug!("{}", counted(&broker));
    }
    match (ending, end(broker)) {
        (Ending::Failed, _) | (_, false) => ExitCode::FAILURE,
        (Ending::Drain | Ending::AtOnce, true) => ExitCode::SUCCESS,
    }
}

fn wait(broker: &Broker, sigterm: Sigterm, signals: &Receiver<Signal>) -> Ending {
    loop {
        select! {
            recv(broker.failures()) -> failure => {
                tell_failure(failure.ok());
                return Ending::Failed;
            }
            recv(signals) -> signal => match signal {
                Ok(Signal::Terminate) if sigterm == Sigterm::End => {
                    tracing::info!("SIGTERM: ending at once, as server.sigterm says");
                    return Ending::AtOnce;
                }
                Ok(signal @ (Signal::Interrupt | Signal::Terminate)) => {
                    tracing::info!("{}: draining; once more ends at once", signal.name());
                    return Ending::Drain;
                }
                Ok(signal) => answer(broker, signal),
                // The thread that waits for signals is gone, and with it every way to end in order.
                Err(_) => return Ending::Drain,
            },
        }
    }
}

/// Signals that end nothing.
fn answer(broker: &Broker, signal: Signal) {
    match signal {
        Signal::User => tracing::info!("{}", counted(broker)),
        _ => tracing::warn!(
            "{}: reserved for reading the configuration again, which is not built yet",
            signal.name()
        ),
    }
}

/// A second signal, or a shard that fails, ends the process from here.
fn drain(broker: &Broker, timeout: Duration, signals: &Receiver<Signal>) {
    let connections = broker.connections();
    let begun = Instant::now();
    thread::scope(|scope| {
        let (done, drained) = bounded(1);
        scope.spawn(move || done.send(broker.drain(timeout)));
        loop {
            select! {
                recv(drained) -> in_time => {
                    match in_time {
                        Ok(true) => tracing::info!(connections, "drained"),
                        _ => tracing::warn!(
                            left = broker.connections(),
                            "server.shutdown_timeout_secs is over: closing what is left"
                        ),
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
                    Ok(signal) => answer(broker, signal),
                    Err(_) => return,
                },
                recv(broker.failures()) -> failure => {
                    tell_failure(failure.ok());
                    crate::leave(1);
                }
            }
        }
    })
}

/// Whether all shards end in order; one that does not is ended with the process.
fn end(broker: Broker) -> bool {
    broker.stop();
    let (done, joined) = bounded(1);
    thread::spawn(move || done.send(broker.join()));
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

/// All shards' counters that are not zero, and what is held now, on one line.
fn counted(broker: &Broker) -> String {
    let snapshots = broker.snapshot();
    let mut total = shard::Counters::default();
    let mut line = format!("counters of {} shards: connections={}", snapshots.len(), broker.connections());
    let held = |of: fn(&shard::Gauges) -> usize| {
        snapshots.iter().map(|snapshot| of(&snapshot.gauges)).sum::<usize>()
    };
    for (name, value) in [
        ("sessions", held(|gauges| gauges.sessions)),
        ("subscriptions", held(|gauges| gauges.subscriptions)),
        ("retained_messages", held(|gauges| gauges.retained_messages)),
        ("retained_bytes", held(|gauges| gauges.retained_bytes)),
        ("queued_bytes", held(|gauges| gauges.queued_bytes)),
        ("will_bytes", held(|gauges| gauges.will_bytes)),
        ("unsent_bytes", held(|gauges| gauges.unsent_bytes)),
        ("receive_bytes", held(|gauges| gauges.receive_bytes)),
    ] {
        // Writing to a string cannot fail.
        let _ = write!(line, " {name}={value}");
    }
    for snapshot in &snapshots {
        total.add(&snapshot.counters);
    }
    for (name, _, value) in total.iter().filter(|(_, _, value)| *value > 0) {
        let _ = write!(line, " {name}={value}");
    }
    line
}

/// Signals this close together come from one request.
const SAME_REQUEST: Duration = Duration::from_millis(100);
/// How long a shard may take to stop.
const STOP_MAX: Duration = Duration::from_secs(3);

//! `/metrics`: what the broker counts and holds, as Prometheus reads it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::{Method, header},
    response::{IntoResponse, Response},
    routing::get,
};
use runtime::Snapshot;
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant as Deadline, timeout_at},
};

use super::{
    context::{Context, Stage},
    guard,
    operation::{Access, Operation},
    published, refusals, trace,
};
use crate::{
    audit, disk_room, log,
    metrics::{self, ANSWER_MAX, Facts, Process, Used},
    observer::Observer,
    telemetry,
};

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/metrics",
    access: Access::Metrics,
    summary: "What the broker counts and holds, as text for Prometheus",
    handler: || get(show),
}];

/// The page of a moment ago. However many ask, the shards are asked a few times in a second.
#[derive(Default)]
pub struct Shown(Mutex<Option<Made>>);

struct Made {
    at: Instant,
    /// What stood in the way of the broker's being ready.
    obstacle: Option<&'static str>,
    text: Arc<str>,
}

async fn show(State(context): State<Context>) -> Response {
    let text = page(&context).await;
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text.to_string()).into_response()
}

/// Those who ask at the same time wait for the same page.
async fn page(context: &Context) -> Arc<str> {
    let mut shown = context.shown().0.lock().await;
    let obstacle = context.obstacle();
    let is_fresh = |made: &&Made| made.at.elapsed() < FRESH && made.obstacle == obstacle;
    if let Some(made) = shown.as_ref().filter(is_fresh) {
        return Arc::clone(&made.text);
    }
    let snapshots = match context.observer() {
        Some(observer) => snapshots(observer).await,
        None => Vec::new(),
    };
    let text: Arc<str> = metrics::text(&snapshots, &facts(context)).into();
    *shown = Some(Made { at: Instant::now(), obstacle, text: Arc::clone(&text) });
    text
}

/// While the broker starts there is none of whom shards could be asked.
fn facts(context: &Context) -> Facts {
    let stage = context.stage();
    Facts {
        version: env!("CARGO_PKG_VERSION"),
        began: context.begun_at(),
        stages: Stage::ALL.map(|other| (other.word(), other == stage)),
        is_ready: context.obstacle().is_none(),
        has_store_failed: context.has_store_failed(),
        places: places(context),
        denied: context.refusals().counts(),
        told_to_wait: guard::told_to_wait(),
        missed: [
            ("events", context.events().lost()),
            ("log", log::lines_missed()),
            ("trace", trace::left_out()),
            ("published", published::left_out()),
        ],
        broker: context.observer().map(Observer::facts),
        log_lines_lost: log::lines_lost(),
        audit_lines_lost: audit::lines_lost(),
        log_lines_left_out: runtime::lines_left_out() + refusals::lines_left_out(),
        audit_lines_left_out: audit::lines_left_out(),
        disk: disk_room::told(),
        spans: telemetry::counts(),
        process: Process::look(),
    }
}

fn places(context: &Context) -> Vec<Used> {
    let of_tcp = context.hall().used().into_iter().chain(context.streams().used());
    of_tcp.chain([context.control_places().used()]).collect()
}

/// As the observer asks for them, without a thread that waits.
async fn snapshots(observer: &Observer) -> Vec<Snapshot> {
    let (sender, mut answers) = mpsc::channel(observer.shards());
    observer.ask(move |snapshot| drop(sender.try_send(snapshot)));
    let deadline = Deadline::now() + ANSWER_MAX;
    let mut snapshots = Vec::new();
    while let Ok(Some(snapshot)) = timeout_at(deadline, answers.recv()).await {
        snapshots.push(snapshot);
    }
    snapshots.sort_by_key(|snapshot| snapshot.shard);
    snapshots
}

/// A page that is not older is shown again.
const FRESH: Duration = Duration::from_millis(250);

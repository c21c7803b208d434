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
    answer,
    context::Context,
    operation::{Access, Operation},
};
use crate::{
    metrics::{self, ANSWER_MAX},
    observer::Observer,
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
pub struct Shown(Mutex<Option<(Instant, Arc<str>)>>);

async fn show(State(context): State<Context>) -> Response {
    let Some(observer) = context.observer() else {
        return answer::unavailable("the broker starts: it has no metrics yet");
    };
    let text = page(context.shown(), observer).await;
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text.to_string()).into_response()
}

/// Those who ask at the same time wait for the same page.
async fn page(shown: &Shown, observer: &Observer) -> Arc<str> {
    let mut shown = shown.0.lock().await;
    if let Some((_, text)) = shown.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Arc::clone(text);
    }
    let text: Arc<str> = metrics::text(&snapshots(observer).await, &observer.facts()).into();
    *shown = Some((Instant::now(), Arc::clone(&text)));
    text
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

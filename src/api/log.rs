//! `/v1/log`: lines of the log as they are written, as server-sent events.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, Method, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::body::Frame;
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, Sleep, sleep},
};

use super::{
    answer,
    operation::{Access, Operation},
    token_list::Role,
};
use crate::log;

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/v1/log",
    access: Access::Role(Role::Viewer),
    summary: "The log from now on, as server-sent events of JSON: at, level and text",
    handler: || get(follow),
}];

async fn follow() -> Response {
    match log::follow() {
        Some(lines) => (STREAM, Body::new(Events::new(lines))).into_response(),
        None => answer::unavailable("as many read the log as may: close another reader first"),
    }
}

/// One event for each line. Where there is none for a while a comment shows whether somebody is still there.
struct Events {
    lines: Receiver<Arc<str>>,
    beat: Pin<Box<Sleep>>,
}

impl Events {
    fn new(lines: Receiver<Arc<str>>) -> Events {
        // At once: whoever reads knows then that it has begun.
        Events { lines, beat: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let text = match self.lines.poll_recv(task) {
            Poll::Ready(Some(line)) => format!("data: {line}\n\n"),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending if self.beat.as_mut().poll(task).is_ready() => ":\n\n".to_owned(),
            Poll::Pending => return Poll::Pending,
        };
        self.beat.as_mut().reset(Instant::now() + BEAT);
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}

const STREAM: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
const BEAT: Duration = Duration::from_secs(15);

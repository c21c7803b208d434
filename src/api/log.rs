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
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::Method,
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
    context::Context,
    events::STREAM,
    guard::Caller,
    operation::{Access, Operation},
    seat::{Seat, Stream, StreamPlace},
    token_list::Role,
};
use crate::log;

/// Where it is read.
pub const LOG: &str = "/v1/log";

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: LOG,
    access: Access::Role(Role::Viewer),
    summary: "The log from now on, as server-sent events of JSON: at, level and text",
    handler: || get(follow),
}];

async fn follow(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(seat): Extension<Seat>,
) -> Response {
    let stream = match context.streams().take(&seat, &caller, Stream::Log).await {
        Ok(stream) => stream,
        Err(why) => return answer::unavailable(&why),
    };
    let Some(lines) = log::follow() else {
        return answer::unavailable("as many read the log as may: close another reader first");
    };
    seat.leave();
    (STREAM, Body::new(Lines::new(lines, stream, context, caller))).into_response()
}

/// One event for each line. Where there is none for a while a comment shows whether somebody is still there.
struct Lines {
    lines: Receiver<Arc<str>>,
    beat: Pin<Box<Sleep>>,
    /// When it is looked next whether the token is still one.
    look: Pin<Box<Sleep>>,
    context: Context,
    caller: Caller,
    /// Its end gives the place back.
    _stream: StreamPlace,
}

impl Lines {
    fn new(lines: Receiver<Arc<str>>, stream: StreamPlace, context: Context, caller: Caller) -> Lines {
        // At once: whoever reads knows then that it has begun.
        let beat = Box::pin(sleep(Duration::ZERO));
        Lines { lines, beat, look: Box::pin(sleep(TOKEN_LOOK)), context, caller, _stream: stream }
    }
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while self.look.as_mut().poll(task).is_ready() {
            if !self.context.still_knows(&self.caller) {
                return Poll::Ready(None);
            }
            self.look.as_mut().reset(Instant::now() + TOKEN_LOOK);
        }
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

const BEAT: Duration = Duration::from_secs(15);
/// Whose token is taken away reads for this time at most.
pub(super) const TOKEN_LOOK: Duration = Duration::from_secs(5);

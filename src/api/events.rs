//! `/v1/events`: what happens to clients, as server-sent events; and how it gets from the shards to those who listen.

use std::{
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, Method, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::body::Frame;
use runtime::Desk;
use serde::Deserialize;
use tokio::{
    task::yield_now,
    time::{Instant, Sleep, sleep},
};

use super::{
    answer::{self, Parameters},
    asking::{self, Trouble},
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    seat::{Seat, Stream, StreamPlace},
    token_list::Role,
};
use crate::{
    events::{Events, Filter, Listening, TURNS_MAX},
    happening::{Happening, Happenings},
};

/// What happens to clients.
pub const EVENTS: &str = "/v1/events";

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: EVENTS,
    access: Access::Role(Role::Viewer),
    summary: "What happens to clients from now on, as server-sent events of JSON",
    handler: || get(listen),
}];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Several have commas in between.
    kind: Option<String>,
    client_id: Option<Box<str>>,
    user: Option<Box<str>>,
    address: Option<IpAddr>,
    topic: Option<Box<str>>,
}

/// From the shards to the board, for as long as there is a process.
pub async fn carry(events: Arc<Events>) {
    loop {
        events.await_listeners().await;
        if events.carry() {
            yield_now().await;
        } else {
            sleep(PERIOD).await;
        }
    }
}

/// The same for what is lost, which the shards count and tell when they are asked.
pub async fn carry_losses(events: Arc<Events>, desk: Desk) {
    loop {
        events.await_listeners().await;
        // A shard that does not answer in time keeps what it has for the next question.
        let _ = ask_losses(&events, &desk).await;
        sleep(LOSSES_PERIOD).await;
    }
}

async fn ask_losses(events: &Events, desk: &Desk) -> Result<(), Trouble> {
    let losses = asking::fresh_losses(desk).await?;
    for (shard, losses) in desk.shards().zip(losses) {
        events.put_losses(shard, &losses);
    }
    Ok(())
}

/// What waits goes to the board, but not what comes meanwhile. Others have their turn in between.
async fn carry_waiting(events: &Events) {
    for _ in 0..TURNS_MAX {
        if !events.carry() {
            return;
        }
        yield_now().await;
    }
}

async fn listen(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(seat): Extension<Seat>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Trouble> {
    let Wanted { kind, client_id, user, address, topic } = wanted;
    if topic.as_deref().is_some_and(|filter| !shard::is_topic_filter(filter)) {
        return Err(answer::refused("topic: expected a topic filter").into());
    }
    let kinds = match &kind {
        Some(words) => Happenings::read(words.split(',').map(str::trim), &Happening::STREAMED)
            .map_err(|why| answer::refused(&format!("kind: {why}")))?,
        None => Filter::default().kinds,
    };
    let address = address.map(|address| address.to_canonical());
    let filter = Filter { kinds, client_id, user, address, topic };
    let events = Arc::clone(context.events());
    // From here on the shards keep losses, and what others have left behind is no business of this one.
    ask_losses(&events, asking::desk(&context)?).await?;
    carry_waiting(&events).await;
    let stream = context.streams().take(&seat, &caller, Stream::Events).await;
    let stream = stream.map_err(|why| answer::unavailable(&why))?;
    seat.leave();
    let place = events.listen(filter);
    let listener = Listener {
        place,
        events,
        context,
        caller,
        beat: Box::pin(sleep(Duration::ZERO)),
        silent: SILENCE_MAX,
        _stream: stream,
    };
    Ok((STREAM, Body::new(listener)).into_response())
}

/// The answer, which does not end by itself. Where nothing happens a comment shows whether somebody is still there.
struct Listener {
    place: Listening,
    events: Arc<Events>,
    context: Context,
    caller: Caller,
    beat: Pin<Box<Sleep>>,
    /// Since something was written.
    silent: Duration,
    /// Its end gives the place back.
    _stream: StreamPlace,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.events.leave(self.place);
    }
}

impl hyper::body::Body for Listener {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while self.beat.as_mut().poll(task).is_ready() {
            // Whose token is taken away hears nothing more.
            if !self.context.still_knows(&self.caller) {
                return Poll::Ready(None);
            }
            self.beat.as_mut().reset(Instant::now() + BEAT);
            self.silent += BEAT;
        }
        let text = match self.events.read(self.place, task.waker()) {
            Some(text) => text,
            None if self.silent >= SILENCE_MAX => ":\n\n".to_owned(),
            None => return Poll::Pending,
        };
        self.silent = Duration::ZERO;
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}

/// What follows has no end: nothing else comes by this connection.
pub const STREAM: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONNECTION, "close"),
];

/// Between two looks at the queue.
const PERIOD: Duration = Duration::from_millis(20);
/// Between two questions to the shards.
const LOSSES_PERIOD: Duration = Duration::from_millis(100);
const BEAT: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use runtime::{Auditor, Occasion};
    use shard::{NotOpened, ShardId};
    use tokio::runtime::Builder;

    use super::*;

    /// Keeps its queue full, and counts its turns.
    async fn flood(events: Arc<Events>, turns: Arc<AtomicUsize>) {
        loop {
            for _ in 0..10_000 {
                events.turn_away(ShardId(0), &Occasion::default(), NotOpened::Tls, "TLS: no");
            }
            turns.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    }

    #[test]
    fn whoever_comes_while_events_flood_in_waits_for_those_that_were_there_and_others_have_their_turn() {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (events, turns) = (Arc::new(Events::default()), Arc::new(AtomicUsize::new(0)));
            events.listen(Filter::default());
            let flood = tokio::spawn(flood(Arc::clone(&events), Arc::clone(&turns)));
            yield_now().await;
            let before = turns.load(Ordering::Relaxed);
            carry_waiting(&events).await;
            assert_eq!(turns.load(Ordering::Relaxed) - before, TURNS_MAX);
            flood.abort();
        });
    }
}

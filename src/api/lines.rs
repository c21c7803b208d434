//! An answer that goes on: lines of JSON, for as long as whoever asked reads them.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use tokio::sync::mpsc;

/// The end that is read. When it goes, the other one is told by its next line.
pub struct Lines(mpsc::Receiver<Bytes>);

/// Both ends. A reader who does not read holds up `LINES_WAITING` pieces and no more.
pub fn lines() -> (mpsc::Sender<Bytes>, Lines) {
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    (sender, Lines(receiver))
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        let head = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CONNECTION, "close")];
        (head, Body::new(self)).into_response()
    }
}

const LINES_WAITING: usize = 4;

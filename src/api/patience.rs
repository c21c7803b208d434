//! A stream whose other side has to take what is sent to it: who takes nothing for too long, or too little for as long, ends it.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

pub struct Patient<S> {
    stream: S,
    longest: Duration,
    end: Pin<Box<Sleep>>,
    /// Since when the other side is waited for, if it is.
    waits_since: Option<Instant>,
    /// How long it was waited for, without what it has made good by taking something since.
    waited: Duration,
}

impl<S> Patient<S> {
    pub fn new(stream: S) -> Patient<S> {
        Patient::within(stream, WRITE_MAX)
    }

    fn within(stream: S, longest: Duration) -> Patient<S> {
        let end = Box::pin(sleep(longest));
        Patient { stream, longest, end, waits_since: None, waited: Duration::ZERO }
    }

    /// What the stream says, unless it has said for too long that it waits.
    fn judge<T>(&mut self, context: &mut Context<'_>, said: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if said.is_ready() {
            self.waited += self.waits_since.take().map_or(Duration::ZERO, |since| since.elapsed());
            return said;
        }
        if self.waits_since.is_none() {
            let now = Instant::now();
            self.waits_since = Some(now);
            self.end.as_mut().reset(now + self.longest.saturating_sub(self.waited));
        }
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn note_taken(&mut self, bytes: usize) {
        self.waited = self.waited.saturating_sub(NANOS_OF_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.stream).poll_write(context, bytes);
        let said = self.judge(context, said);
        if let Poll::Ready(Ok(taken)) = said {
            self.note_taken(taken);
        }
        said
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, said)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, said)
    }
}

/// How long somebody may take to read anything at all, and may lag behind the least rate.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Whoever takes 32 KiB in a second has made good that second.
const NANOS_OF_BYTE: Duration = Duration::from_nanos(1_000_000_000 / (32 << 10));

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        runtime::Builder,
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
        (one.expect("connected"), other.expect("accepted").0)
    }

    #[test]
    fn who_reads_nothing_is_given_up_and_who_reads_slowly_is_not() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (here, _silent) = pair().await;
            let mut stream = Patient::within(here, Duration::from_millis(50));
            let error = stream.write_all(&[0; 64 << 20]).await.expect_err("nobody reads");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);

            let (here, mut there) = pair().await;
            let mut stream = Patient::within(here, Duration::from_secs(20));
            let reader = async move {
                let (mut bytes, mut read) = (vec![0; 1 << 20], 0);
                while read < SENT {
                    read += there.read(&mut bytes).await.expect("read");
                    tokio::task::yield_now().await;
                }
            };
            let (written, ()) = tokio::join!(stream.write_all(&[0; SENT]), reader);
            written.expect("it was taken");
        });
    }

    #[test]
    fn who_trickles_is_given_up() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let trickled = runtime.block_on(async {
            let (here, mut there) = tokio::io::duplex(64);
            let mut stream = Patient::within(here, Duration::from_millis(100));
            let reader = async move {
                let mut bytes = [0; 64];
                while there.read_exact(&mut bytes).await.is_ok() {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                written = stream.write_all(&[0; 8 << 10]) => written,
                () = reader => unreachable!("the stream is open"),
            }
        });
        assert_eq!(trickled.expect_err("it takes too little").kind(), io::ErrorKind::TimedOut);
    }

    const SENT: usize = 32 << 20;
}

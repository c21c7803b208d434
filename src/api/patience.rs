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
    end: Pin<Box<Sleep>>,
    /// Since when the other side is waited for, if it is.
    waits_since: Option<Instant>,
    /// How long it was waited for, without what it has made good by taking something since.
    waited: Duration,
}

impl<S> Patient<S> {
    pub fn new(stream: S) -> Patient<S> {
        Patient { stream, end: Box::pin(sleep(WRITE_MAX)), waits_since: None, waited: Duration::ZERO }
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
            self.end.as_mut().reset(now + WRITE_MAX.saturating_sub(self.waited));
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
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        runtime::Builder,
    };

    use super::*;

    /// What becomes of a minute's worth of bytes, where somebody takes so many of them in each second.
    fn write_to_one_who_takes(bytes_per_second: usize) -> io::Result<()> {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let (here, there) = duplex(4 << 10);
            let mut stream = Patient::new(here);
            tokio::select! {
                written = async {
                    stream.write_all(&vec![0; 60 * (32 << 10)]).await?;
                    stream.shutdown().await
                } => written,
                () = read(there, bytes_per_second) => unreachable!("the stream is open"),
            }
        })
    }

    async fn read(mut there: DuplexStream, bytes_per_second: usize) {
        let mut bytes = vec![0; bytes_per_second];
        loop {
            sleep(Duration::from_secs(1)).await;
            let _ = there.read_exact(&mut bytes).await;
        }
    }

    #[test]
    fn who_reads_nothing_or_trickles_is_given_up_and_who_reads_slowly_is_not() {
        for bytes_per_second in [0, 64, 24 << 10] {
            let error = write_to_one_who_takes(bytes_per_second).expect_err("it takes too little");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{bytes_per_second}");
        }
        for bytes_per_second in [32 << 10, 1 << 20] {
            write_to_one_who_takes(bytes_per_second).expect("it takes enough");
        }
    }

    #[test]
    fn who_stops_is_given_up_after_ten_seconds() {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let (here, _silent) = duplex(64);
            let began = Instant::now();
            let mut stream = Patient::new(here);
            stream.write_all(&[0; 65]).await.expect_err("nobody reads");
            assert_eq!(began.elapsed().as_secs(), WRITE_MAX.as_secs());
        });
    }
}

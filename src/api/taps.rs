//! Taps of all shards, read together again and again for whoever reads a stream. What stands in its lines is the stream's.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use runtime::Desk;
use serde_json::json;
use shard::{TapOrder, TapRead};
use tokio::{sync::mpsc, time::sleep};

use super::{
    asking::{self, Trouble},
    log::TOKEN_LOOK,
};

/// One tap at each shard. They end with this.
pub struct Taps {
    desk: Desk,
    number: u64,
}

impl Drop for Taps {
    fn drop(&mut self) {
        for shard in self.desk.shards() {
            // One that is not told ends by itself when nobody reads it.
            let _ = self.desk.tap(shard, TapOrder::End { tap: self.number }, Box::new(drop));
        }
    }
}

impl Taps {
    /// None: whoever finds no place at one shard leaves those that it has at others.
    pub async fn begin(desk: &Desk, order: impl FnOnce(u64) -> TapOrder) -> Result<Option<Taps>, Trouble> {
        let taps = Taps { desk: desk.clone(), number: NEXT.fetch_add(1, Ordering::Relaxed) };
        let begun = asking::tap_everywhere(desk, &order(taps.number)).await?;
        Ok(begun.iter().all(|read| read.is_there).then_some(taps))
    }

    /// Until nobody reads any more. While nobody takes a piece nothing is asked for, and the taps fill, and then lose.
    pub async fn run(
        &self,
        sender: &mpsc::Sender<Bytes>,
        mut write: impl FnMut(Vec<TapRead>) -> String,
        may_read: impl Fn() -> bool,
    ) {
        let mut silent = Duration::ZERO;
        let mut look_at = Instant::now() + TOKEN_LOOK;
        loop {
            if Instant::now() >= look_at {
                if !may_read() {
                    return;
                }
                look_at = Instant::now() + TOKEN_LOOK;
            }
            let reads = match self.read().await {
                Ok(reads) => reads,
                Err(why) => {
                    let last = format!("{}\n", json!({ "ended": why }));
                    // Who is gone need not be told.
                    let _ = sender.send(last.into()).await;
                    return;
                }
            };
            let has_more = reads.iter().any(|read| read.has_more);
            let text = write(reads);
            // An empty line shows whether somebody is there.
            silent += PERIOD;
            let text = if text.is_empty() && silent >= SILENCE_MAX { "\n".to_owned() } else { text };
            if !text.is_empty() {
                silent = Duration::ZERO;
                if sender.send(text.into()).await.is_err() {
                    return;
                }
            }
            if !has_more {
                tokio::select! {
                    () = sleep(PERIOD) => {}
                    () = sender.closed() => return,
                }
            }
        }
    }

    /// What has come at each shard.
    async fn read(&self) -> Result<Vec<TapRead>, &'static str> {
        let order = TapOrder::Read { tap: self.number };
        let reads =
            asking::tap_everywhere(&self.desk, &order).await.map_err(|_| "the broker is busy, or ends")?;
        match reads.iter().all(|read| read.is_there) {
            true => Ok(reads),
            false => Err("it was not read for too long"),
        }
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Between two looks at the shards.
const PERIOD: Duration = Duration::from_millis(100);
const SILENCE_MAX: Duration = Duration::from_secs(2);

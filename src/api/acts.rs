//! What is done to the broker by an operator, told in the log and in the audit log with who has asked for it.

use std::time::{Duration, Instant};

use runtime::Desk;
use shard::{Act, Acted, ShardId};

use super::{
    asking::{self, Trouble},
    guard::Caller,
};
use crate::audit;

/// How much was done, and whether there is more to do by the same question once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    pub count: usize,
    pub is_partial: bool,
}

/// On every shard, each until it has nothing left to do or the time for one question is over: who has no such client does nothing.
pub async fn everywhere(desk: &Desk, order: impl Fn(Option<Box<str>>) -> Act) -> Result<Done, Trouble> {
    let until = Instant::now() + ACTS_MAX;
    let mut done = Done::default();
    for shard in desk.shards() {
        let on_shard = on_one(desk, shard, &order, until).await?;
        done.count += on_shard.count;
        done.is_partial |= on_shard.is_partial;
    }
    Ok(done)
}

/// Each order is a bounded piece of the shard's work, and clients have their turns in between.
async fn on_one(
    desk: &Desk,
    shard: ShardId,
    order: &impl Fn(Option<Box<str>>) -> Act,
    until: Instant,
) -> Result<Done, Trouble> {
    let (mut count, mut after) = (0, None);
    loop {
        let Acted { count: more, next, is_partial, .. } = asking::act(desk, shard, order(after)).await?;
        count += more;
        if next.is_none() && !is_partial {
            return Ok(Done { count, is_partial: false });
        }
        if Instant::now() >= until {
            return Ok(Done { count, is_partial: true });
        }
        after = next;
    }
}

/// Tells what was done. `what` is as the audit log calls it.
pub fn tell(caller: &Caller, what: &str, details: &[String]) {
    let by = caller.by("the control socket");
    tracing::info!("{by}: {what} {}", details.join(" "));
    audit::tell(&audit::Act { act: what, by: &by, outcome: "done", details });
}

/// Well within the time of an answer.
const ACTS_MAX: Duration = Duration::from_secs(15);

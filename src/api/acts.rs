//! What is done to the broker by an operator, told in the log and in the audit log with who has asked for it.

use std::time::{Duration, Instant};

use runtime::Desk;
use shard::{Act, Acted, ShardId};

use super::{
    asking::{self, Trouble},
    context::Context,
    guard::Caller,
    orders::Queue,
};
use crate::audit;

/// How much was done, and whether there is more to do by the same question once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    pub count: usize,
    pub is_partial: bool,
}

/// What somebody does, as the logs have it.
pub struct Deed {
    by: String,
    /// As the audit log calls it.
    what: &'static str,
    details: Vec<String>,
}

impl Deed {
    pub fn new(caller: &Caller, what: &'static str, to: &str) -> Deed {
        Deed { by: caller.by("the control socket"), what, details: vec![to.to_owned()] }
    }

    pub fn by(&self) -> &str {
        &self.by
    }

    /// It is done.
    pub fn tell(&self) {
        self.write_down("done", &self.details);
    }

    /// It is done, to so many.
    fn tell_count(&self, count: usize) {
        self.write_down("done", &[&self.details[..], &[format!("{count} dropped")]].concat());
    }

    /// Nobody has heard whether it is done everywhere.
    pub fn tell_unknown(&self) {
        let (by, what, details) = (&self.by, self.what, self.details.join(" "));
        tracing::warn!("{by}: {what} {details}: ordered, and a shard has not said whether it is done");
        audit::tell(&audit::Act { act: what, by, outcome: "unknown", details: &self.details });
    }

    fn write_down(&self, outcome: &str, details: &[String]) {
        let (by, what) = (&self.by, self.what);
        tracing::info!("{by}: {what} {}", details.join(" "));
        audit::tell(&audit::Act { act: what, by, outcome, details });
    }
}

/// What is dropped is told with its number, and also where it is nothing; what is done to one client, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    IfAny,
    WithCount,
}

/// On every shard, each until it has nothing left to do or the time for one question is over: who has no such client does nothing.
pub async fn everywhere(
    context: &Context,
    deed: Deed,
    told: Told,
    order: impl Fn(Option<Box<str>>) -> Act + Send + Sync + 'static,
) -> Result<Done, Trouble> {
    let desk = asking::desk(context)?.clone();
    let work = async move {
        let done = on_all(&desk, &order).await;
        match (&done, told) {
            (Ok(done), Told::WithCount) => deed.tell_count(done.count),
            (Ok(done), Told::IfAny) if done.count > 0 => deed.tell(),
            (Ok(_), Told::IfAny) => {}
            (Err(_), _) => deed.tell_unknown(),
        }
        done
    };
    context.orders().see_through(Queue::Act, work).await
}

async fn on_all(
    desk: &Desk,
    order: &(impl Fn(Option<Box<str>>) -> Act + Send + Sync),
) -> Result<Done, Trouble> {
    let until = Instant::now() + ACTS_MAX;
    let mut done = Done::default();
    for shard in desk.shards() {
        let on_shard = on_one(desk, shard, order, until).await?;
        done.count += on_shard.count;
        done.is_partial |= on_shard.is_partial;
    }
    Ok(done)
}

/// Each order is a bounded piece of the shard's work, and clients have their turns in between.
async fn on_one(
    desk: &Desk,
    shard: ShardId,
    order: &(impl Fn(Option<Box<str>>) -> Act + Send + Sync),
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

/// Well within the time of an answer.
const ACTS_MAX: Duration = Duration::from_secs(15);

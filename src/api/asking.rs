//! Questions to the shards, each by a message: whoever asks waits for the answer, but not for long, and never the other way round.

use std::{
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};

use axum::response::{IntoResponse, Response};
use runtime::{Desk, Looked, Snapshot, Unreachable};
use shard::{Act, Acted, ComingsSeen, FreshLoss, Look, Seen, ShardId, TapOrder, TapRead};
use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::{answer, context::Context, reload::ENDING};

/// Why there is no answer, as it is told to who has asked.
pub struct Trouble(Box<Response>);

impl From<Response> for Trouble {
    fn from(response: Response) -> Trouble {
        Trouble(Box::new(response))
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<Unreachable> for Trouble {
    fn from(Unreachable { shard }: Unreachable) -> Trouble {
        let why =
            format!("shard {} takes no orders at present: it has too many already, or it has ended", shard.0);
        answer::unavailable(&why).into()
    }
}

/// A question that is under way.
pub struct Asked<T> {
    shard: ShardId,
    answer: oneshot::Receiver<T>,
    until: Instant,
    /// While this is there somebody waits for the answer.
    _asker: Arc<()>,
}

impl<T: Send + 'static> Asked<T> {
    fn ask(
        shard: ShardId,
        send: impl FnOnce(Box<dyn FnOnce(T) + Send>, Weak<()>) -> Result<(), Unreachable>,
    ) -> Result<Asked<T>, Trouble> {
        let (reply, answer) = oneshot::channel();
        let asker = Arc::new(());
        // Who has asked may be gone.
        send(Box::new(move |answer| drop(reply.send(answer))), Arc::downgrade(&asker))?;
        Ok(Asked { shard, answer, until: Instant::now() + ANSWER_MAX, _asker: asker })
    }

    pub async fn answer(self) -> Result<T, Trouble> {
        let shard = self.shard.0;
        match timeout_at(self.until, self.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(answer::unavailable(&format!(
                "shard {shard} has too many questions at present, or has ended"
            ))
            .into()),
            Err(_) => {
                let why = format!("shard {shard} did not answer within {} seconds", ANSWER_MAX.as_secs());
                Err(answer::unavailable(&why).into())
            }
        }
    }
}

/// The shards, if they are there.
pub fn desk(context: &Context) -> Result<&Desk, Trouble> {
    context.desk().ok_or_else(|| answer::unavailable("the broker starts").into())
}

pub async fn look(desk: &Desk, shard: ShardId, look: Look) -> Result<Looked, Trouble> {
    Asked::ask(shard, |reply, asker| desk.look(shard, look, asker, reply))?.answer().await
}

/// What a shard says to it, a refusal as well.
pub async fn act(desk: &Desk, shard: ShardId, act: Act) -> Result<Acted, Trouble> {
    Asked::ask(shard, |reply, _| desk.act(shard, act, reply))?.answer().await
}

/// A refusal is trouble to whoever has ordered it.
pub fn done(acted: Acted) -> Result<Acted, Trouble> {
    match acted.refused {
        None => Ok(acted),
        Some(why) => Err(answer::unavailable(why).into()),
    }
}

/// The same of all of them at once, in their order.
pub async fn look_everywhere(desk: &Desk, look: &Look) -> Result<Vec<Looked>, Trouble> {
    everywhere(desk, |shard, reply, asker| desk.look(shard, look.clone(), asker, reply)).await
}

/// What its home alone knows of a client, and how the client comes.
pub async fn of_client(desk: &Desk, client_id: &str, look: Look) -> Result<(Looked, ComingsSeen), Trouble> {
    let coming = AskedComings::ask(desk, client_id);
    let looked = self::look(desk, desk.home_of_client(client_id), look).await?;
    Ok((looked, coming.answers().await))
}

/// How a client comes.
pub async fn comings(desk: &Desk, client_id: &str) -> ComingsSeen {
    AskedComings::ask(desk, client_id).answers().await
}

/// Any shard may have refused the client; its home knows all else. It is only said besides: who does not answer is left out.
struct AskedComings {
    home: Option<Asked<Looked>>,
    others: Vec<Asked<Looked>>,
}

impl AskedComings {
    fn ask(desk: &Desk, client_id: &str) -> AskedComings {
        let look = Look::Comings { client_id: client_id.into() };
        let ask = |shard| Asked::ask(shard, |reply, asker| desk.look(shard, look.clone(), asker, reply)).ok();
        let home = desk.home_of_client(client_id);
        let others = desk.shards().filter(|shard| *shard != home).filter_map(ask).collect();
        AskedComings { home: ask(home), others }
    }

    /// Nothing where its home does not answer: what others have refused may be over.
    async fn answers(self) -> ComingsSeen {
        let Some(home) = comings_in(self.home).await else { return ComingsSeen::default() };
        let mut others = Vec::new();
        for asked in self.others {
            others.extend(comings_in(Some(asked)).await);
        }
        home.with(others)
    }
}

async fn comings_in(asked: Option<Asked<Looked>>) -> Option<ComingsSeen> {
    match asked?.answer().await.ok()?.seen {
        Seen::Comings(seen) => Some(*seen),
        _ => None,
    }
}

pub async fn tap_everywhere(desk: &Desk, order: &TapOrder) -> Result<Vec<TapRead>, Trouble> {
    everywhere(desk, |shard, reply, _| desk.tap(shard, order.clone(), reply)).await
}

/// What each has lost since it was asked last.
pub async fn fresh_losses(desk: &Desk) -> Result<Vec<Vec<FreshLoss>>, Trouble> {
    everywhere(desk, |shard, reply, _| desk.fresh_losses(shard, reply)).await
}

pub async fn snapshots(desk: &Desk) -> Result<Vec<Snapshot>, Trouble> {
    everywhere(desk, |shard, reply, _| desk.snapshot(shard, reply)).await
}

async fn everywhere<T: Send + 'static>(
    desk: &Desk,
    send: impl Fn(ShardId, Box<dyn FnOnce(T) + Send>, Weak<()>) -> Result<(), Unreachable>,
) -> Result<Vec<T>, Trouble> {
    let asked: Vec<Asked<T>> = desk
        .shards()
        .map(|shard| Asked::ask(shard, |reply, asker| send(shard, reply, asker)))
        .collect::<Result<_, _>>()?;
    let mut answers = Vec::new();
    for question in asked {
        answers.push(question.answer().await?);
    }
    Ok(answers)
}

/// What takes its time, or waits for files: beside the thread that answers questions, a few at a time. Whoever goes away before it has
/// begun leaves nothing behind.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    let place = ASIDE.acquire().await.map_err(|_| ending())?;
    let begun = spawn_blocking(move || {
        let _place = place;
        work()
    });
    begun.await.map_err(|_| ending())
}

pub fn ending() -> Trouble {
    answer::unavailable(ENDING).into()
}

static ASIDE: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

/// Far more than a turn of a shard takes: who does not answer then is not well.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use shard::{Presence, RefusalSeen, RefusedSeen};
    use tokio::runtime::Builder;

    use super::*;

    const NOW: shard::Instant = shard::Instant::START.add_secs(1000);

    /// None: the shard has too many questions.
    fn asked(seen: Option<ComingsSeen>) -> Asked<Looked> {
        let (reply, answer) = oneshot::channel();
        if let Some(seen) = seen {
            let seen = Seen::Comings(Box::new(seen));
            reply.send(Looked { seen, addresses: Vec::new(), now: NOW }).expect("somebody waits for it");
        }
        Asked { shard: ShardId(0), answer, until: Instant::now() + ANSWER_MAX, _asker: Arc::new(()) }
    }

    fn refused(seconds_ago: u64) -> ComingsSeen {
        let last_ago = Duration::from_secs(seconds_ago);
        let refusal = RefusalSeen {
            count: 1,
            last: shard::Instant::START.add_secs(1000 - seconds_ago),
            first_ago: last_ago,
            last_ago,
            why: "no".into(),
            user: None,
            address: None,
        };
        let refused = RefusedSeen { cause: Some(refusal), wait: None };
        ComingsSeen { refused: Some(refused), ..ComingsSeen::default() }
    }

    fn count(home: Option<ComingsSeen>, others: Vec<Option<ComingsSeen>>) -> u64 {
        let comings =
            AskedComings { home: Some(asked(home)), others: others.into_iter().map(asked).collect() };
        let waiting = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let refused = waiting.block_on(comings.answers()).refused;
        refused.and_then(|refused| refused.cause).map_or(0, |refusal| refusal.count)
    }

    #[test]
    fn a_shard_that_does_not_answer_is_left_out_of_what_is_only_said_besides() {
        assert_eq!(count(Some(refused(1)), vec![None, Some(refused(2)), None]), 2);
        assert_eq!(count(Some(ComingsSeen::default()), vec![None]), 0);
    }

    #[test]
    fn what_others_have_refused_says_nothing_without_the_home_and_nothing_from_before_it_let_the_client_in() {
        assert_eq!(count(None, vec![Some(refused(1))]), 0);
        let presence = Some(Presence::Here { since: shard::Instant::START.add_secs(500) });
        let home = ComingsSeen { presence, ..ComingsSeen::default() };
        assert_eq!(count(Some(home), vec![Some(refused(499)), Some(refused(501))]), 1);
    }
}

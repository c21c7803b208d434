//! Questions about what a shard holds, which it answers beside its work: one in a turn, and all of them in a tenth of its
//! time, however many are asked and whatever an answer takes.

use std::{collections::VecDeque, sync::Weak, time::Duration};

use shard::{Instant, Look};

use crate::{
    control::COMMANDS_MAX,
    desk::{Looked, Reply},
};

/// Those that wait, in the order in which they came.
pub(super) struct Questions {
    waiting: VecDeque<Question>,
    /// None is answered before.
    open_at: Instant,
    /// The turn that looked last for those that are given up.
    cleared_at: Option<Instant>,
}

pub(super) struct Question {
    pub look: Box<Look>,
    /// Nobody waits for the answer once this is gone.
    pub asker: Weak<()>,
    pub reply: Reply<Looked>,
}

impl Question {
    fn is_given_up(&self) -> bool {
        self.asker.strong_count() == 0
    }
}

impl Questions {
    pub fn new(now: Instant) -> Questions {
        Questions { waiting: VecDeque::new(), open_at: now, cleared_at: None }
    }

    /// Where there are too many, the last one is dropped, and its reply with it.
    pub fn add(&mut self, question: Question, now: Instant) {
        if self.waiting.len() >= WAITING_MAX {
            self.forget_given_up(now);
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(question);
        }
    }

    /// Once in a turn: all that wait are looked at, and orders come by the dozen.
    fn forget_given_up(&mut self, now: Instant) {
        if self.cleared_at.replace(now) != Some(now) {
            self.waiting.retain(|question| !question.is_given_up());
        }
    }

    /// The one whose turn it is, if it is time for one.
    pub fn next(&mut self, now: Instant) -> Option<Question> {
        if now < self.open_at {
            return None;
        }
        loop {
            let question = self.waiting.pop_front()?;
            if !question.is_given_up() {
                return Some(question);
            }
        }
    }

    /// One was answered, and took so long until now: what is not asked about has its time first.
    pub fn rest(&mut self, now: Instant, took: Duration) {
        self.open_at = now + took * OTHERS_SHARE;
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.open_at)
    }
}

/// The rest of the shard's work has as many times the time of an answer.
const OTHERS_SHARE: u32 = 9;

/// Fewer than the API may have callers: whoever asks beyond is told so at once. Of as many the last has its answer within the five seconds for which
/// it waits if each takes less than half a millisecond.
const WAITING_MAX: usize = 1024;

const _: () =
    assert!(COMMANDS_MAX <= WAITING_MAX, "where nobody waits there is room for whatever a turn brings");

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn questions(count: usize, asker: &Arc<()>) -> (Questions, Instant) {
        let now = Instant::default() + Duration::from_secs(1);
        let mut questions = Questions::new(now);
        for _ in 0..count {
            questions.add(question(asker), now);
        }
        (questions, now)
    }

    fn question(asker: &Arc<()>) -> Question {
        Question { look: Box::new(Look::Prefixes), asker: Arc::downgrade(asker), reply: Box::new(|_| {}) }
    }

    #[test]
    fn an_answer_is_followed_by_nine_times_its_time_for_others() {
        let asker = Arc::new(());
        let (mut questions, now) = questions(2, &asker);
        assert_eq!(questions.next_deadline(), Some(now), "the first one goes at once");
        assert!(questions.next(now).is_some());
        let answered = now + 3 * MS;
        questions.rest(answered, 3 * MS);
        let open_at = answered + 27 * MS;
        assert_eq!(questions.next_deadline(), Some(open_at));
        assert!(questions.next(answered + 26 * MS).is_none());
        assert!(questions.next(open_at).is_some());
    }

    #[test]
    fn nothing_is_due_without_a_question() {
        let (questions, _) = questions(0, &Arc::new(()));
        assert_eq!(questions.next_deadline(), None);
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let asker = Arc::new(());
        let (questions, _) = questions(WAITING_MAX + 1, &asker);
        assert_eq!(questions.waiting.len(), WAITING_MAX);
    }

    #[test]
    fn a_turn_looks_once_for_what_nobody_waits_for_any_more() {
        let asker = Arc::new(());
        let (mut questions, now) = questions(WAITING_MAX, &asker);
        let (kept, gone) = (Arc::new(()), asker);
        questions.add(question(&kept), now);
        drop(gone);
        questions.add(question(&kept), now);
        assert_eq!(questions.waiting.len(), WAITING_MAX, "it has looked");
        questions.add(question(&kept), now + MS);
        assert_eq!(questions.waiting.len(), 1);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_answered_and_takes_no_room() {
        let gone = Arc::new(());
        let (mut questions, now) = questions(WAITING_MAX, &gone);
        drop(gone);
        let asker = Arc::new(());
        questions.add(question(&asker), now);
        assert!(questions.next(now).is_some_and(|question| !question.is_given_up()));
        assert!(questions.next(now).is_none());
    }
}

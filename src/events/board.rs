//! The board: the last events, in one ring for all listeners, each of whom has a place in it. Who falls behind the ring has lost what
//! left it, and is told how much of it was meant for him.

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
};

use super::event::{Event, Filter};
use crate::happening::Happening;

#[derive(Default)]
pub struct Board {
    events: VecDeque<Event>,
    bytes: usize,
    /// The number of the first of them.
    first: u64,
    listeners: BTreeMap<u64, Listener>,
    places: u64,
    /// Of all listeners there have been.
    lost: u64,
}

/// One listener's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening(u64);

struct Listener {
    filter: Filter,
    /// The number of the event that is to be read next.
    next: u64,
    lost: u64,
    /// Of who waits for something to come.
    waker: Option<Waker>,
}

impl Board {
    pub fn listen(&mut self, filter: Filter) -> Listening {
        let place = Listening(self.places);
        self.places += 1;
        let next = self.end();
        self.listeners.insert(place.0, Listener { filter, next, lost: 0, waker: None });
        place
    }

    pub fn leave(&mut self, place: Listening) {
        self.listeners.remove(&place.0);
        if self.listeners.is_empty() {
            *self = Board { first: self.end(), places: self.places, lost: self.lost, ..Board::default() };
        }
    }

    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    pub fn put(&mut self, event: Event) {
        self.bytes += event.bytes();
        for listener in self.listeners.values_mut().filter(|listener| listener.waker.is_some()) {
            if listener.filter.wants(&event) {
                listener.wake();
            }
        }
        self.events.push_back(event);
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// So many of this kind never came to the board.
    pub fn miss(&mut self, kind: Happening, count: u64) {
        if count == 0 {
            return;
        }
        for listener in self.listeners.values_mut().filter(|listener| listener.filter.kinds.has(kind)) {
            listener.lost += count;
            self.lost += count;
            listener.wake();
        }
    }

    /// A piece of what has come for this listener.
    pub fn read(&mut self, place: Listening, waker: &Waker) -> Option<String> {
        let end = self.end();
        let listener = self.listeners.get_mut(&place.0)?;
        let mut text = String::new();
        let lost = std::mem::take(&mut listener.lost);
        if lost > 0 {
            text = format!("event: lost\ndata: {{\"event\":\"lost\",\"count\":{lost}}}\n\n");
        }
        while listener.next < end && text.len() < PIECE_BYTES {
            let at = usize::try_from(listener.next - self.first).expect("it is within the ring");
            listener.next += 1;
            let event = &self.events[at];
            if listener.filter.wants(event) {
                event.write(&mut text);
            }
        }
        if text.is_empty() {
            listener.waker = Some(waker.clone());
            return None;
        }
        Some(text)
    }

    /// So many events have not come to those they were for, each counted for each of them.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn drop_oldest(&mut self) {
        let Some(event) = self.events.pop_front() else { return };
        self.bytes -= event.bytes();
        self.first += 1;
        for listener in self.listeners.values_mut().filter(|listener| listener.next < self.first) {
            listener.next = self.first;
            let lost = u64::from(listener.filter.wants(&event));
            listener.lost += lost;
            self.lost += lost;
        }
    }
}

impl Listener {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What is kept for those who read slowly, whether they are one or a thousand.
const EVENTS_MAX: usize = 16 << 10;
const BYTES_MAX: usize = 8 << 20;
/// Of one answer, but for its last event.
const PIECE_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use shard::{Cause, FreshLoss, Loss, ShardId};

    use super::*;

    fn event(client_id: &str, topic: &str) -> Event {
        let loss = Loss {
            cause: Cause::Expired,
            topic: Some(topic.into()),
            count: 1,
            first_ago: Default::default(),
            last_ago: Default::default(),
        };
        let loss = FreshLoss { client_id: Some(client_id.into()), loss };
        Event::of_loss(SystemTime::UNIX_EPOCH, ShardId(0), &loss)
    }

    fn of_client(client_id: &str) -> Filter {
        Filter { client_id: Some(client_id.into()), ..Filter::default() }
    }

    fn read_all(board: &mut Board, place: Listening) -> String {
        std::iter::from_fn(|| board.read(place, Waker::noop())).collect()
    }

    #[test]
    fn each_reads_what_it_wants_from_when_it_came() {
        let mut board = Board::default();
        let early = board.listen(Filter::default());
        board.put(event("a", "t"));
        let late = board.listen(of_client("b"));
        board.put(event("a", "u"));
        board.put(event("b", "v"));
        assert_eq!(read_all(&mut board, early).matches("event: dropped").count(), 3);
        let text = read_all(&mut board, late);
        assert!(text.matches("event: ").count() == 1 && text.contains("\"topic\":\"v\""), "{text}");
        assert!(board.read(early, Waker::noop()).is_none());
    }

    #[test]
    fn who_does_not_read_loses_what_was_meant_for_it_and_is_told_how_much() {
        let mut board = Board::default();
        let (slow, narrow) = (board.listen(Filter::default()), board.listen(of_client("b")));
        board.put(event("b", "first"));
        for _ in 0..EVENTS_MAX + 9 {
            board.put(event("a", "t"));
        }
        let text = read_all(&mut board, slow);
        assert!(
            text.starts_with("event: lost\ndata: {\"event\":\"lost\",\"count\":10}\n\n"),
            "{}",
            &text[..80]
        );
        assert_eq!(text.matches("event: dropped").count(), EVENTS_MAX);
        assert_eq!(read_all(&mut board, narrow), "event: lost\ndata: {\"event\":\"lost\",\"count\":1}\n\n");
        assert_eq!(board.lost(), 11, "of both");
    }

    #[test]
    fn what_is_kept_is_bounded_by_its_bytes() {
        let mut board = Board::default();
        let place = board.listen(Filter::default());
        let long = "x".repeat(60_000);
        for _ in 0..EVENTS_MAX {
            board.put(event("a", &long));
        }
        assert!(board.bytes <= BYTES_MAX && board.bytes > BYTES_MAX / 2);
        let text = read_all(&mut board, place);
        let lost: usize = text
            .split("\"count\":")
            .nth(1)
            .and_then(|rest| rest.split('}').next())
            .and_then(|count| count.parse().ok())
            .expect("a count");
        assert_eq!(text.matches("event: dropped").count() + lost, EVENTS_MAX);
        board.leave(place);
        assert_eq!((board.bytes, board.events.len(), board.is_empty()), (0, 0, true));
    }
}

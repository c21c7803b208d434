//! What happens to clients, for those who listen: it comes from the shards, waits in a bounded queue and goes on to a board from which
//! everybody reads at their own pace.
//!
//! A shard looks at a flag, and as long as somebody listens it puts what it has to say into the queue, or counts it as lost. It never
//! waits, and what it does is the same for one listener and for a thousand. Whoever carries from the queue to the board is in
//! `api/events.rs`.

mod board;
mod event;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::SystemTime,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use runtime::{Auditor, Occasion};
use shard::{FreshLoss, NotOpened, Note, ShardId};
use tokio::sync::watch;

use self::{board::Board, event::Event};
pub use self::{board::Listening, event::Filter};
use crate::{audit, happening::Happening};

/// One for the process. A clone of the pointer is the same one.
pub struct Events {
    /// Somebody listens.
    is_heard: AtomicBool,
    heard: watch::Sender<bool>,
    of_clients: Queue,
    /// Of who is turned away: as many come as anybody likes, and they take no room from what clients do.
    of_strangers: Queue,
    board: Mutex<Board>,
    /// By the number of the door.
    listeners: RwLock<Vec<Arc<str>>>,
}

struct Queue {
    inlet: Sender<Told>,
    outlet: Receiver<Told>,
    lost: [AtomicU64; Happening::ALL.len()],
}

/// As a shard has told it.
struct Told {
    at: SystemTime,
    shard: ShardId,
    occasion: Occasion,
    kind: Happening,
    what: What,
}

enum What {
    Note(Note),
    TurnedAway { by: &'static str, why: Box<str> },
}

impl Default for Events {
    fn default() -> Events {
        Events {
            is_heard: AtomicBool::new(false),
            heard: watch::Sender::new(false),
            of_clients: Queue::new(CLIENTS_WAITING_MAX),
            of_strangers: Queue::new(STRANGERS_WAITING_MAX),
            board: Mutex::default(),
            listeners: RwLock::default(),
        }
    }
}

impl Queue {
    fn new(most: usize) -> Queue {
        let (inlet, outlet) = bounded(most);
        Queue { inlet, outlet, lost: Default::default() }
    }

    fn put(&self, told: Told) {
        let kind = told.kind;
        if self.inlet.try_send(told).is_err() {
            self.lost[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Events {
    /// Somebody listens from now on.
    pub fn listen(&self, filter: Filter) -> Listening {
        let place = self.board().listen(filter);
        self.is_heard.store(true, Ordering::Relaxed);
        self.heard.send_replace(true);
        place
    }

    pub fn leave(&self, place: Listening) {
        let mut board = self.board();
        board.leave(place);
        if board.is_empty() {
            self.is_heard.store(false, Ordering::Relaxed);
            self.heard.send_replace(false);
        }
    }

    /// What has come for this listener, as server-sent events; if nothing has, the waker is called when something does.
    pub fn read(&self, place: Listening, waker: &Waker) -> Option<String> {
        self.board().read(place, waker)
    }

    /// For whoever carries: ends when somebody listens.
    pub async fn await_listeners(&self) {
        // The sender is this.
        let _ = self.heard.subscribe().wait_for(|is_heard| *is_heard).await;
    }

    /// Some of what waits goes to the board; true: more waits.
    pub fn carry(&self) -> bool {
        let mut has_more = false;
        for queue in [&self.of_clients, &self.of_strangers] {
            let told: Vec<Told> = queue.outlet.try_iter().take(CARRIED_AT_ONCE).collect();
            has_more |= told.len() == CARRIED_AT_ONCE;
            let mut board = self.board();
            for (kind, lost) in Happening::ALL.into_iter().zip(&queue.lost) {
                board.miss(kind, lost.swap(0, Ordering::Relaxed));
            }
            for told in told {
                board.put(self.event(&told));
            }
        }
        has_more
    }

    /// By listeners that have not read in time.
    pub fn lost(&self) -> u64 {
        self.board().lost()
    }

    pub fn put_losses(&self, shard: ShardId, losses: &[FreshLoss]) {
        let now = SystemTime::now();
        let mut board = self.board();
        losses.iter().for_each(|loss| board.put(Event::of_loss(now, shard, loss)));
    }

    /// Listeners of the broker have come or gone.
    pub fn replace_listeners(&self, names: Vec<Arc<str>>) {
        *self.listeners.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn event(&self, told: &Told) -> Event {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let listener = told.occasion.door.and_then(|door| listeners.get(usize::from(door)));
        let Told { at, shard, occasion, kind, what } = told;
        let fields = event::head(*kind, *at, *shard, occasion.address, listener.map(|name| &**name));
        match what {
            What::Note(note) => Event::of_note(*kind, fields, occasion.address, note),
            What::TurnedAway { by, why } => Event::of_stranger(fields, occasion.address, by, why),
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }
}

impl Auditor for Events {
    fn record(&self, shard: ShardId, occasion: &Occasion, note: &Note) {
        if !self.is_heard() {
            return;
        }
        let Some(kind) = Happening::of(note) else { return };
        let queue = if note.client_id.is_some() { &self.of_clients } else { &self.of_strangers };
        let what = What::Note(note.clone());
        queue.put(Told { at: SystemTime::now(), shard, occasion: *occasion, kind, what });
    }

    fn turn_away(&self, shard: ShardId, occasion: &Occasion, why: NotOpened, what: &str) {
        if !self.is_heard() {
            return;
        }
        let what = What::TurnedAway { by: audit::layer_of(why), why: what.into() };
        let told = Told { at: SystemTime::now(), shard, occasion: *occasion, kind: Happening::Refused, what };
        self.of_strangers.put(told);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("is_heard", &self.is_heard()).finish_non_exhaustive()
    }
}

/// A shard can let in and go some hundred thousand clients in a second, and they are carried on fifty times in it.
const CLIENTS_WAITING_MAX: usize = 16 << 10;
const STRANGERS_WAITING_MAX: usize = 1 << 10;
/// Listeners have their turn after so many.
const CARRIED_AT_ONCE: usize = 512;
/// So many turns carry all that waits when they begin.
pub const TURNS_MAX: usize = CLIENTS_WAITING_MAX / CARRIED_AT_ONCE;
const _: () = assert!(CLIENTS_WAITING_MAX.is_multiple_of(CARRIED_AT_ONCE));
const _: () = assert!(STRANGERS_WAITING_MAX <= CLIENTS_WAITING_MAX);

#[cfg(test)]
mod tests {
    use shard::{ReasonCode, What as Says};

    use super::*;

    fn left(client_id: &str) -> Note {
        let what = Says::Disconnected { reason: ReasonCode::Success, why: "gone".into() };
        Note { conn: None, client_id: Some(client_id.into()), user: Some("ada".into()), what }
    }

    fn record(events: &Events, note: &Note) {
        events.record(ShardId(1), &Occasion { address: None, door: Some(0) }, note);
    }

    fn read(events: &Events, place: Listening) -> String {
        events.read(place, Waker::noop()).unwrap_or_default()
    }

    #[test]
    fn nothing_is_kept_where_nobody_listens() {
        let events = Events::default();
        record(&events, &left("a"));
        assert!(events.of_clients.outlet.is_empty());
        let place = events.listen(Filter::default());
        events.replace_listeners(vec!["tcp://x".into()]);
        record(&events, &left("b"));
        assert!(!events.carry());
        let text = read(&events, place);
        assert!(text.starts_with("event: disconnected\ndata: {") && text.ends_with("}\n\n"), "{text}");
        for part in ["\"client_id\":\"b\"", "\"user\":\"ada\"", "\"shard\":1", "\"listener\":\"tcp://x\""] {
            assert!(text.contains(part), "{part}: {text}");
        }
        events.leave(place);
        record(&events, &left("c"));
        assert!(events.of_clients.outlet.is_empty());
    }

    #[test]
    fn strangers_take_no_room_from_clients_and_what_is_lost_is_counted() {
        let events = Events::default();
        let place = events.listen(Filter::default());
        for _ in 0..STRANGERS_WAITING_MAX + 7 {
            events.turn_away(ShardId(0), &Occasion::default(), NotOpened::Tls, "TLS: no");
        }
        record(&events, &left("a"));
        while events.carry() {}
        let mut text = String::new();
        while let Some(piece) = events.read(place, Waker::noop()) {
            text += &piece;
        }
        assert_eq!(text.matches("event: refused").count(), STRANGERS_WAITING_MAX);
        assert_eq!(text.matches("event: disconnected").count(), 1);
        assert!(text.contains("{\"event\":\"lost\",\"count\":7}"), "{text}");
        events.leave(place);
        assert_eq!(events.lost(), 7, "since the start, whoever is still there");
    }
}

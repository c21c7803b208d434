//! The place that a connection has among those that are served. An answer that goes on without an end is a stream and has a place of another
//! kind, so that streams keep nobody from asking.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};

use super::{
    guard::Caller,
    hall::{Served, Stay},
    places::{Asker, Places},
    published::PUBLISHED_MAX,
    shares::{NoPlace, share_of},
    trace::TRACES_MAX,
};
use crate::{log::FOLLOWERS_MAX, metrics::Used};

/// A clone is the same one.
#[derive(Clone)]
pub enum Seat {
    /// At the control socket everybody has one, until he leaves it.
    Control(Arc<Mutex<Option<OwnedSemaphorePermit>>>),
    /// Over TCP it has to be taken.
    Hall(Stay),
}

/// Where streams have theirs. Of all, and of each kind that has fewer, an address has a share.
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    streams_ever: AtomicU64,
}

struct Table {
    places: Places<Running>,
    most: usize,
    /// Of kinds that have fewer places, in the order of `LIMITED`.
    refused: [u64; LIMITED.len()],
}

/// One that has a place.
struct Running {
    stream: Stream,
    /// None: at the control socket, where nobody has to make room.
    served: Option<Served>,
    /// Heard when it is over.
    end: oneshot::Receiver<()>,
}

/// What is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Events,
    Log,
    Trace,
    Published,
}

/// The place of one stream; its end gives it back.
pub struct StreamPlace {
    streams: Streams,
    number: u64,
    /// Whoever has taken the place waits for this to go.
    _end: oneshot::Sender<()>,
}

impl Seat {
    pub fn of_control(place: OwnedSemaphorePermit) -> Seat {
        Seat::Control(Arc::new(Mutex::new(Some(place))))
    }

    /// For whoever may ask.
    pub async fn take(&self, caller: &Caller) -> Result<(), NoPlace> {
        match self {
            Seat::Control(_) => Ok(()),
            Seat::Hall(stay) => stay.take_seat(&Asker::new(caller, self.origin())).await,
        }
    }

    /// For whoever has a place among the streams: only a stream may stay without a seat.
    pub fn leave(&self) {
        match self {
            Seat::Control(place) => drop(place.lock().unwrap_or_else(PoisonError::into_inner).take()),
            Seat::Hall(stay) => stay.leave_seat(),
        }
    }

    fn origin(&self) -> Option<IpAddr> {
        match self {
            Seat::Control(_) => None,
            Seat::Hall(stay) => Some(stay.origin()),
        }
    }

    fn served(&self) -> Option<Served> {
        match self {
            Seat::Control(_) => None,
            Seat::Hall(stay) => Some(stay.served()),
        }
    }
}

impl Streams {
    pub fn new(streams_max: u64) -> Streams {
        let most = usize::try_from(streams_max).unwrap_or(usize::MAX);
        let table = Table { places: Places::default(), most, refused: [0; LIMITED.len()] };
        Streams(Arc::new(Shared { table: Mutex::new(table), streams_ever: AtomicU64::new(0) }))
    }

    /// At most so many from now on. Nobody has a place before the broker is open.
    pub fn lower_to(&self, streams_max: u64) {
        let mut table = self.lock();
        table.most = table.most.min(usize::try_from(streams_max).unwrap_or(usize::MAX));
    }

    /// A place among the streams for one at this seat, who leaves the seat when the stream begins. Who has to go for it has gone by then. The
    /// error is a sentence.
    pub async fn take(&self, seat: &Seat, caller: &Caller, stream: Stream) -> Result<StreamPlace, String> {
        let asker = Asker::new(caller, seat.origin());
        let number = self.0.streams_ever.fetch_add(1, Ordering::Relaxed);
        let (end, heard) = oneshot::channel();
        let running = Running { stream, served: seat.served(), end: heard };
        let going = self.lock().enter(number, asker, running)?;
        let place = StreamPlace { streams: self.clone(), number, _end: end };
        for going in going {
            if let Some(served) = &going.served {
                served.end();
            }
            // Whoever does not go in time is in nobody's way but that of a kind that has a limit of its own, which says so.
            let _ = timeout(GOING_MAX, going.end).await;
        }
        Ok(place)
    }

    /// Of all, and of those kinds that have fewer.
    pub fn used(&self) -> [Used; 4] {
        let table = self.lock();
        let [logs, traces, published] = [0, 1, 2].map(|at| table.used(at));
        [table.places.used("streams", table.most), logs, traces, published]
    }

    /// Nothing is done under the lock that could leave half a change behind.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes a place, and gives those who have lost theirs for that: one of its kind, one of all, or the same for both.
    fn enter(&mut self, number: u64, asker: Asker, running: Running) -> Result<Vec<Running>, String> {
        let stream = running.stream;
        let of_kind = self.room_of_kind(&asker, stream)?;
        let of_all = self.places.find_room(&asker, self.most, of_kind, |_| true);
        if !matches!(of_all, Ok(None)) {
            self.places.note_refusal();
        }
        let of_all = of_all.map_err(|no_place| all_sentence(no_place).to_owned())?;
        let going = of_kind.into_iter().chain(of_all);
        let going = going.filter_map(|number| self.places.give_back(number)).collect();
        self.places.take(number, asker, running);
        Ok(going)
    }

    fn room_of_kind(&mut self, asker: &Asker, stream: Stream) -> Result<Option<u64>, String> {
        let Some(at) = LIMITED.iter().position(|limited| limited.stream == stream) else { return Ok(None) };
        let is_same = |running: &Running| running.stream == stream;
        let room = self.places.find_room(asker, LIMITED[at].most, None, is_same);
        self.refused[at] += u64::from(!matches!(room, Ok(None)));
        room.map_err(|no_place| LIMITED[at].sentence(no_place))
    }

    fn used(&self, at: usize) -> Used {
        let Limited { stream, most, place, .. } = LIMITED[at];
        let taken = self.places.count(|running| running.stream == stream) as u64;
        Used { place, taken, most: most as u64, refused: self.refused[at] }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.streams.lock().places.give_back(self.number);
    }
}

/// A kind of which there are fewer than of all.
struct Limited {
    stream: Stream,
    most: usize,
    /// As metrics call it.
    place: &'static str,
    /// As people do.
    what: &'static str,
}

impl Limited {
    fn sentence(&self, no_place: NoPlace) -> String {
        let Limited { most, what, .. } = self;
        match no_place {
            NoPlace::OfAll => {
                format!("there are {most} {what} already, and no more are possible: end one of them")
            }
            NoPlace::OfAddress => {
                let share = share_of(*most);
                format!(
                    "this address has {share} of {most} {what}, which is all that one may have: end one of them"
                )
            }
        }
    }
}

const LIMITED: [Limited; 3] = [
    Limited { stream: Stream::Log, most: FOLLOWERS_MAX, place: "log_streams", what: "readers of the log" },
    Limited { stream: Stream::Trace, most: TRACES_MAX, place: "traces", what: "traces" },
    Limited {
        stream: Stream::Published,
        most: PUBLISHED_MAX,
        place: "published",
        what: "readers of what is published",
    },
];

/// How long one is waited for that has to make room.
const GOING_MAX: Duration = Duration::from_secs(5);

fn all_sentence(no_place: NoPlace) -> &'static str {
    match no_place {
        NoPlace::OfAll => "as many streams run as may (api.max_streams): end another one first",
        NoPlace::OfAddress => {
            "this address has as many streams as one may have, three quarters of api.max_streams: end one of them, or \
             raise that"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{runtime::Builder, sync::Semaphore, time::Instant};

    use super::{
        super::{hall::Hall, token_list::Role},
        *,
    };

    fn on_a_clock(work: impl Future<Output = ()>) {
        let mut clock = Builder::new_current_thread();
        clock.enable_time().start_paused(true).build().expect("a runtime").block_on(work);
    }

    fn caller(token: &str, role: Role) -> Caller {
        Caller { token: Some(token.into()), role: Some(role), ..Caller::default() }
    }

    fn control() -> Caller {
        Caller { role: Some(Role::Admin), ..Caller::default() }
    }

    #[test]
    fn a_stream_leaves_its_seat_and_has_a_place_until_it_ends() {
        on_a_clock(async {
            let seats = Arc::new(Semaphore::new(1));
            let seat = || Seat::of_control(Arc::clone(&seats).try_acquire_owned().expect("a seat"));
            let streams = Streams::new(1);
            let one = seat();
            let place = streams.take(&one, &control(), Stream::Log).await.expect("a place");
            assert_eq!(seats.available_permits(), 0, "who has not begun stays");
            one.leave();
            let other = seat();
            assert!(streams.take(&other, &control(), Stream::Events).await.is_err());
            drop(place);
            assert!(streams.take(&other, &control(), Stream::Events).await.is_ok());
        });
    }

    #[test]
    fn an_address_leaves_places_of_each_kind_to_others() {
        on_a_clock(async {
            let hall = Hall::new(100, 1);
            let enter = |last| hall.try_enter(Ipv4Addr::new(192, 0, 2, last).into()).expect("there is room");
            let (one, other) = (Seat::Hall(enter(1)), Seat::Hall(enter(2)));
            let eye = caller("eye", Role::Viewer);
            let streams = Streams::new(40);
            for (stream, share) in
                [(Stream::Trace, 6), (Stream::Published, 6), (Stream::Log, 12), (Stream::Events, 30)]
            {
                let mut places = Vec::new();
                for _ in 0..share {
                    places.push(streams.take(&one, &eye, stream).await.expect("a place"));
                }
                let why = streams.take(&one, &eye, stream).await.err().expect("it is more than a share");
                assert!(why.contains("this address has"), "{why}");
                assert!(streams.take(&other, &eye, stream).await.is_ok(), "{stream:?}");
            }
            let used = streams.used().map(|used| (used.place, used.taken, used.most, used.refused));
            let of_kinds = [("log_streams", 0, 16, 1), ("traces", 0, 8, 1), ("published", 0, 8, 1)];
            assert_eq!((used[0], &used[1..]), (("streams", 0, 40, 1), &of_kinds[..]));
        });
    }

    #[test]
    fn a_higher_role_has_the_place_of_a_lower_one_of_its_kind_when_that_one_has_ended() {
        on_a_clock(async {
            let hall = Hall::new(100, 1);
            let enter = || Seat::Hall(hall.try_enter(Ipv4Addr::LOCALHOST.into()).expect("there is room"));
            let streams = Streams::new(40);
            let begin = async |stream| {
                let seat = enter();
                let place = streams.take(&seat, &caller("hand", Role::Operator), stream).await;
                let place = place.expect("a place");
                let ends = tokio::spawn(async move {
                    let _place = place;
                    std::future::pending::<()>().await;
                });
                let Seat::Hall(stay) = &seat else { panic!("it came over TCP") };
                stay.is_served_by(ends.abort_handle());
                (seat, ends)
            };
            let (_events, running) = begin(Stream::Events).await;
            let mut traces = Vec::new();
            for _ in 0..share_of(TRACES_MAX) {
                traces.push(begin(Stream::Trace).await);
            }
            let begun = Instant::now();
            let admin = streams.take(&enter(), &caller("boss", Role::Admin), Stream::Trace).await;
            assert!(admin.is_ok() && begun.elapsed() == Duration::ZERO);
            assert!(traces.remove(0).1.is_finished() && !running.is_finished());
            assert!(traces.iter().all(|(_, trace)| !trace.is_finished()));
            let used = streams.used().map(|used| (used.taken, used.refused));
            assert_eq!(used, [(7, 0), (0, 0), (6, 1), (0, 0)]);
        });
    }

    #[test]
    fn streams_become_fewer_and_never_more() {
        on_a_clock(async {
            let seats = Arc::new(Semaphore::new(2));
            let seat = || Seat::of_control(Arc::clone(&seats).try_acquire_owned().expect("a seat"));
            let streams = Streams::new(2);
            streams.lower_to(9);
            streams.lower_to(1);
            let place = streams.take(&seat(), &control(), Stream::Events).await;
            assert!(place.is_ok() && streams.take(&seat(), &control(), Stream::Events).await.is_err());
        });
    }
}

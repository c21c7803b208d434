//! The place that a connection has among those that are served. An answer that goes on without an end is a stream and has a place of another
//! kind, so that streams keep nobody from asking.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    hall::Stay,
    shares::{NoPlace, Shares, share_of},
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
pub struct Streams(Arc<Mutex<Tables>>);

struct Tables {
    all: Shares,
    logs: Shares,
    traces: Shares,
}

/// What is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Events,
    Log,
    Trace,
}

/// The place of one stream; its end gives it back.
pub struct StreamPlace {
    streams: Streams,
    stream: Stream,
    origin: Option<IpAddr>,
}

impl Seat {
    pub fn of_control(place: OwnedSemaphorePermit) -> Seat {
        Seat::Control(Arc::new(Mutex::new(Some(place))))
    }

    /// For whoever may ask.
    pub async fn take(&self) -> Result<(), NoPlace> {
        match self {
            Seat::Control(_) => Ok(()),
            Seat::Hall(stay) => stay.take_seat().await,
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
}

impl Streams {
    pub fn new(streams_max: u64) -> Streams {
        let all = Shares::new(usize::try_from(streams_max).unwrap_or(usize::MAX));
        let tables = Tables { all, logs: Shares::new(FOLLOWERS_MAX), traces: Shares::new(TRACES_MAX) };
        Streams(Arc::new(Mutex::new(tables)))
    }

    /// At most so many from now on. Nobody has a place before the broker is open.
    pub fn lower_to(&self, streams_max: u64) {
        self.lock().all.lower_to(usize::try_from(streams_max).unwrap_or(usize::MAX));
    }

    /// A place among the streams for one at this seat, who leaves the seat when the stream begins. The error is a sentence.
    pub fn take(&self, seat: &Seat, stream: Stream) -> Result<StreamPlace, String> {
        let origin = seat.origin();
        let mut tables = self.lock();
        if let Err(no_place) = tables.all.take(origin) {
            tables.all.note_refusal();
            return Err(all_sentence(no_place).to_owned());
        }
        if let Some(of_kind) = tables.of(stream)
            && let Err(no_place) = of_kind.take(origin)
        {
            of_kind.note_refusal();
            tables.all.give_back(origin);
            return Err(stream.sentence(no_place));
        }
        Ok(StreamPlace { streams: self.clone(), stream, origin })
    }

    /// Of all, and of those kinds that have fewer.
    pub fn used(&self) -> [Used; 3] {
        let Tables { all, logs, traces } = &*self.lock();
        [all.used("streams"), logs.used("log_streams"), traces.used("traces")]
    }

    /// Nothing is done under the lock that could leave half a change behind.
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// None: as many as of all.
    fn of(&mut self, stream: Stream) -> Option<&mut Shares> {
        match stream {
            Stream::Events => None,
            Stream::Log => Some(&mut self.logs),
            Stream::Trace => Some(&mut self.traces),
        }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut tables = self.streams.lock();
        tables.all.give_back(self.origin);
        if let Some(of_kind) = tables.of(self.stream) {
            of_kind.give_back(self.origin);
        }
    }
}

impl Stream {
    fn sentence(self, no_place: NoPlace) -> String {
        let (what, most) = match self {
            Stream::Events => ("streams of events", usize::MAX),
            Stream::Log => ("readers of the log", FOLLOWERS_MAX),
            Stream::Trace => ("traces", TRACES_MAX),
        };
        match no_place {
            NoPlace::OfAll => {
                format!("there are {most} {what} already, and no more are possible: end one of them")
            }
            NoPlace::OfAddress => {
                let share = share_of(most);
                format!(
                    "this address has {share} of {most} {what}, which is all that one may have: end one of them"
                )
            }
        }
    }
}

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

    use tokio::{runtime::Builder, sync::Semaphore};

    use super::{super::hall::Hall, *};

    fn on_a_clock(work: impl Future<Output = ()>) {
        let mut clock = Builder::new_current_thread();
        clock.enable_time().start_paused(true).build().expect("a runtime").block_on(work);
    }

    #[test]
    fn a_stream_leaves_its_seat_and_has_a_place_until_it_ends() {
        let seats = Arc::new(Semaphore::new(1));
        let seat = || Seat::of_control(Arc::clone(&seats).try_acquire_owned().expect("a seat"));
        let streams = Streams::new(1);
        let one = seat();
        let place = streams.take(&one, Stream::Log).expect("a place");
        assert_eq!(seats.available_permits(), 0, "who has not begun stays");
        one.leave();
        let other = seat();
        assert!(streams.take(&other, Stream::Events).is_err());
        drop(place);
        assert!(streams.take(&other, Stream::Events).is_ok());
    }

    #[test]
    fn an_address_leaves_places_of_each_kind_to_others() {
        on_a_clock(async {
            let hall = Hall::new(100, 1);
            let enter = |last| hall.try_enter(Ipv4Addr::new(192, 0, 2, last).into()).expect("there is room");
            let (one, other) = (Seat::Hall(enter(1)), Seat::Hall(enter(2)));
            let streams = Streams::new(40);
            for (stream, share) in [(Stream::Trace, 6), (Stream::Log, 12), (Stream::Events, 30)] {
                let places: Vec<_> = (0..share).map(|_| streams.take(&one, stream)).collect();
                assert!(places.iter().all(Result::is_ok), "{stream:?}");
                let why = streams.take(&one, stream).err().expect("it is more than a share");
                assert!(why.contains("this address has"), "{why}");
                assert!(streams.take(&other, stream).is_ok(), "{stream:?}");
            }
            let used = streams.used().map(|used| (used.place, used.taken, used.most, used.refused));
            assert_eq!(used, [("streams", 0, 40, 1), ("log_streams", 0, 16, 1), ("traces", 0, 8, 1)]);
            assert!(streams.lock().all.is_empty());
        });
    }

    #[test]
    fn streams_become_fewer_and_never_more() {
        let seats = Arc::new(Semaphore::new(2));
        let seat = || Seat::of_control(Arc::clone(&seats).try_acquire_owned().expect("a seat"));
        let streams = Streams::new(2);
        streams.lower_to(9);
        streams.lower_to(1);
        let place = streams.take(&seat(), Stream::Events);
        assert!(place.is_ok() && streams.take(&seat(), Stream::Events).is_err());
    }
}

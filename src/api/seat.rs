//! The place that a connection has among those that are served. An answer that goes on without an end is a stream and has a place of another
//! kind, so that streams keep nobody from asking.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hall::{NoSeat, Place};

/// A clone is the same one.
#[derive(Clone)]
pub enum Seat {
    /// At the control socket everybody has one, until he leaves it.
    Control(Arc<Mutex<Option<OwnedSemaphorePermit>>>),
    /// Over TCP it has to be taken.
    Hall(Place),
}

/// Where streams have theirs.
#[derive(Clone)]
pub struct Streams(Arc<Semaphore>);

impl Seat {
    pub fn of_control(place: OwnedSemaphorePermit) -> Seat {
        Seat::Control(Arc::new(Mutex::new(Some(place))))
    }

    /// For whoever may ask.
    pub async fn take(&self) -> Result<(), NoSeat> {
        match self {
            Seat::Control(_) => Ok(()),
            Seat::Hall(place) => place.take_seat().await,
        }
    }

    fn leave(&self) {
        match self {
            Seat::Control(place) => drop(place.lock().unwrap_or_else(PoisonError::into_inner).take()),
            Seat::Hall(place) => place.leave_seat(),
        }
    }
}

impl Streams {
    pub fn new(streams_max: u64) -> Streams {
        let places = usize::try_from(streams_max).unwrap_or(usize::MAX);
        Streams(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }

    /// At most so many from now on. Nobody has a place before the broker is open.
    pub fn lower_to(&self, streams_max: u64) {
        let left = usize::try_from(streams_max).unwrap_or(usize::MAX);
        self.0.forget_permits(self.0.available_permits().saturating_sub(left));
    }

    /// A place among the streams for one at this seat. None: all are taken.
    pub fn take(&self, seat: &Seat) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.0).try_acquire_owned().ok()?;
        seat.leave();
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_leaves_its_seat_and_has_a_place_until_it_ends() {
        let seats = Arc::new(Semaphore::new(1));
        let seat = || Seat::of_control(Arc::clone(&seats).try_acquire_owned().expect("a seat"));
        let streams = Streams::new(1);
        let one = seat();
        let place = streams.take(&one).expect("a place");
        let other = seat();
        assert!(streams.take(&other).is_none());
        assert_eq!(seats.available_permits(), 0, "who finds no place stays");
        drop(place);
        assert!(streams.take(&other).is_some());
        assert_eq!(seats.available_permits(), 1);
    }

    #[test]
    fn streams_become_fewer_and_never_more() {
        let seats = Arc::new(Semaphore::new(2));
        let seat = || Seat::of_control(Arc::clone(&seats).try_acquire_owned().expect("a seat"));
        let streams = Streams::new(2);
        streams.lower_to(9);
        streams.lower_to(1);
        let place = streams.take(&seat());
        assert!(place.is_some() && streams.take(&seat()).is_none());
    }
}

//! Where asks wait for another program: a line for each kind of provider, with threads of its own.
//!
//! So a program that hangs takes the threads of those alone that it is asked about. By kind, because other chains bring other providers,
//! and those who wait for the ones before are not to cost more threads.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use crate::line::Line;

pub(crate) struct Waiting<T> {
    threads_max: usize,
    /// In each line.
    queue_max: usize,
    rooms: Mutex<Rooms<T>>,
}

struct Rooms<T> {
    by_kind: BTreeMap<&'static str, Room<T>>,
    is_ending: bool,
}

struct Room<T> {
    line: Arc<Line<T>>,
    threads: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Waiting<T> {
    pub fn new(threads_max: usize, queue_max: usize) -> Waiting<T> {
        let rooms = Rooms { by_kind: BTreeMap::new(), is_ending: false };
        Waiting { threads_max: threads_max.max(1), queue_max, rooms: Mutex::new(rooms) }
    }

    /// Puts it into the line of this kind. Where all its threads are busy one more is started, which does `work`. What there is neither
    /// room nor a thread for comes back, and everything at the end.
    pub fn push(
        &self,
        kind: &'static str,
        ip: Option<IpAddr>,
        item: T,
        work: impl FnOnce(&Line<T>) + Send + 'static,
    ) -> Result<(), T> {
        let mut rooms = self.lock();
        if rooms.is_ending {
            return Err(item);
        }
        let room = rooms.by_kind.entry(kind).or_insert_with(|| Room::new(self.queue_max));
        if room.threads.len() < self.threads_max && room.line.is_busy() {
            room.start_thread(kind, work);
        }
        match room.threads.is_empty() {
            true => Err(item),
            false => room.line.push(ip, item),
        }
    }

    pub fn len(&self) -> usize {
        self.lock().by_kind.values().map(|room| room.line.len()).sum()
    }

    /// What waits is still given out, and nothing is taken in. The threads end after that.
    pub fn end(&self) -> Vec<JoinHandle<()>> {
        let mut rooms = self.lock();
        rooms.is_ending = true;
        let end = |room: &mut Room<T>| {
            room.line.end();
            std::mem::take(&mut room.threads)
        };
        rooms.by_kind.values_mut().flat_map(end).collect()
    }

    /// Nothing is done under the lock that could leave half a change behind.
    fn lock(&self) -> MutexGuard<'_, Rooms<T>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Room<T> {
    fn new(queue_max: usize) -> Room<T> {
        Room { line: Arc::new(Line::new(queue_max)), threads: Vec::new() }
    }

    /// One that cannot be started is gone without.
    fn start_thread(&mut self, kind: &'static str, work: impl FnOnce(&Line<T>) + Send + 'static) {
        let line = Arc::clone(&self.line);
        let thread = thread::Builder::new().name(format!("identity-{kind}-{}", self.threads.len()));
        self.threads.extend(thread.spawn(move || work(&line)).ok());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, mpsc};

    use super::*;

    /// Threads that do what they are given once they may.
    #[derive(Default)]
    struct Gate(Mutex<bool>, Condvar);

    impl Gate {
        fn work(self: Arc<Gate>, done: mpsc::Sender<u8>) -> impl FnOnce(&Line<u8>) + Send + 'static {
            move |line| {
                while let Some(item) = line.next() {
                    let is_open = self.0.lock().expect("nobody panics");
                    drop(self.1.wait_while(is_open, |is_open| !*is_open).expect("nobody panics"));
                    done.send(item).expect("the test waits");
                }
            }
        }

        fn open(&self) {
            *self.0.lock().expect("nobody panics") = true;
            self.1.notify_all();
        }
    }

    #[test]
    fn each_kind_has_its_own_threads_and_its_own_room() {
        let waiting = Waiting::new(2, 4);
        let (hangs, runs) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
        runs.open();
        let (done, received) = mpsc::channel();
        let push = |kind, gate: &Arc<Gate>, item| {
            let ip = IpAddr::from([192, 0, 2, item]);
            waiting.push(kind, Some(ip), item, Arc::clone(gate).work(done.clone()))
        };
        // As many as its threads have taken and its line holds.
        let refused = (0..50).filter(|item| push("hangs", &hangs, *item).is_err()).count();
        assert!((44..=46).contains(&refused), "{refused}");
        for item in 100..110 {
            push("runs", &runs, item).expect("room");
            assert_eq!(received.recv(), Ok(item));
        }
        hangs.open();
        let threads = waiting.end();
        assert!(threads.len() <= 4 && push("runs", &runs, 0) == Err(0) && push("other", &runs, 0) == Err(0));
        threads.into_iter().for_each(|thread| thread.join().expect("ended"));
        assert_eq!((received.try_iter().count(), waiting.len()), (50 - refused, 0));
    }
}

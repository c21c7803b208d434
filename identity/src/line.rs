//! Where asks wait for threads of one sort.

use std::{
    net::IpAddr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::queue::Queue;

pub(crate) struct Line<T> {
    waiting: Mutex<Waiting<T>>,
    bell: Condvar,
}

struct Waiting<T> {
    queue: Queue<T>,
    /// Threads that wait for something to do.
    idle: usize,
    is_ending: bool,
}

impl<T> Line<T> {
    pub fn new(len_max: usize) -> Line<T> {
        let waiting = Waiting { queue: Queue::new(len_max), idle: 0, is_ending: false };
        Line { waiting: Mutex::new(waiting), bell: Condvar::new() }
    }

    /// Gives back what there is no room for, and everything at the end.
    pub fn push(&self, ip: Option<IpAddr>, item: T) -> Result<(), T> {
        let mut waiting = self.lock();
        match waiting.is_ending {
            true => return Err(item),
            false => waiting.queue.push(ip, item)?,
        }
        drop(waiting);
        self.bell.notify_one();
        Ok(())
    }

    /// Waits for what is next; none at the end.
    pub fn next(&self) -> Option<T> {
        let mut waiting = self.lock();
        loop {
            match waiting.queue.pop() {
                Some(item) => return Some(item),
                None if waiting.is_ending => return None,
                None => {
                    waiting.idle += 1;
                    waiting = self.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                    waiting.idle -= 1;
                }
            }
        }
    }

    /// Whether one more would have to wait for a thread.
    pub fn is_busy(&self) -> bool {
        let waiting = self.lock();
        waiting.queue.len() >= waiting.idle
    }

    /// What waits is still given out, and nothing is taken in.
    pub fn end(&self) {
        self.lock().is_ending = true;
        self.bell.notify_all();
    }

    pub fn is_ending(&self) -> bool {
        self.lock().is_ending
    }

    pub fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Nothing is done under the lock that could leave half a change behind.
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

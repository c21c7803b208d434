//! The private io_uring of one shard: submissions go in, completions come out, and here the shard sleeps.
//!
//! What an operation means is not known here.

use std::{collections::VecDeque, io, time::Duration};

use io_uring::{
    IoUring, cqueue, squeue,
    types::{SubmitArgs, Timespec},
};

/// Belongs to the thread that made it: no other may submit.
pub(crate) struct Ring {
    ring: IoUring,
    /// Submissions that found the queue full while the kernel would take none.
    overflow: VecDeque<squeue::Entry>,
    /// Operations whose last completion has not come yet.
    outstanding: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Completion {
    pub user_data: u64,
    pub result: i32,
    pub flags: u32,
}

impl Completion {
    /// The operation goes on and brings more.
    pub fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The receive buffer that the kernel chose, if it used one.
    pub fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

impl Ring {
    pub fn new(entries: u32) -> io::Result<Ring> {
        let ring = build(entries, &[Taskrun::Deferred, Taskrun::Cooperative, Taskrun::Plain])?;
        Ok(Ring { ring, overflow: VecDeque::new(), outstanding: 0 })
    }

    pub fn inner(&self) -> &IoUring {
        &self.ring
    }

    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Queues an operation; it goes to the kernel with the next wait, or earlier if the queue is full.
    ///
    /// # Safety
    ///
    /// Whatever the entry points to must stay valid until its last completion has been taken from `next`.
    pub unsafe fn push(&mut self, entry: squeue::Entry) {
        self.outstanding += 1;
        // SAFETY: the caller vouches for the entry.
        if !self.overflow.is_empty() || unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.overflow.push_back(entry);
            self.refill();
        }
    }

    /// Submits what is queued and waits until there is a completion or the time is over. Zero does not wait.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.refill();
        let result = match timeout {
            Some(Duration::ZERO) => self.ring.submit(),
            // What found no place in the queue must not wait for what is in it.
            _ if !self.overflow.is_empty() => self.ring.submit(),
            None => self.ring.submit_and_wait(1),
            Some(timeout) => {
                let timespec = Timespec::from(timeout);
                let args = SubmitArgs::new().timespec(&timespec);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
        match result {
            Ok(_) => Ok(()),
            // Time over, a signal, completions that must be taken first, memory that is short for now.
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    pub fn next(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        if !cqueue::more(entry.flags()) {
            assert!(self.outstanding > 0, "every operation has one last completion");
            self.outstanding -= 1;
        }
        Some(Completion { user_data: entry.user_data(), result: entry.result(), flags: entry.flags() })
    }

    /// Whether the kernel seems to hold back completions until it is entered again: an empty completion queue does
    /// not mean that nothing is pending, because one entry runs only some twenty deferred items. May be true for
    /// nothing: the kernel adds an item first and sets its flag then, and may have run the item in between.
    pub fn has_deferred(&mut self) -> bool {
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    fn refill(&mut self) {
        while let Some(entry) = self.overflow.front() {
            // SAFETY: whoever queued the entry vouched for it.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                self.overflow.pop_front();
                continue;
            }
            // A failure repeats itself in `wait`, which reports it.
            let _ = self.ring.submit();
            if self.ring.submission().is_full() {
                return;
            }
        }
    }
}

/// When the kernel does its part of the work, best first.
#[derive(Debug, Clone, Copy)]
enum Taskrun {
    /// When the shard enters the kernel to wait, and at no other time.
    Deferred,
    /// At any system call.
    Cooperative,
    /// By interrupting the thread.
    Plain,
}

fn build(entries: u32, choices: &[Taskrun]) -> io::Result<IoUring> {
    let (choice, others) = choices.split_first().expect("the last choice ends the search");
    let mut builder = IoUring::builder();
    // Completions of one tick outnumber its submissions: multishot operations bring many each.
    builder.setup_clamp().setup_submit_all().setup_cqsize(entries.saturating_mul(COMPLETIONS_PER_ENTRY));
    match choice {
        Taskrun::Deferred => {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        }
        Taskrun::Cooperative => {
            builder.setup_coop_taskrun().setup_taskrun_flag();
        }
        Taskrun::Plain => {}
    }
    match builder.build(entries) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && !others.is_empty() => {
            build(entries, others)
        }
        result => result,
    }
}

const COMPLETIONS_PER_ENTRY: u32 = 4;

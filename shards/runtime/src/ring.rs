//! The private io_uring of one shard: submissions go in, completions come out, and here the shard sleeps.
//!
//! What an operation means is not known here.

use std::{collections::VecDeque, io, thread, time::Duration};

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
    /// What went wrong where nobody could be told. The next wait tells.
    failure: Option<io::Error>,
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
        Ok(Ring { ring, overflow: VecDeque::new(), outstanding: 0, failure: None })
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
        self.check(result)
    }

    /// Submits what is queued without bringing what the kernel has deferred.
    pub fn submit(&mut self) -> io::Result<()> {
        self.refill();
        let queued = self.ring.submission().len();
        if queued == 0 {
            return self.check(Ok(0));
        }
        // SAFETY: without flags there is no argument, and whoever queued the entries vouched for them.
        let result = unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued as u32, 0, 0, None) };
        self.check(result)
    }

    /// Whether there are completions to take without entering the kernel.
    pub fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// An entry that failed for a passing reason has lost nothing: what it did not submit stays in the queue for the next.
    fn check(&mut self, result: io::Result<usize>) -> io::Result<()> {
        let result = self.failure.take().map_or(result, Err);
        let Err(error) = result else { return Ok(()) };
        match judge(&error) {
            Failure::Passing => Ok(()),
            Failure::Memory => {
                // The next entry would fail at once as well. What is here already can be worked on.
                if !self.has_completions() {
                    thread::sleep(MEMORY_PAUSE);
                }
                Ok(())
            }
            Failure::Final => Err(error),
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
            // A passing failure repeats itself in `wait`; that a completion was dropped is said only once.
            if let Err(error) = self.ring.submit()
                && judge(&error) == Failure::Final
            {
                self.failure = Some(error);
            }
            if self.ring.submission().is_full() {
                return;
            }
        }
    }
}

/// What a failed entry means for the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Time over, a signal, completions that must be taken first.
    Passing,
    /// The kernel is short of memory for now.
    Memory,
    /// The ring cannot be relied on any more.
    Final,
}

fn judge(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::ETIME | libc::EINTR | libc::EBUSY) => Failure::Passing,
        Some(libc::EAGAIN | libc::ENOMEM) => Failure::Memory,
        // EBADR among them: the queue of completions was full, there was no memory to keep one aside, and it is lost. It
        // may have been that of the bell or of a listener: a shard that went on could be deaf for ever and look alive.
        _ => Failure::Final,
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

/// How long a shard rests when the kernel has no memory for its submissions.
const MEMORY_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use io_uring::opcode;

    use super::*;

    #[test]
    fn a_failure_that_passes_does_not_end_the_ring() {
        let mut ring = Ring::new(8).expect("the kernel has rings");
        for code in [libc::ETIME, libc::EINTR, libc::EBUSY, libc::EAGAIN, libc::ENOMEM] {
            assert!(ring.check(Err(io::Error::from_raw_os_error(code))).is_ok(), "{code}");
        }
        for code in [libc::EBADR, libc::EBADF, libc::EFAULT, libc::EINVAL, libc::EOPNOTSUPP] {
            assert!(ring.check(Err(io::Error::from_raw_os_error(code))).is_err(), "{code}");
        }
        assert!(ring.check(Ok(0)).is_ok());
    }

    #[test]
    fn what_went_wrong_while_nobody_could_be_told_is_told_by_the_next_wait() {
        let mut ring = Ring::new(8).expect("the kernel has rings");
        ring.failure = Some(io::Error::from_raw_os_error(libc::EBADR));
        assert!(ring.wait(Some(Duration::ZERO)).is_err());
        assert!(ring.wait(Some(Duration::ZERO)).is_ok());
    }

    #[test]
    fn completions_that_were_not_taken_stay_and_more_can_be_submitted() {
        let mut ring = Ring::new(8).expect("the kernel has rings");
        assert!(!ring.has_completions());
        for name in 1..=3 {
            // SAFETY: the entry points to nothing.
            unsafe { ring.push(opcode::Nop::new().build().user_data(name)) };
            ring.submit().expect("the queue has room");
        }
        assert!(ring.has_completions());
        let mut names = Vec::new();
        while let Some(completion) = ring.next() {
            names.push(completion.user_data);
        }
        assert_eq!(names, [1, 2, 3]);
        assert!(!ring.has_completions());
        assert_eq!(ring.outstanding(), 0);
    }
}

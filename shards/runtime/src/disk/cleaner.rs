//! Gives the oldest segment up when too much of the log is dead: reads it back a piece at a time and has the shard write
//! again what is alive.

use std::{collections::HashMap, fs::File, os::fd::AsRawFd, rc::Rc};

use io_uring::{opcode, types::Fd};
use shard::store::{
    log::{Cleaning, FileId, Log, Wanted},
    record::Record,
};

use super::READ_BACK;
use crate::{operation::Operation, ring::Ring};

pub(crate) struct Cleaner {
    segment_bytes: u32,
    walk: Option<Cleaning>,
    /// What the kernel reads into. It stays where it is while a read is under way.
    buffer: Vec<u8>,
    is_reading: bool,
    /// What the last read came to.
    result: i32,
    /// Everything was reviewed: the segment goes when this batch is stored.
    retire_after: Option<u64>,
    round: Round,
}

/// A round over the whole log. What it could not make smaller is left alone for a while: the log may be larger than it should
/// be because of what nobody counts as alive, and to write all of it again and again would change nothing.
#[derive(Default)]
struct Round {
    /// Segments that are yet to be looked at.
    left: usize,
    /// What the log took, and what it was allowed, when the last one had come to its end for nothing.
    rest: Option<(u64, u64)>,
}

impl Round {
    /// Whether to look at the oldest segment.
    fn goes_on(&mut self, used: u64, budget: u64, segments: usize, segment_bytes: u64) -> bool {
        if used <= budget {
            *self = Round::default();
            return false;
        }
        let may_begin = self.rest.is_none_or(|(rested_used, rested_budget)| {
            used >= rested_used + segment_bytes || budget + segment_bytes <= rested_budget
        });
        if self.left == 0 && may_begin {
            self.left = segments;
        }
        self.left > 0
    }

    fn on_retired(&mut self, used: u64, budget: u64) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.rest = Some((used, budget));
        }
    }
}

impl Cleaner {
    /// What the log may take. A log that can have no more files makes do with less.
    pub fn budget(&self, live_bytes: usize, is_short: bool) -> u64 {
        let (share, segments) = if is_short { (1, 1) } else { (LIVE_SHARE, SEGMENTS_FREE) };
        live_bytes as u64 * share + u64::from(self.segment_bytes) * segments
    }

    /// There is more than a log may take in which nothing is alive.
    pub fn may_have_work(&self, log: &Log) -> bool {
        log.used_bytes() > self.budget(0, false)
    }

    pub fn new(segment_bytes: u32) -> Cleaner {
        Cleaner {
            segment_bytes,
            walk: None,
            buffer: Vec::new(),
            is_reading: false,
            result: 0,
            retire_after: None,
            round: Round::default(),
        }
    }

    /// Takes the next step, if there is one to take and none is under way. `stored`: the last batch that is.
    pub fn go_on(
        &mut self,
        log: &mut Log,
        files: &HashMap<FileId, Rc<File>>,
        ring: &mut Ring,
        budget: u64,
        stored: u64,
    ) {
        if self.retire_after.is_some_and(|batch| batch <= stored) {
            self.retire_after = None;
            self.walk = None;
            log.retire_oldest();
            self.round.on_retired(log.used_bytes(), budget);
        }
        if self.is_reading || self.retire_after.is_some() {
            return;
        }
        if self.walk.is_none() {
            let segment_bytes = u64::from(self.segment_bytes);
            if !self.round.goes_on(log.used_bytes(), budget, log.segments(), segment_bytes) {
                return;
            }
            self.walk = log.oldest();
        }
        if let Some(Wanted { file, offset, bytes_min, bytes_max }) =
            self.walk.as_ref().and_then(Cleaning::wants)
        {
            self.read(ring, &files[&file], offset, bytes_max.min(bytes_min.max(CHUNK_BYTES)));
        }
    }

    fn read(&mut self, ring: &mut Ring, file: &File, offset: u32, bytes: u32) {
        self.buffer.resize(bytes as usize, 0);
        self.is_reading = true;
        let entry = opcode::Read::new(Fd(file.as_raw_fd()), self.buffer.as_mut_ptr(), bytes)
            .offset(u64::from(offset))
            .build()
            .user_data(Operation::Store { name: READ_BACK }.pack());
        // SAFETY: the buffer is neither moved nor resized while a read is under way, and the file stays open as long as its
        // segment is in use.
        unsafe { ring.push(entry) };
    }

    /// A read is done: `review` hands out what it brought, before the next step.
    pub fn on_read(&mut self, result: i32) {
        self.is_reading = false;
        self.result = result;
    }

    /// True: that was the end of the segment.
    pub fn review(&mut self, each: impl FnMut(Record<'_>)) -> Result<bool, String> {
        let bytes = usize::try_from(self.result)
            .map_err(|_| std::io::Error::from_raw_os_error(-self.result).to_string())?;
        let walk = self.walk.as_mut().expect("a segment is read back");
        walk.chunk(&self.buffer[..bytes], each).map_err(|damage| format!("{damage:?}"))?;
        Ok(walk.wants().is_none())
    }

    pub fn reviewed(&mut self, last_batch: u64) {
        self.retire_after = Some(last_batch);
    }
}

/// The log may take so many times what is alive in it, and so many segments more.
const LIVE_SHARE: u64 = 2;
const SEGMENTS_FREE: u64 = 2;

/// What is read back at a time: the review of it is a piece of work that keeps the shard for a moment only.
const CHUNK_BYTES: u32 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 100;

    #[test]
    fn a_log_that_does_not_become_smaller_is_left_alone_until_there_is_more_of_it_or_less_alive() {
        let mut round = Round::default();
        for _ in 0..10 {
            assert!(round.goes_on(1000, 400, 10, SEGMENT));
            round.on_retired(1000, 400);
        }
        assert!(!round.goes_on(1000, 400, 10, SEGMENT), "all of it is alive");
        assert!(!round.goes_on(1099, 400, 11, SEGMENT));
        assert!(round.goes_on(1100, 400, 11, SEGMENT), "a segment more");
        (0..11).for_each(|_| round.on_retired(1100, 400));
        assert!(!round.goes_on(1100, 301, 11, SEGMENT));
        assert!(round.goes_on(1100, 300, 11, SEGMENT), "less is alive");
    }

    #[test]
    fn a_round_that_made_the_log_small_enough_forgets_what_was_before() {
        let mut round = Round::default();
        assert!(round.goes_on(1000, 400, 1, SEGMENT));
        round.on_retired(1000, 400);
        assert!(!round.goes_on(1000, 400, 1, SEGMENT));
        assert!(!round.goes_on(400, 400, 1, SEGMENT));
        assert!(round.goes_on(401, 400, 1, SEGMENT));
    }
}

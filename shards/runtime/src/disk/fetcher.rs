//! Brings messages back that are in the store alone: a few reads at a time, each for all that stands close together.

use std::{collections::HashMap, fs::File, io, os::fd::AsRawFd, rc::Rc};

use io_uring::{opcode, types::Fd};
use shard::{
    Fetch,
    store::{
        fetching::{Fetching, Reading},
        log::{FileId, Log},
        record::Record,
    },
};
use slab::Slab;

use super::FETCH;
use crate::{operation::Operation, ring::Ring};

#[derive(Default)]
pub(crate) struct Fetcher {
    fetching: Fetching,
    reads: Slab<Read>,
    /// The read that is done, and what it came to.
    done: Option<(u32, i32)>,
    /// What is to be told: it stands elsewhere by now.
    gone: Vec<Fetch>,
    spare: Vec<Vec<u8>>,
}

/// A read on its way. The kernel writes to the buffer, which stays where it is until then.
struct Read {
    reading: Reading,
    buffer: Vec<u8>,
    /// Stays open, whatever becomes of its segment.
    _file: Rc<File>,
}

impl Fetcher {
    pub fn ask(&mut self, fetch: Fetch) {
        self.fetching.ask(fetch);
    }

    /// Begins as many reads as may be under way.
    pub fn start(&mut self, log: &Log, files: &HashMap<FileId, Rc<File>>, ring: &mut Ring) {
        while self.reads.len() < READS_MAX
            && let Some(reading) = self.fetching.next(log, &mut self.gone)
        {
            self.begin(reading, files, ring);
        }
    }

    fn begin(&mut self, reading: Reading, files: &HashMap<FileId, Rc<File>>, ring: &mut Ring) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.resize(reading.bytes as usize, 0);
        let file = files[&reading.file].clone();
        let (fd, offset) = (Fd(file.as_raw_fd()), u64::from(reading.offset));
        let slot = self.reads.vacant_key();
        let entry = opcode::Read::new(fd, buffer.as_mut_ptr(), reading.bytes)
            .offset(offset)
            .build()
            .user_data(Operation::Store { name: FETCH + slot as u32 }.pack());
        self.reads.insert(Read { reading, buffer, _file: file });
        // SAFETY: buffer and file belong to the read, which is kept until it is done.
        unsafe { ring.push(entry) };
    }

    /// A read is done: `take` hands out what it brought, before the next one.
    pub fn on_read(&mut self, slot: u32, result: i32) {
        self.done = Some((slot, result));
    }

    /// Hands out what was read, and what needs no read.
    pub fn take(&mut self, log: &Log, each: &mut dyn FnMut(Fetch, Option<Record<'_>>)) -> Result<(), String> {
        for fetch in std::mem::take(&mut self.gone) {
            each(fetch, None);
        }
        let Some((slot, result)) = self.done.take() else { return Ok(()) };
        let Read { reading, mut buffer, .. } = self.reads.remove(slot as usize);
        let (file, offset) = (reading.file, reading.offset);
        let Ok(bytes) = usize::try_from(result) else {
            // Whoever waits for one of them would wait for ever.
            reading.give_up().for_each(|fetch| each(fetch, None));
            let error = io::Error::from_raw_os_error(-result);
            return Err(format!("{} at byte {offset}: {error}", super::keeper::name_of(file)));
        };
        let taken = self.fetching.take(log, reading, &buffer[..bytes], each);
        if buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
        taken.map_err(|position| {
            format!("{} holds no record at byte {} any more", super::keeper::name_of(file), position.offset)
        })
    }

    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }
}

/// Reads under way at once.
const READS_MAX: usize = 32;

/// A larger buffer is not kept for the next read.
const SPARE_BYTES_MAX: usize = 128 << 10;

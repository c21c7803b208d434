//! The receive buffers of one core: the kernel picks one for each piece it receives and gets it back at once.
//!
//! All connections share them, so an idle connection owns none. The kernel takes them in turn, and each page that it has written stays: it
//! gets few at first, and more when they are short.

use std::{
    io, ptr,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::{IoUring, types::BufRingEntry};

/// A ring of descriptions that the kernel reads, and the memory that they describe.
pub(crate) struct Buffers {
    descriptions: Mapping,
    memory: Mapping,
    count: u16,
    /// As many as the kernel may have; the others were never touched.
    lent: u16,
    buffer_bytes: u32,
    tail: u16,
}

/// A buffer that the kernel has filled; it must go back with `recycle`.
#[derive(Debug)]
#[must_use = "a buffer that is not recycled is lost to all connections"]
pub(crate) struct Filled {
    id: u16,
    len: u32,
}

impl Buffers {
    /// The first buffers belong to the kernel after this. They must not be dropped before the ring has nothing outstanding.
    pub fn register(ring: &IoUring, count: u16, buffer_bytes: u32) -> io::Result<Buffers> {
        assert!(count.is_power_of_two(), "the kernel wraps its index with a mask");
        let descriptions = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * buffer_bytes as usize)?;
        // SAFETY: the mapping is page aligned, holds `count` entries and outlives the ring's operations (see above).
        unsafe {
            ring.submitter().register_buf_ring_with_flags(descriptions.start as u64, count, GROUP, 0)?;
        }
        let mut buffers = Buffers { descriptions, memory, count, lent: 0, buffer_bytes, tail: 0 };
        buffers.lend(FIRST_BUFFERS);
        Ok(buffers)
    }

    /// They were short: the kernel gets twice as many, as far as there are more.
    pub fn lend_more(&mut self) {
        self.lend(self.lent.saturating_mul(2));
    }

    fn lend(&mut self, wanted: u16) {
        let wanted = wanted.min(self.count);
        for id in self.lent..wanted {
            self.give(id);
        }
        self.lent = wanted;
    }

    /// The buffer that a completion named, with as many bytes as it said.
    pub fn filled(&self, id: u16, len: u32) -> Filled {
        assert!(id < self.lent, "the kernel names one of the buffers that it has");
        assert!(len <= self.buffer_bytes, "the kernel stays within the buffer");
        Filled { id, len }
    }

    pub fn bytes(&self, filled: &Filled) -> &[u8] {
        // SAFETY: `filled` is proof that the kernel has handed over this buffer, within the mapping and of this length,
        // and that it was not recycled since.
        unsafe { std::slice::from_raw_parts(self.address(filled.id), filled.len as usize) }
    }

    pub fn recycle(&mut self, filled: Filled) {
        self.give(filled.id);
    }

    fn give(&mut self, id: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        let base = self.descriptions.start.cast::<BufRingEntry>();
        let address = self.address(id) as u64;
        // SAFETY: the slot lies within the mapping, and the kernel does not read it before the tail passes it: at most
        // `count` buffers exist, so no description that it has yet to read is overwritten.
        unsafe {
            let entry = &mut *base.add(slot);
            entry.set_addr(address);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is an aligned field of the first entry that the kernel only reads and only we write.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn address(&self, id: u16) -> *const u8 {
        let offset = usize::from(id) * self.buffer_bytes as usize;
        // SAFETY: every id is below the count, so the offset lies within the mapping.
        unsafe { self.memory.start.add(offset).cast_const() }
    }
}

/// Pages of our own: aligned, zeroed, and resident only once they are used.
struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { start: start.cast(), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and nothing refers to it after its owner.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// Of 8 KiB each they are an eighth of a megabyte, which is what a broker pays for that is not flooded.
const FIRST_BUFFERS: u16 = 16;

/// The only group of buffers in the ring.
pub(crate) const GROUP: u16 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_lent_as_they_are_short_and_no_more_than_there_are() {
        let ring = IoUring::new(8).expect("the kernel has io_uring");
        let mut buffers = Buffers::register(&ring, 64, 64).expect("there is room for them");
        let mut lent = vec![buffers.lent];
        for _ in 0..3 {
            buffers.lend_more();
            lent.push(buffers.lent);
        }
        assert_eq!(lent, [16, 32, 64, 64]);
        assert_eq!(buffers.tail, 64, "each of them once");
    }

    #[test]
    fn a_few_buffers_are_lent_at_once() {
        let ring = IoUring::new(8).expect("the kernel has io_uring");
        let buffers = Buffers::register(&ring, 8, 64).expect("there is room for them");
        assert_eq!((buffers.lent, buffers.tail), (8, 8));
    }
}

//! Bytes that are under way to one socket, and how much of them it has taken.

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types::Fd};
use shard::Outgoing;

/// Stays where it is until its operation completes: the kernel holds pointers into it.
pub(crate) struct Sending {
    /// There from `begin` to `finish`.
    outgoing: Option<Box<Outgoing>>,
    written: usize,
    slices: Vec<libc::iovec>,
    header: libc::msghdr,
}

impl Sending {
    pub fn new() -> Box<Sending> {
        // SAFETY: a message header is made of integers and pointers, for which all zeroes are valid.
        let header = unsafe { std::mem::zeroed() };
        Box::new(Sending { outgoing: None, written: 0, slices: Vec::new(), header })
    }

    pub fn begin(&mut self, outgoing: Box<Outgoing>) {
        self.outgoing = Some(outgoing);
        self.written = 0;
    }

    /// The socket took this many bytes more. Says whether that was all.
    pub fn advance(&mut self, taken: usize) -> bool {
        self.written += taken;
        let len = self.outgoing().len();
        assert!(self.written <= len, "the kernel takes no more than it was given");
        self.written == len
    }

    /// How many bytes the socket has taken.
    pub fn written(&self) -> usize {
        self.written
    }

    /// What was sent, for another use.
    pub fn finish(&mut self) -> Box<Outgoing> {
        self.slices.clear();
        self.outgoing.take().expect(BEGUN)
    }

    fn outgoing(&self) -> &Outgoing {
        self.outgoing.as_deref().expect(BEGUN)
    }

    /// The operation that sends what is left. It points into this value.
    pub fn operation(&mut self, socket: RawFd) -> squeue::Entry {
        let flags = libc::MSG_NOSIGNAL;
        if let Some(bytes) = self.outgoing().as_contiguous() {
            let rest = &bytes[self.written..];
            // The kernel takes a length of 32 bits, and what is left goes with the next operation.
            let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            return opcode::Send::new(Fd(socket), rest.as_ptr(), len).flags(flags).build();
        }
        self.collect_slices();
        self.header.msg_iov = self.slices.as_mut_ptr();
        self.header.msg_iovlen = self.slices.len();
        opcode::SendMsg::new(Fd(socket), &raw const self.header).flags(flags as u32).build()
    }

    /// All slices without the bytes that are written.
    fn collect_slices(&mut self) {
        let mut skip = self.written;
        self.slices.clear();
        let outgoing = self.outgoing.as_deref().expect(BEGUN);
        for slice in outgoing.slices() {
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            let rest = &slice[skip..];
            skip = 0;
            self.slices.push(libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() });
            // The kernel takes no more at once; what is left goes with the next operation.
            if self.slices.len() == SLICES_MAX {
                return;
            }
        }
    }
}

const BEGUN: &str = "only what was begun is sent and finished";

/// UIO_MAXIOV of the kernel.
const SLICES_MAX: usize = 1024;

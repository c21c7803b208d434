//! The relay on io_uring: multishot accept and receive, buffers that the kernel picks, one submission of all sends per
//! round, in which the relay also waits.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::relay::Relay;

pub fn serve(listener: TcpListener) -> io::Result<()> {
    let mut builder = IoUring::builder();
    builder.setup_clamp().setup_submit_all().setup_cqsize(ENTRIES * 8);
    builder.setup_single_issuer().setup_defer_taskrun();
    let mut ring = builder.build(ENTRIES)?;
    let buffers = Buffers::register(&ring)?;
    let mut server = Server { relay: Relay::default(), sockets: Vec::new(), buffers };
    let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build().user_data(ACCEPT);
    push(&mut ring, accept)?;
    loop {
        ring.submit_and_wait(1)?;
        // What is pushed meanwhile goes out with the next wait.
        loop {
            let Some(completion) = ring.completion().next() else { break };
            server.complete(&mut ring, &completion)?;
        }
        server.flush(&mut ring)?;
    }
}

struct Server {
    relay: Relay,
    sockets: Vec<Option<Socket>>,
    buffers: Buffers,
}

struct Socket {
    descriptor: OwnedFd,
    /// What the kernel is sending: it stays where it is until that is done.
    sending: Vec<u8>,
    sent: usize,
    is_sending: bool,
    is_receiving: bool,
    is_closed: bool,
}

impl Server {
    fn complete(&mut self, ring: &mut IoUring, completion: &cqueue::Entry) -> io::Result<()> {
        let (kind, peer) = (completion.user_data() & KIND, (completion.user_data() >> KIND_BITS) as usize);
        match kind {
            ACCEPT => self.on_accept(ring, completion.result()),
            RECEIVE => self.on_receive(ring, peer, completion),
            _ => self.on_send(ring, peer, completion.result()),
        }
    }

    fn on_accept(&mut self, ring: &mut IoUring, result: i32) -> io::Result<()> {
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(result as RawFd) };
        let peer = self.sockets.iter().position(Option::is_none).unwrap_or(self.sockets.len());
        if peer == self.sockets.len() {
            self.sockets.push(None);
        }
        let (sending, sent) = (Vec::new(), 0);
        self.sockets[peer] = Some(Socket {
            descriptor,
            sending,
            sent,
            is_sending: false,
            is_receiving: false,
            is_closed: false,
        });
        self.relay.open(peer);
        self.receive(ring, peer)
    }

    fn receive(&mut self, ring: &mut IoUring, peer: usize) -> io::Result<()> {
        let Some(socket) = &mut self.sockets[peer] else { return Ok(()) };
        socket.is_receiving = true;
        let receive = opcode::RecvMulti::new(Fd(socket.descriptor.as_raw_fd()), GROUP);
        push(ring, receive.build().user_data((peer as u64) << KIND_BITS | RECEIVE))
    }

    fn on_receive(&mut self, ring: &mut IoUring, peer: usize, completion: &cqueue::Entry) -> io::Result<()> {
        let len = completion.result();
        let more = cqueue::more(completion.flags());
        let Some(socket) = &mut self.sockets[peer] else { return Ok(()) };
        socket.is_receiving = more;
        let mut is_over = len <= 0 && -len != libc::ENOBUFS;
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            if len > 0
                && !socket.is_closed
                && let Err(reason) = self.relay.receive(peer, self.buffers.bytes(id, len as usize))
            {
                eprintln!("loadgen null: {reason}");
                is_over = true;
            }
            self.buffers.give(id);
        }
        if is_over {
            self.close(peer);
        } else if !more {
            self.receive(ring, peer)?;
        }
        Ok(())
    }

    fn on_send(&mut self, ring: &mut IoUring, peer: usize, result: i32) -> io::Result<()> {
        let Some(socket) = &mut self.sockets[peer] else { return Ok(()) };
        socket.is_sending = false;
        if result < 0 || socket.is_closed {
            self.close(peer);
            return Ok(());
        }
        socket.sent += result as usize;
        if socket.sent == socket.sending.len() {
            socket.sending.clear();
            socket.sent = 0;
        }
        self.send(ring, peer)
    }

    fn flush(&mut self, ring: &mut IoUring) -> io::Result<()> {
        while let Some(peer) = self.relay.next_dirty() {
            self.send(ring, peer)?;
        }
        Ok(())
    }

    fn send(&mut self, ring: &mut IoUring, peer: usize) -> io::Result<()> {
        let Some(socket) = &mut self.sockets[peer] else { return Ok(()) };
        if socket.is_sending || socket.is_closed {
            return Ok(());
        }
        if socket.sending.is_empty() {
            std::mem::swap(&mut socket.sending, &mut self.relay.peers[peer].out);
        }
        let rest = &socket.sending[socket.sent..];
        if rest.is_empty() {
            return Ok(());
        }
        socket.is_sending = true;
        let send = opcode::Send::new(Fd(socket.descriptor.as_raw_fd()), rest.as_ptr(), rest.len() as u32);
        push(ring, send.flags(libc::MSG_NOSIGNAL).build().user_data((peer as u64) << KIND_BITS | SEND))
    }

    /// The entry goes when the kernel holds nothing of it any more.
    fn close(&mut self, peer: usize) {
        let Some(socket) = &mut self.sockets[peer] else { return };
        if !std::mem::replace(&mut socket.is_closed, true) {
            // SAFETY: the call takes no pointers, and the descriptor is open.
            unsafe { libc::shutdown(socket.descriptor.as_raw_fd(), libc::SHUT_RDWR) };
        }
        if !socket.is_sending && !socket.is_receiving {
            self.sockets[peer] = None;
            self.relay.close(peer);
        }
    }
}

fn push(ring: &mut IoUring, entry: squeue::Entry) -> io::Result<()> {
    // SAFETY: entries point to nothing, or to the bytes of a socket that stay where they are until its send completes.
    while unsafe { ring.submission().push(&entry) }.is_err() {
        ring.submit()?;
    }
    Ok(())
}

/// Receive buffers that all connections share.
struct Buffers {
    entries: Box<[Page]>,
    memory: Vec<u8>,
    tail: u16,
}

/// Descriptions are read by the kernel from page-aligned memory.
#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Page([u8; 4096]);

impl Buffers {
    fn register(ring: &IoUring) -> io::Result<Buffers> {
        let pages = (usize::from(BUFFERS) * size_of::<BufRingEntry>()).div_ceil(size_of::<Page>());
        let entries = vec![Page([0; 4096]); pages].into_boxed_slice();
        let mut buffers = Buffers { entries, memory: vec![0; usize::from(BUFFERS) * BUFFER_BYTES], tail: 0 };
        // SAFETY: the pages are aligned, hold all descriptions, and live as long as the ring, which never ends.
        unsafe {
            let address = buffers.entries.as_ptr() as u64;
            ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0)?;
        }
        (0..BUFFERS).for_each(|id| buffers.give(id));
        Ok(buffers)
    }

    fn bytes(&self, id: u16, len: usize) -> &[u8] {
        &self.memory[usize::from(id) * BUFFER_BYTES..][..len]
    }

    fn give(&mut self, id: u16) {
        let base = self.entries.as_mut_ptr().cast::<BufRingEntry>();
        let address = &raw mut self.memory[usize::from(id) * BUFFER_BYTES];
        // SAFETY: the slot lies within the pages, and the kernel reads it only when the tail has passed it.
        unsafe {
            let entry = &mut *base.add(usize::from(self.tail & (BUFFERS - 1)));
            entry.set_addr(address as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is an aligned field of the first entry that the kernel only reads and only we write.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

const ENTRIES: u32 = 4096;
const BUFFERS: u16 = 512;
const BUFFER_BYTES: usize = 16 * 1024;
const GROUP: u16 = 0;

const KIND_BITS: u32 = 2;
const KIND: u64 = 3;
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;

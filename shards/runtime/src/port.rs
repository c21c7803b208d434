//! The sockets of one shard on its private ring: accept, receive, send, close.
//!
//! Completions go in and what happened comes out; bytes are passed on, never looked at. Every change of a connection
//! ends in `settle`, which restores the invariants: what is wanted is armed, and what is over is gone.

mod accepting;
mod failing;
mod layered;
mod turned_away;
mod watching;

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::Arc,
    time::Duration,
};

use io_uring::{opcode, squeue::Flags, types::Fd};
use shard::{Ask, BarredNetworks, ConnId, Full, Instant, NotOpened, Outgoing, Reading, Secret, ShardId};

use crate::{
    Auditor, Config, Doorkeeper, Occasion, Place, Question,
    buffers::{Buffers, Filled, GROUP},
    connection::{Address, Armed, Connections, Stage, Whence},
    layers::Scratch,
    mesh::Moving,
    operation::Operation,
    ring::{Completion, Ring},
    seats::Seats,
    sending::Sending,
};
use accepting::Accepting;
use turned_away::{BANNED, REASONS};

/// What a completion came to. Who is turned away has got no seat, and the socket is closed already.
#[derive(Debug)]
pub(crate) enum Happened {
    Nothing,
    Opened {
        conn: ConnId,
        refuse: Option<Full>,
        door: u16,
    },
    /// A socket was closed, or is about to be, of which the shard never hears.
    NotOpened(NotOpened),
    Bytes {
        conn: ConnId,
        filled: Filled,
    },
    /// The layers of a connection brought something: that it stands, or bytes, which wait in `take_plain`.
    Layered {
        conn: ConnId,
        opened: Option<(Option<Full>, u16)>,
    },
    Sent {
        conn: ConnId,
        outgoing: Box<Outgoing>,
    },
    /// The socket takes no more than so many bytes of what the shard has sent.
    Unsent {
        conn: ConnId,
        outgoing: Box<Outgoing>,
        taken: usize,
        then: Then,
    },
    /// The peer of one that is watched has said its last.
    Leaving {
        conn: ConnId,
    },
    Closed {
        conn: ConnId,
    },
    /// An operation of the store is done.
    OfStore {
        name: u32,
        result: i32,
    },
}

/// What the end of a send means beside that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    /// The shard goes on as if the socket had taken it.
    GoesOn,
    Closed,
}

pub(crate) struct Port {
    pub ring: Ring,
    pub buffers: Buffers,
    connections: Connections,
    accepting: Vec<Option<Accepting>>,
    /// No more connections come in.
    is_shut: bool,
    /// Nothing is armed any more.
    is_over: bool,
    /// Accepting waits until then, because the process or the machine had no descriptor or memory left.
    accept_again_at: Option<Instant>,
    /// That it waits was logged; cleared by the next connection.
    accept_failure_logged: bool,
    /// When a connection that was turned away was logged last, by the reason.
    turned_away_logged_at: [Option<Instant>; REASONS],
    /// Closed connections that may take until then for their end, earliest first.
    lingering: VecDeque<(Instant, ConnId)>,
    linger: Duration,
    /// Those whose layers do not stand yet, with the time by which they have to.
    opening: VecDeque<(Instant, ConnId)>,
    handshake_max: Duration,
    /// When the one was accepted that has come to stand just now.
    pub stood_since: Option<Instant>,
    /// Those whose layers have something to do that may take a while.
    due: VecDeque<ConnId>,
    /// Those that have ended their WebSocket.
    leaving: VecDeque<ConnId>,
    /// Those that have ended in this turn: what is said of their end names them.
    gone: HashMap<ConnId, Whence>,
    scratch: Scratch,
    seats: Arc<Seats>,
    auditors: Vec<Arc<dyn Auditor>>,
    shard: ShardId,
    doorkeeper: Option<Arc<dyn Doorkeeper>>,
    barred: BarredNetworks,
    /// Not under way, for the next sends. Boxed already, as a connection wants them.
    #[expect(clippy::vec_box, reason = "a value moves between here and a connection with its box")]
    spare: Vec<Box<Sending>>,
    bell: RawFd,
    /// Where the kernel writes the bell's count. Boxed: it must not move.
    bell_count: Box<u64>,
}

impl Port {
    /// `bell` must stay open for as long as the port lives.
    pub fn new(shard: ShardId, config: &Config, seats: Arc<Seats>, bell: RawFd) -> io::Result<Port> {
        let ring = Ring::new(config.ring_entries)?;
        let buffers = Buffers::register(ring.inner(), config.receive_buffers, config.receive_buffer_bytes)?;
        let mut port = Port {
            ring,
            buffers,
            connections: Connections::default(),
            accepting: Vec::new(),
            is_shut: false,
            is_over: false,
            accept_again_at: None,
            accept_failure_logged: false,
            turned_away_logged_at: [None; REASONS],
            lingering: VecDeque::new(),
            linger: config.linger,
            opening: VecDeque::new(),
            handshake_max: config.core.limits.connect_timeout,
            stood_since: None,
            due: VecDeque::new(),
            leaving: VecDeque::new(),
            gone: HashMap::new(),
            scratch: Scratch::default(),
            seats,
            auditors: config.auditors.clone(),
            shard,
            doorkeeper: config.doorkeeper.clone(),
            barred: BarredNetworks::default(),
            spare: Vec::new(),
            bell,
            bell_count: Box::new(0),
        };
        port.arm_bell();
        Ok(port)
    }

    /// No connection is left, closing ones included.
    pub fn is_empty(&self) -> bool {
        self.connections.len() == 0
    }

    /// Also of one that has ended in this turn.
    pub fn address(&mut self, conn: ConnId) -> Option<Address> {
        self.whence(conn).map(|whence| whence.address)
    }

    /// Also of one that has ended in this turn.
    pub fn occasion(&mut self, conn: ConnId) -> Occasion {
        let Some(Whence { address, door }) = self.whence(conn) else { return Occasion::default() };
        Occasion { address: address.ip().map(|_| address.into()), door }
    }

    fn whence(&mut self, conn: ConnId) -> Option<Whence> {
        match self.connections.get(conn) {
            Some(connection) => Some(connection.whence()),
            None => self.gone.get(&conn).copied(),
        }
    }

    /// All is said of those that have ended.
    pub fn forget_gone(&mut self) {
        self.gone.clear();
    }

    /// Adds to what the shard asks what is known here of the connection.
    pub fn question(&mut self, conn: ConnId, ask: Box<Ask>) -> Question {
        let entry = self.connections.open(conn);
        // One without an address is of this machine only if it comes by its file system: a proxy there tells another.
        let is_of_file_system =
            entry.door.as_ref().is_some_and(|door| matches!(door.door.place, Place::Unix { .. }));
        let is_local = is_of_file_system && entry.address.is_unknown();
        let certificate = entry.layers.as_ref().and_then(|layers| layers.certificate()).map(Box::from);
        let address = (!is_local).then(|| entry.address.into());
        Question { ask, address, is_relayed: entry.is_relayed, certificate }
    }

    /// When `on_time` has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let linger = self.lingering.front().map(|(at, _)| *at);
        let opening = self.opening.front().map(|(at, _)| *at);
        [linger, opening, self.accept_again_at].into_iter().flatten().min()
    }

    /// Ends connections that had time enough, and accepts again. Says how many never came to stand.
    pub fn on_time(&mut self, now: Instant) -> usize {
        while let Some(&(at, conn)) = self.lingering.front() {
            if at > now {
                break;
            }
            self.lingering.pop_front();
            if self.connections.get(conn).is_some() {
                self.kill(conn);
            }
        }
        if self.accept_again_at.is_some_and(|at| at <= now) {
            self.accept_again_at = None;
            self.arm_accepts();
        }
        self.end_slow_openings(now)
    }

    /// Takes one completion from the ring to what it means for the shard.
    pub fn on_completion(&mut self, now: Instant, completion: Completion) -> Happened {
        match Operation::unpack(completion.user_data) {
            Operation::Accept { listener } => self.on_accept(now, listener, completion),
            Operation::Receive { slot, generation } => self.on_receive(now, slot, generation, completion),
            Operation::Send { slot, generation } => self.on_send(slot, generation, completion),
            Operation::Watch { slot, generation } => self.on_watched(slot, generation, completion),
            Operation::Bell => {
                if !self.is_over {
                    self.arm_bell();
                }
                Happened::Nothing
            }
            Operation::Store { name } => Happened::OfStore { name, result: completion.result },
            Operation::Cancel => Happened::Nothing,
        }
    }

    /// A connection that came from another shard. It keeps its seat; but none is for whose address was banned while it was on its way.
    pub fn adopt(&mut self, now: Instant, moving: Moving) -> Option<(ConnId, Option<Full>, u16, Secret)> {
        let Moving { socket, address, refuse, is_relayed, door, layers, unread } = moving;
        if address.ip().is_some_and(|ip| self.barred.holds(ip, now)) {
            drop(socket);
            door.seats.give_back();
            self.seats.give_back();
            self.turn_away(now, &door, address, NotOpened::Banned, BANNED);
            return None;
        }
        let id = door.id;
        let conn = self.connections.insert(socket, address, refuse, door);
        if layers.as_ref().is_some_and(|layers| layers.is_leaving()) {
            self.leaving.push_back(conn);
        }
        let entry = self.connections.open(conn);
        (entry.layers, entry.is_relayed) = (layers, is_relayed);
        Some((conn, refuse, id, unread))
    }

    /// Takes a connection out, to go to another shard.
    pub fn release(&mut self, conn: ConnId, unread: Secret) -> Moving {
        let entry = self.connections.open(conn);
        let (address, refuse, is_relayed) = (entry.address, entry.refuse, entry.is_relayed);
        let layers = entry.layers.take();
        // The table asserts that nothing is outstanding: the first packet is received once, and comes to the shard when
        // the layers have said what they had to say.
        let (socket, door) = self.connections.remove(conn.slot);
        Moving { socket, address, refuse, is_relayed, door, layers, unread }
    }

    pub fn send(&mut self, conn: ConnId, bytes: Box<Outgoing>) {
        if self.connections.open(conn).layers.is_some() {
            return self.send_layered(conn, bytes);
        }
        self.begin_send(conn, bytes);
    }

    fn begin_send(&mut self, conn: ConnId, bytes: Box<Outgoing>) {
        let mut sending = self.spare.pop().unwrap_or_else(Sending::new);
        sending.begin(bytes);
        let entry = self.connections.get(conn).expect("a send is for a connection");
        assert!(entry.sending.is_none(), "one send is under way per connection");
        entry.sending = Some(sending);
        self.push_send(conn);
    }

    pub fn read(&mut self, conn: ConnId, reading: Reading) {
        self.connections.open(conn).wanted = reading;
        if reading == Reading::Watched {
            self.watch(conn);
        }
        self.settle(conn);
    }

    /// The shard has forgotten the connection. Its last bytes go out, and its end is awaited, but not for ever.
    pub fn close(&mut self, now: Instant, conn: ConnId) {
        self.connections.open(conn);
        self.begin_closing(now, conn);
        self.settle(conn);
    }

    fn begin_closing(&mut self, now: Instant, conn: ConnId) {
        self.finish_layers(conn);
        let entry = self.connections.get(conn).expect("only what lives can be closed");
        entry.stage = Stage::Closing;
        self.lingering.push_back((now + self.linger, conn));
    }

    /// The first bytes of this connection came by another way than its single receive. Says whether it is still open.
    pub fn has_received(&mut self, conn: ConnId) -> bool {
        let Some(entry) = self.connections.get(conn) else { return false };
        if entry.wanted == Reading::Once && entry.armed == Armed::No {
            entry.wanted = Reading::Paused;
        }
        entry.stage == Stage::Open
    }

    /// Ends every connection and every operation at once. Their completions still come.
    pub fn end(&mut self) {
        self.is_over = true;
        self.stop_accepting();
        for conn in self.connections.ids() {
            self.kill(conn);
        }
        let any = io_uring::types::CancelBuilder::any();
        let entry = opcode::AsyncCancel2::new(any).build().user_data(Operation::Cancel.pack());
        // SAFETY: a cancellation points to nothing.
        unsafe { self.ring.push(entry) };
    }

    fn on_receive(&mut self, now: Instant, slot: u32, generation: u32, completion: Completion) -> Happened {
        let (conn, entry) = self.connections.of_operation(slot, generation);
        if !completion.more() {
            // With layers only what comes out of them counts.
            let is_single = entry.armed == Armed::Once && entry.wanted == Reading::Once;
            if is_single && completion.result > 0 && entry.layers.is_none() {
                entry.wanted = Reading::Paused;
            }
            entry.armed = Armed::No;
            entry.cancelling = false;
        }
        let is_open = entry.stage == Stage::Open;
        let is_layered = entry.layers.is_some() && matches!(entry.stage, Stage::Opening | Stage::Open);
        let len = completion.result.max(0) as u32;
        let filled = completion.buffer().map(|id| self.buffers.filled(id, len));
        let happened = match (check(completion.result), filled) {
            (Ok(1..), Some(filled)) if is_layered => self.receive_layered(now, conn, filled),
            (Ok(1..), Some(filled)) if is_open => Happened::Bytes { conn, filled },
            (Ok(1..), Some(filled)) => self.discard(filled),
            (result, filled) => {
                filled.map(|filled| self.discard(filled));
                self.on_end(now, conn, result.map(drop))
            }
        };
        self.settle(conn);
        happened
    }

    /// A receive brought nothing: the stream ended, the network failed, or the kernel wants to be asked again.
    fn on_end(&mut self, now: Instant, conn: ConnId, result: io::Result<()>) -> Happened {
        let again = [libc::ENOBUFS, libc::ECANCELED, libc::EINTR, libc::EAGAIN, libc::ENOMEM];
        let code = result.as_ref().err().and_then(io::Error::raw_os_error);
        if code == Some(libc::ENOBUFS) {
            self.buffers.lend_more();
        }
        // Buffers that were short are back before the receive is submitted again, because what the kernel filled before
        // was taken before this.
        if code.is_some_and(|code| again.contains(&code)) {
            return Happened::Nothing;
        }
        let Some(entry) = self.connections.get(conn) else { return Happened::Nothing };
        entry.is_ended = true;
        let was_open = entry.stage == Stage::Open;
        let was_opening = entry.stage == Stage::Opening;
        // After the end of its stream a peer may still read what is under way to it; after a failure nobody does.
        if result.is_err() || was_opening || entry.sending.is_none() {
            self.kill(conn);
        } else if was_open {
            entry.stage = Stage::Closing;
            self.lingering.push_back((now + self.linger, conn));
        }
        match (was_open, was_opening) {
            (true, _) => Happened::Closed { conn },
            (_, true) => Happened::NotOpened(NotOpened::Gone),
            _ => Happened::Nothing,
        }
    }

    fn on_send(&mut self, slot: u32, generation: u32, completion: Completion) -> Happened {
        let (conn, entry) = self.connections.of_operation(slot, generation);
        let mut sending = entry.sending.take().expect("a send that completes was under way");
        let stage = entry.stage;
        let is_dead = stage == Stage::Dead;
        let is_layered = entry.layers.is_some();
        let is_done = match check(completion.result) {
            Ok(taken) => sending.advance(taken as usize),
            Err(error) => {
                let again = matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::ENOMEM));
                if !again && !is_dead {
                    return self.on_send_failed(conn, sending);
                }
                false
            }
        };
        if !is_done && !is_dead {
            entry.sending = Some(sending);
            self.push_send(conn);
            return Happened::Nothing;
        }
        if is_dead {
            let happened = self.end_send(conn, sending, is_done, Then::Nothing);
            self.settle(conn);
            return happened;
        }
        let outgoing = self.keep(sending);
        if is_layered {
            return self.on_sent_layered(conn, outgoing);
        }
        self.settle(conn);
        Happened::Sent { conn, outgoing }
    }

    /// Makes what is the case of a connection agree with what it should be.
    pub fn settle(&mut self, conn: ConnId) {
        let Some(entry) = self.connections.get(conn) else { return };
        match entry.stage {
            Stage::Opening | Stage::Open => self.arm_wanted(conn),
            Stage::Closing if entry.sending.is_some() => {}
            Stage::Closing => {
                if !entry.is_shut {
                    entry.is_shut = true;
                    shut(entry.socket.as_ref(), libc::SHUT_WR);
                }
                // Closing a socket with unread bytes would take the last packet back from the peer: the end of
                // its stream is awaited, and what comes before is ignored.
                if entry.is_ended {
                    self.kill(conn);
                } else if entry.armed == Armed::No {
                    self.arm_receive(conn, Armed::Continuous);
                }
            }
            Stage::Dead => {
                if entry.sending.is_none() && entry.armed == Armed::No && !entry.watched {
                    self.gone.insert(conn, entry.whence());
                    let (socket, door) = self.connections.remove(conn.slot);
                    drop(socket);
                    door.seats.give_back();
                    self.seats.give_back();
                }
            }
        }
    }

    fn arm_wanted(&mut self, conn: ConnId) {
        let entry = self.connections.get(conn).expect("the caller looked");
        if entry.layers.as_ref().is_some_and(|layers| !layers.due.is_empty() || layers.is_leaving()) {
            return;
        }
        match (entry.armed, entry.wanted) {
            (Armed::No, Reading::Once) => self.arm_receive(conn, Armed::Once),
            (Armed::No, Reading::Continuous) => self.arm_receive(conn, Armed::Continuous),
            (Armed::Continuous, Reading::Once | Reading::Paused | Reading::Watched)
            | (Armed::Once, Reading::Paused | Reading::Watched) => {
                if !std::mem::replace(&mut entry.cancelling, true) {
                    self.cancel(Operation::Receive { slot: conn.slot, generation: conn.generation });
                }
            }
            // A single receive brings what is there, and the continuous one follows it.
            (Armed::Once, Reading::Once | Reading::Continuous)
            | (Armed::Continuous, Reading::Continuous)
            | (Armed::No, Reading::Paused | Reading::Watched) => {}
        }
    }

    fn arm_receive(&mut self, conn: ConnId, armed: Armed) {
        let entry = self.connections.get(conn).expect("a receive is for a connection");
        entry.armed = armed;
        let socket = Fd(entry.socket.as_ref().expect("a connection has a socket").as_raw_fd());
        let operation = match armed {
            Armed::Continuous => opcode::RecvMulti::new(socket, GROUP).build(),
            _ => {
                let receive = opcode::Recv::new(socket, std::ptr::null_mut(), 0).buf_group(GROUP);
                receive.build().flags(Flags::BUFFER_SELECT)
            }
        };
        let name = Operation::Receive { slot: conn.slot, generation: conn.generation };
        // SAFETY: the entry points to nothing: the kernel takes a buffer from the ring, which outlives it.
        unsafe { self.ring.push(operation.user_data(name.pack())) };
    }

    fn push_send(&mut self, conn: ConnId) {
        let entry = self.connections.get(conn).expect("a send is for a connection");
        let socket = entry.socket.as_ref().expect("a connection has a socket").as_raw_fd();
        let sending = entry.sending.as_mut().expect("the caller has put it there");
        let name = Operation::Send { slot: conn.slot, generation: conn.generation };
        let operation = sending.operation(socket).user_data(name.pack());
        // SAFETY: the boxed value that the entry points into stays in the table until the send completes.
        unsafe { self.ring.push(operation) };
    }

    /// Ends a connection now. Its entry goes when its last operation has completed.
    fn kill(&mut self, conn: ConnId) {
        let entry = self.connections.get(conn).expect("only what lives can be killed");
        if entry.stage != Stage::Dead {
            entry.stage = Stage::Dead;
            if entry.sending.is_some() || entry.armed != Armed::No || entry.watched {
                // This completes what is outstanding, with an end of stream or a broken pipe.
                shut(entry.socket.as_ref(), libc::SHUT_RDWR);
            }
        }
        self.settle(conn);
    }

    /// Keeps the value for another send, and gives out what it sent.
    fn keep(&mut self, mut sending: Box<Sending>) -> Box<Outgoing> {
        let outgoing = sending.finish();
        if self.spare.len() < SPARE_SENDS_MAX {
            self.spare.push(sending);
        }
        outgoing
    }

    fn discard(&mut self, filled: Filled) -> Happened {
        self.buffers.recycle(filled);
        Happened::Nothing
    }

    fn cancel(&mut self, operation: Operation) {
        let entry = opcode::AsyncCancel::new(operation.pack()).build().user_data(Operation::Cancel.pack());
        // SAFETY: a cancellation points to nothing.
        unsafe { self.ring.push(entry) };
    }

    fn arm_bell(&mut self) {
        let target: *mut u64 = &raw mut *self.bell_count;
        let read = opcode::Read::new(Fd(self.bell), target.cast(), size_of::<u64>() as u32);
        // SAFETY: the boxed count lives as long as the port, which ends after its operations.
        unsafe { self.ring.push(read.build().user_data(Operation::Bell.pack())) };
    }
}

/// The result of an operation in the form of this language.
fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}

/// Ends one or both directions. A peer that is gone already makes it fail, which changes nothing.
fn shut(socket: Option<&OwnedFd>, how: i32) {
    let socket = socket.expect("a connection has a socket");
    // SAFETY: the call takes no pointers, and the descriptor is open.
    unsafe { libc::shutdown(socket.as_raw_fd(), how) };
}

/// More than this many sends are seldom under way on one shard.
const SPARE_SENDS_MAX: usize = 256;

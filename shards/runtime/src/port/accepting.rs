//! How connections come in: at every door, as long as there are seats, descriptors and memory for them.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    sync::Arc,
    time::Duration,
};

use io_uring::{opcode, types::Fd};
use rustls::ServerConfig;
use shard::{Instant, NotOpened};

use super::{Happened, Port, check};
use crate::{
    connection::Address,
    door::OpenDoor,
    layers::{At, Layers},
    listener::{Listener, peer_of},
    operation::Operation,
    ring::Completion,
    seats::Seat,
};

pub(super) struct Accepting {
    listener: Listener,
    armed: bool,
}

impl Port {
    pub fn listen(&mut self, listeners: Vec<Listener>) {
        self.accepting.extend(listeners.into_iter().map(|listener| Accepting { listener, armed: false }));
        self.arm_accepts();
    }

    /// For those who come from now on.
    pub fn set_certificates(&mut self, by_door: &[Option<Arc<ServerConfig>>]) {
        for accepting in &mut self.accepting {
            let door = &mut accepting.listener.door;
            if let Some(tls) = by_door.get(usize::from(door.id)) {
                *door = Arc::new(door.with_tls(tls.clone()));
            }
        }
    }

    /// Lets no further connection in. What waits in the backlog is refused by the kernel.
    pub fn stop_accepting(&mut self) {
        self.is_shut = true;
        self.accept_again_at = None;
        for listener in 0..self.accepting.len() {
            if self.accepting[listener].armed {
                self.cancel(Operation::Accept { listener: listener as u32 });
            }
        }
        // An operation holds its socket by itself, but one that is not armed is closed here.
        if self.accepting.iter().all(|accepting| !accepting.armed) {
            self.accepting.clear();
        }
    }

    pub(super) fn on_accept(&mut self, now: Instant, listener: u32, completion: Completion) -> Happened {
        let listener = listener as usize;
        self.accepting[listener].armed = completion.more();
        let happened = match check(completion.result) {
            Ok(descriptor) => self.on_accepted(now, listener, descriptor as RawFd),
            Err(error) => {
                self.on_accept_failure(now, &error);
                Happened::Nothing
            }
        };
        if self.is_shut && self.accepting.iter().all(|accepting| !accepting.armed) {
            self.accepting.clear();
        } else {
            self.arm_accepts();
        }
        happened
    }

    fn on_accepted(&mut self, now: Instant, listener: usize, descriptor: RawFd) -> Happened {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        self.accept_failure_logged = false;
        if self.is_shut {
            return Happened::Nothing;
        }
        let door = Arc::clone(&self.accepting[listener].listener.door);
        let Some(refuse) = self.take_seat(&door) else {
            self.log_turned_away(now, &door);
            return Happened::NotOpened(NotOpened::NoSeat);
        };
        let address = peer_of(&socket).map_or(Address::UNKNOWN, Address::from);
        let is_plain = door.door.is_plain();
        let layers =
            if is_plain { None } else { Some(Layers::new(At { door: &door.door, peer: address.ip() })) };
        let id = door.id;
        let conn = self.connections.insert(socket, address, refuse, door);
        match layers {
            None => Happened::Opened { conn, refuse, door: id },
            Some(layers) => self.begin_opening(now, conn, layers),
        }
    }

    /// Says whether the client is to be refused; none if it cannot even be told so.
    fn take_seat(&self, door: &OpenDoor) -> Option<bool> {
        let of_all = self.seats.take();
        if of_all == Seat::None {
            return None;
        }
        let of_door = door.seats.take();
        if of_door == Seat::None {
            self.seats.give_back();
            return None;
        }
        Some(of_all == Seat::Reserve || of_door == Seat::Reserve)
    }

    /// Of a crowd one line now and then is enough; the counter has them all.
    fn log_turned_away(&mut self, now: Instant, door: &OpenDoor) {
        if self.turned_away_logged_at.is_none_or(|at| now.since(at) >= TURNED_AWAY_LOG_PERIOD) {
            self.turned_away_logged_at = Some(now);
            tracing::warn!(
                door = %door.door.place,
                "connections are closed without an answer: even the places for refusals are taken"
            );
        }
    }

    fn on_accept_failure(&mut self, now: Instant, error: &io::Error) {
        match error.raw_os_error() {
            // A connection that broke before it was accepted, or our own cancellation.
            Some(libc::ECONNABORTED | libc::ECONNRESET | libc::EPROTO | libc::EINTR | libc::ECANCELED) => {}
            // Without descriptors or memory the next accept would fail at once as well, and the next.
            _ => {
                self.accept_again_at = Some(now + ACCEPT_PAUSE);
                if !self.accept_failure_logged {
                    self.accept_failure_logged = true;
                    tracing::warn!(%error, "cannot accept connections for now; `ulimit -n` bounds the descriptors");
                }
            }
        }
    }

    pub(super) fn arm_accepts(&mut self) {
        if self.is_shut || self.accept_again_at.is_some() {
            return;
        }
        for (index, accepting) in self.accepting.iter_mut().enumerate() {
            if std::mem::replace(&mut accepting.armed, true) {
                continue;
            }
            let accept = opcode::AcceptMulti::new(Fd(accepting.listener.descriptor()));
            let name = Operation::Accept { listener: index as u32 };
            let entry = accept.flags(libc::SOCK_CLOEXEC).build().user_data(name.pack());
            // SAFETY: the entry points to nothing.
            unsafe { self.ring.push(entry) };
        }
    }
}

/// How long accepting rests when descriptors or memory are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The shortest time between two lines about connections that were turned away.
const TURNED_AWAY_LOG_PERIOD: Duration = Duration::from_secs(1);

//! How connections come in: at every door, as long as there are seats, descriptors and memory for them.

use std::{
    io,
    net::IpAddr,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    sync::Arc,
    time::Duration,
};

use io_uring::{opcode, types::Fd};
use shard::{BarredNetworks, ConnId, Full, Instant, Network, NotOpened};

use super::{
    Happened, Port, check,
    turned_away::{BANNED, NO_SEAT, NO_SEAT_OF_LISTENER, TOO_OFTEN},
};
use crate::{
    connection::{Address, Stage},
    control::{Delays, Hanging},
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
    /// The door is closed: it goes when nobody waits in front of it.
    is_leaving: bool,
}

impl Port {
    pub fn listen(&mut self, listeners: Vec<Listener>) {
        for listener in listeners {
            self.add(listener);
        }
        self.arm_accepts();
    }

    fn add(&mut self, listener: Listener) {
        let accepting = Some(Accepting { listener, armed: false, is_leaving: false });
        match self.accepting.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = accepting,
            None => self.accepting.push(accepting),
        }
    }

    /// For those who come from now on. Whoever is connected stays.
    pub fn hang(&mut self, doors: Vec<Hanging>) {
        let (mut there, mut added) = (Vec::new(), Vec::new());
        for hanging in doors {
            match hanging {
                Hanging::There { from, door } => there.push((from, door)),
                Hanging::Added(listener) => added.push(listener),
            }
        }
        for index in 0..self.accepting.len() {
            let Some(accepting) = self.accepting[index].as_mut().filter(|it| !it.is_leaving) else {
                continue;
            };
            let id = accepting.listener.door.id;
            match there.iter().find(|(from, _)| *from == id) {
                Some((_, door)) => accepting.listener.hang(Arc::clone(door)),
                None => self.begin_to_leave(index),
            }
        }
        if !self.is_shut {
            self.listen(added);
        }
    }

    pub fn set_delays(&mut self, delays: Delays) {
        (self.handshake_max, self.linger) = (delays.handshake_max, delays.linger);
    }

    fn begin_to_leave(&mut self, index: usize) {
        let accepting = self.accepting[index].as_mut().expect("the caller looked");
        accepting.is_leaving = true;
        match accepting.armed {
            true => self.cancel(Operation::Accept { listener: index as u32 }),
            false => self.accepting[index] = None,
        }
    }

    /// From now on nobody comes in from there. Those who are here, and whom the shard knows, come back.
    pub fn set_bans(
        &mut self,
        now: Instant,
        networks: &[(Network, Option<Duration>)],
    ) -> Vec<(ConnId, IpAddr)> {
        self.barred = BarredNetworks::new(networks, now);
        let mut known = Vec::new();
        for conn in self.connections.ids() {
            let Some(entry) = self.connections.get(conn) else { continue };
            let Some(ip) = entry.address.ip().filter(|ip| self.barred.holds(*ip, now)) else { continue };
            match entry.stage {
                Stage::Open => known.push((conn, ip.to_canonical())),
                Stage::Opening => self.kill(conn),
                Stage::Closing | Stage::Dead => {}
            }
        }
        known
    }

    /// Lets no further connection in. What waits in the backlog is refused by the kernel.
    pub fn stop_accepting(&mut self) {
        self.is_shut = true;
        self.accept_again_at = None;
        for listener in 0..self.accepting.len() {
            if self.accepting[listener].as_ref().is_some_and(|accepting| accepting.armed) {
                self.cancel(Operation::Accept { listener: listener as u32 });
            }
        }
        self.close_if_shut();
    }

    /// An operation holds its socket by itself, but one that is not armed is closed here.
    fn close_if_shut(&mut self) {
        if self.is_shut && self.accepting.iter().flatten().all(|accepting| !accepting.armed) {
            self.accepting.clear();
        }
    }

    pub(super) fn on_accept(&mut self, now: Instant, listener: u32, completion: Completion) -> Happened {
        let listener = listener as usize;
        let accepting = self.accepting[listener].as_mut().expect("an operation that ends is of a door");
        accepting.armed = completion.more();
        let happened = match check(completion.result) {
            Ok(descriptor) => self.on_accepted(now, listener, descriptor as RawFd),
            Err(error) => {
                self.on_accept_failure(now, &error);
                Happened::Nothing
            }
        };
        let accepting = self.accepting[listener].as_ref().expect("it was there above");
        if accepting.is_leaving && !accepting.armed {
            self.go_on_leaving(listener);
        }
        self.close_if_shut();
        self.arm_accepts();
        happened
    }

    /// Those who were there before the door was closed come in: the kernel would cut them off with the socket.
    fn go_on_leaving(&mut self, index: usize) {
        let accepting = self.accepting[index].as_mut().expect("the caller looked");
        let may_accept = !self.is_shut && self.accept_again_at.is_none();
        if !may_accept || !accepting.listener.has_waiting() {
            self.accepting[index] = None;
            return;
        }
        accepting.armed = true;
        let accept = opcode::Accept::new(
            Fd(accepting.listener.descriptor()),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        );
        let name = Operation::Accept { listener: index as u32 };
        let entry = accept.flags(libc::SOCK_CLOEXEC).build().user_data(name.pack());
        // SAFETY: the entry points to nothing.
        unsafe { self.ring.push(entry) };
    }

    fn on_accepted(&mut self, now: Instant, listener: usize, descriptor: RawFd) -> Happened {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        self.accept_failure_logged = false;
        if self.is_shut {
            return Happened::Nothing;
        }
        let accepting = self.accepting[listener].as_ref().expect("somebody came in by it");
        let door = Arc::clone(&accepting.listener.door);
        let address = peer_of(&socket).map_or(Address::UNKNOWN, Address::from);
        if address.ip().is_some_and(|ip| self.barred.holds(ip, now)) {
            return self.turn_away(now, &door, address, NotOpened::Banned, BANNED);
        }
        if let Err(why) = self.check_rate(&door, address) {
            return self.turn_away(now, &door, address, why, TOO_OFTEN);
        }
        let refuse = match self.take_seat(&door) {
            Ok(refuse) => refuse,
            Err(Full::Server) => return self.turn_away(now, &door, address, NotOpened::NoSeat, NO_SEAT),
            Err(Full::Listener) => {
                return self.turn_away(now, &door, address, NotOpened::NoSeatOfListener, NO_SEAT_OF_LISTENER);
            }
        };
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

    /// Says for whose limit the client is to be refused, if it is; `Err`: it cannot even be told so.
    fn take_seat(&self, door: &OpenDoor) -> Result<Option<Full>, Full> {
        let of_all = self.seats.take();
        if of_all == Seat::None {
            return Err(Full::Server);
        }
        let of_door = door.seats.take();
        if of_door == Seat::None {
            self.seats.give_back();
            return Err(Full::Listener);
        }
        Ok(match (of_all, of_door) {
            (Seat::Reserve, _) => Some(Full::Server),
            (_, Seat::Reserve) => Some(Full::Listener),
            _ => None,
        })
    }

    /// Before anything is spent on the connection. Whom a proxy brings is looked at when it has said who that is. What one
    /// address may not do does not use up what all of them may.
    fn check_rate(&self, door: &OpenDoor, address: Address) -> Result<(), NotOpened> {
        let Some(doorkeeper) = &self.doorkeeper else { return Ok(()) };
        let ip = address.ip();
        if ip.is_some_and(|ip| door.door.is_proxy(ip)) {
            return Ok(());
        }
        let comes = ip.is_none_or(|ip| doorkeeper.may_come_from(door.id, ip)) && doorkeeper.opens(door.id);
        if comes { Ok(()) } else { Err(NotOpened::TooOften) }
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
            let Some(accepting) = accepting.as_mut().filter(|accepting| !accepting.is_leaving) else {
                continue;
            };
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

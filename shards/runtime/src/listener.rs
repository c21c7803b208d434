//! The sockets that connections come in by: one for each address and shard, between which the kernel distributes.

pub(crate) mod unix;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::{
    StartError,
    door::{Door, OpenDoor, Place},
};

/// One bound socket of one shard. It listens once all shards are ready.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    pub door: Arc<OpenDoor>,
}

/// Doors with the ports that were chosen, and their listeners for each shard.
pub(crate) struct Bound {
    pub by_shard: Vec<Vec<Listener>>,
    pub doors: Vec<Arc<OpenDoor>>,
}

impl Listener {
    pub fn listen(&self) -> Result<(), StartError> {
        let Door { backlog, place, .. } = &self.door.door;
        let backlog = i32::try_from(*backlog).unwrap_or(i32::MAX);
        SockRef::from(&self.socket).listen(backlog).map_err(|error| StartError::listen(place, error))
    }

    /// Goes on with other settings of its door. What the kernel does not take, the socket has as it was.
    pub fn hang(&mut self, door: Arc<OpenDoor>) {
        if let Place::Tcp(_) = door.door.place {
            // Accepted sockets inherit it.
            let _ = SockRef::from(&self.socket).set_tcp_nodelay(door.door.is_nodelay);
        }
        self.door = door;
        let _ = self.listen();
    }

    /// Somebody has connected and was not accepted. Of a socket that all shards share another may accept first.
    pub fn has_waiting(&self) -> bool {
        let Place::Tcp(_) = self.door.door.place else { return false };
        let mut asked = libc::pollfd { fd: self.descriptor(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one live value, and the call does not wait.
        let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
        ready == 1 && asked.revents & libc::POLLIN != 0
    }

    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Binds the places of these doors once for each shard, beside the places that the broker has already.
pub(crate) fn bind(doors: &[(u16, Door)], beside: &[Place], shards: u8) -> Result<Bound, StartError> {
    let mut bound = Bound { by_shard: (0..shards).map(|_| Vec::new()).collect(), doors: Vec::new() };
    let added: Vec<&Place> = doors.iter().map(|(_, door)| &door.place).collect();
    for (id, door) in doors {
        let (sockets, place) = match &door.place {
            Place::Tcp(address) => {
                let only_v6 = has_v4_twin(*address, added.iter().copied().chain(beside));
                let shared = beside.iter().any(|place| overlap(place, *address));
                let (sockets, chosen) = bind_tcp(*address, door, (only_v6, shared), shards)?;
                (sockets, Place::Tcp(chosen))
            }
            Place::Unix { path, mode } => (unix::bind(path, *mode, shards)?, door.place.clone()),
        };
        let open = Arc::new(OpenDoor::new(*id, Door { place, ..door.clone() }));
        for (listeners, socket) in bound.by_shard.iter_mut().zip(sockets) {
            listeners.push(Listener { socket, door: Arc::clone(&open) });
        }
        bound.doors.push(open);
    }
    Ok(bound)
}

impl Bound {
    pub fn listen(&self) -> Result<(), StartError> {
        self.by_shard.iter().flatten().try_for_each(Listener::listen)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Empty where they were given to shards.
        for door in self.doors.drain(..) {
            door.door.place.clear();
        }
    }
}

/// Whether the broker's own socket at this place would be in the way of the address.
fn overlap(place: &Place, address: SocketAddr) -> bool {
    let Place::Tcp(own) = place else { return false };
    let same_host = own.ip() == address.ip() || own.ip().is_unspecified() || address.ip().is_unspecified();
    own.port() == address.port() && same_host
}

/// The first shard's port is everybody's: port 0 is chosen once.
fn bind_tcp(
    address: SocketAddr,
    door: &Door,
    (only_v6, is_shared): (bool, bool),
    shards: u8,
) -> Result<(Vec<OwnedFd>, SocketAddr), StartError> {
    // A socket of our own would be found as well, which another may stand beside.
    if !is_shared {
        check_free(address, only_v6)?;
    }
    let mut chosen = address;
    let mut sockets = Vec::new();
    for _ in 0..shards {
        let bind = || -> io::Result<(Socket, SocketAddr)> {
            let socket = new_socket(chosen, only_v6)?;
            socket.set_tcp_nodelay(door.is_nodelay)?;
            socket.set_reuse_port(true)?;
            socket.bind(&chosen.into())?;
            let bound = socket.local_addr()?.as_socket().unwrap_or(chosen);
            Ok((socket, bound))
        };
        let (socket, bound) = bind().map_err(|error| StartError::listen(&door.place, error))?;
        chosen = bound;
        sockets.push(socket.into());
    }
    Ok((sockets, chosen))
}

/// A shared port would let a second broker of the same user in, and each would get some of the clients. A socket that
/// does not share tells whether somebody is there.
fn check_free(address: SocketAddr, only_v6: bool) -> Result<(), StartError> {
    if address.port() == 0 {
        return Ok(());
    }
    let try_alone = || -> io::Result<()> { new_socket(address, only_v6)?.bind(&address.into()) };
    let give_up_at = Instant::now() + TAKEN_PATIENCE;
    loop {
        match try_alone() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up_at => {
                thread::sleep(TAKEN_PAUSE);
            }
            result => return result.map_err(|error| StartError::listen(&Place::Tcp(address), error)),
        }
    }
}

/// The kernel takes a killed process's rings apart after the process is gone, and they hold its listening sockets for that
/// long: a supervisor that starts the broker again at once must not be told that somebody else has the port.
const TAKEN_PATIENCE: Duration = Duration::from_secs(1);
const TAKEN_PAUSE: Duration = Duration::from_millis(20);

fn new_socket(address: SocketAddr, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the process before.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit this, as they do the delay, which saves a call for each.
    socket.set_tcp_keepalive(&probing())?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// A client that asked for no keep-alive and vanished without a word would hold its place for ever: the kernel finds out.
fn probing() -> TcpKeepalive {
    TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_INTERVAL).with_retries(PROBES_MAX)
}

const PROBE_AFTER: Duration = Duration::from_secs(300);
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
const PROBES_MAX: u32 = 4;

/// `[::]` takes IPv4 connections too, unless `0.0.0.0` is asked for beside it.
fn has_v4_twin<'a>(address: SocketAddr, mut places: impl Iterator<Item = &'a Place>) -> bool {
    let any_v4 = Place::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())));
    address.is_ipv6() && places.any(|place| *place == any_v4)
}

/// The peer's address, or the unspecified one when the peer has gone already.
pub(crate) fn peer_of(socket: &OwnedFd) -> Option<SocketAddr> {
    SockRef::from(socket).peer_addr().ok()?.as_socket()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// The only listener of the only door.
    fn first(bound: &mut Bound) -> (&mut Listener, SocketAddr) {
        let Place::Tcp(address) = bound.doors[0].door.place else { unreachable!("it was one") };
        (&mut bound.by_shard[0][0], address)
    }

    fn accept_one(listener: &Listener, address: SocketAddr) -> Socket {
        let _client = TcpStream::connect(address).expect("the socket listens");
        let (accepted, _) = SockRef::from(&listener.socket).accept().expect("a client waits");
        accepted
    }

    #[test]
    fn accepted_sockets_probe_for_a_peer_that_vanished() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let any: SocketAddr = any.parse().expect("it is an address");
            // A machine may have no IPv6.
            let Ok(mut bound) = bind(&[(0, Door::plain(Place::Tcp(any)))], &[], 1) else {
                assert!(any.is_ipv6(), "every machine has a loopback address");
                continue;
            };
            let (listener, address) = first(&mut bound);
            listener.listen().expect("nobody else has the port");
            let accepted = accept_one(listener, address);
            assert!(accepted.keepalive().expect("the option can be read"));
            assert_eq!(accepted.tcp_keepalive_time().expect("the option can be read"), PROBE_AFTER);
            assert_eq!(accepted.tcp_keepalive_interval().expect("the option can be read"), PROBE_INTERVAL);
            assert_eq!(accepted.tcp_keepalive_retries().expect("the option can be read"), PROBES_MAX);
            assert!(accepted.tcp_nodelay().expect("the option can be read"));
        }
    }

    #[test]
    fn accepted_sockets_send_small_messages_at_once_or_not_as_their_door_says() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let door = |is_nodelay| Door { is_nodelay, ..Door::plain(Place::Tcp(any)) };
        for is_nodelay in [true, false] {
            let mut bound = bind(&[(0, door(is_nodelay))], &[], 1).expect("the system chooses the port");
            let (listener, address) = first(&mut bound);
            listener.listen().expect("nobody else has the port");
            let is_so = |accepted: Socket| accepted.tcp_nodelay().expect("the option can be read");
            assert_eq!(is_so(accept_one(listener, address)), is_nodelay);
            listener.hang(Arc::new(OpenDoor::new(0, door(!is_nodelay))));
            assert_eq!(is_so(accept_one(listener, address)), !is_nodelay, "for those who come from then on");
        }
    }
}

//! The sockets that connections come in by: one for each address and shard, between which the kernel distributes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::StartError;

/// One bound socket of one shard. It listens once all shards are ready.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    pub address: SocketAddr,
}

/// The listeners of each shard, and the addresses with the ports that were chosen.
pub(crate) struct Bound {
    pub by_shard: Vec<Vec<Listener>>,
    pub addresses: Vec<SocketAddr>,
}

impl Listener {
    fn bind(address: SocketAddr, only_v6: bool) -> Result<Listener, StartError> {
        let failed = |error| StartError::listen(address, error);
        let socket = new_socket(address, only_v6).map_err(failed)?;
        socket.set_reuse_port(true).map_err(failed)?;
        socket.bind(&address.into()).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
        Ok(Listener { socket: socket.into(), address: bound })
    }

    pub fn listen(&self, backlog: u32) -> Result<(), StartError> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        SockRef::from(&self.socket).listen(backlog).map_err(|error| StartError::listen(self.address, error))
    }

    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Binds every address once for each shard.
pub(crate) fn bind(addresses: &[SocketAddr], shards: u8) -> Result<Bound, StartError> {
    let mut bound = Bound { by_shard: (0..shards).map(|_| Vec::new()).collect(), addresses: Vec::new() };
    for &address in addresses {
        let only_v6 = has_v4_twin(address, addresses);
        check_free(address, only_v6)?;
        // The first shard's port is everybody's: port 0 is chosen once.
        let mut chosen = address;
        for listeners in &mut bound.by_shard {
            let listener = Listener::bind(chosen, only_v6)?;
            chosen = listener.address;
            listeners.push(listener);
        }
        bound.addresses.push(chosen);
    }
    Ok(bound)
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
            result => return result.map_err(|error| StartError::listen(address, error)),
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
    // Accepted sockets inherit it, which saves a call for each.
    socket.set_tcp_nodelay(true)?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// `[::]` takes IPv4 connections too, unless `0.0.0.0` is asked for beside it.
fn has_v4_twin(address: SocketAddr, addresses: &[SocketAddr]) -> bool {
    let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    address.is_ipv6() && addresses.contains(&any_v4)
}

/// The peer's address, or the unspecified one when the peer has gone already.
pub(crate) fn peer_of(socket: &OwnedFd) -> Option<SocketAddr> {
    SockRef::from(socket).peer_addr().ok()?.as_socket()
}

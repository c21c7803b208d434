//! The sockets that connections come in by: one for each address and shard, between which the kernel distributes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

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
    // Accepted sockets inherit these, which saves a call for each.
    socket.set_tcp_nodelay(true)?;
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
fn has_v4_twin(address: SocketAddr, addresses: &[SocketAddr]) -> bool {
    let any_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    address.is_ipv6() && addresses.contains(&any_v4)
}

/// The peer's address, or the unspecified one when the peer has gone already.
pub(crate) fn peer_of(socket: &OwnedFd) -> Option<SocketAddr> {
    SockRef::from(socket).peer_addr().ok()?.as_socket()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepted_sockets_probe_for_a_peer_that_vanished() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let any = any.parse().expect("it is an address");
            // A machine may have no IPv6.
            let Ok(listener) = Listener::bind(any, false) else {
                assert!(any.is_ipv6(), "every machine has a loopback address");
                continue;
            };
            listener.listen(1).expect("nobody else has the port");
            let _client = TcpStream::connect(listener.address).expect("the socket listens");
            let (accepted, _) = SockRef::from(&listener.socket).accept().expect("a client waits");
            assert!(accepted.keepalive().expect("the option can be read"));
            assert_eq!(accepted.tcp_keepalive_time().expect("the option can be read"), PROBE_AFTER);
            assert_eq!(accepted.tcp_keepalive_interval().expect("the option can be read"), PROBE_INTERVAL);
            assert_eq!(accepted.tcp_keepalive_retries().expect("the option can be read"), PROBES_MAX);
            assert!(accepted.tcp_nodelay().expect("the option can be read"));
        }
    }
}

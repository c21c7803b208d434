//! Sockets for connections: from which address, and how they are connected.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::destination::Place;

/// Waits until it is connected, at most for so long, and gives reads as much time.
pub fn connect(place: &Place, index: usize, patience: Duration) -> io::Result<Socket> {
    let socket = match place {
        Place::Tcp(server) => {
            let socket = make_socket(*server, index)?;
            socket.connect_timeout(&(*server).into(), patience)?;
            socket
        }
        Place::Unix(path) => connect_to_file(path)?,
    };
    socket.set_read_timeout(Some(patience))?;
    Ok(socket)
}

/// Without blocking, from here on too.
pub fn begin_to_connect(place: &Place, index: usize) -> io::Result<Socket> {
    let server = match place {
        Place::Tcp(server) => *server,
        // It is made at once, or would have to be begun again.
        Place::Unix(path) => {
            let socket = connect_to_file(path)?;
            socket.set_nonblocking(true)?;
            return Ok(socket);
        }
    };
    let socket = make_socket(server, index)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

fn connect_to_file(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn make_socket(server: SocketAddr, index: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if let IpAddr::V4(address) = server.ip()
        && address.is_loopback()
    {
        let host = u32::from(Ipv4Addr::LOCALHOST) + u32::try_from(index / PORTS_PER_ADDRESS).unwrap_or(0);
        choose_port_at_connect(&socket)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::from(host), 0)).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

// A bind would otherwise take the port from all destinations at once, and they run out after one address's worth.
fn choose_port_at_connect(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    let descriptor = socket.as_raw_fd();
    // SAFETY: the option is an int, and the length says so.
    let failed = unsafe {
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        libc::setsockopt(descriptor, libc::IPPROTO_IP, option, (&raw const on).cast(), len)
    } < 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const PORTS_PER_ADDRESS: usize = 20_000;

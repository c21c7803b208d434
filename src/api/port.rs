//! The API's addresses: taken before anything else starts, so that one that cannot be had is told at once.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs},
};

use socket2::SockRef;
use tokio::net::TcpListener;

use crate::{
    config::{Address, Api, Fault},
    listen,
};

/// A socket that listens.
#[derive(Debug)]
pub struct Port {
    listener: StdListener,
    address: SocketAddr,
}

/// All of them, or the reason. What nobody has named may be missing: the port may be that of another broker on this machine.
pub fn bind(settings: &Api, is_default: bool) -> Result<Vec<Port>, String> {
    let mut ports = Vec::new();
    for endpoint in &settings.listen {
        match bind_one(endpoint) {
            Ok(bound) => ports.extend(bound),
            Err(error) if is_default => tracing::warn!(
                "the API is not served over TCP: {endpoint} {}. To have it elsewhere: api.listen",
                why(&error)
            ),
            Err(error) => return Err(format!("api.listen: {endpoint} {}", why(&error))),
        }
    }
    Ok(ports)
}

/// Addresses that no start could take on this machine, found out without taking any.
pub fn check(settings: &Api) -> Vec<Fault> {
    let mut faults = Vec::new();
    for endpoint in &settings.listen {
        let missing = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
        let why_not = match addresses(endpoint) {
            Ok(found) => found.into_iter().any(listen::is_missing).then_some(missing),
            Err(error) => Some(error),
        };
        faults.extend(why_not.map(|error| Fault::of("api", "listen", format!("{endpoint} {}", why(&error)))));
    }
    faults
}

fn addresses(endpoint: &str) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = Address::parse_endpoint(endpoint, Api::PORT).expect("the configuration was checked");
    Ok((host.as_str(), port).to_socket_addrs()?.collect())
}

fn bind_one(endpoint: &str) -> io::Result<Vec<Port>> {
    let bind = |address: SocketAddr| {
        let listener = StdListener::bind(address)?;
        // Those that it accepts have the same. Left to itself the kernel keeps megabytes for each who does not read.
        SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES)?;
        SockRef::from(&listener).listen(BACKLOG)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Port { listener, address })
    };
    addresses(endpoint)?.into_iter().map(bind).collect()
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "is in use. Stop the other program (`ss -ltnp` names it) or choose another port".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "cannot be had: this machine has no such address (`ip address` lists those it has)".to_owned()
        }
        io::ErrorKind::PermissionDenied => "cannot be had: permission denied".to_owned(),
        _ => format!("cannot be had: {error}"),
    }
}

impl Port {
    pub fn shown(&self, has_tls: bool) -> String {
        format!("{}://{}", if has_tls { "https" } else { "http" }, self.address)
    }

    /// Within the event loop that is to serve it.
    pub fn into_listener(self) -> Result<TcpListener, String> {
        let address = self.address;
        TcpListener::from_std(self.listener)
            .map_err(|error| format!("the API's {address} cannot be served: {error}"))
    }
}

/// Who comes while the thread has something else to do: ten thousand in a second for a few tenths of one. Who finds no room there is told
/// after a second, by his own kernel.
const BACKLOG: libc::c_int = 4096;

/// The kernel takes twice as much.
const SEND_BUFFER_BYTES: usize = 128 << 10;

//! A network that a test has for itself, with more addresses than those of loopback: in a namespace of one thread and what it starts.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::PATIENCE;

/// The addresses of a network, all of them those of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// The first three numbers.
    prefix: [u8; 3],
}

impl Network {
    /// On a thread whose threads and processes are there as well. Where the system allows no such network, the addresses are those of loopback: that is said,
    /// and what the broker does otherwise for others than this machine is not tested.
    #[track_caller]
    pub fn own<T: Send>(work: impl FnOnce(Network) -> T + Send) -> T {
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                let network = match enter() {
                    Ok(()) => Network { prefix: [192, 0, 2] },
                    Err(error) => {
                        eprintln!(
                            "NOT AS IT SHOULD BE: this test wants addresses beyond loopback, and `unshare` gives no network of its own \
                             ({error}); it goes on with addresses of loopback. Run it as root."
                        );
                        Network { prefix: [127, 0, 0] }
                    }
                };
                work(network)
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub fn is_loopback(self) -> bool {
        self.prefix[0] == 127
    }

    pub fn address(self, last: u8) -> IpAddr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, last).into()
    }

    /// Waits for as long as anything may take here.
    pub fn connect(self, from: u8, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(from)?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket.into())
    }

    /// Begins to, and does not wait.
    pub fn begin_to_connect(self, from: u8, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(from)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(socket.into()),
        }
    }

    fn socket(self, from: u8) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(self.address(from), 0).into())?;
        Ok(socket)
    }
}

/// Gives this thread a network whose only device is loopback, with 192.0.2.0/24 beside 127.0.0.0/8.
fn enter() -> io::Result<()> {
    // SAFETY: the call takes a number, and changes what this thread sees of the network.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    set_address(&socket, c"lo:1", libc::SIOCSIFADDR, Ipv4Addr::new(192, 0, 2, 1))?;
    set_address(&socket, c"lo:1", libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0))?;
    let mut request = request(c"lo");
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is one of flags, and the call reads it only.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })
}

fn set_address(
    socket: &Socket,
    device: &std::ffi::CStr,
    what: libc::c_ulong,
    ip: Ipv4Addr,
) -> io::Result<()> {
    let mut request = request(device);
    // SAFETY: an address of IPv4 has the size of any, and the request is one of addresses, which the call reads only.
    check(unsafe {
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
            sin_zero: [0; 8],
        };
        request.ifr_ifru.ifru_addr = mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address);
        libc::ioctl(socket.as_raw_fd(), what, &raw const request)
    })
}

fn request(device: &std::ffi::CStr) -> libc::ifreq {
    // SAFETY: a request of zeros is one of nothing.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(device.to_bytes()) {
        *to = *from as libc::c_char;
    }
    request
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! A proxy as it stands before a broker: it passes on whatever comes, behind a header that says where that came from.

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// It passes on until the test ends.
pub struct Proxy {
    pub port: u16,
}

impl Proxy {
    /// Every connection goes to this port of this machine, and begins with these bytes there.
    pub fn before(broker: u16, header: &[u8]) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let header = header.to_owned();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut behind = TcpStream::connect(("127.0.0.1", broker)).unwrap();
                behind.write_all(&header).unwrap();
                pass_on(client.unwrap(), behind);
            }
        });
        Proxy { port }
    }
}

/// Both ways, until either side ends.
fn pass_on(client: TcpStream, broker: TcpStream) {
    let ways = [(client.try_clone().unwrap(), broker.try_clone().unwrap()), (broker, client)];
    for (mut from, mut to) in ways {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            // The other way may be over already.
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// The header in words, version 1.
pub fn text_header(source: SocketAddr) -> Vec<u8> {
    let (family, destination) =
        if source.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::1") };
    let (ip, port) = (source.ip(), source.port());
    format!("PROXY {family} {ip} {destination} {port} 1883\r\n").into_bytes()
}

/// The binary header, version 2, with a field that means nothing to anybody.
pub fn binary_header(source: SocketAddr) -> Vec<u8> {
    let (family, ip, destination) = match source.ip() {
        IpAddr::V4(ip) => (0x11, ip.octets().to_vec(), vec![192, 0, 2, 1]),
        IpAddr::V6(ip) => (0x21, ip.octets().to_vec(), vec![0xFD; 16]),
    };
    let ports = [source.port().to_be_bytes(), 1883_u16.to_be_bytes()].concat();
    let body = [ip, destination, ports, vec![0xE0, 0, 3, 1, 2, 3]].concat();
    binary(0x21, family, &body)
}

/// With which a proxy asks for itself whether anybody is there.
pub fn local_header() -> Vec<u8> {
    binary(0x20, 0, &[])
}

fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, body].concat()
}

//! One raw connection: a blocking handshake, then frames in and bytes out without blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use client::wire::{
    self, Connack, Connect, ConnectProperties, Frame, Packet, RetainHandling, Subscribe, SubscriptionOptions,
    UserProperties,
};
use client::{PacketId, QoS, ReasonCode, Version, Violation};
use socket2::{Domain, Socket, Type};

use crate::epoll::Epoll;

pub struct Connection {
    stream: TcpStream,
    /// Bytes of a frame that has not arrived in full.
    partial: Vec<u8>,
    /// What is to be written, from `written` on.
    pub output: Vec<u8>,
    written: usize,
    /// A larger packet is none that this run has to get.
    frame_bytes_max: u32,
    /// What arrivals have added to `output` since it was last empty.
    answer_bytes: usize,
    /// The last look left bytes in the socket.
    has_more: bool,
    /// QoS 1 and 2 messages that the broker wants to have unacknowledged at most, once it has said so.
    pub receive_maximum: u16,
}

/// What the handshake asks for.
pub struct Hello<'a> {
    pub version: Version,
    pub client_id: &'a str,
    pub keep_alive_s: u16,
    /// False: the broker is to go on with the session of before, and to keep it when the connection ends.
    pub clean_start: bool,
    pub subscription: Option<(&'a str, QoS)>,
    /// User name and password.
    pub login: Option<(&'a str, Option<&'a str>)>,
}

impl<'a> Hello<'a> {
    /// A session that begins and ends with its connection.
    pub fn new(version: Version, client_id: &'a str) -> Hello<'a> {
        Hello {
            version,
            client_id,
            keep_alive_s: KEEP_ALIVE_S,
            clean_start: true,
            subscription: None,
            login: None,
        }
    }
}

impl Connection {
    /// Connects, waits for the CONNACK and, if there is a subscription, for its SUBACK. `index` chooses the source
    /// address: one address has too few ports for very many connections.
    pub fn open(server: SocketAddr, index: usize, hello: &Hello<'_>) -> Result<Connection, String> {
        let stream = connect(server, index).map_err(|error| unreachable(server, &error))?;
        let mut connection = Connection::of(stream, Vec::new());
        let greeted = connection.greet(hello);
        greeted.map_err(|error| format!("`{}` was not accepted by {server}: {error}", hello.client_id))?;
        Ok(connection)
    }

    /// Begins to connect, with the CONNECT ready to go out. The first edge tells when there is somebody to write to.
    pub fn begin(server: SocketAddr, index: usize, hello: &Hello<'_>) -> Result<Connection, String> {
        let begin = || {
            let socket = make_socket(server, index)?;
            socket.set_nonblocking(true)?;
            match socket.connect(&server.into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                _ => Ok(TcpStream::from(socket)),
            }
        };
        let stream = begin().map_err(|error| unreachable(server, &error))?;
        let mut output = Vec::new();
        connect_packet(hello).encode(hello.version, &mut output);
        Ok(Connection::of(stream, output))
    }

    fn of(stream: TcpStream, output: Vec<u8>) -> Connection {
        Connection {
            stream,
            partial: Vec::new(),
            output,
            written: 0,
            frame_bytes_max: FRAME_BYTES_BESIDES,
            answer_bytes: 0,
            has_more: false,
            receive_maximum: u16::MAX,
        }
    }

    /// Messages with payloads of that size are for it.
    pub fn expect_payloads(&mut self, bytes: u32) {
        self.frame_bytes_max = bytes.saturating_add(FRAME_BYTES_BESIDES);
    }

    fn greet(&mut self, hello: &Hello<'_>) -> Result<(), String> {
        let mut bytes = Vec::new();
        connect_packet(hello).encode(hello.version, &mut bytes);
        self.receive_maximum = self.ask(&bytes, hello.version, |packet| match packet {
            Packet::Connack(Connack { reason, properties, .. }) if !reason.is_error() => {
                Ok(properties.receive_maximum.unwrap_or(u16::MAX))
            }
            Packet::Connack(Connack { reason, .. }) => Err(refusal(*reason)),
            other => Err(format!("the answer to the CONNECT is a {:?}", other.kind())),
        })?;
        if let Some((filter, qos)) = hello.subscription {
            bytes.clear();
            subscribe_packet(filter, qos).encode(hello.version, &mut bytes);
            self.ask(&bytes, hello.version, |packet| match packet {
                Packet::Suback(suback) => check_suback(suback, qos),
                other => Err(format!("the answer to the SUBSCRIBE is a {:?}", other.kind())),
            })?;
        }
        self.stream.set_nonblocking(true).map_err(|error| error.to_string())
    }

    /// Sends a packet and waits for its answer: nothing else can come at this stage.
    fn ask<T>(
        &mut self,
        bytes: &[u8],
        version: Version,
        take: impl FnOnce(&Packet<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        self.stream.write_all(bytes).map_err(|error| unanswered(&error))?;
        let mut answer = Vec::new();
        let asked = Instant::now();
        loop {
            // Whoever answers in drops has the same time as whoever does not answer.
            if asked.elapsed() >= PATIENCE {
                return Err(unanswered(&ErrorKind::TimedOut.into()));
            }
            let mut byte = [0];
            self.stream.read_exact(&mut byte).map_err(|error| unanswered(&error))?;
            answer.push(byte[0]);
            let no_mqtt = |violation| format!("what listens there does not speak MQTT: {violation}");
            if let Some(frame) = wire::split(&answer, ANSWER_BYTES_MAX).map_err(no_mqtt)? {
                return take(&wire::decode(&frame, version).map_err(no_mqtt)?);
            }
        }
    }

    /// Ends the connection in order, and waits until the broker has ended it as well: by then the session is what it
    /// is without a connection.
    pub fn end(mut self, version: Version) -> Result<(), String> {
        Packet::Disconnect(wire::Disconnect::default()).encode(version, &mut self.output);
        let mut ended = || -> io::Result<()> {
            self.stream.set_nonblocking(false)?;
            self.stream.set_read_timeout(Some(PATIENCE))?;
            self.stream.write_all(&self.output[self.written..])?;
            self.stream.shutdown(Shutdown::Write)?;
            let mut last_words = [0; 4096];
            let asked = Instant::now();
            while self.stream.read(&mut last_words)? > 0 {
                if asked.elapsed() >= PATIENCE {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            Ok(())
        };
        match ended() {
            // What was still on its way to this side is of no interest to the broker's reset.
            Err(error) if !matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                Err(match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        format!("the broker did not end a connection within {} s", PATIENCE.as_secs())
                    }
                    _ => format!("a connection did not end: {error}"),
                })
            }
            _ => Ok(()),
        }
    }

    /// Reads what has arrived and hands over each frame, with the buffer that answers go to. False: the server has closed
    /// the connection. It stops after some time where there is no end of it: `look_again` then lets others have their turn.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        mut on_frame: impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<bool, String> {
        for _ in 0..READS_MAX {
            let len = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(broken(&error)),
            };
            let output_before = self.output.len();
            if self.partial.is_empty() {
                let taken =
                    each_frame(&buffer[..len], self.frame_bytes_max, &mut self.output, &mut on_frame)?;
                self.partial.extend_from_slice(&buffer[taken..len]);
            } else {
                self.partial.extend_from_slice(&buffer[..len]);
                let taken = each_frame(&self.partial, self.frame_bytes_max, &mut self.output, &mut on_frame)?;
                self.partial.drain(..taken);
            }
            self.answer_bytes += self.output.len() - output_before;
            if self.answer_bytes > ANSWER_BYTES_WAITING_MAX {
                return Err(
                    "the broker sends more and more, and does not read what it is answered".to_owned()
                );
            }
            // A read that did not fill the buffer has emptied the socket: the next arrival is a new edge.
            if len < buffer.len() {
                return Ok(true);
            }
        }
        self.has_more = true;
        Ok(true)
    }

    /// After each look: what it has left is another edge, for the same token.
    pub fn look_again(&mut self, epoll: &Epoll, token: u64) -> Result<(), String> {
        if std::mem::take(&mut self.has_more) {
            epoll.renew(self, token).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Bytes that the socket has not taken yet.
    pub fn backlog(&self) -> usize {
        self.output.len() - self.written
    }

    /// Writes as much as the socket takes; the rest waits for the next edge.
    pub fn flush(&mut self) -> Result<(), String> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        self.output.clear();
        self.written = 0;
        self.answer_bytes = 0;
        Ok(())
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

/// Why a CONNECT was refused, and what to look at.
pub fn refusal(reason: ReasonCode) -> String {
    let remedy = match reason {
        ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword => ": see --username and --password",
        _ => "",
    };
    format!("{}{remedy}", reason.name())
}

/// Why there is no connection, and what to look at.
fn unreachable(server: SocketAddr, error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::ConnectionRefused => ": is a broker there? --host and --port say where",
        ErrorKind::AddrNotAvailable => ": take fewer connections, or widen net.ipv4.ip_local_port_range",
        _ => "",
    };
    format!("cannot connect to {server}: {error}{remedy}")
}

/// Why a question has no answer.
fn unanswered(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("there was no answer within {} s", PATIENCE.as_secs())
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "it closed the connection instead of an answer".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What has become of a connection that had begun.
fn broken(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => format!("cannot connect to the broker: {error}"),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            format!("the broker closed the connection of a client that was sending: {error}")
        }
        _ => format!("a connection failed: {error}"),
    }
}

/// What to say of bytes that break the rules of MQTT.
pub fn unusable(violation: Violation) -> String {
    format!("the broker sent what a client cannot take: {violation}")
}

fn each_frame(
    bytes: &[u8],
    frame_bytes_max: u32,
    output: &mut Vec<u8>,
    on_frame: &mut impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Result<(), String>,
) -> Result<usize, String> {
    let mut taken = 0;
    while let Some(frame) = wire::split(&bytes[taken..], frame_bytes_max).map_err(unusable)? {
        taken += frame.size;
        on_frame(&frame, output)?;
    }
    Ok(taken)
}

fn connect(server: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let socket = make_socket(server, index)?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
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

pub fn connect_packet<'a>(hello: &Hello<'a>) -> Connect<'a> {
    // 3.x keeps a session by the one flag, 5.0 only if it is told for how long.
    let is_kept = !hello.clean_start && hello.version == Version::V5;
    let session_expiry_interval_s = is_kept.then_some(SESSION_EXPIRY_S);
    Connect {
        version: hello.version,
        clean_start: hello.clean_start,
        keep_alive_s: hello.keep_alive_s,
        client_id: hello.client_id,
        will: None,
        username: hello.login.map(|(name, _)| name),
        password: hello.login.and_then(|(_, password)| password).map(str::as_bytes),
        properties: ConnectProperties { session_expiry_interval_s, ..ConnectProperties::default() },
    }
}

/// That the broker granted what was asked for.
pub fn check_suback(suback: &wire::Suback<'_>, qos: QoS) -> Result<(), String> {
    match suback.codes.as_slice() {
        [reason] if *reason as u8 == qos as u8 => Ok(()),
        codes => {
            let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
            Err(format!("QoS {} was asked for, and the SUBACK says: {}", qos as u8, names.join(", ")))
        }
    }
}

pub fn subscribe_packet(filter: &str, qos: QoS) -> Packet<'_> {
    let retain_handling = RetainHandling::Send;
    let options = SubscriptionOptions { qos, no_local: false, retain_as_published: false, retain_handling };
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: vec![(filter, options)],
    })
}

/// So long that no run needs a ping. Zero would mean none, which is not allowed everywhere.
const KEEP_ALIVE_S: u16 = u16::MAX;
const PATIENCE: Duration = Duration::from_secs(10);
const PORTS_PER_ADDRESS: usize = 20_000;
const ANSWER_BYTES_MAX: u32 = 64 * 1024;
/// The longest topic, and room for properties.
const FRAME_BYTES_BESIDES: u32 = 128 * 1024;
/// As often as a socket is read before others have their turn.
const READS_MAX: u32 = 16;
/// Millions of acknowledgements.
const ANSWER_BYTES_WAITING_MAX: usize = 16 * 1024 * 1024;
// Longer than any run, and an end for what a run that failed has left behind.
const SESSION_EXPIRY_S: u32 = 3600;

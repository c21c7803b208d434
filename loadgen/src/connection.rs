//! One raw connection: a blocking handshake, then frames in and bytes out without blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use client::wire::{
    self, Connack, Connect, ConnectProperties, Frame, Packet, RetainHandling, Subscribe, SubscriptionOptions,
    UserProperties,
};
use client::{PacketId, QoS, ReasonCode, Version, Violation};
use socket2::Socket;

use crate::destination::{Destination, Place};
use crate::epoll::Epoll;
use crate::layered::Layered;
use crate::socket::{begin_to_connect, connect};

pub struct Connection {
    stream: Socket,
    /// What lies between the socket and MQTT, where anything does.
    layered: Option<Box<Layered>>,
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
    pub fn open(destination: &Destination, index: usize, hello: &Hello<'_>) -> Result<Connection, String> {
        let place = &destination.place;
        let stream = connect(place, index, PATIENCE).map_err(|error| unreachable(place, &error))?;
        let mut connection = Connection::of(stream, Vec::new(), Layered::of(destination, hello.client_id)?);
        let greeted = connection.open_layers().and_then(|()| connection.greet(hello));
        greeted.map_err(|error| format!("`{}` was not accepted by {place}: {error}", hello.client_id))?;
        Ok(connection)
    }

    /// Begins to connect, with the CONNECT ready to go out. The first edge tells when there is somebody to write to.
    pub fn begin(destination: &Destination, index: usize, hello: &Hello<'_>) -> Result<Connection, String> {
        let stream = begin_to_connect(&destination.place, index)
            .map_err(|error| unreachable(&destination.place, &error))?;
        let mut output = Vec::new();
        connect_packet(hello).encode(hello.version, &mut output);
        Ok(Connection::of(stream, output, Layered::of(destination, hello.client_id)?))
    }

    fn of(stream: Socket, output: Vec<u8>, layered: Option<Box<Layered>>) -> Connection {
        Connection {
            stream,
            layered,
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

    /// Whether TLS has gone on with a session of before; None without TLS.
    pub fn is_resumed(&self) -> Option<bool> {
        self.layered.as_ref()?.is_resumed()
    }

    fn open_layers(&mut self) -> Result<(), String> {
        let Some(layered) = &mut self.layered else { return Ok(()) };
        layered.open(&self.stream).map_err(|error| unanswered(&error))
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
        self.say(bytes).map_err(|error| unanswered(&error))?;
        let mut answer = Vec::new();
        let asked = Instant::now();
        loop {
            // Whoever answers in drops has the same time as whoever does not answer.
            if asked.elapsed() >= PATIENCE {
                return Err(unanswered(&ErrorKind::TimedOut.into()));
            }
            answer.push(self.hear().map_err(|error| unanswered(&error))?);
            let no_mqtt = |violation| format!("what listens there does not speak MQTT: {violation}");
            if let Some(frame) = wire::split(&answer, ANSWER_BYTES_MAX).map_err(no_mqtt)? {
                return take(&wire::decode(&frame, version).map_err(no_mqtt)?);
            }
        }
    }

    /// Waits until the socket has taken it.
    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(layered) = &mut self.layered else { return self.stream.write_all(bytes) };
        if !layered.is_open() {
            return Err(ErrorKind::NotConnected.into());
        }
        layered.seal(bytes)?;
        layered.write(&self.stream)
    }

    /// Waits for the next byte. What follows it stays where it is.
    fn hear(&mut self) -> io::Result<u8> {
        if let Some(layered) = &mut self.layered {
            return layered.read_byte(&self.stream);
        }
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// Ends the connection in order, and waits until the broker has ended it as well: by then the session is what it
    /// is without a connection.
    pub fn end(mut self, version: Version) -> Result<(), String> {
        Packet::Disconnect(wire::Disconnect::default()).encode(version, &mut self.output);
        let mut ended = || -> io::Result<()> {
            self.stream.set_nonblocking(false)?;
            self.stream.set_read_timeout(Some(PATIENCE))?;
            let rest = self.output.split_off(self.written);
            self.say(&rest)?;
            if let Some(layered) = &mut self.layered {
                layered.say_farewell();
                layered.write(&self.stream)?;
            }
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
        on_frame: impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<bool, String> {
        let was_open = self.is_layers_open();
        let is_open = self.read_frames(buffer, on_frame)?;
        // What the layers answer, and what has waited for them, has no other edge.
        if is_open && (self.unsent() > 0 || was_open != self.is_layers_open()) {
            self.flush()?;
        }
        Ok(is_open)
    }

    fn read_frames(
        &mut self,
        buffer: &mut [u8],
        mut on_frame: impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<bool, String> {
        for _ in 0..READS_MAX {
            let received = match &mut self.layered {
                None => self.stream.read(buffer),
                Some(layered) => layered.read(&self.stream, buffer),
            };
            let len = match received {
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
            if self.layered.as_ref().map_or(len < buffer.len(), |layered| layered.is_emptied()) {
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
        self.output.len() - self.written + self.unsent()
    }

    fn unsent(&self) -> usize {
        self.layered.as_ref().map_or(0, |layered| layered.unsent())
    }

    fn is_layers_open(&self) -> bool {
        self.layered.as_ref().is_none_or(|layered| layered.is_open())
    }

    /// Writes as much as the socket takes; the rest waits for the next edge.
    pub fn flush(&mut self) -> Result<(), String> {
        if self.layered.is_some() {
            return self.flush_layered();
        }
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

    /// What waits is sealed in one go once the socket has taken what was sealed before.
    fn flush_layered(&mut self) -> Result<(), String> {
        let layered = self.layered.as_mut().expect("the caller has looked");
        loop {
            match layered.write(&self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                outcome => outcome.map_err(|error| broken(&error))?,
            }
            if self.output.is_empty() || !layered.is_open() {
                return Ok(());
            }
            layered.seal(&self.output).map_err(|error| broken(&error))?;
            self.output.clear();
            self.answer_bytes = 0;
        }
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
fn unreachable(server: &Place, error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::ConnectionRefused => ": is a broker there? --host and --port, or --url, say where",
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
const ANSWER_BYTES_MAX: u32 = 64 * 1024;
/// The longest topic, and room for properties.
const FRAME_BYTES_BESIDES: u32 = 128 * 1024;
/// As often as a socket is read before others have their turn.
const READS_MAX: u32 = 16;
/// Millions of acknowledgements.
const ANSWER_BYTES_WAITING_MAX: usize = 16 * 1024 * 1024;
// Longer than any run, and an end for what a run that failed has left behind.
const SESSION_EXPIRY_S: u32 = 3600;

//! A client over a TCP socket: sends bytes as they are, reads packets, and waits for events instead of for time.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use crate::broker;
use crate::build::{self, Connect, Message, Version};
use crate::packet::{Ack, Codes, Connack, Packet, Publish};
use crate::properties;
use crate::reader;
use crate::unique::unique;

/// How long a test waits for what must come. It only ends tests that fail.
const DEADLINE: Duration = Duration::from_secs(10);

const LAST_SENT_BYTES_MAX: usize = 40;

#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    connect: Connect,
    connack: Option<Connack>,
    /// Bytes that have arrived and are not yet read as packets.
    arrived: Vec<u8>,
    /// Packets that came while the test waited for another one.
    aside: VecDeque<Packet>,
    next_packet_id: u16,
    /// The beginning of what was sent last, for the message of a test that waits in vain.
    last_sent: Vec<u8>,
    /// The topic of this client's markers, once it has subscribed to it.
    marker: Option<String>,
}

/// Lets time go by where time itself is under test, as for an expiry. There is no event to wait for.
pub fn let_time_pass(duration: Duration) {
    thread::sleep(duration);
}

impl Connect {
    /// Connects, and the server accepts it.
    pub fn open(&self) -> Client {
        let mut client = self.attempt();
        let connack = client.recv_connack();
        assert_eq!(connack.code, 0, "CONNACK for {:?}", String::from_utf8_lossy(&self.client_id));
        client
    }

    /// Connects and sends CONNECT; whether the server accepts it is for the test to see.
    pub fn attempt(&self) -> Client {
        let mut client = self.dial();
        client.send(self.bytes());
        client
    }

    /// Connects to the port and sends nothing. The version says how to read what comes back.
    pub fn dial(&self) -> Client {
        let stream = TcpStream::connect(broker::address()).expect("the broker listens");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Client {
            stream,
            connect: self.clone(),
            connack: None,
            arrived: Vec::new(),
            aside: VecDeque::new(),
            next_packet_id: 1,
            last_sent: Vec::new(),
            marker: None,
        }
    }
}

/// Sending, and the exchanges that a client begins.
impl Client {
    pub fn version(&self) -> Version {
        self.connect.version
    }

    /// Sends bytes as they are. A server may have closed already; what the test reads next will show it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.last_sent = bytes[..bytes.len().min(LAST_SENT_BYTES_MAX)].to_vec();
        match self.stream.write_all(bytes) {
            Err(error) if !is_closed(error.kind()) => panic!("cannot send: {error}"),
            _ => (),
        }
    }

    pub fn send_message(&mut self, message: &Message) {
        self.send(message.bytes(self.version()));
    }

    /// Publishes and completes the exchange of its QoS. Returns the Reason Code of PUBACK or PUBREC.
    pub fn publish(&mut self, message: Message) -> u8 {
        let id = self.packet_id();
        self.send_message(&message.clone().id(id));
        match message.qos {
            0 => 0,
            1 => self.await_puback(id).code,
            _ => {
                let code = self.await_pubrec(id).code;
                if code < 0x80 {
                    self.send(build::ack(build::PUBREL, id));
                    assert_eq!(self.await_pubcomp(id).code, 0, "PUBCOMP after PUBREL");
                }
                code
            }
        }
    }

    /// Subscribes to one filter, and the server grants it. The options are the QoS, in 5.0 with more bits.
    pub fn subscribe(&mut self, filter: &str, options: u8) {
        let codes = self.subscribe_list(&[(filter, options)], &[]);
        assert!(
            codes.len() == 1 && codes[0] == options & 3,
            "SUBACK {codes:x?} for `{filter}` with {options:#04x}"
        );
    }

    /// Subscribes to several filters in one packet and returns the codes of the SUBACK.
    pub fn subscribe_list(&mut self, list: &[(&str, u8)], properties: &[u8]) -> Vec<u8> {
        let id = self.packet_id();
        self.send(build::subscribe(self.version(), id, list, properties));
        self.await_suback(id).codes
    }

    pub fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let id = self.packet_id();
        self.send(build::unsubscribe(self.version(), id, filters));
        self.await_unsuback(id).codes
    }

    /// A round trip: the server has taken everything that was sent before.
    pub fn ping(&mut self) {
        self.send(build::frame(build::PINGREQ, []));
        self.await_packet("PINGRESP", |packet| (packet == Packet::Pingresp).then_some(()).ok_or(packet));
    }

    /// Completes the exchange of a message that has come.
    pub fn ack(&mut self, publish: &Publish) {
        match publish.qos {
            0 => (),
            1 => self.send(build::ack(build::PUBACK, publish.id())),
            _ => {
                self.send(build::ack(build::PUBREC, publish.id()));
                assert_eq!(self.await_pubrel(publish.id()).code, 0, "PUBREL after PUBREC");
                self.send(build::ack(build::PUBCOMP, publish.id()));
            }
        }
    }

    /// Ends the connection with a DISCONNECT, and waits until the server has seen it.
    pub fn disconnect(mut self) {
        self.send(build::frame(build::DISCONNECT, []));
        self.await_end();
    }

    /// Ends the connection without a DISCONNECT, as a failing network does, and waits until the server has seen it.
    pub fn cut(mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self.await_end();
    }

    fn await_end(&mut self) {
        while let Some(packet) = self.recv_or_end() {
            let last = matches!(packet, Packet::Disconnect { .. });
            assert!(!last, "the server answered the end of the connection with {packet:?}");
        }
    }

    fn packet_id(&mut self) -> u16 {
        let id = self.next_packet_id;
        self.next_packet_id = id % 900 + 1; // Ids above 900 are free for tests that choose them.
        id
    }
}

/// Receiving.
impl Client {
    pub fn connack(&self) -> &Connack {
        self.connack.as_ref().expect("the server has accepted the connection")
    }

    /// The next packet, or `None` once the server has closed the connection.
    pub fn recv_or_end(&mut self) -> Option<Packet> {
        self.aside.pop_front().or_else(|| self.next_from_socket())
    }

    pub fn recv(&mut self) -> Packet {
        self.recv_or_end().expect("the server closed the connection")
    }

    pub fn recv_connack(&mut self) -> Connack {
        match self.recv() {
            Packet::Connack(connack) => {
                self.connack = Some(connack.clone());
                connack
            }
            other => panic!("{other:?} instead of CONNACK"),
        }
    }

    /// The next packet, which is a PUBLISH. It is not acknowledged.
    pub fn recv_publish(&mut self) -> Publish {
        match self.recv() {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} instead of PUBLISH"),
        }
    }

    pub fn recv_publishes(&mut self, count: usize) -> Vec<Publish> {
        (0..count).map(|_| self.recv_publish()).collect()
    }

    /// The next packet, which is a PUBLISH with this payload.
    pub fn expect(&mut self, payload: &str) -> Publish {
        let publish = self.recv_publish();
        assert_eq!(publish.text(), payload, "the payload of {publish:?}");
        publish
    }

    pub fn await_puback(&mut self, id: u16) -> Ack {
        self.await_packet("PUBACK", |packet| match packet {
            Packet::Puback(ack) if ack.packet_id == id => Ok(ack),
            other => Err(other),
        })
    }

    pub fn await_pubrec(&mut self, id: u16) -> Ack {
        self.await_packet("PUBREC", |packet| match packet {
            Packet::Pubrec(ack) if ack.packet_id == id => Ok(ack),
            other => Err(other),
        })
    }

    pub fn await_pubrel(&mut self, id: u16) -> Ack {
        self.await_packet("PUBREL", |packet| match packet {
            Packet::Pubrel(ack) if ack.packet_id == id => Ok(ack),
            other => Err(other),
        })
    }

    pub fn await_pubcomp(&mut self, id: u16) -> Ack {
        self.await_packet("PUBCOMP", |packet| match packet {
            Packet::Pubcomp(ack) if ack.packet_id == id => Ok(ack),
            other => Err(other),
        })
    }

    pub fn await_suback(&mut self, id: u16) -> Codes {
        self.await_packet("SUBACK", |packet| match packet {
            Packet::Suback(codes) if codes.packet_id == id => Ok(codes),
            other => Err(other),
        })
    }

    pub fn await_unsuback(&mut self, id: u16) -> Codes {
        self.await_packet("UNSUBACK", |packet| match packet {
            Packet::Unsuback(codes) if codes.packet_id == id => Ok(codes),
            other => Err(other),
        })
    }

    /// Nothing has come for this client: the answer to a PINGREQ is the next packet.
    pub fn expect_nothing(&mut self) {
        self.send(build::frame(build::PINGREQ, []));
        assert_eq!(self.recv(), Packet::Pingresp, "nothing was to come");
    }

    /// All messages that came before a marker which `publisher` sends now. What it had published earlier arrives
    /// earlier, so the list is complete.
    pub fn messages_from(&mut self, publisher: &mut Client) -> Vec<Publish> {
        let topic = self.subscribe_to_marker();
        publisher.publish(Message::new(&topic, "marker").qos(1));
        self.messages_before(&topic)
    }

    /// The same for what this client has published itself.
    pub fn own_messages(&mut self) -> Vec<Publish> {
        let topic = self.subscribe_to_marker();
        self.publish(Message::new(&topic, "marker").qos(1));
        self.messages_before(&topic)
    }

    fn subscribe_to_marker(&mut self) -> String {
        if let Some(topic) = &self.marker {
            return topic.clone();
        }
        let topic = unique("marker");
        self.subscribe(&topic, 0);
        self.marker.insert(topic).clone()
    }

    fn messages_before(&mut self, marker: &str) -> Vec<Publish> {
        let mut messages = Vec::new();
        loop {
            let publish = self.recv_publish();
            if publish.topic == marker {
                return messages;
            }
            messages.push(publish);
        }
    }

    fn await_packet<T>(&mut self, name: &str, take: impl Fn(Packet) -> Result<T, Packet>) -> T {
        let mut waiting = std::mem::take(&mut self.aside);
        while let Some(packet) = waiting.pop_front() {
            match take(packet) {
                Ok(found) => {
                    self.aside.extend(waiting);
                    return found;
                }
                Err(packet) => self.aside.push_back(packet),
            }
        }
        loop {
            let packet = self.next_from_socket().unwrap_or_else(|| panic!("closed before {name} came"));
            match take(packet) {
                Ok(found) => return found,
                Err(packet) => self.aside.push_back(packet),
            }
        }
    }
}

/// The end of a connection, as the server's decision.
impl Client {
    /// The server ends the connection. In 5.0 it says why with a DISCONNECT that has one of `codes`: our own broker
    /// always, another one if it chooses to. Returns what came before.
    pub fn expect_disconnect(mut self, codes: &[u8]) -> Vec<Packet> {
        let mut before = Vec::new();
        let mut reason = None;
        while let Some(packet) = self.recv_or_end() {
            // [MQTT-3.14.4-1]
            assert_eq!(reason, None, "{packet:?} after DISCONNECT");
            match packet {
                Packet::Disconnect { code, .. } => reason = Some(code),
                other => before.push(other),
            }
        }
        match reason {
            Some(code) => assert!(codes.contains(&code), "DISCONNECT with {code:#04x} instead of {codes:x?}"),
            None => {
                let must_tell = broker::is_ours() && self.version() == Version::V5 && !codes.is_empty();
                assert!(!must_tell, "closed without a DISCONNECT, {codes:x?} was to come after {before:?}");
            }
        }
        before
    }

    /// The server refuses the CONNECT and closes. In 5.0 it says why with a CONNACK that has one of `codes`: our own
    /// broker always, another one if it chooses to.
    pub fn expect_refusal(mut self, codes: &[u8]) {
        match self.recv_or_end() {
            Some(Packet::Connack(connack)) => {
                assert!(
                    codes.contains(&connack.code),
                    "CONNACK with {:#04x} instead of {codes:x?}",
                    connack.code
                );
                // [MQTT-3.2.2-6]
                assert!(!connack.session_present, "Session Present in a refusal");
                assert_eq!(self.recv_or_end(), None, "after a CONNACK that refuses");
            }
            Some(other) => panic!("{other:?} instead of a CONNACK with {codes:x?}"),
            None => {
                assert!(!broker::is_ours() || codes.is_empty(), "closed without a CONNACK with {codes:x?}")
            }
        }
    }

    /// The server refuses the one filter of a SUBSCRIBE or UNSUBSCRIBE: with a code in the answer, or by closing.
    pub fn expect_filter_refused(mut self) {
        match self.recv_or_end() {
            Some(Packet::Suback(codes) | Packet::Unsuback(codes)) => {
                assert!(
                    codes.codes.len() == 1 && codes.codes[0] >= 0x80,
                    "{:x?} for a bad filter",
                    codes.codes
                );
            }
            Some(Packet::Disconnect { code, .. }) => {
                assert!([0x81, 0x82, 0x8F].contains(&code), "DISCONNECT with {code:#04x} for a bad filter");
                self.expect_close();
            }
            Some(other) => panic!("{other:?} for a bad filter"),
            None => {
                assert!(!broker::is_ours() || self.version() != Version::V5, "closed without a DISCONNECT")
            }
        }
    }

    /// The server accepts the CONNECT.
    pub fn expect_acceptance(mut self) {
        assert_eq!(self.recv_connack().code, 0x00);
    }

    /// The server rejects the client id, as it must in 3.1.1: with return code 2.
    pub fn expect_rejected_id(mut self) {
        let connack = self.recv_connack();
        assert!(connack.code == 0x02 && !connack.session_present, "{connack:?}");
        self.expect_close();
    }

    /// The server closes without a word.
    pub fn expect_close(mut self) {
        assert_eq!(self.recv_or_end(), None, "the server was to close the connection");
    }
}

/// From bytes to packets.
impl Client {
    fn next_from_socket(&mut self) -> Option<Packet> {
        let (first, body) = self.next_frame()?;
        let packet = Packet::read(self.version(), first, &body);
        if let Packet::Publish(publish) = &packet {
            // [MQTT-3.1.2-26] [MQTT-3.1.2-27]
            let alias = publish.properties.number(properties::TOPIC_ALIAS).unwrap_or(0);
            assert!(
                alias <= self.connect.topic_alias_maximum.into(),
                "a Topic Alias above the maximum: {publish:?}"
            );
        }
        Some(packet)
    }

    pub fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    assert!(self.arrived.is_empty(), "closed within a packet: {:?}", self.arrived);
                    return None;
                }
                Ok(count) => self.arrived.extend(&chunk[..count]),
                Err(error) if is_closed(error.kind()) => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => panic!("{error}: nothing within {DEADLINE:?} after {:02x?}", self.last_sent),
            }
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (remaining, length) = reader::varint(self.arrived.get(1..)?)?;
        let total = 1 + length + remaining as usize;
        // [MQTT-3.1.2-24]
        let limit = self.connect.packet_size_max.map_or(usize::MAX, |bytes| bytes as usize);
        assert!(total <= limit, "a packet of {total} bytes, the client takes {limit}");
        if self.arrived.len() < total {
            return None;
        }
        let frame: Vec<u8> = self.arrived.drain(..total).collect();
        Some((frame[0], frame[1 + length..].to_vec()))
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

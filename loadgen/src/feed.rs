//! One publisher that brings a given number of messages to given topics, as fast as they are acknowledged.

use std::time::{Duration, Instant};

use client::wire::{Packet, PacketKind, Publish, PublishProperties};
use client::{PacketId, QoS, Version};

use crate::BrokerArgs;
use crate::acknowledgement::on_acknowledgement;
use crate::connection::Connection;
use crate::epoll::Epoll;

pub struct Feed {
    connection: Connection,
    epoll: Epoll,
    version: Version,
    qos: QoS,
    window: u64,
    unacknowledged: u64,
    /// QoS 0 has no acknowledgement: every so many messages a PINGREQ is sent, and its answer stands for them all.
    since_ping: u64,
    next_packet_id: u16,
    buffer: Vec<u8>,
    tokens: Vec<u64>,
}

impl Feed {
    /// `name` ends the client id; `index` is how many connections are open already.
    pub fn open(broker: &BrokerArgs, name: &str, index: usize, qos: QoS) -> Result<Feed, String> {
        let version = broker.protocol_version;
        let client_id = broker.client_id(name);
        let connection = Connection::open(broker.destination()?, index, &broker.hello(&client_id))?;
        let epoll = Epoll::new().map_err(|error| error.to_string())?;
        epoll.add(&connection, 0).map_err(|error| error.to_string())?;
        let window =
            if qos == QoS::AtMostOnce { WINDOW } else { WINDOW.min(connection.receive_maximum.into()) };
        Ok(Feed {
            connection,
            epoll,
            version,
            qos,
            window,
            unacknowledged: 0,
            since_ping: 0,
            next_packet_id: 1,
            buffer: vec![0; READ_BYTES],
            tokens: Vec::new(),
        })
    }

    /// Sends a message, as soon as there is room for one more without acknowledgement.
    pub fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Result<(), String> {
        self.wait_for(self.window - 1)?;
        let packet_id = PacketId::new(self.next_packet_id).filter(|_| self.qos != QoS::AtMostOnce);
        let properties = PublishProperties::default();
        let publish = Publish { dup: false, qos: self.qos, retain, topic, packet_id, properties, payload };
        publish.encode(self.version, &mut self.connection.output);
        self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
        self.unacknowledged += 1;
        self.since_ping += 1;
        if self.qos == QoS::AtMostOnce && self.since_ping == PING_INTERVAL {
            self.ping();
        }
        if self.connection.output.len() >= WRITE_BYTES { self.connection.flush() } else { Ok(()) }
    }

    /// Waits until all messages are acknowledged.
    pub fn finish(&mut self) -> Result<(), String> {
        if self.qos == QoS::AtMostOnce && self.since_ping > 0 {
            self.ping();
        }
        self.wait_for(0)
    }

    fn ping(&mut self) {
        self.since_ping = 0;
        Packet::Pingreq.encode(self.version, &mut self.connection.output);
    }

    fn wait_for(&mut self, unacknowledged_max: u64) -> Result<(), String> {
        let mut progress = Instant::now();
        while self.unacknowledged > unacknowledged_max {
            let before = (self.unacknowledged, self.connection.backlog());
            self.connection.flush()?;
            self.tokens.clear();
            self.epoll.wait(TICK, &mut self.tokens).map_err(|error| error.to_string())?;
            // One or, at the end, two looks at the one connection.
            for _ in 0..self.tokens.len() {
                self.receive()?;
            }
            let left = (self.unacknowledged, self.connection.backlog());
            if left < before {
                progress = Instant::now();
            } else if progress.elapsed() >= PATIENCE {
                let (messages, seconds) = (self.unacknowledged, PATIENCE.as_secs());
                return Err(format!("{messages} messages have no acknowledgement after {seconds} s"));
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), String> {
        let Feed { connection, epoll, unacknowledged, version, qos, buffer, .. } = self;
        let open = connection.read(buffer, |frame, output| {
            if frame.kind == PacketKind::Pingresp && *qos == QoS::AtMostOnce {
                *unacknowledged = unacknowledged.saturating_sub(PING_INTERVAL);
                return Ok(());
            }
            *unacknowledged -= on_acknowledgement(frame, *version, output)?.min(*unacknowledged);
            Ok(())
        })?;
        connection.look_again(epoll, 0)?;
        if open { Ok(()) } else { Err("the broker closed the connection of a publisher".to_owned()) }
    }
}

const WINDOW: u64 = 1000;
const PING_INTERVAL: u64 = WINDOW / 2;
const READ_BYTES: usize = 64 * 1024;
const WRITE_BYTES: usize = 32 * 1024;
const TICK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);

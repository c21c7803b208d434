//! A broker of real shards on the database, and clients of 3.1.1.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use shard::{Shard, ShardId};

use super::{
    super::{
        client::{config, connect as open},
        wire::{packet, push_string},
    },
    Database, Tables,
};
use crate::{Broker, Config, broker::start_on};

pub fn start(database: &Arc<Database>, shards: u8) -> Broker {
    start_with(database, config(shards))
}

pub fn start_with(database: &Arc<Database>, config: Config) -> Broker {
    let shards = config.shards;
    let core = shard::Config { shards, store_epoch_ms: Some(EPOCH_MS), ..shard::Config::default() };
    let engine = Arc::new(Tables::new(database, EPOCH_MS));
    let make_shard = {
        let core = core.clone();
        move |id: ShardId, now| Shard::new(id, &core, now, u64::from(id.0))
    };
    start_on(Some(engine), Config { core, ..config }, make_shard).unwrap()
}

pub fn stop(broker: Broker) {
    broker.stop();
    broker.join().unwrap();
}

pub struct Link(TcpStream);

impl Link {
    /// Says whether there was a session.
    pub fn connect(broker: &Broker, client_id: &str, clean: bool) -> (Link, bool) {
        let mut link = Link(open(broker));
        let mut body = b"\x00\x04MQTT\x04\x00\x00\x00".to_vec();
        body[7] = u8::from(clean) << 1;
        push_string(&mut body, client_id);
        link.send(0x10, &body);
        let connack = link.read(4);
        assert_eq!([connack[0], connack[1], connack[3]], [0x20, 2, 0]);
        (link, connack[2] == 1)
    }

    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        let mut body = vec![0, 1];
        push_string(&mut body, filter);
        body.push(qos);
        self.send(0x82, &body);
        assert_eq!(self.read(5), [0x90, 3, 0, 1, qos]);
    }

    /// At QoS 0 without a packet id.
    pub fn publish(&mut self, topic: &str, packet_id: Option<u16>, retain: bool, payload: &[u8]) {
        let mut body = Vec::new();
        push_string(&mut body, topic);
        body.extend(packet_id.into_iter().flat_map(u16::to_be_bytes));
        body.extend_from_slice(payload);
        let qos = u8::from(packet_id.is_some());
        self.send(0x30 | qos << 1 | u8::from(retain), &body);
    }

    pub fn puback(&mut self, packet_id: u16) {
        self.send(0x40, &packet_id.to_be_bytes());
    }

    pub fn await_puback(&mut self, packet_id: u16) {
        let [high, low] = packet_id.to_be_bytes();
        assert_eq!(self.read(4), [0x40, 2, high, low]);
    }

    /// The flags of a PUBLISH, and everything behind its length.
    pub fn message(&mut self) -> (u8, Vec<u8>) {
        let first = self.read(1)[0];
        assert_eq!(first & 0xF0, 0x30, "a PUBLISH");
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = self.read(1)[0];
            len |= usize::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                return (first & 0x0F, self.read(len));
            }
        }
    }

    pub fn has_nothing(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let read = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// What comes until the connection ends.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A connection that is reset has ended as well.
        let _ = self.0.read_to_end(&mut rest);
        rest
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        self.0.write_all(&packet(first, body)).unwrap();
    }

    fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

const EPOCH_MS: u64 = 1_700_000_000_000;

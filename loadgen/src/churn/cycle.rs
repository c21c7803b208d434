//! One client of `churn`, from its CONNECT to its DISCONNECT: a step for each answer of the broker.

use std::time::Instant;

use client::wire::{Connack, Disconnect, Frame, Packet, PacketKind, Publish, PublishProperties, Suback};
use client::{PacketId, QoS};

use crate::BrokerArgs;
use crate::acknowledgement::{acknowledge, complete, on_acknowledgement};
use crate::connection::{Connection, check_suback, subscribe_packet, unusable};
use crate::destination::Destination;
use crate::payload::Stamp;

/// What all clients do.
pub struct Plan {
    pub broker: BrokerArgs,
    pub qos: QoS,
    pub payload_bytes: u32,
}

pub struct Cycle {
    pub connection: Connection,
    pub due: Instant,
    pub duplicated: u64,
    progress: Progress,
}

/// How far it has come.
struct Progress {
    stamp: Stamp,
    is_connected: bool,
    is_subscribed: bool,
    has_arrived: bool,
    is_acknowledged: bool,
}

impl Cycle {
    /// `number` is the slot, and how many clients it has had.
    pub fn begin(
        plan: &Plan,
        destination: &Destination,
        address: usize,
        (slot, number): (u32, u64),
        due: Instant,
    ) -> Result<Cycle, String> {
        let client_id = plan.broker.client_id(&format!("churn-{slot}-{number}"));
        let mut connection = Connection::begin(destination, address, &plan.broker.hello(&client_id))?;
        connection.expect_payloads(plan.payload_bytes);
        let progress = Progress {
            stamp: Stamp { stream: slot, sequence: number, due_ns: 0 },
            is_connected: false,
            is_subscribed: false,
            has_arrived: false,
            is_acknowledged: plan.qos == QoS::AtMostOnce,
        };
        Ok(Cycle { connection, due, duplicated: 0, progress })
    }

    /// Takes the next steps; true when it has said its last word.
    pub fn receive(&mut self, plan: &Plan, buffer: &mut [u8]) -> Result<bool, String> {
        let Cycle { connection, progress, duplicated, .. } = self;
        connection.flush()?;
        let open = connection.read(buffer, |frame, output| {
            *duplicated += progress.on_frame(plan, frame, output)?;
            Ok(())
        })?;
        if !open {
            return Err(format!("the broker closed the connection of client {}", progress.stamp.stream));
        }
        let is_done = progress.has_arrived && progress.is_acknowledged;
        if is_done {
            Packet::Disconnect(Disconnect::default())
                .encode(plan.broker.protocol_version, &mut connection.output);
        }
        connection.flush()?;
        Ok(is_done)
    }
}

impl Progress {
    /// Gives 1 for a message that has come before.
    fn on_frame(&mut self, plan: &Plan, frame: &Frame<'_>, output: &mut Vec<u8>) -> Result<u64, String> {
        let (version, qos) = (plan.broker.protocol_version, plan.qos);
        match frame.kind {
            PacketKind::Connack if !self.is_connected => {
                let connack = Connack::decode(frame, version).map_err(unusable)?;
                if connack.reason.is_error() {
                    return Err(format!("the broker refused a client: {}", connack.reason.name()));
                }
                self.is_connected = true;
                subscribe_packet(&self.topic(plan), qos).encode(version, output);
            }
            PacketKind::Suback if !self.is_subscribed => {
                let suback = Suback::decode(frame, version).map_err(unusable)?;
                check_suback(&suback, qos)?;
                self.is_subscribed = true;
                self.publish(plan, output);
            }
            PacketKind::Publish => {
                let publish = Publish::decode(frame, version).map_err(unusable)?;
                acknowledge(&publish, version, output);
                if Stamp::read(publish.payload) != Some(self.stamp) {
                    return Err(format!("a message came to `{}` that is not its own", self.topic(plan)));
                }
                return Ok(u64::from(std::mem::replace(&mut self.has_arrived, true)));
            }
            PacketKind::Pubrel => complete(frame, version, output)?,
            _ => self.is_acknowledged |= on_acknowledgement(frame, version, output)? > 0,
        }
        Ok(0)
    }

    fn publish(&self, plan: &Plan, output: &mut Vec<u8>) {
        let mut payload = vec![b'x'; plan.payload_bytes as usize];
        self.stamp.write(&mut payload);
        let publish = Publish {
            dup: false,
            qos: plan.qos,
            retain: false,
            topic: &self.topic(plan),
            packet_id: (plan.qos != QoS::AtMostOnce).then_some(PacketId::MAX),
            properties: PublishProperties::default(),
            payload: &payload,
        };
        publish.encode(plan.broker.protocol_version, output);
    }

    fn topic(&self, plan: &Plan) -> String {
        plan.broker.topic(&format!("churn/{}", self.stamp.stream))
    }
}

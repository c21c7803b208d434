//! What a client makes of the server's packets, one at a time.

use mqtt::{
    Ack, Auth, Connack, Disconnect, Frame, Packet, PacketKind, Publish, ReasonCode, Version, Violation,
};

use super::{Client, Online, State};
use crate::event::{Disconnection, Event};
use crate::granted::Granted;
use crate::instant::Instant;
use crate::request::Answer;

impl Client {
    /// Handles every complete packet in `input` and says how many bytes they were.
    pub(super) fn handle_frames(&mut self, now: Instant, input: &[u8]) -> Result<usize, Violation> {
        let size_max = self.options.maximum_packet_size.unwrap_or(mqtt::MAX_PACKET_SIZE);
        let mut taken = 0;
        while let Some(frame) = mqtt::split(&input[taken..], size_max)? {
            taken += frame.size;
            match &self.state {
                State::Greeting { clean_start, .. } => self.on_greeting(now, &frame, *clean_start)?,
                State::Online(_) => self.on_frame(now, &frame)?,
                // A packet before this one ended the connection: what follows it is void.
                State::Offline | State::Waiting { .. } | State::Opening => return Ok(input.len()),
            }
        }
        Ok(taken)
    }

    fn on_greeting(&mut self, now: Instant, frame: &Frame<'_>, clean_start: bool) -> Result<(), Violation> {
        match mqtt::decode(frame, self.options.version)? {
            Packet::Connack(connack) => self.on_connack(now, &connack, clean_start),
            Packet::Auth(auth) => self.on_auth(&auth),
            _ => Err(Violation {
                reason: ReasonCode::ProtocolError,
                what: "the first packet from the server is not a CONNACK",
            }),
        }
    }

    fn on_frame(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), Violation> {
        let version = self.options.version;
        let Client { outbound, inbound, requests, packet_ids, outlet, .. } = self;
        match frame.kind {
            PacketKind::Publish => return inbound.on_publish(&Publish::decode(frame, version)?, outlet),
            PacketKind::Puback => outbound.on_puback(&Ack::decode(frame, version)?, packet_ids, outlet),
            PacketKind::Pubrec => outbound.on_pubrec(&Ack::decode(frame, version)?, packet_ids, outlet),
            PacketKind::Pubrel => inbound.on_pubrel(&Ack::decode(frame, version)?, outlet),
            PacketKind::Pubcomp => outbound.on_pubcomp(&Ack::decode(frame, version)?, packet_ids, outlet),
            _ => match mqtt::decode(frame, version)? {
                Packet::Suback(mqtt::Suback { packet_id, codes: reasons, reason_string, .. }) => {
                    return requests.on_suback(
                        Answer { packet_id, reasons, reason_string },
                        packet_ids,
                        outlet,
                    );
                }
                Packet::Unsuback(mqtt::Unsuback { packet_id, codes: reasons, reason_string, .. }) => {
                    return requests.on_unsuback(
                        Answer { packet_id, reasons, reason_string },
                        packet_ids,
                        outlet,
                    );
                }
                Packet::Pingresp => self.on_pingresp(),
                Packet::Disconnect(disconnect) => return self.on_disconnect(now, &disconnect),
                Packet::Auth(auth) => return self.on_auth(&auth),
                _ => {
                    return Err(Violation {
                        reason: ReasonCode::ProtocolError,
                        what: "the server sent a packet that only a client sends, or a second CONNACK",
                    });
                }
            },
        }
        Ok(())
    }

    fn on_connack(
        &mut self,
        now: Instant,
        connack: &Connack<'_>,
        clean_start: bool,
    ) -> Result<(), Violation> {
        let properties = &connack.properties;
        if connack.reason.is_error() {
            let reason = Disconnection::Refused {
                reason: connack.reason,
                reason_string: properties.reason_string.map(str::to_owned),
                server_reference: properties.server_reference.map(str::to_owned),
            };
            self.end(now, reason, true);
            return Ok(());
        }
        // [MQTT-3.2.2-4] A session that this side has just given up cannot be there. One that this process does not
        // know is welcome all the same: the process before it may have left it.
        if connack.session_present && clean_start {
            return Err(Violation {
                reason: ReasonCode::ProtocolError,
                what: "the server reports a session although a clean start was asked for",
            });
        }
        if let Some(client_id) = properties.assigned_client_id {
            self.assigned_client_id = Some(client_id.to_owned());
        }
        let client_id = self.assigned_client_id.as_deref().unwrap_or(&self.options.client_id);
        let granted = Granted::of(connack, &self.options, client_id);
        self.requests.restart(&mut self.packet_ids);
        let (session_present, report) = (connack.session_present, Box::new(granted.clone()));
        self.outlet.report(Event::Connected { session_present, granted: report });
        if session_present {
            self.outbound.resume();
            self.inbound.resume();
        } else {
            self.outbound.restart(&mut self.packet_ids, &mut self.outlet);
            self.inbound.restart();
        }
        self.was_connected = true;
        self.state = State::Online(Box::new(Online {
            granted,
            since: now,
            sent_at: now,
            received_at: now,
            ping_deadline: None,
        }));
        Ok(())
    }

    fn on_pingresp(&mut self) {
        if let State::Online(online) = &mut self.state {
            online.ping_deadline = None;
        }
    }

    fn on_auth(&mut self, auth: &Auth<'_>) -> Result<(), Violation> {
        // [MQTT-4.12.0-1] A server may start this only with a client that named a method.
        if self.options.authentication_method.is_none() {
            return Err(Violation {
                reason: ReasonCode::ProtocolError,
                what: "the server sent an AUTH to a client that named no authentication method",
            });
        }
        self.outlet.report(Event::Authenticate {
            reason: auth.reason,
            method: auth.method.map(str::to_owned),
            data: auth.data.map(<[u8]>::to_vec),
        });
        Ok(())
    }

    fn on_disconnect(&mut self, now: Instant, disconnect: &Disconnect<'_>) -> Result<(), Violation> {
        if self.options.version != Version::V5 {
            return Err(Violation {
                reason: ReasonCode::ProtocolError,
                what: "the server sent a DISCONNECT, which only 5.0 knows from a server",
            });
        }
        let reason = Disconnection::Ended {
            reason: disconnect.reason,
            reason_string: disconnect.reason_string.map(str::to_owned),
            server_reference: disconnect.server_reference.map(str::to_owned),
        };
        self.end(now, reason, true);
        Ok(())
    }
}

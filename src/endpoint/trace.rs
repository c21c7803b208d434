//! What `-d` shows: a line per packet, as mosquitto's tools write it.
//!
//! It reads the bytes that pass and knows nothing of the client that makes them, so it shows what was really sent.

use client::{
    Tap, Version,
    wire::{self, Ack, Connack, Packet, Publish, Suback, Subscribe, Unsubscribe},
};

#[derive(Debug)]
pub struct Trace {
    version: Version,
    client_id: String,
    sent: Vec<u8>,
    received: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Sent,
    Received,
}

impl Trace {
    pub fn new(version: Version) -> Trace {
        Trace { version, client_id: String::new(), sent: Vec::new(), received: Vec::new() }
    }

    /// Takes the complete packets out of `bytes` and gives their lines. After bytes that are no packet there is
    /// nothing to show: the client ends such a connection.
    fn lines(&mut self, mut bytes: Vec<u8>, direction: Direction) -> (Vec<String>, Vec<u8>) {
        let mut lines = Vec::new();
        let mut taken = 0;
        while let Ok(Some(frame)) = wire::split(&bytes[taken..], wire::MAX_PACKET_SIZE) {
            taken += frame.size;
            if let Ok(packet) = wire::decode(&frame, self.version) {
                self.learn_client_id(&packet);
                lines.extend(self.describe(&packet, direction));
            }
        }
        bytes.drain(..taken);
        (lines, bytes)
    }

    fn learn_client_id(&mut self, packet: &Packet<'_>) {
        let client_id = match packet {
            Packet::Connect(connect) => connect.client_id,
            Packet::Connack(connack) => connack.properties.assigned_client_id.unwrap_or(&self.client_id),
            _ => return,
        };
        self.client_id = client_id.to_owned();
    }

    fn describe(&self, packet: &Packet<'_>, direction: Direction) -> Vec<String> {
        let name = if self.client_id.is_empty() { "(null)" } else { &self.client_id };
        let verb = match direction {
            Direction::Sent => "sending",
            Direction::Received => "received",
        };
        let line = |what: String| vec![format!("Client {name} {verb} {what}")];
        match packet {
            Packet::Connect(_) => line("CONNECT".to_owned()),
            Packet::Connack(connack) => line(format!("CONNACK ({})", self.connack_code(connack))),
            Packet::Publish(publish) => line(describe_publish(publish)),
            Packet::Puback(ack) => line(describe_ack("PUBACK", ack, direction)),
            Packet::Pubrec(ack) => line(describe_ack("PUBREC", ack, direction)),
            Packet::Pubrel(ack) => line(describe_ack("PUBREL", ack, direction)),
            Packet::Pubcomp(ack) => line(describe_ack("PUBCOMP", ack, direction)),
            Packet::Subscribe(subscribe) => {
                describe_subscribe(subscribe).into_iter().flat_map(line).collect()
            }
            Packet::Suback(suback) => [line("SUBACK".to_owned()), vec![describe_suback(suback)]].concat(),
            Packet::Unsubscribe(unsubscribe) => {
                describe_unsubscribe(unsubscribe).into_iter().flat_map(line).collect()
            }
            Packet::Unsuback(_) => line("UNSUBACK".to_owned()),
            Packet::Pingreq => line("PINGREQ".to_owned()),
            Packet::Pingresp => line("PINGRESP".to_owned()),
            Packet::Disconnect(disconnect) => match direction {
                Direction::Sent => line("DISCONNECT".to_owned()),
                Direction::Received => line(format!("DISCONNECT ({})", disconnect.reason as u8)),
            },
            Packet::Auth(auth) => line(format!("AUTH (RC:{})", auth.reason as u8)),
        }
    }

    fn connack_code(&self, connack: &Connack<'_>) -> u8 {
        let reason = connack.reason;
        match self.version {
            Version::V5 => reason as u8,
            Version::V31 | Version::V311 => reason.connect_return_code().unwrap_or(reason as u8),
        }
    }
}

impl Tap for Trace {
    fn opened(&mut self) {
        self.sent.clear();
        self.received.clear();
    }

    fn sent(&mut self, bytes: &[u8]) {
        let mut all = std::mem::take(&mut self.sent);
        all.extend_from_slice(bytes);
        let (lines, rest) = self.lines(all, Direction::Sent);
        self.sent = rest;
        show(&lines);
    }

    fn received(&mut self, bytes: &[u8]) {
        let mut all = std::mem::take(&mut self.received);
        all.extend_from_slice(bytes);
        let (lines, rest) = self.lines(all, Direction::Received);
        self.received = rest;
        show(&lines);
    }
}

fn show(lines: &[String]) {
    for line in lines {
        eprintln!("{line}");
    }
}

fn describe_publish(publish: &Publish<'_>) -> String {
    format!(
        "PUBLISH (d{}, q{}, r{}, m{}, '{}', ... ({} bytes))",
        u8::from(publish.dup),
        publish.qos as u8,
        u8::from(publish.retain),
        publish.packet_id.map_or(0, |packet_id| packet_id.get()),
        publish.topic,
        publish.payload.len()
    )
}

fn describe_ack(name: &str, ack: &Ack<'_>, direction: Direction) -> String {
    let (packet_id, reason) = (ack.packet_id, ack.reason as u8);
    // The packets in the middle of an exchange rarely have anything to say.
    let is_brief = match direction {
        Direction::Sent => matches!(name, "PUBREL" | "PUBCOMP"),
        Direction::Received => matches!(name, "PUBREC" | "PUBREL"),
    };
    match (direction, is_brief && !ack.reason.is_error()) {
        (Direction::Sent, true) => format!("{name} (m{packet_id})"),
        (Direction::Sent, false) => format!("{name} (m{packet_id}, rc{reason})"),
        (Direction::Received, true) => format!("{name} (Mid: {packet_id})"),
        (Direction::Received, false) => format!("{name} (Mid: {packet_id}, RC:{reason})"),
    }
}

fn describe_subscribe(subscribe: &Subscribe<'_>) -> Vec<String> {
    let filters = subscribe.filters.iter();
    let line = filters.map(|(filter, options)| {
        let bits = u8::from(options.no_local) << 2
            | u8::from(options.retain_as_published) << 3
            | (options.retain_handling as u8) << 4;
        let (packet_id, qos) = (subscribe.packet_id, options.qos as u8);
        format!("SUBSCRIBE (Mid: {packet_id}, Topic: {filter}, QoS: {qos}, Options: 0x{bits:02x})")
    });
    line.collect()
}

fn describe_suback(suback: &Suback<'_>) -> String {
    let codes: Vec<String> = suback.codes.iter().map(|code| (*code as u8).to_string()).collect();
    format!("Subscribed (mid: {}): {}", suback.packet_id, codes.join(", "))
}

fn describe_unsubscribe(unsubscribe: &Unsubscribe<'_>) -> Vec<String> {
    let filters = unsubscribe.filters.iter();
    filters.map(|filter| format!("UNSUBSCRIBE (Mid: {}, Topic: {filter})", unsubscribe.packet_id)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lines(trace: &mut Trace, bytes: &[u8], direction: Direction) -> Vec<String> {
        let (lines, rest) = trace.lines(bytes.to_vec(), direction);
        assert!(rest.is_empty(), "all bytes are complete packets");
        lines
    }

    #[test]
    fn packets_are_shown_as_mosquitto_shows_them() {
        let mut trace = Trace::new(Version::V311);
        let connect = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id";
        assert_eq!(lines(&mut trace, connect, Direction::Sent), ["Client id sending CONNECT"]);
        let subscribe = b"\x82\x0a\x00\x01\x00\x01a\x01\x00\x01#\x00";
        assert_eq!(
            lines(&mut trace, subscribe, Direction::Sent),
            [
                "Client id sending SUBSCRIBE (Mid: 1, Topic: a, QoS: 1, Options: 0x00)",
                "Client id sending SUBSCRIBE (Mid: 1, Topic: #, QoS: 0, Options: 0x00)"
            ]
        );
        let publish = b"\x33\x0a\x00\x01t\x00\x07hello\x40\x02\x00\x07";
        assert_eq!(
            lines(&mut trace, publish, Direction::Sent),
            [
                "Client id sending PUBLISH (d0, q1, r1, m7, 't', ... (5 bytes))",
                "Client id sending PUBACK (m7, rc0)"
            ]
        );
        let answers = b"\x20\x02\x00\x05\x90\x04\x00\x01\x01\x80\x50\x02\x00\x07\xd0\x00";
        assert_eq!(
            lines(&mut trace, answers, Direction::Received),
            [
                "Client id received CONNACK (5)",
                "Client id received SUBACK",
                "Subscribed (mid: 1): 1, 128",
                "Client id received PUBREC (Mid: 7)",
                "Client id received PINGRESP"
            ]
        );
    }

    #[test]
    fn a_packet_is_shown_once_it_is_complete() {
        let mut trace = Trace::new(Version::V5);
        let (shown, rest) = trace.lines(b"\xe0\x02\x8b".to_vec(), Direction::Received);
        assert_eq!((shown.len(), rest.len()), (0, 3));
        let bytes = [rest, b"\x00".to_vec()].concat();
        assert_eq!(
            lines(&mut trace, &bytes, Direction::Received),
            ["Client (null) received DISCONNECT (139)"]
        );
    }
}

//! What a client hears, in words: a line per packet.

use mqtt::{Packet, Publish, ReasonCode};

use super::{Client, Script};

impl Script {
    /// What the client has not looked at, as it came.
    pub fn heard(&self, client: Client) -> &[u8] {
        &self.wires[client.0].heard
    }
}

pub fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => describe_publish(publish),
        Packet::Connack(connack) => {
            let present = if connack.session_present { " present" } else { "" };
            let properties = &connack.properties;
            let exchanged = exchanged(properties.authentication_method, properties.authentication_data);
            format!("CONNACK {}{present}{exchanged}", connack.reason.name())
        }
        Packet::Puback(ack) => format!("PUBACK {}{}", ack.packet_id, reason(ack.reason)),
        Packet::Pubrec(ack) => format!("PUBREC {}{}", ack.packet_id, reason(ack.reason)),
        Packet::Pubrel(ack) => format!("PUBREL {}{}", ack.packet_id, reason(ack.reason)),
        Packet::Pubcomp(ack) => format!("PUBCOMP {}{}", ack.packet_id, reason(ack.reason)),
        Packet::Suback(suback) => {
            let codes: Vec<String> =
                suback.codes.iter().map(|code| format!("{:#04x}", *code as u8)).collect();
            format!("SUBACK {} {}", suback.packet_id, codes.join(" "))
        }
        Packet::Unsuback(unsuback) => {
            let codes: Vec<String> =
                unsuback.codes.iter().map(|code| format!("{:#04x}", *code as u8)).collect();
            format!("UNSUBACK {} {}", unsuback.packet_id, codes.join(" "))
        }
        Packet::Disconnect(disconnect) => format!("DISCONNECT {}", disconnect.reason.name()),
        Packet::Pingresp => "PINGRESP".into(),
        Packet::Auth(auth) => format!("AUTH {}{}", auth.reason.name(), exchanged(auth.method, auth.data)),
        other => format!("{other:?}"),
    }
}

fn exchanged(method: Option<&str>, data: Option<&[u8]>) -> String {
    let data = data.map(String::from_utf8_lossy);
    method.map_or(String::new(), |method| format!(" {method} {data:?}"))
}

fn reason(reason: ReasonCode) -> String {
    if reason == ReasonCode::Success { String::new() } else { format!(" {}", reason.name()) }
}

fn describe_publish(publish: &Publish<'_>) -> String {
    let mut line = format!("{} '{}'", publish.topic, String::from_utf8_lossy(publish.payload));
    if let Some(id) = publish.packet_id {
        line += &format!(" q{} #{id}", publish.qos as u8);
    }
    if publish.dup {
        line += " dup";
    }
    if publish.retain {
        line += " retained";
    }
    if let Some(expiry_s) = publish.properties.message_expiry_interval_s {
        line += &format!(" expires {expiry_s}");
    }
    if let Some(alias) = publish.properties.topic_alias {
        line += &format!(" alias {alias}");
    }
    for id in publish.properties.subscription_ids.iter() {
        line += &format!(" sub {id}");
    }
    for (name, value) in publish.properties.user_properties.iter() {
        line += &format!(" {name}={value}");
    }
    line
}

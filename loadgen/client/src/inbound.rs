//! Publications on their way in: QoS 2 exactly once, topic aliases, and this client's own Receive Maximum.

use std::collections::BTreeMap;

use mqtt::{Ack, PacketId, PacketKind, Publish, QoS, ReasonCode, Version, Violation};

use crate::event::{Event, Message};
use crate::outlet::Outlet;
use crate::publication::Properties;

#[derive(Debug)]
pub(crate) struct Inbound {
    /// QoS 2 messages that were given to the user and not yet released by the server. The value says whether the
    /// PUBLISH came on this connection, and so counts against the Receive Maximum.
    received: BTreeMap<PacketId, bool>,
    unreleased: usize,
    receive_maximum: usize,
    topic_alias_maximum: u16,
    /// By alias less one. The mapping belongs to one connection.
    aliases: Vec<Option<String>>,
}

impl Inbound {
    pub(crate) fn new(receive_maximum: u16, topic_alias_maximum: u16) -> Inbound {
        Inbound {
            received: BTreeMap::new(),
            unreleased: 0,
            receive_maximum: usize::from(receive_maximum),
            topic_alias_maximum,
            aliases: Vec::new(),
        }
    }

    pub(crate) fn resume(&mut self) {
        self.aliases.clear();
        self.unreleased = 0;
        for in_quota in self.received.values_mut() {
            *in_quota = false;
        }
    }

    pub(crate) fn restart(&mut self) {
        self.received.clear();
        self.resume();
    }

    pub(crate) fn on_publish(&mut self, publish: &Publish<'_>, outlet: &mut Outlet) -> Result<(), Violation> {
        let topic = self.resolve_topic(publish)?;
        match (publish.qos, publish.packet_id) {
            (QoS::AtMostOnce, _) => report_message(topic, publish, outlet),
            (QoS::AtLeastOnce, Some(packet_id)) => {
                report_message(topic, publish, outlet);
                outlet.send_ack(PacketKind::Puback, packet_id, ReasonCode::Success);
            }
            (QoS::ExactlyOnce, Some(packet_id)) => {
                if self.admit(packet_id)? {
                    report_message(topic, publish, outlet);
                }
                outlet.send_ack(PacketKind::Pubrec, packet_id, ReasonCode::Success);
            }
            (QoS::AtLeastOnce | QoS::ExactlyOnce, None) => {
                return Err(Violation {
                    reason: ReasonCode::ProtocolError,
                    what: "a QoS 1 or 2 PUBLISH has no packet id",
                });
            }
        }
        Ok(())
    }

    pub(crate) fn on_pubrel(&mut self, ack: &Ack<'_>, outlet: &mut Outlet) {
        let known = self.received.remove(&ack.packet_id);
        if known == Some(true) {
            self.unreleased -= 1;
        }
        let reason = match outlet.version {
            Version::V5 if known.is_none() => ReasonCode::PacketIdentifierNotFound,
            Version::V5 | Version::V31 | Version::V311 => ReasonCode::Success,
        };
        outlet.send_ack(PacketKind::Pubcomp, ack.packet_id, reason);
    }

    /// Whether the QoS 2 message with this id is a new one.
    fn admit(&mut self, packet_id: PacketId) -> Result<bool, Violation> {
        let known = self.received.get(&packet_id).copied();
        if known != Some(true) {
            if self.unreleased == self.receive_maximum {
                return Err(Violation {
                    reason: ReasonCode::ReceiveMaximumExceeded,
                    what: "more QoS 2 messages are unreleased than the Receive Maximum allows",
                });
            }
            self.unreleased += 1;
            self.received.insert(packet_id, true);
        }
        Ok(known.is_none())
    }

    fn resolve_topic(&mut self, publish: &Publish<'_>) -> Result<String, Violation> {
        let Some(alias) = publish.properties.topic_alias else { return Ok(publish.topic.to_owned()) };
        if alias == 0 || alias > self.topic_alias_maximum {
            return Err(Violation {
                reason: ReasonCode::TopicAliasInvalid,
                what: "a topic alias is beyond the Topic Alias Maximum",
            });
        }
        let at = usize::from(alias) - 1;
        if publish.topic.is_empty() {
            let topic = self.aliases.get(at).cloned().flatten();
            return topic.ok_or(Violation {
                reason: ReasonCode::ProtocolError,
                what: "a topic alias is used before it is defined",
            });
        }
        if self.aliases.len() <= at {
            self.aliases.resize(at + 1, None);
        }
        self.aliases[at] = Some(publish.topic.to_owned());
        Ok(publish.topic.to_owned())
    }
}

fn report_message(topic: String, publish: &Publish<'_>, outlet: &mut Outlet) {
    outlet.report(Event::Message(Box::new(Message {
        topic,
        payload: publish.payload.to_vec(),
        qos: publish.qos,
        retain: publish.retain,
        dup: publish.dup,
        packet_id: publish.packet_id,
        properties: Properties::of(&publish.properties),
    })));
}

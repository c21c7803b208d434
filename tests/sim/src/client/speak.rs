//! The packets that a simulated client writes, each together with what it says.

use mqtt::{
    Ack, Connect, ConnectProperties, Disconnect, Packet, PacketId, PacketKind, Publish, PublishProperties,
    QoS, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe, UserProperties, UserPropertiesBuf, Version,
    Will, WillProperties,
};

use super::{Client, Outbound, Phase};
use crate::{
    ledger::Ledger,
    said::{ConnectSaid, Content, PublicationId, Said, WillSaid},
};

/// What a CONNECT is to say.
#[derive(Debug, Clone)]
pub struct ConnectPlan {
    pub clean_start: bool,
    pub keep_alive_s: u16,
    pub session_expiry_s: u32,
    pub receive_maximum: Option<u16>,
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: u16,
    pub will: Option<(Content, u32)>,
}

impl Client {
    fn say(&mut self, packet: &Packet<'_>, said: Said) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        self.out.push((bytes, said));
    }

    /// An id that is not in use by anything of its own.
    fn free_packet_id(&mut self) -> PacketId {
        loop {
            self.packet_id = self.packet_id.wrapping_add(1).max(1);
            let id = self.packet_id;
            if !self.requests.contains(&id) && self.outbound.iter().all(|outbound| outbound.packet_id != id) {
                return PacketId::new(id).expect("ids count from one");
            }
        }
    }

    pub fn connect(&mut self, socket: usize, plan: &ConnectPlan, ledger: &mut Ledger) {
        let is_v5 = self.version == Version::V5;
        let will = plan.will.as_ref().map(|(content, delay_s)| {
            let id = ledger.announce(content.clone());
            (WillSaid { id, delay_s: if is_v5 { *delay_s } else { 0 } }, content, content.payload(id))
        });
        let user = will.as_ref().map(|(_, content, _)| user_properties(content)).unwrap_or_default();
        let packet_will = will.as_ref().map(|(said, content, payload)| Will {
            qos: content.qos,
            retain: content.retain,
            topic: &content.topic,
            payload,
            properties: WillProperties {
                delay_interval_s: (said.delay_s > 0).then_some(said.delay_s),
                message_expiry_interval_s: content.expiry_s,
                payload_format: content.properties.payload_format,
                content_type: content.properties.content_type.as_deref(),
                response_topic: content.properties.response_topic.as_deref(),
                correlation_data: content.properties.correlation_data.as_deref(),
                user_properties: user.as_ref(),
                ..WillProperties::default()
            },
        });
        let client_id = self.client_id.clone();
        let packet = Connect {
            version: self.version,
            clean_start: plan.clean_start,
            keep_alive_s: plan.keep_alive_s,
            client_id: &client_id,
            will: packet_will,
            username: None,
            password: None,
            properties: ConnectProperties {
                session_expiry_interval_s: (is_v5 && plan.session_expiry_s > 0)
                    .then_some(plan.session_expiry_s),
                receive_maximum: plan.receive_maximum.filter(|_| is_v5),
                maximum_packet_size: plan.maximum_packet_size.filter(|_| is_v5),
                topic_alias_maximum: (is_v5 && plan.topic_alias_maximum > 0)
                    .then_some(plan.topic_alias_maximum),
                ..ConnectProperties::default()
            },
        };
        let said = ConnectSaid {
            client: self.index,
            client_id: client_id.clone(),
            version: self.version,
            clean_start: plan.clean_start,
            keep_alive_s: plan.keep_alive_s,
            session_expiry_s: plan.session_expiry_s,
            receive_maximum: plan.receive_maximum.filter(|_| is_v5).unwrap_or(u16::MAX),
            maximum_packet_size: plan.maximum_packet_size.filter(|_| is_v5).unwrap_or(u32::MAX),
            topic_alias_maximum: if is_v5 { plan.topic_alias_maximum } else { 0 },
            will: will.as_ref().map(|(said, _, _)| *said),
        };
        self.leave();
        self.socket = Some(socket);
        self.phase = Phase::Connecting;
        self.cleans = plan.clean_start;
        self.keep_alive_s = plan.keep_alive_s;
        self.has_will = plan.will.is_some();
        self.session_expiry_s = plan.session_expiry_s;
        self.say(&Packet::Connect(Box::new(packet)), Said::Connect(Box::new(said)));
    }

    pub fn publish(&mut self, content: Content, use_alias: bool, ledger: &mut Ledger) {
        let qos = content.qos;
        let id = ledger.announce(content);
        let packet_id = (qos > QoS::AtMostOnce).then(|| self.free_packet_id());
        if let Some(packet_id) = packet_id {
            let outbound = Outbound { packet_id: packet_id.get(), id, is_released: false };
            self.outbound.push(outbound);
            if self.phase == Phase::Connecting {
                self.ahead.insert(packet_id.get());
            }
        }
        self.write_publish(id, packet_id, false, use_alias, ledger);
    }

    fn write_publish(
        &mut self,
        id: PublicationId,
        packet_id: Option<PacketId>,
        dup: bool,
        use_alias: bool,
        ledger: &Ledger,
    ) {
        let content = &ledger.publications[id].content;
        let is_v5 = self.version == Version::V5;
        let user = user_properties(content);
        let payload = content.payload(id);
        let alias = if use_alias { self.alias_for(&content.topic) } else { None };
        let topic = match alias {
            Some((_, true)) => "",
            _ => &content.topic,
        };
        let properties = PublishProperties {
            payload_format: content.properties.payload_format,
            message_expiry_interval_s: content.expiry_s,
            topic_alias: alias.map(|(alias, _)| alias),
            response_topic: content.properties.response_topic.as_deref(),
            correlation_data: content.properties.correlation_data.as_deref(),
            content_type: content.properties.content_type.as_deref(),
            user_properties: user.as_ref(),
            ..PublishProperties::default()
        };
        let packet = Publish {
            dup,
            qos: content.qos,
            retain: content.retain,
            topic,
            packet_id,
            properties: if is_v5 { properties } else { PublishProperties::default() },
            payload: &payload,
        };
        self.say(&Packet::Publish(packet), Said::Publish { id, packet_id: packet_id.map(|id| id.get()) });
    }

    /// An alias for the topic, and whether the broker knows it already.
    fn alias_for(&mut self, topic: &str) -> Option<(u16, bool)> {
        if let Some(alias) = self.aliases.get(topic) {
            return Some((*alias, true));
        }
        let next = u16::try_from(self.aliases.len() + 1).ok()?;
        if next > self.server.topic_alias_maximum {
            return None;
        }
        self.aliases.insert(topic.to_owned(), next);
        Some((next, false))
    }

    /// Messages written on this connection before its CONNACK.
    pub(super) fn sent_ahead(&self) -> Vec<u16> {
        self.outbound
            .iter()
            .filter(|outbound| self.ahead.contains(&outbound.packet_id))
            .map(|o| o.packet_id)
            .collect()
    }

    /// [MQTT-4.4.0-1] After a resumed session: every open message once more, in order.
    pub(super) fn send_again(&mut self, ledger: &Ledger) {
        let ahead = self.sent_ahead();
        let open: Vec<Outbound> =
            self.outbound.iter().filter(|outbound| !ahead.contains(&outbound.packet_id)).cloned().collect();
        for outbound in open {
            if outbound.is_released {
                self.say_ack(PacketKind::Pubrel, outbound.packet_id);
            } else {
                let packet_id = PacketId::new(outbound.packet_id);
                self.write_publish(outbound.id, packet_id, true, false, ledger);
            }
        }
    }

    pub fn subscribe(&mut self, subscription_id: Option<u32>, filters: Vec<(String, SubscriptionOptions)>) {
        let packet_id = self.free_packet_id();
        self.requests.insert(packet_id.get());
        let is_v5 = self.version == Version::V5;
        let subscription_id = subscription_id.filter(|_| is_v5);
        let filters: Vec<(String, SubscriptionOptions)> = filters
            .into_iter()
            .map(|(filter, options)| {
                let plain = SubscriptionOptions { qos: options.qos, ..SubscriptionOptions::default() };
                (filter, if is_v5 { options } else { plain })
            })
            .collect();
        self.filters.extend(filters.iter().map(|(filter, _)| filter.clone()));
        let packet = Subscribe {
            packet_id,
            subscription_id,
            user_properties: UserProperties::default(),
            filters: filters.iter().map(|(filter, options)| (filter.as_str(), *options)).collect(),
        };
        let mut bytes = Vec::new();
        Packet::Subscribe(packet).encode(self.version, &mut bytes);
        self.out.push((bytes, Said::Subscribe { packet_id: packet_id.get(), subscription_id, filters }));
    }

    pub fn unsubscribe(&mut self, filters: Vec<String>) {
        let packet_id = self.free_packet_id();
        self.requests.insert(packet_id.get());
        let packet = Unsubscribe {
            packet_id,
            user_properties: UserProperties::default(),
            filters: filters.iter().map(String::as_str).collect(),
        };
        let mut bytes = Vec::new();
        Packet::Unsubscribe(packet).encode(self.version, &mut bytes);
        self.out.push((bytes, Said::Unsubscribe { packet_id: packet_id.get(), filters }));
    }

    pub fn ping(&mut self) {
        self.say(&Packet::Pingreq, Said::Pingreq);
    }

    pub fn disconnect(&mut self, with_will: bool, session_expiry_s: Option<u32>) {
        let is_v5 = self.version == Version::V5;
        let (with_will, session_expiry_s) = (with_will && is_v5, session_expiry_s.filter(|_| is_v5));
        let reason = if with_will { ReasonCode::DisconnectWithWill } else { ReasonCode::Success };
        let packet =
            Disconnect { reason, session_expiry_interval_s: session_expiry_s, ..Disconnect::default() };
        self.say(&Packet::Disconnect(packet), Said::Disconnect { with_will, session_expiry_s });
        self.wants_close = true;
    }

    pub(super) fn say_ack(&mut self, kind: PacketKind, packet_id: u16) {
        let ack = Ack::new(PacketId::new(packet_id).expect("it came from a packet"));
        let (packet, said) = match kind {
            PacketKind::Puback => (Packet::Puback(ack), Said::Puback { packet_id }),
            PacketKind::Pubrec => (Packet::Pubrec(ack), Said::Pubrec { packet_id, is_error: false }),
            PacketKind::Pubrel => (Packet::Pubrel(ack), Said::Pubrel { packet_id }),
            _ => (Packet::Pubcomp(ack), Said::Pubcomp { packet_id }),
        };
        self.say(&packet, said);
    }
}

fn user_properties(content: &Content) -> UserPropertiesBuf {
    let mut buffer = UserPropertiesBuf::default();
    for (name, value) in &content.properties.user {
        buffer.push(name, value);
    }
    buffer
}

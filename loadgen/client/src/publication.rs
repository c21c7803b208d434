//! A publication as the user hands it over: the message with everything that travels with it.

use mqtt::{PacketId, Publish, PublishProperties, QoS, UserPropertiesBuf, is_topic_name};

use crate::refusal::{Refusal, check_binary, check_string, check_user_properties};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub retain: bool,
    /// Sent to 5.0 servers only.
    pub properties: Properties,
}

/// The properties that a message carries, in either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// 0: bytes; 1: UTF-8 text.
    pub payload_format: Option<u8>,
    pub message_expiry_interval_s: Option<u32>,
    /// Going out, the topic is always sent along: the message then stands on its own when it is sent again on
    /// another connection. Of an incoming message, the alias that it came with.
    pub topic_alias: Option<u16>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Vec<u8>>,
    pub content_type: Option<String>,
    /// Incoming messages only.
    pub subscription_ids: Vec<u32>,
    pub user_properties: Vec<(String, String)>,
}

impl Publication {
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>, qos: QoS) -> Publication {
        Publication {
            topic: topic.into(),
            payload: payload.into(),
            qos,
            retain: false,
            properties: Properties::default(),
        }
    }

    #[must_use]
    pub fn retained(mut self) -> Publication {
        self.retain = true;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        check_string("topic", &self.topic)?;
        if !is_topic_name(&self.topic) {
            return Err(Refusal::TopicName(self.topic.clone()));
        }
        self.properties.check()
    }

    /// Appends the PUBLISH. `topic_alias` is separate, because what a connection allows is its own matter.
    pub(crate) fn encode(&self, sending: &Sending, out: &mut Vec<u8>) {
        let properties = &self.properties;
        let user_properties = user_properties_of(&properties.user_properties);
        let publish = Publish {
            dup: sending.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: sending.packet_id,
            properties: PublishProperties {
                payload_format: properties.payload_format,
                message_expiry_interval_s: properties.message_expiry_interval_s,
                topic_alias: sending.topic_alias,
                response_topic: properties.response_topic.as_deref(),
                correlation_data: properties.correlation_data.as_deref(),
                content_type: properties.content_type.as_deref(),
                user_properties: user_properties.as_ref(),
                ..PublishProperties::default()
            },
            payload: &self.payload,
        };
        publish.encode(sending.version, out);
    }
}

impl Properties {
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if let Some(topic) = &self.response_topic {
            check_string("response topic", topic)?;
            if !is_topic_name(topic) {
                return Err(Refusal::TopicName(topic.clone()));
            }
        }
        check_binary("correlation data", self.correlation_data.as_deref().unwrap_or_default())?;
        check_string("content type", self.content_type.as_deref().unwrap_or_default())?;
        check_user_properties(&self.user_properties)
    }

    pub(crate) fn of(wire: &PublishProperties<'_>) -> Properties {
        Properties {
            payload_format: wire.payload_format,
            message_expiry_interval_s: wire.message_expiry_interval_s,
            topic_alias: wire.topic_alias,
            response_topic: wire.response_topic.map(str::to_owned),
            correlation_data: wire.correlation_data.map(<[u8]>::to_vec),
            content_type: wire.content_type.map(str::to_owned),
            subscription_ids: wire.subscription_ids.iter().collect(),
            user_properties: owned_pairs(wire.user_properties),
        }
    }
}

/// What differs between two sendings of one publication.
pub(crate) struct Sending {
    pub(crate) version: mqtt::Version,
    pub(crate) dup: bool,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) topic_alias: Option<u16>,
}

pub(crate) fn user_properties_of(pairs: &[(String, String)]) -> UserPropertiesBuf {
    let mut block = UserPropertiesBuf::default();
    for (name, value) in pairs {
        block.push(name, value);
    }
    block
}

pub(crate) fn owned_pairs(wire: mqtt::UserProperties<'_>) -> Vec<(String, String)> {
    wire.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

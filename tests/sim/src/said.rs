//! What a simulated client says, as the ledger sees it: the facts of each packet without its bytes.

use mqtt::{QoS, SubscriptionOptions, Version};

#[cfg(test)]
pub mod example;

/// A publication's number in the ledger; it stands at the head of the payload.
pub type PublicationId = usize;

/// One packet from a client.
#[derive(Debug, Clone)]
pub enum Said {
    Connect(Box<ConnectSaid>),
    Publish { id: PublicationId, packet_id: Option<u16> },
    Puback { packet_id: u16 },
    Pubrec { packet_id: u16, is_error: bool },
    Pubrel { packet_id: u16 },
    Pubcomp { packet_id: u16 },
    Subscribe { packet_id: u16, subscription_id: Option<u32>, filters: Vec<(String, SubscriptionOptions)> },
    Unsubscribe { packet_id: u16, filters: Vec<String> },
    Pingreq,
    Disconnect { with_will: bool, session_expiry_s: Option<u32> },
}

#[derive(Debug, Clone)]
pub struct ConnectSaid {
    pub client: usize,
    pub client_id: String,
    pub version: Version,
    pub clean_start: bool,
    pub keep_alive_s: u16,
    /// How long the session outlives the connection, whatever the version says it with.
    pub session_expiry_s: u32,
    pub receive_maximum: u16,
    pub maximum_packet_size: u32,
    pub topic_alias_maximum: u16,
    pub will: Option<WillSaid>,
}

#[derive(Debug, Clone, Copy)]
pub struct WillSaid {
    pub id: PublicationId,
    pub delay_s: u32,
}

/// What a client publishes, or has published for it after its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub author: usize,
    pub topic: String,
    pub qos: QoS,
    pub retain: bool,
    /// An empty payload, which has no room for a number.
    pub is_empty: bool,
    pub padding: usize,
    pub expiry_s: Option<u32>,
    pub properties: Properties,
    pub is_will: bool,
}

/// The properties that travel with a message unaltered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    pub payload_format: Option<u8>,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Vec<u8>>,
    pub user: Vec<(String, String)>,
}

/// Who a payload belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    Known(PublicationId),
    Empty,
    Stranger,
    /// No client wrote such a payload.
    Unknown,
}

impl Content {
    pub fn payload(&self, id: PublicationId) -> Vec<u8> {
        if self.is_empty {
            return Vec::new();
        }
        let mut payload = format!("#{id}:").into_bytes();
        payload.resize(payload.len() + self.padding, b'.');
        payload
    }
}

impl Identity {
    pub fn of(payload: &[u8]) -> Identity {
        if payload.is_empty() {
            return Identity::Empty;
        }
        // Bytes that were changed on their way may have become the payload of another packet, with packets in it.
        if payload.windows(STRANGER_PAYLOAD.len()).any(|part| part == STRANGER_PAYLOAD) {
            return Identity::Stranger;
        }
        let text = std::str::from_utf8(payload).ok();
        let number = text.and_then(|text| text.strip_prefix('#')).and_then(|text| text.split_once(':'));
        number.and_then(|(id, _)| id.parse().ok()).map_or(Identity::Unknown, Identity::Known)
    }
}

pub const STRANGER_PAYLOAD: &[u8] = b"stranger";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_tells_which_publication_it_is() {
        let mut content = Content { padding: 3, ..example::content(QoS::AtMostOnce) };
        assert_eq!(content.payload(12), b"#12:...");
        assert_eq!(Identity::of(&content.payload(12)), Identity::Known(12));
        content.is_empty = true;
        assert_eq!(Identity::of(&content.payload(12)), Identity::Empty);
        assert_eq!(Identity::of(b"#x:"), Identity::Unknown);
        assert_eq!(Identity::of(b"stranger 1"), Identity::Stranger);
        assert_eq!(Identity::of(b"\0 0\r\0\x03x/stranger0\r"), Identity::Stranger);
    }
}

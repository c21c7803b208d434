//! A CONNECT and a publication such as the ledger's tests begin with. What a test is about, it changes.

use mqtt::{QoS, Version};

use super::{ConnectSaid, Content, Properties};

pub const AUTHOR: usize = 0;
pub const TOPIC: &str = "t";

/// Of a session that lives on.
pub fn connect(client_id: &str) -> ConnectSaid {
    ConnectSaid {
        client: AUTHOR,
        client_id: client_id.to_owned(),
        version: Version::V5,
        clean_start: false,
        keep_alive_s: 0,
        session_expiry_s: 60,
        receive_maximum: u16::MAX,
        maximum_packet_size: u32::MAX,
        topic_alias_maximum: 0,
        will: None,
    }
}

pub fn content(qos: QoS) -> Content {
    Content {
        author: AUTHOR,
        topic: TOPIC.into(),
        qos,
        retain: false,
        is_empty: false,
        padding: 0,
        expiry_s: None,
        properties: Properties::default(),
        is_will: false,
    }
}

//! The protocol version of a connection. Not its negotiation: that is the broker's.

/// The version that the CONNECT of a connection names; its value is the protocol level on the wire.
#[repr(u8)]
#[derive(Copy, Clone, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub enum Version {
    V31 = 3,
    V311 = 4,
    V5 = 5,
}

impl Version {
    pub const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];

    /// The protocol name that goes with this level in a CONNECT.
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Version::V31 => "MQIsdp",
            Version::V311 | Version::V5 => "MQTT",
        }
    }

    /// Finds the version by both fields, because a level means nothing under another name.
    pub fn of(protocol_name: &[u8], level: u8) -> Option<Version> {
        Version::ALL.into_iter().find(|v| *v as u8 == level && v.protocol_name().as_bytes() == protocol_name)
    }
}

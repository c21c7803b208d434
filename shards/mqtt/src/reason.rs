//! Reason codes, their names, and which packet may carry which. Their texts for the log are elsewhere: see
//! `Violation::what`.

use crate::{PacketKind, QoS, Violation};
use std::fmt;

/// The reason codes of MQTT 5.0. Versions 3.1 and 3.1.1 use the same type inside the program and are translated
/// at the wire.
#[repr(u8)]
#[derive(Copy, Clone, PartialEq, Eq, Debug, PartialOrd, Ord, Hash, Default)]
pub enum ReasonCode {
    /// Also Normal disconnection and Granted QoS 0: the packet decides.
    #[default]
    Success = 0x00,
    GrantedQoS1 = 0x01,
    GrantedQoS2 = 0x02,
    DisconnectWithWill = 0x04,
    NoMatchingSubscribers = 0x10,
    NoSubscriptionExisted = 0x11,
    ContinueAuthentication = 0x18,
    Reauthenticate = 0x19,
    UnspecifiedError = 0x80,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    ImplementationSpecificError = 0x83,
    UnsupportedProtocolVersion = 0x84,
    ClientIdentifierNotValid = 0x85,
    BadUserNameOrPassword = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ServerBusy = 0x89,
    Banned = 0x8A,
    ServerShuttingDown = 0x8B,
    BadAuthenticationMethod = 0x8C,
    KeepAliveTimeout = 0x8D,
    SessionTakenOver = 0x8E,
    TopicFilterInvalid = 0x8F,
    TopicNameInvalid = 0x90,
    PacketIdentifierInUse = 0x91,
    PacketIdentifierNotFound = 0x92,
    ReceiveMaximumExceeded = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    MessageRateTooHigh = 0x96,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    PayloadFormatInvalid = 0x99,
    RetainNotSupported = 0x9A,
    QoSNotSupported = 0x9B,
    UseAnotherServer = 0x9C,
    ServerMoved = 0x9D,
    SharedSubscriptionsNotSupported = 0x9E,
    ConnectionRateExceeded = 0x9F,
    MaximumConnectTime = 0xA0,
    SubscriptionIdentifiersNotSupported = 0xA1,
    WildcardSubscriptionsNotSupported = 0xA2,
}

use ReasonCode::*;

impl ReasonCode {
    /// [MQTT 5.0, 2.4] In a DISCONNECT, 0 means this.
    #[allow(non_upper_case_globals)]
    pub const NormalDisconnection: ReasonCode = Success;
    /// [MQTT 5.0, 2.4] In a SUBACK, 0 means this.
    #[allow(non_upper_case_globals)]
    pub const GrantedQoS0: ReasonCode = Success;

    #[inline]
    pub const fn from_u8(value: u8) -> Option<Self> {
        BY_VALUE[value as usize]
    }

    /// Reads the reason code of such a packet.
    pub(crate) fn decode(value: u8, kind: PacketKind) -> Result<Self, Violation> {
        // A code of another packet, or of none, can be read but is not allowed: a protocol error, not malformed.
        match ReasonCode::from_u8(value) {
            Some(code) if code.is_allowed_in(kind) => Ok(code),
            _ => Err(Violation::protocol("reason code does not belong into this packet")),
        }
    }

    /// [MQTT 5.0, 2.4] Codes of 0x80 and above say that the request failed.
    #[inline]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// The SUBACK code that grants this QoS.
    pub const fn granted(qos: QoS) -> ReasonCode {
        match qos {
            QoS::AtMostOnce => Success,
            QoS::AtLeastOnce => GrantedQoS1,
            QoS::ExactlyOnce => GrantedQoS2,
        }
    }

    /// The name in the specification's table in section 2.4.
    pub const fn name(self) -> &'static str {
        match self {
            Success => "Success",
            GrantedQoS1 => "Granted QoS 1",
            GrantedQoS2 => "Granted QoS 2",
            DisconnectWithWill => "Disconnect with Will Message",
            NoMatchingSubscribers => "No matching subscribers",
            NoSubscriptionExisted => "No subscription existed",
            ContinueAuthentication => "Continue authentication",
            Reauthenticate => "Re-authenticate",
            UnspecifiedError => "Unspecified error",
            MalformedPacket => "Malformed Packet",
            ProtocolError => "Protocol Error",
            ImplementationSpecificError => "Implementation specific error",
            UnsupportedProtocolVersion => "Unsupported Protocol Version",
            ClientIdentifierNotValid => "Client Identifier not valid",
            BadUserNameOrPassword => "Bad User Name or Password",
            NotAuthorized => "Not authorized",
            ServerUnavailable => "Server unavailable",
            ServerBusy => "Server busy",
            Banned => "Banned",
            ServerShuttingDown => "Server shutting down",
            BadAuthenticationMethod => "Bad authentication method",
            KeepAliveTimeout => "Keep Alive timeout",
            SessionTakenOver => "Session taken over",
            TopicFilterInvalid => "Topic Filter invalid",
            TopicNameInvalid => "Topic Name invalid",
            PacketIdentifierInUse => "Packet Identifier in use",
            PacketIdentifierNotFound => "Packet Identifier not found",
            ReceiveMaximumExceeded => "Receive Maximum exceeded",
            TopicAliasInvalid => "Topic Alias invalid",
            PacketTooLarge => "Packet too large",
            MessageRateTooHigh => "Message rate too high",
            QuotaExceeded => "Quota exceeded",
            AdministrativeAction => "Administrative action",
            PayloadFormatInvalid => "Payload format invalid",
            RetainNotSupported => "Retain not supported",
            QoSNotSupported => "QoS not supported",
            UseAnotherServer => "Use another server",
            ServerMoved => "Server moved",
            SharedSubscriptionsNotSupported => "Shared Subscriptions not supported",
            ConnectionRateExceeded => "Connection rate exceeded",
            MaximumConnectTime => "Maximum connect time",
            SubscriptionIdentifiersNotSupported => "Subscription Identifiers not supported",
            WildcardSubscriptionsNotSupported => "Wildcard Subscriptions not supported",
        }
    }

    /// The same where it says how a connection ended.
    pub const fn name_of_end(self) -> &'static str {
        match self {
            Success => "Normal disconnection",
            other => other.name(),
        }
    }

    /// The return code of a 3.x CONNACK. `None`: the connection is closed without a CONNACK, because 3.x has no
    /// code for a client that broke the protocol.
    pub const fn connect_return_code(self) -> Option<u8> {
        match self {
            Success => Some(0),
            UnsupportedProtocolVersion => Some(1),
            ClientIdentifierNotValid => Some(2),
            UnspecifiedError
            | ImplementationSpecificError
            | ServerUnavailable
            | ServerBusy
            | ServerShuttingDown
            | QuotaExceeded
            | UseAnotherServer
            | ServerMoved
            | ConnectionRateExceeded => Some(3),
            BadUserNameOrPassword => Some(4),
            NotAuthorized | Banned | BadAuthenticationMethod => Some(5),
            _ => None,
        }
    }

    /// The reverse of `connect_return_code`, for the client's side.
    pub const fn of_connect_return_code(code: u8) -> Option<ReasonCode> {
        match code {
            0 => Some(Success),
            1 => Some(UnsupportedProtocolVersion),
            2 => Some(ClientIdentifierNotValid),
            3 => Some(ServerUnavailable),
            4 => Some(BadUserNameOrPassword),
            5 => Some(NotAuthorized),
            _ => None,
        }
    }

    /// Whether a packet of this kind may carry the code, in whichever direction it travels.
    pub const fn is_allowed_in(self, kind: PacketKind) -> bool {
        match kind {
            // [MQTT-3.2.2-8]
            PacketKind::Connack => {
                matches!(self as u8, 0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F)
            }
            // [MQTT-3.4.2-1] [MQTT-3.5.2-1]
            PacketKind::Puback | PacketKind::Pubrec => {
                matches!(self as u8, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            // [MQTT-3.6.2-1] [MQTT-3.7.2-1]
            PacketKind::Pubrel | PacketKind::Pubcomp => matches!(self, Success | PacketIdentifierNotFound),
            // [MQTT-3.9.3-2]
            PacketKind::Suback => {
                matches!(
                    self as u8,
                    0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2
                )
            }
            // [MQTT-3.11.3-2]
            PacketKind::Unsuback => matches!(self as u8, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
            // [MQTT-3.14.2-1] 0x8C is missing from the packet's own table, but the common one lists it, and a
            // failed re-authentication needs it.
            PacketKind::Disconnect => matches!(
                self as u8,
                0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
            ),
            // [MQTT-3.15.2-1]
            PacketKind::Auth => matches!(self, Success | ContinueAuthentication | Reauthenticate),
            _ => false,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Every code that exists, in the order of its value.
const ALL: [ReasonCode; 43] = [
    Success,
    GrantedQoS1,
    GrantedQoS2,
    DisconnectWithWill,
    NoMatchingSubscribers,
    NoSubscriptionExisted,
    ContinueAuthentication,
    Reauthenticate,
    UnspecifiedError,
    MalformedPacket,
    ProtocolError,
    ImplementationSpecificError,
    UnsupportedProtocolVersion,
    ClientIdentifierNotValid,
    BadUserNameOrPassword,
    NotAuthorized,
    ServerUnavailable,
    ServerBusy,
    Banned,
    ServerShuttingDown,
    BadAuthenticationMethod,
    KeepAliveTimeout,
    SessionTakenOver,
    TopicFilterInvalid,
    TopicNameInvalid,
    PacketIdentifierInUse,
    PacketIdentifierNotFound,
    ReceiveMaximumExceeded,
    TopicAliasInvalid,
    PacketTooLarge,
    MessageRateTooHigh,
    QuotaExceeded,
    AdministrativeAction,
    PayloadFormatInvalid,
    RetainNotSupported,
    QoSNotSupported,
    UseAnotherServer,
    ServerMoved,
    SharedSubscriptionsNotSupported,
    ConnectionRateExceeded,
    MaximumConnectTime,
    SubscriptionIdentifiersNotSupported,
    WildcardSubscriptionsNotSupported,
];

const BY_VALUE: [Option<ReasonCode>; 256] = {
    let mut table = [None; 256];
    let mut index = 0;
    while index < ALL.len() {
        table[ALL[index] as usize] = Some(ALL[index]);
        index += 1;
    }
    table
};

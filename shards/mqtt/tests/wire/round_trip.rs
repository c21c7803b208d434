//! Random packets of every kind and version survive the wire, in any company.

use crate::build::{id, subscription_ids, user_properties};
use mqtt::{
    Ack, Auth, Connack, ConnackProperties, Connect, ConnectProperties, Disconnect, MAX_PACKET_SIZE, Packet,
    PacketId, PacketKind, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Suback, Subscribe,
    SubscriptionOptions, Unsuback, Unsubscribe, UserProperties, Version, Will, WillProperties, decode, split,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub fn text() -> impl Strategy<Value = &'static str> {
    let character = any::<char>().prop_filter("no string has U+0000", |c| *c != '\0');
    vec(character, 0..12).prop_map(|characters| &*String::from_iter(characters).leak())
}

pub fn topic_name() -> impl Strategy<Value = &'static str> {
    "[a-c/$ \u{e9}]{1,12}".prop_map(|topic| &*topic.leak())
}

pub fn binary() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..40).prop_map(|bytes| &*bytes.leak())
}

pub fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(id)
}

pub fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

pub fn user() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..3).prop_map(|pairs| user_properties(&pairs))
}

/// One of the codes that such a packet may carry.
fn reason(kind: PacketKind) -> impl Strategy<Value = ReasonCode> {
    let allowed: Vec<_> =
        (0..=u8::MAX).filter_map(ReasonCode::from_u8).filter(|code| code.is_allowed_in(kind)).collect();
    prop::sample::select(allowed)
}

prop_compose! {
    fn connect_properties()(
        (session_expiry_interval_s, topic_alias_maximum) in any::<(Option<u32>, Option<u16>)>(),
        (receive_maximum, maximum_packet_size) in (option::of(1..=u16::MAX), option::of(1..=u32::MAX)),
        (request_response_information, request_problem_information) in any::<(Option<bool>, Option<bool>)>(),
        authentication in option::of((text(), option::of(binary()))),
        user_properties in user(),
    ) -> ConnectProperties<'static> {
        ConnectProperties {
            session_expiry_interval_s, receive_maximum, maximum_packet_size, topic_alias_maximum,
            request_response_information, request_problem_information,
            authentication_method: authentication.map(|(method, _)| method),
            authentication_data: authentication.and_then(|(_, data)| data),
            user_properties,
        }
    }
}

prop_compose! {
    fn will()(
        (qos, retain, topic, payload) in (qos(), any::<bool>(), topic_name(), binary()),
        (delay_interval_s, message_expiry_interval_s) in any::<(Option<u32>, Option<u32>)>(),
        payload_format in option::of(0..=1u8),
        (content_type, response_topic) in (option::of(text()), option::of(topic_name())),
        (correlation_data, user_properties) in (option::of(binary()), user()),
    ) -> Will<'static> {
        Will { qos, retain, topic, payload, properties: WillProperties {
            delay_interval_s, message_expiry_interval_s, payload_format, content_type, response_topic,
            correlation_data, user_properties, block: b"",
        } }
    }
}

prop_compose! {
    fn connect(version: Version)(
        (clean_start, keep_alive_s, client_id) in (any::<bool>(), any::<u16>(), text()),
        will in option::of(will()),
        (username, password) in (option::of(text()), option::of(binary())),
        properties in connect_properties(),
    ) -> Packet<'static> {
        let is_v5 = version == Version::V5;
        let will = will.map(|will| if is_v5 { will } else { Will { properties: Default::default(), ..will } });
        let password = password.filter(|_| is_v5 || username.is_some());
        let properties = if is_v5 { properties } else { ConnectProperties::default() };
        Packet::Connect(Box::new(Connect {
            version, clean_start, keep_alive_s, client_id, will, username, password, properties,
        }))
    }
}

prop_compose! {
    fn connack_properties()(
        (session_expiry_interval_s, topic_alias_maximum) in any::<(Option<u32>, Option<u16>)>(),
        (receive_maximum, maximum_packet_size) in (option::of(1..=u16::MAX), option::of(1..=u32::MAX)),
        maximum_qos in option::of(prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)]),
        (retain_available, wildcard_subscription_available) in any::<(Option<bool>, Option<bool>)>(),
        (subscription_identifiers_available, shared_subscription_available) in
            any::<(Option<bool>, Option<bool>)>(),
        server_keep_alive_s in any::<Option<u16>>(),
        (assigned_client_id, reason_string) in (option::of(text()), option::of(text())),
        (response_information, server_reference) in (option::of(text()), option::of(text())),
        (authentication_method, authentication_data) in (option::of(text()), option::of(binary())),
        user_properties in user(),
    ) -> ConnackProperties<'static> {
        ConnackProperties {
            session_expiry_interval_s, receive_maximum, maximum_qos, retain_available, maximum_packet_size,
            assigned_client_id, topic_alias_maximum, reason_string, wildcard_subscription_available,
            subscription_identifiers_available, shared_subscription_available, server_keep_alive_s,
            response_information, server_reference, authentication_method, authentication_data,
            user_properties,
        }
    }
}

fn connack(version: Version) -> BoxedStrategy<Packet<'static>> {
    let packet = |(session_present, reason, properties)| {
        let session_present = session_present && reason == ReasonCode::Success;
        Packet::Connack(Connack { session_present, reason, properties })
    };
    match version {
        Version::V5 => {
            (any::<bool>(), reason(PacketKind::Connack), connack_properties()).prop_map(packet).boxed()
        }
        Version::V31 | Version::V311 => {
            let reason = (0..=5u8).prop_filter_map("3.x has six codes", ReasonCode::of_connect_return_code);
            let session_present = if version == Version::V31 { 0..1 } else { 0..2 };
            (session_present, reason)
                .prop_map(move |(present, reason)| packet((present == 1, reason, Default::default())))
                .boxed()
        }
    }
}

prop_compose! {
    fn publish_properties()(
        (message_expiry_interval_s, topic_alias) in (any::<Option<u32>>(), option::of(1..=u16::MAX)),
        payload_format in option::of(0..=1u8),
        (content_type, response_topic) in (option::of(text()), option::of(topic_name())),
        (correlation_data, user_properties) in (option::of(binary()), user()),
        ids in vec(1..=268_435_455u32, 0..3),
    ) -> PublishProperties<'static> {
        PublishProperties {
            payload_format, message_expiry_interval_s, topic_alias, response_topic, correlation_data,
            content_type, subscription_ids: subscription_ids(&ids), user_properties, block: b"",
        }
    }
}

prop_compose! {
    pub fn publish(version: Version)(
        (dup, qos, retain) in (any::<bool>(), qos(), any::<bool>()),
        (topic, is_alias_alone) in (topic_name(), any::<bool>()),
        (packet_id, payload) in (packet_id(), binary()),
        properties in publish_properties(),
    ) -> Publish<'static> {
        let properties = if version == Version::V5 { properties } else { PublishProperties::default() };
        Publish {
            dup: dup && qos != QoS::AtMostOnce, qos, retain,
            topic: if is_alias_alone && properties.topic_alias.is_some() { "" } else { topic },
            packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
            properties, payload,
        }
    }
}

fn ack(
    kind: PacketKind,
    version: Version,
    packet: fn(Ack<'static>) -> Packet<'static>,
) -> impl Strategy<Value = Packet<'static>> {
    (packet_id(), reason(kind), option::of(text()), user()).prop_map(
        move |(packet_id, reason, reason_string, user_properties)| {
            packet(match version {
                Version::V5 => Ack { packet_id, reason, reason_string, user_properties },
                Version::V31 | Version::V311 => Ack::new(packet_id),
            })
        },
    )
}

prop_compose! {
    fn options(version: Version)(
        qos in qos(), no_local in any::<bool>(), retain_as_published in any::<bool>(),
        retain_handling in prop_oneof![
            Just(RetainHandling::Send), Just(RetainHandling::SendIfNew), Just(RetainHandling::DoNotSend)
        ],
    ) -> SubscriptionOptions {
        match version {
            Version::V5 => SubscriptionOptions { qos, no_local, retain_as_published, retain_handling },
            Version::V31 | Version::V311 => SubscriptionOptions { qos, ..SubscriptionOptions::default() },
        }
    }
}

prop_compose! {
    fn subscribe(version: Version)(
        packet_id in packet_id(), subscription_id in option::of(1..=268_435_455u32), properties in user(),
        filters in vec((text(), options(version)), 1..4),
    ) -> Packet<'static> {
        let is_v5 = version == Version::V5;
        Packet::Subscribe(Subscribe {
            packet_id, subscription_id: subscription_id.filter(|_| is_v5),
            user_properties: if is_v5 { properties } else { UserProperties::default() }, filters,
        })
    }
}

prop_compose! {
    fn suback(version: Version)(
        packet_id in packet_id(), reason_string in option::of(text()), properties in user(),
        codes in vec(reason(PacketKind::Suback), 1..4),
    ) -> Packet<'static> {
        let is_v5 = version == Version::V5;
        let failure = |code: ReasonCode| if code.is_error() { ReasonCode::UnspecifiedError } else { code };
        Packet::Suback(Suback {
            packet_id, reason_string: reason_string.filter(|_| is_v5),
            user_properties: if is_v5 { properties } else { UserProperties::default() },
            codes: if is_v5 { codes } else { codes.into_iter().map(failure).collect() },
        })
    }
}

prop_compose! {
    fn unsubscribe(version: Version)(
        packet_id in packet_id(), properties in user(), filters in vec(text(), 1..4),
    ) -> Packet<'static> {
        let user_properties = if version == Version::V5 { properties } else { UserProperties::default() };
        Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, filters })
    }
}

prop_compose! {
    fn unsuback(version: Version)(
        packet_id in packet_id(), reason_string in option::of(text()), properties in user(),
        codes in vec(reason(PacketKind::Unsuback), 1..4),
    ) -> Packet<'static> {
        let is_v5 = version == Version::V5;
        Packet::Unsuback(Unsuback {
            packet_id, reason_string: reason_string.filter(|_| is_v5),
            user_properties: if is_v5 { properties } else { UserProperties::default() },
            codes: if is_v5 { codes } else { vec![] },
        })
    }
}

prop_compose! {
    fn disconnect()(
        reason in reason(PacketKind::Disconnect), session_expiry_interval_s in any::<Option<u32>>(),
        reason_string in option::of(text()), server_reference in option::of(text()), user_properties in user(),
    ) -> Packet<'static> {
        Packet::Disconnect(Disconnect {
            reason, session_expiry_interval_s, reason_string, server_reference, user_properties,
        })
    }
}

prop_compose! {
    fn auth()(
        reason in reason(PacketKind::Auth), method in text(), data in option::of(binary()),
        reason_string in option::of(text()), user_properties in user(),
    ) -> Packet<'static> {
        Packet::Auth(Auth { reason, method: Some(method), data, reason_string, user_properties })
    }
}

pub fn packet(version: Version) -> BoxedStrategy<Packet<'static>> {
    let common = prop_oneof![
        connect(version),
        connack(version),
        publish(version).prop_map(Packet::Publish),
        ack(PacketKind::Puback, version, Packet::Puback),
        ack(PacketKind::Pubrec, version, Packet::Pubrec),
        ack(PacketKind::Pubrel, version, Packet::Pubrel),
        ack(PacketKind::Pubcomp, version, Packet::Pubcomp),
        subscribe(version),
        suback(version),
        unsubscribe(version),
    ];
    let rest = prop_oneof![unsuback(version), Just(Packet::Pingreq), Just(Packet::Pingresp)];
    match version {
        Version::V5 => prop_oneof![10 => common, 3 => rest, 1 => disconnect(), 1 => auth()].boxed(),
        Version::V31 | Version::V311 => {
            prop_oneof![10 => common, 3 => rest, 1 => Just(Packet::Disconnect(Disconnect::default()))].boxed()
        }
    }
}

pub fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_stream_of_packets_is_read_as_it_was_written(
        (version, packets) in version().prop_flat_map(|v| (Just(v), vec(packet(v), 1..5))),
    ) {
        let mut stream = Vec::new();
        for packet in &packets {
            let before = stream.len();
            packet.encode(version, &mut stream);
            prop_assert_eq!(stream.len() - before, packet.size(version));
        }
        let mut rest = &stream[..];
        for packet in &packets {
            let frame = split(rest, MAX_PACKET_SIZE).expect("valid").expect("complete");
            prop_assert_eq!(&decode(&frame, version).expect("valid"), packet);
            rest = &rest[frame.size..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn every_prefix_of_a_random_packet_is_incomplete(
        (version, packet) in version().prop_flat_map(|v| (Just(v), packet(v))),
    ) {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes);
        for len in 0..bytes.len() {
            prop_assert_eq!(split(&bytes[..len], MAX_PACKET_SIZE), Ok(None));
        }
    }

    /// A byte of a valid packet is replaced: whatever still decodes is a packet in its own right.
    #[test]
    fn a_damaged_packet_is_refused_or_survives_the_wire(
        (version, packet) in version().prop_flat_map(|v| (Just(v), packet(v))),
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let Ok(Some(frame)) = split(&bytes, MAX_PACKET_SIZE) else { return Ok(()) };
        let Ok(decoded) = decode(&frame, version) else { return Ok(()) };
        let mut again = Vec::new();
        decoded.encode(version, &mut again);
        let frame = split(&again, MAX_PACKET_SIZE).expect("valid").expect("complete");
        prop_assert_eq!(decode(&frame, version).expect("valid"), decoded);
    }
}

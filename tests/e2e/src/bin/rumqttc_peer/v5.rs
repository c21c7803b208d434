//! The peer in 5.0.

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{Client, Connection, Event, MqttOptions};

use crate::{PACKET_BYTES_MAX, REQUESTS_MAX, SESSION_EXPIRY_S, client_id};

pub fn publish(port: u16, topic: &str, messages: &[(u8, String)]) {
    let (client, mut connection) = Client::new(options(port, &client_id()), REQUESTS_MAX);
    for (qos, payload) in messages {
        let payload = payload.clone().into_bytes();
        client.publish_with_properties(topic, qos_of(*qos), false, payload, properties()).unwrap();
        await_event(&mut connection, |event| match qos {
            0 => matches!(event, Event::Outgoing(Outgoing::Publish(_))),
            1 => matches!(event, Event::Incoming(Packet::PubAck(_))),
            _ => matches!(event, Event::Incoming(Packet::PubComp(_))),
        });
    }
    client.disconnect().unwrap();
    await_event(&mut connection, |event| matches!(event, Event::Outgoing(Outgoing::Disconnect)));
}

pub fn subscribe(port: u16, qos: u8, filter: &str, count: usize, session: &[&str]) {
    let mut options = match session {
        [client_id] => options(port, client_id),
        _ => options(port, &client_id()),
    };
    if !session.is_empty() {
        options.set_clean_start(false).set_session_expiry_interval(Some(SESSION_EXPIRY_S));
    }
    let (client, mut connection) = Client::new(options, REQUESTS_MAX);
    client.subscribe(filter, qos_of(qos)).unwrap();
    let mut left = count;
    let mut is_subscribed = false;
    await_event(&mut connection, |event| {
        match event {
            Event::Incoming(Packet::SubAck(suback)) => {
                let granted = matches!(suback.return_codes[..], [SubscribeReasonCode::Success(_)]);
                assert!(granted, "{suback:?}");
                println!("subscribed");
                is_subscribed = true;
            }
            Event::Incoming(Packet::Publish(publish)) => {
                println!("{}", line_of(publish));
                left -= 1;
            }
            _ => {}
        }
        // Messages of a session that was there before can come first.
        is_subscribed && left == 0
    });
    client.disconnect().unwrap();
    await_event(&mut connection, |event| matches!(event, Event::Outgoing(Outgoing::Disconnect)));
}

fn options(port: u16, client_id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
    options.set_max_packet_size(u32::try_from(PACKET_BYTES_MAX).ok());
    options
}

fn await_event(connection: &mut Connection, mut wanted: impl FnMut(&Event) -> bool) {
    for event in connection.iter() {
        if wanted(&event.unwrap()) {
            return;
        }
    }
}

fn properties() -> PublishProperties {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    PublishProperties {
        content_type: Some("text/plain".to_owned()),
        response_topic: Some("reply/here".to_owned()),
        correlation_data: Some("request-7".into()),
        user_properties: vec![pair("colour", "blue"), pair("colour", "green")],
        ..PublishProperties::default()
    }
}

fn line_of(publish: &Publish) -> String {
    let properties = publish.properties.clone().unwrap_or_default();
    let pairs: Vec<String> =
        properties.user_properties.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = [
        text(&publish.topic),
        (publish.qos as u8).to_string(),
        u8::from(publish.retain).to_string(),
        text(&publish.payload),
        properties.content_type.unwrap_or_default(),
        properties.response_topic.unwrap_or_default(),
        text(properties.correlation_data.as_deref().unwrap_or_default()),
        pairs.join(" "),
    ];
    fields.join("\t")
}

fn qos_of(number: u8) -> QoS {
    rumqttc::v5::mqttbytes::qos(number).unwrap()
}

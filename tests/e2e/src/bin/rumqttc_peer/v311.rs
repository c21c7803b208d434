//! The peer in 3.1.1.

use rumqttc::{Client, Connection, Event, MqttOptions, Outgoing, Packet, Publish, QoS, SubscribeReasonCode};

use crate::{PACKET_BYTES_MAX, REQUESTS_MAX, client_id};

pub fn publish(port: u16, topic: &str, messages: &[(u8, String)]) {
    let (client, mut connection) = Client::new(options(port, &client_id()), REQUESTS_MAX);
    for (qos, payload) in messages {
        client.publish(topic, qos_of(*qos), false, payload.as_bytes()).unwrap();
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
        options.set_clean_session(false);
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
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    options
}

fn await_event(connection: &mut Connection, mut wanted: impl FnMut(&Event) -> bool) {
    for event in connection.iter() {
        if wanted(&event.unwrap()) {
            return;
        }
    }
}

fn line_of(publish: &Publish) -> String {
    let payload = String::from_utf8_lossy(&publish.payload);
    format!("{}\t{}\t{}\t{payload}\t\t\t\t", publish.topic, publish.qos as u8, u8::from(publish.retain))
}

fn qos_of(number: u8) -> QoS {
    rumqttc::qos(number).unwrap()
}

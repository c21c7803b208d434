//! The way of a connection to its home shard, with all that the client sent meanwhile.

use client::QoS;
use e2e::socket::{self, Socket};
use e2e::{Broker, Link, v5};

#[test]
fn every_client_is_served_at_its_home() {
    let broker = Broker::start("hand-over", SHARDS);
    let mut links: Vec<Link> =
        (0..CLIENTS).map(|number| Link::connect(broker.port, v5(&format!("client-{number}")))).collect();
    let mut clients_by_home = [0; SHARDS as usize];
    for number in 0..CLIENTS {
        clients_by_home[usize::from(broker.home_of(&format!("client-{number}")))] += 1;
    }
    assert!(clients_by_home.iter().all(|clients| *clients > 0), "{clients_by_home:?}");
    let moved = broker.counter("connections_handed_over");
    // With four shards three of four connections arrive elsewhere.
    assert!(moved > CLIENTS / 2 && moved < CLIENTS, "{moved} of {CLIENTS} moved");

    for (number, link) in links.iter_mut().enumerate() {
        link.subscribe(&format!("to/{number}"), QoS::AtLeastOnce);
    }
    let sender = links.len() - 1;
    for number in 0..links.len() {
        links[sender].publish(&format!("to/{number}"), number.to_string(), QoS::AtLeastOnce);
        assert_eq!(links[number].text(), number.to_string());
    }
}

#[test]
fn bytes_behind_the_connect_move_along() {
    let broker = Broker::start("hand-over-bytes", SHARDS);
    for number in 0..CLIENTS {
        let client_id = format!("hasty-{number}");
        let payload = vec![b'x'; usize::try_from(number).unwrap() * 100];
        let mut subscribe_body = vec![0, 1];
        subscribe_body.extend(socket::string(&client_id));
        subscribe_body.push(1);
        let bytes = [
            socket::connect(&client_id, true),
            socket::frame(0x82, &subscribe_body),
            socket::publish_acknowledged(&client_id, &payload, QoS::AtLeastOnce, 2),
            socket::frame(0xC0, &[]),
        ]
        .concat();

        // All at once, or with the cut at any place: nobody waits for a CONNACK.
        let cut = usize::try_from(number).unwrap() % bytes.len();
        let mut client = Socket::open(broker.port);
        client.send(&bytes[..cut]);
        client.send(&bytes[cut..]);
        assert_eq!(client.packet(), (0x20, vec![0, 0]), "{client_id}");
        let mut answers: Vec<(u8, Vec<u8>)> = (0..4).map(|_| client.packet()).collect();
        answers.sort();
        let kinds: Vec<u8> = answers.iter().map(|(first, _)| *first).collect();
        assert_eq!(kinds, [0x32, 0x40, 0x90, 0xD0], "PUBLISH, PUBACK, SUBACK and PINGRESP for {client_id}");
        assert!(answers[0].1.ends_with(&payload));
    }
}

const SHARDS: u8 = 4;
const CLIENTS: u64 = 200;

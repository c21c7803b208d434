//! The last packets of clients whose sessions have ended.

use mqtt::{PacketKind, ReasonCode};
use shard::{Act, LastPackets, Look, Recorded, Seen};

use crate::script::{Script, connect};

fn last(s: &Script, client_id: &str) -> Option<LastPackets> {
    match s.look(0, &Look::Packets { client_id: client_id.into(), topic_filter: None }) {
        Seen::Packets(packets) => packets.map(|packets| *packets),
        other => panic!("{other:?}"),
    }
}

fn kinds(packets: &[Recorded]) -> Vec<PacketKind> {
    packets.iter().map(|packet| packet.kind).collect()
}

#[test]
fn the_last_packets_of_a_session_outlive_it() {
    use PacketKind::{Disconnect, Publish, Suback, Subscribe};
    let mut s = Script::of_one();
    assert_eq!(last(&s, "c"), None);
    let client = s.join("c");
    s.subscribe(client, "a", 0);
    s.publish(client, "a", "x");
    s.disconnect(client, ReasonCode::Success);
    s.secs(3);
    let LastPackets { packets, ended } = last(&s, "c").unwrap();
    let ended = ended.unwrap();
    assert_eq!((packets.len(), ended.ago.as_secs()), (0, 3));
    assert_eq!(kinds(&ended.packets), [Subscribe, Suback, Publish, Publish, Disconnect]);
    let left = ended.left.unwrap();
    assert_eq!((&*left.why, left.ago.as_secs()), ("the client disconnected", 3));

    let client = s.join("c");
    s.publish(client, "b", "x");
    let both = last(&s, "c").unwrap();
    assert_eq!((kinds(&both.packets), both.ended.unwrap().packets.len()), (vec![Publish], 5));
    s.cut(client);
    let ended = last(&s, "c").unwrap().ended.unwrap();
    assert_eq!(kinds(&ended.packets), [Publish], "one session for each client");
}

#[test]
fn a_session_that_ends_long_after_its_client_left_keeps_what_it_did() {
    let mut s = Script::of_one();
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "a", 1);
    s.cut(client);
    assert!(last(&s, "c").unwrap().ended.is_none(), "it lives");
    s.secs(3605);
    let ended = last(&s, "c").unwrap().ended.unwrap();
    assert_eq!(ended.why, "nobody came back in time");
    assert_eq!((ended.packets.len(), ended.left.unwrap().ago.as_secs() >= 3600), (2, true));
}

#[test]
fn why_a_session_ended_is_known_apart_from_why_its_client_left() {
    let mut s = Script::of_one();
    for (client_id, why) in [("kicked", "an operator has ended it"), ("anew", "its client began another one")]
    {
        let client = s.join_for_an_hour(client_id);
        s.subscribe(client, "a", 1);
        s.cut(client);
        match client_id {
            "kicked" => drop(s.act(0, Act::EndSession { client_id: client_id.into() })),
            _ => drop(s.join(client_id)),
        }
        let ended = last(&s, client_id).unwrap().ended.unwrap();
        assert_eq!((ended.why, &*ended.left.unwrap().why), (why, "the network connection was closed"));
    }
}

#[test]
fn of_thousands_that_end_at_once_the_last_are_kept() {
    let mut s = Script::of_one();
    let clients: Vec<_> = (0..10_000).map(|n| s.join(&format!("c{n}"))).collect();
    for client in &clients {
        s.subscribe(*client, "a", 0);
    }
    clients.iter().for_each(|client| s.cut(*client));
    let kept: Vec<usize> = (0..10_000).filter(|n| last(&s, &format!("c{n}")).is_some()).collect();
    assert_eq!(kept, (10_000 - 256..10_000).collect::<Vec<_>>());
}

#[test]
fn who_was_named_by_the_broker_is_forgotten() {
    let mut s = Script::of_one();
    let (client, _) = s.connect(&connect(""));
    s.subscribe(client, "a", 0);
    let named = match s.look(0, &Look::Clients { matching: Default::default(), after: None, most: 9 }) {
        Seen::Clients(page) => page.rows[0].client_id.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(last(&s, &named).is_some());
    s.cut(client);
    assert_eq!(last(&s, &named), None);
}

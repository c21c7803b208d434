//! Who was here last: the last packets of clients whose sessions have ended, and the users of those that are away.

use mqtt::{Connect, ConnectProperties, PacketKind, ReasonCode, WillProperties};
use shard::{Act, LastPackets, Look, Matching, Recorded, Seen};

use crate::{
    regranting::{accept, config},
    script::{Script, connect},
};

pub fn last(s: &Script, client_id: &str) -> Option<LastPackets> {
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

/// The clients of anna with their users, and whether they are here.
fn of_anna(s: &Script) -> Vec<(String, bool)> {
    let matching = Matching { user: Some("anna".into()), ..Matching::default() };
    match s.look(0, &Look::Clients { matching, after: None, most: 9999 }) {
        Seen::Clients(page) => {
            assert!(page.rows.iter().all(|row| row.user.as_deref() == Some("anna")));
            page.rows.iter().map(|row| (row.client_id.to_string(), row.link.is_some())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_a_session_that_is_away_the_user_is_remembered_for_a_while_and_by_its_will() {
    let mut s = Script::new(config(None));
    let come = |s: &mut Script, client_id: &str, user: &str, has_will: bool| {
        let delay_interval_s = Some(1000);
        let properties = WillProperties { delay_interval_s, ..WillProperties::default() };
        let will = has_will.then(|| mqtt::Will { topic: "a", properties, ..mqtt::Will::default() });
        let properties =
            ConnectProperties { session_expiry_interval_s: Some(3600), ..ConnectProperties::default() };
        let client = s.open_by(0, false);
        s.say_connect(client, &Connect { properties, will, ..connect(client_id) });
        s.answer(client, accept("file", user, "all"));
        s.hear(client);
        client
    };
    let [with_will, without] =
        [("w", true), ("p", false)].map(|(client_id, has_will)| come(&mut s, client_id, "anna", has_will));
    s.cut(with_will);
    assert_eq!(of_anna(&s), [("w".to_owned(), false), ("p".to_owned(), true)]);
    s.cut(without);
    assert_eq!(of_anna(&s), [("w".to_owned(), false), ("p".to_owned(), false)]);
    for number in 0..1024 {
        let other = come(&mut s, &format!("other-{number}"), "bob", false);
        s.cut(other);
    }
    assert_eq!(of_anna(&s), [("w".to_owned(), false)], "so many are remembered");
    let other = come(&mut s, "w", "bob", false);
    s.cut(other);
    assert!(of_anna(&s).is_empty(), "as whom it was here last");
}

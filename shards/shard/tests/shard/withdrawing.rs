//! Who gives up many filters tells the other shards in little mail, whatever way they are given up, and in the order of the calls.

use mqtt::{
    Packet, PacketId, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe, UserProperties, Version,
};
use shard::{Config, Event, ShardId};

use crate::script::{Client, Script};

fn of(shards: u8) -> (Script, Vec<String>) {
    let config = Config { shards, ..Config::default() };
    let ids = Script::ids_by_home(&config, "client");
    (Script::new(config), ids)
}

/// So many filters, every other one shared.
fn filters(count: usize) -> Vec<String> {
    (0..count).map(|n| if n % 2 == 0 { format!("a/{n}") } else { format!("$share/g/a/{n}") }).collect()
}

pub fn subscribe(filters: &[String]) -> Packet<'_> {
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: filters.iter().map(|filter| (&**filter, SubscriptionOptions::default())).collect(),
    })
}

pub fn unsubscribe(filters: &[String]) -> Packet<'_> {
    let filters = filters.iter().map(|filter| &**filter).collect();
    Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::MIN,
        user_properties: UserProperties::default(),
        filters,
    })
}

/// How much mail it takes.
fn mail_of(s: &mut Script, work: impl FnOnce(&mut Script)) -> u64 {
    let before = s.counter("mail_sent");
    work(s);
    s.counter("mail_sent") - before
}

fn filters_known(s: &Script) -> Vec<usize> {
    s.shards.iter().map(|shard| shard.gauges().filters).collect()
}

/// All packets in one turn.
fn say(s: &mut Script, client: Client, packets: &[Packet<'_>]) {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.encode(Version::V5, &mut bytes));
    s.bytes(client, &bytes);
}

#[test]
fn an_unsubscribe_of_many_filters_is_one_piece_of_mail_for_each_shard() {
    let (mut s, ids) = of(3);
    let client = s.join(&ids[0]);
    // As many as one tick has room for.
    let filters = filters(400);
    s.packet(client, &subscribe(&filters));
    assert_eq!(filters_known(&s), [400; 3]);
    assert_eq!(mail_of(&mut s, |s| s.packet(client, &unsubscribe(&filters))), 2);
    assert_eq!(filters_known(&s), [0; 3]);
}

#[test]
fn a_session_that_ends_tells_of_the_filters_of_one_tick_in_one_piece() {
    let (mut s, ids) = of(2);
    let client = s.join(&ids[0]);
    let filters = filters(1000);
    s.packet(client, &subscribe(&filters));
    s.secs(1);
    assert_eq!(filters_known(&s), [1000; 2]);
    let mail = mail_of(&mut s, |s| {
        s.disconnect(client, ReasonCode::Success);
        s.secs(1);
    });
    assert_eq!(filters_known(&s), [0; 2]);
    assert!((1..=2).contains(&mail), "two ticks have room for all of them, and there were {mail} letters");
}

#[test]
fn clients_that_leave_in_one_tick_share_a_piece() {
    let (mut s, ids) = of(2);
    let filters = filters(10);
    let clients: Vec<_> = (0..10).map(|n| s.join(&format!("{}-{n}", ids[0]))).collect();
    for client in &clients {
        s.packet(*client, &subscribe(&filters));
    }
    let here = clients.iter().filter(|client| s.conn(**client).0 == 0).count();
    assert!(here > 1, "some of them have one home");
    let conns: Vec<_> = clients.iter().map(|client| s.conn(*client)).collect();
    let mail = mail_of(&mut s, |s| {
        for (shard, conn) in conns {
            s.event(shard, Event::Closed { conn });
        }
        s.settle();
    });
    assert_eq!(mail, 2, "one for each direction");
    assert_eq!(filters_known(&s), [0; 2]);
}

#[test]
fn what_one_piece_has_no_room_for_goes_with_the_next() {
    let (mut s, ids) = of(2);
    let client = s.join(&ids[0]);
    let filters: Vec<String> = (0..10).map(|n| format!("{n}{}", "x".repeat(10_000))).collect();
    s.packet(client, &subscribe(&filters));
    assert_eq!(mail_of(&mut s, |s| s.packet(client, &unsubscribe(&filters))), 4, "three fit 32 KiB");
    let longest = ["x".repeat(65_000)];
    s.packet(client, &subscribe(&longest));
    assert_eq!(filters_known(&s), [1; 2]);
    assert_eq!(
        mail_of(&mut s, |s| s.packet(client, &unsubscribe(&longest))),
        1,
        "what fits none has its own"
    );
    assert_eq!(filters_known(&s), [0; 2]);
}

#[test]
fn a_filter_that_goes_and_comes_is_known_as_it_was_left_last() {
    for slots in [100, 0] {
        let (mut s, ids) = of(2);
        let (client, publisher) = (s.join(&ids[0]), s.join(&ids[1]));
        let filters = filters(10);
        s.packet(client, &subscribe(&filters));
        s.hear(client);
        s.event(0, Event::MailRoom { to: ShardId(1), slots });
        say(&mut s, client, &[unsubscribe(&filters), subscribe(&filters), unsubscribe(&filters[..4])]);
        s.give_room(100);
        assert_eq!(filters_known(&s), [6; 2]);
        s.hear(client);
        s.publish(publisher, "a/3", "not asked for");
        s.publish(publisher, "a/4", "x");
        s.publish(publisher, "a/5", "y");
        assert_eq!(s.hear(client), ["a/4 'x'", "a/5 'y'"]);
    }
}

#[test]
fn messages_have_room_beside_those_who_leave() {
    let (mut s, ids) = of(2);
    let (leaving, publisher) = (s.join(&ids[0]), s.join(&format!("{}-again", ids[0])));
    let subscriber = s.join(&ids[1]);
    let publisher_home = s.conn(publisher).0;
    s.subscribe(subscriber, "b", 0);
    s.hear(subscriber);
    let filters = filters(1000);
    s.packet(leaving, &subscribe(&filters));
    for to in 0..2 {
        let from = 1 - usize::from(to);
        s.event(from, Event::MailRoom { to: ShardId(to), slots: 2 });
    }
    let mut bytes = Vec::new();
    unsubscribe(&filters).encode(Version::V5, &mut bytes);
    let conn = s.conn(leaving).1;
    s.event(0, Event::Bytes { conn, bytes: &bytes });
    s.publish(publisher, "b", "x");
    assert_eq!((publisher_home, s.hear(subscriber)), (0, vec!["b 'x'".to_owned()]));
    assert_eq!(s.counter("dropped_mesh_full"), 0);
}

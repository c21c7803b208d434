//! What is stored and confirmed between shards, and what comes back of it.

use mqtt::{Connect, Packet, PacketId, Publish, QoS, Version, Will, WillProperties};
use shard::{Config, Effect, Effects, Event, Instant, Mail, Shard, ShardId, store::restoring::Restoring};

use crate::{
    keeping::come_back,
    script::{Client, Script, ack, connect, publish},
};

/// Two shards, with a publisher on one and an absent subscriber to `a` on the other.
fn apart() -> (Script, Client, String) {
    let config = Config { shards: 2, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let subscribers = Script::ids_by_home(&config, "s");
    let publishers = Script::ids_by_home(&config, "p");
    let mut s = Script::new(config);
    let subscriber = s.join_for_an_hour(&subscribers[1]);
    s.subscribe(subscriber, "a", 2);
    s.cut(subscriber);
    let publisher = s.join(&publishers[0]);
    (s, publisher, subscribers[1].clone())
}

#[test]
fn an_acknowledgement_waits_for_the_shard_that_stores() {
    let (mut s, publisher, subscriber) = apart();
    s.disk_is_slow = true;
    s.publish_qos(publisher, "a", "x", 1, 1);
    s.publish_qos(publisher, "nobody", "y", 1, 2);
    assert_eq!(s.hear(publisher), Vec::<String>::new());
    assert!(!s.store(0), "the publisher's own shard has nothing to store");
    assert!(s.store(1));
    s.settle();
    assert_eq!(s.hear(publisher), ["PUBACK 1", "PUBACK 2 No matching subscribers"]);
    s.crash();
    s.disk_is_slow = false;
    while s.store(0) || s.store(1) {}
    assert_eq!(come_back(&mut s, &subscriber).1, ["CONNACK Success present", "a 'x' q1 #1"]);
}

#[test]
fn what_is_subscribed_to_on_another_shard_is_known_again_after_a_crash() {
    let (mut s, _, subscriber) = apart();
    let (client, _) = come_back(&mut s, &subscriber);
    s.subscribe(client, "$share/g/b", 1);
    s.crash();
    let config = Config { shards: 2, ..Config::default() };
    let publisher = s.join(&Script::ids_by_home(&config, "p")[0]);
    s.publish_qos(publisher, "a", "x", 1, 1);
    s.publish_qos(publisher, "b", "y", 1, 2);
    assert_eq!(s.hear(publisher), ["PUBACK 1", "PUBACK 2"]);
    assert_eq!(come_back(&mut s, &subscriber).1[1..], ["a 'x' q1 #1", "b 'y' q1 #2"]);
}

#[test]
fn a_shared_message_that_is_passed_on_is_confirmed_by_who_stores_it() {
    let config = Config { shards: 3, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let ids: Vec<Vec<String>> =
        ["p", "s"].iter().map(|prefix| Script::ids_by_home(&config, prefix)).collect();
    let mut s = Script::new(config);
    for shard in [1, 2] {
        let member = s.join_for_an_hour(&ids[1][shard]);
        s.subscribe(member, "$share/g/a", 1);
        s.cut(member);
    }
    let publisher = s.join(&ids[0][0]);
    s.disk_is_slow = true;
    for n in 1..=4 {
        s.publish_qos(publisher, "a", "x", 1, n);
    }
    assert_eq!(s.hear(publisher), Vec::<String>::new());
    while s.store(0) || s.store(1) || s.store(2) {
        s.settle();
    }
    assert_eq!(s.hear(publisher), ["PUBACK 1", "PUBACK 2", "PUBACK 3", "PUBACK 4"]);
    s.disk_is_slow = false;
    s.crash();
    let heard = [1, 2].map(|shard| come_back(&mut s, &ids[1][shard]).1.len());
    assert_eq!(heard.iter().sum::<usize>(), 2 + 4, "each has a CONNACK, and one of them each message");
}

/// Subscribers who are away, and a publication at QoS 2 for them that waits for the disks.
fn begin(s: &mut Script, subscribers: &[String], publisher: &str) -> Client {
    for subscriber in subscribers {
        let client = s.join_for_an_hour(subscriber);
        s.subscribe(client, "a", 2);
        s.cut(client);
    }
    let (client, _) = come_back(s, publisher);
    s.disk_is_slow = true;
    s.publish_qos(client, "a", "x", 2, 7);
    client
}

/// Publishes at QoS 2 until the handshake is over, as a client does that loses its connection in between.
fn hand_over(s: &mut Script, publisher: &str, payload: &str) {
    let (client, _) = come_back(s, publisher);
    s.publish_qos(client, "a", payload, 2, 7);
    assert_eq!(s.hear(client), ["PUBREC 7"]);
    s.packet(client, &Packet::Pubrel(ack(7)));
    assert_eq!(s.hear(client), ["PUBCOMP 7"]);
    s.cut(client);
}

#[test]
fn a_qos_2_publication_counts_once_whoever_has_moved_where() {
    // Which disks have done their work when the world ends, and how many shards there are after it.
    for stored in [&[][..], &[0], &[1], &[2], &[0, 2], &[1, 2], &[0, 1, 2]] {
        for (to, then) in [(1, 2), (2, 3), (4, 1), (5, 3)] {
            let config = Config { shards: 3, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
            let publisher = &Script::ids_by_home(&config, "p")[0];
            let mut s = Script::new(config);
            let subscribers: Vec<String> = (0..9).map(|n| format!("s{n}")).collect();
            begin(&mut s, &subscribers, publisher);
            stored.iter().for_each(|shard| assert!(s.store(*shard)));
            s.disk_is_slow = false;
            // Once more before the publisher comes, and once after it.
            s.move_to(to);
            s.move_to(then);
            hand_over(&mut s, publisher, "x");
            s.move_to(to);
            hand_over(&mut s, publisher, "y");
            for subscriber in &subscribers {
                let heard = come_back(&mut s, subscriber).1;
                let what = format!("{subscriber}: {stored:?} to {to}, {then}");
                assert_eq!(heard[1..], ["a 'x' q2 #1", "a 'y' q2 #2"], "{what}");
            }
        }
    }
}

#[test]
fn a_packet_id_is_free_everywhere_when_its_publication_is_released() {
    let config = Config { shards: 3, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let publisher = &Script::ids_by_home(&config, "p")[0];
    let subscribers = Script::ids_by_home(&config, "s");
    let mut s = Script::new(config);
    begin(&mut s, &subscribers[1..], publisher);
    assert!(s.store(1), "one of the others has stored it");
    s.disk_is_slow = false;
    s.crash();
    // When the publisher comes again, nobody there wants it any more.
    let (client, heard) = come_back(&mut s, &subscribers[1]);
    assert_eq!(heard[1..], ["a 'x' q2 #1"]);
    s.unsubscribe(client, "a");
    let (again, _) = come_back(&mut s, publisher);
    let publication = publish("a", "x", QoS::ExactlyOnce, PacketId::new(7));
    s.packet(again, &Packet::Publish(Publish { dup: true, ..publication }));
    assert_eq!(s.hear(again), ["PUBREC 7"]);
    s.packet(again, &Packet::Pubrel(ack(7)));
    assert_eq!(s.hear(again), ["PUBCOMP 7"]);
    s.cut(again);
    s.subscribe(client, "a", 2);
    s.hear(client);
    hand_over(&mut s, publisher, "y");
    assert_eq!(s.hear(client).len(), 1, "another message, with the packet id of the first");
}

#[test]
fn a_qos_2_publication_counts_once_on_every_shard_wherever_the_world_ends() {
    // The disks do their work in one of these orders, and the world ends after so many steps.
    for order in [[0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0], [0, 0, 1, 0, 1, 1], [1, 1, 0, 0, 0, 1]] {
        for steps in 0..=order.len() {
            let config = Config { shards: 2, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
            let subscribers = Script::ids_by_home(&config, "s");
            let publisher = &Script::ids_by_home(&config, "p")[0];
            let mut s = Script::new(config);
            let client = begin(&mut s, &subscribers, publisher);
            let mut is_acknowledged = false;
            for shard in &order[..steps] {
                s.store(*shard);
                s.settle();
                if s.hear(client).contains(&"PUBREC 7".to_owned()) {
                    is_acknowledged = true;
                    s.packet(client, &Packet::Pubrel(ack(7)));
                }
            }
            s.disk_is_slow = false;
            s.crash();
            while s.store(0) || s.store(1) {
                s.settle();
            }
            let what = format!("{order:?} until {steps}, acknowledged: {is_acknowledged}");
            if is_acknowledged {
                let (client, _) = come_back(&mut s, publisher);
                s.packet(client, &Packet::Pubrel(ack(7)));
                assert!(s.hear(client)[0].starts_with("PUBCOMP 7"), "{what}");
            } else {
                hand_over(&mut s, publisher, "x");
            }
            // The packet id is free for another message.
            hand_over(&mut s, publisher, "y");
            for subscriber in &subscribers {
                let heard = come_back(&mut s, subscriber).1;
                assert_eq!(heard[1..], ["a 'x' q2 #1", "a 'y' q2 #2"], "{what}");
            }
            let client = s.join(publisher);
            s.cut(client);
            for subscriber in &subscribers {
                s.join(subscriber);
            }
            s.crash();
            let live: usize = s.shards.iter().map(|shard| shard.gauges().stored_live_bytes).sum();
            assert_eq!(live, 0, "{what}");
        }
    }
}

/// Three shards: a publisher with a session on the first, absent subscribers to `a` and to `$share/g/a` on the second.
fn apart_with_group() -> (Script, String, [String; 2]) {
    let config = Config { shards: 3, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let [plain, member, publisher] = ["s", "m", "q"].map(|prefix| Script::ids_by_home(&config, prefix));
    let mut s = Script::new(config);
    for (client_id, filter) in [(&plain[1], "a"), (&member[1], "$share/g/a")] {
        let client = s.join_for_an_hour(client_id);
        s.subscribe(client, filter, 2);
        s.cut(client);
    }
    (s, publisher[0].clone(), [plain[1].clone(), member[1].clone()])
}

#[test]
fn a_shared_subscription_gets_its_own_copy_beside_that_of_others() {
    let (mut s, publisher, subscribers) = apart_with_group();
    hand_over(&mut s, &publisher, "x");
    s.crash();
    hand_over(&mut s, &publisher, "y");
    for subscriber in &subscribers {
        assert_eq!(come_back(&mut s, subscriber).1[1..], ["a 'x' q2 #1", "a 'y' q2 #2"]);
    }
}

/// The publisher's shard knows nothing of it after the crash, the other one everything.
#[test]
fn what_is_repeated_to_a_shared_subscription_counts_once_and_leaves_nothing() {
    let (mut s, publisher, subscribers) = apart_with_group();
    let (client, _) = come_back(&mut s, &publisher);
    s.disk_is_slow = true;
    s.publish_qos(client, "a", "x", 2, 7);
    // Each copy comes in mail of its own.
    for _ in 0..2 {
        assert!(s.store(1));
        s.settle();
    }
    s.disk_is_slow = false;
    s.crash();
    hand_over(&mut s, &publisher, "x");
    for subscriber in &subscribers {
        assert_eq!(come_back(&mut s, subscriber).1[1..], ["a 'x' q2 #1"]);
        s.join(subscriber);
    }
    assert_eq!(s.counter("publish_duplicates"), 2);
    assert_eq!(s.shards[1].gauges().stored_messages, 0);
    assert_eq!(s.shards[1].gauges().stored_live_bytes, 0);
}

/// The shard that is asked first has only members that cannot take the message, and passes it on.
#[test]
fn the_packet_id_of_what_was_passed_on_is_free_again_where_it_went() {
    let config = Config { shards: 3, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let [members, publishers] = ["m", "q"].map(|prefix| Script::ids_by_home(&config, prefix));
    let mut s = Script::new(config);
    let absent = s.join_for_an_hour(&members[1]);
    s.subscribe(absent, "$share/g/a", 2);
    s.cut(absent);
    let present = s.join_for_an_hour(&members[2]);
    s.subscribe(present, "$share/g/a", 2);
    s.hear(present);
    let mut expected = Vec::new();
    for n in 1..=6 {
        hand_over(&mut s, &publishers[0], &n.to_string());
        expected.push(format!("a '{n}' q2 #{n}"));
    }
    assert_eq!(s.hear(present), expected);
}

/// Nobody but the other shard has stored anything of the publisher when the world ends.
#[test]
fn a_session_is_not_taken_for_one_that_only_others_remember() {
    let (mut s, passing, subscriber) = apart();
    s.cut(passing);
    let config = Config { shards: 2, ..Config::default() };
    let publisher = &Script::ids_by_home(&config, "q")[0];
    s.disk_is_slow = true;
    let (client, _) = come_back(&mut s, publisher);
    s.publish_qos(client, "a", "x", 2, 7);
    assert!(s.store(1));
    s.disk_is_slow = false;
    s.crash();
    assert_eq!(s.shards[0].gauges().sessions, 0);
    hand_over(&mut s, publisher, "y");
    assert_eq!(come_back(&mut s, &subscriber).1[1..], ["a 'x' q2 #1", "a 'y' q2 #2"]);
}

#[test]
fn a_publisher_whose_end_was_not_stored_everywhere_leaves_nothing() {
    let (mut s, _, subscriber) = apart();
    let config = Config { shards: 2, ..Config::default() };
    let publisher = &Script::ids_by_home(&config, "q")[0];
    let (client, _) = come_back(&mut s, publisher);
    s.publish_qos(client, "a", "x", 2, 7);
    assert_eq!(s.hear(client), ["PUBREC 7"]);
    s.disk_is_slow = true;
    s.join(publisher);
    assert!(s.store(0));
    s.disk_is_slow = false;
    s.crash();
    s.join(&subscriber);
    assert_eq!(s.shards[1].gauges().stored_live_bytes, 0);
    s.crash();
    assert_eq!(s.shards[1].gauges().stored_live_bytes, 0);
}

/// The store writes a session again while a publication of its client waits for the confirmation of another shard.
#[test]
fn a_session_that_is_written_again_has_not_received_what_others_have_not_confirmed() {
    let (mut s, _, subscriber) = apart();
    let config = Config { shards: 2, ..Config::default() };
    let publisher = &Script::ids_by_home(&config, "q")[0];
    let (client, _) = come_back(&mut s, publisher);
    s.disk_is_slow = true;
    s.publish_qos(client, "a", "x", 2, 7);
    s.give_up_oldest(0);
    assert!(s.store(0));
    s.settle();
    assert_eq!(s.hear(client), Vec::<String>::new());
    s.disk_is_slow = false;
    s.crash();
    hand_over(&mut s, publisher, "x");
    assert_eq!(come_back(&mut s, &subscriber).1[1..], ["a 'x' q2 #1"]);
}

/// What follows the end of the connection, before the will is stored everywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    Nothing,
    Return,
    CleanStart,
    Cleaning,
}

#[test]
fn a_will_outlives_its_session_until_other_shards_have_stored_it() {
    for then in [Then::Nothing, Then::Return, Then::CleanStart, Then::Cleaning] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for order in [[0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0], [0, 0, 1, 0, 1, 1]] {
                for steps in 0..=order.len() {
                    let what = format!("{then:?}, {qos:?}, {order:?} until {steps}");
                    die(then, qos, &order[..steps], &what);
                }
            }
        }
    }
}

/// A session of an hour, and what is to be said of its client's end.
fn mortal_with_will(client_id: &str, qos: QoS) -> Connect<'_> {
    let mut wanted = Connect { clean_start: false, ..connect(client_id) };
    wanted.properties.session_expiry_interval_s = Some(3600);
    let properties = WillProperties::default();
    wanted.will = Some(Will { qos, retain: false, topic: "a", payload: b"gone", properties });
    wanted
}

fn die(then: Then, qos: QoS, order: &[usize], what: &str) {
    let config = Config { shards: 2, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let subscribers = Script::ids_by_home(&config, "s");
    let mortal = &Script::ids_by_home(&config, "q")[0];
    let mut s = Script::new(config);
    for subscriber in &subscribers {
        let client = s.join_for_an_hour(subscriber);
        s.subscribe(client, "a", 2);
        s.cut(client);
    }
    let (client, _) = s.connect(&mortal_with_will(mortal, qos));
    s.disk_is_slow = true;
    s.cut(client);
    match then {
        Then::Nothing => {}
        Then::Return => _ = come_back(&mut s, mortal),
        Then::CleanStart => _ = s.join(mortal),
        Then::Cleaning => {
            s.store(0);
            (0..s.batches(0)).for_each(|_| s.give_up_oldest(0));
            while s.store(0) {
                s.settle();
            }
        }
    }
    for shard in order {
        s.store(*shard);
        s.settle();
    }
    s.disk_is_slow = false;
    s.crash();
    s.secs(1);
    for subscriber in &subscribers {
        let heard = come_back(&mut s, subscriber).1;
        let gone = heard.iter().filter(|line| line.starts_with("a 'gone'")).count();
        assert_eq!(gone, 1, "{what}: {heard:?}");
    }
    s.crash();
    s.secs(1);
    assert_eq!(s.counter("wills_published"), 0, "{what}: not for ever");
    for client_id in subscribers.iter().chain([mortal]) {
        s.join(client_id);
    }
    for shard in &s.shards {
        let gauges = shard.gauges();
        assert_eq!(
            (gauges.stored_live_bytes, gauges.stored_messages, gauges.will_bytes),
            (0, 0, 0),
            "{what}"
        );
    }
}

/// A member of a group at one shard breaks off while messages for it are under way from the other.
#[test]
fn what_a_member_that_breaks_off_cannot_take_goes_to_the_others_and_its_will_comes_once() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let config = Config { shards: 2, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
        let [members, watchers, publishers] =
            ["m", "w", "p"].map(|prefix| Script::ids_by_home(&config, prefix));
        let mut s = Script::new(config);
        let watchers: Vec<Client> = watchers.iter().map(|id| s.join(id)).collect();
        watchers.iter().for_each(|watcher| s.subscribe(*watcher, "a", 2));
        let (leaving, _) = s.connect(&mortal_with_will(&members[0], qos));
        let staying = s.join_for_an_hour(&members[1]);
        [leaving, staying].iter().for_each(|member| s.subscribe(*member, "$share/g/a", 2));
        let publisher = s.join(&publishers[1]);
        (1..=4).for_each(|n| s.publish_qos(publisher, "a", &n.to_string(), qos as u8, n));
        let before = s.hear(leaving).into_iter().filter(|line| line.starts_with("a ")).count();
        assert!(before > 0, "it has its share");
        let (shard, conn) = s.conn(publisher);
        for n in 5..=10 {
            let mut bytes = Vec::new();
            let text = n.to_string();
            let publish = publish("a", &text, qos, PacketId::new(n));
            Packet::Publish(publish).encode(Version::V5, &mut bytes);
            s.event(shard, Event::Bytes { conn, bytes: &bytes });
        }
        s.cut(leaving);
        assert_eq!(s.hear(publisher).len(), 10, "all are acknowledged");

        for watcher in watchers {
            let gone = s.hear(watcher).iter().filter(|line| line.starts_with("a 'gone'")).count();
            assert_eq!(gone, 1, "{qos:?}");
        }
        let payload = |line: &String| Some(line.strip_prefix("a '")?.split_once('\'')?.0.to_owned());
        let mut of_group: Vec<String> = s.hear(staying).iter().filter_map(payload).collect();
        s.crash();
        s.secs(1);
        let kept: Vec<String> = come_back(&mut s, &members[0]).1.iter().filter_map(payload).collect();
        assert_eq!(kept.len(), before, "what came after its end is not for it");
        of_group.extend(kept);
        of_group.sort_by_key(|text| text.parse().unwrap_or(0));
        let expected: Vec<String> =
            std::iter::once("gone".to_owned()).chain((1..=10).map(|n| n.to_string())).collect();
        assert_eq!(of_group, expected, "{qos:?}: each for one member");
    }
}

/// Whoever stored a will for a subscription that has gone since then is told that it does not come again.
#[test]
fn nothing_is_left_of_a_will_that_nobody_wants_after_a_crash() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for is_publication_stored in [false, true] {
            let (mut s, client, subscriber) = apart();
            s.cut(client);
            let config = Config { shards: 2, ..Config::default() };
            let mortal = &Script::ids_by_home(&config, "q")[0];
            let (client, _) = s.connect(&mortal_with_will(mortal, qos));
            s.disk_is_slow = true;
            s.cut(client);
            if is_publication_stored {
                assert!(s.store(0));
            }
            assert!(s.store(1));
            s.settle();
            s.join(&subscriber);
            while s.store(1) {
                s.settle();
            }
            s.disk_is_slow = false;
            s.crash();
            s.secs(1);
            s.join(mortal);
            s.settle();
            let left: Vec<usize> = s.shards.iter().map(|shard| shard.gauges().stored_live_bytes).collect();
            assert_eq!(left, [0, 0], "{qos:?}, the publication is stored: {is_publication_stored}");
        }
    }
}

/// A message that expires has its session looked after in time, and so its will.
#[test]
fn a_will_waits_after_a_crash_until_all_subscriptions_are_known() {
    let config = Config { shards: 3, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    let watcher = s.join_for_an_hour(&ids[0]);
    s.subscribe(watcher, "a", 1);
    s.cut(watcher);
    let (mortal, _) = s.connect(&mortal_with_will(&ids[1], QoS::AtLeastOnce));
    s.subscribe(mortal, "b", 1);
    let mut brief = mortal_with_will(&ids[2], QoS::AtLeastOnce);
    let properties = WillProperties { message_expiry_interval_s: Some(100), ..WillProperties::default() };
    brief.will =
        Some(Will { qos: QoS::AtLeastOnce, retain: false, topic: "b", payload: b"brief", properties });
    s.connect(&brief);

    s.late_ring = Some((0, 1));
    s.restart();
    s.settle();
    s.secs(1);
    assert_eq!(s.counter("wills_published"), 1, "that of the shard that has heard of all others");
    s.late_ring = None;
    s.settle();
    s.secs(1);
    assert_eq!(s.counter("wills_published"), 2);
    assert_eq!(come_back(&mut s, &ids[0]).1, ["CONNACK Success present", "a 'gone' q1 #1"]);
    let heard = come_back(&mut s, &ids[1]).1;
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[1].starts_with("b 'brief' q1 #1"), "{heard:?}");
}

#[test]
fn a_store_without_room_on_another_shard_is_known_here() {
    let (mut s, publisher, subscriber) = apart();
    s.event(1, Event::StoreRoom { bytes: 0, grows: false });
    s.settle();
    s.publish_qos(publisher, "a", "x", 1, 1);
    assert_eq!(s.hear(publisher), ["PUBACK 1 Quota exceeded"]);
    s.event(1, Event::StoreRoom { bytes: 1 << 30, grows: true });
    s.settle();
    s.publish_qos(publisher, "a", "y", 1, 2);
    assert_eq!(s.hear(publisher), ["PUBACK 2"]);
    assert_eq!(come_back(&mut s, &subscriber).1[1..], ["a 'y' q1 #1"]);
}

#[test]
fn room_that_comes_on_another_shard_is_waited_for_here() {
    let (mut s, publisher, subscriber) = apart();
    s.event(1, Event::StoreRoom { bytes: 0, grows: true });
    s.settle();
    s.publish_qos(publisher, "a", "x", 1, 1);
    assert_eq!(s.hear(publisher), Vec::<String>::new());
    s.event(1, Event::StoreRoom { bytes: 1 << 30, grows: true });
    s.settle();
    assert_eq!(s.hear(publisher), ["PUBACK 1"]);
    assert_eq!(come_back(&mut s, &subscriber).1[1..], ["a 'x' q1 #1"]);
}

#[test]
fn a_shard_is_restored_when_it_knows_what_others_have_restored() {
    let config = Config { shards: 3, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let now = Instant::from_nanos(1_000_000_000);
    let mut shard = Shard::new(ShardId(0), &config, now, 42);
    let mut effects = Effects::default();
    shard.restore(Restoring::new(1_700_000_000_000), now, &mut effects);
    let is_restored =
        |effects: &Effects| effects.queue.iter().any(|effect| matches!(effect, Effect::Restored));
    for from in [1, 2] {
        assert!(!is_restored(&effects), "shard {from} has not said what it restored");
        shard.handle(now, Event::Mail { from: ShardId(from), mail: Mail::Restored }, &mut effects);
    }
    assert!(is_restored(&effects));
}

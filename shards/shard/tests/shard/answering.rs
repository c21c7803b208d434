//! Long answers to SUBSCRIBEs, which wait for their turns when many are due.

use std::time::Duration;

use mqtt::{Connect, Packet, ReasonCode};
use shard::{Config, Event, Gauges, Pieces};

use crate::{
    changing::{ONE_BY_ONE, assert_nothing_is_left, bring, filters, without_retained},
    script::{Client, Script, connect},
    withdrawing::subscribe,
};

#[test]
fn long_answers_that_are_due_at_once_take_turns_and_short_ones_do_not_wait_for_them() {
    for are_cut in [false, true] {
        let pieces = Pieces { own_change_bytes: 1 << 20, ..ONE_BY_ONE };
        let config = Config { shards: 2, pieces, ..Config::default() };
        let mut s = Script::new(config.clone());
        let clients = ["a", "b", "c", "d"].map(|name| s.join(&Script::ids_by_home(&config, name)[0]));
        let [few, long @ ..] = &clients;
        for client in long {
            bring(&mut s, *client, &without_retained(&filters(65)));
        }
        bring(&mut s, *few, &without_retained(&filters(64)));
        for shard in [0, 1, 0] {
            assert_eq!(s.hear(*few), Vec::<String>::new());
            s.turn(shard);
        }
        assert_eq!(s.hear(*few).len(), 1);
        let mut answered = Vec::new();
        for _ in 0..4 {
            answered.push([0, 1, 2].map(|client| s.hear(long[client]).len()));
            if are_cut {
                clients.iter().for_each(|client| s.cut(*client));
            }
            s.turn(0);
        }
        match are_cut {
            false => assert_eq!(answered, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]),
            true => assert_nothing_is_left(&mut s),
        }
    }
}

/// What becomes of a client whose answer waits for its turn.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Cut,
    Kicked,
    /// Its socket takes nothing, so that the connection stands for some time.
    KickedWhileStuck,
    TakenOver,
    TakenOverByCleanStart,
    Expired,
}

/// A client of the first of two shards whose session lives for a second.
fn mortal(s: &mut Script, client_id: &str, clean_start: bool) -> Client {
    let mut wanted = Connect { clean_start, ..connect(client_id) };
    wanted.properties.session_expiry_interval_s = Some(1);
    let (client, heard) = s.connect(&wanted);
    assert_eq!(heard.len(), 1);
    client
}

fn befall(s: &mut Script, fate: Fate, client: Client, client_id: &str) {
    let (shard, conn) = s.conn(client);
    match fate {
        Fate::Cut | Fate::Expired => s.cut(client),
        Fate::Kicked | Fate::KickedWhileStuck => {
            s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
            s.settle();
        }
        Fate::TakenOver => drop(mortal(s, client_id, false)),
        Fate::TakenOverByCleanStart => drop(mortal(s, client_id, true)),
    }
    if fate == Fate::Expired {
        // The timers of answers come first, and one of them is all that a tick has room for.
        s.now = s.now + Duration::from_secs(2);
    }
}

#[test]
fn an_answer_that_waits_for_its_turn_is_nobodys_when_its_client_has_gone() {
    use Fate::{Cut, Expired, Kicked, KickedWhileStuck, TakenOver, TakenOverByCleanStart};
    for fate in [Cut, Kicked, KickedWhileStuck, TakenOver, TakenOverByCleanStart, Expired] {
        for wants_retained in [false, true] {
            befalls_one_in_line(fate, wants_retained);
        }
    }
}

fn befalls_one_in_line(fate: Fate, wants_retained: bool) {
    let pieces = Pieces { own_change_bytes: 1 << 20, ..ONE_BY_ONE };
    let config = Config { shards: 2, pieces, ..Config::default() };
    let ids = ["a", "b", "c"].map(|name| Script::ids_by_home(&config, name)[0].clone());
    let mut s = Script::new(config);
    let publisher = s.join("p");
    (0..10).for_each(|n| s.retain(publisher, &format!("f/{n}"), "retained"));
    let [first, second, last] = ids.each_ref().map(|client_id| mortal(&mut s, client_id, true));
    if fate == Fate::KickedWhileStuck {
        s.stick(last);
        s.packet(last, &Packet::Pingreq);
        s.hear(last);
    }
    let filters = filters(300);
    let wanted = if wants_retained { subscribe(&filters) } else { without_retained(&filters) };
    [first, second, last].iter().for_each(|client| bring(&mut s, *client, &wanted));
    while s.hear(first).is_empty() {
        [0, 1].iter().for_each(|shard| s.turn(*shard));
    }
    // The others are due.
    befall(&mut s, fate, last, &ids[2]);
    assert_eq!(s.hear(second), Vec::<String>::new());
    (0..10).for_each(|_| [0, 1].iter().for_each(|shard| s.turn(*shard)));
    let answer = format!("SUBACK 1{}", " 0x00".repeat(300));
    let heard = s.hear(second);
    assert_eq!((&heard[0], heard.len()), (&answer, if wants_retained { 11 } else { 1 }), "{fate:?}");
    assert!(!s.hear(last).contains(&answer), "{fate:?}");
    for filter in filters.iter().take(10) {
        s.retain(publisher, filter, "");
    }
    for client in (0..s.clients()).map(Client).filter(|client| !s.is_closed(*client)).collect::<Vec<_>>() {
        s.cut(client);
    }
    s.secs(2 * 3600);
    for shard in &s.shards {
        assert_eq!(shard.gauges(), Gauges::default(), "{fate:?}, retained: {wants_retained}");
    }
}

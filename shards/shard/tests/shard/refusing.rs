//! Who asks about a client is told that it is not let in, and that it comes again and again.

use mqtt::{Connect, ReasonCode, Version};
use shard::{Answer, BreaksSeen, ComingsSeen, Config, Full, Look, Outcome, RefusalSeen, RefusedSeen, Seen};

use crate::{
    asking::{accept, config, knock},
    script::{Client, Script, connect},
    why::{ask, question, receive, told},
};

fn comings(s: &Script, shard: usize, client_id: &str) -> ComingsSeen {
    match s.look(shard, &Look::Comings { client_id: client_id.into() }) {
        Seen::Comings(comings) => *comings,
        other => panic!("{other:?}"),
    }
}

fn refused(s: &Script, client_id: &str) -> RefusedSeen {
    comings(s, 0, client_id).refused.expect("it was refused")
}

/// For what does not pass by itself.
fn refusal(s: &Script, client_id: &str) -> RefusalSeen {
    refused(s, client_id).cause.expect("it was refused, and not only told to wait")
}

fn login(client_id: &str) -> Connect<'_> {
    Connect { username: Some("ada"), password: Some(b"guess"), ..connect(client_id) }
}

/// With a wrong password.
fn turn_away(s: &mut Script, client_id: &str) -> Client {
    let client = knock(s, &login(client_id));
    s.answer(client, Answer::refuse(ReasonCode::BadUserNameOrPassword, "the password is wrong"));
    client
}

#[test]
fn a_client_that_is_refused_is_known_with_the_reason_its_user_and_where_it_was() {
    let mut s = Script::new(config());
    assert_eq!(comings(&s, 0, "c"), ComingsSeen::default());
    let mut last = turn_away(&mut s, "c");
    for _ in 0..13 {
        s.secs(10);
        last = turn_away(&mut s, "c");
    }
    s.secs(3);
    let RefusalSeen { count, first_ago, last_ago, why, user, address, .. } = refusal(&s, "c");
    assert_eq!((count, first_ago.as_secs(), last_ago.as_secs()), (14, 133, 3));
    assert_eq!((&*why, user.as_deref()), ("the password is wrong", Some("ada")));
    assert_eq!(address, Some(Script::address_of(last)));
    let because = receive(&s, "c", "t");
    assert_eq!(because.outcome, Outcome::Misses);
    let ip = Script::address_of(last);
    let said = format!(
        "no: it is not let in: the password is wrong, 14 times, the last 3 s ago, from {ip} as user \"ada\" \
         [iothub ctl events --kind refused -i c]"
    );
    assert_eq!(told(&because, "let_in"), [said]);
    assert_eq!(told(&because, "session"), ["no: there is no session with this client id"]);
    let publishing = ask(&s, &Look::WhyPublish(Box::new(question("c", "t"))));
    assert_eq!(told(&publishing, "let_in").len(), 1, "{publishing:?}");
}

#[test]
fn who_was_let_in_once_and_is_refused_now_is_told_apart_from_who_stays_away() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &connect("c"));
    s.answer(client, accept("ada"));
    s.disconnect(client, ReasonCode::Success);
    assert!(told(&receive(&s, "c", "t"), "let_in").is_empty());
    let held = knock(&mut s, &login("c"));
    s.answer(held, Answer::refuse(ReasonCode::ConnectionRateExceeded, "too many failed attempts".to_owned()));
    let because = receive(&s, "c", "t");
    assert!(told(&because, "let_in")[0].starts_with("no: it is not let in: too many failed attempts, once"));
    assert_eq!(told(&because, "left").len(), 1, "{because:?}");
}

#[test]
fn who_is_let_in_after_all_is_not_told_as_one_that_is_not() {
    let mut s = Script::new(config());
    turn_away(&mut s, "c");
    s.secs(60);
    let client = knock(&mut s, &connect("c"));
    s.answer(client, accept("ada"));
    s.subscribe(client, "t", 1);
    let because = receive(&s, "c", "t");
    assert_eq!(because.outcome, Outcome::Goes);
    assert!(told(&because, "let_in").is_empty(), "{because:?}");
    assert_eq!(comings(&s, 0, "c").refused, None);
    s.secs(60);
    s.disconnect(client, ReasonCode::Success);
    let because = receive(&s, "c", "t");
    assert!(told(&because, "let_in").is_empty(), "it went by itself: {because:?}");
    turn_away(&mut s, "c");
    assert_eq!(refusal(&s, "c").count, 1, "of those since it was here");
}

#[test]
fn another_that_was_refused_while_a_client_was_here_does_not_keep_that_one_away() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &connect("c"));
    s.answer(client, accept("ada"));
    s.secs(60);
    turn_away(&mut s, "c");
    s.secs(60);
    s.disconnect(client, ReasonCode::Success);
    let said = told(&receive(&s, "c", "t"), "let_in");
    let then = "fact: while it was here, another connection with its client id was not let in: the password is wrong, once";
    assert!(said[0].starts_with(then), "{said:?}");
    s.secs(60);
    turn_away(&mut s, "c");
    let said = told(&receive(&s, "c", "t"), "let_in");
    assert!(said[0].starts_with("no: it is not let in: the password is wrong, 2 times"), "{said:?}");
}

#[test]
fn another_with_the_id_of_a_client_that_is_here_is_told_of_and_does_not_change_the_answer() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &connect("c"));
    s.answer(client, accept("ada"));
    s.subscribe(client, "t", 1);
    turn_away(&mut s, "c");
    let because = receive(&s, "c", "t");
    assert_eq!(because.outcome, Outcome::Goes);
    let said = told(&because, "let_in");
    assert!(said[0].starts_with("fact: another connection with its client id is not let in"), "{said:?}");
}

#[test]
fn each_way_of_being_refused_is_known() {
    let mut s = Script::new(config());
    let late = knock(&mut s, &connect("late"));
    s.secs(3600);
    assert!(s.is_closed(late));
    let method = Some("SCRAM-SHA-256");
    let mut wanted = connect("method");
    wanted.properties.authentication_method = method;
    s.connect(&wanted);
    let version = s.open_by(2, false);
    s.say_connect(version, &Connect { version: Version::V311, ..connect("version") });
    let beyond = s.open_by_at(0, Some(Full::Server), 0);
    s.say_connect(beyond, &connect("beyond"));
    for (client_id, why) in [
        ("late", "nobody has said in time who the client is"),
        ("method", "no authentication method is supported"),
        ("version", "this listener does not take clients of this protocol version"),
        ("beyond", "server.max_connections is reached"),
    ] {
        let RefusedSeen { cause, wait } = refused(&s, client_id);
        let told: Vec<_> = cause.into_iter().chain(wait).map(|refusal| refusal.why).collect();
        assert_eq!(told, [why.into()]);
    }
    s.connect(&Connect { version: Version::V31, ..connect("") });
    assert_eq!(s.counter("refused_connect"), 5);
    assert_eq!(comings(&s, 0, "").refused, None, "no name is nobody's");
}

#[test]
fn a_shard_that_is_not_the_home_of_whom_it_has_refused_says_so_as_well() {
    let config = Config { shards: 2, ..Config::default() };
    let mut s = Script::new(config.clone());
    let ids = Script::ids_by_home(&config, "c");
    let client = s.open_by_at(0, Some(Full::Server), 1);
    s.say_connect(client, &connect(&ids[0]));
    assert_eq!(comings(&s, 0, &ids[0]).refused, None);
    assert_eq!(comings(&s, 1, &ids[0]).refused.and_then(|it| it.wait).map(|it| it.count), Some(1));
    for (shard, count) in [(0, 0), (1, 1)] {
        let why = Box::new(question(&ids[0], "t"));
        for look in [Look::WhyReceive(why.clone()), Look::WhyPublish(why)] {
            let Seen::Why(because) = s.look(shard, &look) else { panic!() };
            assert!(
                told(&because, "let_in").is_empty(),
                "who has asked all of them says it once: {because:?}"
            );
            assert_eq!(because.comings.refused.and_then(|it| it.wait).map_or(0, |it| it.count), count);
        }
    }
}

#[test]
fn what_another_shard_has_refused_counts_when_it_is_younger_than_the_connection_at_home() {
    let config = Config { shards: 2, ..Config::default() };
    let mut s = Script::new(config.clone());
    let ids = Script::ids_by_home(&config, "c");
    let id = &*ids[0];
    let turn_away_elsewhere = |s: &mut Script| {
        let client = s.open_by_at(0, Some(Full::Server), 1);
        s.say_connect(client, &connect(id));
        s.secs(10);
    };
    let said = |s: &Script| {
        let home = comings(s, 0, id).with([comings(s, 1, id)]);
        home.refused.map(|refused| refused.text(home.presence))
    };
    turn_away_elsewhere(&mut s);
    assert!(said(&s).expect("it is told").starts_with("it is not let in: server.max_connections"));
    let client = s.join_for_an_hour(id);
    assert_eq!(said(&s), None, "it is here");
    s.secs(10);
    turn_away_elsewhere(&mut s);
    assert!(said(&s).expect("it is told").starts_with("another connection with its client id is not let in"));
    let refused =
        comings(&s, 0, id).with([comings(&s, 1, id)]).refused.and_then(|it| it.wait).expect("it is a wait");
    assert_eq!(
        (refused.count, refused.first_ago),
        (1, refused.last_ago),
        "what was before it was let in is over"
    );
    s.cut(client);
    assert!(said(&s).expect("it is told").starts_with("while it was here, another connection"));
    s.secs(10);
    turn_away_elsewhere(&mut s);
    assert!(said(&s).expect("it is told").starts_with("it is not let in: server.max_connections"));
    let client = s.join_for_an_hour(id);
    s.secs(10);
    s.cut(client);
    assert_eq!(said(&s), None, "it went by itself");
}

#[test]
fn refusals_of_two_shards_are_one_sum_with_the_reason_of_the_last() {
    let mut s = Script::new(config());
    turn_away(&mut s, "early");
    s.secs(10);
    turn_away(&mut s, "late");
    turn_away(&mut s, "late");
    let client = s.open_by_at(0, Some(Full::Server), 0);
    s.say_connect(client, &connect("late"));
    let (early, late) = (refused(&s, "early"), refused(&s, "late"));
    let (first, last) = (refusal(&s, "early"), refusal(&s, "late"));
    let cause = Some(RefusalSeen { count: 3, first_ago: first.first_ago, ..last });
    let sum = RefusedSeen { cause, wait: late.wait.clone() };
    assert_eq!((early.clone().and(late.clone()), late.and(early)), (sum.clone(), sum));
}

/// As after failed attempts.
fn hold_off(s: &mut Script, connect: &Connect<'_>) -> Client {
    let held = knock(s, connect);
    let why = "too many failed attempts of its own: 4 s to wait";
    s.answer(held, Answer::refuse(ReasonCode::ConnectionRateExceeded, why));
    held
}

#[test]
fn what_it_is_refused_for_is_told_beside_that_it_has_to_wait_and_counted_apart() {
    let mut s = Script::new(config());
    let wrong = (0..3).map(|_| turn_away(&mut s, "c")).last().expect("some");
    s.secs(10);
    let held = (0..14).map(|_| hold_off(&mut s, &login("c"))).last().expect("some");
    s.secs(5);
    let RefusedSeen { cause, wait } = refused(&s, "c");
    let of = |refusal: Option<RefusalSeen>| refusal.map(|it| (it.count, it.last_ago.as_secs(), it.address));
    assert_eq!(of(cause), Some((3, 15, Some(Script::address_of(wrong)))));
    assert_eq!(of(wait), Some((14, 5, Some(Script::address_of(held)))));
    let said = format!(
        "no: it is not let in: the password is wrong, 3 times, the last 15 s ago, from {} as user \"ada\"; besides, it was told to come later: \
         too many failed attempts of its own: 4 s to wait, 14 times, the last 5 s ago, from {} as user \"ada\" \
         [iothub ctl events --kind refused -i c]",
        Script::address_of(wrong),
        Script::address_of(held),
    );
    assert_eq!(told(&receive(&s, "c", "t"), "let_in"), [said]);
    turn_away(&mut s, "c");
    assert_eq!(of(refused(&s, "c").cause).map(|(count, ..)| count), Some(4));
    assert_eq!(of(refused(&s, "c").wait).map(|(count, ..)| count), Some(14));
}

#[test]
fn a_device_that_is_refused_is_known_however_many_ids_another_address_brings() {
    let mut s = Script::new(config());
    let device = turn_away(&mut s, "device");
    s.crowd = Some([198, 51, 100, 7].into());
    for n in 0..10_000 {
        let client_id = format!("flood {n}");
        match n % 2 {
            0 => turn_away(&mut s, &client_id),
            _ => hold_off(&mut s, &login(&client_id)),
        };
    }
    assert_eq!(refusal(&s, "device").address, Some(Script::address_of(device)));
    assert!(comings(&s, 0, "flood 0").refused.is_none(), "of the flood the first have made way");
    assert!(comings(&s, 0, "flood 9999").refused.is_some());
}

fn breaks(s: &Script, client_id: &str) -> Option<BreaksSeen> {
    comings(s, 0, client_id).breaks
}

#[test]
fn two_clients_with_one_id_are_told_of_with_their_addresses() {
    for lasts in [false, true] {
        let mut s = Script::of_one();
        let join = |s: &mut Script| if lasts { s.join_for_an_hour("c") } else { s.join("c") };
        let mut clients: Vec<Client> = (0..3).map(|_| join(&mut s)).collect();
        assert_eq!(breaks(&s, "c"), None, "that may happen");
        for _ in 0..10 {
            s.secs(6);
            clients.push(join(&mut s));
        }
        let seen = breaks(&s, "c").expect("it is often");
        assert_eq!((seen.ended, seen.taken_over, seen.within.as_secs()), (12, 12, 60));
        let gone = |back: usize| Script::address_of(clients[clients.len() - back]);
        assert_eq!(seen.addresses, [gone(2), gone(3)]);
        let said = format!(
            "fact: it was taken over 12 times in the last 60 s, by connections from {} and {}: two devices have the same client id, or one that \
             moves connects again while its connection before still stands",
            gone(3),
            gone(2)
        );
        assert_eq!(told(&receive(&s, "c", "t"), "reconnects"), [said]);
        s.secs(3000);
        assert_eq!(breaks(&s, "c"), None, "that was long ago");
    }
}

#[test]
fn a_client_that_comes_again_and_again_is_told_of() {
    let mut s = Script::of_one();
    for _ in 0..30 {
        let client = s.join("c");
        s.secs(2);
        s.cut(client);
    }
    let seen = breaks(&s, "c").expect("it is often");
    assert_eq!((seen.ended, seen.taken_over, seen.within.as_secs()), (30, 0, 58));
    let said = "fact: its connection ended 30 times in the last 58 s without its DISCONNECT: it comes again and again";
    assert_eq!(told(&receive(&s, "c", "t"), "reconnects"), [said]);
}

#[test]
fn a_client_that_wakes_and_says_goodbye_again_and_again_is_well() {
    let mut s = Script::of_one();
    for _ in 0..30 {
        let client = s.join_for_an_hour("c");
        s.secs(2);
        s.disconnect(client, ReasonCode::Success);
    }
    assert_eq!(breaks(&s, "c"), None);
    for _ in 0..3 {
        let client = s.join_for_an_hour("c");
        s.cut(client);
    }
    assert_eq!(breaks(&s, "c").map(|seen| seen.ended), Some(3));
}

#[test]
fn a_client_id_that_a_shell_would_take_apart_is_in_no_command() {
    for client_id in ["a b", "$(x)", "-i", "a;b", "ü", "'"] {
        assert_eq!(RefusedSeen::place(client_id), "iothub ctl events --kind refused", "{client_id}");
    }
    assert!(RefusedSeen::place("zigbee2mqtt/0x1_a-b.c").ends_with(" -i zigbee2mqtt/0x1_a-b.c"));
}

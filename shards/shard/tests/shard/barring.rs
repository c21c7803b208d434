//! Who asks about a client that is banned is told by which ban, for how long, and how it is lifted.

use std::{sync::Arc, time::Duration};

use mqtt::Connect;
use shard::{
    BanSeen, BannedBy, Bans, BarredSeen, ComingsSeen, Config, Event, Look, Network, NotOpened, Seen,
};

use crate::{
    asking::{accept, config, knock},
    script::{Script, connect},
    why::{publishing, receive, told},
};

fn comings(s: &Script, shard: usize, client_id: &str) -> ComingsSeen {
    match s.look(shard, &Look::Comings { client_id: client_id.into() }) {
        Seen::Comings(comings) => *comings,
        other => panic!("{other:?}"),
    }
}

fn ban(s: &mut Script, bans: Bans) {
    s.event(0, Event::Bans(Arc::new(bans)));
}

fn network(text: &str) -> Network {
    Network::parse(text).expect("a network")
}

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

#[test]
fn a_ban_says_how_long_it_lasts_and_which_command_lifts_it() {
    for (lasts, words) in [(None, "for ever"), (HOUR, "for another 58 min")] {
        let mut s = Script::of_one();
        ban(&mut s, Bans { client_ids: vec![("c".into(), lasts)], ..Bans::default() });
        s.secs(100);
        s.connect(&connect("c"));
        let said = format!(
            "no: this client id is banned {words}: it is not let in, and what it had to say is refused with that [iothub ban remove -i c]"
        );
        for because in [receive(&s, "c", "t"), publishing(&s, "c", "t")] {
            assert_eq!(told(&because, "ban"), [said.as_str()], "{because:?}");
            assert!(
                told(&because, "let_in")[0].starts_with("no: it is not let in: banned, once"),
                "{because:?}"
            );
        }
        s.secs(3600);
        assert_eq!(told(&receive(&s, "c", "t"), "ban").len(), usize::from(lasts.is_none()));
    }
}

#[test]
fn a_ban_of_a_user_is_named_of_a_client_that_was_never_let_in() {
    let mut s = Script::new(config());
    ban(&mut s, Bans { users: vec![("ada".into(), None)], ..Bans::default() });
    let client = knock(&mut s, &Connect { username: Some("ada"), ..connect("c") });
    s.answer(client, accept("ada"));
    let said =
        "no: the user ada is banned for ever, as whom it was here or came last [iothub ban remove -u ada]";
    assert_eq!(told(&receive(&s, "c", "t"), "ban"), [said]);
    let bans = [BanSeen { by: BannedBy::User("ada".into()), ends_in: None }];
    assert_eq!(comings(&s, 0, "c").bans, bans);
}

#[test]
fn a_ban_of_the_network_is_named_of_whom_it_was_refused_in_before() {
    let mut s = Script::of_one();
    s.crowd = Some([192, 0, 2, 7].into());
    ban(&mut s, Bans { client_ids: vec![("c".into(), HOUR)], ..Bans::default() });
    s.connect(&connect("c"));
    let networks = vec![(network("192.0.2.7"), HOUR), (network("192.0.2.0/24"), None)];
    ban(&mut s, Bans { networks, ..Bans::default() });
    let said = "no: nobody is let in from 192.0.2.7, where it was last: 192.0.2.0/24 is banned for ever [iothub ban remove -a 192.0.2.0/24]";
    assert_eq!(told(&receive(&s, "c", "t"), "ban"), [said]);
    ban(&mut s, Bans { networks: vec![(network("192.0.2.7"), HOUR)], ..Bans::default() });
    let said = "no: nobody is let in from 192.0.2.7, where it was last: 192.0.2.7 is banned for another 60 min [iothub ban remove -a 192.0.2.7]";
    assert_eq!(told(&receive(&s, "c", "t"), "ban"), [said]);
}

#[test]
fn a_name_that_a_shell_would_take_apart_is_looked_up_in_the_list() {
    for name in ["a b", "$(x)", "-u", "ü"] {
        let seen = BanSeen { by: BannedBy::User(name.into()), ends_in: None };
        assert_eq!(seen.lifted_by("c"), "iothub ban list", "{name}");
    }
}

#[test]
fn of_an_unknown_client_it_is_told_that_bans_of_addresses_have_closed_connections() {
    let mut s = Script::new(Config { shards: 2, ..Config::default() });
    let ids = Script::ids_by_home(&Config { shards: 2, ..Config::default() }, "c");
    let unknown = |s: &Script| comings(s, 0, &ids[0]).with([comings(s, 1, &ids[0])]).barred().copied();
    let networks = vec![(network("192.0.2.0/24"), HOUR), (network("2001:db8::/32"), HOUR)];
    for shard in [0, 1] {
        s.event(shard, Event::Bans(Arc::new(Bans { networks: networks.clone(), ..Bans::default() })));
    }
    assert_eq!(unknown(&s), None, "nobody has come from there");
    let client = s.join_for_an_hour(&ids[0]);
    s.secs(10);
    for shard in [0, 1, 1] {
        s.event(shard, Event::NotOpened(NotOpened::Banned));
    }
    assert_eq!(unknown(&s), None, "it is here");
    s.secs(10);
    s.cut(client);
    assert_eq!(unknown(&s), None, "it was here then");
    s.secs(10);
    s.event(1, Event::NotOpened(NotOpened::Banned));
    let seen = BarredSeen { networks: 2, closed: 4, last: Some(s.now) };
    assert_eq!(unknown(&s), Some(seen));
    assert!(seen.text().starts_with("bans of addresses (2) have closed connections (4 since the start)"));
    s.secs(3600);
    assert_eq!(unknown(&s), None, "they are over");
}

#[test]
fn that_bans_of_addresses_have_closed_connections_is_no_news_of_who_is_refused() {
    let mut s = Script::of_one();
    let banned = vec![("c".into(), HOUR)];
    ban(&mut s, Bans { client_ids: banned, networks: vec![(network("192.0.2.7"), None)], ..Bans::default() });
    s.event(0, Event::NotOpened(NotOpened::Banned));
    for (client_id, count) in [("c", 0), ("unknown", 1)] {
        assert_eq!(comings(&s, 0, client_id).steps_with([], client_id).len(), count, "{client_id}");
    }
    s.connect(&connect("c"));
    s.secs(4000);
    assert_eq!(comings(&s, 0, "c").steps_with([], "c").len(), 0, "it is known that it was refused");
}

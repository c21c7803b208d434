//! Wills whose author has lost what it was let in by, while it is here and while it is away.

use std::{sync::Arc, time::Duration};

use mqtt::{Connect, ConnectProperties, QoS, Will, WillProperties};
use shard::{Answer, Bans, Config, DoorConfig, Ended, Event, From, Grant, Network, Revision, Rights, Rules};

use crate::{
    regranting::{accept, config, rules},
    script::{Client, Script, connect},
};

const CERTIFICATE: [u8; 32] = [1; 32];

/// Anna comes by the door where somebody is asked, and whoever listens by another one.
fn script(rules: Option<Rules>) -> Script {
    let config = config(rules);
    let listener = Grant { roles: [Arc::from("all")].into(), is_authenticated: true, ..Grant::default() };
    let door = DoorConfig { grant: Arc::new(listener), ..DoorConfig::default() };
    let doors = [config.doors.clone(), vec![door]].concat();
    let mut s = Script::new(Config { doors, store_epoch_ms: Some(1_700_000_000_000), ..config });
    listen(&mut s);
    s
}

fn listen(s: &mut Script) -> Client {
    let listener = s.open_by(1, false);
    s.say_connect(listener, &connect("listener"));
    s.subscribe(listener, "a", 1);
    s.hear(listener);
    listener
}

/// Anna, with a will that goes out so long after her end.
fn anna(s: &mut Script, delay_s: u32) -> Client {
    let of_will = WillProperties { delay_interval_s: Some(delay_s), ..WillProperties::default() };
    let will =
        Will { topic: "a", payload: b"gone", qos: QoS::AtLeastOnce, properties: of_will, ..Will::default() };
    let properties =
        ConnectProperties { session_expiry_interval_s: Some(1000), ..ConnectProperties::default() };
    let client = s.open_by(0, false);
    s.say_connect(client, &Connect { properties, will: Some(will), ..connect("c") });
    let Answer::Accept { grant, .. } = accept("file", "anna", "all") else { panic!("it accepts") };
    let address = Some("192.0.2.7".parse().unwrap());
    let grant = Arc::new(Grant { certificate: Some(CERTIFICATE), address, ..(*grant).clone() });
    s.answer(client, Answer::Accept { grant, lasts: None, data: None });
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    client
}

fn users(user: &str, role: Option<&str>) -> Event<'static> {
    let rights = role.map(|role| Rights { roles: [Arc::from(role)].into(), ..Rights::default() });
    let rights = rights.ok_or(Ended::UserDeleted);
    let users = [(user.into(), rights)].into();
    Event::Revised(Arc::new(Revision::Users { by: "file".into(), users }))
}

fn gone(door: u16) -> Event<'static> {
    Event::Revised(Arc::new(Revision::Gone { door, by: "file".into(), from: From::Anywhere }))
}

fn revoked(certificate: [u8; 32]) -> Event<'static> {
    let certificates = Arc::new([certificate].into());
    Event::Revised(Arc::new(Revision::Revoked { door: 0, certificates }))
}

fn bans(client_id: &str, user: &str, lasts_s: Option<u64>) -> Event<'static> {
    let named = |name: &str| vec![(Box::from(name), lasts_s.map(Duration::from_secs))];
    Event::Bans(Arc::new(Bans { client_ids: named(client_id), users: named(user), ..Bans::default() }))
}

fn banned_network(network: &str, lasts_s: Option<u64>) -> Event<'static> {
    let networks = vec![(Network::parse(network).unwrap(), lasts_s.map(Duration::from_secs))];
    Event::Bans(Arc::new(Bans { networks, ..Bans::default() }))
}

/// What happens to Anna's right, and whether it ends with that.
fn losses() -> Vec<(Event<'static>, bool)> {
    vec![
        (users("anna", None), true),
        (users("bob", None), false),
        (gone(0), true),
        (gone(1), false),
        (revoked(CERTIFICATE), true),
        (revoked([2; 32]), false),
        (bans("c", "bob", None), true),
        (bans("d", "anna", None), true),
        (bans("d", "bob", None), false),
    ]
}

/// The will was published, or it was denied: once, with a line, and nothing of it is left.
fn check(s: &Script, is_published: bool, case: &str) {
    let told = s.notes.iter().filter(|note| note.contains("Denied")).count();
    let (published, denied) = (s.counter("wills_published"), s.counter("denied_will"));
    let expected = if is_published { (1, 0, 0) } else { (0, 1, 1) };
    assert_eq!((published, denied, told), expected, "{case}: {:?}", s.notes);
    assert_eq!(s.shards[0].gauges().will_bytes, 0, "{case}");
}

#[test]
fn who_is_sent_away_for_good_leaves_no_will() {
    for delay_s in [0, 10] {
        for (event, is_lost) in losses() {
            let case = format!("{event:?} {delay_s}");
            let mut s = script(None);
            let client = anna(&mut s, delay_s);
            s.event(0, event);
            s.settle();
            s.secs(1);
            assert_eq!(s.is_closed(client), is_lost, "{case}");
            if !is_lost {
                s.cut(client);
            }
            s.secs(11);
            check(&s, !is_lost, &case);
            // The store knows as well that it is gone.
            s.crash();
            s.secs(1001);
            assert_eq!(s.counter("wills_published"), 0, "{case}");
        }
    }
}

#[test]
fn who_loses_everything_while_away_leaves_no_will() {
    for (event, is_lost) in losses() {
        let case = format!("{event:?}");
        let mut s = script(None);
        let client = anna(&mut s, 10);
        s.cut(client);
        s.event(0, event);
        s.secs(11);
        check(&s, !is_lost, &case);
        s.crash();
        s.secs(1001);
        assert_eq!(s.counter("wills_published"), 0, "{case}");
    }
}

#[test]
fn who_goes_while_others_are_still_being_looked_at_leaves_no_will() {
    for delay_s in [0, 10] {
        for (event, is_lost) in losses() {
            let case = format!("{event:?} {delay_s}");
            let mut s = script(None);
            let client = anna(&mut s, delay_s);
            s.event(0, event);
            s.cut(client);
            s.secs(11);
            check(&s, !is_lost, &case);
        }
    }
}

#[test]
fn the_last_role_that_a_user_got_while_away_decides() {
    for (roles, is_published) in
        [(["all", "none"], false), (["none", "all"], true), (["none", "none"], false)]
    {
        for pause_s in [0, 1] {
            let mut s = script(Some(rules()));
            let client = anna(&mut s, 10);
            s.cut(client);
            for role in roles {
                s.event(0, users("anna", Some(role)));
                s.secs(pause_s);
            }
            s.secs(11);
            check(&s, is_published, &format!("{roles:?} {pause_s}"));
        }
    }
}

#[test]
fn a_role_that_is_lost_in_the_moment_of_the_end_counts() {
    for (role, is_published) in [("none", false), ("all", true)] {
        let mut s = script(Some(rules()));
        let client = anna(&mut s, 0);
        s.event(0, users("anna", Some(role)));
        s.cut(client);
        check(&s, is_published, role);
    }
}

#[test]
fn a_ban_that_is_over_before_the_will_is_due_denies_nothing() {
    for (lasts_s, is_published) in [(5, true), (15, false)] {
        let mut s = script(None);
        let client = anna(&mut s, 10);
        s.cut(client);
        s.event(0, bans("c", "anna", Some(lasts_s)));
        s.secs(11);
        check(&s, is_published, &format!("{lasts_s}"));
    }
}

#[test]
fn after_a_start_a_ban_of_the_client_id_holds_and_nobody_knows_the_user() {
    for (client_id, is_published) in [("c", false), ("d", true)] {
        let mut s = script(None);
        let client = anna(&mut s, 10);
        s.cut(client);
        s.crash();
        s.event(0, bans(client_id, "anna", None));
        s.secs(11);
        check(&s, is_published, client_id);
    }
}

#[test]
fn whose_address_is_banned_leaves_no_will() {
    for delay_s in [0, 10] {
        let mut s = script(None);
        let client = anna(&mut s, delay_s);
        let (shard, conn) = s.conn(client);
        s.event(shard, Event::Barred { conn, ip: "192.0.2.1".parse().unwrap() });
        s.event(shard, banned_network("192.0.2.0/24", None));
        s.settle();
        assert_eq!(s.hear(client), ["DISCONNECT Administrative action"]);
        assert!(s.is_closed(client));
        s.secs(11);
        check(&s, false, &format!("{delay_s}"));
        assert_eq!(s.counter("ended_banned"), 1);
    }
}

#[test]
fn a_will_of_who_is_away_is_held_against_the_bans_of_addresses_when_it_is_due() {
    for (network, lasts_s, is_published) in [
        ("192.0.2.0/24", None, false),
        ("192.0.2.7", Some(15), false),
        ("192.0.2.7", Some(5), true),
        ("192.0.2.8", None, true),
        ("2001:db8::/32", None, true),
    ] {
        let mut s = script(None);
        let client = anna(&mut s, 10);
        s.cut(client);
        s.event(0, banned_network(network, lasts_s));
        s.secs(11);
        check(&s, is_published, network);
    }
}

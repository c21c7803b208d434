//! The dashboard of a real broker under load, in a headless Chromium: every page, by pointer and by keys, on a phone and in the dark.
#![allow(clippy::unwrap_used)]

mod stage;

use std::time::{Duration, Instant};

use client::{Disconnection, Publication, QoS, Version};
use e2e::events::EventStream;
use e2e::link::lasting;
use e2e::{Link, v5};
use serde_json::json;

use self::stage::{Stage, VICTIM, one_browser};

#[test]
fn a_token_opens_it_and_is_in_no_address() {
    let _one = one_browser();
    Stage::start("dashboard-signing").play("signing");
}

#[test]
fn every_page_shows_what_clients_made_and_runs_none_of_it() {
    let _one = one_browser();
    Stage::start("dashboard-pages").play("pages");
}

#[test]
fn what_is_read_stays_in_its_place_while_numbers_go_on() {
    let _one = one_browser();
    Stage::start("dashboard-places").play("places");
}

#[test]
fn a_viewer_is_offered_nothing_that_it_may_not_do() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-roles");
    stage.api.post("/v1/users", &json!({ "user": "carla", "password": "a long password" })).expect(201);
    stage.play("roles");
}

#[test]
fn a_client_is_disconnected_once_it_is_confirmed() {
    let _one = one_browser();
    let mut stage = Stage::start("dashboard-disconnect");
    let mut victim = stage.victim.take().unwrap();
    stage.play("disconnect");
    match victim.disconnection() {
        Disconnection::Ended { reason, .. } => assert_eq!(reason, client::ReasonCode::AdministrativeAction),
        other => panic!("{VICTIM} was to be disconnected, not: {other}"),
    }
}

#[test]
fn clients_with_odd_names_are_found_shown_and_ended() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-names");
    let port = stage.broker.port_of("tcp");
    for name in stage::odd_names() {
        Link::connect(port, lasting(Version::V5, &name)).close();
    }
    stage.play("names");
}

#[test]
fn what_is_unseen_is_shown_and_what_would_be_huge_stays_small() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-heavy");
    let mut link = Link::connect(stage.broker.port_of("tcp"), lasting(Version::V5, "adm\u{ad}in"));
    // Indented it would have 28,000 lines of 8,000 blanks each.
    let bomb = "[".repeat(4000) + &"1,".repeat(27_000) + "1" + &"]".repeat(4000);
    let message = Publication { retain: true, ..Publication::new("bomb", bomb, QoS::AtLeastOnce) };
    link.publish_with(message);
    stage.play("heavy");
}

#[test]
fn a_page_says_why_a_client_gets_a_message_or_not() {
    let _one = one_browser();
    Stage::start("dashboard-why").play("why");
}

#[test]
fn lost_messages_stand_on_the_pages_of_drops_and_of_the_client() {
    let _one = one_browser();
    Stage::start("dashboard-losses").play("losses");
}

#[test]
fn events_are_shown_as_they_happen() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-events");
    let mut browser = stage.browse("happening");
    browser.await_line("that it listens", |line| (line == "listening").then_some(()));
    Link::connect(stage.broker.port_of("tcp"), v5("a-guest")).close();
    stage::succeed(&mut browser);
}

#[test]
fn topics_have_rates_while_they_are_measured() {
    let _one = one_browser();
    Stage::start("dashboard-rates").play("rates");
}

#[test]
fn charts_follow_the_load_and_fall_with_it() {
    let _one = one_browser();
    let mut stage = Stage::start("dashboard-charts");
    let mut browser = stage.browse("charts");
    browser.await_line("that messages flow", |line| (line == "flowing").then_some(()));
    stage.end_load();
    stage::succeed(&mut browser);
}

#[test]
fn shards_have_their_own_numbers_and_counters_are_sums() {
    let _one = one_browser();
    Stage::start("dashboard-shards").play("shards");
}

#[test]
fn the_page_of_a_client_shows_what_it_holds_and_does() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-client");
    let _holder = stage.holder();
    stage.play("client");
}

#[test]
fn what_waits_on_disk_alone_is_counted_where_it_cannot_be_shown() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-disk");
    drop(stage.holder());
    let stage = stage.end().start_again();
    stage.play("disk");
}

#[test]
fn how_a_client_left_stands_on_its_page() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-leaving");
    let port = stage.broker.port_of("tcp");
    let mut first = Link::connect(port, v5("twin"));
    first.subscribe("twin/#", QoS::AtMostOnce);
    let second = Link::connect(port, v5("twin"));
    assert_eq!(first.ended_by_server(), client::ReasonCode::SessionTakenOver);
    stage.play("leaving");
    drop(second);
}

#[test]
fn who_is_not_let_in_or_shares_its_client_id_is_told_so_on_its_page() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-coming");
    let port = stage.broker.port_of("tcp");
    for _ in 0..3 {
        assert!(Link::try_connect(port, v5(stage::BANNED)).is_err());
    }
    let mut holder = Link::connect(port, v5("twin"));
    for _ in 0..4 {
        let next = Link::connect(port, v5("twin"));
        assert_eq!(holder.ended_by_server(), client::ReasonCode::SessionTakenOver);
        holder = next;
    }
    stage.play("coming");
    drop(holder);
}

#[test]
fn commands_that_are_offered_reach_this_broker() {
    let _one = one_browser();
    Stage::start("dashboard-commands").play("commands");
}

#[test]
fn lines_of_the_log_are_searched_chosen_and_held() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-lines");
    let port = stage.broker.port_of("tcp");
    let mut browser = stage.browse("log");
    browser.await_line("that it listens", |line| (line == "listening").then_some(()));
    Link::connect(port, v5("first-guest")).close();
    browser.await_line("that it holds the lines", |line| (line == "paused").then_some(()));
    Link::connect(port, v5("second-guest")).close();
    stage::succeed(&mut browser);
}

#[test]
fn lists_have_pages_filters_and_an_order() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-lists");
    let port = stage.broker.port_of("tcp");
    for number in 0..stage::LISTED {
        let name = format!("listed-{number}");
        let mut link = Link::connect(port, lasting(Version::V5, &name));
        link.subscribe(&format!("{name}/+"), QoS::AtLeastOnce);
        link.close();
    }
    let _holder = stage.holder_of(&["more/+", "most/+"]);
    stage.play("lists");
}

#[test]
fn buttons_empty_a_queue_ban_and_delete_what_they_say() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-removal");
    let mut holder = stage.holder();
    let mut other = Link::connect(stage.broker.port_of("tcp"), v5("other"));
    for topic in ["old/first", "old/second", "kept/third"] {
        other.publish_with(Publication { retain: true, ..Publication::new(topic, "x", QoS::AtLeastOnce) });
    }
    stage.play("removal");
    assert_eq!(holder.ended_by_server(), client::ReasonCode::AdministrativeAction);
    let kept = stage.api.post("/v1/retained", &json!({ "filter": "+/+" })).expect(200);
    let topics: Vec<_> = kept["retained"].as_array().unwrap().iter().map(|row| &row["topic"]).collect();
    assert!(topics.contains(&&json!("kept/third")), "{kept}");
    assert!(!kept.to_string().contains("old/"), "{kept}");
    let bans = stage.api.get("/v1/bans").expect(200);
    assert!(bans.to_string().contains(stage::HOLDER), "{bans}");
}

#[test]
fn a_token_that_is_removed_leads_back_to_where_one_is_asked_for() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-revoked");
    let mut browser = stage.browse("revoked");
    browser.await_line("that it is ready", |line| (line == "ready").then_some(()));
    stage.revoke_viewer();
    stage::succeed(&mut browser);
}

#[test]
fn it_fits_on_a_phone() {
    let _one = one_browser();
    Stage::start("dashboard-narrow").play("narrow");
}

#[test]
fn fingers_see_what_they_open_and_escape_closes_the_menu() {
    let _one = one_browser();
    Stage::start("dashboard-touch").play("touch");
}

#[test]
fn it_is_light_or_dark_as_the_machine_or_the_reader_says() {
    let _one = one_browser();
    Stage::start("dashboard-colours").play("colours");
}

#[test]
fn keys_alone_lead_everywhere() {
    let _one = one_browser();
    Stage::start("dashboard-keys").play("keys");
}

#[test]
fn an_auditor_of_accessibility_finds_nothing_serious() {
    let _one = one_browser();
    Stage::start("dashboard-audit").play("audit");
}

#[test]
fn users_and_bans_are_made_and_taken_away() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-people");
    stage.play("people");
    let users = stage.api.get("/v1/users").expect(200);
    assert_eq!(users["users"].as_array().unwrap().len(), 1, "{users}");
    assert_eq!(users["users"][0]["groups"][0], "night shift", "{users}");
}

#[test]
fn a_page_publishes_and_subscribes_as_a_client() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-exchange");
    let mut other = Link::connect(stage.broker.port_of("tcp"), v5("other"));
    other.subscribe("page/#", QoS::AtLeastOnce);
    let mut browser = stage.browse("exchange");
    let message = other.message();
    assert_eq!(message.topic, "page/<b>one</b>");
    assert_eq!(String::from_utf8(message.payload).unwrap(), "<img src=x onerror=window.hacked=1> äöü");
    browser.await_line("that it has come back", |line| (line == "seen").then_some(()));
    for number in 1..300 {
        other.publish(&format!("page/{number}"), "from elsewhere", QoS::AtLeastOnce);
    }
    stage::succeed(&mut browser);
}

#[test]
fn a_broker_that_is_gone_is_told_and_found_again() {
    let _one = one_browser();
    let stage = Stage::start("dashboard-gone");
    let mut browser = stage.browse("gone");
    browser.await_line("that it is ready", |line| (line == "ready").then_some(()));
    let stage = stage.end();
    browser.await_line("that the broker is gone", |line| (line == "gone").then_some(()));
    let again = stage.start_again();
    stage::succeed(&mut browser);
    drop(again);
}

#[test]
fn files_come_with_what_a_browser_has_to_know() {
    let stage = Stage::start("dashboard-files");
    let nobody = stage.api.with_token("");
    let moved = nobody.get("/");
    assert_eq!(moved.status, 307);
    assert!(moved.head.to_ascii_lowercase().contains("location: /ui/"), "{}", moved.head);
    let page = nobody.get("/ui/");
    assert_eq!(page.status, 200);
    let head = page.head.to_ascii_lowercase();
    for told in [
        "content-type: text/html",
        "content-security-policy: default-src 'none'; script-src 'self'",
        "nosniff",
        "etag: \"",
    ] {
        assert!(head.contains(told), "{told}: {head}");
    }
    assert_eq!(nobody.get("/ui/app.js").status, 200);
    assert_eq!(nobody.get("/ui/main.rs").status, 404);
    assert_eq!(nobody.get("/v1/caller").status, 401);
    assert_eq!(stage.api.get("/v1/caller").expect(200)["role"], "admin");
    assert_eq!(stage.viewer.get("/v1/caller").expect(200)["role"], "viewer");
}

#[test]
fn the_log_is_told_as_it_is_written_and_to_so_many_at_a_time() {
    let stage = Stage::start("dashboard-log");
    let follow = || EventStream::ask(&stage.api, "/v1/log");
    let mut first = follow();
    first.line_with(":");
    let others: Vec<_> = (1..16)
        .map(|_| {
            let mut one = follow();
            one.line_with(":");
            one
        })
        .collect();
    assert_eq!(stage.api.get("/v1/log").status, 503);
    Link::connect(stage.broker.port_of("tcp"), v5("a-client-to-be-told-of")).close();
    let told = first.line_with("a-client-to-be-told-of");
    assert!(told.starts_with("data: {"), "{told}");
    drop(others);
    // Those who are gone make room once something was written to them.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        Link::connect(stage.broker.port_of("tcp"), v5("another")).close();
        let mut one = follow();
        if one.status() == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "no place is given back");
    }
    assert_eq!(stage.api.with_token("").get("/v1/log").status, 401);
}

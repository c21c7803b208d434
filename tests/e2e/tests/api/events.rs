//! `/v1/events` and `iothub ctl events`: what happens to real clients is told to those who listen, as far as they want to hear of it.

use std::fs;
use std::time::Instant;

use client::{QoS, Version};
use e2e::api::Api;
use e2e::events::EventStream;
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, Process, program, v5};
use serde_json::Value;

use super::setup;

/// With rules that deny one topic, and queues of two messages.
fn broker(name: &str, more: &str) -> Broker {
    let setup = setup(name);
    fs::write(setup.folder().join("acl"), "topic readwrite #\ntopic deny closed/#\n").unwrap();
    let text = format!(
        "[access]\nacl_file = \"acl\"\n[session]\nmax_queued_messages = 2\n[control]\nsocket = \"control.sock\"\n{more}"
    );
    setup.config(&text).start()
}

fn api_of(broker: &Broker) -> Api {
    let api = Api::of(broker);
    api.await_ready();
    api
}

/// Comes, is denied, is away, loses three of five messages and comes back.
fn live(broker: &Broker, client_id: &str) {
    let mut link = Link::connect(broker.port, lasting(Version::V5, client_id));
    link.subscribe(&format!("{client_id}/#"), QoS::AtLeastOnce);
    link.publish("closed/x", "", QoS::AtMostOnce);
    link.close();
    let mut other = Link::connect(broker.port, v5(&format!("{client_id}-feeder")));
    for n in 0..5 {
        other.publish(&format!("{client_id}/t"), format!("{n}"), QoS::AtLeastOnce);
    }
    other.close();
}

fn is(event: &Value, name: &str, client_id: &str) -> bool {
    event["event"] == name && event["client_id"] == client_id
}

#[test]
fn who_listens_hears_of_connects_denials_losses_and_ends() {
    let broker = broker("api-events", "");
    let api = api_of(&broker);
    let mut all = EventStream::open(&api, "/v1/events");
    let mut drops = EventStream::open(&api, "/v1/events?kind=dropped&client_id=lamp&topic=lamp/%23");
    let mut others = EventStream::open(&api, "/v1/events?client_id=other&kind=connected,disconnected");
    live(&broker, "lamp");
    live(&broker, "other");
    let events = all.until(|event| is(event, "disconnected", "other-feeder"));
    let find = |name: &str| events.iter().find(|event| is(event, name, "lamp")).expect(name);
    let connected = find("connected");
    assert!(connected["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{connected}");
    assert!(connected["listener"].as_str().unwrap().starts_with("tcp://"), "{connected}");
    assert_eq!((&connected["version"], &connected["clean_start"]), (&"5.0".into(), &false.into()));
    let denied = find("denied");
    assert_eq!((&denied["action"], &denied["topic"]), (&"publish".into(), &"closed/x".into()));
    assert!(denied["because"].as_str().unwrap().contains("acl"), "{denied}");
    assert_eq!(find("disconnected")["code"], 0);

    let mut lost = 0;
    while lost < 3 {
        let event = drops.next_event().expect("the stream goes on");
        assert!(is(&event, "dropped", "lamp"), "{event}");
        assert_eq!((&event["topic"], &event["cause"]), (&"lamp/t".into(), &"queue_messages".into()));
        lost += event["count"].as_u64().unwrap();
    }
    assert_eq!(lost, 3);
    assert_eq!(others.next_event().unwrap()["event"], "connected");
    assert_eq!(others.next_event().unwrap()["event"], "disconnected");
}

#[test]
fn questions_that_make_no_sense_are_refused_and_strangers_hear_nothing() {
    let broker = broker("api-events-wrong", "");
    let api = api_of(&broker);
    for (question, said) in [
        ("kind=drops", "is no event: there are connected, refused"),
        ("topic=a/%23/b", "expected a topic filter"),
        ("address=here", "address"),
        ("since=3", "unknown field"),
    ] {
        let answer = api.get(&format!("/v1/events?{question}"));
        assert!(answer.status == 400 && answer.text.contains(said), "{question}: {answer:?}");
    }
    assert_eq!(api.with_token("").get("/v1/events").status, 401);
}

#[test]
fn streams_take_no_seat_from_others_and_have_a_number_of_their_own() {
    let broker = broker("api-events-seats", "[api]\nmax_connections = 2\nmax_streams = 3\n");
    let api = api_of(&broker);
    let _events = EventStream::open(&api, "/v1/events");
    let _log = EventStream::open(&api, "/v1/log");
    let third = EventStream::open(&api, "/v1/events");
    assert_eq!(api.get("/v1/broker").status, 200);
    let answer = api.get("/v1/events");
    assert!(answer.status == 503 && answer.text.contains("api.max_streams"), "{answer:?}");
    drop(third);
    // Its place is free as soon as the broker has found out that nobody is there.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut link = Link::connect(broker.port, v5("noise"));
        link.publish("t", "", QoS::AtMostOnce);
        link.close();
        let mut stream = EventStream::ask(&api, "/v1/events?client_id=noise");
        if stream.status() == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "the place stays taken");
    }
}

#[test]
fn who_loses_the_token_hears_nothing_more() {
    let broker = broker("api-events-token", "[api]\ntokens_file = \"tokens\"\n");
    let admin = api_of(&broker);
    let token = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        command.arg("token").args(args).arg("--file").arg(broker.folder().join("tokens"));
        let mut process = Process::start("iothub token", &mut command);
        process.succeed();
        process.lines()
    };
    let eye = admin.with_token(&token(&["add", "eye", "--role", "operator"])[0]);
    let mut seen = ["/v1/events?kind=refused", "/v1/log", "/v1/trace", "/v1/published"]
        .map(|path| EventStream::ask(&eye, path));
    for stream in &mut seen {
        assert_eq!(stream.status(), 200);
    }
    let mut stays = EventStream::open(&admin, "/v1/events?kind=connected");
    token(&["remove", "eye"]);
    // Another token of the same name is somebody else's.
    token(&["add", "eye", "--role", "operator"]);
    for stream in &mut seen {
        assert!(stream.ends_within(PATIENCE));
    }
    let _link = Link::connect(broker.port, v5("late"));
    assert_eq!(stays.next_event().unwrap()["client_id"], "late");
}

#[test]
fn a_terminal_shows_events_from_the_socket_and_from_a_url() {
    let broker = broker("api-events-ctl", "");
    let api = api_of(&broker);
    let url = format!("http://127.0.0.1:{}", api.port);
    let ctl = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        command.args(["ctl", "events"]).args(args).env("IOTHUB_TOKEN", &api.token);
        Process::start("iothub ctl events", command.current_dir(broker.folder()))
    };
    let mut local =
        ctl(&["--socket", "control.sock", "--kind", "connected,disconnected", "-i", "lamp", "--count", "2"]);
    let mut remote =
        ctl(&["--url", &url, "--kind", "denied", "--topic", "closed/+", "--count", "1", "--json"]);
    // Both listen when what they want comes by: until then it comes again.
    let deadline = Instant::now() + PATIENCE;
    while local.is_running() || remote.is_running() {
        live(&broker, "lamp");
        assert!(Instant::now() < deadline, "{}{}", local.shown(), remote.shown());
    }
    // What they have said is all there then.
    assert!(local.wait().success() && remote.wait().success());
    let (local, remote) = (local.out_lines(), remote.out_lines());
    assert!(local.len() == 2 && local.iter().all(|line| line.contains("lamp")), "{local:?}");
    let denied: Value = serde_json::from_str(&remote[0]).unwrap();
    assert!(remote.len() == 1 && is(&denied, "denied", "lamp"), "{remote:?}");
    let mut wrong = ctl(&["--socket", "control.sock", "--kind", "connects"]);
    assert_eq!(wrong.wait().code(), Some(2));
    assert!(wrong.shown().contains("possible values: connected, refused"), "{}", wrong.shown());
}

//! `/v1/published` and `iothub ctl published`: on which topics real clients publish, and how many messages, told to whoever may look.

use std::collections::BTreeMap;
use std::time::Instant;

use client::QoS;
use e2e::api::Api;
use e2e::events::EventStream;
use e2e::socket::{self, Socket};
use e2e::{Broker, Link, PATIENCE, Process, program, v5};
use serde_json::Value;

use super::setup;

fn broker(name: &str) -> (Broker, Api) {
    let config = "[api]\ntokens_file = \"tokens\"\n[control]\nsocket = \"control.sock\"\n";
    let broker = setup(name).config(config).start();
    let admin = Api::of(&broker);
    admin.await_ready();
    (broker, admin)
}

fn viewer(broker: &Broker, admin: &Api) -> Api {
    let mut command = program::command(program::iothub());
    command.args(["token", "add", "eye", "--role", "viewer", "--file"]).arg(broker.folder().join("tokens"));
    let mut process = Process::start("iothub token", &mut command);
    process.succeed();
    admin.with_token(&process.out_lines()[0])
}

/// What is published from now on is in it.
#[track_caller]
fn open(api: &Api, question: &str) -> EventStream {
    let mut stream = EventStream::ask(api, &format!("/v1/published{question}"));
    assert_eq!(stream.status(), 200);
    stream
}

/// What a stream has told so far.
#[derive(Default)]
struct Told {
    by_topic: BTreeMap<String, u64>,
    left_out: u64,
}

impl Told {
    #[track_caller]
    fn read(&mut self, stream: &mut EventStream) {
        let row = stream.next_row().expect("the stream goes on");
        match row["left_out"].as_u64() {
            Some(left_out) => self.left_out += left_out,
            None => {
                let names: Vec<&String> = row.as_object().unwrap().keys().collect();
                assert_eq!(names, ["messages", "topic"], "nothing of contents or clients");
                let topic = row["topic"].as_str().unwrap().to_owned();
                *self.by_topic.entry(topic).or_default() += row["messages"].as_u64().unwrap();
            }
        }
    }

    fn messages(&self) -> u64 {
        self.by_topic.values().sum::<u64>() + self.left_out
    }

    #[track_caller]
    fn read_until(&mut self, stream: &mut EventStream, messages: u64) {
        while self.messages() < messages {
            self.read(stream);
        }
    }
}

/// What `/metrics` has for this.
#[track_caller]
fn metric(api: &Api, name: &str) -> u64 {
    let page = api.get("/metrics").text;
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_viewer_reads_how_many_messages_came_on_which_topics() {
    let (broker, admin) = broker("api-published");
    let viewer = viewer(&broker, &admin);
    assert_eq!(EventStream::ask(&viewer, "/v1/trace").status(), 403);
    let (mut all, mut house) = (open(&viewer, ""), open(&viewer, "?topic=house/%23"));
    let ids = broker.ids_by_home(2, "pump");
    let mut links: Vec<Link> = ids.iter().map(|id| Link::connect(broker.port, v5(id))).collect();
    links[0].subscribe("house/#", QoS::AtLeastOnce);
    for link in &mut links {
        for n in 0..50 {
            link.publish("house/kitchen", format!("{n}"), QoS::AtMostOnce);
            link.publish("house/attic", "x", QoS::AtLeastOnce);
            link.publish("shed", "x", QoS::ExactlyOnce);
        }
    }
    links[0].publish("house/end", "x", QoS::AtLeastOnce);
    let (mut of_all, mut of_house) = (Told::default(), Told::default());
    of_all.read_until(&mut all, 301);
    of_house.read_until(&mut house, 201);
    let count = |told: &Told, topic: &str| told.by_topic.get(topic).copied();
    for told in [&of_all, &of_house] {
        assert_eq!(count(told, "house/kitchen"), Some(100));
        assert_eq!((count(told, "house/attic"), count(told, "house/end")), (Some(100), Some(1)));
        assert_eq!(told.left_out, 0);
    }
    assert_eq!((count(&of_all, "shed"), count(&of_house, "shed")), (Some(100), None));
    links[1].publish("house/later", "x", QoS::AtLeastOnce);
    of_house.read(&mut house);
    assert_eq!((count(&of_house, "house/later"), of_house.messages()), (Some(1), 202), "nothing comes twice");
}

#[test]
fn messages_on_more_topics_than_a_round_names_are_told_together() {
    let (broker, admin) = broker("api-published-many");
    let mut stream = open(&admin, "");
    let mut told = Told::default();
    let mut publisher = Socket::connect(broker.port, "many", true);
    let bytes: Vec<Vec<u8>> = (0..MANY).map(|n| socket::publish(&format!("many/{n}"), b"x")).collect();
    publisher.send(&bytes.concat());
    told.read_until(&mut stream, MANY);
    assert_eq!(told.messages(), MANY, "each is told once");
    assert!(told.left_out > 0 && told.by_topic.len() >= 2048, "{} left out", told.left_out);
    assert!(told.by_topic.values().all(|messages| *messages == 1));
    assert_eq!(metric(&admin, "iothub_api_missed_total{stream=\"published\"}"), told.left_out);
}

#[test]
fn readers_have_eight_places_which_take_none_from_traces() {
    let (broker, admin) = broker("api-published-places");
    let mut here: Vec<EventStream> = (0..6).map(|_| open(&admin, "")).collect();
    let answer = admin.get("/v1/published");
    assert!(answer.status == 503 && answer.text.contains("this address has 6 of 8 readers"), "{answer:?}");
    let traces: Vec<EventStream> = (0..6).map(|_| EventStream::ask(&admin, "/v1/trace")).collect();
    assert!(traces.into_iter().all(|mut trace| trace.status() == 200));
    assert_eq!(metric(&admin, "iothub_api_places{place=\"published\"}"), 6);
    here.pop();
    // The place is free as soon as the broker has found out that nobody is there.
    let deadline = Instant::now() + PATIENCE;
    while EventStream::ask(&admin, "/v1/published").status() != 200 {
        assert!(Instant::now() < deadline, "the place stays taken");
    }
    for question in ["topic=a/%23/b", "client_id=a", "bytes=true"] {
        assert_eq!(admin.get(&format!("/v1/published?{question}")).status, 400, "{question}");
    }
    drop(broker);
}

#[test]
fn who_does_not_read_on_is_ended_and_holds_up_nobody() {
    let (broker, admin) = broker("api-published-unread");
    let unread = open(&admin, "");
    let mut reader = open(&admin, "?topic=end");
    let mut subscriber = Link::connect(broker.port, v5("s"));
    subscriber.subscribe("a", QoS::AtLeastOnce);
    let mut pump = Link::connect(broker.port, v5("pump"));
    let mut many = Socket::connect(broker.port, "many", true);
    let long = "x".repeat(50);
    let bytes: Vec<Vec<u8>> =
        (0..2000).map(|n| socket::publish(&format!("{long}/{long}/{n}"), b"")).collect();
    let bytes = bytes.concat();
    let deadline = Instant::now() + 3 * PATIENCE;
    let mut round = 0;
    while metric(&admin, "iothub_api_places{place=\"published\"}") > 1 {
        assert!(Instant::now() < deadline, "who does not read keeps its place");
        many.send(&bytes);
        pump.publish("a", format!("{round}"), QoS::AtLeastOnce);
        assert_eq!(subscriber.text(), round.to_string());
        round += 1;
    }
    pump.publish("end", "x", QoS::AtLeastOnce);
    let mut told = Told::default();
    told.read_until(&mut reader, 1);
    assert_eq!((told.by_topic.len(), told.left_out), (1, 0), "who reads misses nothing");
    drop(unread);
}

#[test]
fn a_terminal_shows_them_from_the_socket_and_from_a_url() {
    let (broker, admin) = broker("api-published-ctl");
    let url = format!("http://127.0.0.1:{}", admin.port);
    let ctl = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        command.args(["ctl", "published"]).args(args).env("IOTHUB_TOKEN", &admin.token);
        Process::start("iothub ctl published", command.current_dir(broker.folder()))
    };
    let mut people = ctl(&["--socket", "control.sock", "--topic", "house/+", "--count", "2"]);
    let mut programs = ctl(&["--url", &url, "--json", "--count", "3"]);
    let mut pump = Link::connect(broker.port, v5("pump"));
    // Both listen when what they want comes by: until then it comes again.
    let deadline = Instant::now() + PATIENCE;
    while people.is_running() || programs.is_running() {
        pump.publish("house/kitchen", "x", QoS::AtLeastOnce);
        pump.publish("shed", "x", QoS::AtLeastOnce);
        assert!(Instant::now() < deadline, "{}{}", people.shown(), programs.shown());
    }
    assert!(people.wait().success() && programs.wait().success());
    let (people, programs) = (people.out_lines(), programs.out_lines());
    assert!(people.len() == 2 && people.iter().all(|line| line.ends_with("/s  house/kitchen")), "{people:?}");
    let row: Value = serde_json::from_str(&programs[0]).unwrap();
    assert!(programs.len() == 3 && row["messages"].as_u64() > Some(0), "{programs:?}");
    for place in [["--url", &url], ["--socket", "control.sock"]] {
        let mut wrong = ctl(&[&place[..], &["--topic", "a/#/b"]].concat());
        assert_eq!(wrong.wait().code(), Some(1));
        assert!(wrong.shown().contains("expected a topic filter"), "{}", wrong.shown());
    }
}

const MANY: u64 = 10_000;

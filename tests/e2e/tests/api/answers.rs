//! `iothub why`, `iothub drops` and `iothub trace`, and what the API says beside them, of a broker with real clients.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use client::{QoS, Version};
use e2e::api::Api;
use e2e::link::lasting;
use e2e::{Link, PATIENCE, Process, Setup, program, socket, v5};
use serde_json::Value;

use super::setup;

pub struct Asked {
    pub code: Option<i32>,
    pub lines: Vec<String>,
}

pub fn with_socket(name: &str) -> (Setup, PathBuf) {
    let setup = setup(name);
    let socket = setup.folder().join("control.sock");
    (setup.variable("IOTHUB_CONTROL__SOCKET", &socket), socket)
}

fn command(socket: &PathBuf, args: &[&str]) -> Command {
    let mut command = program::command(program::iothub());
    command.args(args).arg("--socket").arg(socket);
    command
}

pub fn ask(socket: &PathBuf, args: &[&str]) -> Asked {
    let mut process = Process::start("iothub", &mut command(socket, args));
    let code = process.wait().code();
    Asked { code, lines: process.lines() }
}

/// Until the broker says it: what is asked and what comes from clients go by two ways.
#[track_caller]
pub fn await_answer(socket: &PathBuf, args: &[&str], is_it: impl Fn(&Asked) -> bool) -> Asked {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = ask(socket, args);
        if is_it(&asked) {
            return asked;
        }
        assert!(Instant::now() < deadline, "{args:?}: {:?}", asked.lines);
    }
}

pub fn has(asked: &Asked, text: &str) -> bool {
    asked.lines.iter().any(|line| line.contains(text))
}

#[test]
fn why_names_what_decides_for_real_clients() {
    let (setup, socket) = with_socket("api-why");
    let acl = setup.folder().join("acl");
    std::fs::write(&acl, "topic read house/#\ntopic write #\ntopic read shed/#\n").unwrap();
    let broker = setup.variable("IOTHUB_ACCESS__ACL_FILE", &acl).start();
    let mut lamp = Link::connect(broker.port, v5("lamp"));
    lamp.subscribe("#", QoS::AtLeastOnce);
    let mut pump = Link::connect(broker.port, v5("pump"));
    let why = |topic: &str| {
        ask(&socket, &["why", "--client", "lamp", "--topic", topic, "-q", "1", "--publisher", "pump"])
    };

    let gets = why("house/kitchen");
    assert_eq!(gets.code, Some(0), "{:?}", gets.lines);
    assert!(has(&gets, "lamp would get it now") && has(&gets, "acl:1, mosquitto ACL)"), "{:?}", gets.lines);
    let denied = why("cellar/x");
    assert_eq!(denied.code, Some(1), "{:?}", denied.lines);
    assert!(
        has(&denied, "no rule about receive matches, and a mosquitto ACL file denies what it does not list"),
        "{:?}",
        denied.lines
    );

    pump.publish("house/kitchen", "warm", QoS::AtLeastOnce);
    assert_eq!(lamp.text(), "warm");
    let question = ["why", "--client", "lamp", "--topic", "house/kitchen"];
    await_answer(&socket, &question, |asked| has(asked, "with packet id 1, and acknowledged"));
    pump.publish("cellar/x", "cold", QoS::AtLeastOnce);
    let question = ["why", "--client", "lamp", "--topic", "cellar/x"];
    await_answer(&socket, &question, |asked| has(asked, "1 lost on this topic"));

    let nobody = ask(&socket, &["why", "--client", "nobody", "--topic", "a"]);
    assert!(nobody.code == Some(1) && has(&nobody, "no session with this client id"), "{:?}", nobody.lines);
    let wrong = ask(&socket, &["why", "--client", "lamp", "--topic", "a/#"]);
    assert_eq!(wrong.code, Some(2));
    let json = ask(&socket, &["why", "--client", "lamp", "--topic", "house/a", "--json"]);
    let answer: Value = serde_json::from_str(&json.lines[0]).unwrap();
    assert_eq!(answer["outcome"], "goes");
}

#[test]
fn drops_are_listed_by_client_and_by_topic_and_the_client_reads_its_own() {
    let (setup, socket) = with_socket("api-drops");
    let broker = setup.variable("IOTHUB_SESSION__MAX_QUEUED_MESSAGES", "2").start();
    assert!(has(&ask(&socket, &["drops"]), "nothing was lost"));
    let mut away = Link::connect(broker.port, lasting(Version::V5, "away"));
    away.subscribe("house/#", QoS::AtLeastOnce);
    away.close();
    let mut pump = Link::connect(broker.port, v5("pump"));
    for n in 0..5 {
        pump.publish("house/kitchen/heat", format!("{n}"), QoS::AtLeastOnce);
    }
    broker.await_counter("dropped_queue_messages", 3);
    let by_client = ask(&socket, &["drops", "--client", "aw"]);
    assert!(
        has(&by_client, "3 queue_messages: the client's queue had session.max_queued_messages"),
        "{:?}",
        by_client.lines
    );
    assert!(has(&by_client, "3 queue_messages house/kitchen/heat"), "{:?}", by_client.lines);
    let by_topic = ask(&socket, &["drops", "--topics"]);
    assert_eq!(by_topic.lines[0], "house/kitchen", "{:?}", by_topic.lines);
    let of_prefix = ask(&socket, &["drops", "--topics", "--prefix", "/kit"]);
    assert_eq!(of_prefix.lines, by_topic.lines);
    assert!(has(&ask(&socket, &["drops", "--topics", "--prefix", "attic"]), "nothing was lost"));

    let mut back = Link::connect(broker.port, lasting(Version::V5, "away"));
    let waiting = [back.text(), back.text()];
    assert_eq!(waiting, ["0", "1"], "what was not lost");
    back.subscribe("$SYS/client/drops", QoS::AtMostOnce);
    let report: Value = serde_json::from_str(&back.text()).unwrap();
    assert_eq!(
        (&report["lost"][0]["cause"], &report["lost"][0]["count"]),
        (&"queue_messages".into(), &3.into())
    );
}

#[test]
fn what_is_not_taken_in_stands_under_its_publisher_and_apart_from_what_nobody_got() {
    let (setup, socket) = with_socket("api-refused");
    let acl = setup.folder().join("acl");
    std::fs::write(&acl, "topic read #\ntopic read $SYS/#\ntopic write open/#\n").unwrap();
    let broker = setup
        .variable("IOTHUB_ACCESS__ACL_FILE", &acl)
        .variable("IOTHUB_SERVER__SYS_INTERVAL_SECS", "1")
        .start();
    let mut away = Link::connect(broker.port, lasting(Version::V5, "away"));
    away.subscribe("open/#", QoS::AtLeastOnce);
    away.close();
    let mut pump = Link::connect(broker.port, v5("pump"));
    for topic in ["shut/door", "shut/door", "open/door"] {
        pump.publish(topic, "x", QoS::AtMostOnce);
    }
    broker.await_counter("refused_publish_denied", 2);
    broker.await_counter("dropped_offline_qos0", 1);

    let of_pump = ask(&socket, &["drops", "--client", "pump"]);
    assert!(has(&of_pump, "2 publish_denied: the rules of access do not let"), "{:?}", of_pump.lines);
    assert!(has(&of_pump, "2 publish_denied shut/door"), "{:?}", of_pump.lines);
    let why = ask(&socket, &["why", "--client", "away", "--topic", "shut/door"]);
    assert!(
        has(&why, "2 that pump published on this topic were not taken in, or not retained"),
        "{:?}",
        why.lines
    );
    let by_cause = ask(&socket, &["drops", "--causes"]);
    let sums: Vec<&String> = by_cause.lines.iter().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(sums, ["1 lost on their way to clients", "2 not taken in from their publishers"]);

    let mut watcher = Link::connect(broker.port, v5("watcher"));
    for (name, expected) in [("lost", 1), ("refused", 2)] {
        watcher.subscribe(&format!("$SYS/broker/shards/+/publish/messages/{name}"), QoS::AtMostOnce);
        let mut by_shard = BTreeMap::new();
        while by_shard.values().sum::<u64>() < expected {
            let message = watcher.message();
            let number = std::str::from_utf8(&message.payload).unwrap().parse::<u64>().unwrap();
            by_shard.insert(message.topic.clone(), number);
        }
        assert_eq!(by_shard.values().sum::<u64>(), expected, "{name}: {by_shard:?}");
    }
}

#[test]
fn what_no_socket_took_of_who_broke_off_is_told_as_never_sent() {
    let (setup, control) = with_socket("api-never-sent");
    let broker = setup.start();
    let mut stuck = socket::Socket::connect(broker.port, "stuck", true);
    stuck.subscribe("flood", QoS::AtMostOnce);
    let mut pump = socket::Socket::connect(broker.port, "pump", true);
    // More than sockets take while nobody reads.
    (0..20_000).for_each(|_| pump.send(&socket::publish("flood", &[b'x'; 1000])));
    pump.ping();
    let last = ["trace", "stuck", "--last"];
    assert!(!has(&ask(&control, &last), "never sent"), "it may still be taken");
    drop(stuck);
    let asked = await_answer(&control, &last, |asked| has(asked, "never sent"));
    assert!(
        asked.lines.iter().any(|line| line.contains("<- PUBLISH") && line.ends_with("never sent  flood"))
    );
    let packets = ask(&control, &["trace", "stuck", "--last", "--json"]).lines;
    let packets: Vec<Value> = packets.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_unsent = |packet: &Value| packet["unsent"] == true;
    let first = packets.iter().position(is_unsent).expect("some are");
    assert!(packets[first..].iter().all(|packet| is_unsent(packet) || packet["direction"] == "received"));
    let lost = ask(&control, &["drops", "--client", "stuck"]);
    assert!(lost.lines.iter().any(|line| line.contains(" unsent flood")), "{:?}", lost.lines);
}

#[test]
fn mosquitto_reads_the_losses_of_its_own_session() {
    let broker = setup("api-own-drops").start();
    let mut link = Link::connect(broker.port, v5("other"));
    link.subscribe("$SYS/client/#", QoS::AtMostOnce);
    for version in ["mqttv311", "mqttv5"] {
        let mut sub = program::command("mosquitto_sub");
        sub.args([
            "-p",
            &broker.port.to_string(),
            "-V",
            version,
            "-t",
            "$SYS/client/drops",
            "-C",
            "1",
            "-W",
            "20",
        ]);
        let mut process = Process::start("mosquitto_sub", &mut sub);
        assert_eq!(process.wait().code(), Some(0));
        assert_eq!(process.lines(), [r#"{"lost":[],"topics":[]}"#]);
    }
    link.expect_silence();
}

#[test]
fn trace_shows_the_last_packets_of_a_client() {
    let (setup, socket) = with_socket("api-last");
    let broker = setup.start();
    let mut lamp = Link::connect(broker.port, v5("site/lamp 1"));
    lamp.subscribe("a/#", QoS::AtLeastOnce);
    lamp.publish("a/b", "x", QoS::AtLeastOnce);
    lamp.text();
    let asked = await_answer(&socket, &["trace", "site/lamp 1", "--last"], |asked| has(asked, "-> PUBACK"));
    for text in ["-> SUBSCRIBE", "<- SUBACK", "-> PUBLISH", "<- PUBLISH", "<- PUBACK"] {
        assert!(has(&asked, text), "{text}: {:?}", asked.lines);
    }
    assert!(
        asked.lines.iter().any(|line| line.contains("<- PUBLISH") && line.ends_with("q1  a/b")),
        "{:?}",
        asked.lines
    );
    for text in ["-> PUBLISH", "<- PUBACK", "<- PUBLISH", "-> PUBACK", "-> SUBSCRIBE", "<- SUBACK"] {
        let is_timed = |line: &String| line.contains(text) && line.contains(" ms") && line.contains(" s ago");
        assert!(asked.lines.iter().any(is_timed), "{text} with its latency: {:?}", asked.lines);
    }
    let newest = ask(&socket, &["trace", "site/lamp 1", "--count", "2"]).lines;
    assert!(newest.len() == 2 && !newest.concat().contains("SUBSCRIBE"), "{newest:?}");
    let packets = ask(&socket, &["trace", "site/lamp 1", "--last", "--json"]).lines;
    let latencies = |kind: &str, direction: &str| -> Vec<f64> {
        let packets = packets.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_kind = packets.filter(|packet| packet["kind"] == kind && packet["direction"] == direction);
        of_kind.map(|packet| packet["latency_s"].as_f64().unwrap()).collect()
    };
    for (there, back) in [("received", "sent"), ("sent", "received")] {
        let publish = latencies("PUBLISH", there);
        assert!(publish.len() == 1 && publish[0] < PATIENCE.as_secs_f64(), "{packets:?}");
        assert_eq!(publish, latencies("PUBACK", back), "both tell the same time");
    }
    let long = |middle: &str| format!("a/{}/{middle}/{}", "x".repeat(60), "y".repeat(60));
    lamp.publish(&long("1"), "x", QoS::AtMostOnce);
    lamp.text();
    let on = |topic: &str| ask(&socket, &["trace", "site/lamp 1", "--last", "--topic", topic]);
    await_answer(&socket, &["trace", "site/lamp 1", "--last", "--topic", &long("1")], |asked| {
        let subscribed = asked.lines[0].contains("SUBSCRIBE") && asked.lines[0].ends_with("  a/#");
        subscribed && has(asked, "-> PUBLISH") && has(asked, "<- PUBLISH") && asked.lines.len() == 3
    });
    assert_eq!(on(&long("2")).lines.len(), 1, "SUBSCRIBE alone: the topics have the same ends");
    assert_eq!(on("+/b").lines.len(), 3, "{:?}", on("+/b").lines);
    assert!(has(&on("b/#"), "none of the packets"));
    assert_eq!(on("a/#/b").code, Some(2));
    let nobody = ask(&socket, &["trace", "nobody"]);
    assert_eq!(nobody.code, Some(1));
}

#[test]
fn a_client_whose_session_ended_is_asked_about_afterwards() {
    let (setup, socket) = with_socket("api-ended");
    let broker = setup.start();
    for n in 0..2 {
        let mut lamp = Link::connect(broker.port, v5("lamp"));
        lamp.subscribe("a/#", QoS::AtLeastOnce);
        lamp.publish(&format!("a/{n}"), "x", QoS::AtLeastOnce);
        lamp.cut();
    }
    let ended = "the session ended: it was to last as long as its connection; the client was here by tcp://127.0.0.1:";
    let position = |asked: &Asked, text: &str| asked.lines.iter().position(|line| line.contains(text));
    let asked = await_answer(&socket, &["trace", "lamp"], |asked| {
        let last = position(asked, "q1  a/1");
        last.is_some() && last < position(asked, ended)
    });
    assert!(has(&asked, "the network connection was closed"), "{:?}", asked.lines);
    assert!(!has(&asked, "a/0"), "the session before that: {:?}", asked.lines);
    let json = ask(&socket, &["trace", "lamp", "--json"]);
    assert!(json.code == Some(0) && json.lines.iter().all(|line| line.starts_with('{')), "{:?}", json.lines);
    let why = ask(&socket, &["why", "--client", "lamp", "--topic", "a/1"]);
    assert!(why.code == Some(1) && has(&why, "it has ended"), "{:?}", why.lines);
    assert!(has(&why, "ago: the network connection was closed"), "{:?}", why.lines);

    let mut lamp = Link::connect(broker.port, v5("lamp"));
    lamp.subscribe("b", QoS::AtLeastOnce);
    assert_eq!(ask(&socket, &["ban", "add", "--address", "127.0.0.0/8"]).code, Some(0));
    lamp.disconnection();
    let why = ask(&socket, &["why", "--client", "lamp", "--topic", "a/1"]);
    assert!(has(&why, "- ban") && has(&why, "nobody is let in from 127.0.0.1"), "{:?}", why.lines);
    assert!(has(&why, "ago: banned"), "{:?}", why.lines);
    assert_eq!(ask(&socket, &["ban", "remove", "--address", "127.0.0.0/8"]).code, Some(0));

    let mut lamp = Link::connect(broker.port, v5("lamp"));
    lamp.subscribe("b", QoS::AtLeastOnce);
    let asked = ask(&socket, &["trace", "lamp"]);
    let at = |text: &str| position(&asked, text);
    let living = asked.lines.iter().rposition(|line| line.contains("SUBACK"));
    assert!(at("SUBSCRIBE") < at(ended) && at(ended) < living, "{:?}", asked.lines);
}

#[test]
fn why_tells_by_its_exit_code_whether_the_client_gets_it() {
    let (setup, socket) = with_socket("api-why-codes");
    let rules = setup.folder().join("rules.toml");
    let text = "default = \"allow\"\n[clients]\npump = [\"fleeting\"]\n\
                [roles.fleeting]\nrules = [ { deny = \"retain\", topics = \"#\" } ]\n";
    std::fs::write(&rules, text).unwrap();
    let broker = setup.variable("IOTHUB_ACCESS__RULES_FILE", &rules).start();
    let mut lamp = Link::connect(broker.port, v5("lamp"));
    lamp.subscribe("a/#", QoS::AtLeastOnce);
    let _pump = Link::connect(broker.port, v5("pump"));
    let _tap = Link::connect(broker.port, v5("tap"));
    for (expected, args) in [
        (0, &["-t", "a/b"][..]),
        (0, &["-t", "a/b", "-r"]),
        (0, &["-t", "a/b", "-r", "-q", "2", "--size", "10", "--publisher", "tap"]),
        (0, &["-t", "a/b", "--publisher", "pump"]),
        (1, &["-t", "a/b", "--publisher", "pump", "-r"]),
        (1, &["-t", "b", "-r"]),
        (1, &["-t", "b", "-r", "--json"]),
        (2, &["-t", "a/#", "-r"]),
        (2, &["-t", "a/b", "-q", "3"]),
        (2, &["-t", "a/b", "--size", "999999999"]),
    ] {
        let asked = ask(&socket, &[&["why", "--client", "lamp"], args].concat());
        assert_eq!(asked.code, Some(expected), "{args:?}: {:?}", asked.lines);
    }
    let nowhere = socket.with_file_name("nowhere.sock");
    assert_eq!(ask(&nowhere, &["why", "--client", "lamp", "-t", "a", "-r"]).code, Some(2));
}

/// Messages until the one who looks on has said its line: nothing tells from outside that a tap is there.
fn publish_until(link: &mut Link, topic: &str, process: &Process, is_it: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        link.publish(topic, "x", QoS::AtLeastOnce);
        if let Some(line) = process.lines().into_iter().find(|line| is_it(line)) {
            return line;
        }
        assert!(Instant::now() < deadline, "{:?}", process.lines());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn packets_are_followed_with_filters_and_the_end_of_the_reader_ends_it() {
    let (setup, socket) = with_socket("api-follow");
    let broker = setup.start();
    let mut pump = Link::connect(broker.port, v5("pump"));
    let mut other = Link::connect(broker.port, v5("other"));
    let process =
        Process::start("iothub trace", &mut command(&socket, &["trace", "--follow", "--topic", "a/+"]));
    other.publish("b", "x", QoS::AtLeastOnce);
    let line = publish_until(&mut pump, "a/b", &process, |line| line.contains("PUBLISH"));
    assert!(line.contains("pump") && line.ends_with("q1  a/b"), "{line}");
    assert!(process.lines().iter().all(|line| line.contains("a/b")), "{:?}", process.lines());
    drop(process);
    // The places of those who have gone are free again.
    for _ in 0..12 {
        let mut ended = Process::start(
            "iothub trace",
            &mut command(&socket, &["trace", "pump", "-f", "--count", "1", "--json"]),
        );
        let line = publish_until(&mut pump, "a/b", &ended, |line| line.contains("\"kind\""));
        let packet: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&packet["client_id"], &packet["version"]), (&"pump".into(), &"5.0".into()));
        // When what we send goes out is not known there, least of all where it waits for the store.
        assert!(packet["direction"] == "received" || packet["latency_s"].is_null(), "{packet}");
        assert!(
            packet["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")),
            "{packet}"
        );
        assert_eq!(ended.wait().code(), Some(0));
    }
}

#[test]
fn who_comes_and_goes_between_two_looks_is_traced_with_its_address() {
    let (setup, control) = with_socket("api-trace-address");
    let broker = setup.start();
    let trace = |address: &str| {
        let args = ["trace", "--follow", "--json", "--topic", "a", "--address", address];
        Process::start("iothub trace", &mut command(&control, &args))
    };
    let (here, mapped, elsewhere) = (trace("127.0.0.1"), trace("::ffff:127.0.0.1"), trace("127.0.0.2"));
    // One packet brings all that the client ever says.
    let passing = [socket::connect("passing", true), socket::publish("a", b"x"), socket::frame(0xE0, &[])];
    let deadline = Instant::now() + PATIENCE;
    for process in [&here, &mapped] {
        let line = loop {
            assert!(Instant::now() < deadline, "{:?}", process.lines());
            let mut stream = TcpStream::connect(("127.0.0.1", broker.port)).unwrap();
            std::io::Write::write_all(&mut stream, &passing.concat()).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
            if let Some(line) = process.lines().into_iter().find(|line| line.contains("passing")) {
                break line;
            }
        };
        let packet: Value = serde_json::from_str(&line).unwrap();
        let address = packet["address"].as_str();
        assert!(address.is_some_and(|address| address.starts_with("127.0.0.1:")), "{packet}");
    }
    assert!(!elsewhere.lines().iter().any(|line| line.contains("passing")), "{:?}", elsewhere.lines());
}

#[test]
fn who_does_not_read_a_trace_holds_up_nobody() {
    let broker = setup("api-stuck-trace").start();
    let api = Api::of(&broker);
    api.await_ready();
    let mut stuck = TcpStream::connect(("127.0.0.1", api.port)).unwrap();
    let head = format!(
        "GET /v1/trace?bytes=true HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\r\n",
        api.token
    );
    std::io::Write::write_all(&mut stuck, head.as_bytes()).unwrap();
    let mut status = String::new();
    BufReader::new((&mut stuck).take(15)).read_line(&mut status).unwrap();
    assert!(status.contains("200"), "{status}");
    let mut subscriber = Link::connect(broker.port, v5("s"));
    subscriber.subscribe("a", QoS::AtLeastOnce);
    let mut pump = Link::connect(broker.port, v5("pump"));
    let payload = "x".repeat(100_000);
    for n in 0..300 {
        pump.publish("a", format!("{n}{payload}"), QoS::AtLeastOnce);
        assert!(subscriber.text().starts_with(&n.to_string()));
    }
    drop(stuck);
}

#[test]
fn a_capture_file_holds_whole_packets() {
    let (setup, socket) = with_socket("api-pcap");
    let broker = setup.start();
    let path = broker.folder().join("trace.pcap");
    let mut pump = Link::connect(broker.port, v5("pump"));
    let file = path.display().to_string();
    let mut command = command(&socket, &["trace", "pump", "--pcap", &file, "--count", "2"]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        pump.publish("house/kitchen", "the payload", QoS::AtLeastOnce);
        assert!(Instant::now() < deadline);
    }
    let capture = std::fs::read(&path).unwrap();
    assert_eq!(capture[..4], [0xD4, 0xC3, 0xB2, 0xA1]);
    let holds = |text: &[u8]| capture.windows(text.len()).any(|bytes| bytes == text);
    assert!(holds(b"\x00\x0dhouse/kitchen") && holds(b"the payload") && holds(b"\x00\x04MQTT\x05"));
}

#[test]
fn the_busiest_and_the_fullest_clients_come_first() {
    let broker = setup("api-top").variable("IOTHUB_SESSION__MAX_QUEUED_MESSAGES", "10").start();
    let api = Api::of(&broker);
    api.await_ready();
    let mut full = Link::connect(broker.port, lasting(Version::V5, "full"));
    full.subscribe("a/#", QoS::AtLeastOnce);
    full.close();
    let mut pump = Link::connect(broker.port, v5("pump"));
    for n in 0..9 {
        pump.publish(&format!("a/b/{n}"), "x".repeat(1000), QoS::AtLeastOnce);
    }
    let first = |by: &str| api.get(&format!("/v1/top?by={by}")).expect(200)["clients"][0]["client"].clone();
    assert_eq!(first("queued")["client_id"], "full");
    let nearest = first("limit");
    assert_eq!(nearest["client_id"], "full");
    assert_eq!(nearest["nearest_limit"]["limit"], "session.max_queued_messages");
    assert_eq!(nearest["nearest_limit"]["used"], 0.9);
    assert_eq!(first("bytes_received")["client_id"], "pump");
    assert_eq!(first("bytes")["client_id"], "pump");
    assert_eq!(first("packets")["client_id"], "pump");
    let over = api.get("/v1/top?by=bytes_received&over_s=1").expect(200);
    assert_eq!(over["clients"].as_array().unwrap().len(), 0, "nobody said anything meanwhile: {over}");
    assert_eq!(api.get("/v1/top?by=queued&over_s=1").status, 400);
    assert_eq!(api.get("/v1/top?by=beauty").status, 400);
}

#[test]
fn prefixes_with_many_topics_are_seen() {
    let broker = setup("api-prefixes").start();
    let api = Api::of(&broker);
    api.await_ready();
    let mut pump = Link::connect(broker.port, v5("pump"));
    for n in 0..2000 {
        pump.publish(&format!("site/meters/{n}"), "x", QoS::AtMostOnce);
    }
    pump.publish("end", "x", QoS::AtLeastOnce);
    let prefixes = api.get("/v1/prefixes").expect(200);
    let rows = prefixes["prefixes"].as_array().unwrap();
    // What there is beneath both is the same, so that only the sum of all stands beside the prefix.
    assert!(
        rows.iter().take(2).all(|row| row["prefix"] == "#" || row["prefix"] == "site/meters"),
        "{rows:?}"
    );
    for row in &rows[..2] {
        let topics = row["topics"].as_u64().unwrap();
        assert!((1000..4000).contains(&topics), "{row}");
    }
}

#[test]
fn topics_that_each_begin_with_a_level_of_their_own_are_seen_to_become_more() {
    let broker = setup("api-first-levels").start();
    let api = Api::of(&broker);
    api.await_ready();
    let mut pump = Link::connect(broker.port, v5("pump"));
    for n in 0..3000 {
        pump.publish(&format!("dev-{n}/temp"), "x", QoS::AtMostOnce);
    }
    pump.publish("end", "x", QoS::AtLeastOnce);
    let prefixes = api.get("/v1/prefixes?by=grown").expect(200);
    let first = &prefixes["prefixes"][0];
    assert_eq!(first["prefix"], "#");
    for (name, between) in
        [("topics", 1500..6000), ("grown", 1500..6000), ("levels", 90..400), ("levels_grown", 90..400)]
    {
        assert!(between.contains(&first[name].as_u64().unwrap()), "{name}: {first}");
    }
}

#[test]
fn retained_messages_and_subscriptions_are_counted_by_prefix_with_their_growth() {
    let broker = setup("api-kept").start();
    let api = Api::of(&broker);
    api.await_ready();
    let deadline = Instant::now() + PATIENCE;
    let row = |is_it: &dyn Fn(&Value) -> bool, by: &str| loop {
        let answer = api.get(&format!("/v1/prefixes?by={by}")).expect(200);
        assert_eq!(answer["is_partial"], false);
        let rows = answer["prefixes"].as_array().unwrap();
        let is_sum = |row: &&Value| row["prefix"].as_str().unwrap().ends_with('#');
        let row = rows.iter().find(|row| !is_sum(row)).cloned().unwrap_or_default();
        if is_it(&row) {
            return row;
        }
        assert!(Instant::now() < deadline, "{answer}");
    };
    // One topic in sixteen is looked at: of so many some are.
    let mut pump = Link::connect(broker.port, v5("pump"));
    (0..300).for_each(|n| pump.publish(&format!("other/{n}/x"), "x", QoS::AtMostOnce));
    // Before anything is kept: growth is told from here on.
    row(&|row| row["kept_grown_in_s"].is_number(), "topics");
    for n in 0..60 {
        super::retain(&mut pump, &format!("site/meters/{n}"), "x");
        pump.subscribe(&format!("site/valves/{n}"), QoS::AtMostOnce);
    }
    pump.subscribe("$share/g/site/valves/+", QoS::AtMostOnce);
    let retained = row(&|row| row["retained"] == 60, "retained_grown");
    assert_eq!((&retained["prefix"], &retained["retained_grown"]), (&"site/meters".into(), &60.into()));
    let subscribed = row(&|row| row["subscriptions"] == 61, "subscriptions");
    assert_eq!(
        (&subscribed["prefix"], &subscribed["subscriptions_grown"]),
        (&"site/valves".into(), &61.into())
    );
    api.delete("/v1/retained?filter=site/%23").expect(200);
    row(&|row| row["prefix"] != "site/meters" || row["retained"] == 0, "retained");
    assert_eq!(api.get("/v1/prefixes?by=beauty").status, 400);
}

//! `$SYS` beside mosquitto's: every name that it has, with a value of the same form.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use client::QoS;
use e2e::{Broker, Link, PATIENCE, Process, Setup, program, v5};

fn start(name: &str, shards: u8) -> Broker {
    Setup::new(name).shards(shards).variable("IOTHUB_SERVER__SYS_INTERVAL_SECS", "1").start()
}

/// It cannot choose a port by itself, and another may take the one that was free.
fn mosquitto(folder: &Path) -> (Process, u16) {
    for _ in 0..10 {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let text =
            format!("listener {port} 127.0.0.1\nallow_anonymous true\nsys_interval 1\nlog_dest stderr\n");
        fs::write(folder.join("mosquitto.conf"), text).unwrap();
        drop(held);
        let mut command = program::command(program::mosquitto());
        let mut process = Process::start("mosquitto", command.arg("-c").arg(folder.join("mosquitto.conf")));
        let deadline = Instant::now() + PATIENCE;
        while process.is_running() && Instant::now() < deadline {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return (process, port);
            }
            // No event tells that another process has begun to listen.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    panic!("mosquitto starts with one of several choices of ports")
}

/// What mosquitto's own client shows within some seconds, which are a few intervals: the last value of each topic.
fn shown(port: u16) -> BTreeMap<String, String> {
    let mut command = program::command("mosquitto_sub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "$SYS/#", "-F", "%t\t%p", "-W", "4"]);
    let mut process = Process::start("mosquitto_sub", &mut command);
    process.wait();
    let pair =
        |line: String| line.split_once('\t').map(|(topic, value)| (topic.to_owned(), value.to_owned()));
    process.out_lines().into_iter().filter_map(pair).collect()
}

/// What kind of text it is, without what it says.
fn form(value: &str) -> String {
    let words = value.split(' ').map(|word| {
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        match word.split_once('.') {
            _ if is_number => "number",
            Some((whole, part)) if part.len() == 2 && whole.parse::<u64>().is_ok() => "number.two",
            _ if word == "version" || word == "seconds" => word,
            Some(_) => "dotted",
            None => "word",
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn traffic(port: u16) {
    let (mut publisher, mut subscriber) = (Link::connect(port, v5("p")), Link::connect(port, v5("s")));
    subscriber.subscribe("a", QoS::AtLeastOnce);
    for _ in 0..10 {
        publisher.publish("a", "12345", QoS::AtLeastOnce);
        subscriber.message();
    }
}

/// Somebody who is away and gets nothing at QoS 0, members of a group, and what is retained.
fn ways(port: u16) -> Vec<Link> {
    let mut away = Link::connect(port, e2e::link::lasting(client::Version::V5, "away"));
    away.subscribe("away/#", QoS::AtLeastOnce);
    away.close();
    let mut here: Vec<Link> = ["m", "n"].map(|name| Link::connect(port, v5(name))).into();
    for member in &mut here {
        member.subscribe("$share/g/shared/#", QoS::AtMostOnce);
        member.subscribe("own", QoS::AtMostOnce);
    }
    for _ in 0..7 {
        here[0].publish("away/x", "missed", QoS::AtMostOnce);
    }
    for _ in 0..3 {
        here[0].publish("away/x", "waits", QoS::AtLeastOnce);
    }
    here
}

#[test]
fn every_name_of_mosquitto_is_there_with_a_value_of_its_form() {
    let broker = start("beside", 2);
    let (_mosquitto, port) = mosquitto(broker.folder());
    traffic(broker.port);
    traffic(port);
    let _here = (ways(broker.port), ways(port));
    let (theirs, ours) = (shown(port), shown(broker.port));
    assert!(theirs.len() >= 50, "mosquitto says much: {theirs:?}");
    for (topic, value) in &theirs {
        let own = ours.get(topic).unwrap_or_else(|| panic!("{topic} is missing: {ours:?}"));
        assert_eq!(form(own), form(value), "{topic}: {own} here, {value} there");
    }
    // The same traffic counts the same.
    let compared =
        theirs.keys().filter(|topic| !OWN_VALUES.iter().any(|own| topic[PREFIX.len()..].starts_with(own)));
    let compared: Vec<&String> = compared.collect();
    assert!(compared.len() >= 15, "{compared:?}");
    let differing = compared.into_iter().filter(|topic| ours[*topic] != theirs[*topic]);
    let differing: Vec<_> = differing.map(|topic| (topic, &ours[topic], &theirs[topic])).collect();
    assert!(differing.is_empty(), "here and there: {differing:?}");
    let others: Vec<&String> = ours.keys().filter(|topic| !theirs.contains_key(*topic)).collect();
    let is_own = |topic: &&String| {
        topic.starts_with("$SYS/broker/shards/") || OTHERS_OF_MOSQUITTO.contains(&&topic[PREFIX.len()..])
    };
    assert!(others.iter().all(is_own), "{others:?}");
    assert_eq!(others.iter().filter(|topic| topic.contains("/shards/1/")).count(), 17);
}

const PREFIX: &str = "$SYS/broker/";

/// Names of other versions of mosquitto than the one that the test runs beside.
const OTHERS_OF_MOSQUITTO: [&str; 3] = ["messages/inflight", "connections/socket/count", "packet/out/bytes"];

/// Names whose values cannot be those of another program, or count what it publishes beneath `$SYS` itself; and averages, which fade
/// from another moment on.
const OWN_VALUES: [&str; 17] = [
    "version",
    "uptime",
    "heap/",
    "bytes/",
    "messages/received",
    "messages/sent",
    "publish/messages/sent",
    "publish/bytes/sent",
    "messages/stored",
    "store/messages/",
    "retained messages/count",
    "load/messages/",
    "load/bytes/",
    "load/publish/received",
    "load/publish/sent",
    "load/sockets",
    "load/connections",
];

#[test]
fn a_client_without_the_right_gets_nothing_and_loses_nothing() {
    let setup = Setup::new("sys-denied");
    let acl = setup.folder().join("acl");
    fs::write(&acl, "topic readwrite #\n").unwrap();
    let broker = setup
        .shards(2)
        .variable("IOTHUB_ACCESS__ACL_FILE", &acl)
        .variable("IOTHUB_SERVER__SYS_INTERVAL_SECS", "1")
        .start();
    assert_eq!(shown(broker.port), BTreeMap::new(), "four intervals");
    assert_eq!(broker.counter("dropped_denied"), 0);
    let denials = broker.process.lines().iter().filter(|line| line.contains("$SYS/")).count();
    assert!(denials <= 2, "one line of each shard: {}", broker.process.shown());
}

/// Reads until the topic has this value.
fn await_value(link: &mut Link, topic: &str, value: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut last = String::new();
    while Instant::now() < deadline {
        let message = link.message();
        if message.topic == topic {
            last = String::from_utf8(message.payload.to_vec()).unwrap();
            if last == value {
                return;
            }
        }
    }
    panic!("{topic} is {last}, not {value}");
}

#[test]
fn values_follow_what_happens() {
    let broker = start("values", 2);
    let mut watcher = Link::connect(broker.port, v5("watcher"));
    watcher.subscribe("$SYS/broker/+/#", QoS::AtMostOnce);
    watcher.subscribe("$SYS/broker/uptime", QoS::AtMostOnce);
    traffic(broker.port);
    let mut retaining = Link::connect(broker.port, v5("r"));
    retaining.publish("a", "x", QoS::AtLeastOnce);
    await_value(&mut watcher, "$SYS/broker/publish/messages/received", "11");
    let left = Link::connect(broker.port, e2e::link::lasting(client::Version::V5, "away"));
    left.close();
    await_value(&mut watcher, "$SYS/broker/clients/disconnected", "1");
    assert_eq!(broker.counter("publish_received"), 11, "what the server publishes is none of these");
}

#[test]
fn a_reload_turns_it_off_and_takes_it_back() {
    let setup = Setup::new("off").config("[server]\nsys_interval_secs = 1\n");
    let file = setup.folder().join("iothub.toml");
    let broker = setup.shards(2).start();
    let mut watcher = Link::connect(broker.port, v5("watcher"));
    watcher.subscribe("$SYS/#", QoS::AtMostOnce);
    let mut said = BTreeSet::from([watcher.message().topic]);
    fs::write(&file, "[server]\nsys_interval_secs = 0\n").unwrap();
    broker.process.signal(libc::SIGHUP);
    while !said.is_empty() {
        let message = watcher.message();
        if message.payload.is_empty() {
            said.remove(&message.topic);
        } else {
            said.insert(message.topic);
        }
    }
    let mut late = Link::connect(broker.port, v5("late"));
    late.subscribe("$SYS/#", QoS::AtMostOnce);
    late.subscribe("#", QoS::AtMostOnce);
    late.publish("mine", "x", QoS::AtLeastOnce);
    assert_eq!(late.message().topic, "mine", "nothing is retained there any longer");
}

#[test]
fn without_an_interval_nothing_is_said() {
    let broker = Setup::new("silent-sys").shards(1).variable("IOTHUB_SERVER__SYS_INTERVAL_SECS", "0").start();
    let mut link = Link::connect(broker.port, v5("c"));
    link.subscribe("$SYS/#", QoS::AtMostOnce);
    link.subscribe("mine", QoS::AtMostOnce);
    link.publish("mine", "x", QoS::AtLeastOnce);
    assert_eq!(link.message().topic, "mine");
}

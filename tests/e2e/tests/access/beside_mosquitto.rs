//! The same ACL file and the same attempts give the same verdicts in mosquitto and here: random files, real connections.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use access::{Action, Ask, Fallback, Rules, Who};
use client::{Event, Options, Publication, QoS, ReasonCode};
use e2e::{Link, PATIENCE, Process, Setup, dice::Dice, program, v5};

const IDS: [&str; 7] = ["a", "b", "a", "b", "a/b", "x+", "$a"];
const USERS: [Option<&str>; 7] = [None, Some("a"), Some("b"), None, Some("a"), Some("b/a"), Some("a#")];
/// What clients try: levels that rules name, and others.
const TOPICS: [&str; 16] = [
    "a", "b", "a/b", "b/a", "a/a", "a/b/a", "b/a/b", "a/b/a/b", "x-a", "x-a/b", "c", "c/a", "/a", "a//b",
    "$a", "$a/b",
];

/// One client's verdict on everything that it tries.
#[derive(Debug, PartialEq)]
struct Attempts {
    published: Vec<bool>,
    received: Vec<bool>,
}

fn filter(dice: &mut Dice) -> String {
    let mut levels: Vec<&str> = (0..1 + dice.below(3))
        .map(|_| dice.pick(&["a", "b", "+", "+", "", "%c", "%u", "x-%c", "$a"]))
        .collect();
    if dice.below(2) == 0 {
        levels.push("#");
    }
    match levels.join("/") {
        empty if empty.is_empty() => "+/#".to_owned(),
        filter => filter,
    }
}

fn acl(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..5 + dice.below(15) {
        let word = dice.pick(&["read ", "write ", "readwrite   ", "deny ", ""]);
        let (before, after) = (dice.pick(&["", "", "  "]), dice.pick(&["", "", "  ", "\t", "\r"]));
        match dice.below(8) {
            0 => text.push_str(&format!("{before}user {}{after}\n", dice.pick(&["a", "b", "b/a", "a#"]))),
            1..=4 => text.push_str(&format!("{before}topic {word}{}{after}\n", filter(dice))),
            _ => text.push_str(&format!("pattern  {word}{}{after}\n", filter(dice))),
        }
    }
    // Whoever sends what others may or may not receive. Its entries come before all patterns.
    text + "# the sender\nuser sender\ntopic write #\ntopic write $a/#\n"
}

/// A mosquitto with a listener for each file. It cannot choose ports by itself, and others may take the ones that were free.
fn mosquitto(folder: &Path, files: &[PathBuf]) -> (Process, Vec<u16>) {
    let mut attempts = (0..ATTEMPTS_MAX).filter_map(|_| try_mosquitto(folder, files).ok());
    attempts.next().expect("mosquitto starts with one of several choices of ports")
}

fn try_mosquitto(folder: &Path, files: &[PathBuf]) -> Result<(Process, Vec<u16>), Process> {
    let held: Vec<TcpListener> = files.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    let mut text = "per_listener_settings true\nlog_dest stderr\n".to_owned();
    for (port, file) in ports.iter().zip(files) {
        text.push_str(&format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}\n",
            file.display()
        ));
    }
    let config = folder.join("mosquitto.conf");
    fs::write(&config, text).unwrap();
    drop(held);
    let mut command = program::command(program::mosquitto());
    command.arg("-c").arg(config);
    let mut process = Process::start("mosquitto", &mut command);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if process.lines().iter().any(|line| line.ends_with(" running")) {
            return Ok((process, ports));
        }
        if !process.is_running() {
            return Err(process);
        }
        assert!(Instant::now() < deadline, "mosquitto does not say that it runs\n{}", process.shown());
        // No event tells that another process runs, or has ended.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How often ports are chosen.
const ATTEMPTS_MAX: usize = 5;

fn options(id: &str, user: Option<&str>) -> Options {
    let password = user.map(|_| PASSWORD.as_bytes().to_vec());
    Options { username: user.map(str::to_owned), password, ..v5(id) }
}

/// Publishes to each topic, and receives what the sender publishes to each. Wills are left out: mosquitto checks them when they are sent,
/// as it checks what is published.
fn attempts(port: u16, sender: &mut Link, id: &str, user: Option<&str>) -> Attempts {
    let mut link = Link::connect(port, options(id, user));
    let mut publish = |topic: &&str| {
        let publication = Publication::new(*topic, "x", QoS::AtLeastOnce);
        match link.driver.publish_and_wait(publication, PATIENCE).expect("an acknowledgement") {
            ReasonCode::NotAuthorized => false,
            reason => {
                assert!(!reason.is_error(), "{topic}: {reason:?}");
                true
            }
        }
    };
    let published = TOPICS.iter().map(&mut publish).collect();
    for topic in TOPICS {
        link.subscribe(topic, QoS::AtMostOnce);
    }
    for topic in TOPICS {
        sender.publish(topic, "x", QoS::AtLeastOnce);
    }
    // mosquitto handles one packet after the other: what it was to deliver is under way before it answers this.
    link.subscribe("barrier", QoS::AtMostOnce);
    let mut came = Vec::new();
    while let Some(event) = link.driver.next_event(Duration::ZERO).expect("a connection that works") {
        if let Event::Message(message) = event {
            came.push(message.topic);
        }
    }
    link.close();
    Attempts {
        published,
        received: TOPICS.iter().map(|topic| came.iter().any(|name| name == topic)).collect(),
    }
}

#[test]
fn the_same_file_gives_the_same_verdicts_in_mosquitto() {
    let folder = program::fresh_folder("acl-beside-mosquitto");
    let texts: Vec<String> = (1..=FILES).map(|seed| acl(&mut Dice::new(seed))).collect();
    let files: Vec<PathBuf> = (0..texts.len()).map(|at| folder.join(format!("acl-{at}"))).collect();
    files.iter().zip(&texts).for_each(|(file, text)| fs::write(file, text).unwrap());
    let (_mosquitto, ports) = mosquitto(&folder, &files);
    let (mut allowed, mut denied) = (0, 0);
    for (at, (port, text)) in ports.iter().zip(&texts).enumerate() {
        let mut dice = Dice::new(at as u64);
        let layer = access::mosquitto::parse("acl", text).unwrap();
        let rules = Rules::builder(Fallback::Deny).layer(layer).build();
        let mut sender = Link::connect(*port, options("sender", Some("sender")));
        for _ in 0..CLIENTS {
            let (id, user) = (dice.pick(&IDS), dice.pick(&USERS));
            let theirs = attempts(*port, &mut sender, id, user);
            let holder = rules.holder(&Who { client_id: id, user, ..Who::default() });
            let verdicts = [(Action::Publish, &theirs.published), (Action::Receive, &theirs.received)];
            for (action, theirs) in verdicts {
                for (topic, is_allowed) in TOPICS.iter().zip(theirs) {
                    let verdict = holder.check(&Ask::new(action, topic));
                    let explained = holder.explain(&verdict);
                    assert_eq!(
                        verdict.is_allowed, *is_allowed,
                        "file {at}, client {id}, user {user:?}, {action} {topic}: here {explained}, in\n{text}"
                    );
                    if verdict.is_allowed { allowed += 1 } else { denied += 1 }
                }
            }
        }
        sender.close();
    }
    assert!(allowed > 500 && denied > 500, "the files say something: {allowed} allowed, {denied} denied");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_running_broker_gives_the_verdicts_of_mosquitto() {
    let folder = program::fresh_folder("acl-brokers");
    let texts: Vec<String> = (1..=BROKERS).map(|seed| acl(&mut Dice::new(1000 + seed))).collect();
    let files: Vec<PathBuf> = (0..texts.len()).map(|at| folder.join(format!("acl-{at}"))).collect();
    files.iter().zip(&texts).for_each(|(file, text)| fs::write(file, text).unwrap());
    let (_mosquitto, ports) = mosquitto(&folder, &files);
    // A name that nobody has looked at is nobody's here.
    let users = folder.join("users");
    for (at, user) in USERS.into_iter().flatten().chain(["sender"]).enumerate() {
        let mut command = program::command(program::iothub());
        command.args(["passwd", "-b", "-H", "sha512"]).args((at == 0).then_some("-c"));
        Process::start("iothub passwd", command.arg(&users).args([user, PASSWORD])).succeed();
    }
    for (at, (port, text)) in ports.iter().zip(&texts).enumerate() {
        let config = format!(
            "[authentication]\npassword_file = \"{}\"\n[access]\nacl_file = \"{}\"\n",
            users.display(),
            files[at].display()
        );
        // Like mosquitto, one shard takes one packet after the other.
        let broker = Setup::new("acl-broker").shards(1).config(&config).start();
        let mut dice = Dice::new(at as u64);
        let mut senders =
            [*port, broker.port].map(|port| Link::connect(port, options("sender", Some("sender"))));
        for _ in 0..CLIENTS {
            let (id, user) = (dice.pick(&IDS), dice.pick(&USERS));
            let theirs = attempts(*port, &mut senders[0], id, user);
            let ours = attempts(broker.port, &mut senders[1], id, user);
            assert_eq!(ours, theirs, "file {at}, client {id}, user {user:?}, topics {TOPICS:?}, in\n{text}");
        }
        senders.into_iter().for_each(Link::close);
    }
    fs::remove_dir_all(folder).unwrap();
}

const PASSWORD: &str = "geheim";
const FILES: u64 = 40;
const BROKERS: u64 = 12;
const CLIENTS: usize = 5;

//! The programs of other makers at the ways in: what they can say, and what becomes of them. Nothing of ours reads what they write.

use std::fs;
use std::process::Command;

use client::ReasonCode;
use e2e::{Broker, Process, program};
use serde_json::{Value, json};

use super::ways::{Outcome, Says, Visit, Way};

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Maker {
    /// `mosquitto_pub` and `mosquitto_rr`.
    Mosquitto,
    /// Python's `paho-mqtt`.
    Paho,
    /// JavaScript's `MQTT.js`, with SCRAM by the cryptography of Node.js.
    Mqttjs,
}

impl Maker {
    pub const ALL: [Maker; 3] = [Maker::Mosquitto, Maker::Paho, Maker::Mqttjs];

    /// Whether it knows the transport, and how to say that.
    pub fn can(self, way: &Way, visit: &Visit) -> bool {
        match self {
            Maker::Mosquitto => way.target.websocket.is_none() && !visit.says.is_exchange(),
            Maker::Paho => !matches!(visit.says, Says::Scram(..)),
            Maker::Mqttjs => true,
        }
    }

    /// Lets them come one after the other. Whoever is in has written and read as the one it is taken for, and nobody else's topic.
    pub fn outcomes(self, broker: &Broker, visits: &[(&Way, Visit)]) -> Vec<Outcome> {
        let told = match self {
            Maker::Mosquitto => visits.iter().map(|(way, visit)| by_tools(broker, way, visit)).collect(),
            Maker::Paho => {
                let mut command = program::command(program::python());
                command.args(["-B", "-u"]).arg(program::source("python/paho_visits.py"));
                by_library("paho", command, broker, visits)
            }
            Maker::Mqttjs => {
                let mut command = program::command(program::installed("node"));
                command.arg(program::node_folder().join("visits.mjs"));
                by_library("mqttjs", command, broker, visits)
            }
        };
        assert_eq!(told.len(), visits.len(), "one outcome for each of {self:?}");
        told.iter().zip(visits).map(|(told, (way, _))| outcome(told, way)).collect()
    }
}

fn outcome(told: &Value, way: &Way) -> Outcome {
    match (told["in"].as_str(), told["refused"].as_u64(), told["cut"].as_str()) {
        (Some(topic), None, None) => Outcome::In((topic == own(way)).then(|| way.name.to_owned())),
        (None, Some(code), None) => {
            Outcome::Refused(u8::try_from(code).ok().and_then(ReasonCode::from_u8).expect("a reason code"))
        }
        (None, None, Some(_)) => Outcome::Cut,
        _ => panic!("{}: {told}", way.name),
    }
}

/// The topic that only this user may write.
fn own(way: &Way) -> String {
    format!("of/{}", way.name)
}

fn by_library(name: &str, mut command: Command, broker: &Broker, visits: &[(&Way, Visit)]) -> Vec<Value> {
    let described: Vec<Value> = visits.iter().map(|(way, visit)| described(broker, way, visit)).collect();
    let file = broker.folder().join("visits.json");
    fs::write(&file, json!(described).to_string()).unwrap();
    let mut process = Process::start(name, command.arg(file));
    process.succeed();
    process.out_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn described(broker: &Broker, way: &Way, visit: &Visit) -> Value {
    let mut about = json!({ "url": way.url, "client_id": way.name, "own": own(way) });
    if way.is_sealed {
        about["ca"] = json!(broker.folder().join("ca.pem"));
        if let Some(name) = visit.certificate {
            about["certificate"] = json!(broker.folder().join(format!("{name}.pem")));
            about["key"] = json!(broker.folder().join(format!("{name}.key")));
        }
    }
    match &visit.says {
        Says::Nothing => {}
        Says::Password(user, password) => {
            about["user"] = json!(user);
            about["password"] = json!(password);
        }
        Says::Token(token) => about["token"] = json!(token),
        Says::Scram(user, password) => about["scram"] = json!([user, password]),
    }
    about
}

/// Each attempt is a connection: who is in is found out by what it may write.
fn by_tools(broker: &Broker, way: &Way, visit: &Visit) -> Value {
    let writes = |topic: &str| {
        let mut process = tool("mosquitto_pub", broker, way, visit, &["-d", "-t", topic, "-m", "m"]);
        process.wait();
        let code = |packet: &str| {
            let lines = process.lines();
            let rest = lines.iter().find_map(|line| line.split_once(packet).map(|(_, rest)| rest.to_owned()));
            rest.map(|rest| rest.trim_end_matches(')').parse::<u8>().expect("a reason code"))
        };
        match (code("received CONNACK ("), code("received PUBACK (Mid: 1, RC:")) {
            (None, None) => Err(json!({ "cut": process.shown() })),
            (Some(0), Some(reason)) => Ok(reason < NOT_SUCCESS),
            (Some(reason), None) if reason >= NOT_SUCCESS => Err(json!({ "refused": reason })),
            _ => panic!("{}", process.shown()),
        }
    };
    let own = own(way);
    let topics = ["of/somebody-else", &own, "open"].map(|topic| writes(topic).map(|may| (topic, may)));
    let [others, own, open] = match topics {
        [Err(told), ..] => return told,
        topics => topics.map(|found| found.expect("it was let in before")),
    };
    assert!(!others.1 && own.1 != open.1, "{}: {own:?}, {open:?}", way.name);
    let topic = if own.1 { own.0 } else { open.0 };
    let mut back = tool("mosquitto_rr", broker, way, visit, &["-t", topic, "-e", topic, "-m", "back"]);
    back.succeed();
    assert_eq!(back.out_lines(), ["back"], "{}", back.shown());
    json!({ "in": topic })
}

fn tool(name: &str, broker: &Broker, way: &Way, visit: &Visit, args: &[&str]) -> Process {
    let mut command = program::command(program::installed(name));
    command.args(["-V", "5", "-q", "1", "-i", way.name]).args(args);
    match way.url.strip_prefix("unix://") {
        Some(path) => command.args(["--unix", path]),
        None => {
            let port = way.url.rsplit(':').next().expect("a port");
            command.args(["-h", "127.0.0.1", "-p", port])
        }
    };
    let file = |name: &str, end: &str| broker.folder().join(format!("{name}.{end}"));
    if way.is_sealed {
        command.arg("--cafile").arg(file("ca", "pem"));
        if let Some(name) = visit.certificate {
            command.arg("--cert").arg(file(name, "pem")).arg("--key").arg(file(name, "key"));
        }
    }
    if let Says::Password(user, password) = &visit.says {
        command.args(["-u", user, "-P", password]);
    }
    Process::start(name, &mut command)
}

/// The first reason code of those that say no.
const NOT_SUCCESS: u8 = 128;

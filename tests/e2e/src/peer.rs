//! Real clients in several languages, all driven in the same way: publish and end, or subscribe and print.
//!
//! A peer prints each message as one line of fields between tabs, in the order of [`Received`]; `mosquitto_sub` and
//! `iothub sub` do so by their own format option, the others by a small program in this package.

use std::process::Command;

use client::{QoS, Version};

use crate::{Process, program};

/// A client program and the version that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub program: Program,
    pub version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `mosquitto_pub` and `mosquitto_sub`.
    Mosquitto,
    /// Python's `paho-mqtt`.
    Paho,
    /// Python's `aiomqtt`.
    Aiomqtt,
    /// JavaScript's `MQTT.js`.
    Mqttjs,
    /// The Rust crate `rumqttc`.
    Rumqttc,
    /// Our own library.
    Client,
    /// `iothub pub` and `iothub sub`.
    Iothub,
}

/// A subscription of a peer, confirmed by the broker.
pub struct Subscriber {
    process: Process,
    peer: Peer,
}

/// A message as a peer printed it. What was absent is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Received {
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    pub payload: String,
    pub content_type: String,
    pub response_topic: String,
    pub correlation_data: String,
    /// `name:value`, with spaces between the pairs.
    pub user_properties: String,
}

impl Program {
    pub const ALL: [Program; 7] = [
        Program::Mosquitto,
        Program::Paho,
        Program::Aiomqtt,
        Program::Mqttjs,
        Program::Rumqttc,
        Program::Client,
        Program::Iothub,
    ];

    /// The command before its arguments, for a program with arguments of our own making.
    fn script(self) -> Command {
        let python = |script: &str| {
            let mut command = program::command(program::python());
            // Without it the interpreter leaves compiled files beside the scripts.
            command.args(["-B", "-u"]).arg(program::source(script));
            command
        };
        match self {
            Program::Paho => python("python/paho_peer.py"),
            Program::Aiomqtt => python("python/aiomqtt_peer.py"),
            Program::Mqttjs => {
                let mut command = program::command(program::installed("node"));
                command.arg(program::node_folder().join("peer.mjs"));
                command
            }
            Program::Rumqttc => program::command(program::beside_test("rumqttc_peer")),
            Program::Client => program::command(program::beside_test("client_peer")),
            Program::Mosquitto | Program::Iothub => unreachable!("{self:?} has its own arguments"),
        }
    }
}

impl Peer {
    /// Every client in 3.1.1 and in 5.0.
    pub fn all() -> Vec<Peer> {
        let versions = [Version::V311, Version::V5];
        Program::ALL
            .into_iter()
            .flat_map(|program| versions.map(|version| Peer { program, version }))
            .collect()
    }

    /// The clients that speak 3.1, too.
    pub fn all_of_31() -> Vec<Peer> {
        let programs = Program::ALL.into_iter().filter(|program| *program != Program::Rumqttc);
        programs.map(|program| Peer { program, version: Version::V31 }).collect()
    }

    pub fn name(self) -> String {
        format!("{:?}-{:?}", self.program, self.version).to_lowercase()
    }

    /// Subscribes and waits for the SUBACK. The peer ends by itself after `count` messages.
    #[track_caller]
    pub fn subscribe(self, port: u16, filter: &str, qos: QoS, count: usize) -> Subscriber {
        let subscriber = self.begin_to_subscribe(port, filter, qos, count);
        subscriber.await_subscription();
        subscriber
    }

    /// Starts the program only, so that many of them can start at the same time.
    pub fn begin_to_subscribe(self, port: u16, filter: &str, qos: QoS, count: usize) -> Subscriber {
        self.begin(port, filter, qos, count, None)
    }

    /// Subscribes in a session that stays when the connection ends. A count of 0 ends it once it is subscribed.
    pub fn begin_session(
        self,
        port: u16,
        filter: &str,
        qos: QoS,
        count: usize,
        client_id: &str,
    ) -> Subscriber {
        self.begin(port, filter, qos, count, Some(client_id))
    }

    fn begin(self, port: u16, filter: &str, qos: QoS, count: usize, session: Option<&str>) -> Subscriber {
        let (port, qos, count) = (port.to_string(), (qos as u8).to_string(), count.to_string());
        let mut command = match self.program {
            Program::Mosquitto | Program::Iothub => {
                let mut command = self.tool("sub");
                command.args(["-d", "-p", &port, "-V", self.version_word(), "-q", &qos, "-t", filter]);
                command.args(["-F", FORMAT]);
                match count.as_str() {
                    "0" => command.arg("-E"),
                    count => command.args(["-C", count]),
                };
                command
            }
            program => {
                let mut command = program.script();
                command.args(["sub", &port, self.version_word(), &qos, filter, &count]);
                command
            }
        };
        match (self.program, session) {
            (_, None) => {}
            (Program::Mosquitto | Program::Iothub, Some(client_id)) => {
                command.args(["-c", "-i", client_id]);
                if self.version == Version::V5 {
                    command.args(["-x", SESSION_EXPIRY_S]);
                }
            }
            (_, Some(client_id)) => {
                command.arg(client_id);
            }
        }
        Subscriber { process: Process::start(&self.name(), &mut command), peer: self }
    }

    /// Publishes `<payload>-<qos>` at each QoS, in 5.0 with all the properties of a request, and waits for every
    /// acknowledgement.
    #[track_caller]
    pub fn publish(self, port: u16, topic: &str, payload: &str, qos: &[QoS]) {
        for mut process in self.begin_to_publish(port, topic, payload, qos) {
            process.succeed();
        }
    }

    /// Starts the programs only. Where one program publishes one message, there are as many as there are QoS.
    pub fn begin_to_publish(self, port: u16, topic: &str, payload: &str, qos: &[QoS]) -> Vec<Process> {
        let port = port.to_string();
        let numbers: Vec<String> = qos.iter().map(|qos| (*qos as u8).to_string()).collect();
        let mut commands = Vec::new();
        match self.program {
            Program::Mosquitto | Program::Iothub => {
                for number in &numbers {
                    let mut command = self.tool("pub");
                    command.args(["-p", &port, "-V", self.version_word(), "-q", number, "-t", topic]);
                    command.args(["-m", &format!("{payload}-{number}")]);
                    if self.version == Version::V5 {
                        command.args(PROPERTIES);
                    }
                    commands.push(command);
                }
            }
            program => {
                let mut command = program.script();
                command.args(["pub", &port, self.version_word(), &numbers.join(","), topic, payload]);
                commands.push(command);
            }
        }
        commands.iter_mut().map(|command| Process::start(&self.name(), command)).collect()
    }

    /// The properties that a message of this peer has, when it reaches a subscriber of that version.
    pub fn properties_to(self, subscriber: Version) -> [&'static str; 4] {
        if (self.version, subscriber) == (Version::V5, Version::V5) {
            ["text/plain", "reply/here", "request-7", "colour:blue colour:green"]
        } else {
            [""; 4]
        }
    }

    fn tool(self, what: &str) -> Command {
        if self.program == Program::Iothub {
            let mut command = program::command(program::iothub());
            command.args([what, "-h", "127.0.0.1"]);
            return command;
        }
        // Into a pipe the tool writes whole blocks, unless it is told to write lines.
        let mut command = program::command(program::installed("stdbuf"));
        command.arg("-oL").arg(program::installed(&format!("mosquitto_{what}"))).args(["-h", "127.0.0.1"]);
        command
    }

    fn version_word(self) -> &'static str {
        match self.version {
            Version::V31 => "31",
            Version::V311 => "311",
            Version::V5 => "5",
        }
    }
}

impl Subscriber {
    #[track_caller]
    pub fn await_subscription(&self) {
        let ready = match self.peer.program {
            Program::Mosquitto | Program::Iothub => "Subscribed (mid",
            _ => "subscribed",
        };
        self.process.await_text(ready);
    }

    /// All messages, once the peer has ended because it has as many as it was to wait for.
    #[track_caller]
    pub fn received(mut self) -> Vec<Received> {
        self.process.succeed();
        self.process.out_lines().iter().filter_map(|line| Received::parse(line)).collect()
    }
}

impl Received {
    pub fn properties(&self) -> [&str; 4] {
        [&self.content_type, &self.response_topic, &self.correlation_data, &self.user_properties]
    }

    /// `None` for what a peer says besides.
    fn parse(line: &str) -> Option<Received> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [topic, qos, retain, payload, content_type, response_topic, correlation_data, user_properties] =
            fields[..]
        else {
            return None;
        };
        Some(Received {
            topic: topic.to_owned(),
            qos: qos.parse().ok()?,
            retain: retain == "1",
            payload: payload.to_owned(),
            content_type: content_type.to_owned(),
            response_topic: response_topic.to_owned(),
            correlation_data: correlation_data.to_owned(),
            user_properties: user_properties.to_owned(),
        })
    }
}

/// The programs of this package have the same value.
const SESSION_EXPIRY_S: &str = "600";

const FORMAT: &str = r"%t\t%q\t%r\t%p\t%C\t%R\t%D\t%P";

/// What every 5.0 publisher sends along; the programs of this package have the same values.
#[rustfmt::skip]
const PROPERTIES: [&str; 22] = [
    "-D", "publish", "content-type", "text/plain",
    "-D", "publish", "response-topic", "reply/here",
    "-D", "publish", "correlation-data", "request-7",
    "-D", "publish", "user-property", "colour", "blue",
    "-D", "publish", "user-property", "colour", "green",
];

//! Clients of several makers over every transport at once: what one of them publishes, all of them get.

use std::process::Command;
use std::time::Instant;

use e2e::{Authority, Broker, Process, Setup, program};

/// One way to connect, by the words of the programs that can.
struct Way {
    name: &'static str,
    /// Of `iothub sub` and `iothub pub`, and of mosquitto's programs where they know the way.
    flags: Vec<String>,
    has_mosquitto: bool,
    /// Of the peers in Python and JavaScript.
    url: Option<String>,
    has_node: bool,
}

/// A broker with a listener of each kind.
struct Doors {
    broker: Broker,
    authority: Authority,
}

const SCHEMES: [&str; 5] = ["tcp", "tls", "ws", "wss", "any"];

impl Doors {
    fn open(name: &str) -> Doors {
        let setup = Setup::bare(name).shards(2);
        let authority = Authority::new(setup.folder());
        authority.issue("broker.example");
        let path = setup.folder().join("mqtt.sock");
        let listen = SCHEMES.map(|scheme| format!("\"{scheme}://127.0.0.1:0\"")).join(", ");
        let text = format!(
            "[server]\nlisten_addresses = [{listen}, \"unix://{}\"]\n\
             [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n",
            path.display()
        );
        Doors { broker: setup.config(&text).start(), authority }
    }

    fn ways(&self) -> Vec<Way> {
        let ca = self.authority.file().display().to_string();
        let socket = self.broker.folder().join("mqtt.sock").display().to_string();
        let at = |scheme: &str| {
            vec![
                "-h".to_owned(),
                "127.0.0.1".to_owned(),
                "-p".to_owned(),
                self.broker.port_of(scheme).to_string(),
            ]
        };
        let sealed = |scheme: &str| [at(scheme), vec!["--cafile".to_owned(), ca.clone()]].concat();
        let url = |scheme: &str, door: &str, path: &str| {
            Some(format!("{scheme}://127.0.0.1:{}{path}", self.broker.port_of(door)))
        };
        let web = |mut flags: Vec<String>| {
            flags.push("--ws".to_owned());
            flags
        };
        let way = |name: &'static str, flags, url| {
            let has_mosquitto = !name.ends_with("ws") && !name.ends_with("wss");
            Way { name, flags, has_mosquitto, url, has_node: name != "unix" }
        };
        vec![
            way("tcp", at("tcp"), url("tcp", "tcp", "")),
            way("tls", sealed("tls"), url("tls", "tls", "")),
            way("ws", web(at("ws")), url("ws", "ws", "/mqtt")),
            way("wss", web(sealed("wss")), url("wss", "wss", "/mqtt")),
            way("unix", vec!["--unix".to_owned(), socket.clone()], Some(format!("unix://{socket}"))),
            way("any-tcp", at("any"), url("tcp", "any", "")),
            way("any-tls", sealed("any"), url("tls", "any", "")),
            way("any-ws", web(at("any")), url("ws", "any", "/mqtt")),
            way("any-wss", web(sealed("any")), url("wss", "any", "/mqtt")),
        ]
    }

    /// Every program on every way that it knows, each with its name.
    fn peers(&self, pub_or_sub: &str) -> Vec<(String, Command)> {
        let mut peers = Vec::new();
        for way in self.ways() {
            let mut ours = program::command(program::iothub());
            ours.arg(pub_or_sub).args(&way.flags).arg("-d");
            peers.push((format!("iothub-{}", way.name), ours));
            if way.has_mosquitto {
                // Into a pipe the tool writes whole blocks, unless it is told to write lines.
                let mut command = program::command(program::installed("stdbuf"));
                command
                    .arg("-oL")
                    .arg(program::installed(&format!("mosquitto_{pub_or_sub}")))
                    .args(&way.flags)
                    .arg("-d");
                peers.push((format!("mosquitto-{}", way.name), command));
            }
            let Some(url) = &way.url else { continue };
            let mut paho = program::command(program::python());
            paho.args(["-B", "-u"]).arg(program::source("python/paho_peer.py")).args([pub_or_sub, url, "5"]);
            paho.env("E2E_CA_FILE", self.authority.file());
            peers.push((format!("paho-{}", way.name), paho));
            if way.has_node {
                let mut node = program::command(program::installed("node"));
                node.arg(program::node_folder().join("peer.mjs")).args([pub_or_sub, url, "5"]);
                node.env("NODE_EXTRA_CA_CERTS", self.authority.file());
                peers.push((format!("mqttjs-{}", way.name), node));
            }
        }
        peers
    }
}

/// One of those with the flags of mosquitto's programs.
fn is_tool(name: &str) -> bool {
    name.starts_with("mosquitto") || name.starts_with("iothub")
}

#[test]
fn every_client_on_every_way_gets_what_every_other_one_publishes() {
    let doors = Doors::open("doors-crossing");
    let publishers = doors.peers("pub");
    let count = publishers.len().to_string();
    let mut subscribers: Vec<Process> = Vec::new();
    for (name, mut command) in doors.peers("sub") {
        if is_tool(&name) {
            command.args(["-V", "5", "-q", "1", "-t", "cross/+", "-C", &count, "-F", "%t\t%p"]);
        } else {
            command.args(["1", "cross/+", &count]);
        }
        subscribers.push(Process::start(&name, &mut command));
    }
    for subscriber in &subscribers {
        subscriber.await_line("its subscription", |line| {
            (line == "subscribed" || line.starts_with("Subscribed (mid")).then_some(())
        });
    }
    let mut expected = Vec::new();
    for (name, mut command) in publishers {
        let topic = format!("cross/{name}");
        if is_tool(&name) {
            command.args(["-V", "5", "-q", "1", "-t", &topic, "-m", "payload-1"]);
        } else {
            command.args(["1", &topic, "payload"]);
        }
        Process::start(&name, &mut command).succeed();
        expected.push(topic);
    }
    expected.sort();
    for mut subscriber in subscribers {
        subscriber.succeed();
        let lines = subscriber.out_lines().into_iter().filter(|line| line.starts_with("cross/"));
        let mut topics: Vec<String> =
            lines.map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect();
        topics.sort();
        assert_eq!(topics, expected, "{}", subscriber.shown());
    }
}

#[test]
fn a_certificate_of_another_authority_is_refused_by_the_client_and_counted_here() {
    let doors = Doors::open("doors-stranger");
    let elsewhere = Authority::new(&program::fresh_folder("doors-elsewhere"));
    let mut command = program::command(program::installed("mosquitto_pub"));
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &doors.broker.port_of("tls").to_string(),
        "-t",
        "t",
        "-m",
        "m",
        "--cafile",
    ]);
    let mut publisher = Process::start("stranger", command.arg(elsewhere.file()));
    assert!(!publisher.wait().success(), "{}", publisher.shown());
    doors.broker.await_counter("refused_tls", 1);
}

#[test]
fn health_is_asked_over_every_way() {
    let doors = Doors::open("doors-health");
    let ca = doors.authority.file();
    let ask = |address: &str, flags: &[&str]| {
        let mut command = program::command(program::iothub());
        Process::start("health", command.args(["health", address]).args(flags))
    };
    let mut addresses =
        SCHEMES.map(|scheme| format!("{scheme}://127.0.0.1:{}", doors.broker.port_of(scheme))).to_vec();
    addresses.push(format!("unix://{}", doors.broker.folder().join("mqtt.sock").display()));
    addresses.push(format!("wss://127.0.0.1:{}", doors.broker.port_of("any")));
    for address in &addresses {
        ask(address, &["--cafile", &ca.display().to_string()]).succeed();
    }
    ask("--port", &[&doors.broker.port_of("tcp").to_string()]).succeed();
    let elsewhere = Authority::new(&program::fresh_folder("doors-health-elsewhere"));
    let mut stranger = ask(&addresses[1], &["--cafile", &elsewhere.file().display().to_string()]);
    assert!(!stranger.wait().success() && stranger.says("invalid peer certificate"), "{}", stranger.shown());
    let pipe = doors.broker.folder().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut endless = ask(&addresses[1], &["--cafile", &pipe.display().to_string()]);
    assert!(!endless.wait().success() && endless.says("no regular file"), "{}", endless.shown());
    let mut lost = ask(&addresses[2], &["--ws-path", "/nowhere"]);
    assert!(!lost.wait().success() && lost.says("404 Not Found"), "{}", lost.shown());
}

#[test]
fn health_says_how_to_ask_where_something_else_is_spoken() {
    let doors = Doors::open("doors-health-otherwise");
    let ca = doors.authority.file().display().to_string();
    let [tcp, tls, ws, wss] = ["tcp", "tls", "ws", "wss"].map(|scheme| doors.broker.port_of(scheme));
    let ask = |scheme: &str, port: u16| {
        let mut command = program::command(program::iothub());
        command.args(["health", &format!("{scheme}://127.0.0.1:{port}"), "--cafile", &ca]);
        Process::start("health", &mut command)
    };
    for (scheme, port, remedy) in [
        ("tcp", tls, format!("ask tls://127.0.0.1:{tls} or wss://127.0.0.1:{tls}")),
        ("tcp", ws, format!("ask ws://127.0.0.1:{ws},")),
        ("ws", wss, format!("ask tls://127.0.0.1:{wss} or wss://127.0.0.1:{wss}")),
        ("tls", tcp, format!("ask tcp://127.0.0.1:{tcp}")),
        ("tls", ws, format!("ask ws://127.0.0.1:{ws},")),
        ("tls", wss, format!("ask wss://127.0.0.1:{wss}")),
        ("wss", tls, format!("ask tls://127.0.0.1:{tls}")),
    ] {
        let mut health = ask(scheme, port);
        assert!(!health.wait().success() && health.says(&remedy), "{scheme} {remedy}: {}", health.shown());
    }
    let text = "[[listener]]\naddress = \"tcp://127.0.0.1:0\"\nproxy_protocol_from = [\"127.0.0.1\"]\n";
    let broker = Setup::bare("doors-health-proxy").shards(1).config(text).start();
    let mut health = ask("tcp", broker.port);
    assert!(!health.wait().success() && health.says("a PROXY header has to come"), "{}", health.shown());
}

#[test]
fn health_follows_the_configuration() {
    let more = "client_certificates = \"required\"\nclient_ca_file = \"ca.pem\"\n";
    for (scheme, more) in [("tcp", ""), ("tls", ""), ("wss", ""), ("tls", more)] {
        let port = e2e::broker::free_port();
        let setup = Setup::bare("doors-health-file").shards(1);
        let authority = Authority::new(setup.folder());
        authority.issue("broker.example");
        let text = format!(
            "[server]\nlisten_addresses = [\"{scheme}://0.0.0.0:{port}\"]\n[websocket]\npath = \"/here\"\n\
             [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n{more}"
        );
        let mut broker = setup.config(&text).start_on(port);
        let folder = broker.folder().clone();
        let ask = || {
            let mut command = program::command(program::iothub());
            command.current_dir(&folder).args(["health", "-c", "iothub.toml"]);
            Process::start("health", &mut command)
        };
        ask().succeed();
        broker.process.signal(libc::SIGTERM);
        let ended = broker.ended(Instant::now());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let mut alone = ask();
        assert!(
            !alone.wait().success() && alone.says(&format!("{scheme}://127.0.0.1:{port}")),
            "{}",
            alone.shown()
        );
    }
}

//! A disk that fails under a running broker: from one moment on each write is refused by the system.

use std::path::Path;
use std::process::Command;

use client::{Publication, QoS, ReasonCode, Version};
use e2e::api::{self, Api, port_told_by};
use e2e::link::lasting;
use e2e::{Link, PATIENCE, Process, program, v5};
use serde_json::json;

#[test]
fn a_broker_whose_disk_fails_ends_and_says_what_to_do() {
    let dir = program::fresh_folder("durable-failing");
    let mut broker = Running::start(&dir, 1, "exit");
    broker.keep("kept");
    broker.break_disk();
    broker.loses("lost");
    assert_eq!(broker.process.wait().code(), Some(1), "{}", broker.process.shown());
    for text in
        ["shard-0", "segment-", "File too large", "Nothing more is acknowledged", "dmesg", "start again"]
    {
        assert!(broker.process.says(text), "{text:?} is not in {}", broker.process.shown());
    }
    has_what_was_kept(&dir, 1);
}

#[test]
fn a_broker_that_is_to_serve_without_its_disk_does() {
    for shards in [1, 2] {
        let dir = program::fresh_folder("durable-failing");
        let mut broker = Running::start(&dir, shards, "serve");
        broker.keep("kept");
        assert_eq!(broker.health(), (Some(0), String::new()));
        assert!(broker.shows(&["iothub_ready 1", "iothub_store_failed 0"]));
        let mut listener = Link::connect(broker.port, v5("listener"));
        listener.subscribe("live", QoS::AtMostOnce);
        broker.break_disk();
        broker.loses("lost");
        broker.process.await_text("goes on without its store");
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        publisher.publish("live", "still", QoS::AtMostOnce);
        assert_eq!(listener.text(), "still");
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let refused = Publication::new("log", "refused", qos);
            let reason = publisher.driver.publish_and_wait(refused, PATIENCE).unwrap();
            assert_eq!(reason, ReasonCode::QuotaExceeded);
        }
        let order = json!({ "topic": "log", "payload": "refused", "qos": 1, "retain": true });
        let answer = api::ask_control(&dir.join("store/control.sock"), "POST", "/v1/publish", Some(&order));
        assert!(answer.status == 503 && answer.text.contains("the store has failed"), "{answer:?}");
        assert!(broker.shows(&[
            "iothub_broker_publish_refused_total{cause=\"publish_store_failed\"} 3",
            "iothub_broker_publish_refused_total{cause=\"publish_store_full\"} 0",
        ]));
        match Link::try_connect(broker.port, lasting(Version::V5, "reader")) {
            Err(error) => assert!(error.to_string().contains("0x88"), "{error}"),
            Ok(_) => panic!("a session that cannot be stored was promised"),
        }
        let (code, said) = broker.health();
        assert_eq!(code, Some(1));
        assert!(said.contains("the store has failed"), "{said}");
        broker.is_answered_by_its_api(&dir);
        assert!(broker.shows(&[
            "iothub_ready 0",
            "iothub_store_failed 1",
            "iothub_stage{stage=\"serving\"} 1"
        ]));
        broker.process.signal(libc::SIGTERM);
        assert_eq!(broker.process.wait().code(), Some(0), "{}", broker.process.shown());
        has_what_was_kept(&dir, shards);
    }
}

fn has_what_was_kept(dir: &Path, shards: u8) {
    let mut broker = Running::start(dir, shards, "exit");
    let mut reader = Link::connect(broker.port, lasting(Version::V5, "reader"));
    assert!(reader.session_present);
    assert_eq!(reader.text(), "kept");
    reader.close();
    broker.process.signal(libc::SIGTERM);
    broker.process.wait();
    std::fs::remove_dir_all(dir).unwrap();
}

struct Running {
    process: Process,
    port: u16,
}

impl Running {
    /// A write that is refused would end the process by a signal as well.
    fn start(dir: &Path, shards: u8, on_failure: &str) -> Running {
        let mut command: Command = program::command("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program::iothub());
        command.args(["--listen", "tcp://127.0.0.1:0", "--shards", &shards.to_string(), "--data-dir"]);
        command.arg(dir.join("store")).env("IOTHUB_STORE__ON_FAILURE", on_failure);
        command.env("IOTHUB_API__LISTEN", "127.0.0.1:0");
        let process = Process::start("iothub", &mut command);
        let port = process.await_line("where it listens", |line| {
            let (_, rest) = line.split_once("listening on tcp://127.0.0.1:")?;
            rest.split([' ', ',']).next()?.parse().ok()
        });
        Running { process, port }
    }

    /// Publishes for somebody who is away.
    fn keep(&self, text: &str) {
        let mut reader = Link::connect(self.port, lasting(Version::V5, "reader"));
        reader.subscribe("log", QoS::AtLeastOnce);
        reader.close();
        Link::connect(self.port, v5("keeper")).publish("log", text, QoS::AtLeastOnce);
    }

    /// No file may be written beyond its first byte.
    fn break_disk(&self) {
        let limit = libc::rlimit { rlim_cur: 1, rlim_max: libc::RLIM_INFINITY };
        let id = i32::try_from(self.process.id()).unwrap();
        // SAFETY: the call reads one structure, which lives until it returns, and writes none.
        let outcome =
            unsafe { libc::prlimit(id, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
        assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
    }

    /// A publication is not acknowledged: the connection ends.
    fn loses(&self, text: &str) {
        let mut publisher = Link::connect(self.port, v5("loser"));
        let publication = Publication::new("log", text, QoS::AtLeastOnce);
        let outcome = publisher.driver.publish_and_wait(publication, PATIENCE);
        assert!(outcome.is_err(), "{outcome:?}");
    }

    /// All of these lines stand on its page for Prometheus.
    fn shows(&self, lines: &[&str]) -> bool {
        let api = Api { port: port_told_by(&self.process), token: String::new() };
        let page = api.get("/metrics").text;
        lines.iter().all(|line| page.lines().any(|other| other == *line))
    }

    /// Whoever looks at it, and whoever does something that needs no store, has an answer.
    fn is_answered_by_its_api(&self, dir: &Path) {
        let token = std::fs::read_to_string(dir.join("store/api_tokens.first")).unwrap();
        let api = Api { port: port_told_by(&self.process), token: token.trim_end().to_owned() };
        api.get("/livez").expect(200);
        assert!(api.get("/readyz").expect(503).to_string().contains("the store has failed"));
        for path in ["/v1/broker", "/v1/shards", "/v1/clients", "/v1/retained", "/v1/drops", "/v1/bans"] {
            api.get(path).expect(200);
        }
        let client = json!({ "client_id": "listener" });
        assert_eq!(api.post("/v1/client", &client).expect(200)["client"]["client_id"], "listener");
        assert_eq!(api.post("/v1/publish", &json!({ "topic": "live" })).expect(200)["matched"], true);
        assert_eq!(api.post("/v1/client/disconnect", &client).expect(200)["disconnected"], 1);
        assert_eq!(api.post("/v1/client", &client).status, 404, "its session has gone with it");
    }

    /// The exit code, and what it says.
    fn health(&self) -> (Option<i32>, String) {
        let address = format!("tcp://127.0.0.1:{}", self.port);
        let output = program::command(program::iothub()).args(["health", &address]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

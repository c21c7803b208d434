//! `/v1/backup` and `iothub ctl backup`: who may have one made, what becomes of it, and that it brings everything back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use client::{QoS, Version};
use e2e::api::Api;
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, Process, program};
use serde_json::{Value, json};

use super::{retain, setup};

struct Folders {
    data: PathBuf,
    backups: PathBuf,
}

impl Folders {
    fn fresh(name: &str) -> Folders {
        let [data, backups] = ["data", "kept"].map(|part| program::fresh_folder(&format!("{name}-{part}")));
        Folders { data, backups }
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for folder in [&self.data, &self.backups] {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn start(name: &str, data: &Path, store: &str) -> Broker {
    let config = format!("[store]\n{store}[session]\nsession_timeout_v3_secs = 600\n");
    setup(name).config(&config).args(["--data-dir".as_ref(), data.as_os_str()]).start()
}

fn iothub(args: &[&str]) -> (Option<i32>, String) {
    let mut command = program::command(program::iothub());
    let mut process = Process::start("iothub", command.args(args));
    let code = process.wait().code();
    (code, process.shown())
}

fn api_of(broker: &Broker) -> Api {
    let api = Api::of(broker);
    api.await_ready();
    api
}

#[test]
fn a_backup_that_was_asked_for_brings_everything_back() {
    let folders = Folders::fresh("api-backup");
    let store = format!("backup_dir = \"{}\"\nbackups_kept = 1\n", folders.backups.display());
    let broker = start("api-backup", &folders.data, &store);
    let api = api_of(&broker);
    let mut away = Link::connect(broker.port, lasting(Version::V311, "away"));
    away.subscribe("t/#", QoS::AtLeastOnce);
    away.close();
    let mut link = Link::connect(broker.port, e2e::v5("here"));
    retain(&mut link, "kept", "retained");
    link.publish("t/x", "queued", QoS::AtLeastOnce);
    let none = api.get("/v1/backup").expect(200);
    assert_eq!(none, json!({ "running": null, "last": null, "backups": [] }));

    let first = api.post("/v1/backup", &json!({})).expect(202)["name"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    while api.get("/v1/backup").expect(200)["last"].is_null() {
        assert!(Instant::now() < deadline, "it is never done");
    }
    let state = api.get("/v1/backup").expect(200);
    assert_eq!((&state["last"]["name"], &state["last"]["is_done"]), (&json!(first), &json!(true)), "{state}");
    assert_eq!(state["backups"], json!([first]));

    let socket = folders.data.join("control.sock").display().to_string();
    let (code, said) = iothub(&["ctl", "backup", "--socket", &socket, "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let row: Value = serde_json::from_str(said.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    let second = row["name"].as_str().unwrap().to_owned();
    assert!(row["is_done"] == true && second > first, "{said}");
    let deadline = Instant::now() + PATIENCE;
    while api.get("/v1/backup").expect(200)["backups"] != json!([second]) {
        assert!(Instant::now() < deadline, "the first one stays");
    }
    broker.process.await_text(&format!("backup {second} is made"));
    broker.end(libc::SIGKILL);

    let restored = Folders::fresh("api-backup-restored");
    let (from, to) =
        (folders.backups.join(&second).display().to_string(), restored.data.display().to_string());
    let (code, said) = iothub(&["store", "restore", &from, "--data-dir", &to]);
    assert_eq!(code, Some(0), "{said}");
    let broker = start("api-backup-restored", &restored.data, "");
    let mut away = Link::connect(broker.port, lasting(Version::V311, "away"));
    assert_eq!(away.text(), "queued");
    away.subscribe("kept", QoS::AtLeastOnce);
    assert_eq!(away.text(), "retained");
}

#[test]
fn nobody_but_an_administrator_has_one_made_and_nowhere_but_where_the_configuration_says() {
    let folders = Folders::fresh("api-backup-refused");
    let broker = start("api-backup-refused", &folders.data, "");
    let api = api_of(&broker);
    let data = folders.data.display().to_string();
    let (_, said) = iothub(&["token", "add", "hand", "--role", "operator", "--data-dir", &data]);
    let hand = api.with_token(said.lines().find(|line| line.starts_with("iothub_")).expect(&said));
    assert_eq!(hand.post("/v1/backup", &json!({})).status, 403);
    let off = api.post("/v1/backup", &json!({}));
    assert!(off.status == 409 && off.text.contains("store.backup_dir"), "{off:?}");
    assert_eq!(api.get("/v1/backup").expect(200)["backups"], Value::Null);
    assert_eq!(api.post("/v1/backup", &json!({ "path": "/tmp/x" })).status, 400, "nobody chooses a place");
    drop(broker);

    let within = format!("backup_dir = \"{}\"\n", folders.data.display());
    let broker = start("api-backup-within", &folders.data, &within);
    let port = e2e::api::port_of(&broker);
    let api = Api { port, ..api };
    api.await_ready();
    for _ in 0..10 {
        expect_failure(&broker, &api);
    }
}

/// It is over at once, and in the log it is begun before that.
fn expect_failure(broker: &Broker, api: &Api) {
    let name = api.post("/v1/backup", &json!({})).expect(202)["name"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = api.get("/v1/backup").expect(200);
        if state["last"]["name"] == name {
            let why = state["last"]["why"].as_str().unwrap();
            assert!(state["last"]["is_done"] == false && why.contains("within"), "{state}");
            break;
        }
        assert!(Instant::now() < deadline, "{state}");
    }
    broker.process.await_text(&format!("backup {name} could not be made"));
    let mut lines = broker.process.lines();
    lines.retain(|line| line.contains(&name));
    assert!(lines.len() == 2 && lines[0].contains(&format!("backup {name} is begun")), "{lines:?}");
}

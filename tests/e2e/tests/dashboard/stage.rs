//! A broker with the dashboard, clients with names that try to be markup, some load, and the browser that looks at it.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use client::{Publication, QoS, Version};
use e2e::api::Api;
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, Process, Setup, program, v5};
use serde_json::json;

pub struct Stage {
    pub broker: Broker,
    /// With the first token, whose role is admin.
    pub api: Api,
    pub viewer: Api,
    /// Whom a test may disconnect.
    pub victim: Option<Link>,
    _clients: Vec<Link>,
    load: Process,
    data: Data,
}

/// A data directory that outlives its broker, and goes with the test.
struct Data(PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What is left of a broker that has ended.
pub struct Ended {
    api: Api,
    viewer: Api,
    data: Data,
}

/// Browsers are large: one at a time.
pub fn one_browser() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    #[track_caller]
    pub fn start(name: &str) -> Stage {
        let data = Data(program::fresh_folder(&format!("{name}-data")));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let broker = setup(name, &data.0, port).start();
        let api = Api::of(&broker);
        let viewer = api.with_token(&viewer_token(&data.0));
        Stage::fill(broker, api, viewer, data)
    }

    fn fill(broker: Broker, api: Api, viewer: Api, data: Data) -> Stage {
        api.await_ready();
        let port = broker.port_of("tcp");
        let mut hostile = Link::connect(port, still(HOSTILE));
        hostile.subscribe(&format!("house/{HOSTILE}/+"), QoS::AtLeastOnce);
        let retained = |topic: &str, payload: &str| Publication {
            retain: true,
            ..Publication::new(topic, payload, QoS::AtLeastOnce)
        };
        hostile.publish_with(retained(TOPIC, &format!("{{\"state\":\"{HOSTILE}\"}}")));
        hostile.publish_with(retained(&format!("<script>window.hacked=1<|script>/{HOSTILE}"), HOSTILE));
        hostile.publish_with(Publication {
            retain: true,
            ..Publication::new("raw/bytes", vec![0, 1, 254, 255], QoS::AtMostOnce)
        });
        let mut victim = Link::connect(port, still(VICTIM));
        victim.subscribe("victim/#", QoS::AtMostOnce);
        // Its message is lost, since it is away.
        let mut away = Link::connect(port, lasting(Version::V5, AWAY));
        away.subscribe("lost/#", QoS::AtMostOnce);
        away.close();
        await_away(&api);
        hostile.publish("lost/here/x", HOSTILE, QoS::AtMostOnce);
        api.post("/v1/bans", &json!({ "client_id": BANNED })).expect(200);
        let mut load = program::command(program::beside_test("loadgen"));
        load.args(["p2p", "-n", "5", "--rate", "500", "-q", "1", "-d", "900", "-p", &port.to_string()]);
        let load = Process::start("loadgen", &mut load);
        Stage { broker, api, viewer, victim: Some(victim), _clients: vec![hostile], load, data }
    }

    /// A chapter from its beginning to its end.
    #[track_caller]
    pub fn play(&self, chapter: &str) {
        succeed(&mut self.browse(chapter));
    }

    /// Opens the browser for a chapter of `node/dashboard/chapters.mjs`.
    pub fn browse(&self, chapter: &str) -> Process {
        let about = json!({
            "base": format!("http://127.0.0.1:{}", self.api.port),
            "token": self.api.token,
            "viewer": self.viewer.token,
            "client": HOSTILE,
            "victim": VICTIM,
            "away": AWAY,
            "holder": HOLDER,
            "listed": LISTED,
            "names": odd_names(),
            "banned": BANNED,
            "port": self.broker.port_of("tcp"),
            "topic": TOPIC,
            "payload": HOSTILE,
            "folder": env::var("DASHBOARD_SHOTS").unwrap_or_default(),
        });
        let mut command = program::command(program::installed("node"));
        command.arg(program::source("node/dashboard/chapters.mjs")).arg(chapter);
        command.env("DASHBOARD", about.to_string()).env("CLIENTS_NODE", program::node_folder());
        Process::start("browser", &mut command)
    }

    /// A client that takes nothing: of five messages two are in flight, and three wait.
    pub fn holder(&self) -> Link {
        self.holder_of(&[])
    }

    /// With further subscriptions.
    pub fn holder_of(&self, filters: &[&str]) -> Link {
        let port = self.broker.port_of("tcp");
        let options =
            client::Options { receive_maximum: Some(2), keep_alive_s: 0, ..lasting(Version::V5, HOLDER) };
        let mut holder = Link::connect(port, options);
        for filter in [&["held/#"], filters].concat() {
            holder.subscribe(filter, QoS::AtLeastOnce);
        }
        let mut other = Link::connect(port, v5("giver"));
        for number in 0..5 {
            other.publish(&format!("held/{number}"), "x", QoS::AtLeastOnce);
        }
        other.close();
        holder
    }

    pub fn end_load(&mut self) {
        self.load.signal(libc::SIGKILL);
        self.load.wait();
    }

    /// The viewer's token is known no more.
    #[track_caller]
    pub fn revoke_viewer(&self) {
        let mut command = program::command(program::iothub());
        command.args(["token", "remove", "eye", "--data-dir"]).arg(&self.data.0);
        Process::start("iothub token", &mut command).succeed();
    }

    pub fn end(mut self) -> Ended {
        self.end_load();
        self.broker.end(libc::SIGTERM);
        Ended { api: self.api, viewer: self.viewer, data: self.data }
    }
}

impl Ended {
    /// The same broker, at the same address of the API.
    pub fn start_again(self) -> Stage {
        let broker = setup("dashboard-again", &self.data.0, self.api.port).start();
        Stage::fill(broker, self.api, self.viewer, self.data)
    }
}

#[track_caller]
pub fn succeed(browser: &mut Process) {
    let status = browser.wait_at_most(CHAPTER_PATIENCE);
    assert!(status.success(), "{}", browser.shown());
}

#[track_caller]
fn await_away(api: &Api) {
    let deadline = Instant::now() + PATIENCE;
    let is_away = || {
        let answer = api.get("/v1/clients?client_id=away&connected=false").expect(200);
        answer["clients"].as_array().is_some_and(|clients| !clients.is_empty())
    };
    while !is_away() {
        assert!(Instant::now() < deadline, "the client does not go");
    }
}

fn setup(name: &str, data: &Path, api_port: u16) -> Setup {
    let setup = Setup::bare(name).with_api().shards(2);
    let users = setup.folder().join("users");
    fs::write(&users, "").unwrap();
    private(&users);
    let text = format!(
        "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"ws://127.0.0.1:0\"]\n\
         [authentication]\nuser_database = \"users\"\nanonymous = \"always\"\n\
         [api]\nlisten = [\"127.0.0.1:{api_port}\"]\n",
    );
    setup.config(&text).args([Path::new("--data-dir"), data])
}

fn private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn viewer_token(data: &Path) -> String {
    let mut command = program::command(program::iothub());
    command.args(["token", "add", "eye", "--role", "viewer", "--data-dir"]).arg(data);
    let mut process = Process::start("iothub token", &mut command);
    process.succeed();
    process.out_lines().pop().unwrap()
}

/// What clients may be called.
pub fn odd_names() -> Vec<String> {
    let short =
        [".", "..", "../..", "a/b?c=d#e", "two words", "\"'`\\", "100%25", "ünïcödé \u{202e}☃", "~", "..%2f"];
    short.iter().map(ToString::to_string).chain(["ä".repeat(32_767) + "x"]).collect()
}

/// A client that nobody has to keep alive.
fn still(client_id: &str) -> client::Options {
    client::Options { keep_alive_s: 0, ..v5(client_id) }
}

pub const HOSTILE: &str = "<img src=x onerror=window.hacked=1>";
pub const VICTIM: &str = "victim";
pub const AWAY: &str = "away <b>&amp;</b>";
pub const HOLDER: &str = "holder";
/// Clients of a list that has more than a page.
pub const LISTED: usize = 55;
pub const BANNED: &str = "stranger";
pub const TOPIC: &str = "door/front";
/// Some chapters open every page several times, on a machine that does much else.
const CHAPTER_PATIENCE: Duration = Duration::from_secs(300);

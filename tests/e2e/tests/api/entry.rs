//! The way in: addresses, tokens that come and go, HTTPS, and a broker that recovers or drains.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use e2e::api::{self, Api};
use e2e::{Authority, PATIENCE, Process, Setup, program};
use serde_json::json;

use super::setup;

fn token(args: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut command = program::command(program::iothub());
    let mut process = Process::start("iothub token", command.arg("token").args(args));
    let status = process.wait();
    (status.code(), process.lines())
}

#[test]
fn the_first_start_keeps_a_token_for_its_owner_and_the_next_one_knows_it() {
    let data = program::fresh_folder("api-first-data");
    let dir = data.display().to_string();
    let start = || setup("api-first").args(["--data-dir", &dir]).start();
    let broker = start();
    let api = Api::of(&broker);
    assert_eq!(api.get("/v1/broker").expect(200)["shards"], 2);
    assert_eq!(api.with_token("").get("/v1/broker").status, 401);
    assert_eq!(api.with_token("iothub_no").get("/v1/broker").status, 401);
    let file = fs::read_to_string(data.join("api_tokens")).unwrap();
    assert!(!file.contains(&api.token["iothub_".len()..]), "{file}");
    for name in ["api_tokens", "api_tokens.first"] {
        assert_eq!(fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert!(!broker.process.says(&api.token), "the log has no secrets");
    assert_eq!(broker.end(libc::SIGTERM).code, Some(0));

    let broker = start();
    let api = Api { port: api::port_of(&broker), ..api };
    api.await_ready();
    assert_eq!(api.get("/readyz").expect(200)["ready"], true);
    assert_eq!(api.get("/v1/broker").expect(200)["stage"], "serving");
    assert!(!broker.process.says("first token"), "{}", broker.process.shown());
    drop(broker);
    fs::remove_dir_all(data).unwrap();
}

#[test]
fn at_a_terminal_the_first_token_is_shown_once_and_the_log_has_it_not() {
    let mut command = program::command(program::iothub());
    command.args(["--listen", "tcp://127.0.0.1:0", "--shards", "1"]).env("IOTHUB_API__LISTEN", "127.0.0.1:0");
    let broker = Process::start_at_terminal("iothub", command);
    let token = broker.await_line("the token", |line| {
        line.trim_end().strip_prefix("iothub_").map(|rest| format!("iothub_{rest}"))
    });
    let port = broker.await_line("where the API is", |line| {
        line.split_once("API at http://127.0.0.1:")?.1.trim_end().parse().ok()
    });
    let api = Api { port, token: token.clone() };
    assert_eq!(api.get("/v1/broker").expect(200)["shards"], 1);
    assert_eq!(broker.lines().iter().filter(|line| line.contains(&token)).count(), 1, "{}", broker.shown());
    assert!(!broker.says("has no token"), "{}", broker.shown());
}

#[test]
fn where_nobody_can_be_told_a_token_none_is_made_and_the_log_says_what_to_do() {
    let broker = Setup::bare("api-nobody")
        .with_api()
        .variable("IOTHUB_API__LISTEN", "127.0.0.1:0")
        .variable("IOTHUB_API__TOKENS_FILE", "")
        .args(["--listen", "tcp://127.0.0.1:0"])
        .start();
    broker
        .process
        .await_text("the API has no token, because there is neither a terminal nor a data directory");
    assert!(!broker.process.says("iothub_"), "{}", broker.process.shown());
}

#[test]
fn a_start_that_fails_does_not_say_that_the_api_is_there() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("tcp://{}", holder.local_addr().unwrap());
    let ended = Setup::bare("api-failed")
        .with_api()
        .variable("IOTHUB_API__LISTEN", "127.0.0.1:0")
        .args(["--listen", &listen])
        .run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.says("API at"), "{ended:?}");
}

#[test]
fn tokens_are_made_and_removed_while_the_broker_runs() {
    let data = program::fresh_folder("api-tokens-data");
    let dir = data.display().to_string();
    let broker = setup("api-tokens").args(["--data-dir", &dir]).start();
    let admin = Api::of(&broker);
    let add = |name: &str, role: &str| {
        let (code, lines) = token(&["add", name, "--role", role, "--data-dir", &dir]);
        assert_eq!((code, lines.len()), (Some(0), 1), "{lines:?}");
        admin.with_token(&lines[0])
    };
    let (viewer, operator) = (add("eye", "viewer"), add("hand", "operator"));
    let ban = json!({ "client_id": "x" });
    for (api, get, post, reload) in
        [(&viewer, 200, 403, 403), (&operator, 200, 200, 403), (&admin, 200, 200, 200)]
    {
        assert_eq!(api.get("/v1/bans").status, get);
        assert_eq!(api.post("/v1/bans", &ban).status, post);
        assert_eq!(api.get("/v1/reload").status, reload);
    }
    assert_eq!(api::ask_control(&data.join("control.sock"), "GET", "/v1/reload", None).status, 200);
    broker.process.await_text("API token hand from 127.0.0.1:");
    assert_eq!(token(&["add", "eye", "--data-dir", &dir]).0, Some(1));
    let (_, lines) = token(&["list", "--data-dir", &dir]);
    assert_eq!(lines, ["admin\tadmin", "eye\tviewer", "hand\toperator"]);
    assert_eq!(token(&["remove", "eye", "--data-dir", &dir]).0, Some(0));
    assert_eq!(viewer.get("/v1/bans").status, 401);
    assert_eq!(operator.get("/v1/bans").status, 200);
    drop(broker);
    fs::remove_dir_all(data).unwrap();
}

#[test]
fn a_named_address_that_is_taken_ends_the_start_and_the_default_one_does_not() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let ended = setup("api-taken").variable("IOTHUB_API__LISTEN", &taken).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.says(&format!("api.listen: {taken} is in use")), "{ended:?}");
    // Whoever has the default port, the broker or somebody else: a second broker that asks for it goes on.
    let _holder = TcpListener::bind("127.0.0.1:9883");
    let broker = Setup::new("api-default").with_api().start();
    broker.process.await_text("the API is not served over TCP: 127.0.0.1:9883 is in use");
    assert!(!broker.process.says("first token"), "nobody could use it");
}

#[test]
fn https_shows_the_certificate_and_a_renewed_one_after_a_reload() {
    let setup = setup("api-https");
    let authority = Authority::new(setup.folder());
    authority.issue("broker.example");
    let config = "[api]\ncertificate = \"broker.example.pem\"\nprivate_key = \"broker.example.key\"\n\
                  [control]\nsocket = \"control.sock\"\n[server]\nwatch_files = false\n";
    let broker = setup.config(config).start();
    let api = Api::of(&broker);
    let ask = || {
        let mut command = std::process::Command::new(program::installed("openssl"));
        let connect = format!("127.0.0.1:{}", api.port);
        command.args(["s_client", "-connect", &connect, "-servername", "broker.example", "-CAfile"]);
        command.arg(authority.file()).args(["-verify_return_error", "-brief"]);
        let mut process = Process::start("openssl", &mut command);
        process.wait();
        process.shown()
    };
    assert!(ask().contains("Verification: OK"), "{}", ask());
    let fingerprint = || {
        let script = format!(
            "openssl s_client -connect 127.0.0.1:{} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint",
            api.port
        );
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let before = fingerprint();
    authority.issue("broker.example");
    let socket = broker.folder().join("control.sock");
    assert_eq!(api::ask_control(&socket, "POST", "/v1/reload", None).status, 200);
    let after = fingerprint();
    assert!(before.contains("Fingerprint=") && before != after, "{before} {after}");
}

#[test]
fn an_open_address_without_tls_is_refused_with_the_remedy() {
    let ended = Setup::new("api-open").with_api().config("[api]\nlisten = [\"0.0.0.0:0\"]\n").run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.says("line 2: api.listen = [\"0.0.0.0:0\"]: 0.0.0.0:0 can be reached"), "{ended:?}");
    assert!(ended.says("api.insecure = true"), "{ended:?}");
    let broker = Setup::new("api-open-said")
        .with_api()
        .config("[api]\nlisten = [\"0.0.0.0:0\"]\ninsecure = true\n")
        .start();
    assert_eq!(Api::of(&broker).get("/v1/broker").status, 200);
}

/// The statuses of `/readyz` from the first answer on, until it is 200.
fn readiness(port: u16) -> Vec<u16> {
    let (mut statuses, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while statuses.last() != Some(&200) {
        assert!(Instant::now() < deadline, "it is never ready: {statuses:?}");
        // Nobody listens at first.
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let status = Api { port, token: String::new() }.get("/readyz").status;
            if statuses.last() != Some(&status) {
                statuses.push(status);
            }
        }
    }
    statuses
}

#[test]
fn who_recovers_its_store_is_not_ready() {
    let data = program::fresh_folder("api-recovers-data");
    let dir = data.display().to_string();
    let port = e2e::broker::free_port();
    let setup = || {
        let config = "[session]\nmax_queued_bytes = \"256 MiB\"\nmax_queued_messages = 100000\n";
        let setup = setup("api-recovers").config(config).args(["--data-dir", &dir]);
        setup.variable("IOTHUB_API__LISTEN", format!("127.0.0.1:{port}"))
    };
    let broker = setup().start();
    let mut away = e2e::Link::connect(broker.port, e2e::link::lasting(client::Version::V5, "away"));
    away.subscribe("t", client::QoS::AtLeastOnce);
    away.close();
    let mut publisher = e2e::Link::connect(broker.port, e2e::v5("publisher"));
    for _ in 0..RECOVERED_MESSAGES {
        publisher.publish("t", vec![7; 128 << 10], client::QoS::AtLeastOnce);
    }
    assert_eq!(broker.end(libc::SIGTERM).code, Some(0));
    let mut process = setup().spawn();
    assert_eq!(readiness(port), [503, 200], "{}", process.shown());
    let queued = Api { port, token: String::new() };
    assert_eq!(queued.get("/livez").status, 200);
    process.signal(libc::SIGTERM);
    process.wait();
    fs::remove_dir_all(data).unwrap();
}

/// As many as take a good while to be read.
const RECOVERED_MESSAGES: usize = 1000;

#[test]
fn who_drains_is_not_ready() {
    let broker = setup("api-drain").config("[server]\nshutdown_timeout_secs = 20\n").start();
    let api = Api::of(&broker);
    // A subscriber that takes nothing keeps the drain waiting.
    let mut stuck = e2e::Link::connect(broker.port, e2e::v5("stuck"));
    stuck.subscribe("t", client::QoS::AtMostOnce);
    let mut publisher = e2e::Link::connect(broker.port, e2e::v5("publisher"));
    for _ in 0..64 {
        publisher.publish("t", vec![0; 256 << 10], client::QoS::AtLeastOnce);
    }
    broker.process.signal(libc::SIGTERM);
    broker.process.await_text("draining");
    // The line is written a moment before it is so.
    let deadline = Instant::now() + PATIENCE;
    let mut answer = api.get("/readyz");
    while answer.status == 200 && Instant::now() < deadline {
        answer = api.get("/readyz");
    }
    assert!(answer.status == 503 && answer.text.contains("the broker drains"), "{answer:?}");
    assert_eq!(api.get("/livez").status, 200);
    assert_eq!(api.post("/v1/reload", &json!({})).status, 503);
}

#[test]
fn a_file_of_tokens_that_others_can_read_ends_the_start() {
    let setup = setup("api-readable");
    let path = setup.folder().join("tokens");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = setup.variable("IOTHUB_API__TOKENS_FILE", "tokens").run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.says("others on this machine can read tokens"), "{ended:?}");
    assert!(!Path::new("tokens").exists());
}

#[test]
fn a_token_that_nobody_could_read_is_not_kept() {
    let folder = program::fresh_folder("api-untold");
    let file = folder.join("tokens");
    let token = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        command.arg("token").args(args).arg("--file").arg(&file);
        command
    };
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let untold = token(&["add", "grafana", "--role", "viewer"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&untold.stderr);
    assert!(untold.status.code() == Some(1) && said.contains("standard output"), "{untold:?}");
    assert!(!file.exists(), "nobody has the token");
    let told = token(&["add", "grafana", "--role", "viewer"]).output().unwrap();
    assert!(told.status.success() && told.stdout.len() > 40, "{told:?}");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let untold = token(&["list"]).stdout(full).output().unwrap();
    assert_eq!(untold.status.code(), Some(1), "{untold:?}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn how_many_refusals_the_log_left_out_is_told_although_nobody_else_comes() {
    let broker = setup("api-left-out").start();
    let nobody = Api::of(&broker).with_token("unknown");
    (0..20).for_each(|_| assert!([401, 429].contains(&nobody.get("/v1/broker").status)));
    broker
        .process
        .await_text("lines were left out, too many come: the API has refused somebody address=127.0.0.1");
}

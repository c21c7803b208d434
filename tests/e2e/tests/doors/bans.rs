//! Who is banned, by address, client id and user, and clients that take a session from each other.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{Options, Publication, QoS, ReasonCode, Will};
use e2e::{Broker, Link, PATIENCE, Process, Setup, v5};
use serde_json::Value;

use super::{mosquitto, publish, reload::reload};

const OPEN: &str = "[authentication]\nanonymous = \"always\"\n";

fn with(name: &str, text: &str) -> Broker {
    Setup::new(name).shards(2).config(&format!("{OPEN}{text}")).start()
}

fn subscriber(broker: &Broker, client_id: &str) -> Process {
    let args = ["-V", "5", "-i", client_id, "-t", "t", "-d", "-W", "60"];
    let process = Process::start(client_id, &mut mosquitto("mosquitto_sub", broker.port, &args));
    process.await_text("Subscribed (mid");
    process
}

fn comes(broker: &Broker, client_id: &str) -> bool {
    publish(broker.port, &["-V", "5", "-i", client_id, "-q", "1", "-t", "u", "-m", "m"]).says("PUBACK")
}

#[test]
fn a_ban_counts_at_once_for_who_is_here_and_for_who_comes() {
    let broker = with("bans-client", "");
    let (banned, mut other) = (subscriber(&broker, "banned"), subscriber(&broker, "other"));
    let ban = "[[ban]]\nclient_ids = [\"banned\"]\nuntil = 2999-01-01T00:00:00Z\n";
    fs::write(broker.folder().join("iothub.toml"), format!("{OPEN}{ban}")).unwrap();
    reload(&broker);
    broker.await_counter("ended_banned", 1);
    assert!(!comes(&broker, "banned") && comes(&broker, "another"));
    assert!(other.is_running(), "nobody else is touched");
    assert!(broker.counter("refused_banned") >= 1);
    fs::write(broker.folder().join("iothub.toml"), OPEN).unwrap();
    reload(&broker);
    assert!(comes(&broker, "banned"));
    // The client of the ban tries again by itself until it ends.
    banned.signal(libc::SIGKILL);
    other.signal(libc::SIGKILL);
}

#[test]
fn a_banned_network_is_closed_without_a_word_until_its_time_is_over() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Unix time as the file writes it, by way of the calendar of the machine.
    let until = now + Duration::from_secs(8);
    let mut date = e2e::program::command(e2e::program::installed("date"));
    let mut date = Process::start(
        "date",
        date.args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &format!("@{}", until.as_secs())]),
    );
    date.succeed();
    let ban = format!("[[ban]]\naddresses = [\"127.0.0.0/8\"]\nuntil = {}\n", date.out_lines()[0]);
    let broker = with("bans-network", &ban);
    assert!(!comes(&broker, "a"));
    assert!(broker.counter("refused_banned") >= 1);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !comes(&broker, "a") {
        assert!(std::time::Instant::now() < deadline, "the ban is not over\n{}", broker.process.shown());
    }
}

#[test]
fn clients_that_take_a_session_from_each_other_are_named_with_both_addresses() {
    let text = "[session]\ntakeover_limit = 3\ntakeover_policy = \"refuse\"\n";
    let broker = with("bans-contest", text);
    let clients: Vec<Process> = (0..4).map(|_| subscriber(&broker, "shared")).collect();
    broker.await_counter("takeovers_contested", 1);
    let line = broker.process.await_line("who they are", |line| {
        line.contains("take the session from each other").then(|| line.to_owned())
    });
    assert!(line.contains("client_id=\"shared\"") && line.contains("takeovers=3"), "{line}");
    assert_eq!(line.matches("127.0.0.1:").count(), 2, "{line}");
    assert!(!comes(&broker, "shared") && comes(&broker, "other"));
    assert_eq!(broker.counter("refused_contested"), 1);
    clients.iter().for_each(|client| client.signal(libc::SIGKILL));
}

/// `iothub ban` at the broker's data directory.
fn ban(data: &Path, args: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut command = e2e::program::command(e2e::program::iothub());
    let mut process = Process::start("iothub ban", command.arg("ban").args(args).arg("--data-dir").arg(data));
    let status = process.wait();
    (status.code(), process.lines())
}

#[test]
fn a_ban_that_is_ordered_counts_at_once_and_outlives_the_broker() {
    let data = e2e::program::fresh_folder("bans-ordered-data");
    let start = |name: &str| {
        let setup = Setup::new(name).shards(2).config(OPEN);
        setup.args([OsStr::new("--data-dir"), data.as_os_str()]).start()
    };
    let broker = start("bans-ordered");
    let banned = subscriber(&broker, "banned");
    assert_eq!(ban(&data, &["add", "-i", "banned", "--for", "1h"]).0, Some(0));
    broker.await_counter("ended_banned", 1);
    assert!(!comes(&broker, "banned") && comes(&broker, "another"));
    banned.signal(libc::SIGKILL);
    broker.process.signal(libc::SIGKILL);
    drop(broker);

    let broker = start("bans-ordered-again");
    assert!(!comes(&broker, "banned") && comes(&broker, "another"));
    let (code, lines) = ban(&data, &["list", "--json"]);
    assert_eq!(code, Some(0));
    assert!(lines.iter().any(|line| line.contains(r#"{"client_id":"banned","until":""#)), "{lines:?}");
    assert_eq!(ban(&data, &["remove", "-i", "banned"]).0, Some(0));
    assert!(comes(&broker, "banned"));
    let (code, lines) = ban(&data, &["remove", "-i", "banned"]);
    assert_eq!(code, Some(1));
    assert!(lines.iter().any(|line| line.contains("there is no such ban")), "{lines:?}");
    drop(broker);
    fs::remove_dir_all(data).unwrap();
}

/// What it prints is one JSON value a line, whoever is banned, wherever that was said.
#[test]
fn the_list_has_those_of_the_configuration_and_those_that_were_ordered_until_they_are_lifted_or_over() {
    let data = e2e::program::fresh_folder("bans-listed-data");
    let of_configuration = "[[ban]]\nusers = [\"mallory\"]\n[[ban]]\naddresses = [\"192.0.2.0/24\"]\nuntil = 2090-01-31T12:00:00Z\n";
    let setup = Setup::new("bans-listed").shards(2).config(&format!("{OPEN}{of_configuration}"));
    let broker = setup.args([OsStr::new("--data-dir"), data.as_os_str()]).start();
    let listed = || {
        let (code, lines) = ban(&data, &["list", "--json"]);
        assert_eq!(code, Some(0), "{lines:?}");
        let row = |line: &String| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}"));
        lines.iter().map(row).collect::<Vec<Value>>()
    };
    let names = |key: &str| -> Vec<String> {
        listed().iter().filter_map(|row| Some(row[key].as_str()?.to_owned())).collect()
    };
    assert_eq!(
        (names("user"), names("address")),
        (vec!["mallory".to_owned()], vec!["192.0.2.0/24".to_owned()])
    );
    for order in [
        &["add", "-i", "pump \u{202e}\"1\"", "--until", "2090-01-31T12:00:00Z"][..],
        &["add", "-i", "brief", "--for", "1s"],
        &["add", "-a", "198.51.100.7"],
    ] {
        assert_eq!(ban(&data, order).0, Some(0), "{order:?}");
    }
    let ends: Vec<Value> = listed()
        .iter()
        .filter(|row| row["client_id"] == "pump \u{202e}\"1\"")
        .map(|row| row["until"].clone())
        .collect();
    assert_eq!(ends, ["2090-01-31T12:00:00Z"]);
    let deadline = Instant::now() + PATIENCE;
    while names("client_id").len() > 1 {
        assert!(Instant::now() < deadline, "the brief one is over some time: {:?}", names("client_id"));
    }
    assert_eq!(names("address"), ["192.0.2.0/24", "198.51.100.7"]);
    assert_eq!(ban(&data, &["remove", "-a", "198.51.100.7"]).0, Some(0));
    assert_eq!(ban(&data, &["remove", "-u", "mallory"]).0, Some(1), "the configuration says it");
    assert_eq!((names("user").len(), names("address").len(), listed().len()), (1, 1, 3));
    let (code, lines) = ban(&data, &["list"]);
    assert_eq!((code, lines.len()), (Some(0), 4), "with the heads: {lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("192.0.2.0/24  2090-01-31T12:00:00Z")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("mallory") && line.ends_with("for ever")), "{lines:?}");
    drop(broker);
    let (code, lines) = ban(&data, &["list", "--json"]);
    assert!(code == Some(2) && !lines.is_empty(), "nobody is there to be asked: {lines:?}");
    fs::remove_dir_all(data).unwrap();
}

#[test]
fn as_many_bans_as_may_be_hold_and_one_more_is_refused() {
    let data = e2e::program::fresh_folder("bans-many-data");
    let bans: Vec<String> = (0..10_000).map(|at| format!("{{\"client_id\":\"banned-{at}\"}}")).collect();
    let file = data.join("bans.json");
    fs::write(&file, format!("[{}]", bans.join(","))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let setup = Setup::new("bans-many").shards(2).config(OPEN);
    let broker = setup.args([OsStr::new("--data-dir"), data.as_os_str()]).start();
    assert!(!comes(&broker, "banned-0") && !comes(&broker, "banned-9999") && comes(&broker, "another"));
    let (code, lines) = ban(&data, &["add", "-i", "another"]);
    assert_eq!(code, Some(1));
    assert!(lines.iter().any(|line| line.contains("10000 bans are ordered already")), "{lines:?}");
    assert_eq!(ban(&data, &["remove", "-i", "banned-0"]).0, Some(0));
    assert_eq!(ban(&data, &["add", "-i", "another"]).0, Some(0));
    assert!(comes(&broker, "banned-0") && !comes(&broker, "another"));
    drop(broker);
    fs::remove_dir_all(data).unwrap();
}

#[test]
fn whose_address_is_banned_leaves_no_will() {
    let broker = with("bans-will", "");
    let mut link = Link::connect(broker.port, v5("listener"));
    link.subscribe("gone", QoS::AtMostOnce);
    let publication = Publication::new("gone", "gone", QoS::AtMostOnce);
    let will = Will { publication, delay_interval_s: None };
    let _leaves = Link::connect(broker.port, Options { will: Some(will), ..v5("leaves") });
    let ban = "[[ban]]\naddresses = [\"127.0.0.0/8\"]\n";
    fs::write(broker.folder().join("iothub.toml"), format!("{OPEN}{ban}")).unwrap();
    reload(&broker);
    broker.await_counter("ended_banned", 2);
    broker.await_counter("denied_will", 1);
    assert_eq!(broker.counter("wills_published"), 0);
}

#[test]
fn a_ban_of_nobody_or_of_everybody_is_an_error_in_words() {
    let folder = std::env::temp_dir().join("iothub-no-broker-is-here");
    for (args, said) in [
        (["add", "-i", ""], "client_id: the name is empty"),
        (["add", "-u", &"x".repeat(65_536)], "user: the name has 65536 bytes"),
        (["add", "-a", "0.0.0.0/0"], "address: 0.0.0.0/0 is everybody"),
        (["add", "-a", "ff02::1"], "address: ff02::1: nobody connects from there"),
    ] {
        let (code, lines) = ban(&folder, &args);
        assert_eq!(code, Some(1), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains(said)), "{lines:?}");
    }
}

#[test]
fn a_ban_that_says_nothing_or_reaches_nobody_is_an_error_in_words() {
    let folder = std::env::temp_dir().join("iothub-no-broker-is-here");
    let (code, lines) = ban(&folder, &["add", "-u", "ada", "--until", "tomorrow"]);
    assert_eq!(code, Some(1));
    assert!(lines.iter().any(|line| line.contains("2030-01-31T12:00:00Z")), "{lines:?}");
    let (code, lines) = ban(&folder, &["add", "-u", "ada"]);
    assert_eq!(code, Some(2));
    assert!(lines.iter().any(|line| line.contains("no broker is at")), "{lines:?}");
}

#[test]
fn a_user_who_is_banned_is_so_by_whichever_client_id() {
    let setup = Setup::new("bans-user").shards(2);
    let users = setup.folder().join("users");
    for (flag, user) in [(Some("-c"), "ada"), (None, "ben")] {
        let mut command = e2e::program::command(e2e::program::iothub());
        command.arg("passwd").args(flag).arg("-b").arg(&users).args([user, "secret"]);
        Process::start("iothub passwd", &mut command).succeed();
    }
    let data = e2e::program::fresh_folder("bans-user-data");
    let text = "[authentication]\npassword_file = \"users\"\nanonymous = \"never\"\n";
    let broker = setup.config(text).args([OsStr::new("--data-dir"), data.as_os_str()]).start();
    let login = |user: &str, client_id: &str| Options {
        username: Some(user.into()),
        password: Some("secret".into()),
        ..v5(client_id)
    };
    let mut banned = ["one", "two"].map(|client_id| Link::connect(broker.port, login("ada", client_id)));
    let mut other = Link::connect(broker.port, login("ben", "three"));
    assert_eq!(ban(&data, &["add", "-u", "ada", "--for", "1h"]).0, Some(0));
    for link in &mut banned {
        assert_eq!(link.ended_by_server(), ReasonCode::AdministrativeAction);
    }
    for (user, is_in) in [("ada", false), ("ben", true)] {
        assert_eq!(Link::try_connect(broker.port, login(user, "four")).is_ok(), is_in, "{user}");
    }
    other.publish("t", "still", QoS::AtLeastOnce);
    assert_eq!(ban(&data, &["remove", "-u", "ada"]).0, Some(0));
    assert!(Link::try_connect(broker.port, login("ada", "four")).is_ok());
    drop(broker);
    fs::remove_dir_all(data).unwrap();
}

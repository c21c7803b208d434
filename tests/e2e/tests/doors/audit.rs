//! The audit log: what is in its file after clients came, failed and were denied, and after the broker was told things.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use client::{Options, QoS};
use e2e::{
    Broker, Link, PATIENCE, Process, Setup,
    hello::{Hello, TLS_1_2},
    program,
    socket::{self, Socket},
    v5,
};
use serde_json::Value;

use super::publish;

/// A broker with an audit log, which asks everybody for a password.
pub fn audited(name: &str, more: &str) -> Broker {
    let setup = Setup::bare(name).shards(2);
    let users = setup.folder().join("users");
    let mut command = program::command(program::iothub());
    let args = ["anna", "geheim"];
    Process::start("iothub passwd", command.args(["passwd", "-c", "-b"]).arg(users).args(args)).succeed();
    fs::write(setup.folder().join("acl"), "user anna\ntopic write open/#\n").unwrap();
    let text = format!(
        "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\"]\nwatch_files = false\n\
         [authentication]\npassword_file = \"users\"\nanonymous = \"never\"\n\
         [access]\nacl_file = \"acl\"\n[audit]\nfile = \"audit\"\n{more}"
    );
    setup.config(&text).start()
}

fn lines_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The lines, as soon as there is one of this event with this in it.
fn await_line(path: &Path, event: &str, name: &str, value: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = lines_of(path).into_iter().find(|line| line["event"] == event && line[name] == value);
        if let Some(found) = found {
            return found;
        }
        assert!(Instant::now() < deadline, "no {event} with {name} = {value}: {:?}", lines_of(path));
        // The file is the only sign of it.
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn who_comes_in_who_does_not_and_what_is_denied_is_written_down() {
    let broker = audited("audit-clients", "");
    let path = broker.folder().join("audit");
    let send = |id: &str, password: &str, topic: &str| {
        let login = ["-V", "5", "-i", id, "-u", "anna", "-P", password, "-q", "1", "-t", topic, "-m", "m"];
        publish(broker.port, &login)
    };
    assert!(send("good", "geheim", "open/x").says("PUBACK"));
    assert!(!send("bad", "falsch", "open/x").says("PUBACK"));
    assert!(send("denied", "geheim", "closed/x").says("Not authorized"));

    let connected = await_line(&path, "connected", "client_id", "good");
    assert_eq!((&connected["user"], &connected["provider"]), (&"anna".into(), &"password file users".into()));
    assert_eq!((&connected["listener"], &connected["version"]), (&"tcp://127.0.0.1:0".into(), &"V5".into()));
    assert!(connected["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{connected}");
    let refused = await_line(&path, "refused", "client_id", "bad");
    assert_eq!((&refused["claimed_user"], &refused["code"]), (&"anna".into(), &134.into()));
    assert_eq!(refused["why"], "the password is wrong");
    let denied = await_line(&path, "denied", "client_id", "denied");
    assert_eq!((&denied["action"], &denied["topic"]), (&"publish".into(), &"closed/x".into()));
    assert!(denied["because"].as_str().unwrap().contains("acl"), "{denied}");
    await_line(&path, "disconnected", "client_id", "good");
    let all = fs::read_to_string(&path).unwrap();
    assert!(!all.contains("geheim") && !all.contains("falsch"), "a password is never written");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_done_to_the_broker_is_written_down_and_a_file_that_was_moved_begun_anew() {
    let mut broker = audited("audit-acts", "");
    let path = broker.folder().join("audit.acts");
    assert_eq!(await_line(&path, "administration", "act", "start")["outcome"], "done");
    fs::rename(&path, broker.folder().join("moved")).unwrap();
    broker.process.signal(libc::SIGHUP);
    let reloaded = await_line(&path, "administration", "act", "reload");
    assert_eq!((&reloaded["by"], &reloaded["outcome"]), (&"SIGHUP".into(), &"done".into()));
    fs::write(broker.folder().join("acl"), "nonsense in a line\n").unwrap();
    broker.process.signal(libc::SIGHUP);
    let refused = await_line(&path, "administration", "outcome", "refused");
    assert!(refused["details"][0].as_str().unwrap().contains("acl, line 1"), "{refused}");
    publish(broker.port, &["-u", "anna", "-P", "geheim", "-t", "open/x", "-m", "m"]);
    broker.process.signal(libc::SIGTERM);
    broker.process.wait();
    let lines = lines_of(&path);
    assert!(lines.iter().all(|line| line["event"] == "administration"), "{lines:?}");
    let acts: Vec<&str> = lines.iter().filter_map(|line| line["act"].as_str()).collect();
    assert_eq!(acts, ["reload", "reload", "drain", "end"]);
    assert_eq!(lines[2]["by"], "SIGTERM");
}

#[test]
fn a_file_that_is_full_makes_way_and_so_many_stay() {
    let broker = audited("audit-rotation", "rotate_bytes = \"4 KiB\"\nkeep = 2\n");
    let path = broker.folder().join("audit");
    for at in 0..40 {
        publish(
            broker.port,
            &["-i", &format!("c{at}"), "-u", "anna", "-P", "geheim", "-t", "open/x", "-m", "m"],
        );
    }
    await_line(&path, "disconnected", "client_id", "c39");
    for name in ["audit", "audit.1", "audit.2"] {
        let file = broker.folder().join(name);
        assert!(fs::metadata(&file).unwrap().len() <= 4096 && !lines_of(&file).is_empty(), "{name}");
    }
    assert!(!broker.folder().join("audit.3").exists());
}

/// Comes with rights, is denied and leaves, each time under another id.
fn flood(broker: &Broker, times: usize) {
    for at in 0..times {
        let options = Options {
            username: Some("anna".into()),
            password: Some(b"geheim".to_vec()),
            ..v5(&format!("flood-{at}"))
        };
        let mut link = Link::connect(broker.port, options);
        link.publish("closed/x", b"m".to_vec(), QoS::AtMostOnce);
        link.close();
    }
}

#[test]
fn no_client_with_rights_pushes_an_act_out_of_the_files() {
    let more = "rotate_bytes = \"4 KiB\"\nkeep = 1\naddress_lines_per_minute = \"unlimited\"\n";
    let mut broker = audited("audit-flood", more);
    let (path, acts) = (broker.folder().join("audit"), broker.folder().join("audit.acts"));
    broker.process.signal(libc::SIGHUP);
    assert_eq!(await_line(&acts, "administration", "act", "reload")["outcome"], "done");
    flood(&broker, 100);
    await_line(&path, "disconnected", "client_id", "flood-99");
    assert!(
        lines_of(&path.with_extension("1")).iter().all(|line| line["client_id"] != "flood-0"),
        "it went round"
    );
    broker.process.signal(libc::SIGTERM);
    broker.process.wait();
    let told: Vec<String> =
        lines_of(&acts).iter().map(|line| line["act"].as_str().unwrap_or("none").to_owned()).collect();
    assert_eq!(told, ["start", "reload", "drain", "end"]);
    assert_eq!(fs::metadata(&acts).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!broker.folder().join("audit.acts.1").exists());
}

#[test]
fn a_client_with_rights_has_so_many_lines_and_a_count() {
    let mut broker = audited("audit-bounded", "address_lines_per_minute = 5\n");
    flood(&broker, 50);
    broker.process.signal(libc::SIGTERM);
    broker.process.wait();
    let lines = lines_of(&broker.folder().join("audit"));
    for event in ["connected", "denied", "disconnected"] {
        let those: Vec<&Value> = lines.iter().filter(|line| line["event"] == event).collect();
        let (counts, whole): (Vec<&&Value>, Vec<&&Value>) =
            those.iter().partition(|line| line["more"].is_u64());
        assert!((5..10).contains(&whole.len()) && !counts.is_empty(), "{event}: {those:?}");
        let more: u64 = counts.iter().map(|line| line["more"].as_u64().unwrap()).sum();
        assert_eq!(whole.len() as u64 + more, 50, "{event}: {those:?}");
        assert!(counts.iter().all(|line| line["address"] == "127.0.0.1"), "{event}: {counts:?}");
    }
}

#[test]
fn an_audit_log_that_cannot_be_is_refused_before_anything_starts() {
    for (name, more, said) in [
        ("audit-events", "file = \"audit\"\nevents = [\"everything\"]\n", "`everything` is no event"),
        ("audit-folder", "file = \"none/audit\"\n", "there is no folder none"),
    ] {
        let ended = Setup::new(name).config(&format!("[audit]\n{more}")).run();
        let all = ended.errors.concat() + &ended.out.concat();
        assert!(ended.code == Some(1) && all.contains(said), "{all}");
    }
}

#[test]
fn who_is_turned_away_by_a_ban_or_a_rate_is_written_down_and_a_refusal_names_its_client() {
    let text = "[authentication]\nanonymous = \"always\"\n[rates]\naddress_connects_per_minute = 40\n\
                [[ban]]\nclient_ids = [\"banned\"]\n[audit]\nfile = \"audit\"\n";
    let broker = Setup::new("audit-strangers").shards(1).config(text).start();
    let path = broker.folder().join("audit");
    let come = |client_id: &str| publish(broker.port, &["-i", client_id, "-t", "t", "-m", "m"]);
    come("banned");
    assert_eq!(await_line(&path, "refused", "client_id", "banned")["why"], "banned");
    (0..100).for_each(|_| drop(std::net::TcpStream::connect(broker.address())));
    let line = await_line(&path, "refused", "by", "rates");
    assert!(line["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(line["listener"].as_str().unwrap().starts_with("tcp://127.0.0.1:"), "{line}");
    let more = await_line(&path, "refused", "address", "127.0.0.1");
    assert!(more["more"].as_u64().is_some_and(|more| more > 0), "{more}");
    broker.process.await_text("more come than the rates allow");
    assert!(
        broker
            .process
            .lines()
            .iter()
            .any(|line| line.contains("rates allow") && line.contains("address=127.0.0.1:"))
    );
    let ban = "[authentication]\nanonymous = \"always\"\n[[ban]]\naddresses = [\"127.0.0.1\"]\n[audit]\nfile = \"audit\"\n";
    fs::write(broker.folder().join("iothub.toml"), ban).unwrap();
    super::reload::reload(&broker);
    let deadline = Instant::now() + PATIENCE;
    while !lines_of(&path).iter().any(|line| line["by"] == "bans") {
        assert!(Instant::now() < deadline, "no ban: {:?}", lines_of(&path));
        drop(std::net::TcpStream::connect(broker.address()));
    }
}

/// Comes from one of this machine's addresses, and goes without a DISCONNECT once it has its answer.
fn come_from(address: [u8; 4], broker: &Broker, client_id: &str) {
    let mut socket = Socket::open_from(address, broker.port);
    socket.send(&socket::connect(client_id, true));
    socket.read(4);
}

#[test]
fn a_banned_client_that_comes_again_and_again_hides_no_other() {
    let text = "[[ban]]\nclient_ids = [\"loud\", \"quiet\"]\n[audit]\nfile = \"audit\"\n";
    let broker = Setup::new("audit-banned").shards(1).config(text).start();
    let path = broker.folder().join("audit");
    (0..50).for_each(|_| come_from([127, 0, 0, 1], &broker, "loud"));
    come_from([127, 0, 0, 2], &broker, "quiet");
    let quiet = await_line(&path, "refused", "client_id", "quiet");
    assert!(quiet["address"].as_str().unwrap().starts_with("127.0.0.2:"), "{quiet}");
    let others = await_line(&path, "refused", "address", "127.0.0.1");
    assert!(others["more"].as_u64().is_some_and(|more| more > 0), "{others}");
    broker.process.await_text("address=127.0.0.2:");
}

#[test]
fn who_is_cut_off_is_written_down_with_the_address_and_hides_nobody_from_elsewhere() {
    let text = "[audit]\nfile = \"audit\"\naddress_lines_per_minute = 5\n";
    let broker = Setup::new("audit-cut").shards(1).config(text).start();
    let path = broker.folder().join("audit");
    (0..30).for_each(|_| come_from([127, 0, 0, 77], &broker, "loud"));
    for last in 100..110 {
        let client_id = format!("quiet-{last}");
        come_from([127, 0, 0, last], &broker, &client_id);
        let line = await_line(&path, "disconnected", "client_id", &client_id);
        assert!(
            line["address"].as_str().is_some_and(|it| it.starts_with(&format!("127.0.0.{last}:"))),
            "{line}"
        );
        assert!(line["listener"].is_string(), "{line}");
    }
    let others = await_line(&path, "disconnected", "address", "127.0.0.77");
    assert!(others["more"].as_u64().is_some_and(|more| more > 0), "{others}");
}

#[test]
fn another_protocol_at_a_plain_listener_is_named_in_the_log() {
    let broker = Broker::start("strangers", 1);
    drop(Hello::of(TLS_1_2).ask(broker.port));
    broker.process.await_text("this is TLS, at a listener without TLS");
    let mut socket = e2e::socket::Socket::open(broker.port);
    socket.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    broker.process.await_text("this is HTTP, at a listener that speaks MQTT without it");
}

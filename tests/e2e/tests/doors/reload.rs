//! SIGHUP: other users, other rules, other certificates, and files that are wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use client::{Options, ReasonCode};
use e2e::{Authority, Broker, Link, PATIENCE, Process, Setup, program, v5};

use super::{mosquitto, publish};

const DONE: &str = "SIGHUP: reloaded";

/// Sends the signal and waits until one more line says that it was done.
pub fn reload(broker: &Broker) {
    let count = || broker.process.lines().iter().filter(|line| line.contains(DONE)).count();
    let before = count();
    broker.process.signal(libc::SIGHUP);
    let deadline = Instant::now() + PATIENCE;
    while count() == before {
        assert!(Instant::now() < deadline, "nothing was reloaded\n{}", broker.process.shown());
        // The line is the only sign of it.
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn users(folder: &Path, names: &[&str]) {
    let path = folder.join("users");
    let _ = fs::remove_file(&path);
    for (number, user) in names.iter().enumerate() {
        let mut command = program::command(program::iothub());
        command.arg("passwd").args((number == 0).then_some("-c")).arg("-b").arg(&path).args([user, "secret"]);
        Process::start("iothub passwd", &mut command).succeed();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What came of a publication: no way in, no right to it, or a message for whoever wants it.
#[derive(Debug, PartialEq)]
enum Sent {
    Refused,
    Denied,
    Taken,
}

/// All from one client id, so that what is let through comes in its order.
fn send(broker: &Broker, user: &str, topic: &str) -> Sent {
    let args = ["-i", "sender", "-V", "5", "-u", user, "-P", "secret", "-q", "1", "-t", topic, "-m", "m"];
    let publisher = publish(broker.port, &args);
    match (publisher.says("PUBACK"), publisher.says("Not authorized")) {
        (false, _) => Sent::Refused,
        (true, true) => Sent::Denied,
        (true, false) => Sent::Taken,
    }
}

#[test]
fn other_users_and_rules_count_at_once_and_wrong_files_change_nothing() {
    let setup = Setup::new("reload-users").shards(2);
    users(setup.folder(), &["anna", "carl"]);
    fs::write(setup.folder().join("acl"), "user anna\ntopic readwrite #\nuser bob\ntopic readwrite #\n")
        .unwrap();
    // The files wait for the signal.
    let text = "[server]\nwatch_files = false\n[access]\nacl_file = \"acl\"\n\
                [authentication]\npassword_file = \"users\"\nanonymous = \"never\"\n";
    let broker = setup.config(text).start();
    let args = [
        "-i", "stays", "-V", "5", "-u", "anna", "-P", "secret", "-t", "secret/#", "-t", "open/#", "-d", "-F",
        "got %t", "-C", "3", "-W", "20",
    ];
    let mut stays = Process::start("subscriber", &mut mosquitto("mosquitto_sub", broker.port, &args));
    stays.await_text("Subscribed (mid");
    let carl = Options { username: Some("carl".into()), password: Some("secret".into()), ..v5("leaves") };
    let mut leaves = Link::connect(broker.port, carl);
    assert_eq!(send(&broker, "anna", "open/1"), Sent::Taken);
    assert_eq!(send(&broker, "bob", "open/no"), Sent::Refused);

    fs::write(broker.folder().join("acl"), "nonsense in a line\n").unwrap();
    broker.process.signal(libc::SIGHUP);
    broker.process.await_text("SIGHUP: nothing is changed: acl");
    assert_eq!(send(&broker, "anna", "secret/1"), Sent::Taken);
    stays.await_text("got secret/1");

    users(broker.folder(), &["anna", "bob"]);
    fs::write(broker.folder().join("acl"), "user bob\ntopic readwrite #\nuser anna\ntopic read open/#\n")
        .unwrap();
    reload(&broker);
    assert_eq!(leaves.ended_by_server(), ReasonCode::NotAuthorized, "who is in no file any more");
    assert_eq!(send(&broker, "anna", "open/no"), Sent::Denied);
    // Who is still known goes on, with what it may still have.
    assert_eq!(send(&broker, "bob", "secret/2"), Sent::Taken);
    assert_eq!(send(&broker, "bob", "open/2"), Sent::Taken);
    stays.succeed();
    let got: Vec<String> = stays.out_lines().into_iter().filter(|line| line.starts_with("got")).collect();
    assert_eq!(got, ["got open/1", "got secret/1", "got open/2"]);
    assert_eq!(connects(&stays), 1, "nobody cuts it off\n{}", stays.shown());
}

/// How often a tool of mosquitto has connected.
fn connects(process: &Process) -> usize {
    process.lines().iter().filter(|line| line.contains("sending CONNECT")).count()
}

#[test]
fn a_password_file_may_get_another_name() {
    let setup = Setup::new("reload-renamed").shards(2);
    users(setup.folder(), &["anna"]);
    let text = |file: &str| format!("[authentication]\npassword_file = \"{file}\"\nanonymous = \"never\"\n");
    let broker = setup.config(&text("users")).start();
    let args =
        ["-i", "stays", "-V", "5", "-u", "anna", "-P", "secret", "-t", "t", "-d", "-F", "got %p", "-W", "20"];
    let mut stays = Process::start("subscriber", &mut mosquitto("mosquitto_sub", broker.port, &args));
    stays.await_text("Subscribed (mid");
    fs::rename(broker.folder().join("users"), broker.folder().join("people")).unwrap();
    fs::write(broker.folder().join("iothub.toml"), text("people")).unwrap();
    reload(&broker);
    let sent = ["-V", "5", "-u", "anna", "-P", "secret", "-q", "1", "-t", "t", "-m", "still"];
    assert!(publish(broker.port, &sent).says("PUBACK"));
    stays.await_text("got still");
    assert_eq!(broker.counter("grants_ended"), 0);

    // Who came in by the first name is still known by the second.
    users(broker.folder(), &["bob"]);
    fs::rename(broker.folder().join("users"), broker.folder().join("people")).unwrap();
    reload(&broker);
    stays.wait();
    assert_eq!(broker.counter("grants_ended"), 1);
}

#[test]
fn a_renewed_certificate_is_shown_and_nobody_is_cut_off() {
    let setup = Setup::bare("reload-certificate").shards(2);
    let authority = Authority::new(setup.folder());
    authority.issue("broker.example");
    let text = "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
                [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n";
    let broker = setup.config(text).start();
    let port: u16 = broker.process.await_line("where it listens", |line| {
        let (_, rest) = line.split_once("tls://127.0.0.1:")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    });
    let old_ca = broker.folder().join("old-ca.pem");
    fs::copy(authority.file(), &old_ca).unwrap();
    let sent = |ca: &Path| {
        let ca = ca.display().to_string();
        publish(port, &["-q", "1", "-t", "t", "-m", "m", "--cafile", &ca]).says("PUBACK")
    };
    assert!(sent(&old_ca));
    let args = ["--cafile", &old_ca.display().to_string(), "-t", "t", "-d", "-C", "1", "-W", "20"];
    let mut stays = Process::start("subscriber", &mut mosquitto("mosquitto_sub", port, &args));
    stays.await_text("Subscribed (mid");

    let renewed = Authority::new(broker.folder());
    renewed.issue("broker.example");
    reload(&broker);
    assert!(!sent(&old_ca), "the certificate of the authority before is not shown any more");
    assert!(sent(&renewed.file()));
    stays.succeed();

    fs::write(broker.folder().join("broker.example.pem"), "").unwrap();
    broker.process.signal(libc::SIGHUP);
    broker.process.await_text("SIGHUP: nothing is changed");
    assert!(sent(&renewed.file()), "a file that cannot be used changes nothing");
}

//! SIGHUP: other users, other rules, other certificates, and files that are wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Authority, Broker, PATIENCE, Process, Setup, program};

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

fn users(folder: &Path, user: &str) {
    let path = folder.join("users");
    let mut command = program::command(program::iothub());
    Process::start("iothub passwd", command.args(["passwd", "-c", "-b"]).arg(&path).args([user, "secret"]))
        .succeed();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn other_users_and_rules_count_at_once_and_wrong_files_change_nothing() {
    let setup = Setup::new("reload-users").shards(2);
    users(setup.folder(), "anna");
    fs::write(setup.folder().join("acl"), "user anna\ntopic readwrite #\nuser bob\ntopic readwrite #\n")
        .unwrap();
    let broker = setup
        .config("[authentication]\npassword_file = \"users\"\nanonymous = \"never\"\n[access]\nacl_file = \"acl\"\n")
        .start();
    let sent = |user: &str, topic: &str| {
        publish(broker.port, &["-V", "5", "-u", user, "-P", "secret", "-q", "1", "-t", topic, "-m", "m"])
    };
    let args = [
        "-i", "stays", "-V", "5", "-u", "anna", "-P", "secret", "-t", "secret/#", "-t", "open/#", "-d", "-F",
        "got %t", "-C", "2", "-W", "20",
    ];
    let mut stays = Process::start("subscriber", &mut mosquitto("mosquitto_sub", broker.port, &args));
    stays.await_text("Subscribed (mid");
    assert!(sent("anna", "open/1").says("PUBACK") && !sent("bob", "open/1").says("PUBACK"));

    fs::write(broker.folder().join("acl"), "nonsense in a line\n").unwrap();
    broker.process.signal(libc::SIGHUP);
    broker.process.await_text("SIGHUP: nothing is changed: acl");
    assert!(sent("anna", "secret/1").says("PUBACK") && !sent("anna", "secret/1").says("Not authorized"));
    stays.await_text("got secret/1");

    users(broker.folder(), "bob");
    fs::write(broker.folder().join("acl"), "user bob\ntopic readwrite #\nuser anna\ntopic read open/#\n")
        .unwrap();
    reload(&broker);
    assert!(!sent("anna", "open/1").says("PUBACK") && sent("bob", "secret/1").says("PUBACK"));
    // Who was connected goes on, with what it may still have.
    assert!(sent("bob", "open/2").says("PUBACK"));
    stays.succeed();
    let got: Vec<String> = stays.out_lines().into_iter().filter(|line| line.starts_with("got")).collect();
    assert!(!got.contains(&"got secret/1 again".to_owned()) && got.len() == 2, "{got:?}");
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

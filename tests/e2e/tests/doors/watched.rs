//! Files that are read again when they have changed, without anybody asking for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use client::{Options, QoS, ReasonCode, Target, Tls, TlsOptions};
use e2e::{Authority, Broker, Link, PATIENCE, Setup, broker::free_port, program, v5};

use super::publish;

fn tls_port(broker: &Broker) -> u16 {
    broker.process.await_line("where it listens", |line| {
        let (_, rest) = line.split_once("tls://127.0.0.1:")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}

fn await_that(broker: &Broker, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}\n{}", broker.process.shown());
        // What another process reads has no event here.
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sent(port: u16, ca: &Path) -> bool {
    publish(port, &["-q", "1", "-t", "t", "-m", "m", "--cafile", &ca.display().to_string()]).says("PUBACK")
}

/// A version of a mounted secret, as Kubernetes lays it out.
fn issue(mount: &Path, version: &str) -> Authority {
    let folder = mount.join(version);
    fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new(&folder);
    authority.issue("broker.example");
    symlink(version, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    authority
}

#[test]
fn a_mounted_secret_that_is_swapped_is_taken() {
    let setup = Setup::bare("watched-data").shards(2);
    let mount = setup.folder().join("tls");
    let first = issue(&mount, "..1");
    for name in ["broker.example.pem", "broker.example.key"] {
        symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
    }
    let text = "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
                [tls]\ncertificate_files = [\"tls/broker.example.pem\"]\nkey_files = [\"tls/broker.example.key\"]\n";
    let broker = setup.config(text).start();
    let port = tls_port(&broker);
    assert!(sent(port, &first.file()));
    let second = issue(&mount, "..2");
    await_that(&broker, "the other certificate is shown", || sent(port, &second.file()));
    assert!(!sent(port, &first.file()));
    assert!(broker.process.says("files have changed: certificate tls/broker.example.pem has changed: "));
}

#[test]
fn half_of_a_pair_is_refused_once_and_taken_when_it_is_whole() {
    let setup = Setup::bare("watched-half");
    let first = Authority::new(setup.folder());
    first.issue("broker.example");
    let text = "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
                [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n";
    let broker = setup.config(text).start();
    let port = tls_port(&broker);
    let kept = broker.folder().join("kept.pem");
    fs::copy(first.file(), &kept).unwrap();
    let elsewhere = broker.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let second = Authority::new(&elsewhere);
    second.issue("broker.example");
    let bring = |name: &str| fs::rename(elsewhere.join(name), broker.folder().join(name)).unwrap();
    bring("broker.example.pem");
    broker
        .process
        .await_text("tls.key_files = [\"broker.example.key\"]: broker.example.key is not the key of");
    assert!(sent(port, &kept));
    bring("broker.example.key");
    await_that(&broker, "the other certificate is shown", || sent(port, &second.file()));
    let refusals = broker.process.lines().iter().filter(|line| line.contains("nothing is changed")).count();
    assert_eq!(refusals, 1, "{}", broker.process.shown());
}

#[test]
fn a_user_who_is_added_comes_in_without_a_restart_and_one_who_is_deleted_does_not() {
    let setup = Setup::new("watched-users").shards(2);
    let path = setup.folder().join("users.jsonl");
    let user = |args: &[&str]| {
        let typed = path.with_file_name("typed");
        fs::write(&typed, "secret\n").unwrap();
        let mut command = program::command(program::iothub());
        command.arg("user").args(args).stdin(fs::File::open(typed).unwrap());
        assert!(command.status().unwrap().success(), "{args:?}");
    };
    let file = path.display().to_string();
    user(&["add", "-c", &file, "anna"]);
    let broker =
        setup.config("[authentication]\nuser_database = \"users.jsonl\"\nanonymous = \"never\"\n").start();
    let is_in = |name: &str| {
        publish(broker.port, &["-u", name, "-P", "secret", "-q", "1", "-t", "t", "-m", "m"]).says("PUBACK")
    };
    assert!(is_in("anna") && !is_in("bob"));
    user(&["add", &file, "bob"]);
    broker.process.await_text("user database users.jsonl has changed: 2 users (before: 1 user)");
    // Who failed has to wait for the next attempt.
    await_that(&broker, "the user comes in", || is_in("bob"));
    let options = Options { username: Some("anna".into()), password: Some("secret".into()), ..v5("stays") };
    let mut link = Link::connect(broker.port, options);
    user(&["delete", &file, "anna"]);
    broker.process.await_text("user database users.jsonl has changed: 1 user (before: 2 users)");
    assert_eq!(link.ended_by_server(), ReasonCode::NotAuthorized);
    assert!(!is_in("anna"));
    fs::write(&path, "nonsense\n").unwrap();
    broker.process.await_text("files have changed: nothing is changed: users.jsonl:1");
    await_that(&broker, "the users of before stay", || is_in("bob"));
}

#[test]
fn the_configuration_itself_is_taken_where_it_is_watched() {
    let (first, second) = (free_port(), free_port());
    let text = |ports: &[u16]| {
        let addresses: Vec<String> = ports.iter().map(|port| format!("tcp://127.0.0.1:{port}")).collect();
        format!("[server]\nwatch_config = true\nlisten_addresses = {addresses:?}\n")
    };
    let broker = Setup::bare("watched-config").config(&text(&[first])).start();
    fs::write(broker.folder().join("iothub.toml"), text(&[first, second])).unwrap();
    await_that(&broker, "the other listener is there", || {
        std::net::TcpStream::connect(("127.0.0.1", second)).is_ok()
    });
}

#[test]
fn authorities_and_revocations_are_taken_when_their_files_change_and_nobody_else_is_cut_off() {
    let setup = Setup::bare("watched-clients").shards(2);
    let authority = Authority::new(setup.folder());
    ["broker.example", "stays", "revoked"].into_iter().for_each(|name| authority.issue(name));
    authority.revoke(&[]);
    let elsewhere =
        Authority::named(&program::fresh_folder("watched-clients-elsewhere"), "Authority of elsewhere");
    elsewhere.issue("stranger");
    fs::copy(authority.file(), setup.folder().join("clients.pem")).unwrap();
    let text = "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
                [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
                client_certificates = \"required\"\nclient_ca_file = \"clients.pem\"\nclient_crl_file = \"crl.pem\"\n";
    let broker = setup.config(text).start();
    let ca = authority.file();
    let target = |authority: &Authority, name: &str| {
        let identity = [".pem", ".key"].map(|end| authority.path(&format!("{name}{end}")));
        let identity = Some(identity.into());
        let options = TlsOptions { ca_file: Some(ca.clone()), identity, ..TlsOptions::default() };
        Target { tls: Some(Tls::new(&options).unwrap()), ..Target::new("127.0.0.1", tls_port(&broker)) }
    };
    let comes = |authority: &Authority, name: &str| Link::reach(target(authority, name), v5(name)).is_ok();
    let mut stays = Link::reach(target(&authority, "stays"), v5("watcher")).unwrap();
    assert!(comes(&authority, "revoked") && !comes(&elsewhere, "stranger"));

    authority.revoke(&["revoked"]);
    await_that(&broker, "the revocation counts", || !comes(&authority, "revoked"));
    assert!(comes(&authority, "stays") && !comes(&elsewhere, "stranger"));

    let both = [authority.file(), elsewhere.file()].map(|file| fs::read_to_string(file).unwrap());
    fs::write(broker.folder().join("clients.pem"), both.concat()).unwrap();
    await_that(&broker, "the other authority counts", || comes(&elsewhere, "stranger"));
    assert!(comes(&authority, "stays") && !comes(&authority, "revoked"));
    stays.subscribe("still", QoS::AtLeastOnce);
    stays.publish("still", "here", QoS::AtLeastOnce);
    assert_eq!(stays.text(), "here", "the session goes on");
}

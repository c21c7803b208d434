//! Who is let in: files that mosquitto's own tool makes, certificates, nobody in particular, and those who try too often.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use client::Options;
use e2e::{Authority, Broker, Link, Process, Setup, program, v5};
use rcgen::{KeyPair, SanType};

use super::publish;

/// A password file by the tool of mosquitto, in each format that it knows.
fn password_file(folder: &Path, users: &[(&str, &str)]) {
    let path = folder.join("users");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for (user, password) in users {
        let mut command = program::command(program::installed("mosquitto_passwd"));
        Process::start("mosquitto_passwd", command.arg("-b").arg(&path).args([user, password])).succeed();
    }
}

fn asking(name: &str, more: &str) -> (Setup, Broker) {
    let setup = Setup::new(name).shards(2);
    password_file(setup.folder(), &[("anna", "geheim"), ("bob", "s p a c e")]);
    let text = format!("[authentication]\npassword_file = \"users\"\n{more}");
    let broker = setup.config(&text).start();
    (Setup::new(&format!("{name}-more")), broker)
}

#[test]
fn a_password_file_of_mosquitto_lets_in_those_who_are_in_it() {
    let (_, broker) = asking("identity-passwords", "anonymous = \"never\"\n");
    for version in ["31", "311", "5"] {
        for (login, refused) in [
            (&["-u", "anna", "-P", "geheim"][..], None),
            (&["-u", "bob", "-P", "s p a c e"], None),
            (&["-u", "anna", "-P", "falsch"], Some("user name or password")),
            (&["-u", "nobody", "-P", "geheim"], Some("user name or password")),
            (&["-u", "anna"], Some("")),
            (&[], Some("uthori")),
        ] {
            let args = [&["-V", version, "-q", "1", "-t", "t", "-m", "m"], login].concat();
            let publisher = publish(broker.port, &args);
            let shown = publisher.shown();
            match refused {
                None => assert!(publisher.says("PUBACK"), "{version} {login:?}\n{shown}"),
                Some(_) => assert!(!publisher.says("PUBACK"), "{version} {login:?}\n{shown}"),
            }
        }
    }
    broker.process.await_text("why=\"the password is wrong\"");
    assert!(!broker.process.says("geheim"), "a password is never logged");
}

#[test]
fn clients_on_this_machine_need_no_name_unless_the_configuration_says_so() {
    let (_, open) = asking("identity-local", "");
    assert!(publish(open.port, &["-q", "1", "-t", "t", "-m", "m"]).says("PUBACK"));
    let (_, closed) = asking("identity-never", "anonymous = \"never\"\n");
    assert!(!publish(closed.port, &["-q", "1", "-t", "t", "-m", "m"]).says("PUBACK"));
}

#[test]
fn a_certificate_is_a_user_and_rules_know_it() {
    let setup = Setup::bare("identity-certificate").shards(2);
    let authority = Authority::new(setup.folder());
    for name in ["broker.example", "sensor-7", "sensor-8"] {
        authority.issue(name);
    }
    fs::write(setup.folder().join("acl"), "user sensor-7\ntopic write plant/#\n").unwrap();
    let text = "[server]\nlisten_addresses = [\"tls://127.0.0.1:0\"]\n\
                [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
                client_certificates = \"required\"\nclient_ca_file = \"ca.pem\"\n\
                [authentication]\ncertificate_user = \"common_name\"\nanonymous = \"never\"\n\
                [access]\nacl_file = \"acl\"\n";
    let process = setup.config(text).spawn();
    let port: u16 = process.await_line("where it listens", |line| {
        let (_, rest) = line.split_once("tls://127.0.0.1:")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    });
    let folder = authority.file().parent().unwrap().to_owned();
    let path = |name: &str| folder.join(name).display().to_string();
    let (ca, wanted) = (path("ca.pem"), ["-V", "5", "-q", "1", "-t", "plant/1", "-m", "m"]);
    let with = |name: &str| {
        let (certificate, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
        publish(port, &[&wanted[..], &["--cafile", &ca, "--cert", &certificate, "--key", &key]].concat())
    };
    let known = with("sensor-7");
    assert!(known.says("PUBACK") && !known.says("Not authorized"), "{}", known.shown());
    let other = with("sensor-8");
    assert!(other.says("Not authorized"), "{}", other.shown());
    let without = publish(port, &[&wanted[..], &["--cafile", &ca]].concat());
    assert!(!without.says("PUBACK"), "{}", without.shown());
}

#[test]
fn who_fails_again_and_again_has_to_wait_and_others_do_not() {
    let (_, broker) = asking("identity-guessing", "anonymous = \"never\"\n");
    for _ in 0..8 {
        publish(
            broker.port,
            &["-V", "5", "-i", "guesser", "-u", "anna", "-P", "guess", "-t", "t", "-m", "m"],
        );
    }
    broker.process.await_text("too many failed attempts");
    let other =
        publish(broker.port, &["-V", "5", "-u", "bob", "-P", "s p a c e", "-q", "1", "-t", "t", "-m", "m"]);
    assert!(other.says("PUBACK"), "{}", other.shown());
}

#[test]
fn a_file_of_users_that_others_can_read_is_refused_with_its_remedy() {
    let setup = Setup::new("identity-readable");
    password_file(setup.folder(), &[("anna", "geheim")]);
    fs::set_permissions(setup.folder().join("users"), fs::Permissions::from_mode(0o644)).unwrap();
    let ended = setup.config("[authentication]\npassword_file = \"users\"\n").run();
    assert_eq!(ended.code, Some(1));
    let said = ended.errors.concat() + &ended.out.concat();
    assert!(said.contains("chmod o= users"), "{said}");
}

#[test]
fn users_of_the_database_are_let_in_unless_they_are_disabled() {
    let setup = Setup::new("identity-database").shards(2);
    let file = setup.folder().join("users.jsonl");
    let user = |words: &[&str], password: &str| {
        let typed = setup.folder().join("typed");
        fs::write(&typed, password).unwrap();
        let mut command = program::command(program::iothub());
        let (verb, rest) = words.split_first().unwrap();
        command.args(["user", verb]).arg(&file).args(rest).stdin(fs::File::open(typed).unwrap());
        assert!(command.status().unwrap().success(), "{words:?}");
    };
    user(&["add", "-c", "anna"], "geheim\n");
    user(&["add", "bob"], "s p a c e\n");
    user(&["set", "bob", "--disable"], "");
    let text = "[authentication]\nuser_database = \"users.jsonl\"\nanonymous = \"never\"\n";
    let broker = setup.config(text).start();
    let is_in = |user: &str, password: &str| {
        let login = ["-V", "5", "-q", "1", "-t", "t", "-m", "m", "-u", user, "-P", password];
        publish(broker.port, &login).says("PUBACK")
    };
    assert!(is_in("anna", "geheim"));
    for (user, password) in [("anna", "falsch"), ("bob", "s p a c e"), ("nobody", "geheim")] {
        assert!(!is_in(user, password), "{user}");
    }
    broker.process.await_text("why=\"the user is disabled\"");
}

#[test]
fn a_program_that_hangs_keeps_nobody_out_whom_a_file_knows() {
    // It is connected to, and never says anything: what it is asked waits in its socket.
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", hangs.local_addr().unwrap());
    let more = format!("http_url = \"{url}\"\nhttp_timeout_secs = 60\nanonymous = \"never\"\nthreads = 1\n");
    let (_, broker) = asking("identity-hangs", &more);
    let login = |client_id: &str, user: &str| Options {
        username: Some(user.into()),
        password: Some("geheim".into()),
        ..v5(client_id)
    };
    for number in 0..20 {
        let (port, name) = (broker.port, format!("stranger-{number}"));
        let options = login(&name, &name);
        // It gets its answer when the broker ends, if at all.
        thread::spawn(move || drop(Link::try_connect(port, options)));
    }
    broker.await_counter("authentications_asked", 20);
    // Longer than the program has to answer would be as bad as never.
    let begun = Instant::now();
    Link::connect(broker.port, login("anna", "anna")).close();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_certificate_names_its_user_by_whichever_part_is_configured() {
    let setup = Setup::bare("identity-parts");
    let authority = Authority::new(setup.folder());
    authority.issue("broker.example");
    authority.issue_as("common", KeyPair::generate().unwrap(), |params| {
        params.subject_alt_names = vec![SanType::DnsName("alternative.example".try_into().unwrap())];
    });
    let path = |name: &str| authority.path(name).display().to_string();
    let mut digest = program::command(program::installed("openssl"));
    digest.args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &path("common.pem")]);
    let mut digest = Process::start("openssl", &mut digest);
    digest.succeed();
    let fingerprint = digest.out_lines()[0].split('=').nth(1).unwrap().replace(':', "").to_lowercase();
    for (part, user) in [
        ("common_name", "common"),
        ("alternative_name", "alternative.example"),
        ("fingerprint", &fingerprint),
    ] {
        let [ca, certificate, key] = ["ca.pem", "broker.example.pem", "broker.example.key"].map(&path);
        let text = format!(
            "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
             [tls]\ncertificate_files = [{certificate:?}]\nkey_files = [{key:?}]\n\
             client_certificates = \"required\"\nclient_ca_file = {ca:?}\n\
             [authentication]\ncertificate_user = \"{part}\"\nanonymous = \"never\"\n"
        );
        let broker = Setup::bare("identity-part").shards(1).config(&text).start();
        let (own, key) = (path("common.pem"), path("common.key"));
        let args =
            ["-V", "5", "-q", "1", "-t", "t", "-m", "m", "--cafile", &ca, "--cert", &own, "--key", &key];
        assert!(publish(broker.port_of("tls"), &args).says("PUBACK"), "{part}\n{}", broker.process.shown());
        broker.process.await_text(&format!("user=\"{user}\""));
    }
}

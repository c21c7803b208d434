//! Clients that prove what they know in AUTH packets, and prove it once more while they are connected.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use client::{Disconnection, Error, Event, Options, QoS, ReasonCode, Target};
use e2e::scram::{Mechanism, Scram};
use e2e::token::{Issuer, claims};
use e2e::{Broker, Link, Setup, program, v5};

use super::reload::reload;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// A broker with keys of SCRAM for anna and ben, by either mechanism, and with the secret of tokens.
fn proving(name: &str) -> Broker {
    proving_with(Setup::new(name).shards(2))
}

fn proving_with(setup: Setup) -> Broker {
    let file = setup.folder().join("keys");
    for (number, (user, mechanism)) in ["anna", "ben"]
        .into_iter()
        .flat_map(|user| Mechanism::ALL.map(|mechanism| (user, mechanism)))
        .enumerate()
    {
        let mut command = program::command(program::iothub());
        command
            .arg("scram")
            .args((number == 0).then_some("-c"))
            .args(["-b", "-H", hash(mechanism)])
            .arg(&file);
        assert!(command.args([user, &format!("password of {user}")]).status().unwrap().success());
    }
    let secret = setup.folder().join("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let text = "[authentication]\nscram_file = \"keys\"\njwt_keys = \"secret\"\nanonymous = \"never\"\n";
    setup.config(text).start()
}

/// As the command line calls it.
fn hash(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Sha256 => "sha256",
        Mechanism::Sha512 => "sha512",
    }
}

fn by(method: &str, client_id: &str, data: Vec<u8>) -> Options {
    Options {
        authentication_method: Some(method.to_owned()),
        authentication_data: Some(data),
        ..v5(client_id)
    }
}

/// A client that proves its password, and has seen the server prove that it knows it.
fn prove(broker: &Broker, mechanism: Mechanism, user: &str, password: &str) -> Result<Link, ReasonCode> {
    let mut scram = Scram::new(mechanism, user, password);
    let options = by(mechanism.name(), user, scram.first());
    match Link::prove(Target::new("127.0.0.1", broker.port), options, |said| scram.answer(said)) {
        Ok((link, last)) => {
            assert!(scram.is_proved_by(&last), "{last:?}");
            Ok(link)
        }
        Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

/// What the DISCONNECT says.
#[track_caller]
fn reason_of(ended: Result<Vec<u8>, Disconnection>) -> ReasonCode {
    match ended {
        Err(Disconnection::Ended { reason, .. }) => reason,
        other => panic!("a DISCONNECT was to come, not {other:?}"),
    }
}

#[test]
fn a_password_is_proved_by_scram_and_nothing_else_comes_in() {
    let broker = proving("proved-scram");
    for mechanism in Mechanism::ALL {
        for user in ["anna", "ben"] {
            let mut link = prove(&broker, mechanism, user, &format!("password of {user}")).unwrap();
            link.subscribe("own", QoS::AtLeastOnce);
            link.publish("own", user, QoS::AtLeastOnce);
            assert_eq!(link.text(), user);
            link.close();
        }
    }
    let refused = |user: &str, password: &str| prove(&broker, Mechanism::Sha256, user, password).err();
    assert_eq!(refused("anna", "password of ben"), Some(ReasonCode::NotAuthorized));
    assert_eq!(refused("nobody", "password of ben"), Some(ReasonCode::NotAuthorized));
    for user in ["anna", "nobody"] {
        broker.process.await_line("who is refused is named", |line| {
            (line.contains("refused") && line.contains(&format!("user_name={user:?}"))).then_some(())
        });
    }
    // The right password, where it is sent and not proved.
    let plain =
        Options { username: Some("anna".into()), password: Some("password of anna".into()), ..v5("plain") };
    assert!(Link::try_connect(broker.port, plain).is_err());
    let method = by("SCRAM-SHA-1", "other", Scram::new(Mechanism::Sha256, "anna", "").first());
    match Link::prove(Target::new("127.0.0.1", broker.port), method, |_| Vec::new()) {
        Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => {
            assert_eq!(reason, ReasonCode::BadAuthenticationMethod);
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert!(!broker.process.says("password of"), "a password is never logged");
}

#[test]
fn a_client_proves_its_password_once_more_and_its_messages_go_on() {
    let broker = proving("proved-again");
    for mechanism in Mechanism::ALL {
        let mut link = prove(&broker, mechanism, "anna", "password of anna").unwrap();
        link.subscribe("own", QoS::AtLeastOnce);
        for number in 0..3 {
            let mut scram = Scram::new(mechanism, "anna", "password of anna");
            let last = link.prove_again(&scram.first(), |said| scram.answer(said)).unwrap();
            assert!(scram.is_proved_by(&last));
            link.publish("own", number.to_string(), QoS::AtLeastOnce);
            assert_eq!(link.text(), number.to_string());
        }
    }
    assert_eq!(broker.counter("grants_renewed"), 6);
}

#[test]
fn who_cannot_prove_it_once_more_is_disconnected() {
    let broker = proving("proved-wrong");
    let other = |user: &str, password: &str| {
        let mut link = prove(&broker, Mechanism::Sha512, "anna", "password of anna").unwrap();
        let mut scram = Scram::new(Mechanism::Sha512, user, password);
        reason_of(link.prove_again(&scram.first(), |said| scram.answer(said)))
    };
    assert_eq!(other("anna", "another"), ReasonCode::NotAuthorized);
    // The session is anna's, whatever ben can prove.
    assert_eq!(other("ben", "password of ben"), ReasonCode::NotAuthorized);
    // An AUTH of somebody who has named no method.
    let token = Issuer::Hs256(SECRET.to_vec()).sign(&claims("carl", 600));
    let login = Options { username: Some("carl".into()), password: Some(token.into()), ..v5("carl") };
    let mut link = Link::connect(broker.port, login);
    let first = Scram::new(Mechanism::Sha512, "anna", "password of anna").first();
    assert_eq!(reason_of(link.prove_again(&first, |_| Vec::new())), ReasonCode::ProtocolError);
    assert_eq!(broker.counter("grants_renewed"), 0);
}

#[test]
fn a_connection_ends_with_its_token_unless_that_is_renewed() {
    let broker = proving("proved-token");
    let issuer = Issuer::Hs256(SECRET.to_vec());
    let token = issuer.sign(&claims("anna", 2)).into_bytes();
    let connect = |client_id: &str| {
        let target = Target::new("127.0.0.1", broker.port);
        Link::prove(target, by("JWT", client_id, token.clone()), |_| Vec::new()).unwrap().0
    };
    let (mut ends, mut goes_on, mut is_another) = (connect("ends"), connect("goes-on"), connect("another"));
    goes_on.subscribe("own", QoS::AtLeastOnce);
    goes_on.prove_again(issuer.sign(&claims("anna", 600)).as_bytes(), |_| Vec::new()).unwrap();
    let ben = issuer.sign(&claims("ben", 600));
    let ended = is_another.prove_again(ben.as_bytes(), |_| Vec::new());
    assert_eq!(reason_of(ended), ReasonCode::NotAuthorized);

    let deadline = Instant::now() + TOKEN_PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ends.driver.next_event(left).unwrap() {
            Some(Event::Disconnected { reason: Disconnection::Ended { reason, .. }, .. }) => {
                break assert_eq!(reason, ReasonCode::NotAuthorized);
            }
            Some(_) => {}
            None => panic!("the token has ended and its client has not\n{}", broker.process.shown()),
        }
    }
    assert_eq!(broker.counter("grants_ended"), 1);
    goes_on.publish("own", "still there", QoS::AtLeastOnce);
    assert_eq!(goes_on.text(), "still there");
    let over = Link::prove(Target::new("127.0.0.1", broker.port), by("JWT", "late", token), |_| Vec::new());
    assert!(over.is_err(), "the token is over");
}

/// Clocks may differ by half a minute before a token is over.
const TOKEN_PATIENCE: Duration = Duration::from_secs(50);

/// What the server says first to somebody who is in no file.
fn salt_of_nobody(broker: &Broker) -> String {
    let scram = Scram::new(Mechanism::Sha256, "nobody", "");
    let options = by("SCRAM-SHA-256", "nobody", scram.first());
    let mut salt = None;
    let target = Target::new("127.0.0.1", broker.port);
    let refused = Link::prove(target, options, |said| {
        let text = String::from_utf8(said.to_vec()).unwrap();
        salt = text.split(',').find_map(|part| part.strip_prefix("s=")).map(str::to_owned);
        b"nonsense".to_vec()
    });
    assert!(refused.is_err());
    salt.unwrap()
}

#[test]
fn the_salt_of_an_unknown_user_is_the_same_over_a_restart_and_elsewhere_another() {
    let data = program::fresh_folder("proved-salts-data");
    let start = |name: &str| {
        proving_with(Setup::new(name).shards(1).args([OsStr::new("--data-dir"), data.as_os_str()]))
    };
    let broker = start("proved-salts-1");
    let first = salt_of_nobody(&broker);
    assert_eq!(salt_of_nobody(&broker), first);
    broker.end(libc::SIGTERM);
    let broker = start("proved-salts-2");
    assert_eq!(salt_of_nobody(&broker), first);
    drop(broker);
    // On the same machine.
    let others = ["proved-salts-3", "proved-salts-4"].map(|name| salt_of_nobody(&proving(name)));
    assert!(others[0] != first && others[1] != first && others[0] != others[1], "{others:?}");
    fs::remove_dir_all(data).unwrap();
}

#[test]
fn a_proof_over_a_reload_is_judged_by_the_users_after_it() {
    for (user, is_in) in [("anna", false), ("ben", true)] {
        let broker = proving(&format!("proved-reload-{user}"));
        let password = format!("password of {user}");
        let mut scram = Scram::new(Mechanism::Sha256, user, &password);
        let options = by("SCRAM-SHA-256", user, scram.first());
        let proved = Link::prove(Target::new("127.0.0.1", broker.port), options, |said| {
            // Meanwhile anna has another password.
            let file = broker.folder().join("keys");
            let mut command = program::command(program::iothub());
            command.args(["scram", "-b", "-H", "sha256"]).arg(file).args(["anna", "another"]);
            assert!(command.status().unwrap().success());
            reload(&broker);
            scram.answer(said)
        });
        match proved {
            Ok(_) => assert!(is_in, "{user} has come in with what is no password any more"),
            Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => {
                assert!(!is_in && reason == ReasonCode::NotAuthorized, "{user}: {reason:?}");
            }
            Err(other) => panic!("{other}"),
        }
        assert!(prove(&broker, Mechanism::Sha256, "ben", "password of ben").is_ok());
    }
}

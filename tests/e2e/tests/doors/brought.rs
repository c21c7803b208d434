//! Rules that clients bring: in the claims of a signed token, and in what a program answers that is asked about them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use e2e::site::Site;
use e2e::token::{Issuer, claims};
use e2e::{Broker, Setup};
use serde_json::{Value, json};

use super::publish;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn token(user: &str, permissions: &Value) -> String {
    let mut claims = claims(user, 600);
    claims["permissions"] = permissions.clone();
    Issuer::Hs256(SECRET.to_vec()).sign(&claims)
}

fn asked(name: &str, authentication: &str) -> Broker {
    let setup = Setup::new(name).shards(2);
    let file = setup.folder().join("secret");
    fs::write(&file, SECRET).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let text =
        format!("[authentication]\nanonymous = \"never\"\n{authentication}\n[access]\ndefault = \"deny\"\n");
    setup.config(&text).start()
}

/// Whether a publication is let through. Everything else is a failure of the test.
#[track_caller]
fn may(broker: &Broker, login: [&str; 4], client_id: &str, topic: &str) -> bool {
    let args = ["-V", "5", "-q", "1", "-i", client_id, "-t", topic, "-m", "m"];
    let publisher = publish(broker.port, &[&args[..], &login].concat());
    assert!(publisher.says("PUBACK"), "{client_id} {topic}\n{}", publisher.shown());
    !publisher.says("Not authorized")
}

#[test]
fn the_claims_of_a_token_say_what_its_client_may() {
    let broker = asked("brought-token", "jwt_keys = \"secret\"");
    let rules = json!([{"allow": "publish", "topics": ["a/%c/#", "b/${user}"]}, {"deny": "write", "topics": "a/c1/x"}]);
    let anna = token("anna", &rules);
    let login = ["-u", "any", "-P", &anna];
    assert!(may(&broker, login, "c1", "a/c1/y") && may(&broker, login, "c1", "b/anna"));
    for topic in ["a/c2/y", "a/c1/x", "b/ben", "other"] {
        assert!(!may(&broker, login, "c1", topic), "{topic}");
    }
    assert!(may(&broker, login, "c2", "a/c2/y"), "the variable is the client's own");
    let without = token("anna", &Value::Null);
    assert!(!may(&broker, ["-u", "any", "-P", &without], "c1", "b/anna"));
    broker.process.await_text("deny write on a/c1/x (the token's claim `permissions`)");
}

#[test]
fn a_token_with_rules_that_nobody_understands_lets_nobody_in() {
    let broker = asked("brought-nonsense", "jwt_keys = \"secret\"");
    let token = token("anna", &json!([{"allow": "publish", "topics": "a", "denny": "b"}]));
    let publisher =
        publish(broker.port, &["-V", "5", "-q", "1", "-u", "any", "-P", &token, "-t", "a", "-m", "m"]);
    assert!(!publisher.says("PUBACK"), "{}", publisher.shown());
    broker.process.await_text("`denny` is unknown");
}

/// A program that lets everybody in, and lets the user publish to a topic of its own.
fn program() -> Site {
    Site::open(|_| {
        let rules =
            json!([{"allow": "readwrite", "topics": "of/${user}/#"}, {"deny": "retain", "topics": "#"}]);
        (200, json!({"result": "allow", "permissions": rules}).to_string())
    })
}

#[test]
fn the_answer_of_a_program_says_what_its_client_may() {
    let site = program();
    let broker = asked("brought-program", &format!("http_url = \"{}\"", site.url("/")));
    for (user, topic, is_allowed) in
        [("anna", "of/anna/x", true), ("anna", "of/ben/x", false), ("ben", "of/ben/x", true)]
    {
        assert_eq!(may(&broker, ["-u", user, "-P", "p"], "c", topic), is_allowed, "{user} {topic}");
    }
    broker.process.await_text("no rule about publish matches, and the default is to deny: access.default");
}

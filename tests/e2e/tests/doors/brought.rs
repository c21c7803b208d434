//! Rules that clients bring: in the claims of a signed token, and in what a program answers that is asked about them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use e2e::{Broker, Setup};
use serde_json::{Value, json};

use super::publish;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn token(user: &str, permissions: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"sub": user, "exp": now + 600, "permissions": permissions});
    let text = [json!({"alg": "HS256", "typ": "JWT"}), claims]
        .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    format!("{text}.{signature}")
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
    broker.process.await_text("deny write on a/c1/x (by the token's claim `permissions`)");
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
fn program() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut bytes = [0; 4096];
            // The question is one object, and the last that comes.
            while !request.ends_with(b"}") {
                match stream.read(&mut bytes) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => request.extend_from_slice(&bytes[..count]),
                }
            }
            let rules =
                json!([{"allow": "readwrite", "topics": "of/${user}/#"}, {"deny": "retain", "topics": "#"}]);
            let answer = json!({"result": "allow", "permissions": rules}).to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{answer}", answer.len());
        }
    });
    port
}

#[test]
fn the_answer_of_a_program_says_what_its_client_may() {
    let broker = asked("brought-program", &format!("http_url = \"http://127.0.0.1:{}/\"", program()));
    for (user, topic, is_allowed) in
        [("anna", "of/anna/x", true), ("anna", "of/ben/x", false), ("ben", "of/ben/x", true)]
    {
        assert_eq!(may(&broker, ["-u", user, "-P", "p"], "c", topic), is_allowed, "{user} {topic}");
    }
    broker.process.await_text("no rule matches, and the default is to deny");
}

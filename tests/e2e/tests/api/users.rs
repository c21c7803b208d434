//! The user database by way of the API: what is said there counts for clients at once.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use client::Options;
use e2e::api::Api;
use e2e::{Broker, Link, v5};
use serde_json::json;

use super::setup;

fn with_database(name: &str) -> (Broker, Api) {
    let setup = setup(name);
    fs::write(setup.folder().join("users"), "").unwrap();
    fs::set_permissions(setup.folder().join("users"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let config =
        "[authentication]\nanonymous = \"never\"\nuser_database = \"users\"\n[server]\nwatch_files = false\n";
    let broker = setup.config(config).start();
    let api = Api::of(&broker);
    (broker, api)
}

fn comes(broker: &Broker, user: &str, password: &str) -> bool {
    let (username, password) = (Some(user.to_owned()), Some(password.as_bytes().to_vec()));
    Link::try_connect(broker.port, Options { username, password, ..v5("someone") }).is_ok()
}

#[test]
fn users_are_added_changed_and_deleted_and_that_counts_at_once() {
    let (broker, api) = with_database("api-users");
    assert_eq!(api.get("/v1/users").expect(200)["users"], json!([]));
    let ada = json!({ "user": "ada", "password": "first", "scram": true, "groups": ["plant"], "roles": ["operator"] });
    let added = api.post("/v1/users", &ada).expect(201);
    let mut row = json!({
        "user": "ada", "has_password": true, "scram": ["SCRAM-SHA-256", "SCRAM-SHA-512"], "groups": ["plant"],
        "roles": ["operator"], "is_disabled": false,
    });
    assert_eq!(api.get("/v1/users/ada").expect(200), row);
    row["warnings"] = json!([]);
    assert_eq!(added, row);
    assert!(comes(&broker, "ada", "first") && !comes(&broker, "ada", "other"));
    assert_eq!(api.post("/v1/users", &ada).status, 409);
    let changed =
        api.ask("PATCH", "/v1/users/ada", Some(&json!({ "password": "second", "roles": [] }))).expect(200);
    assert_eq!(
        (&changed["groups"], &changed["roles"], &changed["scram"]),
        (&json!(["plant"]), &json!([]), &json!([]))
    );
    assert!(comes(&broker, "ada", "second") && !comes(&broker, "ada", "first"));
    api.ask("PATCH", "/v1/users/ada", Some(&json!({ "is_disabled": true }))).expect(200);
    assert!(!comes(&broker, "ada", "second"));
    assert_eq!(api.delete("/v1/users/ada").expect(200)["deleted"], "ada");
    assert_eq!((api.get("/v1/users/ada").status, api.delete("/v1/users/ada").status), (404, 404));
    let file = fs::read_to_string(broker.folder().join("users")).unwrap();
    assert_eq!(file, "");
}

#[test]
fn who_is_deleted_is_disconnected() {
    let (broker, api) = with_database("api-users-deleted");
    api.post("/v1/users", &json!({ "user": "ada", "password": "p" })).expect(201);
    let (username, password) = (Some("ada".to_owned()), Some(b"p".to_vec()));
    let mut link = Link::connect(broker.port, Options { username, password, ..v5("c") });
    api.delete("/v1/users/ada").expect(200);
    link.disconnection();
}

#[test]
fn a_crowd_that_asks_for_users_and_goes_keeps_nobody_from_changing_one() {
    let setup = setup("api-users-crowd");
    let users: String =
        (0..20_000).map(|n| format!("{{\"user\":\"u{n:05}\",\"groups\":[\"g{n}\"]}}\n")).collect();
    fs::write(setup.folder().join("users"), users).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(setup.folder().join("users"), mode).unwrap();
    let broker = setup.config("[authentication]\nuser_database = \"users\"\n").start();
    let api = Api::of(&broker);
    api.await_ready();
    let Api { port, token } = &api;
    let question = format!(
        "GET /v1/users?limit=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    for _ in 0..400 {
        let mut stream = TcpStream::connect(("127.0.0.1", *port)).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        // It is read before its end is.
        thread::sleep(Duration::from_millis(3));
    }
    let disabled = json!({ "is_disabled": true });
    let changed = api.ask("PATCH", "/v1/users/u00007", Some(&disabled)).expect(200);
    assert_eq!(changed["is_disabled"], true);
    broker.process.await_text("change_user u00007");
    // The list knows of it.
    assert_eq!(api.get("/v1/users/u00007").expect(200)["is_disabled"], true);
}

#[test]
fn what_is_wrong_with_a_user_is_told_and_nothing_secret_is() {
    let (broker, api) = with_database("api-users-wrong");
    for wrong in [
        json!({}),
        json!({ "user": "" }),
        json!({ "user": "a:b" }),
        json!({ "user": "a", "password": "" }),
        json!({ "user": "a", "scram": true }),
        json!({ "user": "a", "groups": [""] }),
        json!({ "user": "a", "rolls": ["x"] }),
    ] {
        assert_eq!(api.post("/v1/users", &wrong).status, 400, "{wrong}");
    }
    assert_eq!(api.ask("PATCH", "/v1/users/nobody", Some(&json!({ "is_disabled": true }))).status, 404);
    for number in 0..5 {
        api.post("/v1/users", &json!({ "user": format!("u{number}"), "groups": ["g"] })).expect(201);
    }
    let page = api.get("/v1/users?limit=3").expect(200);
    assert_eq!((page["users"].as_array().unwrap().len(), &page["cursor"]), (3, &json!("u2")));
    let rest = api.get("/v1/users?limit=3&cursor=u2").expect(200);
    assert_eq!((&rest["users"][0]["user"], &rest["cursor"]), (&json!("u3"), &json!(null)));
    api.post("/v1/users", &json!({ "user": "secretive", "password": "hunter2" })).expect(201);
    assert!(!api.get("/v1/users").text.contains("argon2") && !broker.process.says("hunter2"));
}

#[test]
fn rights_that_no_rule_knows_are_said_wherever_they_are_given() {
    let text = "[authentication]\nuser_database = \"users\"\n[access]\nrules_file = \"rules.toml\"\n\
                [server]\nwatch_files = false\n";
    let prepared = |name: &str| {
        let setup = setup(name);
        let user = "{\"user\":\"bob\",\"roles\":[\"operater\"]}\n";
        fs::write(setup.folder().join("users"), user).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(setup.folder().join("users"), mode).unwrap();
        fs::write(setup.folder().join("rules.toml"), "[roles.operator]\nrules = []\n").unwrap();
        setup.config(text)
    };
    let of_bob = "user `bob`: no rule knows the role `operater`";
    let ended = prepared("api-unknown-tested").args(["--test-config"]).run();
    assert!(ended.code == Some(0) && ended.out.concat().contains(of_bob), "{ended:?}");

    let broker = prepared("api-unknown").start();
    broker.process.await_text(of_bob);
    let api = Api::of(&broker);
    let ada = json!({ "user": "ada", "roles": ["operator"], "groups": ["plant"] });
    let added = api.post("/v1/users", &ada).expect(201);
    assert!(added["warnings"][0].as_str().unwrap().contains("no rule knows the group `plant`"), "{added}");
    broker.process.await_text("user `ada`: no rule knows the group `plant`");
    let changed = api.ask("PATCH", "/v1/users/ada", Some(&json!({ "groups": [] }))).expect(200);
    assert_eq!(changed["warnings"], json!([]));
    let told = broker.process.lines().iter().filter(|line| line.contains(of_bob)).count();
    assert_eq!(told, 1, "what was said at the start is not said with each change");
    assert!(api.ask("POST", "/v1/reload", Some(&json!({}))).expect(200).to_string().contains(of_bob));

    let mut command = e2e::program::command(e2e::program::iothub());
    let words = ["user", "set", "users", "bob", "--role", "operatr", "--config", "iothub.toml"];
    command.current_dir(broker.folder()).args(words);
    let mut process = e2e::Process::start("iothub user", &mut command);
    process.succeed();
    assert!(process.says("no rule knows the role `operatr`"), "{}", process.shown());
}

#[test]
fn the_roles_are_those_of_the_rules() {
    let setup = setup("api-roles");
    let rules = "[roles.reader]\nrules = [ { allow = \"read\", topics = \"#\" } ]\n\
                 [roles.writer]\nrules = [ { allow = \"readwrite\", topics = \"#\" } ]\n";
    fs::write(setup.folder().join("rules.toml"), rules).unwrap();
    let broker = setup.config("[access]\nrules_file = \"rules.toml\"\n").start();
    let api = Api::of(&broker);
    assert_eq!(api.get("/v1/roles").expect(200)["roles"], json!(["reader", "writer"]));
}

#[test]
fn a_broker_without_a_database_says_so() {
    let broker = setup("api-users-none").start();
    let answer = Api::of(&broker).get("/v1/users");
    assert!(answer.status == 409 && answer.text.contains("authentication.user_database"), "{answer:?}");
}

#[test]
fn a_user_of_any_name_is_found_by_its_path_or_refused_with_a_sentence() {
    let (broker, api) = with_database("api-users-names");
    for name in ["a/b", "100%", "%2F", "a b", "ä?ö#", "x&y=z", "a+b", "back\\slash", "...", "../x", "<b>\"'"]
    {
        api.post("/v1/users", &json!({ "user": name, "password": "first" })).expect(201);
        let path = format!("/v1/users/{}", encoded(name));
        assert_eq!(api.get(&path).expect(200)["user"], name);
        let change = json!({ "password": "second" });
        assert_eq!(api.ask("PATCH", &path, Some(&change)).expect(200)["user"], name);
        assert!(comes(&broker, name, "second"), "{name}");
        assert_eq!(api.delete(&path).expect(200)["deleted"], name);
    }
    for name in [".", "..", &"x".repeat(1025)] {
        let refused = api.post("/v1/users", &json!({ "user": name, "password": "p" }));
        assert!(refused.status == 400 && refused.text.contains("`iothub user`"), "{refused:?}");
        let path = format!("/v1/users/{}", encoded(name));
        for refused in [api.get(&path), api.ask("PATCH", &path, Some(&json!({}))), api.delete(&path)] {
            assert!(refused.status == 400 && refused.text.contains("`iothub user`"), "{refused:?}");
        }
    }
    assert_eq!(api.get("/v1/users").expect(200)["users"], json!([]));
}

/// Every byte, so that nothing on the way takes it for something else.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

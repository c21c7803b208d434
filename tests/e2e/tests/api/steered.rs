//! What `iothub ctl` changes: users, bans, the configuration, backups; and lists that are chosen from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use client::{Options, QoS, Version};
use e2e::api::Api;
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, program, v5};
use serde_json::Value;

use super::setup;

/// The exit code and the lines of the command, to which `typed` comes by its standard input.
fn ctl(folder: &Path, args: &[&str], typed: &str) -> (Option<i32>, Vec<String>) {
    let input = folder.join("typed");
    fs::write(&input, typed).unwrap();
    let mut command = program::command(program::iothub());
    command.arg("ctl").args(args).current_dir(folder).arg("--socket").arg(folder.join("control.sock"));
    let output = command.stdin(fs::File::open(input).unwrap()).stderr(Stdio::piped()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let lines = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    (output.status.code(), lines)
}

#[track_caller]
fn done(broker: &Broker, args: &[&str], typed: &str) -> Vec<String> {
    let (code, lines) = ctl(broker.folder(), args, typed);
    assert_eq!(code, Some(0), "{args:?}: {lines:?}");
    lines
}

fn row(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

const CONTROL: &str = "[control]\nsocket = \"control.sock\"\n";

fn with_users(name: &str) -> Broker {
    let setup = setup(name);
    let users = setup.folder().join("users");
    fs::write(&users, "").unwrap();
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).unwrap();
    let config =
        "[authentication]\nanonymous = \"never\"\nuser_database = \"users\"\n[server]\nwatch_files = false\n";
    let broker = setup.config(&format!("{CONTROL}{config}")).start();
    Api::of(&broker).await_ready();
    broker
}

fn comes(broker: &Broker, user: &str, password: &str) -> bool {
    let (username, password) = (Some(user.to_owned()), Some(password.as_bytes().to_vec()));
    Link::try_connect(broker.port, Options { username, password, ..v5("someone") }).is_ok()
}

#[test]
fn users_are_added_changed_shown_and_deleted_from_a_terminal() {
    let broker = with_users("ctl-users");
    let added = done(&broker, &["user", "add", "ada", "--group", "plant", "--role", "reader"], "first\n");
    assert!(added.iter().any(|line| line == "ada is added") && comes(&broker, "ada", "first"), "{added:?}");
    let shown = row(&done(&broker, &["user", "show", "ada", "--json"], "")[0]);
    assert_eq!((&shown["groups"][0], &shown["roles"][0]), (&"plant".into(), &"reader".into()), "{shown}");
    done(&broker, &["user", "set", "ada", "--password", "--role", ""], "second\n");
    assert!(comes(&broker, "ada", "second") && !comes(&broker, "ada", "first"));
    let shown = row(&done(&broker, &["user", "show", "ada", "--json"], "")[0]);
    assert_eq!((&shown["groups"][0], shown["roles"].as_array().map(Vec::len)), (&"plant".into(), Some(0)));
    done(&broker, &["user", "set", "ada", "--disable"], "");
    assert!(!comes(&broker, "ada", "second"));
    done(&broker, &["user", "set", "ada", "--enable"], "");
    assert!(comes(&broker, "ada", "second"));
    assert_eq!(done(&broker, &["user", "delete", "ada"], ""), ["ada is deleted"]);
    let (code, lines) = ctl(broker.folder(), &["user", "show", "ada"], "");
    assert!(code == Some(1) && lines[0].contains("there is no user \"ada\""), "{lines:?}");
    assert!(!comes(&broker, "ada", "second"));
}

#[test]
fn users_roles_and_bans_are_chosen_by_name_and_kind() {
    let broker = with_users("ctl-chosen");
    let api = Api::of(&broker);
    for user in ["ada", "adam", "bob"] {
        done(&broker, &["user", "add", user], "password\n");
    }
    let names = |path: &str, list: &str, key: &str| -> Vec<String> {
        let answer = api.get(path).expect(200);
        let rows = answer[list].as_array().unwrap().iter();
        rows.map(|row| row.get(key).unwrap_or(row).as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/v1/users?user=da", "users", "user"), ["ada", "adam"]);
    assert_eq!(names("/v1/users?user=da&limit=1&cursor=ada", "users", "user"), ["adam"]);
    let listed = done(&broker, &["users", "--user", "bo", "--json"], "");
    assert_eq!(listed.iter().map(|line| row(line)["user"].clone()).collect::<Vec<_>>(), ["bob"]);

    for whom in [["--client-id", "pump-1"], ["--user", "pump"], ["--address", "192.0.2.0/24"]] {
        done(&broker, &[&["ban"], &whom[..]].concat(), "");
    }
    assert_eq!(names("/v1/bans?kind=client_id", "bans", "client_id"), ["pump-1"]);
    assert_eq!(names("/v1/bans?kind=user&name=pum", "bans", "user"), ["pump"]);
    assert_eq!(api.get("/v1/bans?name=pump").expect(200)["bans"].as_array().map(Vec::len), Some(2));
    assert_eq!(names("/v1/bans?name=192.0", "bans", "address"), ["192.0.2.0/24"]);
    assert_eq!(done(&broker, &["bans", "--kind", "address", "--json"], "").len(), 1);
    assert_eq!(done(&broker, &["bans", "--name", "pump", "--json"], "").len(), 2);

    for wrong in
        ["users?name=a", "users?limit=0", "roles?name=a", "roles?user=a", "bans?client_id=x", "bans?kind=cat"]
    {
        assert_eq!(api.get(&format!("/v1/{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn roles_are_chosen_by_their_names() {
    let setup = setup("ctl-roles");
    let rules = "[roles.reader]\nrules = [ { allow = \"read\", topics = \"#\" } ]\n\
                 [roles.writer]\nrules = [ { allow = \"readwrite\", topics = \"#\" } ]\n";
    fs::write(setup.folder().join("rules.toml"), rules).unwrap();
    let broker = setup.config(&format!("{CONTROL}[access]\nrules_file = \"rules.toml\"\n")).start();
    Api::of(&broker).await_ready();
    assert_eq!(done(&broker, &["roles"], ""), ["reader", "writer"]);
    assert_eq!(done(&broker, &["roles", "--role", "rit"], ""), ["writer"]);
}

#[test]
fn bans_are_ordered_and_lifted_from_a_terminal() {
    let configured = "[[ban]]\nclient_ids = [\"meter\"]\naddresses = [\"192.0.2.0/24\"]\n";
    let broker = setup("ctl-bans").config(&format!("{CONTROL}{configured}")).start();
    Api::of(&broker).await_ready();
    let mut link = Link::connect(broker.port, v5("pump"));
    assert_eq!(done(&broker, &["ban", "--client-id", "pump"], ""), ["client pump is banned for ever"]);
    link.disconnection();
    assert!(Link::try_connect(broker.port, v5("pump")).is_err());
    let ban = row(&done(&broker, &["bans", "--name", "pump", "--json"], "")[0]);
    assert_eq!(ban["client_id"], "pump");
    assert_eq!(done(&broker, &["unban", "--client-id", "pump"], ""), ["the ban of client pump is lifted"]);
    assert!(Link::try_connect(broker.port, v5("pump")).is_ok());
    let (code, lines) = ctl(broker.folder(), &["unban", "--client-id", "pump"], "");
    assert_eq!(code, Some(1), "{lines:?}");
    for (whom, by) in [
        (["--client-id", "meter"], "the configuration ([[ban]]: take it out there, and reload)"),
        (["--address", "192.0.2.7"], "the ban of address 192.0.2.0/24"),
    ] {
        done(&broker, &[&["ban"], &whom[..]].concat(), "");
        let lifted = done(&broker, &[&["unban"], &whom[..]].concat(), "");
        assert!(lifted[0].ends_with(&format!(" is lifted, and it is banned still: by {by}")), "{lifted:?}");
    }
    assert!(Link::try_connect(broker.port, v5("meter")).is_err());
    let timed = done(&broker, &["ban", "--user", "ada", "--for", "1h", "--json"], "");
    assert!(row(&timed[0])["until"].is_string(), "{timed:?}");
}

#[test]
fn a_reload_from_a_terminal_takes_the_configuration_on() {
    let broker = setup("ctl-reload").config(&format!("{CONTROL}[server]\nwatch_files = false\n")).start();
    Api::of(&broker).await_ready();
    let config = broker.folder().join("iothub.toml");
    let banned = "[server]\nwatch_files = false\n[[ban]]\nclient_ids = [\"pump\"]\n";
    fs::write(&config, format!("{CONTROL}{banned}")).unwrap();
    done(&broker, &["reload", "--plan"], "");
    Link::connect(broker.port, v5("pump")).close();
    let answer = row(&done(&broker, &["reload", "--json"], "")[0]);
    assert_eq!(answer["outcome"], "done", "{answer}");
    assert!(Link::try_connect(broker.port, v5("pump")).is_err());
    fs::write(&config, "[limits]\nno_such_key = 1\n").unwrap();
    let (code, lines) = ctl(broker.folder(), &["reload"], "");
    assert!(code == Some(1) && lines.join("\n").contains("no_such_key"), "{lines:?}");
}

#[test]
fn backups_are_made_listed_and_their_state_is_told() {
    let [data, backups] = ["ctl-backup-data", "ctl-backups"].map(program::fresh_folder);
    let config = format!("{CONTROL}[store]\nbackup_dir = \"{}\"\n", backups.display());
    let dir = data.display().to_string();
    let broker = setup("ctl-backup").config(&config).args(["--data-dir", &dir]).start();
    Api::of(&broker).await_ready();
    assert_eq!(done(&broker, &["backup", "list"], ""), ["iothub ctl: there are no copies"]);
    let state = row(&done(&broker, &["backup", "status", "--json"], "")[0]);
    assert!(state["running"].is_null() && state["last"].is_null(), "{state}");
    let made = row(&done(&broker, &["backup", "--json"], "")[0]);
    let name = made["name"].as_str().unwrap();
    assert_eq!(done(&broker, &["backup", "list"], ""), [name]);
    let state = row(&done(&broker, &["backup", "status", "--json"], "")[0]);
    assert_eq!((&state["last"]["name"], &state["last"]["is_done"]), (&name.into(), &true.into()));
    drop(broker);
    [data, backups].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
}

#[test]
fn each_order_of_the_busiest_is_by_what_was_asked() {
    let broker = setup("ctl-top").config(CONTROL).start();
    let api = Api::of(&broker);
    api.await_ready();
    let mut quiet = Link::connect(broker.port, v5("quiet"));
    quiet.subscribe("nothing", QoS::AtMostOnce);
    let mut many = Link::connect(broker.port, v5("many"));
    for number in 0..5 {
        many.subscribe(&format!("many/{number}"), QoS::AtMostOnce);
    }
    let mut away = Link::connect(broker.port, lasting(Version::V5, "away"));
    away.subscribe("queue/#", QoS::AtLeastOnce);
    away.close();
    // It takes nothing from its socket, and acknowledges nothing.
    let mut stuck = Link::connect(broker.port, v5("stuck"));
    stuck.subscribe("stuck/#", QoS::AtLeastOnce);
    let mut pump = Link::connect(broker.port, v5("pump"));
    for _ in 0..64 {
        pump.publish("stuck/a", vec![0; 256 << 10], QoS::AtLeastOnce);
    }
    for _ in 0..3 {
        pump.publish("queue/a", "waits", QoS::AtLeastOnce);
    }
    let first = |by: &str| api.get(&format!("/v1/top?by={by}")).expect(200)["clients"][0].clone();
    for (by, client) in [("inflight", "stuck"), ("unsent_bytes", "stuck"), ("subscriptions", "many")] {
        let row = first(by);
        assert_eq!(row["client"]["client_id"], client, "{by}: {row}");
        assert!(row["value"].as_u64().unwrap() > 0, "{by}: {row}");
        let line = row_of_top(&broker, by);
        assert_eq!(line["client"]["client_id"], client, "{by}: {line}");
    }
    // Who says something is not silent, and whoever says nothing is so for longer and longer.
    let deadline = Instant::now() + PATIENCE;
    let silent = loop {
        pump.publish("nobody/listens", "x", QoS::AtLeastOnce);
        let answer = api.get("/v1/top?by=silent_s").expect(200);
        let rows = answer["clients"].as_array().unwrap().clone();
        if rows.iter().any(|row| row["client"]["client_id"] == "quiet") {
            break rows;
        }
        assert!(Instant::now() < deadline, "{answer}");
    };
    let spans: Vec<u64> = silent.iter().map(|row| row["value"].as_u64().unwrap()).collect();
    assert!(spans.is_sorted_by(|one, other| one >= other) && spans[0] > 0, "{silent:?}");
    assert!(silent.iter().all(|row| row["client"]["client_id"] != "pump"), "{silent:?}");
    drop((quiet, many, stuck, pump));
}

fn row_of_top(broker: &Broker, by: &str) -> Value {
    row(&done(broker, &["top", by, "--json"], "")[0])
}

//! `iothub ctl` at the control socket and at a URL, for people and for programs.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use client::{Publication, QoS, RetainHandling, Subscription, Version};
use e2e::api::Api;
use e2e::{Authority, Broker, Link, PATIENCE, Process, program, v5};
use serde_json::{Value, json};

use super::{retain, setup};

/// The exit code and the lines of the command.
fn ctl(folder: &Path, args: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut command = program::command(program::iothub());
    command.arg("ctl").args(args).current_dir(folder);
    if !args.contains(&"--url") {
        command.args([OsStr::new("--socket"), folder.join("control.sock").as_os_str()]);
    }
    let mut process = Process::start("iothub ctl", &mut command);
    let status = process.wait();
    (status.code(), process.lines())
}

const CONTROL: &str = "[control]\nsocket = \"control.sock\"\n";

#[test]
fn a_broker_that_could_not_be_asked_is_another_code_than_one_that_refuses() {
    let broker = setup("ctl-codes").config(CONTROL).start();
    let api = Api::of(&broker);
    api.await_ready();
    let folder = broker.folder();
    let (code, lines) = ctl(folder, &["disconnect", "nobody"]);
    assert_eq!(code, Some(1), "{lines:?}");
    let mut command = program::command(program::iothub());
    let mut process =
        Process::start("iothub ctl", command.args(["ctl", "clients", "-c", "nofile"]).current_dir(folder));
    assert_eq!(process.wait().code(), Some(2), "{}", process.shown());
    assert!(process.says("the broker was not asked") && !process.says("nothing is changed"));
    let token = folder.join("token");
    fs::write(&token, &api.token).unwrap();
    fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let token = token.display().to_string();
    for (url, said) in [
        (format!("https://127.0.0.1:{}", api.port), "Ask http://"),
        (format!("http://127.0.0.1:{}", broker.port), "as a listener for MQTT does"),
    ] {
        let (code, lines) = ctl(folder, &["--url", &url, "--token-file", &token, "broker"]);
        let told = lines.join("\n");
        assert!(code == Some(2) && told.contains(said), "{code:?} {told}");
    }
}

#[test]
fn what_a_client_calls_itself_does_not_steer_a_terminal_by_json() {
    let broker = setup("ctl-unseen").config(CONTROL).start();
    Api::of(&broker).await_ready();
    let name = "j\u{202e}\u{2066}x";
    let _link = Link::connect(broker.port, e2e::v5(name));
    for args in [&["--json", "clients"][..], &["--json", "client", name]] {
        let (code, lines) = ctl(broker.folder(), args);
        let told = lines.join("\n");
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("j\\u202e\\u2066x") && !told.contains('\u{202e}'), "{told}");
    }
}

#[test]
fn everything_is_shown_and_done_from_a_terminal() {
    let broker = setup("ctl").config(CONTROL).start();
    Api::of(&broker).await_ready();
    let folder = broker.folder().clone();
    let done = |args: &[&str]| {
        let (code, lines) = ctl(&folder, args);
        assert_eq!(code, Some(0), "{args:?}: {lines:?}");
        lines
    };
    let mut link = Link::connect(broker.port, e2e::link::lasting(Version::V5, "pump 7/a"));
    link.subscribe("t/#", QoS::AtLeastOnce);
    retain(&mut link, "t/kept", "hello");
    assert_eq!(link.text(), "hello");
    let lines = done(&["clients"]);
    assert!(lines[0].starts_with("CLIENT") && lines[1].starts_with("pump 7/a"), "{lines:?}");
    let row: Value = serde_json::from_str(&done(&["clients", "--json", "-i", "pump"])[0]).unwrap();
    assert_eq!(row["client_id"], "pump 7/a");
    assert_eq!(done(&["clients", "--away"]), ["iothub ctl: there is no such client"]);
    let lines = done(&["client", "pump 7/a"]).join("\n");
    assert!(lines.contains("subscriptions: 1") && lines.contains("last packets:"), "{lines}");
    assert!(done(&["subscriptions"])[1].starts_with("t/#"));
    assert!(done(&["retained", "t/#"])[1].starts_with("t/kept"));
    assert!(done(&["message", "t/kept"]).contains(&"hello".to_owned()));
    assert_eq!(done(&["message", "t/kept", "--raw"]), ["hello"]);
    assert_eq!(done(&["publish", "-t", "t/x", "-m", "-5", "-q", "1"]), ["published"]);
    assert_eq!(link.text(), "-5");
    assert_eq!(done(&["disconnect", "pump 7/a"]), ["pump 7/a is disconnected"]);
    done(&["publish", "-t", "t/x", "-m", "waits", "-q", "1"]);
    let lines = done(&["queues"]);
    assert!(lines[0].starts_with("CLIENT") && lines[1].starts_with("pump 7/a"), "{lines:?}");
    assert!(done(&["queue", "pump 7/a"])[1].starts_with("t/x"));
    assert!(done(&["top", "queued"])[1].starts_with("pump 7/a"));
    assert!(done(&["prefixes"])[0].starts_with("PREFIX"));
    assert_eq!(done(&["roles"]), ["iothub ctl: no rule makes a role"]);
    assert_eq!(done(&["roles", "-r", "x"]), ["iothub ctl: there is no such role"]);
    assert!(done(&["caller"]).contains(&"role: admin".to_owned()));
    assert_eq!(done(&["purge", "pump 7/a"]), ["1 message dropped"]);
    assert_eq!(done(&["kick", "pump 7/a"]), ["the session of pump 7/a is ended"]);
    assert_eq!(done(&["drop", "t/#"]), ["1 message dropped"]);
    assert_eq!(done(&["shards"]).len(), 3);
    assert!(done(&["broker"]).contains(&"stage: serving".to_owned()));
    assert!(done(&["reload", "--plan"])[0].ends_with(": a reload would change nothing"));
    assert_eq!(done(&["bans"]), ["iothub ctl: nobody is banned"]);
    assert_eq!(done(&["bans", "--name", "x"]), ["iothub ctl: there is no such ban"]);
    let (code, lines) = ctl(&folder, &["client", "pump 7/a"]);
    assert!(code == Some(1) && lines[0].contains("there is no client"), "{lines:?}");
    let (code, lines) = ctl(&folder, &["users"]);
    assert!(code == Some(1) && lines[0].contains("authentication.user_database"), "{lines:?}");
    done(&["drain"]);
}

#[test]
fn who_publishes_is_told_where_a_limit_keeps_a_message_from_being_retained() {
    let config = format!("{CONTROL}[router]\nretained_message_limit = 0\n");
    let broker = setup("api-not-retained").config(&config).start();
    let api = Api::of(&broker);
    let publish = |retain: bool, payload: &str| {
        let order = json!({ "topic": "a", "payload": payload, "qos": 1, "retain": retain });
        api.post("/v1/publish", &order).expect(200)
    };
    for (retain, payload) in [(false, "x"), (true, "")] {
        let told = publish(retain, payload);
        assert_eq!((&told["retained"], &told["not_retained"]), (&json!(false), &json!(null)), "{told}");
    }
    let told = publish(true, "x");
    assert_eq!((&told["published"], &told["retained"]), (&json!(true), &json!(false)));
    assert_eq!(told["not_retained"]["cause"], "publish_retain_messages");
    assert!(
        told["not_retained"]["why"].as_str().unwrap().contains("router.retained_message_limit"),
        "{told}"
    );
    let (code, lines) = ctl(broker.folder(), &["publish", "-r", "-t", "a", "-m", "x"]);
    let told = "published, nobody subscribes to it, and it is not retained: it was to be retained, and the shard of its topic had its \
                part of router.retained_message_limit";
    assert_eq!((code, lines), (Some(1), vec![told.to_owned()]));
    let (code, lines) = ctl(broker.folder(), &["publish", "-t", "a", "-m", "x"]);
    assert_eq!((code, lines), (Some(0), vec!["published; nobody subscribes to it".to_owned()]));
}

#[test]
fn as_json_all_rows_are_told_and_where_n_cuts_standard_error_says_so() {
    let broker = setup("ctl-rows").config(CONTROL).start();
    Api::of(&broker).await_ready();
    let mut link = Link::connect(broker.port, v5("pump"));
    for number in 0..1203 {
        let message =
            Publication { retain: true, ..Publication::new(format!("r/{number}"), "x", QoS::AtMostOnce) };
        link.publish_with(message);
    }
    retain(&mut link, "r/last", "x");
    let told = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        command
            .args(["ctl", "retained"])
            .args(args)
            .arg("--socket")
            .arg(broker.folder().join("control.sock"));
        let mut process = Process::start("iothub ctl", &mut command);
        assert_eq!(process.wait().code(), Some(0), "{args:?}: {}", process.shown());
        let (out, all) = (process.out_lines().len(), process.lines());
        (out, all.len() - out, process.says("there are more than these"))
    };
    assert_eq!(told(&["--json"]), (1204, 0, false));
    assert_eq!(told(&["--json", "-n", "1100"]), (1100, 1, true));
    assert_eq!(told(&["-n", "7"]), (8, 1, true));
    assert_eq!(told(&[]), (1001, 1, true));
}

#[test]
fn every_option_of_a_subscription_is_shown() {
    let broker = setup("ctl-options").config(CONTROL).start();
    let api = Api::of(&broker);
    api.await_ready();
    let mut link = Link::connect(broker.port, v5("reader"));
    let mut all = Subscription::new("$share/crew/t/+", QoS::ExactlyOnce);
    all.filters[0].1.retain_as_published = true;
    all.subscription_id = Some(77);
    link.subscribe_with(all);
    let mut own = Subscription::new("u", QoS::AtMostOnce);
    own.filters[0].1.no_local = true;
    own.filters[0].1.retain_handling = RetainHandling::DoNotSend;
    link.subscribe_with(own);

    let (_, lines) = ctl(broker.folder(), &["subscriptions"]);
    let cells = |start: &str| {
        let line = lines.iter().find(|line| line.starts_with(start)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(cells("$share"), ["$share/crew/t/+", "reader", "2", "no", "yes", "0", "77", "crew"]);
    assert_eq!(cells("u "), ["u", "reader", "0", "yes", "no", "2", "-", "-"]);
    let (_, lines) = ctl(broker.folder(), &["client", "reader"]);
    let head = lines.iter().find(|line| line.starts_with("filter")).unwrap();
    for option in
        ["qos", "no_local", "retain_as_published", "retain_handling", "subscription_id", "share_name"]
    {
        assert!(head.contains(option), "{option}: {head}");
    }
    let shared = &api.get("/v1/subscriptions?filter=crew").expect(200)["subscriptions"][0];
    assert_eq!((&shared["share_name"], &shared["retain_handling"]), (&"crew".into(), &0.into()));
}

#[test]
fn what_cannot_be_printed_is_no_success() {
    let broker = setup("ctl-full").config(CONTROL).start();
    Api::of(&broker).await_ready();
    let socket = broker.folder().join("control.sock");
    let full = |args: &[&str]| {
        let mut command = Command::new(program::iothub());
        command.args(args).arg("--socket").arg(&socket);
        command.stdout(fs::File::options().write(true).open("/dev/full").unwrap()).output().unwrap()
    };
    for args in [&["ctl", "broker"][..], &["drops"], &["why", "--client", "c", "-t", "t"]] {
        let output = full(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("nothing can be written to standard output"), "{args:?}: {said}");
    }
}

#[test]
fn clients_with_the_longest_ids_are_shown_asked_about_and_ended() {
    let broker = setup("ctl-long").config(CONTROL).start();
    Api::of(&broker).await_ready();
    let folder = broker.folder().clone();
    // An argument of a command has at most 128 KiB.
    let longest = "L".repeat(65_535);
    let mut link = Link::connect(broker.port, e2e::link::lasting(Version::V5, &longest));
    link.subscribe("t", QoS::AtLeastOnce);
    for (command, done) in [
        ("client", "subscriptions: 1"),
        ("queue", "nothing waits for this client"),
        ("purge", "0 messages"),
        ("kick", "is ended"),
    ] {
        let (code, lines) = ctl(&folder, &[command, &longest]);
        assert!(code == Some(0) && lines.iter().any(|line| line.contains(done)), "{command}: {code:?}");
    }
    link.disconnection();
    let socket = folder.join("control.sock");
    let ask = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        command.args(args).arg("--socket").arg(&socket);
        let mut process = Process::start("iothub", &mut command);
        (process.wait().code(), process.lines())
    };
    let (code, lines) = ask(&["why", "--client", &longest, "--topic", "t"]);
    assert!(code == Some(1) && lines[0].contains("would not get it"), "{code:?}");
    let (code, lines) = ask(&["trace", &longest]);
    assert!(
        code == Some(1) && lines[0].contains("there is no client"),
        "of long ids nothing is kept: {code:?}"
    );
    assert_eq!(ask(&["drops", "--client", &longest]), (Some(0), vec!["nothing was lost".to_owned()]));
    let (code, lines) = ask(&["trace", &longest, "--follow"]);
    assert!(code == Some(2) && lines[0].contains("too long a name for this question"), "{code:?} {lines:?}");
}

/// A broker whose API speaks HTTPS, and how it is found from elsewhere.
struct Elsewhere {
    broker: Broker,
    url: String,
    ca: String,
}

fn elsewhere(name: &str) -> Elsewhere {
    let setup = setup(name);
    let authority = Authority::new(setup.folder());
    authority.issue("localhost");
    let config = "[api]\ncertificate = \"localhost.pem\"\nprivate_key = \"localhost.key\"\n";
    let broker = setup.config(config).start();
    let api = Api::of(&broker);
    let url = format!("https://localhost:{}", api.port);
    let ca = authority.file().display().to_string();
    let path = broker.folder().join("token");
    fs::write(&path, format!("{}\n", api.token)).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Elsewhere { broker, url, ca }
}

#[test]
fn a_broker_elsewhere_is_asked_by_its_url_with_a_token() {
    let Elsewhere { broker, url, ca } = elsewhere("ctl-url");
    let folder = broker.folder().clone();
    let _link = Link::connect(broker.port, v5("one"));
    let by_url = ["--url", url.as_str(), "--ca-file", ca.as_str()];
    let with_token = [&by_url[..], &["--token-file", "token"]].concat();
    let (code, lines) = ctl(&folder, &[&with_token[..], &["clients", "--json"]].concat());
    assert_eq!((code, lines.len()), (Some(0), 1), "{lines:?}");
    assert!(lines[0].contains("\"client_id\":\"one\""), "{lines:?}");
    let (code, lines) = ctl(&folder, &[&with_token[..], &["kick", "one"]].concat());
    assert_eq!(code, Some(0), "{lines:?}");
    let (code, lines) = ctl(&folder, &[&by_url[..], &["clients"]].concat());
    assert!(code == Some(2) && lines[0].contains("--token-file FILE"), "{lines:?}");
    fs::write(folder.join("token"), "iothub_wrong").unwrap();
    let (code, lines) = ctl(&folder, &[&with_token[..], &["clients"]].concat());
    assert!(code == Some(1) && lines[0].contains("iothub token list"), "{lines:?}");
    let (code, lines) = ctl(&folder, &["--url", "https://127.0.0.1:1", "--token-file", "token", "clients"]);
    assert!(code == Some(2) && lines[0].contains("127.0.0.1:1"), "{lines:?}");
}

/// A question to a broker elsewhere.
fn from_elsewhere(elsewhere: &Elsewhere, args: &[&str]) -> Command {
    let mut command = program::command(program::iothub());
    command.args(args).args(["--url", &elsewhere.url, "--ca-file", &elsewhere.ca]);
    command.args(["--token-file", "token"]).current_dir(elsewhere.broker.folder());
    command
}

#[test]
fn why_drops_trace_and_bans_are_asked_by_url_as_well() {
    let elsewhere = elsewhere("answers-url");
    let mut link = Link::connect(elsewhere.broker.port, v5(".."));
    link.subscribe("t/#", QoS::AtLeastOnce);
    let ask = |args: &[&str]| {
        let mut process = Process::start("iothub", &mut from_elsewhere(&elsewhere, args));
        let code = process.wait().code();
        (code, process.lines())
    };
    let (code, lines) = ask(&["why", "--client", "..", "--topic", "t/a"]);
    assert!(code == Some(0) && lines[0].contains(".. would get it now"), "{lines:?}");
    assert_eq!(ask(&["why", "--client", "..", "--topic", "other"]).0, Some(1));
    assert_eq!(ask(&["drops"]), (Some(0), vec!["nothing was lost".to_owned()]));
    assert_eq!(ask(&["drops", "--others"]), (Some(0), vec!["nothing was lost".to_owned()]));
    let (code, lines) = ask(&["trace", ".."]);
    assert!(code == Some(0) && lines.iter().any(|line| line.contains("SUBACK")), "{lines:?}");
    let (code, lines) = ask(&["trace", "nobody"]);
    assert!(code == Some(1) && lines[0].contains("there is no client"), "{lines:?}");
    let (code, lines) = ask(&["ban", "add", "--client-id", "stranger"]);
    assert!(code == Some(0) && lines == ["client stranger is banned for ever"], "{lines:?}");
    assert!(ask(&["ban", "list"]).1[1].contains("stranger"));

    let follow = ["trace", "--follow", "--count", "1", "--json"];
    let mut process = Process::start("iothub trace", &mut from_elsewhere(&elsewhere, &follow));
    let log =
        Process::start("iothub ctl", &mut from_elsewhere(&elsewhere, &["ctl", "log", "-s", "newcomer"]));
    let deadline = Instant::now() + PATIENCE;
    while process.lines().is_empty() || log.lines().is_empty() {
        link.publish("t/a", "x", QoS::AtMostOnce);
        Link::connect(elsewhere.broker.port, v5("newcomer")).close();
        assert!(Instant::now() < deadline, "{:?} {:?}", process.lines(), log.lines());
    }
    assert_eq!(process.wait().code(), Some(0));
    let packet: Value = serde_json::from_str(&process.lines()[0]).unwrap();
    assert!(packet["kind"].is_string(), "{packet}");

    fs::write(elsewhere.broker.folder().join("token"), "iothub_wrong").unwrap();
    for args in [&["why", "--client", "a", "--topic", "b"][..], &["drops"], &["trace", "-f"]] {
        let (code, lines) = ask(args);
        assert!(code == Some(2) && lines[0].contains("iothub token list"), "{args:?}: {lines:?}");
    }
}

//! Listeners with settings of their own.

use std::fs;

use client::{Disconnection, Error, Options, QoS, ReasonCode};
use e2e::broker::free_port;
use e2e::{Authority, Link, Process, Setup, program, v5, v311};

use super::{publish, reload::reload};

/// The ports of the listeners of this scheme, in their order.
fn ports(process: &Process, scheme: &str) -> Vec<u16> {
    let prefix = format!("{scheme}://127.0.0.1:");
    process.await_line("where it listens", |line| {
        let (_, list) = line.split_once("listening on ")?;
        let numbers = list.split(' ').filter_map(|word| word.strip_prefix(&prefix));
        Some(numbers.filter_map(|number| number.trim_end_matches(',').parse().ok()).collect())
    })
}

#[test]
fn each_listener_has_its_own_versions_and_its_own_strangers() {
    let text = "[[listener]]\naddress = \"tcp://127.0.0.1:0\"\nversions = \"5.0\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\nanonymous = \"never\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\nmax_connections = 1\n";
    let process = Setup::bare("listeners-own").shards(2).config(text).spawn();
    let [modern, closed, small] = ports(&process, "tcp")[..] else { panic!("{}", process.shown()) };
    let sent = |port: u16, version: &str| {
        publish(port, &["-V", version, "-q", "1", "-t", "t", "-m", "m"]).says("PUBACK")
    };
    assert!(sent(modern, "5") && !sent(modern, "311"));
    assert!(!sent(closed, "5"));
    assert!(sent(small, "5") && sent(small, "311"));
    // Without a word about addresses they take the place of the default ones.
    assert!(!process.says("127.0.0.1:1883"));
}

#[test]
fn a_mistake_in_a_listener_names_its_line() {
    let text = "[[listener]]\nadress = \"tcp://127.0.0.1:0\"\n\n[[listener]]\naddress = \"tcp://127.0.0.1:0\"\nversions = \"4\"\n";
    let ended = Setup::bare("listeners-mistake").config(text).run();
    assert_eq!(ended.code, Some(1));
    let said = ended.errors.join("\n");
    assert!(said.contains("line 2: listener.adress") && said.contains("did you mean address?"), "{said}");
    assert!(said.contains("line 6: listener.versions = \"4\": expected one of \"all\""), "{said}");
    assert!(said.contains("a listener needs its address"), "{said}");
}

#[test]
fn a_test_of_the_configuration_reads_every_file_that_it_names() {
    let text = "[[listener]]\naddress = \"tls://127.0.0.1:0\"\n\
                [authentication]\npassword_file = \"no-users\"\n[access]\nacl_file = \"acl\"\n";
    let setup = Setup::bare("listeners-files");
    fs::write(setup.folder().join("acl"), "nonsense\n").unwrap();
    let ended = setup.config(text).args(["--test-config"]).run();
    assert_eq!(ended.code, Some(1));
    let said = ended.errors.join("\n");
    for sentence in ["there is no certificate: name its files in", "no-users cannot be read", "acl"] {
        assert!(said.contains(sentence), "{sentence}\n{said}");
    }
    assert_eq!(ended.errors.len(), 3, "{said}");
}

#[test]
fn each_listener_asks_in_its_own_way_and_another_way_counts_at_once() {
    let setup = Setup::bare("listeners-ways").shards(2);
    let mut passwd = program::command(program::iothub());
    passwd.args(["passwd", "-c", "-b"]).arg(setup.folder().join("users")).args(["anna", "right"]);
    Process::start("iothub passwd", &mut passwd).succeed();
    let text = "[authentication]\npassword_file = \"users\"\nanonymous = \"never\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\nauthentication = [\"token\", \"scram\"]\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\nauthentication = \"off\"\nbacklog = 7\n";
    let broker = setup.config(text).start();
    let [inherits, others, off] = broker.ports_of("tcp")[..] else { panic!("{}", broker.process.shown()) };
    let comes = |port: u16, login: &[&str]| {
        publish(port, &[&["-V", "5", "-q", "1", "-t", "t", "-m", "m"], login].concat()).says("PUBACK")
    };
    let (right, wrong) = (["-u", "anna", "-P", "right"], ["-u", "anna", "-P", "wrong"]);
    assert!(comes(inherits, &right) && !comes(inherits, &wrong) && !comes(inherits, &[]));
    assert!(!comes(others, &right) && !comes(others, &[]));
    assert!(comes(off, &right) && comes(off, &wrong) && comes(off, &[]));

    let mut goes = Link::connect(off, v5("goes"));
    let login = Options { username: Some("anna".into()), password: Some("right".into()), ..v5("stays") };
    let mut stays = Link::connect(inherits, login);
    let text =
        text.replace("\"off\"\nbacklog = 7", "[\"password\"]").replace("[\"token\", \"scram\"]", "\"off\"");
    fs::write(broker.folder().join("iothub.toml"), text).unwrap();
    reload(&broker);
    assert!(comes(off, &right) && !comes(off, &wrong) && !comes(off, &[]));
    assert!(comes(others, &wrong) && comes(others, &[]));
    broker.process.await_text(
        "authentication is [\"password\"] (before: \"off\"), and who came in by what is gone is disconnected",
    );
    broker.process.await_text("backlog is \"inherited\" (before: 7)");
    assert_eq!(goes.ended_by_server(), ReasonCode::NotAuthorized);
    stays.publish("still", "m", QoS::AtLeastOnce);
}

#[test]
fn a_list_of_ways_says_what_is_wrong_with_it() {
    for (key, sentence) in [
        (
            "authentication = [\"password\", \"card\"]",
            "there is no \"card\": expected some of \"certificate\", ",
        ),
        ("authentication = [\"http\", \"http\"]", "\"http\" is there twice: name each once"),
        ("authentication = []", "expected at least one of \"certificate\""),
        ("authentication = \"on\"", "expected a list, for example"),
        (
            "authentication = \"off\"\nanonymous = \"never\"",
            "lets everybody in with this, and its anonymous says otherwise",
        ),
        ("[authentication]\norder = [\"off\"]", "there is no \"off\""),
    ] {
        let text = format!("[[listener]]\naddress = \"tcp://127.0.0.1:0\"\n{key}\n");
        let ended = Setup::bare("listeners-ways-wrong").config(&text).args(["--test-config"]).run();
        let said = ended.errors.join("\n");
        assert!(ended.code == Some(1) && said.contains(sentence), "{key}: {said}");
    }
}

#[test]
fn every_name_of_a_kind_of_listener_leads_to_it() {
    let setup = Setup::bare("listeners-names").shards(2);
    let authority = Authority::new(setup.folder());
    authority.issue("broker.example");
    let names = ["mqtt", "tcp", "mqtts", "ssl", "tcp+tls", "tls"];
    let listen = names.map(|name| format!("\"{name}://127.0.0.1:{}\"", free_port())).join(", ");
    let text = format!(
        "[server]\nlisten_addresses = [{listen}]\n\
         [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n"
    );
    let broker = setup.config(&text).start();
    let ca = authority.file().display().to_string();
    let args = ["-V", "5", "-q", "1", "-t", "t", "-m", "m"];
    let (plain, sealed) = (broker.ports_of("tcp"), broker.ports_of("tls"));
    assert_eq!((plain.len(), sealed.len()), (2, 4), "{}", broker.process.shown());
    for port in plain {
        assert!(publish(port, &args).says("PUBACK"));
    }
    for port in sealed {
        assert!(publish(port, &[&args[..], &["--cafile", &ca]].concat()).says("PUBACK"));
        assert!(!publish(port, &args).says("PUBACK"), "nothing plain is spoken there");
    }
}

#[test]
fn a_listener_that_is_full_refuses_and_the_others_do_not() {
    let text = "[[listener]]\naddress = \"tcp://127.0.0.1:0\"\nmax_connections = 2\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\n";
    let broker = Setup::bare("listeners-full").shards(2).config(text).start();
    let [small, large] = broker.ports_of("tcp")[..] else { panic!("{}", broker.process.shown()) };
    let refused = |options: Options| match Link::try_connect(small, options) {
        Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => reason,
        other => panic!("the listener is full: {:?}", other.map(|_| ())),
    };
    let (stays, leaves) = (Link::connect(small, v5("stays")), Link::connect(small, v5("leaves")));
    assert_eq!(refused(v5("third")), ReasonCode::ConnectionRateExceeded);
    assert_eq!(refused(v311("third")), ReasonCode::ServerUnavailable);
    let _elsewhere: Vec<Link> = (0..4).map(|n| Link::connect(large, v5(&format!("other-{n}")))).collect();
    leaves.close();
    broker.await_counter("connections_closed", 3);
    let _third = Link::connect(small, v5("third"));
    drop(stays);
}

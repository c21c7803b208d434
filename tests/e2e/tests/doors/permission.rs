//! What clients may do: an ACL file as mosquitto's users have it, told to the client, logged with its line, and asked by hand.

use std::fs;

use e2e::{Broker, Process, Setup, program};

use super::{mosquitto, publish};

const ACL: &str = "topic read public/#\n\
                   topic write public/guestbook\n\
                   user anna\n\
                   topic readwrite house/#\n\
                   topic deny house/safe\n\
                   pattern readwrite clients/%c/#\n";

fn ruled(name: &str) -> Broker {
    let setup = Setup::new(name).shards(2);
    fs::write(setup.folder().join("acl"), ACL).unwrap();
    setup.config("[access]\nacl_file = \"acl\"\n[authentication]\nanonymous = \"always\"\n").start()
}

#[test]
fn a_denied_publication_is_told_logged_with_its_line_and_nobody_gets_it() {
    let broker = ruled("permission-publish");
    let args = ["-i", "c1", "-t", "public/#", "-t", "clients/c1/#", "-C", "2", "-W", "20", "-d", "-F", "%t"];
    let mut subscriber = Process::start("subscriber", &mut mosquitto("mosquitto_sub", broker.port, &args));
    subscriber.await_text("Subscribed (mid");
    let sent =
        |topic: &str| publish(broker.port, &["-V", "5", "-i", "c1-pub", "-q", "1", "-t", topic, "-m", "m"]);
    for denied in ["public/other", "clients/c1/x", "house/a"] {
        let publisher = sent(denied);
        assert!(publisher.says("Not authorized"), "{denied}\n{}", publisher.shown());
    }
    let publisher = sent("public/guestbook");
    assert!(!publisher.says("Not authorized"), "{}", publisher.shown());
    let own =
        publish(broker.port, &["-V", "5", "-i", "c1-pub", "-q", "1", "-t", "clients/c1-pub/x", "-m", "m"]);
    assert!(!own.says("Not authorized"), "{}", own.shown());
    sent("public/guestbook");
    subscriber.succeed();
    let topics: Vec<String> = subscriber.out_lines().into_iter().filter(|line| line.contains('/')).collect();
    assert!(topics.iter().all(|line| line == "public/guestbook" || line.contains(' ')), "{topics:?}");
    broker.process.await_text("topic=\"public/other\"");
    broker.process.await_text("acl");
}

#[test]
fn a_broad_subscription_gets_what_the_rules_let_through() {
    let broker = ruled("permission-receive");
    let args = ["-i", "reader", "-V", "5", "-t", "#", "-C", "1", "-W", "20", "-d", "-F", "got %t"];
    let mut subscriber = Process::start("subscriber", &mut mosquitto("mosquitto_sub", broker.port, &args));
    subscriber.await_text("Subscribed (mid");
    publish(broker.port, &["-i", "other", "-q", "1", "-t", "clients/other/x", "-m", "m"]);
    publish(broker.port, &["-q", "1", "-t", "public/guestbook", "-m", "m"]);
    subscriber.succeed();
    assert!(
        subscriber.says("got public/guestbook") && !subscriber.says("got clients"),
        "{}",
        subscriber.shown()
    );
}

#[test]
fn a_retained_message_reaches_only_those_who_may_read_it() {
    let broker = ruled("permission-retained");
    publish(broker.port, &["-i", "keeper", "-r", "-q", "1", "-t", "clients/keeper/state", "-m", "kept"]);
    publish(broker.port, &["-r", "-q", "1", "-t", "public/guestbook", "-m", "kept"]);
    let read = |client_id: &str, count: &str| {
        let args = ["-i", client_id, "-t", "#", "-C", count, "-W", "20", "-F", "got %t"];
        let mut subscriber = Process::start(client_id, &mut mosquitto("mosquitto_sub", broker.port, &args));
        subscriber.succeed();
        let mut lines = subscriber.out_lines();
        lines.sort();
        lines
    };
    assert_eq!(read("keeper", "2"), ["got clients/keeper/state", "got public/guestbook"]);
    assert_eq!(read("reader", "1"), ["got public/guestbook"]);
}

#[test]
fn a_retained_message_goes_with_the_right_of_its_publisher() {
    let broker = ruled("permission-source");
    publish(broker.port, &["-i", "keeper", "-r", "-q", "1", "-t", "public/guestbook", "-m", "kept"]);
    let read = ["-i", "reader", "-t", "public/#", "-C", "1", "-W", "20", "-F", "got %t"];
    Process::start("reader", &mut mosquitto("mosquitto_sub", broker.port, &read)).succeed();
    fs::write(broker.folder().join("acl"), ACL.replace("topic write public/guestbook\n", "")).unwrap();
    broker.process.signal(libc::SIGHUP);
    broker.process.await_text("reloaded, ");
    // Retained messages come before whatever is published after the SUBACK.
    let read = [
        "-i",
        "reader",
        "-t",
        "public/#",
        "-t",
        "clients/reader/#",
        "-C",
        "1",
        "-W",
        "20",
        "-d",
        "-F",
        "got %t",
    ];
    let mut subscriber = Process::start("reader", &mut mosquitto("mosquitto_sub", broker.port, &read));
    subscriber.await_text("Subscribed (mid");
    publish(broker.port, &["-i", "reader/x", "-q", "1", "-t", "clients/reader/x", "-m", "m"]);
    subscriber.succeed();
    assert!(!subscriber.says("got public"), "{}", subscriber.shown());
}

#[test]
fn the_rules_can_be_asked_without_a_broker_and_say_which_line_it_is() {
    let folder = program::fresh_folder("permission-check");
    fs::write(folder.join("acl"), ACL).unwrap();
    let ask = |user: &str, topic: &str| {
        let mut command = program::command(program::iothub());
        let args =
            ["acl", "check", "--acl", "acl", "--user", user, "--client", "c7", "--action", "publish", topic];
        let mut process = Process::start("iothub acl check", command.args(args).current_dir(&folder));
        (process.wait().code(), process.out_lines().join("\n"))
    };
    let (code, said) = ask("anna", "house/door");
    assert!(code == Some(0) && said.contains("acl:4"), "{said}");
    let (code, said) = ask("anna", "house/safe");
    assert!(code == Some(1) && said.contains("acl:5"), "{said}");
}

#[test]
fn the_rules_of_a_configuration_can_be_asked_as_its_broker_would() {
    let folder = program::fresh_folder("permission-configured");
    fs::write(
        folder.join("rules"),
        "everyone = \"r\"\n[roles.r]\nrules = [ { deny = \"write\", topics = \"a\" } ]\n",
    )
    .unwrap();
    fs::write(folder.join("shadow"), "topic read #\n").unwrap();
    let text = "[access]\nrules_file = \"rules\"\nshadow_acl_file = \"shadow\"\n\
                [authentication]\nhttp_url = \"http://127.0.0.1:1/\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:1883\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:1884\"\naccess_default = \"deny\"\n";
    fs::write(folder.join("broker.toml"), text).unwrap();
    let ask = |topic: &str, listener: &str| {
        let mut command = program::command(program::iothub());
        let args =
            ["acl", "check", "-c", "broker.toml", "--listener", listener, "--action", "publish", topic];
        let mut process = Process::start("iothub acl check", command.args(args).current_dir(&folder));
        (process.wait().code(), process.lines().join("\n"))
    };
    let (code, said) = ask("b", "tcp://127.0.0.1:1883");
    assert!(code == Some(0) && said.contains("the default is to allow"), "{said}");
    assert!(said.contains("  rule     access.default = \"allow\"\n  layer    built in\n"), "{said}");
    assert!(said.contains("rules that are tried out say otherwise: denied"), "{said}");
    assert!(said.contains("may bring rules"), "{said}");
    let (code, said) = ask("b", "tcp://127.0.0.1:1884");
    assert!(code == Some(1) && said.contains("the default is to deny"), "{said}");
    assert!(
        said.contains("access_default = \"deny\" of tcp://127.0.0.1:1884\n  file     broker.toml:10\n"),
        "{said}"
    );
    assert!(said.contains("  layer    configuration\n"), "{said}");
    let (code, said) = ask("a", "tcp://127.0.0.1:1883");
    assert!(code == Some(1) && said.contains("rules:3"), "{said}");
    let (code, said) = ask("a", "tcp://127.0.0.1:1");
    assert!(code == Some(2) && said.contains("tcp://127.0.0.1:1884"), "{said}");
}

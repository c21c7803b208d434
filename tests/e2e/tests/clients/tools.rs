//! The finer points of `iothub pub` and `iothub sub` that a script or a reader of mosquitto's tools knows.

use std::process::Command;

use e2e::{Broker, Process, program};

#[test]
fn widths_and_raw_json_are_printed_as_mosquitto_prints_them() {
    let broker = Broker::start("tools-formats", 1);
    publish(&broker, &["-r", "-t", "json/a", "-m", "{ \"b\" : [ 1, true ] }"]);
    let format = "%10t|%-10t|%010t|%5l|%05l|%.3t|%8.3t|%50p|%t|%J";
    let printed = both(&broker, &["-t", "json/#", "-C", "1", "-W", "10", "-F", format], 0).map(|process| {
        let line = process.out_lines().concat();
        // The time differs.
        let (before, after) = line.split_once("{\"tst\":\"").expect("JSON begins with the time");
        (before.to_owned(), after.split_once(",\"topic\"").expect("a topic").1.to_owned())
    });
    assert_eq!(printed[0], printed[1]);
    assert!(printed[1].1.ends_with(",\"payload\":{\"b\":[1,true]}}"), "{printed:?}");
}

#[test]
fn a_payload_that_is_no_json_is_told_and_skipped() {
    let broker = Broker::start("tools-json", 1);
    publish(&broker, &["-r", "-t", "json/bad", "-m", "hello"]);
    let [theirs, ours] = both(&broker, &["-t", "json/#", "-C", "1", "-W", "10", "-F", "%J"], 0);
    let expected = "Error: Message payload is not valid JSON on topic json/bad.";
    for process in [&theirs, &ours] {
        assert!(process.error_lines().contains(&expected.to_owned()), "{}", process.shown());
    }
    assert!(ours.out_lines().is_empty(), "{}", ours.shown());
}

#[test]
fn debugging_shows_the_packets_in_the_words_of_mosquitto() {
    let broker = Broker::start("tools-debug", 1);
    for version in ["311", "5"] {
        for qos in ["0", "1", "2"] {
            let args = ["-d", "-V", version, "-i", "tool", "-r", "-t", "d/e", "-q", qos, "-m", "hello"];
            let shown = commands(&broker, "pub", &args).map(|command| packet_lines(&run(command, 0)));
            // Mosquitto numbers QoS 0 messages that have no packet id.
            let shown = shown.map(|lines| lines.replace("q0, r1, m1", "q0, r1, m0"));
            assert_eq!(shown[0], shown[1], "-V {version} -q {qos}");

            // Of QoS 2, ours prints the message and ends where mosquitto waits for the PUBREL.
            let qos = if qos == "2" { "1" } else { qos };
            let args = ["-d", "-V", version, "-i", "tool", "-t", "d/#", "-q", qos, "-C", "1", "-W", "10"];
            let shown = both(&broker, &args, 0).map(|process| packet_lines(&process));
            assert_eq!(shown[0], shown[1], "-V {version} -q {qos}");
        }
    }
}

#[test]
fn the_last_of_a_repeated_option_counts() {
    let broker = Broker::start("tools-repeated", 1);
    publish(&broker, &["-r", "-q", "0", "-q", "1", "-t", "x", "-t", "-y", "-m", "first", "-m", "-second"]);
    let args =
        ["-t", "-y", "-q", "2", "-q", "1", "-C", "9", "-C", "1", "-W", "10", "-F", "x", "-F", "%t %p %q"];
    for process in both(&broker, &args, 0) {
        assert_eq!(process.out_lines(), ["-y -second 1"], "{}", process.shown());
    }
}

#[test]
fn retained_messages_are_printed_alone_and_removed() {
    let broker = Broker::start("tools-retained", 2);
    let topics = ["kept/a", "kept/b", "kept/c"];
    for topic in topics {
        publish(&broker, &["-r", "-q", "1", "-t", topic, "-m", topic]);
    }
    let printed = |process: &Process| {
        let mut lines = process.out_lines();
        lines.sort();
        lines
    };
    for process in both(&broker, &["-t", "kept/#", "--retained-only", "-C", "3", "-W", "10"], 0) {
        assert_eq!(printed(&process), topics);
    }
    let args = ["-t", "kept/#", "-q", "1", "--remove-retained", "--retained-only", "-C", "3", "-W", "10"];
    let [_, ours] = commands(&broker, "sub", &args);
    assert_eq!(printed(&run(ours, 0)), topics);
    for process in both(&broker, &["-t", "kept/#", "--retained-only", "-W", "1"], 27) {
        assert!(process.out_lines().is_empty(), "{}", process.shown());
        assert!(process.error_lines().contains(&"Timed out".to_owned()), "{}", process.shown());
    }
}

#[test]
fn a_url_names_broker_and_topic() {
    let broker = Broker::start("tools-url", 1);
    let url = format!("mqtt://user:word@127.0.0.1:{}/url/topic", broker.port);
    for tool in [vec!["pub", "-r", "-m", "by url"], vec!["sub", "-C", "1", "-W", "10"]] {
        let mut command = program::command(program::iothub());
        command.args(&tool).args(["-L", &url]);
        let process = run(command, 0);
        assert_eq!(process.out_lines().concat(), if tool[0] == "sub" { "by url" } else { "" });
    }
}

#[test]
fn mistakes_are_told_alike() {
    for (args, expected) in [
        (&["pub", "-t", "a", "-n", "-p", "abc"][..], "Error: invalid port 'abc': a number from 1 to 65535"),
        (&["sub", "-t", "a", "-C", "-1"], "Error: invalid message count '-1'"),
        (&["sub", "-t", ""], "Error: invalid topic filter ''"),
        (&["sub", "-t", "$share/g"], "Error: invalid shared subscription '$share/g'"),
        (&["sub", "-t", "a", "--psk", "12"], "Error: there is no --psk: "),
        (&["pub", "-t", "a", "-n", "--bogus"], "Error: unexpected argument '--bogus' found"),
    ] {
        let mut command = program::command(program::iothub());
        command.args(args);
        let process = run(command, 2);
        assert!(process.error_lines()[0].starts_with(expected), "{}", process.shown());
    }
}

/// `mosquitto_sub` and `iothub sub` after their end.
#[track_caller]
fn both(broker: &Broker, args: &[&str], code: i32) -> [Process; 2] {
    commands(broker, "sub", args).map(|command| run(command, code))
}

fn commands(broker: &Broker, tool: &str, args: &[&str]) -> [Command; 2] {
    let theirs = program::command(program::installed(&format!("mosquitto_{tool}")));
    let mut ours = program::command(program::iothub());
    ours.arg(tool);
    [theirs, ours].map(|mut command| {
        command.args(["-h", "127.0.0.1", "-p", &broker.port.to_string()]).args(args);
        command
    })
}

#[track_caller]
fn publish(broker: &Broker, args: &[&str]) {
    let [_, ours] = commands(broker, "pub", args);
    run(ours, 0);
}

#[track_caller]
fn run(mut command: Command, code: i32) -> Process {
    let mut process = Process::start("tool", &mut command);
    let status = process.wait();
    assert_eq!(status.code(), Some(code), "{}", process.shown());
    process
}

/// Mosquitto's tools show packets on standard output, and ours on standard error.
fn packet_lines(process: &Process) -> String {
    let is_packet = |line: &String| line.starts_with("Client ") || line.starts_with("Subscribed ");
    let lines = [process.out_lines(), process.error_lines()].concat();
    lines.into_iter().filter(is_packet).collect::<Vec<_>>().join("\n")
}

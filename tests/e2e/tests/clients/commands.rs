//! `iothub pub` and `iothub sub` beside mosquitto's tools: what scripts look at is the same.

use std::process::Command;

use e2e::{Broker, Process, program};

#[test]
fn a_subscriber_prints_topic_and_payload_as_mosquitto_does() {
    let broker = Broker::start("commands-print", 2);
    for retained in [("plain/one", "1"), ("plain/two", "two words"), ("plain/empty/", " ")] {
        let mut publisher = pub_command(&broker, &["-r", "-q", "1", "-t", retained.0, "-m", retained.1]);
        run(&mut publisher, 0);
    }
    for options in [&["-v"][..], &["-F", "%q %r %l %x %t %p"], &["-N", "-F", "%t;"], &[]] {
        let printed =
            both(&broker, &[&["-t", "plain/#", "-q", "1", "-C", "3", "-W", "10"][..], options].concat());
        assert_eq!(sorted(&printed[0]), sorted(&printed[1]), "{options:?}");
    }
}

#[test]
fn a_subscriber_that_waits_in_vain_ends_with_27() {
    let broker = Broker::start("commands-timeout", 1);
    for mut command in sub_commands(&broker, &["-t", "silence", "-W", "1"]) {
        run(&mut command, 27);
    }
}

#[test]
fn nobody_there_is_a_failure() {
    let port = e2e::broker::free_port().to_string();
    for tool in ["pub", "sub"] {
        let mut command = program::command(program::iothub());
        command.args([tool, "-h", "127.0.0.1", "-p", &port, "-t", "a"]);
        if tool == "pub" {
            command.args(["-m", "x"]);
        }
        let process = run(&mut command, 1);
        assert!(
            process.says(&format!("cannot reach 127.0.0.1:{port}: Connection refused")),
            "{}",
            process.shown()
        );
    }
}

#[test]
fn health_asks_whether_a_broker_answers() {
    let broker = Broker::start("commands-health", 2);
    let mut command = program::command(program::iothub());
    command.args(["health", &format!("tcp://127.0.0.1:{}", broker.port)]);
    run(&mut command, 0);

    let mut command = program::command(program::iothub());
    command.args(["health", &format!("tcp://127.0.0.1:{}", e2e::broker::free_port())]);
    let process = run(&mut command, 1);
    assert!(process.says("Connection refused"), "{}", process.shown());
}

/// The standard output of `mosquitto_sub` and of `iothub sub`.
fn both(broker: &Broker, args: &[&str]) -> [Vec<String>; 2] {
    sub_commands(broker, args).map(|mut command| run(&mut command, 0).out_lines())
}

fn sub_commands(broker: &Broker, args: &[&str]) -> [Command; 2] {
    let mut theirs = program::command(program::installed("mosquitto_sub"));
    let mut ours = program::command(program::iothub());
    ours.arg("sub");
    for command in [&mut theirs, &mut ours] {
        command.args(["-h", "127.0.0.1", "-p", &broker.port.to_string()]).args(args);
    }
    [theirs, ours]
}

fn pub_command(broker: &Broker, args: &[&str]) -> Command {
    let mut command = program::command(program::iothub());
    command.args(["pub", "-h", "127.0.0.1", "-p", &broker.port.to_string()]).args(args);
    command
}

#[track_caller]
fn run(command: &mut Command, code: i32) -> Process {
    let mut process = Process::start("command", command);
    let status = process.wait();
    assert_eq!(status.code(), Some(code), "{}", process.shown());
    process
}

/// Retained messages come in any order.
fn sorted(lines: &[String]) -> Vec<String> {
    let mut lines = lines
        .join("\n")
        .split_inclusive([';', '\n'])
        .map(|part| part.trim_end().to_owned())
        .collect::<Vec<_>>();
    lines.sort();
    lines
}

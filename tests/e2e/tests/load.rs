//! The load generator against the real broker and against its own null relay: no message of a run that is in order is lost,
//! and a run that cannot be is an error.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use e2e::{Process, Setup, broker, program};

#[test]
fn every_scenario_with_messages_is_whole_on_one_and_two_shards() {
    for shards in [1, 2] {
        let broker = Setup::new("load").shards(shards).start();
        for scenario in [
            "p2p -n 5 -w 100",
            "p2p -n 5 -w 100 -q 1",
            "p2p -n 5 -w 100 -q 2 --threads 2",
            "p2p -n 5 --rate 1000 -V 5 -q 1",
            "fanin -n 10 --subscribers 2",
            "fanout -n 20 --publishers 2 -w 200",
            "p2p -n 3 -w 60 --topics 5 -q 1",
            "fanin -n 4 --subscribers 2 --topics 3 --rate 1000 --threads 2",
        ] {
            let figures = run(scenario, broker.port, Some(broker.process.id()));
            assert!(figure(&figures, "deliveries_per_s") > 100.0, "{scenario}: {figures}");
            assert!(figure(&figures, "broker_cpu_us") > 0.0, "{scenario}: {figures}");
            let (p50, max) = (figure(&figures, "latency_p50_us"), figure(&figures, "latency_max_us"));
            assert!(0.0 < p50 && p50 <= max, "{scenario}: {figures}");
        }
    }
}

#[test]
fn each_group_gets_every_message_once_and_its_members_share_it() {
    for shards in [1, 2] {
        let broker = Setup::new("load").shards(shards).start();
        for scenario in [
            "shared -n 5 --groups 2 --members 4 -w 200",
            "shared -n 1 --groups 1 --members 3 -q 1 --rate 1000",
            "shared -n 4 --members 6 --topics 2 -q 2 -w 100 --threads 2 -V 5",
        ] {
            let figures = run(scenario, broker.port, Some(broker.process.id()));
            assert!(figure(&figures, "deliveries_per_s") > 100.0, "{scenario}: {figures}");
            let smallest = figure(&figures, "smallest_share_percent");
            let largest = figure(&figures, "largest_share_percent");
            assert!(smallest <= 100.0 && 100.0 <= largest, "{scenario}: {figures}");
        }
    }
}

#[test]
fn connections_are_counted() {
    let broker = Setup::new("load").start();
    let figures = run("connect -n 200", broker.port, Some(broker.process.id()));
    assert!(figure(&figures, "connects_per_s") > 1.0, "{figures}");
    assert!(figure(&figures, "broker_cpu_us") > 0.0, "{figures}");
    let figures = run("idle -n 50 --hold 1", broker.port, Some(broker.process.id()));
    assert!(figure(&figures, "connections") == 50.0 && figure(&figures, "dropped") == 0.0, "{figures}");
}

#[test]
fn the_null_relays_move_every_byte() {
    for engine in ["epoll", "io-uring"] {
        let port = broker::free_port();
        let mut command = loadgen();
        command.args(["null", "--engine", engine, "--port", &port.to_string()]);
        let null = Process::start("null", &mut command);
        null.await_text("listens");
        for scenario in ["p2p -n 5 -w 100", "p2p -n 5 --rate 1000 -V 5", "fanin -n 10", "fanout -n 20 -w 200"]
        {
            run(scenario, port, Some(null.id()));
        }
        let refused = loadgen().args(["p2p", "-q", "1", "-p", &port.to_string()]).output().unwrap();
        assert!(!refused.status.success(), "QoS 1 is not for the relay");
    }
}

#[test]
fn a_broker_that_is_not_there_is_a_sentence() {
    let port = broker::free_port().to_string();
    let output = loadgen().args(["p2p", "-p", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("cannot connect to 127.0.0.1"), "{text}");
}

fn loadgen() -> Command {
    program::command(program::beside_test("loadgen"))
}

/// Runs a scenario for a second; gives its report as JSON.
#[track_caller]
fn run(scenario: &str, port: u16, pid: Option<u32>) -> String {
    let mut command = loadgen();
    command.args(scenario.split(' ')).args(["--port", &port.to_string(), "--json", "-"]);
    if !scenario.starts_with("connect") && !scenario.starts_with("idle") {
        command.args(["--duration", "1", "--warmup", "0"]);
    }
    if let Some(pid) = pid {
        command.args(["--pid", &pid.to_string()]);
    }
    let output = command.output().expect("`cargo build --bin loadgen` comes first");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The value that stands behind its key.
#[track_caller]
fn figure(json: &str, key: &str) -> f64 {
    let (_, behind) =
        json.split_once(&format!("\"key\": \"{key}\"")).unwrap_or_else(|| panic!("no {key}: {json}"));
    let (_, value) = behind.split_once("\"value\": ").expect("a figure has a value");
    value.split([',', '\n']).next().unwrap().parse().unwrap()
}

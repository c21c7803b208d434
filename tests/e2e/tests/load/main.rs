//! The load generator against the real broker and against its own null relay: no message of a run that is in order is lost,
//! and a run that cannot be is an error.
#![allow(clippy::unwrap_used)]

mod failure;
mod transports;

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
            "fanin -n 10 -q 1",
            "fanout -n 20 --publishers 2 -w 200",
            "p2p -n 3 -w 60 --topics 5 -q 1",
            "fanin -n 4 --subscribers 2 --topics 3 --rate 1000 --threads 2",
            "p2p -n 5 -w 100 -q 1 --stored",
            "fanin -n 5 -w 100 -q 2 --stored -V 5 --threads 2",
        ] {
            let figures = run(scenario, broker.port, Some(broker.process.id()));
            assert!(figure(&figures, "deliveries_per_s") > 100.0, "{scenario}: {figures}");
            assert!(figure(&figures, "broker_cpu_us") > 0.0, "{scenario}: {figures}");
            let (p50, max) = (figure(&figures, "latency_p50_us"), figure(&figures, "latency_max_us"));
            assert!(0.0 < p50 && p50 <= max, "{scenario}: {figures}");
            let is_acknowledged = scenario.contains("-q");
            assert_eq!(figures.contains("\"ack_latency_p50_us\""), is_acknowledged, "{scenario}: {figures}");
        }
    }
}

#[test]
fn each_group_gets_every_message_once_and_its_members_share_it() {
    for shards in [1, 2] {
        // A message that full members of one shard leave to those of another may come after later ones: here all have room.
        let roomy = Setup::new("load").variable("IOTHUB_SESSION__MAX_INFLIGHT", "1000");
        let broker = roomy.shards(shards).start();
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
fn retained_messages_are_stored_replayed_and_cleared() {
    for shards in [1, 2] {
        let broker = Setup::new("load").shards(shards).start();
        for scenario in [
            "retained -n 1000 --matches 30 --subscriptions 50",
            "retained -n 300 --matches 300 --subscriptions 3 -q 0 -V 5",
            "retained -n 64 --matches 1 --subscriptions 100 -q 2 -s 2000",
        ] {
            let figures = run(scenario, broker.port, Some(broker.process.id()));
            assert!(figure(&figures, "store_cpu_us") > 0.0, "{scenario}: {figures}");
            assert!(figure(&figures, "deliveries_per_s") > 0.0, "{scenario}: {figures}");
            assert!(figure(&figures, "latency_p50_us") > 0.0, "{scenario}: {figures}");
        }
    }
}

#[test]
fn retained_messages_that_the_broker_drops_are_a_failure() {
    let broker = Setup::new("load").config("[router]\nretained_message_limit = 50\n").start();
    let scenario = "retained -n 100 --matches 10 --subscriptions 10 -V 5";
    let (code, figures, errors) = try_run(scenario, broker.port, None);
    assert_eq!(code, Some(1), "{errors}");
    assert!(figure(&figures, "deliveries_per_s") > 0.0 && !figures.contains("\"lost\": 0"), "{figures}");
}

#[test]
fn queues_of_absent_clients_are_filled_and_drained() {
    for shards in [1, 2] {
        let broker = Setup::new("load").shards(shards).start();
        for scenario in [
            "persistent -n 20 -m 300",
            "persistent -n 5 -m 150 -q 2 -V 5",
            "persistent -n 30 -m 10 --parallel 4 -V 5",
            "persistent -n 30 -m 10 --keep",
            "persistent -n 30 -m 10 --filled",
            "persistent -n 30 -m 0 --keep -V 5",
            "persistent -n 20 -m 10 --begun -V 5",
        ] {
            let figures = run(scenario, broker.port, Some(broker.process.id()));
            // Later ones take the memory that earlier ones have freed.
            let is_fresh = scenario.contains("-m 300");
            assert!(!is_fresh || figure(&figures, "bytes_per_message") > 0.0, "{scenario}: {figures}");
            let (is_kept, is_filled) = (scenario.contains("--keep"), scenario.contains("--filled"));
            let fills = !is_filled && !scenario.contains("-m 0");
            assert_eq!(figures.contains("\"queue_cpu_us\""), fills, "{scenario}: {figures}");
            assert!(is_kept || figure(&figures, "deliveries_per_s") > 0.0, "{scenario}: {figures}");
        }
    }
}

#[test]
fn a_queue_that_is_too_short_is_a_failure_with_numbers() {
    let broker = Setup::new("load").config("[session]\nmax_queued_messages = 50\n").start();
    let (code, figures, errors) = try_run("persistent -n 2 -m 200", broker.port, None);
    assert_eq!(code, Some(1), "{errors}");
    assert!(figures.contains("\"lost\": 300"), "{figures}");
    assert!(errors.contains("lost"), "{errors}");
}

#[test]
fn clients_come_and_go() {
    for shards in [1, 2] {
        let broker = Setup::new("load").shards(shards).start();
        for scenario in ["churn -n 10", "churn -n 5 -q 2 -V 5", "churn -n 20 -q 1 --rate 200"] {
            let figures = run(scenario, broker.port, Some(broker.process.id()));
            assert!(figure(&figures, "cycles_per_s") > 50.0, "{scenario}: {figures}");
            assert!(figure(&figures, "broker_cpu_us") > 0.0, "{scenario}: {figures}");
        }
    }
}

#[test]
fn mixed_load_is_reported_by_part() {
    for shards in [1, 2] {
        let broker = Setup::new("load").shards(shards).start();
        for scenario in [
            "mixed -n 5 --rate 500 --fanout 20 --fanout-rate 20 --churn-rate 50 --idle 10",
            "mixed -n 2 --rate 200 --fanout 3 --churn-rate 0 --idle 0 -q 1 -V 5",
        ] {
            let figures = run(scenario, broker.port, Some(broker.process.id()));
            assert!(figure(&figures, "p2p_deliveries_per_s") > 100.0, "{scenario}: {figures}");
            assert!(figure(&figures, "fanout_deliveries_per_s") > 10.0, "{scenario}: {figures}");
            assert!(figure(&figures, "p2p_latency_p50_us") > 0.0, "{scenario}: {figures}");
            assert!(figure(&figures, "dropped") == 0.0, "{scenario}: {figures}");
            if scenario.contains("--churn-rate 50") {
                assert!(figure(&figures, "churn_cycles_per_s") > 25.0, "{scenario}: {figures}");
            }
        }
    }
}

#[test]
fn a_file_says_who_publishes_and_who_subscribes() {
    // A machine that is busy elsewhere for a moment makes a queue longer, and nothing else.
    let broker = Setup::new("load").shards(2).config("[session]\nmax_queued_messages = 100000\n").start();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../loadgen/examples/plant.toml");
    let figures = run(&format!("run {example}"), broker.port, Some(broker.process.id()));
    for part in ["dashboards", "actuators", "archive"] {
        assert!(figure(&figures, &format!("{part}_deliveries_per_s")) > 100.0, "{part}: {figures}");
    }
    let file = broker.folder().join("retained.toml");
    let text = "[[publisher]]\ntopic = \"a/{i}\"\ncount = 3\nwindow = 5\nqos = 2\nretain = true\n\
                [[subscriber]]\nfilter = \"a/{i}\"\ncount = 3\nqos = 1\n[[subscriber]]\nfilter = \"#\"\n";
    std::fs::write(&file, text).unwrap();
    for _ in 0..2 {
        run(&format!("run {} -V 5 --threads 2", file.display()), broker.port, None);
    }
    std::fs::write(&file, text.replace("qos = 2", "qos = 3")).unwrap();
    let (code, _, errors) = try_run(&format!("run {}", file.display()), broker.port, None);
    assert_eq!(code, Some(1));
    assert!(errors.contains("retained.toml:5: `qos = 3`"), "{errors}");
}

#[test]
fn two_at_once_with_prefixes_of_their_own_are_whole() {
    let broker = Setup::new("load").shards(2).start();
    for scenario in
        ["shared -n 3 --members 3", "churn -n 3", "mixed -n 3 --fanout 5 --idle 3", "idle -n 9 --hold 1"]
    {
        let starts = ["north", "south"].map(|prefix| {
            let mut command = loadgen();
            command.args(scenario.split(' ')).args(["--prefix", prefix, "-p", &broker.port.to_string()]);
            if !scenario.starts_with("idle") {
                command.args(["-d", "1", "--warmup", "0"]);
            }
            Process::start(prefix, &mut command)
        });
        for mut run in starts {
            run.succeed();
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

fn loadgen() -> Command {
    program::command(program::beside_test("loadgen"))
}

/// Runs a scenario for a second; gives its report as JSON.
#[track_caller]
fn run(scenario: &str, port: u16, pid: Option<u32>) -> String {
    let (code, figures, errors) = try_run(scenario, port, pid);
    assert_eq!(code, Some(0), "{scenario}: {errors}\n{figures}");
    figures
}

/// The same for one that may fail: its exit code, its report and what it says of errors.
fn try_run(scenario: &str, port: u16, pid: Option<u32>) -> (Option<i32>, String, String) {
    let mut command = loadgen();
    command.args(scenario.split(' ')).args(["--port", &port.to_string(), "--json", "-"]);
    if !["connect", "idle", "retained", "persistent"].iter().any(|counted| scenario.starts_with(counted)) {
        command.args(["--duration", "1", "--warmup", "0"]);
    }
    if let Some(pid) = pid {
        command.args(["--pid", &pid.to_string()]);
    }
    let output = command.output().expect("`cargo build -p loadgen` comes first");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The value that stands behind its key.
#[track_caller]
fn figure(json: &str, key: &str) -> f64 {
    let (_, behind) =
        json.split_once(&format!("\"key\": \"{key}\"")).unwrap_or_else(|| panic!("no {key}: {json}"));
    let (_, value) = behind.split_once("\"value\": ").expect("a figure has a value");
    value.split([',', '\n']).next().unwrap().parse().unwrap()
}

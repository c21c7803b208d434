//! `loadgen compare` with the real broker and the relay: what it finds, what it says of a broker that fails, and that nothing
//! which it started outlives it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use e2e::process::outcome;
use e2e::{PATIENCE, Process, program};
use serde_json::Value;

#[test]
fn the_relay_and_the_broker_are_measured_alike() {
    let folder = program::fresh_folder("compare");
    let json = folder.join("found.json");
    let mut command = compare(&["--null", "epoll", "--repeat", "2"]);
    command.args(["--broker", &iothub(), "--run", P2P, "--run", P2P_QOS_1]);
    let output = command.arg("--json").arg(&json).output().unwrap();
    let (out, errors) = texts(&output);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("[1/6] "), "a line for each run where there is no terminal: {errors}");

    let found: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(found["turns"].as_array().unwrap().len(), 6, "the relay has no QoS 1");
    let [at_most_once, at_least_once] = &found["summary"].as_array().unwrap()[..] else { panic!("{found}") };
    for (block, broker) in [(at_most_once, 0), (at_most_once, 1), (at_least_once, 1)] {
        assert_eq!(block["standings"][broker]["sound"], 2, "{block}");
        for key in ["broker_cpu_us", "deliveries_per_s", "broker_rss_bytes", "latency_p50_us"] {
            let row = block["figures"].as_array().unwrap().iter().find(|row| row["key"] == key).expect(key);
            let spread = &row["spreads"][broker];
            let [min, median, max] = ["min", "median", "max"].map(|name| spread[name].as_f64().unwrap());
            assert!(0.0 < min && min <= median && median <= max, "{key}: {spread}");
        }
        assert!(block["latencies"][broker].as_array().unwrap().len() > 3, "{block}");
    }
    assert_eq!(at_least_once["standings"][0]["is_left_out"], true);
    assert!(found["host"]["kernel"].as_str().unwrap().starts_with("Linux "));

    assert!(out.contains("medians of 2, [lowest to highest], × null epoll"), "{out}");
    let output = compare(&["--from"]).arg(&json).output().unwrap();
    assert_eq!(texts(&output).0, out, "what was written is shown again as it was");
    let output =
        compare(&["--only-broker", "iothub", "--only-run", P2P, "--from"]).arg(&json).output().unwrap();
    let part = texts(&output).0;
    assert!(part.contains("[lowest to highest], × iothub") && !part.contains("null epoll"), "{part}");
    assert!(!part.contains(P2P_QOS_1), "{part}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_broker_is_restarted_on_what_it_has_kept() {
    let folder = program::fresh_folder("compare-data");
    let (json, data) = (folder.join("found.json"), folder.join("data"));
    let suite = folder.join("suite.toml");
    let text = format!(
        "repeat = 1\n[[broker]]\nname = \"forgetful\"\ncommand = \"\"\"{0} -q --listen tcp://127.0.0.1:{{port}}\"\"\"\n\
         [[broker]]\nname = \"keeping\"\ncommand = \"\"\"{0} -q --listen tcp://127.0.0.1:{{port}} --data-dir {{data}}\"\"\"\n\
         [[run]]\nname = \"back\"\nbefore = \"persistent -n 5 -m 20 --keep\"\ncommand = \"persistent -n 5 -m 20 --filled\"\n\
         [[run]]\ncommand = \"floor --data {{data}} -d 1\"\n",
        quoted_iothub()
    );
    fs::write(&suite, text).unwrap();
    let mut command = compare(&["--suite"]);
    let output = command.arg(&suite).arg("--data").arg(&data).arg("--json").arg(&json).output().unwrap();
    assert!(output.status.success(), "{}", texts(&output).1);
    let found: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let block = &found["summary"][0];
    assert_eq!(block["standings"][0]["is_left_out"], true, "what keeps nothing has nothing to come back to");
    assert_eq!(block["standings"][1]["sound"], 1, "{block}");
    for key in ["restart_ms", "restart_cpu_ms", "data_bytes", "deliveries_per_s", "queued_per_s"] {
        let row = block["figures"].as_array().unwrap().iter().find(|row| row["key"] == key).expect(key);
        assert!(row["spreads"][1]["median"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "what brokers keep is removed");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_broker_that_dies_or_never_answers_is_told_and_ends_nothing() {
    let mut command = compare(&["--null", "epoll", "--repeat", "1", "--run", P2P, "--json", "-"]);
    command.args(["--broker", "dead=sh -c 'echo its last words >&2; exit 7' {port}"]);
    command.args(["--broker", "deaf=sh -c 'echo nothing heard; exec sleep 1000' {port}"]);
    command.args(["--broker", "absent=no-such-program {port}"]);
    // It serves, and dies while it does.
    let mortal = format!("mortal=timeout -s KILL 0.5 {} --listen tcp://127.0.0.1:{{port}}", quoted_iothub());
    command.args(["--broker", &mortal]);
    let output = command.output().unwrap();
    let (out, errors) = texts(&output);
    assert!(output.status.success(), "{errors}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let block = &found["summary"][0];
    assert_eq!(block["standings"][0]["sound"], 1, "{block}");
    for (broker, what, last_line) in [
        (1, "the broker ended at its start with exit code 7", Some("its last words")),
        (2, "the broker did not answer a CONNECT", Some("nothing heard")),
        (3, "there is no program `no-such-program`", None),
        (4, "the broker ended during the run with ", None),
    ] {
        let standing = &block["standings"][broker];
        assert_eq!(standing["sound"], 0, "{standing}");
        let failure = &standing["failures"][0];
        assert!(failure["what"].as_str().unwrap().contains(what), "{failure}");
        let lines = failure["last_lines"].as_array().unwrap();
        assert!(last_line.is_none_or(|line| lines.iter().any(|known| known == line)), "{failure}");
        assert!(block["figures"][0]["spreads"][broker].is_null(), "{block}");
    }
}

#[test]
fn what_cannot_be_compared_is_a_sentence() {
    let broker = "b=mosquitto -p {port}";
    for (args, text) in [
        (vec![], "there is nothing to compare"),
        (vec!["--broker", broker], "there is nothing to run"),
        (vec!["--broker", "mosquitto"], "write NAME=COMMAND"),
        (vec!["--broker", "b=mosquitto", "--run", "p2p"], "the command of `b` has no {port}"),
        (vec!["--broker", broker, "--run", "p3p"], "run `p3p`: "),
        (vec!["--broker", broker, "--broker", "c=x {port}", "--run", "p2p --nothing"], "--nothing"),
        (vec!["--broker", broker, "--run", "p2p", "--run", "p2p"], "`p2p` is there twice"),
        (vec!["--broker", broker, "--run", "p2p", "--broker-cpus", "1023"], "there is no processor 1023"),
        (vec!["--broker", broker, "--run", "p2p", "--only-broker", "c"], "there is none of this name, but b"),
        (vec!["--from", "no-such-file.json"], "no-such-file.json: No such file"),
        (vec!["--from", "a.json", "--repeat", "2"], "cannot be used with"),
        (vec!["--suite", "no-such-file.toml"], "cannot read the suite no-such-file.toml"),
        (
            vec!["--broker", "b=no-such-program {port}", "--run", P2P, "--repeat", "1"],
            "no run gave any figures",
        ),
    ] {
        let output = compare(&args).output().unwrap();
        let errors = texts(&output).1;
        assert!(!output.status.success(), "{args:?}");
        assert!(errors.contains(text), "{args:?}: {errors}");
    }
}

#[test]
fn names_stay_text_in_every_report() {
    let folder = program::fresh_folder("compare-names");
    let html = folder.join("found.html");
    let name = "<b>&\"'";
    let mut command = compare(&["--repeat", "1", "--run", P2P, "--svg", folder.to_str().unwrap()]);
    command.args(["--broker", &iothub().replacen("iothub", name, 1)]).arg("--html").arg(&html);
    let (out, errors) = texts(&command.output().unwrap());
    assert!(out.contains(&format!("  {name} ")), "{out}{errors}");
    let cpu = fs::read_to_string(folder.join("p2p-n-2-w-20-d-1-warmup-0-broker_cpu_us.svg")).unwrap();
    for text in [fs::read_to_string(html).unwrap(), cpu] {
        assert!(text.contains("&lt;b&gt;&amp;&quot;") && !text.contains("<b>"), "{text}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn nothing_outlives_a_comparison() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGKILL] {
        let mut command = compare(&["--broker", &iothub(), "--run", "p2p -n 2 -w 20 -d 60"]);
        let mut process = Process::start("compare", &mut command);
        let children = await_children(process.id(), 2);
        process.signal(signal);
        let status = process.wait();
        assert!(!status.success(), "{}", outcome(status));
        let deadline = Instant::now() + PATIENCE;
        // The kernel's own signal to them is under way when the comparison was killed.
        while let Some(child) = children.iter().find(|child| is_alive(child)) {
            assert!(Instant::now() < deadline, "{child} outlives signal {signal}");
            std::thread::sleep(Duration::from_millis(5));
        }
        if signal != libc::SIGKILL {
            process.await_text("interrupted after 0 runs; all brokers are stopped");
        }
    }
}

#[test]
fn a_broker_that_listens_and_says_nothing_holds_no_signal_up() {
    let folder = program::fresh_folder("compare-mute");
    let seen = folder.join("seen");
    let python = program::installed("python3");
    let broker = format!("mute='{}' -c '{MUTE}' {{port}} '{}'", python.display(), seen.display());
    let mut command = compare(&["--broker", &broker, "--run", P2P]);
    let mut process = Process::start("compare", &mut command);
    let children = await_children(process.id(), 1);
    let deadline = Instant::now() + PATIENCE;
    while !seen.exists() {
        assert!(Instant::now() < deadline, "nobody connected");
        std::thread::sleep(Duration::from_millis(5));
    }
    let signalled = Instant::now();
    process.signal(libc::SIGINT);
    process.await_text("interrupted after 0 runs; all brokers are stopped");
    assert!(!process.wait().success());
    assert!(signalled.elapsed() < Duration::from_secs(5), "a CONNECT is given ten seconds");
    assert!(!is_alive(&children[0]));
    fs::remove_dir_all(folder).unwrap();
}

/// The broker and the process that loads it.
fn await_children(id: u32, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let path = format!("/proc/{id}/task/{id}/children");
        let children = fs::read_to_string(path).unwrap_or_default();
        let children: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
        if children.len() >= count {
            return children;
        }
        assert!(Instant::now() < deadline, "{id} has not started {count} processes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(id: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(id).join("stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn compare(args: &[&str]) -> Command {
    let mut command = program::command(program::beside_test("loadgen"));
    command.arg("compare").args(args);
    command
}

fn iothub() -> String {
    format!("iothub={} --shards 1 --listen tcp://127.0.0.1:{{port}}", quoted_iothub())
}

fn quoted_iothub() -> String {
    format!("'{}'", program::iothub().display())
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const P2P: &str = "p2p -n 2 -w 20 -d 1 --warmup 0";
const P2P_QOS_1: &str = "p2p -n 2 -q 1 -w 20 -d 1 --warmup 0";
const MUTE: &str = "import socket, sys
server = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))
connection = server.accept()
open(sys.argv[2], \"w\").close()
server.accept()";

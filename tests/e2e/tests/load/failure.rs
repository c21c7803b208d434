//! What cannot go well: each ends at once with exit code 1 and a sentence that says what to do.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::{Duration, Instant};

use client::QoS;
use e2e::{Link, Process, Setup, broker, v5};

use super::{figure, loadgen, try_run};

#[test]
fn nonsense_is_refused_with_a_sentence() {
    for (scenario, sentence) in [
        ("retained -n 10 --matches 11", "cannot match 11 of 10"),
        ("persistent -q 0", "need not be queued"),
        ("persistent -n 1000000 -m 10000000", "take fewer"),
        ("p2p -n 100000 --topics 100000", "take fewer"),
        ("shared --groups 1000 --members 10000", "take fewer"),
        ("p2p", "cannot connect to 127.0.0.1"),
        ("p2p", "--port"),
        ("p2p --pid 4194305", "there is no process 4194305"),
        ("run nowhere.toml", "cannot read nowhere.toml"),
    ] {
        let begun = Instant::now();
        let (code, figures, errors) = try_run(scenario, broker::free_port(), None);
        assert_eq!(code, Some(1), "{scenario}: {errors}");
        assert!(errors.contains(sentence), "{scenario}: {errors}");
        assert!(figures.is_empty() && begun.elapsed() < SOON, "{scenario}: {figures}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_run() {
    let broker = Setup::new("load").start();
    let mut command = loadgen();
    command.args(["p2p", "-d", "60", "--json", "/nowhere/p2p.json", "--port", &broker.port.to_string()]);
    let mut run = Process::start("p2p", &mut command);
    assert_eq!(run.wait_at_most(SOON).code(), Some(1));
    assert!(run.says("cannot write /nowhere/p2p.json"), "{}", run.shown());
}

#[test]
fn a_run_ends_when_its_broker_dies() {
    for scenario in [
        "p2p -n 5 -d 60",
        "p2p -n 5 -d 60 -q 1 --rate 500",
        "p2p -n 5 -d 60 --threads 3",
        "shared -n 5 -q 2 -d 60",
        "mixed -n 5 -d 60",
        "churn -n 5 -d 60",
        "churn -n 5 -d 60 --rate 100",
        "retained -n 1000000",
        "persistent -n 5 -m 1000000",
    ] {
        for signal in [libc::SIGKILL, libc::SIGTERM] {
            let mut broker = Setup::new("load").config(LARGE).start();
            let mut command = loadgen();
            command.args(scenario.split(' ')).args(["--port", &broker.port.to_string()]);
            let mut watcher = Link::connect(broker.port, v5("watcher"));
            watcher.subscribe("loadgen/#", QoS::AtMostOnce);
            let mut run = Process::start(scenario, &mut command);
            watcher.message();
            let begun = Instant::now();
            broker.process.signal(signal);
            let status = run.wait_at_most(SOON);
            let took = begun.elapsed();
            assert_eq!(status.code(), Some(1), "{scenario}: {}", run.shown());
            let is_told = ["closed the connection", "cannot connect", "was not accepted"];
            assert!(is_told.iter().any(|words| run.says(words)), "{scenario}: {}", run.shown());
            println!("{scenario}: {took:?}, {:?}", run.error_lines());
            broker.process.wait();
        }
    }
}

#[test]
fn an_end_of_all_idle_connections_is_the_end_and_a_failure() {
    let mut broker = Setup::new("load").start();
    let mut command = loadgen();
    command.args(["idle", "-n", "20", "--hold", "60", "--port", &broker.port.to_string()]);
    let mut run = Process::start("idle", &mut command);
    broker.await_counter("subscriptions", 20);
    // Whoever comes after the last one is answered after it.
    Link::connect(broker.port, v5("witness")).cut();
    broker.process.signal(libc::SIGKILL);
    let status = run.wait_at_most(SOON);
    broker.process.wait();
    assert!(status.code() == Some(1) && run.says("dropped 20"), "{}", run.shown());
}

#[test]
fn a_broker_that_takes_fewer_clients_is_a_sentence() {
    let broker = Setup::new("load").config("[server]\nmax_connections = 5\n").start();
    for scenario in
        ["p2p -n 5 -V 5", "churn -n 10 -V 5", "mixed -n 5 -V 5", "idle -n 10 --hold 1", "connect -n 50"]
    {
        let (code, figures, errors) = try_run(scenario, broker.port, None);
        assert_eq!(code, Some(1), "{scenario}: {figures}");
        let is_told = ["was not accepted", "refused a client", "refused connection"];
        assert!(is_told.iter().any(|words| errors.contains(words)), "{scenario}: {errors}");
    }
}

#[test]
fn a_server_that_is_no_broker_is_a_sentence() {
    for (answer, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "does not speak MQTT"),
        (b"", "closed the connection instead of an answer"),
        (b"\x20\x02\x00", "closed the connection instead of an answer"),
        (b"\xD0\x00", "the answer to the CONNECT is a Pingresp"),
        (b"\x20\x02\x00\x05", "Not authorized: see --username"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // A reset would take the answer with it, if some of the question were not read.
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream.write_all(answer).unwrap();
        });
        let (code, _, errors) = try_run("p2p -n 1", port, None);
        server.join().unwrap();
        assert_eq!(code, Some(1));
        assert!(errors.contains(words), "{words}: {errors}");
    }
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_a_sentence() {
    for scenario in ["p2p -n 50", "persistent", "churn", "mixed", "connect", "idle"] {
        let mut command = loadgen();
        command.args(scenario.split(' ')).args(["--port", &broker::free_port().to_string()]);
        let limit = libc::rlimit { rlim_cur: 30, rlim_max: 30 };
        // SAFETY: setrlimit is async-signal-safe and reads one structure, which the closure owns.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{scenario}: {errors}");
        assert!(errors.contains("30 are allowed: raise `ulimit -Hn`"), "{scenario}: {errors}");
    }
}

#[test]
fn a_rate_beyond_everybody_ends_in_time_and_is_told() {
    let broker = Setup::new("load").start();
    let begun = Instant::now();
    let (code, figures, errors) = try_run("p2p -n 2 --rate 100000000", broker.port, None);
    assert!(begun.elapsed() < SOON, "{errors}");
    assert!(code == Some(0) || figures.contains("\"lost\""), "{errors}");
    assert!(figure(&figures, "unsent") > 1e6, "{figures}");
}

const LARGE: &str = "[session]\nmax_queued_messages = 1000000\n[router]\nretained_message_limit = 1000000\n";
/// Longer than a run of a second with all that is around it, shorter than any run that nobody ends.
const SOON: Duration = Duration::from_secs(8);

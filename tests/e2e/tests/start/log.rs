//! The log: how much, in which form, and what a line about a client has.

use std::process::Command;

use e2e::{Broker, Link, Process, Setup, program, v5};

#[test]
fn verbose_says_more_and_quiet_says_less() {
    let lines = |args: &[&str]| {
        let port = e2e::broker::free_port();
        let listen = format!("tcp://127.0.0.1:{port}");
        let broker =
            Setup::bare("log-level").args(["--listen", &listen, "--shards", "2"]).args(args).start_on(port);
        Link::connect(port, v5("client")).close();
        let ended = broker.end(libc::SIGTERM);
        assert_eq!(ended.code, Some(0));
        ended.errors
    };
    let has = |lines: &[String], level: &str| lines.iter().any(|line| line.contains(&format!(" {level} ")));
    assert!(has(&lines(&["-v"]), "DEBUG"));
    let usual = lines(&[]);
    assert!(has(&usual, "INFO") && !has(&usual, "DEBUG"), "{usual:?}");
    assert_eq!(lines(&["-q"]), [""; 0]);
    assert_eq!(lines(&["-qq"]), [""; 0]);
}

#[test]
fn a_line_about_a_client_has_its_id_address_and_reason() {
    let broker = Broker::start("log-client", 2);
    Link::connect(broker.port, v5("someone")).close();
    let line = broker.process.await_line("that the client went", |line| {
        (line.contains(" disconnected ") && line.contains("client_id=\"someone\"")).then(|| line.to_owned())
    });
    assert!(
        line.contains("address=127.0.0.1:") && line.contains("reason=\"Normal disconnection\""),
        "{line}"
    );
    let time = line.split_whitespace().next().unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "ISO 8601 in UTC");
}

#[test]
fn every_line_of_the_json_log_is_json() {
    let broker = Setup::new("log-json").shards(2).args(["--log-format", "json", "-v"]).start();
    // Ids that would break a line that is put together carelessly.
    for client_id in ["plain", "quote\"back\\slash", "line\nfeed\ttab", "ümläut \u{1F980} \u{7f}"] {
        let mut link = Link::connect(broker.port, v5(client_id));
        link.expect_silence();
        link.cut();
    }
    broker.process.await_line("the last client's end", |line| {
        (line.contains("\"disconnected\"") && line.contains("\u{1F980}")).then_some(())
    });
    let ended = broker.end(libc::SIGTERM);
    assert_eq!(ended.code, Some(0));

    let folder = program::fresh_folder("log-json-lines");
    let path = folder.join("log");
    std::fs::write(&path, ended.errors.join("\n")).unwrap();
    let mut command = Command::new(program::python());
    command.arg("-B").arg(program::source("python/json_log.py")).arg(&path);
    let mut checker = Process::start("json_log.py", &mut command);
    checker.succeed();
    std::fs::remove_dir_all(folder).unwrap();
    let ids: Vec<String> = checker.out_lines();
    assert_eq!(ids, ["'plain'", "'quote\"back\\\\slash'", "'line\\nfeed\\ttab'", "'ümläut \u{1F980} \\x7f'"]);
}

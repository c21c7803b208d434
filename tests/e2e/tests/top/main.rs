//! `iothub top` in a real terminal, which tmux holds: what it shows, what keys do, and where it refuses.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use client::QoS;
use e2e::{Broker, Link, PATIENCE, Process, Setup, program, v5};

/// A terminal of its own, with `iothub top` in it. It ends with this.
struct Terminal {
    socket: PathBuf,
    folder: PathBuf,
}

impl Terminal {
    #[track_caller]
    fn open(broker: &Broker, width: u16, height: u16) -> Terminal {
        let folder = program::fresh_folder("top");
        let terminal = Terminal { socket: folder.join("tmux"), folder };
        let top = format!(
            "'{}' top --every 1 --socket '{}'; echo ended with $?; read line",
            program::iothub().display(),
            broker.folder().join("control.sock").display(),
        );
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, &top]);
        terminal
    }

    #[track_caller]
    fn tmux(&self, args: &[&str]) -> String {
        let mut command = program::command(program::installed("tmux"));
        command
            .arg("-u")
            .arg("-S")
            .arg(&self.socket)
            .args(args)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is so.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            if is_so(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "the screen does not show {what}:\n{shown}");
            // No event tells that another process has drawn.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut command = Command::new(program::installed("tmux"));
        let _ = command.arg("-S").arg(&self.socket).arg("kill-server").output();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn broker(name: &str) -> Broker {
    Setup::new(name).shards(2).config("[control]\nsocket = \"control.sock\"\n").start()
}

#[test]
fn it_shows_who_sends_most_and_ends_by_a_key() {
    let broker = broker("top-shown");
    let mut links: Vec<Link> =
        ["quiet", "loud-\u{202e}client"].map(|client_id| Link::connect(broker.port, v5(client_id))).into();
    links[1].subscribe("loud/#", QoS::AtMostOnce);
    let terminal = Terminal::open(&broker, 110, 30);
    terminal.until("numbers", |shown| shown.contains("connections 2") && shown.contains("quiet"));
    let deadline = Instant::now() + PATIENCE;
    let is_first = |shown: &str| {
        let line = |text: &str| shown.lines().position(|line| line.starts_with(text));
        matches!((line("loud-"), line("quiet")), (Some(loud), Some(quiet)) if loud < quiet)
    };
    // Its rate is that between two answers, so that it goes on until it is seen.
    while !is_first(&terminal.shown()) || terminal.shown().contains("messages in/s 0 ") {
        assert!(Instant::now() < deadline, "the loud one is not the first:\n{}", terminal.shown());
        links[1].publish("loud/topic", vec![0; 1000], QoS::AtLeastOnce);
    }
    assert!(!terminal.shown().contains('\u{202e}'));
    terminal.press("c");
    terminal.until("the other order", |shown| shown.contains("by client id"));
    terminal.press("/");
    terminal.press("q");
    terminal.press("u");
    terminal.until("what is typed", |shown| shown.contains("/qu") && !shown.contains("loud-"));
    terminal.press("Enter");
    terminal.until("those that were looked for", |shown| shown.contains("1 client with “qu”"));
    terminal.press("q");
    terminal.until("its end", |shown| shown.contains("ended with 0"));
}

#[test]
fn clients_are_shown_to_the_last_page() {
    let broker = broker("top-pages");
    // So long that a page has room for eight of them.
    let name = |number: usize| format!("c{number:02}{}", "x".repeat(60_000));
    let links: Vec<Link> = (0..60).map(|number| Link::connect(broker.port, v5(&name(number)))).collect();
    let terminal = Terminal::open(&broker, 110, 80);
    let shown = terminal.until("all clients", |shown| shown.contains("60 clients, by traffic"));
    assert!(!shown.contains("showing"), "{shown}");
    terminal.press("/");
    terminal.press("c59");
    terminal.until("the last one", |shown| shown.lines().any(|line| line.starts_with("c59x")));
    drop(links);
}

#[test]
fn it_takes_a_small_terminal_and_tells_that_the_broker_is_gone() {
    let broker = broker("top-small");
    let _link = Link::connect(broker.port, v5("somebody"));
    let terminal = Terminal::open(&broker, 45, 9);
    terminal.until("a client", |shown| shown.lines().any(|line| line.starts_with("somebody")));
    terminal.tmux(&["resize-window", "-x", "30", "-y", "5"]);
    terminal.until("that it is too small", |shown| shown.contains("40 columns and 8 lines are"));
    terminal.tmux(&["resize-window", "-x", "120", "-y", "20"]);
    terminal.until("the client again", |shown| shown.contains("somebody"));
    broker.end(libc::SIGTERM);
    terminal.until("that it is gone", |shown| {
        shown.contains("no broker is at") || shown.contains("nobody is there")
    });
    terminal.press("q");
    terminal.until("its end", |shown| shown.contains("ended with 0"));
}

/// The row that begins so.
fn row<'a>(shown: &'a str, begin: &str) -> Option<&'a str> {
    shown.lines().find(|line| line.starts_with(begin))
}

#[test]
fn losses_shards_and_rates_of_a_broker_under_load_stand_there() {
    let broker = broker("top-losses");
    let mut away = Link::connect(broker.port, e2e::link::lasting(client::Version::V5, "away"));
    away.subscribe("lost/#", QoS::AtMostOnce);
    away.close();
    let mut pump = Link::connect(broker.port, v5("pump"));
    let terminal = Terminal::open(&broker, 120, 40);
    terminal.until("its client", |shown| row(shown, "pump").is_some());
    let deadline = Instant::now() + PATIENCE;
    let is_it = |shown: &str| {
        let number =
            |row: &str, at: usize| row.split_whitespace().nth(at).and_then(|text| text.parse::<f64>().ok());
        let lost = row(shown, "offline_qos0 ").is_some_and(|row| {
            row.split_whitespace().nth(1) == Some("out")
                && number(row, 2) > Some(0.0)
                && number(row, 3) > Some(0.0)
        });
        let after = |name: &str| shown.split(name).nth(1).and_then(|rest| number(rest, 0));
        let sums = ["messages in/s ", " lost/s ", " lost "].iter().all(|name| after(name) > Some(0.0));
        let heads = shown.lines().position(|line| line.starts_with("shard  "));
        let shards = heads.map(|at| shown.lines().skip(at + 1).take(2).collect::<Vec<_>>());
        let connected = |row: &&str| number(row, 1) == Some(1.0) && number(row, 2) > Some(0.0);
        lost && sums && shards.is_some_and(|rows| rows.len() == 2 && rows.iter().any(connected))
    };
    while !is_it(&terminal.shown()) {
        assert!(Instant::now() < deadline, "not all of it is there:\n{}", terminal.shown());
        pump.publish("lost/here", "x", QoS::AtLeastOnce);
    }
    assert!(terminal.shown().contains("not taken in 0"), "{}", terminal.shown());
}

#[test]
fn keys_sort_move_stand_still_and_end() {
    let broker = broker("top-keys");
    let links: Vec<Link> =
        (0..30).map(|number| Link::connect(broker.port, v5(&format!("c{number:02}")))).collect();
    let terminal = Terminal::open(&broker, 110, 30);
    terminal.until("all clients", |shown| shown.contains("30 clients, by traffic"));
    terminal.press("s");
    terminal.until("the next order", |shown| shown.contains("by queue"));
    terminal.press("s");
    terminal.until("the last order", |shown| shown.contains("by client id") && row(shown, "c00").is_some());
    terminal.press("Down");
    terminal.until("one row less", |shown| row(shown, "c00").is_none() && row(shown, "c01").is_some());
    terminal.press("NPage");
    terminal.until("a page less", |shown| row(shown, "c10").is_none() && row(shown, "c11").is_some());
    terminal.press("Up");
    terminal.until("one row more", |shown| row(shown, "c10").is_some() && row(shown, "c09").is_none());
    terminal.press("Home");
    terminal.until("the beginning", |shown| row(shown, "c00").is_some());
    terminal.press("Space");
    terminal.until("that it stands still", |shown| shown.contains("standing still"));
    let one = Link::connect(broker.port, v5("after"));
    // Whoever looks beside it sees it come.
    let beside = Terminal::open(&broker, 110, 30);
    beside.until("who came", |shown| shown.contains("31 clients"));
    assert!(terminal.shown().contains("30 clients"), "{}", terminal.shown());
    terminal.press("Space");
    terminal.until("who came meanwhile", |shown| shown.contains("31 clients") && !shown.contains("standing"));
    terminal.press("Escape");
    terminal.until("its end", |shown| shown.contains("ended with 0"));
    drop((links, one));
}

#[test]
fn without_a_terminal_or_a_broker_it_refuses() {
    let broker = broker("top-refused");
    let mut command = program::command(program::iothub());
    command.arg("top").arg("--socket").arg(broker.folder().join("control.sock"));
    let mut top = Process::start("iothub top", &mut command);
    assert_eq!(top.wait().code(), Some(1));
    assert!(top.says("top needs a terminal"), "{}", top.shown());
}

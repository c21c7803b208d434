//! The will: published when a client vanishes, and only then.

use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use client::{Farewell, Options, Publication, QoS, ReasonCode, Version, Will};
use e2e::link::lasting;
use e2e::socket::Socket;
use e2e::{Broker, Link, Process, program, v5, v311};

use crate::SHARDS;

#[test]
fn the_will_of_a_killed_client_is_published() {
    for shards in SHARDS {
        let broker = Broker::start("will-killed", shards);
        let mut watcher = Link::connect(broker.port, v5("watcher"));
        watcher.subscribe("will/#", QoS::ExactlyOnce);
        for (name, version) in [("mosquitto", "311"), ("mosquitto", "5"), ("iothub", "311"), ("iothub", "5")]
        {
            let client = with_will(&broker, name, version);
            client.await_text("Subscribed");
            client.signal(libc::SIGKILL);
            let will = watcher.message();
            assert_eq!(will.topic, format!("will/{name}/{version}"));
            assert_eq!((will.payload.as_slice(), will.qos), (&b"gone"[..], QoS::AtLeastOnce));
        }
        watcher.expect_silence();
    }
}

#[test]
fn every_way_to_vanish_publishes_the_will_and_a_goodbye_does_not() {
    for shards in SHARDS {
        let broker = Broker::start("will-ways", shards);
        let mut watcher = Link::connect(broker.port, v311("watcher"));
        watcher.subscribe("will/#", QoS::AtLeastOnce);
        for version in [Version::V311, Version::V5] {
            Link::connect(broker.port, willing(version, "polite", None)).close();
            Link::connect(broker.port, willing(version, "cut", None)).cut();
            assert_eq!(watcher.text(), "cut");
        }

        let farewell = Farewell { reason: ReasonCode::DisconnectWithWill, ..Farewell::default() };
        let mut asking = Link::connect(broker.port, willing(Version::V5, "asked for", None));
        asking.driver.disconnect(&farewell).unwrap();
        assert_eq!(watcher.text(), "asked for");
        watcher.expect_silence();
    }
}

#[test]
fn half_closed_and_reset_sockets_are_gone_too() {
    let broker = Broker::start("will-sockets", 2);
    let mut watcher = Link::connect(broker.port, v5("watcher"));
    watcher.subscribe("will/#", QoS::AtLeastOnce);

    let socket = connect_with_will(&broker, "half closed");
    socket.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(watcher.text(), "half closed");

    let socket = connect_with_will(&broker, "reset");
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option takes a linger structure of this size.
    let result = unsafe {
        libc::setsockopt(
            socket.stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
    drop(socket);
    assert_eq!(watcher.text(), "reset");
}

#[test]
fn silence_beyond_the_keep_alive_publishes_the_will() {
    let broker = Broker::start("will-keep-alive", 2);
    let mut watcher = Link::connect(broker.port, v5("watcher"));
    watcher.subscribe("will/#", QoS::AtLeastOnce);
    let mut options = willing(Version::V5, "silent", None);
    options.keep_alive_s = 1;
    let begun = Instant::now();
    // Nothing drives this connection from here on, so that it sends no PINGREQ.
    let _silent = Link::connect(broker.port, options);
    assert_eq!(watcher.text(), "silent");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1500), "one and a half times the keep-alive, not {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_delayed_will_waits_and_a_return_takes_it_back() {
    let broker = Broker::start("will-delay", 2);
    let mut watcher = Link::connect(broker.port, v5("watcher"));
    watcher.subscribe("will/#", QoS::AtLeastOnce);

    Link::connect(broker.port, willing(Version::V5, "returning", Some(2))).cut();
    let begun = Instant::now();
    Link::connect(broker.port, willing(Version::V5, "staying away", Some(1))).cut();
    let back = Link::connect(broker.port, lasting(Version::V5, "returning"));
    assert!(back.session_present);

    assert_eq!(watcher.text(), "staying away");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // The other will would have been due a second later.
    assert_eq!(watcher.message_within(Duration::from_millis(1800)), None);
}

/// The payload of the will is the client id.
fn willing(version: Version, client_id: &str, delay_interval_s: Option<u32>) -> Options {
    let mut options = lasting(version, client_id);
    let publication = Publication::new("will/of-a-link", client_id, QoS::AtLeastOnce);
    options.will = Some(Will { publication, delay_interval_s });
    options
}

fn connect_with_will(broker: &Broker, payload: &str) -> Socket {
    let mut socket = Socket::open(broker.port);
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0b0000_0110, 0, 0];
    for text in [payload, "will/of-a-socket", payload] {
        body.extend(e2e::socket::string(text));
    }
    socket.send(&e2e::socket::frame(0x10, &body));
    assert_eq!(socket.read(4), [0x20, 2, 0, 0]);
    socket
}

fn with_will(broker: &Broker, name: &str, version: &str) -> Process {
    let mut command = match name {
        "iothub" => {
            let mut command = program::command(program::iothub());
            command.arg("sub");
            command
        }
        _ => {
            let mut command = Command::new(program::installed("stdbuf"));
            command.arg("-oL").arg(program::installed("mosquitto_sub"));
            command
        }
    };
    command.args(["-d", "-h", "127.0.0.1", "-p", &broker.port.to_string(), "-V", version, "-t", "own"]);
    command.args(["--will-topic", &format!("will/{name}/{version}"), "--will-payload", "gone"]);
    command.args(["--will-qos", "1"]);
    Process::start(name, &mut command)
}

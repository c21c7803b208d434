//! Clients that are too fast, or come too often: slowed or cut off, and nobody else is any slower for it.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use client::{QoS, Version};
use e2e::{Broker, Peer, Process, Setup, peer::Program, socket};

use super::{mosquitto, publish, reload::reload};

fn with_rates(name: &str, rates: &str) -> Broker {
    let text = format!("[authentication]\nanonymous = \"always\"\n[rates]\n{rates}\n");
    Setup::new(name).shards(2).config(&text).start()
}

fn subscriber(broker: &Broker, topic: &str, count: usize) -> Process {
    let count = count.to_string();
    let args = ["-t", topic, "-q", "1", "-d", "-C", &count, "-W", "60", "-F", "got %l"];
    let process = Process::start("subscriber", &mut mosquitto("mosquitto_sub", broker.port, &args));
    process.await_text("Subscribed (mid");
    process
}

fn flood(broker: &Broker, count: usize) -> Process {
    let count = count.to_string();
    // More than the buffers on the way hold; and it stays until all of it is acknowledged, because who leaves earlier loses the rest.
    let payload = "m".repeat(2000);
    let to = ["-V", "5", "-q", "1", "-i", "flood", "-t", "flood"];
    let args = [&to[..], &["-m", &payload, "--repeat", &count, "--repeat-delay", "0"]].concat();
    Process::start("flood", &mut mosquitto("mosquitto_pub", broker.port, &args))
}

#[test]
fn a_client_that_floods_is_slowed_and_nobody_else_is() {
    let broker = with_rates("rates-flood", "client_publish_messages_per_s = 400");
    let mut all = subscriber(&broker, "flood", 2000);
    let begun = Instant::now();
    let mut flooding = flood(&broker, 2000);
    broker.await_counter("waited_client_publish_messages", 1);
    let others = Instant::now();
    for _ in 0..5 {
        assert!(publish(broker.port, &["-q", "1", "-t", "other", "-m", "m"]).says("PUBACK"));
    }
    assert!(others.elapsed() < Duration::from_secs(3), "five publishers took {:?}", others.elapsed());
    all.wait_at_most(Duration::from_secs(60));
    // 400 at once, and 1,600 more in four seconds.
    assert!(begun.elapsed() > Duration::from_secs(3), "all came after {:?}", begun.elapsed());
    flooding.succeed();
    let got = all.out_lines().into_iter().filter(|line| line == "got 2000").count();
    assert_eq!(got, 2000, "nothing is lost");
}

#[test]
fn every_client_lives_with_being_slowed() {
    let broker =
        with_rates("rates-peers", "client_publish_messages_per_s = 1\nclient_receive_messages_per_s = 2");
    for program in [Program::Mosquitto, Program::Paho, Program::Mqttjs] {
        let peer = Peer { program, version: Version::V5 };
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
        let subscriber = peer.subscribe(broker.port, "slow", QoS::ExactlyOnce, 3);
        peer.publish(broker.port, "slow", "m", &qos);
        assert_eq!(subscriber.received().len(), 3, "{}", peer.name());
    }
    assert!(broker.counter("waited_client_receive_messages") > 0);
}

#[test]
fn where_it_says_disconnect_a_client_that_floods_is_cut_off() {
    let broker = with_rates("rates-cut", "client_publish_messages_per_s = 20\nover = \"disconnect\"");
    let mut flooding = flood(&broker, 5000);
    flooding.wait();
    broker.process.await_text("reason=\"Message rate too high\"");
    broker
        .process
        .await_text("more messages than the rate allows: client_publish_messages_per_s = 20 at tcp://");
    assert_eq!(broker.counter("ended_client_publish_messages"), 1);
}

#[test]
fn who_connects_too_often_is_told_or_closed_at_once() {
    let broker = with_rates("rates-client", "client_connects_per_minute = 2");
    let comes = |client_id: &str| {
        publish(broker.port, &["-V", "5", "-i", client_id, "-q", "1", "-t", "t", "-m", "m"]).says("PUBACK")
    };
    assert_eq!(["a", "a", "a", "b", "a"].map(comes), [true, true, false, true, false]);
    broker.process.await_text("reason=\"Connection rate exceeded\"");

    let broker = with_rates("rates-address", "address_connects_per_minute = 3");
    let comes = |_| publish(broker.port, &["-q", "1", "-t", "t", "-m", "m"]).says("PUBACK");
    assert_eq!([(); 5].map(comes), [true, true, true, false, false]);
    assert_eq!(broker.counter("refused_connect_rate"), 2);
}

#[test]
fn who_leaves_while_it_waits_for_its_rate_gives_its_seat_back_at_once() {
    let text = "[server]\nmax_connections = 20\n[authentication]\nanonymous = \"always\"\n\
                [rates]\nclient_publish_messages_per_s = 1\n";
    let broker = Setup::new("rates-leave").shards(2).config(text).start();
    for round in 1..=3 {
        for n in 0..20 {
            let mut client = socket::Socket::connect(broker.port, &format!("{round}-{n}"), true);
            // Half an hour at its rate, and little enough for the socket to take it while nobody reads.
            client.send(&socket::publish("flood", b"m").repeat(2000));
            client.send(&socket::publish_acknowledged("flood", b"m", QoS::AtLeastOnce, 1));
            client.send(&socket::frame(0xE0, &[]));
        }
        broker.await_counter("connections_closed", round * 20);
    }
    assert!(broker.counter("refused_publish_rate") > 60 * 1990);
    let goodbyes =
        broker.process.lines().iter().filter(|line| line.contains("the client disconnected")).count();
    assert_eq!(goodbyes, 60, "the last word counts, too");
}

#[test]
fn one_address_does_not_close_a_listener_to_another() {
    for proxied in [false, true] {
        let listener = if proxied { "proxy_protocol_from = [\"127.0.0.0/8\"]\n" } else { "" };
        let text = format!(
            "[[listener]]\naddress = \"tcp://127.0.0.1:0\"\n{listener}[authentication]\nanonymous = \"always\"\n\
             [rates]\nlistener_connects_per_minute = 20\naddress_connects_per_minute = 5\n"
        );
        let broker = Setup::bare("rates-narrow").shards(2).config(&text).start();
        let comes = |from: [u8; 4]| {
            let from_here =
                socket::Socket::open_from(if proxied { [127, 0, 0, 1] } else { from }, broker.port);
            let mut stream = from_here.stream;
            let [a, b, c, d] = from;
            let header = format!("PROXY TCP4 {a}.{b}.{c}.{d} 127.0.0.9 700 1883\r\n");
            let said = if proxied { header.as_bytes() } else { b"" };
            stream.write_all(&[said, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"].concat()).is_ok()
                && stream.read_exact(&mut [0; 4]).is_ok()
        };
        let come = (0..40).filter(|_| comes([127, 0, 0, 2])).count();
        assert_eq!(come, 5, "proxied: {proxied}");
        let come = (0..40).filter(|_| comes([127, 0, 0, 3])).count();
        assert_eq!(come, 5, "the listener is open to another address; proxied: {proxied}");
        let come = (4..44).filter(|last| comes([127, 0, 0, *last])).count();
        assert_eq!(come, 10, "all together have the rate of the listener; proxied: {proxied}");
    }
}

#[test]
fn other_rates_count_at_once_for_those_who_are_connected() {
    let broker = with_rates("rates-reload", "client_publish_messages_per_s = 2");
    let mut all = subscriber(&broker, "flood", 2000);
    let mut flooding = flood(&broker, 2000);
    broker.await_counter("waited_client_publish_messages", 2);
    let text = "[authentication]\nanonymous = \"always\"\n[rates]\nclient_connects_per_minute = 1\n";
    fs::write(broker.folder().join("iothub.toml"), text).unwrap();
    reload(&broker);
    all.succeed();
    flooding.succeed();
    let comes = |_| publish(broker.port, &["-i", "a", "-q", "1", "-t", "t", "-m", "m"]).says("PUBACK");
    assert_eq!([(); 2].map(comes), [true, false]);
}

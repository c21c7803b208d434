//! `/metrics` of a broker that has something to do, read by a parser of the test's own.

use std::{collections::BTreeMap, time::Instant};

use client::{QoS, Target, Version};
use e2e::{
    Broker, Link, PATIENCE, Setup,
    api::{Api, port_of},
    v5,
};

fn start(name: &str, metrics: &str) -> (Broker, Api) {
    let config = format!("[api]\nlisten = [\"127.0.0.1:0\"]\nmetrics = \"{metrics}\"\n");
    let broker = Setup::new(name).config(&config).with_api().shards(2).start();
    let api = Api::of(&broker);
    api.await_ready();
    (broker, api)
}

/// Samples by their names and labels. A line that is neither a sample nor a head of a family is an error.
fn samples(api: &Api) -> BTreeMap<String, f64> {
    let answer = api.with_token("").get("/metrics");
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let lines =
        answer.text.lines().filter(|line| !line.starts_with("# HELP ") && !line.starts_with("# TYPE "));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no value: {line}")))
    };
    lines.map(sample).collect()
}

/// Over all shards.
fn sum(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    let of_shard = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.starts_with("{shard="));
    samples.iter().filter(|(key, _)| of_shard(key)).map(|(_, value)| value).sum()
}

/// A page of a moment ago may be shown again.
fn await_samples(api: &Api, is_enough: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let samples = samples(api);
        if is_enough(&samples) {
            return samples;
        }
        assert!(Instant::now() < deadline, "{samples:?}");
    }
}

#[test]
fn what_happens_is_counted_and_timed() {
    let (broker, api) = start("metrics", "open");
    let (mut publisher, mut subscriber) =
        (Link::connect(broker.port, v5("p")), Link::connect(broker.port, v5("s")));
    subscriber.subscribe("a", QoS::AtLeastOnce);
    let away = Link::connect(broker.port, e2e::link::lasting(Version::V5, "away"));
    away.close();
    for _ in 0..100 {
        publisher.publish("a", "12345", QoS::AtLeastOnce);
        subscriber.message();
    }
    publisher.publish("nobody/wants/it", "x", QoS::AtLeastOnce);
    let samples = await_samples(&api, |samples| sum(samples, "iothub_publish_received_total") >= 101.0);
    for (name, value) in [
        ("iothub_publish_received_total", 101.0),
        ("iothub_publish_sent_total", 100.0),
        ("iothub_publish_received_bytes_total", 501.0),
        ("iothub_publish_unmatched_total", 1.0),
        ("iothub_connects_received_total", 3.0),
        ("iothub_sessions", 3.0),
        ("iothub_sessions_connected", 2.0),
        ("iothub_routing_seconds_count", 101.0),
        ("iothub_shard_up", 2.0),
    ] {
        assert_eq!(sum(&samples, name), value, "{name}");
    }
    assert!(sum(&samples, "iothub_turn_seconds_count") >= 101.0);
    let routing = sum(&samples, "iothub_routing_seconds_sum") / 101.0;
    assert!(routing > 0.0 && routing < 1.0, "{routing} seconds to route a message");
    assert!(samples["process_resident_memory_bytes"] > 1e6 && samples["iothub_seats"] >= 2.0);
    assert_eq!(samples["iothub_seats_limit"], 10_000.0);
    assert_eq!(sum(&samples, "iothub_sessions_limit"), 1_000_000.0);
}

#[test]
fn handshakes_questions_and_batches_are_timed() {
    let config = "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"ws://127.0.0.1:0\"]\n\
                  [api]\nlisten = [\"127.0.0.1:0\"]\n";
    let setup = Setup::bare("metrics-timed").config(config).with_api().shards(2);
    let data = setup.folder().join("data");
    let broker = setup.args(["--data-dir".into(), data.into_os_string()]).start();
    let api = Api::of(&broker);
    api.await_ready();
    let target = Target { websocket: Some("/mqtt".into()), ..Target::new("127.0.0.1", broker.port_of("ws")) };
    let lasting = |client_id| e2e::link::lasting(Version::V5, client_id);
    let _by_websocket = Link::reach(target, lasting("w")).unwrap();
    let _plain = Link::connect(broker.port_of("tcp"), lasting("p"));
    let samples = await_samples(&api, |samples| sum(samples, "iothub_sessions_connected") >= 2.0);
    assert_eq!(sum(&samples, "iothub_handshake_seconds_count"), 1.0, "that of the WebSocket");
    // Where a configuration may come to name who is let in, somebody is asked already.
    assert_eq!(sum(&samples, "iothub_authentication_seconds_count"), 2.0);
    assert!(sum(&samples, "iothub_store_commit_seconds_count") >= 1.0);
    for timing in ["handshake", "store_commit"] {
        assert!(sum(&samples, &format!("iothub_{timing}_seconds_sum")) > 0.0, "{timing}");
    }
}

#[test]
fn a_broker_that_serves_says_so_and_what_there_is_room_for() {
    let config = "[api]\nlisten = [\"127.0.0.1:0\"]\n";
    let broker = Setup::new("metrics-starting").config(config).with_api().shards(2).start();
    let api = Api { port: port_of(&broker), token: String::new() };
    let samples = await_samples(&api, |samples| samples["iothub_ready"] == 1.0);
    assert_eq!(samples["iothub_stage{stage=\"serving\"}"], 1.0);
    assert_eq!(samples["iothub_store_failed"], 0.0);
    assert_eq!(samples["iothub_authentication_waiting_limit"], 20_000.0);
    assert_eq!(samples["iothub_api_places_limit{place=\"traces\"}"], 8.0);
    assert_eq!(samples["iothub_api_places_limit{place=\"control\"}"], 8.0);
}

#[test]
fn what_has_a_limit_is_told_with_it() {
    let config = "[api]\nlisten = [\"127.0.0.1:0\"]\nmetrics = \"open\"\n[[listener]]\naddress = \"tcp://127.0.0.1:0\"\nmax_connections = 9\n\
                  [[ban]]\nclient_ids = [\"nobody\"]\n";
    let setup = Setup::bare("metrics-limits").config(config).with_api();
    let data = setup.folder().join("data");
    let broker = setup.args(["--data-dir".into(), data.into_os_string()]).start();
    let api = Api::of(&broker);
    api.await_ready();
    let _here = Link::connect(broker.port_of("tcp"), v5("here"));
    let place = format!("{{listener=\"127.0.0.1:{}\"}}", broker.port_of("tcp"));
    let samples = await_samples(&api, |samples| {
        samples[&format!("iothub_listener_connections{place}")] == 1.0
            && samples.contains_key("iothub_store_disk_free_bytes")
    });
    assert_eq!(samples[&format!("iothub_listener_connections_limit{place}")], 9.0);
    assert!(samples["iothub_store_disk_free_bytes"] <= samples["iothub_store_disk_bytes"]);
    let bans = ["configuration", "operator"].map(|by| samples[&format!("iothub_bans{{by=\"{by}\"}}")]);
    assert_eq!(bans, [1.0, 0.0]);
    // One after another, so that the first ones are told in full and the others that they have to wait.
    let statuses: Vec<u16> = (0..8).map(|_| api.with_token("wrong").get("/v1/broker").status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    let samples = await_samples(&api, |samples| samples["iothub_api_denied_total{cause=\"token\"}"] == 8.0);
    assert_eq!(samples["iothub_api_told_to_wait_total"], 3.0);
    await_samples(&api, |samples| samples["iothub_log_lines_left_out_total{log=\"log\"}"] == 3.0);
}

#[test]
fn a_token_is_asked_for_where_the_configuration_says_so() {
    let (_broker, api) = start("metrics-token", "token");
    assert_eq!(api.with_token("").get("/metrics").status, 401);
    assert_eq!(api.get("/metrics").status, 200);
}

/// However many ask at once, and while nobody reads: each gets a page with all shards.
#[test]
fn crowds_that_ask_leave_every_shard_time_to_answer() {
    let (broker, api) = start("metrics-crowd", "open");
    let mut link = Link::connect(broker.port, v5("c"));
    link.subscribe("a", QoS::AtLeastOnce);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(sum(&samples(&api), "iothub_shard_up"), 2.0);
                }
            });
        }
        for _ in 0..200 {
            link.publish("a", "x", QoS::AtLeastOnce);
            link.message();
        }
    });
}

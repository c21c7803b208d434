//! Messages that are traced: what a collector of OpenTelemetry gets of them, and that one which does not work costs nobody anything.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime};

use client::{Publication, QoS};
use e2e::collector::{Collector, Conduct, attribute};
use e2e::pace::Pace;
use e2e::{Broker, Link, PATIENCE, Setup, api::Api, v5};
use serde_json::Value;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn start(name: &str, url: &str, more: &str) -> Broker {
    let text = format!("[telemetry]\notlp_endpoint = \"{url}\"\n{more}[api]\nlisten = [\"127.0.0.1:0\"]\n");
    Setup::new(name).with_api().config(&text).shards(2).start()
}

fn of(name: &'static str) -> impl Fn(&Value) -> bool {
    move |span| span["name"] == name
}

fn nanos(span: &Value, key: &str) -> u128 {
    span[key].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_message_is_traced_across_shards_beneath_its_publishers_trace() {
    let collector = Collector::start(Conduct::Takes);
    let broker = start("spans", &collector.url(), "sample_one_in = 0\n");
    let ids = broker.ids_by_home(2, "lamp");
    let mut receivers: Vec<Link> = ids.iter().map(|id| Link::connect(broker.port, v5(id))).collect();
    receivers.iter_mut().for_each(|link| link.subscribe("t/#", QoS::AtLeastOnce));
    let mut publisher = Link::connect(broker.port, v5("pump"));
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    publisher.publish("t/untraced", "x", QoS::AtLeastOnce);
    let mut publication = Publication::new("t/x", "hello", QoS::AtLeastOnce);
    let user_properties = [("traceparent", PARENT), ("tracestate", "vendor=1"), ("other", "kept")];
    let user_properties: Vec<(String, String)> =
        user_properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    publication.properties.user_properties = user_properties.clone();
    publisher.publish_with(publication);
    for link in &mut receivers {
        assert_eq!(link.text(), "x");
        let message = link.message();
        assert_eq!(message.properties.user_properties, user_properties, "forwarded as they came");
    }
    let deliveries = collector.await_spans(2, of("deliver"));
    let routes = collector.await_spans(2, of("route"));
    let receives = collector.await_spans(1, of("receive"));
    let ended = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let [receive] = &receives[..] else { panic!("one message is traced: {receives:?}") };
    assert_eq!(receive["parentSpanId"], "b7ad6b7169203331");
    for span in deliveries.iter().chain(&routes).chain(&receives) {
        assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span["traceState"], "vendor=1");
        let (from, until) = (nanos(span, "startTimeUnixNano"), nanos(span, "endTimeUnixNano"));
        // The broker counts from a moment of its own.
        assert!(began < from + 50_000_000 && from <= until && until < ended + 50_000_000, "{span}");
    }
    assert_eq!(attribute(receive, "messaging.client.id").as_deref(), Some("pump"));
    assert_eq!(attribute(receive, "messaging.destination.name").as_deref(), Some("t/x"));
    assert_eq!(attribute(receive, "messaging.message.body.size").as_deref(), Some("5"));
    assert_eq!(attribute(receive, "mqtt.qos").as_deref(), Some("1"));
    let shards: BTreeSet<_> =
        deliveries.iter().map(|span| attribute(span, "iothub.shard").unwrap()).collect();
    assert_eq!(shards.len(), 2, "one receiver lives on each: {deliveries:?}");
    for delivery in &deliveries {
        let route = routes.iter().find(|route| route["spanId"] == delivery["parentSpanId"]).expect("a way");
        assert_eq!(attribute(route, "iothub.shard"), attribute(delivery, "iothub.shard"));
        assert_eq!(attribute(route, "iothub.sent").as_deref(), Some("1"));
        assert_eq!(attribute(delivery, "iothub.outcome").as_deref(), Some("sent"));
    }
    let home = routes.iter().find(|route| route["parentSpanId"] == receive["spanId"]).expect("at home");
    let away = routes.iter().find(|route| route["parentSpanId"] == home["spanId"]).expect("elsewhere");
    assert_eq!(attribute(away, "iothub.from_shard"), attribute(home, "iothub.shard"));
}

#[test]
fn chance_traces_some_and_a_parent_may_be_left_out_of_it() {
    let collector = Collector::start(Conduct::Takes);
    let broker = start("spans-chance", &collector.url(), "sample_one_in = 1\nfollow_parent = false\n");
    let mut link = Link::connect(broker.port, v5("pump"));
    let mut publication = Publication::new("t", "x", QoS::AtLeastOnce);
    publication.properties.user_properties.push(("traceparent".to_owned(), PARENT.replace("-01", "-00")));
    link.publish_with(publication);
    let receives = collector.await_spans(1, of("receive"));
    assert_eq!(receives[0]["traceId"], "0af7651916cd43dd8448eb211c80319c", "it stays part of the trace");
}

#[test]
fn a_collector_that_does_not_work_costs_nobody_anything() {
    for conduct in [Conduct::Hangs, Conduct::Refuses(503)] {
        let collector = Collector::start(conduct);
        let broker = start("spans-lost", &collector.url(), "sample_one_in = 1\n");
        let api = Api::of(&broker);
        api.await_ready();
        let before = Pace::of(broker.port, 500);
        let mut link = Link::connect(broker.port, v5("flood"));
        link.subscribe("flood", QoS::AtMostOnce);
        // More than the queue holds, at as many in a second as are traced.
        let (sent, during) = Pace::during(broker.port, || {
            let until = Instant::now() + Duration::from_secs(8);
            let mut sent = 0;
            while Instant::now() < until {
                link.publish("flood", "x", QoS::AtMostOnce);
                link.message();
                sent += 1;
            }
            sent
        });
        println!("{conduct:?}: {sent} messages; before {}; during {}", before.shown(), during.shown());
        if let Some(wrong) = during.held_up_since(&before) {
            panic!("{conduct:?}: {wrong}");
        }
        broker.process.await_text("the collector of telemetry.otlp_endpoint takes no spans");
        let cause = if conduct == Conduct::Hangs { "queue_full" } else { "not_taken" };
        let name = format!("iothub_spans_total{{outcome=\"{cause}\"}} ");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = api.get("/metrics").text;
            let count = page.lines().find_map(|line| line.strip_prefix(&name)).expect("a counter");
            if count.parse::<u64>().unwrap() > 0 {
                break;
            }
            assert!(Instant::now() < deadline, "{conduct:?}: no span is told to be lost: {page}");
        }
    }
}

#[test]
fn what_the_collector_is_shown_is_read_again_when_its_file_changes() {
    let collector = Collector::start(Conduct::Takes);
    let setup = Setup::new("spans-secret").shards(1);
    let path = setup.folder().join("otlp");
    let keep = |text: &str| {
        let next = path.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&next, &path).unwrap();
    };
    keep("Bearer one\n");
    let text = format!(
        "[telemetry]\notlp_endpoint = \"{}\"\nsample_one_in = 1\notlp_authorization_file = \"otlp\"\n",
        collector.url()
    );
    let broker = setup.config(&text).start();
    let mut link = Link::connect(broker.port, v5("pump"));
    let shown_next = |link: &mut Link, topic: &str| {
        link.publish(topic, "x", QoS::AtLeastOnce);
        collector
            .await_spans(1, |span| attribute(span, "messaging.destination.name").as_deref() == Some(topic));
        collector.authorization()
    };
    assert_eq!(shown_next(&mut link, "first").as_deref(), Some("Bearer one"));
    keep("Bearer two\n");
    // Nobody asks for a reload: the file is watched.
    broker.process.await_text("authorization of the collector otlp has changed");
    assert_eq!(shown_next(&mut link, "second").as_deref(), Some("Bearer two"));
    assert!(!broker.process.says("Bearer"), "{}", broker.process.shown());
}

//! A page with MQTT.js in a headless Chromium: over ws and wss, in each version, and where the broker does not want it.

use std::sync::Mutex;

use client::QoS;
use e2e::{Authority, Broker, Link, Setup, v5};
use serde_json::json;

use super::page::PageServer;

/// Browsers are large: one at a time.
static ONE: Mutex<()> = Mutex::new(());

struct Stage {
    broker: Broker,
    authority: Authority,
    pages: PageServer,
}

impl Stage {
    /// `more` goes into `[websocket]`.
    fn new(name: &str, more: impl FnOnce(&PageServer) -> String) -> Stage {
        let setup = Setup::bare(name).shards(2);
        let authority = Authority::new(setup.folder());
        authority.issue("broker.example");
        let pages = PageServer::start();
        let listen =
            ["tcp", "ws", "wss", "any"].map(|scheme| format!("\"{scheme}://127.0.0.1:0\"")).join(", ");
        let text = format!(
            "[server]\nlisten_addresses = [{listen}]\n\
             [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
             [websocket]\n{}",
            more(&pages)
        );
        Stage { broker: setup.config(&text).start(), authority, pages }
    }

    fn url(&self, scheme: &str, door: &str, path: &str) -> String {
        format!("{scheme}://127.0.0.1:{}{path}", self.broker.port_of(door))
    }
}

#[test]
fn a_page_publishes_and_subscribes_over_ws_and_wss_in_every_version() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let stage = Stage::new("page-exchange", |_| String::new());
    let certificate = stage.authority.path("broker.example.pem");
    for (door, scheme, version) in [
        ("ws", "ws", "5"),
        ("wss", "wss", "5"),
        ("wss", "wss", "4"),
        ("ws", "ws", "3"),
        ("any", "ws", "4"),
        ("any", "wss", "5"),
    ] {
        let port = stage.broker.port_of("tcp");
        let mut other = Link::connect(port, v5("other"));
        other.subscribe("page/#", QoS::AtMostOnce);
        let url = stage.url(scheme, door, "/mqtt");
        let todo = [("do", "exchange"), ("url", &url), ("version", version), ("client", "page")];
        let page = stage.pages.open("127.0.0.1", &todo, Some(&certificate));
        assert_eq!(page.said(), json!({"subscribed": 2}), "{url} in version {version}");
        other.publish("page/other", "from elsewhere", QoS::AtLeastOnce);
        let message = |topic: &str, text: &str, length: usize, qos: u8| json!({"topic": topic, "text": text, "length": length, "qos": qos});
        let all = json!({"messages": [
            message("page/0", "hello-0", 7, 0),
            message("page/1", "hello-1", 7, 1),
            message("page/2", "hello-2", 7, 2),
            message("page/large", &"x".repeat(20), 300_000, 1),
            message("page/other", "from elsewhere", 14, 1),
        ]});
        assert_eq!(page.said(), all, "{url} in version {version}");
        let mut topics: Vec<String> = (0..5).map(|_| other.message().topic.to_string()).collect();
        topics.sort();
        assert_eq!(topics, ["page/0", "page/1", "page/2", "page/large", "page/other"]);
    }
}

#[test]
fn a_browser_refuses_a_certificate_that_nobody_told_it_to_trust() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let stage = Stage::new("page-stranger", |_| String::new());
    let todo = [("do", "visit"), ("url", &stage.url("wss", "wss", "/mqtt")), ("client", "page")];
    let said = stage.pages.hear("127.0.0.1", &todo, None);
    assert!(said["refused"].is_string(), "{said}");
    stage.broker.await_counter("refused_tls", 1);
}

#[test]
fn a_page_from_elsewhere_a_wrong_path_and_a_strange_subprotocol_are_refused() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let stage = Stage::new("page-refused", |pages| {
        format!("origins = [\"http://127.0.0.1:{}\"]\npath = \"/mqtt\"\n", pages.port)
    });
    let good = stage.url("ws", "ws", "/mqtt");
    let visit = |host: &str, url: &str| {
        stage.pages.hear(host, &[("do", "visit"), ("url", url), ("client", "page")], None)
    };
    assert_eq!(visit("127.0.0.1", &good), json!({"visited": true}));
    for (host, url) in [("localhost", &good), ("127.0.0.1", &stage.url("ws", "ws", "/other"))] {
        let said = visit(host, url);
        assert!(said["refused"].is_string(), "{host} {url}: {said}");
    }
    let choose = |protocols: Option<&str>| {
        let mut todo = vec![("do", "choose"), ("url", &good[..])];
        todo.extend(protocols.map(|protocols| ("protocols", protocols)));
        stage.pages.hear("127.0.0.1", &todo, None)
    };
    assert_eq!(choose(Some("mqttv3.1")), json!({"protocol": "mqttv3.1"}));
    assert_eq!(choose(Some("chat,mqtt")), json!({"protocol": "mqtt"}));
    assert_eq!(choose(None), json!({"protocol": ""}));
    assert!(choose(Some("chat"))["refused"].is_string());
    stage.broker.await_counter("refused_websocket", 3);
}

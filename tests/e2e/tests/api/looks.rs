//! What the API tells of clients, subscriptions, retained messages and shards.

use std::{collections::BTreeSet, time::Instant};

use client::{QoS, Version};
use e2e::api::Api;
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, Process, program, v5, v311};
use serde_json::Value;

use super::{retain, setup};

fn rows(api: &Api, path: &str, name: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = api.get(&format!("{path}{cursor}")).expect(200);
        rows.extend(answer[name].as_array().unwrap().iter().cloned());
        match answer["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn names(rows: &[Value], key: &str) -> Vec<String> {
    rows.iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
}

fn started(name: &str) -> (Broker, Api) {
    let broker = setup(name).start();
    let api = Api::of(&broker);
    (broker, api)
}

#[test]
fn clients_are_listed_filtered_and_paged_over_all_shards() {
    let (broker, api) = started("api-clients");
    let links: Vec<Link> =
        (0..25).map(|number| Link::connect(broker.port, v5(&format!("pump-{number}")))).collect();
    let other = Link::connect(broker.port, v311("valve"));
    let paged = rows(&api, "/v1/clients?limit=4", "clients");
    let ids: BTreeSet<String> = names(&paged, "client_id").into_iter().collect();
    assert_eq!((paged.len(), ids.len()), (26, 26), "each once");
    let homes: BTreeSet<u64> = paged.iter().map(|row| row["shard"].as_u64().unwrap()).collect();
    assert_eq!(homes.len(), 2, "of both shards");
    let valves = rows(&api, "/v1/clients?client_id=alv&limit=4", "clients");
    assert_eq!(names(&valves, "client_id"), ["valve"]);
    assert_eq!(valves[0]["connection"]["version"], "3.1.1");
    assert!(valves[0]["connection"]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(rows(&api, "/v1/clients?connected=false&limit=4", "clients").len(), 0);
    assert_eq!(rows(&api, "/v1/clients?user=nobody&limit=4", "clients").len(), 0);
    for wrong in ["limit=0", "limit=1001", "limit=x", "cursor=x", "connected=perhaps", "colour=red"] {
        let answer = api.get(&format!("/v1/clients?{wrong}"));
        assert!(answer.status == 400 && answer.text.contains("problems"), "{wrong}: {answer:?}");
    }
    drop((links, other));
}

#[test]
fn a_client_is_told_with_all_that_it_holds() {
    let (broker, api) = started("api-client");
    let mut depot = Link::connect(broker.port, lasting(Version::V5, "depot/7"));
    depot.subscribe("t/#", QoS::AtLeastOnce);
    depot.close();
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    for number in 0..3 {
        publisher.publish("t/a", format!("message {number}"), QoS::AtLeastOnce);
    }
    let whole = api.get("/v1/clients/depot%2F7").expect(200);
    let client = &whole["client"];
    assert_eq!((client["connection"].is_null(), client["queued"].as_u64()), (true, Some(3)), "{whole}");
    assert!(client["ends_in_s"].as_f64().unwrap() > 500.0, "{whole}");
    assert_eq!(whole["subscriptions"][0]["filter"], "t/#");
    assert_eq!(whole["queue"][2]["topic"], "t/a");
    assert_eq!(whole["queue"][0]["payload_bytes"], 9);
    let publisher = api.get("/v1/clients/publisher").expect(200);
    let sent = publisher["packets"].as_array().unwrap();
    assert!(sent.iter().any(|packet| packet["kind"] == "PUBLISH" && packet["topic"] == "t/a"), "{publisher}");
    assert!(publisher["client"]["traffic"]["bytes_received"].as_u64().unwrap() > 30);
    let absent = api.get("/v1/clients/nobody").expect(404);
    assert!(absent["problems"][0].as_str().unwrap().contains("nobody"));
}

#[test]
fn subscriptions_are_told_with_their_options() {
    let (broker, api) = started("api-subscriptions");
    let mut one = Link::connect(broker.port, v5("one"));
    one.subscribe("a/+", QoS::ExactlyOnce);
    one.subscribe("$share/g/b", QoS::AtLeastOnce);
    let mut two = Link::connect(broker.port, v5("two"));
    two.subscribe("a/b", QoS::AtMostOnce);
    let all = rows(&api, "/v1/subscriptions?limit=1", "subscriptions");
    assert_eq!(all.len(), 3, "{all:?}");
    let of_one = rows(&api, "/v1/subscriptions?client_id=one&filter=a/&limit=10", "subscriptions");
    assert_eq!((of_one.len(), of_one[0]["qos"].as_u64()), (1, Some(2)), "{of_one:?}");
    let shared = rows(&api, "/v1/subscriptions?filter=%24share&limit=10", "subscriptions");
    assert_eq!(names(&shared, "filter"), ["$share/g/b"]);
}

#[test]
fn retained_messages_are_sorted_over_all_shards_and_one_has_its_payload() {
    let (broker, api) = started("api-retained");
    let mut link = Link::connect(broker.port, v5("keeper"));
    for number in 0..30 {
        retain(&mut link, &format!("site/{number:02}/state"), format!("state {number}"));
    }
    retain(&mut link, "other", vec![0xFF, 0x00]);
    let all = rows(&api, "/v1/retained?filter=site/%23&limit=7", "retained");
    let topics = names(&all, "topic");
    assert_eq!(topics, (0..30).map(|number| format!("site/{number:02}/state")).collect::<Vec<_>>());
    assert_eq!(rows(&api, "/v1/retained?filter=site/05/%2B&limit=7", "retained").len(), 1);
    let one = api.get("/v1/retained/one?topic=site/05/state").expect(200);
    assert_eq!(
        (one["payload_text"].as_str(), one["payload_base64"].as_str()),
        (Some("state 5"), Some("c3RhdGUgNQ=="))
    );
    let bytes = api.get("/v1/retained/one?topic=other").expect(200);
    assert!(bytes["payload_text"].is_null() && bytes["payload_base64"] == "/wA=", "{bytes}");
    let large = "x\u{1}".repeat(300_000);
    retain(&mut link, "large", large.clone());
    assert_eq!(api.get("/v1/retained/one?topic=large").expect(200)["payload_text"], large);
    assert_eq!(api.get("/v1/retained/one?topic=absent").status, 404);
    for wrong in ["retained?filter=a/%23/b", "retained/one?topic=a/%2B", "retained/one"] {
        assert_eq!(api.get(&format!("/v1/{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn shards_and_the_broker_are_told() {
    let (broker, api) = started("api-shards");
    let _link = Link::connect(broker.port, v5("one"));
    let shards = api.get("/v1/shards").expect(200);
    let shards = shards["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2);
    let connections: u64 = shards.iter().map(|shard| shard["gauges"]["sessions"].as_u64().unwrap()).sum();
    assert_eq!(connections, 1);
    assert!(shards.iter().all(|shard| shard["counters"]["packets_received"].is_u64()));
    let told = api.get("/v1/broker").expect(200);
    assert_eq!(told["listeners"][0], format!("tcp://127.0.0.1:{}", broker.port));
    assert_eq!(told["pid"], broker.process.id());
}

#[test]
fn queues_are_listed_and_each_message_is_there_once() {
    let (broker, api) = started("api-queues");
    for name in ["one", "two", "empty"] {
        let mut link = Link::connect(broker.port, lasting(Version::V5, name));
        link.subscribe(&format!("{name}/#"), QoS::AtLeastOnce);
        link.close();
    }
    let mut pump = Link::connect(broker.port, v5("pump"));
    for number in 0..25 {
        pump.publish(&format!("one/{number}"), "x", QoS::AtLeastOnce);
    }
    pump.publish("two/only", "xyz", QoS::AtLeastOnce);
    let queues = rows(&api, "/v1/queues?limit=1", "queues");
    assert_eq!(names(&queues, "client_id").into_iter().collect::<BTreeSet<_>>().len(), 2, "{queues:?}");
    let full = rows(&api, "/v1/queues?limit=100&least=2", "queues");
    assert_eq!(names(&full, "client_id"), ["one"]);
    assert_eq!((&full[0]["queued"], &full[0]["is_connected"]), (&25.into(), &false.into()));
    let queue = rows(&api, "/v1/clients/one/queue?limit=7", "queue");
    let expected: Vec<String> = (0..25).map(|number| format!("one/{number}")).collect();
    assert_eq!(names(&queue, "topic"), expected);
    assert_eq!(rows(&api, "/v1/clients/empty/queue?limit=7", "queue").len(), 0);
    assert_eq!(api.get("/v1/clients/nobody/queue").status, 404);
    assert_eq!(api.get("/v1/clients/one/queue?cursor=x").status, 400);
}

#[test]
fn a_client_id_that_no_url_can_hold_stands_in_the_body() {
    let (broker, api) = started("api-named");
    let longest = "ä".repeat(32_767) + "x";
    assert_eq!(longest.len(), 65_535);
    let all_escaped = "\u{1}".repeat(65_535);
    for name in [".", "..", "a/b", "%2e%2e", "\"'<b> \u{202e}", longest.as_str(), all_escaped.as_str()] {
        let mut link = Link::connect(broker.port, lasting(Version::V5, name));
        link.subscribe("t", QoS::AtLeastOnce);
        let named = |more: Value| {
            let mut body = serde_json::json!({ "client_id": name });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let only = named(Value::Object(serde_json::Map::new()));
        let whole = api.post("/v1/client", &only).expect(200);
        assert_eq!(whole["client"]["client_id"], name);
        assert_eq!(api.post("/v1/client/packets", &only).expect(200)["client_id"], name);
        let question = named(serde_json::json!({ "topic": "t", "qos": 1 }));
        assert_eq!(api.post("/v1/why", &question).expect(200)["outcome"], "goes");
        assert_eq!(api.post("/v1/client/disconnect", &only).expect(200)["disconnected"], 1);
        link.disconnection();
        api.post("/v1/publish", &serde_json::json!({ "topic": "t", "payload": "x", "qos": 1 })).expect(200);
        // Who publishes to a broker without a store does not wait until another shard has the message.
        let deadline = Instant::now() + PATIENCE;
        while api.post("/v1/client/queue", &only).expect(200)["queue"][0]["topic"] != "t" {
            assert!(Instant::now() < deadline, "nothing waits for {name:.20?}");
        }
        assert_eq!(api.post("/v1/client/purge", &only).expect(200)["dropped"], 1);
        assert_eq!(api.post("/v1/client/kick", &only).expect(200)["ended"], 1);
        assert_eq!(api.post("/v1/client", &only).status, 404);
    }
    assert_eq!(api.post("/v1/client", &serde_json::json!({})).status, 400);
}

#[test]
fn bans_and_roles_come_page_by_page() {
    let roles: String = (0..7)
        .map(|n| format!("[roles.r{n}]\nrules = [ {{ allow = \"read\", topics = \"r{n}\" }} ]\n"))
        .collect();
    let setup = setup("api-bans");
    let rules = setup.folder().join("rules.toml");
    std::fs::write(&rules, format!("default = \"allow\"\n{roles}")).unwrap();
    let socket = setup.folder().join("control.sock");
    let ban = "[[ban]]\nusers = [\"eve\"]\n";
    let broker = setup
        .variable("IOTHUB_ACCESS__RULES_FILE", &rules)
        .variable("IOTHUB_CONTROL__SOCKET", &socket)
        .config(ban)
        .start();
    let api = Api::of(&broker);
    api.await_ready();
    let names_of = |number: std::ops::Range<usize>| number.map(|n| format!("pump-{n}")).collect::<Vec<_>>();
    for name in names_of(0..130) {
        let answer = api.post("/v1/bans", &serde_json::json!({ "client_id": name })).expect(200);
        assert!(answer["bans"].as_array().unwrap().len() <= 100, "no more than a page");
    }
    let first = api.get("/v1/bans?limit=60").expect(200);
    assert_eq!((first["bans"].as_array().unwrap().len(), &first["bans"][0]["user"]), (60, &"eve".into()));
    let cursor = first["cursor"].as_str().unwrap();
    // One of the first page goes: none of the second is passed over.
    assert_eq!(
        api.ask("DELETE", "/v1/bans", Some(&serde_json::json!({ "client_id": "pump-3" }))).status,
        200
    );
    let second = api.get(&format!("/v1/bans?limit=1000&cursor={cursor}")).expect(200);
    assert_eq!(names(second["bans"].as_array().unwrap(), "client_id"), names_of(59..130));
    assert_eq!(second["cursor"], Value::Null);
    assert_eq!(rows(&api, "/v1/roles?limit=3", "roles"), (0..7).map(|n| format!("r{n}")).collect::<Vec<_>>());
    for wrong in ["/v1/bans?cursor=x", "/v1/bans?limit=0", "/v1/roles?limit=1001", "/v1/roles?cursor=1"] {
        assert_eq!(api.get(wrong).status, 400, "{wrong}");
    }
    let shown = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        command.args(args).arg("--socket").arg(&socket);
        let mut process = Process::start("iothub", &mut command);
        assert_eq!(process.wait().code(), Some(0), "{args:?}");
        process.lines()
    };
    assert_eq!(shown(&["ban", "list", "--json"]).len(), 130);
    assert_eq!(shown(&["ctl", "bans"]).len(), 131, "with the heads");
    let some = shown(&["ctl", "bans", "-n", "7"]);
    assert!(some.len() == 9 && some.concat().contains("there are more than these 7"), "{some:?}");
    let roles = shown(&["ctl", "roles", "-n", "2"]);
    assert!(
        roles.len() == 3 && ["r0", "r1"].iter().all(|role| roles.iter().any(|line| line == role)),
        "{roles:?}"
    );
}

#[test]
fn what_a_path_may_say_of_another_client_is_refused() {
    let (broker, api) = started("api-unsure");
    let names = [".", "..", "queue", "disconnect", "packets"];
    let links: Vec<Link> =
        names.iter().map(|name| Link::connect(broker.port, lasting(Version::V5, name))).collect();
    // As it comes once somebody on the way has left the dots out, and as it comes otherwise.
    for path in ["queue", "packets", "disconnect", ".", "..", "%2E", "%2e%2E"] {
        for method in ["GET", "DELETE"] {
            let answer = api.ask(method, &format!("/v1/clients/{path}"), None);
            assert!(
                answer.status == 400 && answer.text.contains("/v1/client"),
                "{method} {path}: {}",
                answer.text
            );
        }
        assert_eq!(api.delete(&format!("/v1/clients/{path}/queue")).status, 400, "{path}");
        assert_eq!(api.post(&format!("/v1/clients/{path}/disconnect"), &serde_json::json!({})).status, 400);
        assert_eq!(api.get(&format!("/v1/clients/{path}/packets")).status, 400, "{path}");
    }
    for name in names {
        let whole = api.post("/v1/client", &serde_json::json!({ "client_id": name })).expect(200);
        assert!(whole["client"]["connection"].is_object(), "{name}");
    }
    drop(links);
}

#[test]
fn topics_that_no_url_can_hold_are_paged_shown_and_dropped() {
    let (broker, api) = started("api-long-topics");
    let mut link = Link::connect(broker.port, v5("pump"));
    // The first are those with the smallest letter, which JSON spells with six.
    let letters = ["\u{1}".repeat(65_000), "ä".repeat(32_000), "ö".repeat(32_000)];
    let topics = letters.map(|letters| format!("t/{letters}"));
    topics.iter().for_each(|topic| retain(&mut link, topic, "x"));
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let body = serde_json::json!({ "filter": "t/+", "limit": 1, "cursor": cursor });
        let answer = api.post("/v1/retained", &body).expect(200);
        seen.extend(names(answer["retained"].as_array().unwrap(), "topic"));
        cursor = answer["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, topics);
    let one = api.post("/v1/retained/one", &serde_json::json!({ "topic": topics[1] })).expect(200);
    assert_eq!(one["payload_text"], "x");
    let dropped = api.post("/v1/retained/drop", &serde_json::json!({ "filter": topics[1] })).expect(200);
    assert_eq!(dropped["dropped"], 1);
    assert_eq!(api.post("/v1/retained/one", &serde_json::json!({ "topic": topics[1] })).status, 404);
    assert_eq!(api.post("/v1/retained", &serde_json::json!({ "filter": "a/#/b" })).status, 400);
}

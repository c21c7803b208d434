//! What the API does to clients and messages, who may ask for it, and what the audit log says of it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use client::{Options, QoS, Version};
use e2e::api::Api;
use e2e::{Link, PATIENCE, Process, program, v5};
use serde_json::{Value, json};

use super::{retain, setup};

fn lasting(client_id: &str) -> Options {
    e2e::link::lasting(Version::V5, client_id)
}

#[test]
fn a_client_is_disconnected_and_its_session_lives_on_until_it_is_ended() {
    let broker = setup("api-disconnect").start();
    let api = Api::of(&broker);
    let mut link = Link::connect(broker.port, lasting("c"));
    link.subscribe("t", QoS::AtLeastOnce);
    assert_eq!(api.post("/v1/clients/c/disconnect", &json!({})).expect(200)["disconnected"], 1);
    broker.process.await_text("ended by the operator");
    assert!(api.get("/v1/clients/c").expect(200)["client"]["connection"].is_null());
    assert_eq!(api.post("/v1/clients/c/disconnect", &json!({})).status, 404);
    assert_eq!(api.delete("/v1/clients/c").expect(200)["ended"], 1);
    assert_eq!(api.get("/v1/clients/c").status, 404);
    assert_eq!(api.delete("/v1/clients/c").status, 404);
    broker.process.await_text("end_session c");
}

#[test]
fn a_queue_is_purged_also_one_of_more_than_a_shard_drops_at_once() {
    let broker = setup("api-purge").variable("IOTHUB_SESSION__MAX_QUEUED_MESSAGES", "10000").start();
    let api = Api::of(&broker);
    let mut away = Link::connect(broker.port, lasting("away"));
    away.subscribe("t", QoS::AtLeastOnce);
    away.close();
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    for number in 0..2500 {
        publisher.publish("t", number.to_string(), QoS::AtLeastOnce);
    }
    let purged = api.delete("/v1/clients/away/queue").expect(200);
    assert_eq!((purged["dropped"].as_u64(), purged["is_partial"].as_bool()), (Some(2500), Some(false)));
    assert_eq!(api.get("/v1/clients/away").expect(200)["client"]["queued"], 0);
    assert_eq!(api.delete("/v1/clients/nobody/queue").status, 404);
}

#[test]
fn a_message_is_published_to_all_shards_and_kept_where_it_is_to_be() {
    let broker = setup("api-publish").start();
    let api = Api::of(&broker);
    let mut links: Vec<Link> = (0..6)
        .map(|number| {
            let mut link = Link::connect(broker.port, v5(&format!("s{number}")));
            link.subscribe("news/#", QoS::AtLeastOnce);
            link
        })
        .collect();
    let told =
        api.post("/v1/publish", &json!({ "topic": "news/a", "payload": "hello", "qos": 1 })).expect(200);
    assert_eq!(told["matched"], true);
    links.iter_mut().for_each(|link| assert_eq!(link.text(), "hello"));
    let bytes =
        json!({ "topic": "news/b", "payload_base64": "d29ybGQ=", "qos": 1, "retain": true, "expiry_s": 600 });
    let told = api.post("/v1/publish", &bytes).expect(200);
    assert_eq!((&told["retained"], &told["not_retained"]), (&json!(true), &json!(null)));
    links.iter_mut().for_each(|link| assert_eq!(link.text(), "world"));
    let kept = api.get("/v1/retained/one?topic=news/b").expect(200);
    assert!(kept["payload_text"] == "world" && kept["expires_in_s"].as_f64().unwrap() > 500.0, "{kept}");
    for wrong in [
        json!({}),
        json!({ "topic": "" }),
        json!({ "topic": "a/+" }),
        json!({ "topic": "a", "qos": 3 }),
        json!({ "topic": "a", "payload": "x", "payload_base64": "eA==" }),
        json!({ "topic": "a", "payload_base64": "?" }),
        json!({ "topic": "$SYS/broker/version", "payload": "mine" }),
        json!({ "topic": "a", "colour": "red" }),
    ] {
        assert_eq!(api.post("/v1/publish", &wrong).status, 400, "{wrong}");
    }
    let levels = |count: usize| json!({ "topic": vec!["l"; count].join("/"), "payload": "x" });
    let deepest = api.post("/v1/publish", &levels(128));
    let deeper = api.post("/v1/publish", &levels(129));
    assert_eq!((deepest.status, deeper.status), (200, 400), "{}", deeper.text);
    assert!(deeper.text.contains("router.max_topic_levels (128)"), "{}", deeper.text);
    let large = json!({ "topic": "a", "payload": "x".repeat(1 << 20) });
    assert_eq!(api.post("/v1/publish", &large).status, 413);
}

#[test]
fn retained_messages_are_dropped_by_filter_whichever_shard_keeps_them() {
    let broker = setup("api-drop").start();
    let api = Api::of(&broker);
    let mut link = Link::connect(broker.port, v5("keeper"));
    for number in 0..500 {
        retain(&mut link, &format!("old/{number}"), "x");
    }
    retain(&mut link, "kept", "x");
    assert_eq!(api.delete("/v1/retained").status, 400, "a filter has to be named");
    let dropped = api.delete("/v1/retained?filter=old/%23").expect(200);
    assert_eq!((dropped["dropped"].as_u64(), dropped["is_partial"].as_bool()), (Some(500), Some(false)));
    let left = api.get("/v1/retained").expect(200);
    assert_eq!(
        (left["retained"].as_array().unwrap().len(), &left["retained"][0]["topic"]),
        (1, &json!("kept"))
    );
}

#[test]
fn who_only_looks_does_nothing_and_each_act_is_written_down() {
    let data = program::fresh_folder("api-audit-data");
    let dir = data.display().to_string();
    let setup = setup("api-audit").args(["--data-dir", &dir]);
    let file = setup.folder().join("audit.log");
    let audit = setup.folder().join("audit.log.acts");
    let broker = setup.variable("IOTHUB_AUDIT__FILE", file.display().to_string()).start();
    let admin = Api::of(&broker);
    let token = |role: &str| {
        let mut command = program::command(program::iothub());
        let args = ["token", "add", role, "--role", role, "--data-dir", &dir];
        let mut process = Process::start("iothub token", command.args(args));
        process.succeed();
        admin.with_token(&process.out_lines()[0])
    };
    let (viewer, operator) = (token("viewer"), token("operator"));
    let _link = Link::connect(broker.port, v5("c"));
    let acts: [(&str, &str, Option<Value>); 5] = [
        ("POST", "/v1/publish", Some(json!({ "topic": "t" }))),
        ("POST", "/v1/clients/c/disconnect", Some(json!({}))),
        ("DELETE", "/v1/retained?filter=t", None),
        ("DELETE", "/v1/clients/c/queue", None),
        ("DELETE", "/v1/clients/c", None),
    ];
    for (method, path, body) in &acts {
        let refused = viewer.ask(method, path, body.as_ref());
        assert!(refused.status == 403 && refused.text.contains("needs operator"), "{path}: {refused:?}");
    }
    assert_eq!(operator.post("/v1/drain", &json!({})).status, 403);
    assert_eq!(operator.post("/v1/publish", &json!({ "topic": "t" })).status, 200);
    assert_eq!(operator.post("/v1/clients/c/disconnect", &json!({})).status, 200);
    let wanted = [
        "\"act\":\"publish\"",
        "\"act\":\"disconnect_client\"",
        "\"by\":\"API token operator from 127.0.0.1:",
    ];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(&audit).unwrap_or_default();
        if wanted.iter().all(|wanted| text.contains(wanted)) {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
    await_text(
        &file,
        "\"by\":\"api role\",\"why\":\"POST /v1/publish: the token viewer has the role viewer, and this needs operator\"",
    );
    broker.process.await_text("POST /v1/publish: the token viewer has the role viewer");
    drop(broker);
    fs::remove_dir_all(data).unwrap();
}

/// Orders this and breaks the connection off before an answer can come.
fn order_and_hang_up(api: &Api, path: &str, body: &Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", api.port)).unwrap();
    let (body, Api { port, token }) = (body.to_string(), api);
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    // Some before they are read, some while they are carried out.
    thread::sleep(Duration::from_micros(300));
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn whoever_orders_something_and_hangs_up_is_named_all_the_same() {
    let setup = setup("api-hung-up").config("[log]\nlevel = \"info\"\n");
    let file = setup.folder().join("audit.log");
    let acts = setup.folder().join("audit.log.acts");
    let broker = setup.variable("IOTHUB_AUDIT__FILE", file.display().to_string()).start();
    let api = Api::of(&broker);
    let mut keeper = Link::connect(broker.port, v5("keeper"));
    let mut links: Vec<(String, Link)> = (0..HUNG_UP)
        .map(|number| {
            let name = format!("hung-{number:02}");
            retain(&mut keeper, &format!("kept/{name}"), "x");
            (name.clone(), Link::connect(broker.port, lasting(&name)))
        })
        .collect();
    for (name, _) in &links {
        order_and_hang_up(&api, "/v1/client/kick", &json!({ "client_id": name }));
        order_and_hang_up(&api, "/v1/retained/drop", &json!({ "filter": format!("kept/{name}") }));
    }
    // Whatever has begun is done when this is answered, or soon after.
    api.post("/v1/publish", &json!({ "topic": "last" })).expect(200);
    let mut done = 0;
    for (name, _) in &mut links {
        let is_gone = api.post("/v1/client", &json!({ "client_id": name })).status == 404;
        let is_dropped = api.get(&format!("/v1/retained/one?topic=kept/{name}")).status == 404;
        for (is_done, line) in [
            (is_gone, "\"act\":\"end_session\",\"by\":\"API token admin from 127.0.0.1:"),
            (is_dropped, "\"act\":\"drop_retained\",\"by\":\"API token admin from 127.0.0.1:"),
        ] {
            if is_done {
                done += 1;
                await_line(&acts, &[line, name]);
            }
        }
    }
    assert!(done > HUNG_UP / 2, "{done} of {} orders were carried out", 2 * HUNG_UP);
}

const HUNG_UP: usize = 20;

/// A line with all of these in it.
fn await_line(path: &Path, wanted: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.lines().any(|line| wanted.iter().all(|wanted| line.contains(wanted))) {
            return;
        }
        assert!(Instant::now() < deadline, "no {wanted:?}: {text}");
    }
}

fn await_text(path: &Path, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "no {wanted}: {text}");
    }
}

/// One question with these headers, as a page of the web could have it asked.
fn ask_as_a_page(port: u16, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /v1/broker HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn whom_the_api_refuses_stands_in_both_logs_once_and_as_a_number() {
    let setup = setup("api-refused");
    let file = setup.folder().join("audit.log");
    let mut broker = setup.variable("IOTHUB_AUDIT__FILE", file.display().to_string()).start();
    let port = Api::of(&broker).port;
    let headers = [
        "Host: evil.example\r\n".to_owned(),
        format!("Host: 127.0.0.1:{port}\r\nOrigin: https://evil.example\r\n"),
        format!("Host: 127.0.0.1:{port}\r\n"),
    ];
    for (headers, status) in headers.iter().zip(["403", "403", "401"]) {
        for _ in 0..20 {
            let answer = ask_as_a_page(port, headers);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    }
    broker.process.signal(libc::SIGTERM);
    broker.process.wait();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for (by, why) in [
        ("api host", "GET /v1/broker: the API is not known by this host here"),
        ("api origin", "GET /v1/broker: another page's request"),
        ("api token", "GET /v1/broker: no token"),
    ] {
        let those: Vec<&Value> = lines.iter().filter(|line| line["by"] == by).collect();
        let told: u64 = those.iter().map(|line| line["more"].as_u64().unwrap_or(1)).sum();
        assert!(told == 20 && those.len() < 20, "{by}: {those:?}");
        assert!(those[0]["why"].as_str().unwrap().starts_with(why), "{those:?}");
        let logged = broker.process.lines().iter().filter(|line| line.contains(why)).count();
        assert!((5..15).contains(&logged), "{by}: {logged}");
    }
}

#[test]
fn a_drain_is_begun_by_an_admin() {
    let mut broker = setup("api-drained").start();
    let api = Api::of(&broker);
    let begun = Instant::now();
    assert_eq!(api.post("/v1/drain", &json!({})).expect(202)["outcome"], "draining");
    assert_eq!(broker.ended(begun).code, Some(0));
}

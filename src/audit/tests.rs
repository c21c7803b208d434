//! Floods, and what is in the files afterwards.

use std::{fs, net::SocketAddr};

use crossbeam_channel::Receiver;
use runtime::Auditor as _;
use shard::{Denial, Version, What};

use super::*;

/// What a writer reads from.
type Inbox = (Receiver<Told>, Receiver<Order>);

fn audit(client_lines_per_minute: u64, lines_max: usize) -> (Audit, Inbox) {
    let (lines, lines_come) = bounded(lines_max);
    let (orders, orders_come) = bounded(QUEUE_ORDERS_MAX);
    let audit = Audit {
        lines,
        lost: Arc::default(),
        orders,
        acts_lost: Arc::default(),
        thinned: Arc::new(Thinned::new(client_lines_per_minute)),
        events: Happenings::of(&Happening::AUDITED),
        listeners: Arc::default(),
    };
    (audit, (lines_come, orders_come))
}

/// Everything that was put is written, and what the two files have is read.
fn written(folder: &Path, audit: Audit, (lines, orders): &Inbox, bytes_max: u64, keep: u32) -> [String; 2] {
    let paths = [folder.join("audit"), folder.join("audit.acts")];
    let [clients, acts] =
        [&paths[0], &paths[1]].map(|path| AuditFile::open(path, bytes_max, keep).expect("a file of ours"));
    let writer = audit.writer(clients, acts);
    drop(audit);
    writer.run(lines, orders);
    paths.map(|path| fs::read_to_string(path).expect("it was written"))
}

fn occasion(port: u16) -> Occasion {
    Occasion { address: Some(SocketAddr::from(([192, 0, 2, 1], port))), door: Some(0) }
}

fn of_client(what: What) -> Note {
    Note { conn: None, client_id: Some("c".into()), user: None, what }
}

/// What a client that may come in can have written about itself.
fn notes() -> [Note; 3] {
    let connected = What::Connected {
        version: Version::V5,
        user: Some("ada".into()),
        provider: None,
        clean_start: true,
        session_present: false,
        keep_alive_s: 0,
        session_expiry_s: 0,
    };
    let denial = Denial {
        user: Some("ada".into()),
        action: "publish",
        topic: "t".into(),
        because: "no rule".into(),
        is_shadow: false,
    };
    let disconnected = What::Disconnected { reason: shard::ReasonCode::Success, why: "gone".into() };
    [connected, What::Denied(Box::new(denial)), disconnected].map(of_client)
}

fn reload(details: &[String]) -> Act<'_> {
    Act { act: "reload", by: "SIGHUP", outcome: "done", details }
}

#[test]
fn a_flood_of_strangers_is_one_line_and_a_count() {
    let folder = file::fresh_folder("strangers");
    let (audit, inbox) = audit(0, QUEUE_LINES_MAX);
    for port in 1..=5000 {
        audit.turn_away(ShardId(0), &occasion(port), NotOpened::Tls, "TLS: no certificate");
    }
    let [text, _] = written(&folder, audit, &inbox, 1 << 20, 1);
    let said = "\"address\":\"192.0.2.1:1\",\"by\":\"tls\",\"why\":\"TLS: no certificate\"}\n";
    assert!(text.contains(said), "{text}");
    assert!(
        text.ends_with(
            "\"address\":\"192.0.2.1\",\"by\":\"tls\",\"why\":\"TLS: no certificate\",\"more\":4999}\n"
        ),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2, "{text}");
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn a_flood_of_a_client_with_rights_is_some_lines_of_each_kind_and_counts() {
    let folder = file::fresh_folder("clients");
    let (audit, inbox) = audit(60, QUEUE_LINES_MAX);
    for port in 0..2000 {
        notes().iter().for_each(|note| audit.record(ShardId(0), &occasion(port), note));
    }
    let [text, _] = written(&folder, audit, &inbox, 1 << 20, 1);
    for kind in ["connected", "denied", "disconnected"] {
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .filter(|line: &serde_json::Value| line["event"] == kind)
            .collect();
        assert!((61..70).contains(&lines.len()), "{kind}: {}", lines.len());
        let told: u64 = lines.iter().map(|line| line["more"].as_u64().unwrap_or(1)).sum();
        assert_eq!(told, 2000, "{kind}");
    }
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn a_shard_waits_for_nobody_at_the_table_and_its_lines_are_judged_later() {
    let folder = file::fresh_folder("busy");
    let (audit, inbox) = audit(60, QUEUE_LINES_MAX);
    let refused = Sort { kind: Happening::Refused, whose: Whose::Strangers, by: None };
    let connected = Sort { kind: Happening::Connected, whose: Whose::Clients, by: None };
    let told = || {
        for port in 1..=5000 {
            audit.turn_away(ShardId(0), &occasion(port), NotOpened::Tls, "TLS: no");
        }
        (0..100).for_each(|port| audit.record(ShardId(1), &occasion(port), &notes()[0]));
    };
    let (done, came) = bounded(1);
    thread::scope(|threads| {
        let _replaced = audit.listeners.write().expect("nobody panicked");
        audit.thinned.while_busy(refused, || {
            audit.thinned.while_busy(connected, || {
                threads.spawn(|| {
                    told();
                    done.send(())
                });
                came.recv_timeout(Duration::from_secs(60)).expect("a shard waits");
            });
        });
    });
    let [text, _] = written(&folder, audit, &inbox, 1 << 20, 1);
    for (event, lines, all) in [("refused", 2, 5000), ("connected", 61, 100)] {
        let those: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .filter(|line: &serde_json::Value| line["event"] == event)
            .collect();
        let told: u64 = those.iter().map(|line| line["more"].as_u64().unwrap_or(1)).sum();
        assert_eq!((those.len(), told), (lines, all), "{event}");
    }
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn no_client_pushes_out_what_is_done_to_the_broker() {
    let folder = file::fresh_folder("acts");
    // The queue of lines is full all the time, and each file that it fills makes way for the next.
    let (audit, inbox) = audit(0, 64);
    audit.tell(&reload(&["before".to_owned()]));
    for port in 0..10_000 {
        notes().iter().for_each(|note| audit.record(ShardId(0), &occasion(port), note));
    }
    audit.tell(&reload(&["after".to_owned()]));
    assert_eq!(audit.acts_lost.all(), 0);
    let [clients, acts] = written(&folder, audit, &inbox, 4096, 1);
    let details: Vec<&str> = ["before", "after"].into_iter().filter(|word| acts.contains(word)).collect();
    assert!(details.len() == 2 && acts.lines().count() == 2, "{acts}");
    assert!(clients.contains("\"event\":\"lost\"") && !clients.contains("administration"), "{clients}");
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn who_does_very_much_to_the_broker_does_not_push_out_what_others_do() {
    let folder = file::fresh_folder("deeds");
    let (audit, inbox) = audit(0, 64);
    audit.tell(&reload(&["before".to_owned()]));
    for port in 0..3000 {
        let by = format!("API token hand from 192.0.2.1:{port}");
        audit.tell(&Act { act: "publish", by: &by, outcome: "done", details: &[] });
    }
    let [_, acts] = written(&folder, audit, &inbox, 200_000, 0);
    assert!(acts.contains("before"), "the file did not have to make way");
    let lines: Vec<serde_json::Value> =
        acts.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of_hand = || lines.iter().filter(|line| line["act"] == "publish");
    assert!((601..700).contains(&of_hand().count()), "{}", lines.len());
    let told: u64 = of_hand().map(|line| line["more"].as_u64().unwrap_or(1)).sum();
    assert_eq!(told, 3000);
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn what_the_api_refuses_is_a_line_for_each_cause_and_a_count() {
    let folder = file::fresh_folder("refusals");
    let (audit, inbox) = audit(0, 64);
    let peer = SocketAddr::from(([192, 0, 2, 1], 700));
    for _ in 0..100 {
        for by in ["api role", "api host"] {
            audit.refuse(&Refusal { peer, by, why: "no" });
        }
    }
    let [text, acts] = written(&folder, audit, &inbox, 1 << 20, 1);
    for by in ["api role", "api host"] {
        let line =
            format!("\"event\":\"refused\",\"address\":\"192.0.2.1:700\",\"by\":\"{by}\",\"why\":\"no\"}}\n");
        assert!(text.contains(&line), "{text}");
        let count = format!("\"address\":\"192.0.2.1\",\"by\":\"{by}\",\"why\":\"no\",\"more\":99}}\n");
        assert!(text.contains(&count), "{text}");
    }
    assert!(acts.is_empty(), "{acts}");
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn what_finds_no_room_is_counted_and_nobody_waits() {
    let (audit, _inbox) = audit(0, 1);
    for _ in 0..3 {
        audit.put(Told { line: b"{}\n".to_vec(), question: None });
    }
    assert_eq!(audit.lost.all(), 2);
    for _ in 0..QUEUE_ORDERS_MAX + 3 {
        audit.put_act(b"{}\n".to_vec());
    }
    assert_eq!(audit.lines_lost(), 5, "of both files");
}

//! The page as a whole, and that what is documented, drawn and watched is what there is.

use std::collections::{BTreeMap, BTreeSet};

use runtime::{Depth, Place};
use serde_json::json;
use shard::{Cause, ShardId, Side};

use super::*;
use crate::{
    api::{drops, shards},
    sys::tree::{Moment, OF_FULL_QUEUES, Tree},
    top::board,
};

fn facts() -> Facts {
    Facts {
        version: "1.2.3",
        began: UNIX_EPOCH + Duration::from_secs(7),
        stages: [("starting", false), ("serving", true), ("draining", false)],
        is_ready: false,
        has_store_failed: true,
        places: ["waiting", "guests", "seats", "streams", "log_streams", "traces", "published", "control"]
            .map(|place| Used { place, taken: 2, most: 9, refused: 4 })
            .into(),
        denied: [("no_token", 1), ("token", 2), ("role", 3), ("host", 4), ("origin", 5)],
        told_to_wait: 1,
        missed: [("events", 6), ("log", 7), ("trace", 8), ("published", 9)],
        broker: Some(OfBroker {
            shards: 3,
            connections: 5,
            connections_max: 100,
            figures: Figures { queued_max: 20, ..Figures::default() },
            questions: ["http_url", "jwt_keys"]
                .map(|key| (key, Asked { answered: 3, unanswered: 2, failed: 1 })),
            doors: vec![DoorUse {
                place: Place::Tcp(([0, 0, 0, 0], 1883).into()),
                connections: 3,
                connections_max: 9,
            }],
            banned: Banned { configured: 1, ordered: 2 },
        }),
        log_lines_lost: 1,
        audit_lines_lost: 2,
        log_lines_left_out: 3,
        audit_lines_left_out: 4,
        disk: Some(Room { free: 7, all: 9 }),
        spans: [("sent", 3), ("queue_full", 4), ("not_taken", 5)],
        process: Process {
            cpu: Some(Duration::from_millis(1500)),
            resident_bytes: Some(1),
            anonymous_bytes: Some(1),
            virtual_bytes: Some(1),
            open_files: Some(1),
            open_files_max: Some(1),
            threads: Some(1),
        },
    }
}

/// Two of three shards have answered.
fn page() -> String {
    let mut one = Snapshot::empty(ShardId(0));
    one.counters.dropped_expired = 4;
    one.counters.publish_received = 10;
    one.gauges.sessions = 3;
    one.timings.turn.record(Duration::from_micros(3), 2);
    one.mesh = vec![Depth { to: ShardId(1), letters: 6, slots: 512 }];
    let mut two = Snapshot::empty(ShardId(1));
    two.counters.publish_received = 5;
    text(&[one, two], &facts())
}

/// One cause that has lost as many messages on the first shard as `first` says, and one on the second.
fn having_lost(cause: Cause, first: u64) -> [Snapshot; 2] {
    let mut counters = [first, 1].into_iter();
    [ShardId(0), ShardId(1)].map(|shard| {
        let mut snapshot = Snapshot::empty(shard);
        assert!(snapshot.counters.set(cause.counter(), counters.next().expect("two of them")));
        snapshot
    })
}

/// By name, of the broker: what stands on the page.
fn summed(page: &str, family: &str, cause: Cause) -> u64 {
    let of_cause = format!("cause=\"{}\"}} ", cause.word());
    let lines = page.lines().filter(|line| line.starts_with(&format!("{family}{{shard=")));
    lines.filter_map(|line| line.split_once(&of_cause)?.1.parse::<u64>().ok()).sum()
}

#[test]
fn each_loss_is_the_same_loss_wherever_it_is_told() {
    for (at, cause) in Cause::ALL.iter().enumerate() {
        let (first, is_out) = (7 + at as u64, cause.side() == Side::Out);
        let snapshots = having_lost(*cause, first);
        let count = first + 1;
        let (out, refused) = if is_out { (count, 0) } else { (0, count) };

        let page = text(&snapshots, &facts());
        for (family, expected) in
            [("iothub_messages_dropped_total", out), ("iothub_publish_refused_total", refused)]
        {
            assert_eq!(summed(&page, family, *cause), expected, "{family} {cause:?}");
        }
        let moment = Moment { uptime: Duration::ZERO, elapsed: Duration::from_secs(1), heap_bytes: 0 };
        let lines: BTreeMap<String, String> = Tree::default().lines(&snapshots, moment).into_iter().collect();
        let number = |name: &str| lines[&format!("$SYS/broker/{name}")].parse::<u64>().expect("a number");
        let of_full_queues = if OF_FULL_QUEUES.contains(cause) { out } else { 0 };
        assert_eq!(number("publish/messages/dropped"), of_full_queues);
        assert_eq!(number("shards/0/publish/messages/lost"), if is_out { first } else { 0 });
        assert_eq!(number("shards/0/publish/messages/refused"), if is_out { 0 } else { first });

        let drops = drops::by_cause(&snapshots);
        assert_eq!((&drops["out"], &drops["in"]), (&out.into(), &refused.into()));
        let row = &drops["causes"][at];
        assert_eq!((&row["cause"], &row["count"]), (&cause.word().into(), &count.into()));
        // The dashboard looks up in the answer of the one operation what the other one names.
        let shards: Vec<_> = snapshots.iter().map(shards::row).collect();
        let counter = row["counter"].as_str().expect("its name");
        let of_shards = shards.iter().map(|row| row["counters"][counter].as_u64().expect("a number"));
        assert_eq!(of_shards.sum::<u64>(), count, "{counter}");

        let board = board::tests::of_shards(&json!({ "shards": shards }));
        assert_eq!(board.drops(), [(cause.word(), cause.side(), count, 0.0)]);
        assert_eq!((board.lost(Side::Out), board.lost(Side::In)), (out, refused));
    }
}

#[test]
fn values_of_each_shard_stand_beside_its_number() {
    let page = page();
    for line in [
        "iothub_build_info{version=\"1.2.3\"} 1",
        "iothub_ready 0",
        "iothub_stage{stage=\"starting\"} 0",
        "iothub_stage{stage=\"serving\"} 1",
        "iothub_store_failed 1",
        "iothub_api_places{place=\"seats\"} 2",
        "iothub_api_places_limit{place=\"traces\"} 9",
        "iothub_api_refused_total{place=\"guests\"} 4",
        "iothub_api_missed_total{stream=\"trace\"} 8",
        "iothub_authentication_waiting_limit 20",
        "iothub_authentication_questions_total{key=\"http_url\",outcome=\"unanswered\"} 2",
        "iothub_listener_connections{listener=\"0.0.0.0:1883\"} 3",
        "iothub_listener_connections_limit{listener=\"0.0.0.0:1883\"} 9",
        "iothub_bans{by=\"operator\"} 2",
        "iothub_store_disk_free_bytes 7",
        "iothub_api_denied_total{cause=\"role\"} 3",
        "iothub_log_lines_left_out_total{log=\"audit\"} 4",
        "iothub_seats 5",
        "iothub_seats_limit 100",
        "iothub_shard_up{shard=\"0\"} 1",
        "iothub_shard_up{shard=\"2\"} 0",
        "iothub_publish_received_total{shard=\"0\"} 10",
        "iothub_publish_received_total{shard=\"1\"} 5",
        "iothub_messages_dropped_total{shard=\"0\",cause=\"expired\"} 4",
        "iothub_sessions{shard=\"0\"} 3",
        "iothub_turn_seconds_bucket{shard=\"0\",le=\"0.000002048\"} 0",
        "iothub_turn_seconds_bucket{shard=\"0\",le=\"0.000004096\"} 2",
        "iothub_turn_seconds_bucket{shard=\"0\",le=\"+Inf\"} 2",
        "iothub_turn_seconds_sum{shard=\"0\"} 0.000006",
        "iothub_turn_seconds_count{shard=\"0\"} 2",
        "iothub_mesh_letters{shard=\"0\"} 6",
        "iothub_log_lines_lost_total{log=\"audit\"} 2",
        "process_start_time_seconds 7",
        "process_cpu_seconds_total 1.5",
    ] {
        assert!(page.lines().any(|known| known == line), "{line} is missing");
    }
}

/// The rules of the format, as far as they can be broken here: a head before each family's samples, no family twice, no sample
/// twice, and numbers that are numbers.
#[test]
fn the_page_keeps_to_the_format() {
    let page = page();
    let (mut family, mut kind, mut help) = (String::new(), String::new(), String::new());
    let mut families = BTreeSet::new();
    let mut samples = BTreeSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').expect("a name and a text");
            help = name.to_owned();
            assert!(text.ends_with('.'), "{line}");
            assert!(families.insert(name.to_owned()), "{name} stands there twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, word) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, help, "the help comes first");
            (family, kind) = (name.to_owned(), word.to_owned());
            assert_eq!(word == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a sample and a value");
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
            let name = sample.split('{').next().expect("a name");
            let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(samples.insert(sample.to_owned()), "{sample} stands there twice");
        }
    }
    assert!(families.len() > 80, "{} families", families.len());
}

#[test]
fn buckets_do_not_shrink_and_the_last_is_the_count() {
    let page = page();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for line in page.lines().filter(|line| line.contains("_bucket{")) {
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let of = sample.split(",le=").next().expect("a bound").replace("_bucket", "_count");
        let value: u64 = value.parse().expect("a number");
        let before = last.insert(format!("{of}}}"), value);
        assert!(before.is_none_or(|before| before <= value), "{line}");
    }
    for (count, value) in last {
        assert!(page.contains(&format!("{count} {value}\n")), "{count} {value}");
    }
}

#[test]
fn sums_of_all_shards_stand_under_names_of_their_own_where_all_have_answered() {
    let mut one = Snapshot::empty(ShardId(0));
    (one.counters.publish_received, one.counters.dropped_expired, one.gauges.sessions) = (10, 4, 3);
    let (mut two, three) = (one.clone(), Snapshot::empty(ShardId(2)));
    two.shard = ShardId(1);
    let page = text(&[one, two, three], &facts());
    for line in [
        "iothub_broker_publish_received_total 20",
        "iothub_broker_messages_dropped_total{cause=\"expired\"} 8",
        "iothub_broker_sessions 6",
    ] {
        assert!(page.lines().any(|other| other == line), "{line}");
    }
    assert!(!self::page().contains("iothub_broker_"), "a shard has not answered");
}

#[test]
fn a_shard_tells_of_its_rings_by_three_numbers_however_many_there_are() {
    let mut one = Snapshot::empty(ShardId(0));
    one.mesh = (1..64).map(|to| Depth { to: ShardId(to), letters: usize::from(to), slots: 512 }).collect();
    let page = text(&[one], &facts());
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("iothub_mesh_")).collect();
    let expected = [
        "iothub_mesh_letters{shard=\"0\"} 2016",
        "iothub_mesh_fullest_letters{shard=\"0\"} 63",
        "iothub_mesh_slots{shard=\"0\"} 512",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn without_any_answer_the_page_says_so() {
    let page = text(&[], &facts());
    assert!(page.contains("iothub_shard_up{shard=\"0\"} 0\n"));
    assert!(!page.contains("iothub_sessions{"));
}

#[test]
fn while_the_broker_starts_the_page_has_what_is_known() {
    let page = text(&[], &Facts { broker: None, ..facts() });
    assert!(page.contains("iothub_ready 0\n") && page.contains("process_start_time_seconds 7\n"));
    assert!(!page.contains("iothub_shard_up") && !page.contains("iothub_seats"));
}

/// `docs/metrics.md` has one line for each.
#[test]
fn every_metric_is_documented_with_its_type_and_the_values_of_its_label() {
    let document = include_str!("../../docs/metrics.md");
    let documented: BTreeSet<(String, String)> = document.lines().filter_map(row).collect();
    let page = page();
    let mut heads = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            heads.insert(name.to_owned(), kind.to_owned());
        }
    }
    let shown: BTreeSet<(String, String)> = heads.into_iter().collect();
    assert_eq!(shown, documented);
    for family in counters::FAMILIES {
        for (_, value) in family.counters.iter().filter(|(_, value)| !value.is_empty()) {
            assert!(document.contains(&format!("`{value}`")), "{}: {value}", family.name);
        }
    }
}

/// What is drawn and watched is what there is.
#[test]
fn the_dashboard_and_the_alerts_name_metrics_that_exist() {
    let page = page();
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for text in [
        include_str!("../../docker/monitoring/dashboard.json"),
        include_str!("../../docker/monitoring/alerts.yaml"),
    ] {
        let words = text.split(|of: char| !of.is_ascii_alphanumeric() && of != '_');
        let named: BTreeSet<&str> =
            words.filter(|word| word.starts_with("iothub_") || word.starts_with("process_")).collect();
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(families.contains(name) || family.is_some_and(|name| families.contains(name)), "{name}");
        }
    }
}

/// A value that no sample has is never drawn, and no alert waits for it in vain.
#[test]
fn the_dashboard_and_the_alerts_name_values_of_labels_that_exist() {
    let page = page();
    let dashboard = include_str!("../../docker/monitoring/dashboard.json").replace("\\\"", "\"");
    let selected =
        [selectors(&dashboard), selectors(include_str!("../../docker/monitoring/alerts.yaml"))].concat();
    let chosen = selected.iter().filter(|(_, label, _)| !["instance", "job", "shard", "le"].contains(label));
    let mut values = 0;
    for (name, label, value) in chosen {
        for word in value.split('|') {
            let sample = format!("{label}=\"{word}\"");
            let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
            assert!(page.lines().filter(is_of).any(|line| line.contains(&sample)), "{name}: {sample}");
            values += 1;
        }
    }
    assert!(values > 8, "{selected:?}");
}

/// Metric, label and value of all that stands in braces behind a metric.
fn selectors(text: &str) -> Vec<(&str, &str, &str)> {
    let is_of_name = |of: char| of.is_ascii_alphanumeric() || of == '_';
    let mut found = Vec::new();
    for (at, _) in text.match_indices('{') {
        let before = &text[..at];
        let name = &before[before.trim_end_matches(is_of_name).len()..];
        let inside = text[at + 1..].split('}').next().unwrap_or_default();
        for matcher in inside.split(',').filter(|_| !name.is_empty()) {
            let Some((label, value)) = matcher.split_once('"') else { continue };
            let label = label.trim().trim_end_matches(['=', '!', '~']);
            found.push((name, label, value.trim_end_matches('"')));
        }
    }
    found
}

/// Name and type, of a line of the table.
fn row(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| `")?.split(" | ");
    let name = cells.next()?.strip_suffix('`').filter(|name| !name.starts_with("$SYS/"))?;
    Some((name.to_owned(), cells.next()?.to_owned()))
}

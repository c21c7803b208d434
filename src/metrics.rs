//! All that the broker counts and holds, as the text that Prometheus reads. Pure: who asks the shards is elsewhere.
//!
//! Each shard's values have its number as a label; sums over all shards have names of their own. `docs/metrics.md` lists them.

mod counters;
mod gauges;
mod page;
mod process;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use identity::{Asked, Figures};
use runtime::{Banned, Depth, DoorUse, Snapshot};
use shard::Counters;

use crate::{bans, disk_room::Room};
use gauges::Gauge;
use page::{Kind, Page};
pub use process::Process;

/// What is known of the process beside its shards.
#[derive(Debug, Clone)]
pub struct Facts {
    pub version: &'static str,
    pub began: SystemTime,
    /// In which of them it is.
    pub stages: [(&'static str, bool); 3],
    pub is_ready: bool,
    pub has_store_failed: bool,
    /// Of the API.
    pub places: Vec<Used>,
    /// By the API, by cause.
    pub denied: [(&'static str, u64); 5],
    /// Of these: those that have a token which nobody knows again and again.
    pub told_to_wait: u64,
    /// By readers of each kind of stream.
    pub missed: [(&'static str, u64); 4],
    /// None: it starts, and has no shards yet.
    pub broker: Option<OfBroker>,
    pub log_lines_lost: u64,
    pub audit_lines_lost: u64,
    /// Too many came, so that a line says how many.
    pub log_lines_left_out: u64,
    pub audit_lines_left_out: u64,
    /// Of the store. None: it is not known, or there is no store.
    pub disk: Option<Room>,
    /// Of messages that were traced, by what became of them.
    pub spans: [(&'static str, u64); 3],
    pub process: Process,
}

/// What is known of all shards together.
#[derive(Debug, Clone)]
pub struct OfBroker {
    pub shards: usize,
    pub connections: usize,
    pub connections_max: usize,
    /// Of those who find out who clients are.
    pub figures: Figures,
    /// To other programs, by the key that names the program.
    pub questions: [(&'static str, Asked); 2],
    pub doors: Vec<DoorUse>,
    pub banned: Banned,
}

/// Places of one kind: how many are taken, of how many, and how often there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub place: &'static str,
    pub taken: u64,
    pub most: u64,
    pub refused: u64,
}

/// What the text is, for whoever sends it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Shards that did not answer are missing from `snapshots`.
pub fn text(snapshots: &[Snapshot], facts: &Facts) -> String {
    let mut page = Page::default();
    of_life(&mut page, facts);
    of_process(&mut page, facts);
    of_disk(&mut page, facts.disk);
    of_api(&mut page, facts);
    let Some(broker) = &facts.broker else { return page.into_text() };
    of_seats(&mut page, broker);
    of_doors(&mut page, &broker.doors);
    of_bans(&mut page, broker.banned);
    of_authentication(&mut page, &broker.figures);
    of_questions(&mut page, &broker.questions);
    let names: Vec<String> = snapshots.iter().map(|snapshot| snapshot.shard.0.to_string()).collect();
    let shards: Vec<(&str, &Snapshot)> = names.iter().map(String::as_str).zip(snapshots).collect();
    of_answers(&mut page, &shards, broker.shards);
    of_counters(&mut page, &shards);
    of_gauges(&mut page, &shards);
    of_timings(&mut page, &shards);
    of_mesh(&mut page, &shards);
    // A sum without one of them would be less than before.
    if snapshots.len() == broker.shards {
        of_broker(&mut page, snapshots);
    }
    page.into_text()
}

fn of_life(page: &mut Page, facts: &Facts) {
    page.family("iothub_build_info", Kind::Gauge, "Which version of IoTHub this is.");
    page.count(&[("version", facts.version)], 1);
    let help = "Whether it lets clients in: it has recovered, does not drain, and its store works.";
    single(page, "iothub_ready", help, facts.is_ready.into());
    page.family(
        "iothub_stage",
        Kind::Gauge,
        "How far the broker is in its life: 1 for the stage in which it is.",
    );
    for (stage, is_now) in facts.stages {
        page.count(&[("stage", stage)], is_now.into());
    }
    let help =
        "Whether the store of a shard has failed and the broker goes on without it (store.on_failure).";
    single(page, "iothub_store_failed", help, facts.has_store_failed.into());
}

fn of_seats(page: &mut Page, broker: &OfBroker) {
    let help = "Connections of all shards, closing ones included.";
    single(page, "iothub_seats", help, broker.connections as u64);
    let help = "Connections that are let in at most (server.max_connections, or what the open files allow).";
    single(page, "iothub_seats_limit", help, broker.connections_max as u64);
}

fn of_doors(page: &mut Page, doors: &[DoorUse]) {
    let named: Vec<(String, &DoorUse)> = doors.iter().map(|door| (door.place.to_string(), door)).collect();
    let help = "Connections by the address that they came in by, closing ones included.";
    page.family("iothub_listener_connections", Kind::Gauge, help);
    for (name, door) in &named {
        page.count(&[("listener", name)], door.connections as u64);
    }
    let help = "Connections that the address lets in at most (max_connections of its [[listener]]).";
    page.family("iothub_listener_connections_limit", Kind::Gauge, help);
    for (name, door) in &named {
        page.count(&[("listener", name)], door.connections_max as u64);
    }
}

fn of_bans(page: &mut Page, banned: Banned) {
    page.family("iothub_bans", Kind::Gauge, "Bans that hold, by who has said so.");
    for (by, count) in [("configuration", banned.configured), ("operator", banned.ordered)] {
        page.count(&[("by", by)], count as u64);
    }
    page.family("iothub_bans_limit", Kind::Gauge, "Bans that there may be.");
    page.count(&[("by", "operator")], bans::ORDERED_MAX as u64);
}

fn of_disk(page: &mut Page, disk: Option<Room>) {
    let Some(Room { free, all }) = disk else { return };
    let help = "Room on the disk of store.dir that the broker may use, some seconds ago.";
    single(page, "iothub_store_disk_free_bytes", help, free);
    single(page, "iothub_store_disk_bytes", "All of the disk of store.dir.", all);
}

fn of_api(page: &mut Page, facts: &Facts) {
    type Measure = fn(&Used) -> u64;
    let families: [(&str, Kind, &str, Measure); 3] = [
        ("iothub_api_places", Kind::Gauge, "Places of the API that are taken.", |used| used.taken),
        ("iothub_api_places_limit", Kind::Gauge, "Places of the API that there are.", |used| used.most),
        (
            "iothub_api_refused_total",
            Kind::Counter,
            "Times that somebody found no place; for guests, that one had to make room for another or was sent away.",
            |used| used.refused,
        ),
    ];
    for (name, kind, help, value) in families {
        page.family(name, kind, help);
        for used in &facts.places {
            page.count(&[("place", used.place)], value(used));
        }
    }
    let help = "Questions that the API has refused because of who asks, by what was wrong.";
    page.family("iothub_api_denied_total", Kind::Counter, help);
    for (cause, count) in facts.denied {
        page.count(&[("cause", cause)], count);
    }
    let help = "Of those with a token that is not known: those that were told to wait (status 429).";
    page.family("iothub_api_told_to_wait_total", Kind::Counter, help);
    page.count(&[], facts.told_to_wait);
    let help = "What was for readers of streams and did not come to them: it was not read in time, or there was too much at once.";
    page.family("iothub_api_missed_total", Kind::Counter, help);
    for (stream, count) in facts.missed {
        page.count(&[("stream", stream)], count);
    }
}

fn of_process(page: &mut Page, facts: &Facts) {
    let help =
        "Lines that were lost: nobody took them in time, or the file of the audit log could not be written.";
    page.family("iothub_log_lines_lost_total", Kind::Counter, help);
    page.count(&[("log", "log")], facts.log_lines_lost);
    page.count(&[("log", "audit")], facts.audit_lines_lost);
    let help = "Lines of which another line says how many were left out: one address has caused too many.";
    page.family("iothub_log_lines_left_out_total", Kind::Counter, help);
    page.count(&[("log", "log")], facts.log_lines_left_out);
    page.count(&[("log", "audit")], facts.audit_lines_left_out);
    let help =
        "Spans of messages that were traced: those that the collector has taken, and those that are lost.";
    page.family("iothub_spans_total", Kind::Counter, help);
    for (outcome, value) in facts.spans {
        page.count(&[("outcome", outcome)], value);
    }
    page.family("process_start_time_seconds", Kind::Gauge, "When the process began, as unix time.");
    let began = facts.began.duration_since(UNIX_EPOCH).unwrap_or_default();
    page.seconds(&[], began.as_secs_f64());
    let process = &facts.process;
    if let Some(cpu) = process.cpu {
        page.family("process_cpu_seconds_total", Kind::Counter, "Processor time of the process.");
        page.seconds(&[], cpu.as_secs_f64());
    }
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory of the process that is in RAM.", process.resident_bytes),
        (
            "process_virtual_memory_bytes",
            "Addresses of the process that stand for something.",
            process.virtual_bytes,
        ),
        ("process_open_fds", "Files that are open.", process.open_files),
        ("process_max_fds", "Files that may be open.", process.open_files_max),
        ("process_threads", "Threads of the process.", process.threads),
    ] {
        if let Some(value) = value {
            single(page, name, help, value);
        }
    }
}

fn of_authentication(page: &mut Page, figures: &Figures) {
    let Figures { accepted, rejected, challenged, throttled, busy, repeated, queued, queued_max } = *figures;
    let help = "Answers to the question who a client is.";
    page.family("iothub_authentication_answers_total", Kind::Counter, help);
    for (outcome, value) in [("accepted", accepted), ("rejected", rejected), ("challenged", challenged)] {
        page.count(&[("outcome", outcome)], value);
    }
    let help = "Of the rejected: those for whom there was no time, or who had to wait after failed attempts.";
    page.family("iothub_authentication_unheard_total", Kind::Counter, help);
    for (cause, value) in [("throttled", throttled), ("busy", busy)] {
        page.count(&[("cause", cause)], value);
    }
    let help = "Of all answers: those that had been found out a moment before.";
    page.family("iothub_authentication_cached_total", Kind::Counter, help);
    page.count(&[], repeated);
    single(page, "iothub_authentication_waiting", "Clients that wait for their turn to be judged.", queued);
    let help = "Clients that may wait (authentication.max_waiting), and as many more for each kind of program that is asked.";
    single(page, "iothub_authentication_waiting_limit", help, queued_max);
}

fn of_questions(page: &mut Page, questions: &[(&str, Asked)]) {
    let help = "Questions to other programs who a client is, or for keys of tokens, by the key that names the program.";
    page.family("iothub_authentication_questions_total", Kind::Counter, help);
    for (key, Asked { answered, unanswered, failed }) in questions {
        for (outcome, count) in [("answered", *answered), ("unanswered", *unanswered), ("failed", *failed)] {
            page.count(&[("key", key), ("outcome", outcome)], count);
        }
    }
}

fn single(page: &mut Page, name: &'static str, help: &str, value: u64) {
    page.family(name, Kind::Gauge, help);
    page.count(&[], value);
}

fn of_answers(page: &mut Page, shards: &[(&str, &Snapshot)], count: usize) {
    page.family("iothub_shard_up", Kind::Gauge, "Whether the shard has answered this question in time.");
    for shard in 0..count {
        let name = shard.to_string();
        let is_up = shards.iter().any(|(known, _)| **known == name);
        page.count(&[("shard", &name)], u64::from(is_up));
    }
}

fn of_counters(page: &mut Page, shards: &[(&str, &Snapshot)]) {
    for family in counters::FAMILIES {
        page.family(family.name, Kind::Counter, family.help);
        for (shard, snapshot) in shards {
            for (counter, value) in family.counters {
                let count = counters::value(&snapshot.counters, counter);
                let of_shard = [("shard", *shard), (family.label.unwrap_or_default(), *value)];
                page.count(&of_shard[..1 + usize::from(family.label.is_some())], count);
            }
        }
    }
}

fn gauges_of(snapshot: &Snapshot) -> Vec<Gauge> {
    let held = gauges::held(&snapshot.gauges).into_iter().chain([gauges::store(snapshot.store_file_bytes)]);
    held.chain(gauges::limits(&snapshot.limits)).collect()
}

fn of_gauges(page: &mut Page, shards: &[(&str, &Snapshot)]) {
    let by_shard: Vec<(&str, Vec<Gauge>)> =
        shards.iter().map(|(shard, snapshot)| (*shard, gauges_of(snapshot))).collect();
    let Some((_, first)) = by_shard.first() else { return };
    for (at, gauge) in first.iter().enumerate() {
        page.family(gauge.name, Kind::Gauge, gauge.help);
        for (shard, gauges) in &by_shard {
            page.count(&[("shard", shard)], gauges[at].value as u64);
        }
    }
}

/// Over all shards, under names of their own: whoever sums what stands beside a shard has nothing twice.
fn of_broker(page: &mut Page, snapshots: &[Snapshot]) {
    let mut counters = Counters::default();
    snapshots.iter().for_each(|snapshot| counters.add(&snapshot.counters));
    for family in counters::FAMILIES {
        page.family(of_all(family.name), Kind::Counter, family.help);
        for (counter, value) in family.counters {
            let count = counters::value(&counters, counter);
            let label = family.label.map(|label| (label, *value));
            page.count(label.as_slice(), count);
        }
    }
    let by_shard: Vec<Vec<Gauge>> = snapshots.iter().map(gauges_of).collect();
    for (at, gauge) in by_shard.first().into_iter().flatten().enumerate() {
        let sum: usize = by_shard.iter().map(|gauges| gauges[at].value).sum();
        page.family(of_all(gauge.name), Kind::Gauge, gauge.help);
        page.count(&[], sum as u64);
    }
}

fn of_all(name: &str) -> String {
    name.replacen("iothub_", "iothub_broker_", 1)
}

fn of_timings(page: &mut Page, shards: &[(&str, &Snapshot)]) {
    let Some((_, first)) = shards.first() else { return };
    for (at, (name, help, _)) in first.timings.iter().enumerate() {
        page.family(histogram_name(name), Kind::Histogram, help);
        for (shard, snapshot) in shards {
            if let Some((_, _, histogram)) = snapshot.timings.iter().nth(at) {
                page.histogram(&[("shard", shard)], histogram);
            }
        }
    }
}

fn histogram_name(timing: &str) -> &'static str {
    match timing {
        "turn" => "iothub_turn_seconds",
        "routing" => "iothub_routing_seconds",
        "crossing" => "iothub_crossing_seconds",
        "crossed" => "iothub_crossed_routing_seconds",
        "store_commit" => "iothub_store_commit_seconds",
        "handshake" => "iothub_handshake_seconds",
        "authentication" => "iothub_authentication_seconds",
        other => unreachable!("the timing {other} has no name on the page"),
    }
}

/// Of each shard one value, however many shards there are: rings are as many as pairs of them.
fn of_mesh(page: &mut Page, shards: &[(&str, &Snapshot)]) {
    type Measure = fn(&[Depth]) -> usize;
    let families: [(&str, &str, Measure); 3] = [
        ("iothub_mesh_letters", "Mail in the rings from this shard to all others.", |rings| {
            rings.iter().map(|ring| ring.letters).sum()
        }),
        ("iothub_mesh_fullest_letters", "Mail in the fullest of these rings.", |rings| {
            rings.iter().map(|ring| ring.letters).max().unwrap_or(0)
        }),
        ("iothub_mesh_slots", "Room in each ring from this shard to another.", |rings| {
            rings.first().map_or(0, |ring| ring.slots)
        }),
    ];
    for (name, help, measure) in families {
        page.family(name, Kind::Gauge, help);
        for (shard, snapshot) in shards.iter().filter(|(_, snapshot)| !snapshot.mesh.is_empty()) {
            page.count(&[("shard", shard)], measure(&snapshot.mesh) as u64);
        }
    }
}

/// How long a page waits for a shard.
pub const ANSWER_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

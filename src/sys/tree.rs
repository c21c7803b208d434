//! What the broker says of itself under `$SYS`: the names and the forms of mosquitto, so that what reads those reads these, and
//! ours for each shard. Pure: counts in, topics and texts out.

use std::time::Duration;

use runtime::Snapshot;
use shard::{Cause, Counters, Gauges, Side};

use super::load::{Load, MINUTES};

/// A topic and what is to be read there.
pub type Line = (String, String);

/// What has to be remembered from one time to the next.
#[derive(Debug, Default)]
pub struct Tree {
    clients_max: usize,
    heap_max: u64,
    loads: [Load; LOADS],
}

/// What is not counted by the shards.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub uptime: Duration,
    /// Since the last time.
    pub elapsed: Duration,
    pub heap_bytes: u64,
}

impl Tree {
    /// All topics, as things are now.
    pub fn lines(&mut self, snapshots: &[Snapshot], moment: Moment) -> Vec<Line> {
        let mut counters = Counters::default();
        snapshots.iter().for_each(|snapshot| counters.add(&snapshot.counters));
        let sum = |of: fn(&Gauges) -> usize| snapshots.iter().map(|snapshot| of(&snapshot.gauges)).sum();
        let totals = Totals {
            sessions: sum(|gauges| gauges.sessions),
            connected: sum(|gauges| gauges.connected),
            sockets: sum(|gauges| gauges.connections),
            unsent_bytes: sum(|gauges| gauges.unsent_bytes),
            stored: sum(|gauges| {
                gauges.retained_messages + gauges.queued_messages + gauges.inflight_messages
            }),
            stored_bytes: sum(|gauges| {
                gauges.retained_bytes + gauges.queued_bytes + gauges.queued_away_bytes
            }),
            retained: sum(|gauges| gauges.retained_messages),
            inflight: sum(|gauges| gauges.inflight_messages),
            subscriptions: sum(|gauges| gauges.subscriptions - gauges.shared_subscriptions),
            shared_subscriptions: sum(|gauges| gauges.shared_subscriptions),
        };
        self.clients_max = self.clients_max.max(totals.sessions);
        self.heap_max = self.heap_max.max(moment.heap_bytes);
        let mut lines = Vec::new();
        let version = format!("iothub version {}", env!("CARGO_PKG_VERSION"));
        lines.push((topic("version"), version));
        lines.push((topic("uptime"), format!("{} seconds", moment.uptime.as_secs())));
        self.numbers(&counters, &totals, moment, &mut lines);
        self.averages(&counters, moment.elapsed, &mut lines);
        snapshots.iter().for_each(|snapshot| of_shard(snapshot, &mut lines));
        lines
    }

    fn numbers(&self, counters: &Counters, totals: &Totals, moment: Moment, lines: &mut Vec<Line>) {
        let away = totals.sessions.saturating_sub(totals.connected);
        let number = |(name, value): (&str, u64)| (topic(name), value.to_string());
        let counted = [
            ("clients/expired", counters.sessions_expired),
            ("messages/received", counters.packets_received),
            ("messages/sent", counters.packets_sent),
            ("publish/messages/dropped", dropped(counters)),
            ("publish/messages/received", counters.publish_received),
            ("publish/messages/sent", counters.publish_sent),
            ("publish/bytes/received", counters.publish_bytes_received),
            ("publish/bytes/sent", counters.publish_bytes_sent),
            ("bytes/received", counters.bytes_received),
            ("bytes/sent", counters.bytes_sent),
            ("heap/current", moment.heap_bytes),
            ("heap/maximum", self.heap_max),
        ];
        let held = [
            ("clients/total", totals.sessions),
            ("clients/connected", totals.connected),
            ("clients/active", totals.connected),
            ("clients/disconnected", away),
            ("clients/inactive", away),
            ("clients/maximum", self.clients_max),
            ("connections/socket/count", totals.sockets),
            ("packet/out/bytes", totals.unsent_bytes),
            ("messages/inflight", totals.inflight),
            ("messages/stored", totals.stored),
            ("store/messages/count", totals.stored),
            ("store/messages/bytes", totals.stored_bytes),
            ("retained messages/count", totals.retained),
            ("subscriptions/count", totals.subscriptions),
            ("shared_subscriptions/count", totals.shared_subscriptions),
        ];
        lines.extend(counted.map(number));
        lines.extend(held.map(|(name, value)| number((name, value as u64))));
    }

    fn averages(&mut self, counters: &Counters, elapsed: Duration, lines: &mut Vec<Line>) {
        let sockets = counters.connections_opened.saturating_sub(counters.connections_handed_over);
        let totals: [(&str, u64); LOADS] = [
            ("messages/received", counters.packets_received),
            ("messages/sent", counters.packets_sent),
            ("publish/dropped", dropped(counters)),
            ("publish/received", counters.publish_received),
            ("publish/sent", counters.publish_sent),
            ("bytes/received", counters.bytes_received),
            ("bytes/sent", counters.bytes_sent),
            ("sockets", sockets),
            ("connections", counters.connects_received),
        ];
        for (load, (name, total)) in self.loads.iter_mut().zip(totals) {
            load.update(total, elapsed);
            for (average, minutes) in load.averages().into_iter().zip(MINUTES) {
                lines.push((topic(&format!("load/{name}/{minutes}min")), format!("{average:.2}")));
            }
        }
    }
}

/// Of all shards.
struct Totals {
    sessions: usize,
    connected: usize,
    sockets: usize,
    unsent_bytes: usize,
    stored: usize,
    stored_bytes: usize,
    retained: usize,
    inflight: usize,
    /// Without shared ones.
    subscriptions: usize,
    shared_subscriptions: usize,
}

/// What mosquitto counts there: messages for which a queue had no room.
fn dropped(counters: &Counters) -> u64 {
    OF_FULL_QUEUES.iter().map(|cause| cause.count(counters)).sum()
}

fn of_shard(snapshot: &Snapshot, lines: &mut Vec<Line>) {
    let Snapshot { shard, counters, gauges, mesh, .. } = snapshot;
    let letters: usize = mesh.iter().map(|depth| depth.letters).sum();
    for (name, value) in [
        ("connections", gauges.connections as u64),
        ("clients/connected", gauges.connected as u64),
        ("clients/total", gauges.sessions as u64),
        ("subscriptions/count", (gauges.subscriptions - gauges.shared_subscriptions) as u64),
        ("shared_subscriptions/count", gauges.shared_subscriptions as u64),
        ("retained messages/count", gauges.retained_messages as u64),
        ("messages/inflight", gauges.inflight_messages as u64),
        ("messages/queued", gauges.queued_messages as u64),
        ("publish/messages/dropped", dropped(counters)),
        ("publish/messages/lost", Side::Out.count(counters)),
        ("publish/messages/refused", Side::In.count(counters)),
        ("publish/messages/received", counters.publish_received),
        ("publish/messages/sent", counters.publish_sent),
        ("bytes/received", counters.bytes_received),
        ("bytes/sent", counters.bytes_sent),
        ("queued bytes", gauges.queued_bytes as u64),
        ("mail/waiting", (gauges.mail_pending + letters) as u64),
    ] {
        lines.push((topic(&format!("shards/{}/{name}", shard.0)), value.to_string()));
    }
}

fn topic(name: &str) -> String {
    format!("$SYS/broker/{name}")
}

pub(crate) const OF_FULL_QUEUES: [Cause; 4] =
    [Cause::QueueMessages, Cause::QueueBytes, Cause::QueueMemory, Cause::MeshFull];

/// Numbers of which there are averages.
const LOADS: usize = 9;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shard::ShardId;

    use super::*;

    fn moment(seconds: u64) -> Moment {
        Moment {
            uptime: Duration::from_secs(seconds),
            elapsed: Duration::from_secs(10),
            heap_bytes: 1000 - seconds,
        }
    }

    fn lines(tree: &mut Tree, snapshots: &[Snapshot], seconds: u64) -> BTreeMap<String, String> {
        let lines = tree.lines(snapshots, moment(seconds));
        let count = lines.len();
        let lines: BTreeMap<String, String> = lines.into_iter().collect();
        assert_eq!(lines.len(), count, "no topic twice");
        lines
    }

    #[test]
    fn shards_are_summed_and_shown_by_themselves() {
        let (mut one, mut two) = (Snapshot::empty(ShardId(0)), Snapshot::empty(ShardId(1)));
        (one.gauges.sessions, one.gauges.connected) = (5, 3);
        (two.gauges.sessions, two.gauges.connected) = (2, 2);
        (one.counters.dropped_queue_bytes, two.counters.dropped_mesh_full) = (7, 1);
        (one.counters.dropped_expired, one.counters.dropped_offline_qos0) = (20, 100);
        (two.gauges.subscriptions, two.gauges.shared_subscriptions) = (5, 2);
        (one.counters.connections_opened, one.counters.connections_handed_over) = (9, 3);
        let mut tree = Tree::default();
        let shown = lines(&mut tree, &[one.clone(), two.clone()], 17);
        for (name, value) in [
            ("uptime", "17 seconds"),
            ("clients/total", "7"),
            ("clients/connected", "5"),
            ("clients/disconnected", "2"),
            ("clients/maximum", "7"),
            ("publish/messages/dropped", "8"),
            ("subscriptions/count", "3"),
            ("shared_subscriptions/count", "2"),
            ("heap/maximum", "983"),
            ("shards/0/clients/connected", "3"),
            ("shards/0/publish/messages/dropped", "7"),
            ("shards/0/publish/messages/lost", "127"),
            ("shards/1/publish/messages/dropped", "1"),
            ("load/sockets/1min", "5.53"),
        ] {
            assert_eq!(shown[&topic(name)], value, "{name}");
        }
        (two.gauges.sessions, two.gauges.connected) = (0, 0);
        let shown = lines(&mut tree, &[one, two], 27);
        assert_eq!(shown[&topic("clients/connected")], "3");
        assert_eq!(shown[&topic("clients/maximum")], "7", "it is that of the whole life");
        assert_eq!((&*shown[&topic("heap/current")], &*shown[&topic("heap/maximum")]), ("973", "983"));
    }

    #[test]
    fn every_topic_is_one_that_may_be_published() {
        for (topic, payload) in Tree::default().lines(&[Snapshot::empty(ShardId(0))], moment(1)) {
            assert!(topic.starts_with("$SYS/broker/") && !topic.contains(['+', '#']), "{topic}");
            assert!(!payload.is_empty(), "{topic}: an empty one would be taken away");
        }
    }
}

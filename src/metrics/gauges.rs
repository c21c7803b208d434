//! Under which name stands on the page what the shards hold, and beside it what they may hold at most.

use shard::{Gauges, Limits};

pub struct Gauge {
    pub name: &'static str,
    pub help: &'static str,
    pub value: usize,
}

fn gauge(name: &'static str, help: &'static str, value: usize) -> Gauge {
    Gauge { name, help, value }
}

/// Whoever adds a gauge to the shards is told here that it is missing.
pub fn held(gauges: &Gauges) -> Vec<Gauge> {
    let Gauges {
        connections,
        sessions,
        connected,
        subscriptions,
        shared_subscriptions,
        filters,
        retained_messages,
        retained_bytes,
        retained_source_bytes,
        session_bytes,
        will_bytes,
        queued_messages,
        inflight_messages,
        queued_bytes,
        queued_away_bytes,
        unsent_bytes,
        receive_bytes,
        mail_pending,
        stored_live_bytes,
        stored_messages,
        stored_topics_bytes,
        store_full,
        timers,
    } = gauges.clone();
    let [live_bytes, messages, topics_bytes, full] =
        stored(stored_live_bytes, stored_messages, stored_topics_bytes, store_full);
    vec![
        gauge("iothub_connections", "Connections, of clients that are let in and of others.", connections),
        gauge("iothub_sessions", "Sessions, connected or not.", sessions),
        gauge("iothub_sessions_connected", "Sessions whose client is connected.", connected),
        gauge("iothub_subscriptions", "Subscriptions of all sessions, shared ones included.", subscriptions),
        gauge("iothub_shared_subscriptions", "Shared subscriptions of all sessions.", shared_subscriptions),
        gauge("iothub_filters", "Filters in the trie, of sessions here and of other shards.", filters),
        gauge("iothub_retained_messages", "Retained messages.", retained_messages),
        gauge("iothub_retained_bytes", "Bytes of retained messages, bookkeeping included.", retained_bytes),
        gauge(
            "iothub_retained_source_bytes",
            "Bytes of who published retained messages, where access.check_retain_source asks for it: in memory alone.",
            retained_source_bytes,
        ),
        gauge("iothub_session_bytes", "Bytes of client ids and filters.", session_bytes),
        gauge("iothub_will_bytes", "Bytes of wills.", will_bytes),
        gauge("iothub_queued_messages", "Messages that wait to be sent.", queued_messages),
        gauge(
            "iothub_inflight_messages",
            "Messages sent that clients have not taken over.",
            inflight_messages,
        ),
        gauge("iothub_queued_bytes", "Bytes in memory of messages that wait or are in flight.", queued_bytes),
        gauge(
            "iothub_queued_away_bytes",
            "Bytes of waiting messages that the store alone has.",
            queued_away_bytes,
        ),
        gauge("iothub_unsent_bytes", "Bytes encoded that no socket has taken.", unsent_bytes),
        gauge(
            "iothub_receive_bytes",
            "Bytes of unfinished packets and of topics behind aliases.",
            receive_bytes,
        ),
        gauge("iothub_mail_pending", "Mail to other shards that waits for room.", mail_pending),
        live_bytes,
        messages,
        topics_bytes,
        full,
        gauge("iothub_timers", "Deadlines that are set, some of them of what is gone.", timers),
    ]
}

fn stored(live_bytes: usize, messages: usize, topics_bytes: usize, full: usize) -> [Gauge; 4] {
    [
        gauge("iothub_stored_live_bytes", "Bytes of records that the store has to keep.", live_bytes),
        gauge("iothub_stored_messages", "Messages that the store knows by a number.", messages),
        gauge(
            "iothub_stored_topics_bytes",
            "Topics of messages that the store alone has, or had.",
            topics_bytes,
        ),
        gauge(
            "iothub_store_full",
            "Whether the store of the shard has no room: QoS 1 and 2 are not taken in then, by any shard.",
            full,
        ),
    ]
}

pub fn store(file_bytes: u64) -> Gauge {
    let help = "Bytes of the files of the store, with those that are kept ready and what is to be cleaned.";
    gauge("iothub_store_file_bytes", help, usize::try_from(file_bytes).unwrap_or(usize::MAX))
}

/// The part of one shard in each limit of all shards together, so that a sum over shards stands beside a sum of what is held.
pub fn limits(limits: &Limits) -> [Gauge; 7] {
    [
        gauge("iothub_sessions_limit", "Sessions that this shard may hold.", limits.sessions_max),
        gauge(
            "iothub_retained_messages_limit",
            "Retained messages that this shard may hold.",
            limits.retained_messages_max,
        ),
        gauge(
            "iothub_retained_limit_bytes",
            "Room for iothub_retained_bytes and iothub_retained_source_bytes together.",
            limits.retained_bytes_max,
        ),
        gauge("iothub_session_limit_bytes", "Room for iothub_session_bytes.", limits.session_memory_max),
        gauge(
            "iothub_queue_limit_bytes",
            "Room for iothub_queued_bytes and iothub_unsent_bytes together, and as much for iothub_will_bytes.",
            limits.queue_memory_max,
        ),
        gauge("iothub_receive_limit_bytes", "Room for iothub_receive_bytes.", limits.receive_memory_max),
        gauge(
            "iothub_stored_topics_limit_bytes",
            "Room for iothub_stored_topics_bytes.",
            shard::STORED_TOPICS_BYTES_MAX,
        ),
    ]
}

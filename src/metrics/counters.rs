//! Under which name each counter of the shards stands on the page. Those of one kind that can be told apart by a cause, and
//! do not count the same thing twice, share a family.

use shard::Counters;

/// One or more counters of the shards.
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    /// What tells its counters apart.
    pub label: Option<&'static str>,
    /// By their names in the shards, and what the label says of each.
    pub counters: &'static [(&'static str, &'static str)],
}

impl Family {
    const fn one(
        name: &'static str,
        help: &'static str,
        counter: &'static [(&'static str, &'static str)],
    ) -> Family {
        Family { name, help, label: None, counters: counter }
    }
}

/// The value of a counter by its name.
pub fn value(counters: &Counters, name: &str) -> u64 {
    counters.iter().find(|(known, _, _)| *known == name).map_or(0, |(_, _, value)| value)
}

pub const FAMILIES: &[Family] = &[
    Family::one(
        "iothub_connections_opened_total",
        "Connections that were opened on this shard or moved to it.",
        &[("connections_opened", "")],
    ),
    Family::one(
        "iothub_connections_handed_over_total",
        "Connections that moved from this shard to their home.",
        &[("connections_handed_over", "")],
    ),
    Family::one(
        "iothub_connections_closed_total",
        "Connections that ended on this shard, those that moved away not included.",
        &[("connections_closed", "")],
    ),
    Family {
        name: "iothub_connections_failed_total",
        help: "Connections that were closed or refused before a client was let in, where the cause has a counter of its own.",
        label: Some("cause"),
        counters: &[
            ("refused_max_connections", "max_connections"),
            ("refused_listener_max_connections", "listener_max_connections"),
            ("connections_turned_away", "turned_away"),
            ("listener_connections_turned_away", "listener_turned_away"),
            ("handshake_timeouts", "handshake_timeout"),
            ("handshakes_abandoned", "handshake_abandoned"),
            ("refused_tls", "tls"),
            ("refused_unknown", "unknown_protocol"),
            ("refused_websocket", "websocket"),
            ("refused_proxy", "proxy"),
            ("refused_connect_rate", "connect_rate"),
            ("refused_banned", "banned"),
            ("refused_contested", "contested"),
            ("refused_max_sessions", "max_sessions"),
            ("refused_session_memory", "session_memory"),
            ("refused_will_memory", "will_memory"),
            ("refused_store_full", "store_full"),
            ("refused_store_failed", "store_failed"),
            ("refused_version", "version"),
            ("refused_authentication", "authentication"),
            ("refused_unavailable", "unavailable"),
            ("connect_timeouts", "connect_timeout"),
        ],
    },
    Family::one(
        "iothub_connects_received_total",
        "CONNECT packets received, of clients that were let in and of others.",
        &[("connects_received", "")],
    ),
    Family::one(
        "iothub_connects_refused_total",
        "CONNECT packets answered with an error, whatever the cause.",
        &[("refused_connect", "")],
    ),
    Family {
        name: "iothub_connections_ended_total",
        help: "Connections that the broker ended, of clients and of those whose CONNECT was not taken yet.",
        label: Some("cause"),
        counters: &[
            ("ended_banned", "banned"),
            ("grants_ended", "grant_over"),
            ("keep_alive_timeouts", "keep_alive"),
            ("takeovers", "taken_over"),
            ("violations", "violation"),
            ("ended_receive_memory", "receive_memory"),
            ("ended_alias_memory", "alias_memory"),
            ("packet_timeouts", "packet_timeout"),
            ("ended_filters", "filters"),
            ("ended_client_publish_messages", "client_publish_messages_per_s"),
            ("ended_client_publish_bytes", "client_publish_bytes_per_s"),
            ("ended_user_publish_messages", "user_publish_messages_per_s"),
            ("ended_user_publish_bytes", "user_publish_bytes_per_s"),
            ("ended_address_publish_messages", "address_publish_messages_per_s"),
            ("ended_address_publish_bytes", "address_publish_bytes_per_s"),
        ],
    },
    Family::one(
        "iothub_packets_too_large_total",
        "Packets larger than max_packet_size; each is a violation as well.",
        &[("packets_too_large", "")],
    ),
    Family::one(
        "iothub_receive_memory_exceeded_total",
        "Connections closed or refused because unfinished packets, or topics behind aliases, filled max_receive_memory.",
        &[("receive_memory_exceeded", "")],
    ),
    Family::one(
        "iothub_takeovers_contested_total",
        "Times that many takeovers concerned one client id.",
        &[("takeovers_contested", "")],
    ),
    Family::one(
        "iothub_authentications_total",
        "Questions who a client is.",
        &[("authentications_asked", "")],
    ),
    Family::one(
        "iothub_authentication_timeouts_total",
        "Authentications that did not come to their end in time.",
        &[("authentication_timeouts", "")],
    ),
    Family::one(
        "iothub_grants_renewed_total",
        "Clients that proved themselves again while connected.",
        &[("grants_renewed", "")],
    ),
    Family::one(
        "iothub_keep_alive_lowered_total",
        "CONNECT packets whose keep-alive was lowered to the ceiling.",
        &[("keep_alive_lowered", "")],
    ),
    Family::one(
        "iothub_session_expiry_lowered_total",
        "CONNECT packets whose session expiry was lowered to the ceiling.",
        &[("session_expiry_lowered", "")],
    ),
    Family::one("iothub_sessions_created_total", "Sessions made.", &[("sessions_created", "")]),
    Family::one(
        "iothub_sessions_expired_total",
        "Sessions that ended because their expiry interval passed.",
        &[("sessions_expired", "")],
    ),
    Family::one("iothub_packets_received_total", "Packets received.", &[("packets_received", "")]),
    Family::one("iothub_packets_sent_total", "Packets sent.", &[("packets_sent", "")]),
    Family::one(
        "iothub_received_bytes_total",
        "Bytes of MQTT received, without TLS and WebSocket.",
        &[("bytes_received", "")],
    ),
    Family::one("iothub_sent_bytes_total", "Bytes of MQTT given to sockets.", &[("bytes_sent", "")]),
    Family::one("iothub_publish_received_total", "PUBLISH packets received.", &[("publish_received", "")]),
    Family::one("iothub_publish_sent_total", "PUBLISH packets encoded for clients.", &[("publish_sent", "")]),
    Family::one(
        "iothub_publish_received_bytes_total",
        "Bytes of the payloads of PUBLISH packets received.",
        &[("publish_bytes_received", "")],
    ),
    Family::one(
        "iothub_publish_sent_bytes_total",
        "Bytes of the payloads of PUBLISH packets encoded for clients.",
        &[("publish_bytes_sent", "")],
    ),
    Family::one(
        "iothub_publish_duplicates_total",
        "PUBLISH packets received again by QoS 2 and not routed again.",
        &[("publish_duplicates", "")],
    ),
    Family {
        name: "iothub_publish_refused_total",
        help: "Messages that were not taken in from their publishers, or not retained: lost on the way in, and for nobody yet.",
        label: Some("cause"),
        counters: &[
            ("refused_publish_denied", "publish_denied"),
            ("refused_publish_retain_denied", "publish_retain_denied"),
            ("refused_publish_will_denied", "publish_will_denied"),
            ("refused_publish_topic", "publish_topic"),
            ("refused_publish_format", "publish_format"),
            ("refused_publish_store_full", "publish_store_full"),
            ("refused_publish_store_failed", "publish_store_failed"),
            ("refused_publish_retain_messages", "publish_retain_messages"),
            ("refused_publish_retain_bytes", "publish_retain_bytes"),
            ("refused_publish_retain_store_full", "publish_retain_store_full"),
            ("refused_publish_retain_store_failed", "publish_retain_store_failed"),
            ("refused_publish_will_store_full", "publish_will_store_full"),
            ("refused_publish_will_store_failed", "publish_will_store_failed"),
            ("refused_publish_rate", "publish_rate"),
        ],
    },
    Family::one(
        "iothub_publish_unmatched_total",
        "Messages that nobody subscribes to.",
        &[("publish_unmatched", "")],
    ),
    Family {
        name: "iothub_traces_total",
        help: "Messages that were to be traced.",
        label: Some("outcome"),
        counters: &[("traces_begun", "traced"), ("traces_left_out", "left_out")],
    },
    Family::one("iothub_wills_published_total", "Wills published.", &[("wills_published", "")]),
    Family {
        name: "iothub_denied_total",
        help: "What the access rules did not allow; where a message is lost by that, it is in the family of lost messages as well.",
        label: Some("action"),
        counters: &[
            ("refused_publish_denied", "publish"),
            ("refused_publish_retain_denied", "retain"),
            ("denied_will", "will"),
            ("denied_subscribe", "subscribe"),
            ("dropped_denied", "receive"),
            ("denied_retain_source", "retain_source"),
        ],
    },
    Family::one(
        "iothub_denied_by_shadow_total",
        "What is allowed, and would not be by the rules that are being tried out.",
        &[("denied_by_shadow", "")],
    ),
    Family::one(
        "iothub_subscriptions_revoked_total",
        "Subscriptions that were taken away because of other access rules or another mount point.",
        &[("subscriptions_revoked", "")],
    ),
    Family {
        name: "iothub_messages_dropped_total",
        help: "Messages lost on their way to a client they were for, once for each of them.",
        label: Some("cause"),
        counters: &[
            ("dropped_queue_messages", "queue_messages"),
            ("dropped_queue_bytes", "queue_bytes"),
            ("dropped_queue_memory", "queue_memory"),
            ("dropped_offline_qos0", "offline_qos0"),
            ("dropped_unsent", "unsent"),
            ("dropped_expired", "expired"),
            ("dropped_packet_too_large", "packet_too_large"),
            ("dropped_beyond_mount", "beyond_mount"),
            ("dropped_mesh_full", "mesh_full"),
            ("dropped_shared_nobody", "shared_nobody"),
            ("dropped_purged", "purged"),
            ("dropped_session_ended", "session_ended"),
            ("dropped_denied", "denied"),
            ("dropped_refused_by_client", "refused_by_client"),
        ],
    },
    Family {
        name: "iothub_sys_messages_dropped_total",
        help: "Messages beneath $SYS lost on their way to a client, once for each of them; they are in no other count of losses.",
        label: Some("cause"),
        counters: &[
            ("sys_dropped_queue_messages", "queue_messages"),
            ("sys_dropped_queue_bytes", "queue_bytes"),
            ("sys_dropped_queue_memory", "queue_memory"),
            ("sys_dropped_offline_qos0", "offline_qos0"),
            ("sys_dropped_unsent", "unsent"),
            ("sys_dropped_expired", "expired"),
            ("sys_dropped_packet_too_large", "packet_too_large"),
            ("sys_dropped_beyond_mount", "beyond_mount"),
            ("sys_dropped_mesh_full", "mesh_full"),
            ("sys_dropped_shared_nobody", "shared_nobody"),
            ("sys_dropped_purged", "purged"),
            ("sys_dropped_session_ended", "session_ended"),
            ("sys_dropped_denied", "denied"),
            ("sys_dropped_refused_by_client", "refused_by_client"),
        ],
    },
    Family::one(
        "iothub_messages_waited_inflight_total",
        "Messages that waited because a client had max_inflight unacknowledged.",
        &[("waited_inflight", "")],
    ),
    Family::one(
        "iothub_messages_waited_unsent_total",
        "Messages that waited because the socket of a client had as much to take as it may: session.max_outbox_bytes, or 32 KiB while limits.max_queue_memory is used up.",
        &[("waited_unsent", "")],
    ),
    Family {
        name: "iothub_limits_exceeded_total",
        help: "What was refused because of a limit that is not one of connections, queues or packets.",
        label: Some("limit"),
        counters: &[
            ("refused_max_subscriptions", "max_subscriptions"),
            ("refused_max_subscription_bytes", "max_subscription_bytes"),
            ("refused_subscription_memory", "max_session_memory"),
            ("refused_subscription_store_full", "subscription_store_full"),
            ("refused_subscription_store_failed", "subscription_store_failed"),
            ("topic_levels_exceeded", "topic_levels"),
            ("receive_maximum_exceeded", "receive_maximum"),
        ],
    },
    Family::one(
        "iothub_retained_expired_total",
        "Retained messages that expired.",
        &[("retained_expired", "")],
    ),
    Family::one("iothub_mail_sent_total", "Mail sent to other shards.", &[("mail_sent", "")]),
    Family::one("iothub_mail_received_total", "Mail received from other shards.", &[("mail_received", "")]),
    Family::one("iothub_mail_waited_total", "Mail that waited for room in a ring.", &[("mail_waited", "")]),
    Family {
        name: "iothub_pauses_total",
        help: "Times that a client was not read, or not sent to, for a while.",
        label: Some("cause"),
        counters: &[
            ("waited_client_publish_messages", "client_publish_messages_per_s"),
            ("waited_client_publish_bytes", "client_publish_bytes_per_s"),
            ("waited_user_publish_messages", "user_publish_messages_per_s"),
            ("waited_user_publish_bytes", "user_publish_bytes_per_s"),
            ("waited_address_publish_messages", "address_publish_messages_per_s"),
            ("waited_address_publish_bytes", "address_publish_bytes_per_s"),
            ("waited_listener_publish_messages", "listener_publish_messages_per_s"),
            ("waited_listener_publish_bytes", "listener_publish_bytes_per_s"),
            ("waited_client_receive_messages", "client_receive_messages_per_s"),
            ("waited_client_receive_bytes", "client_receive_bytes_per_s"),
            ("waited_user_receive_messages", "user_receive_messages_per_s"),
            ("waited_user_receive_bytes", "user_receive_bytes_per_s"),
            ("waited_address_receive_messages", "address_receive_messages_per_s"),
            ("waited_address_receive_bytes", "address_receive_bytes_per_s"),
            ("waited_listener_receive_messages", "listener_receive_messages_per_s"),
            ("waited_listener_receive_bytes", "listener_receive_bytes_per_s"),
            ("paused_for_mesh", "mesh"),
            ("paused_for_store", "store"),
            ("paused_for_client", "client"),
            ("changes_put_off", "filters"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shard::{Cause, Side};

    use super::*;

    #[test]
    fn every_counter_of_the_shards_stands_on_the_page_once() {
        let counters = Counters::default();
        let mut known: Vec<&str> = counters.iter().map(|(name, _, _)| name).collect();
        // What was denied is told together, whether a message was lost by it or not.
        let denied = |family: &Family, counter: &str| {
            family.name == "iothub_denied_total" && Cause::ALL.iter().any(|cause| cause.counter() == counter)
        };
        let mut placed: Vec<&str> = FAMILIES
            .iter()
            .flat_map(|family| family.counters.iter().map(move |(counter, _)| (family, *counter)))
            .filter(|(family, counter)| !denied(family, counter))
            .map(|(_, counter)| counter)
            .collect();
        known.sort_unstable();
        placed.sort_unstable();
        assert_eq!(known, placed);
    }

    #[test]
    fn each_cause_of_a_loss_stands_in_the_family_of_its_side_under_its_own_word() {
        let family_of = |name| FAMILIES.iter().find(|family| family.name == name).expect("it is there");
        for (side, name) in
            [(Side::Out, "iothub_messages_dropped_total"), (Side::In, "iothub_publish_refused_total")]
        {
            let causes = Cause::ALL.iter().filter(|cause| cause.side() == side);
            let expected: Vec<(&str, &str)> = causes.map(|cause| (cause.counter(), cause.word())).collect();
            assert_eq!(family_of(name).counters, expected);
        }
        let of_broker = Cause::ALL.iter().filter_map(|cause| Some((cause.broker_counter()?, cause.word())));
        assert!(of_broker.eq(family_of("iothub_sys_messages_dropped_total").counters.iter().copied()));
    }

    #[test]
    fn a_label_tells_the_counters_of_a_family_apart() {
        for family in FAMILIES {
            let values: BTreeSet<&str> = family.counters.iter().map(|(_, value)| *value).collect();
            assert_eq!(values.len(), family.counters.len(), "{}", family.name);
            assert_eq!(family.label.is_some(), family.counters.len() > 1, "{}", family.name);
            assert!(family.name.starts_with("iothub_") && family.name.ends_with("_total"), "{}", family.name);
        }
    }
}

//! What a shard counts. Plain integers: the shard alone writes them, and whoever wants them asks for a copy.

macro_rules! counters {
    ($(#[doc = $text:literal] $name:ident,)+) => {
        /// Only ever grows.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Counters {
            $(#[doc = $text] pub $name: u64,)+
        }

        impl Counters {
            /// Name, meaning and value of each.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $text, self.$name),)+].into_iter()
            }

            /// For who has to have one of which he knows the name. False: there is none.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                $(if name == stringify!($name) {
                    self.$name = value;
                    return true;
                })+
                false
            }

            /// Sums over shards.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

counters! {
    #[doc = "Connections that were opened on or moved to this shard."]
    connections_opened,
    #[doc = "Connections that ended on this shard, moved ones not included."]
    connections_closed,
    #[doc = "Connections that moved to their home shard."]
    connections_handed_over,
    #[doc = "Connections refused because of `server.max_connections`."]
    refused_max_connections,
    #[doc = "Connections refused because of `max_connections` of their listener."]
    refused_listener_max_connections,
    #[doc = "Connections closed without an answer, because of `server.max_connections` and too many to refuse."]
    connections_turned_away,
    #[doc = "Connections closed without an answer, because of `max_connections` of their listener and too many to refuse."]
    listener_connections_turned_away,
    #[doc = "Connections closed because TLS or WebSocket was not agreed on within `connect_timeout_secs`."]
    handshake_timeouts,
    #[doc = "Connections that their client closed before TLS or WebSocket was agreed on."]
    handshakes_abandoned,
    #[doc = "Connections closed because TLS could not be agreed on."]
    refused_tls,
    #[doc = "Connections closed because their first bytes are nothing that is spoken there."]
    refused_unknown,
    #[doc = "Connections closed because the WebSocket was refused or broke its protocol."]
    refused_websocket,
    #[doc = "Connections closed because of the header of a proxy, or the lack of one."]
    refused_proxy,
    #[doc = "Connections closed or refused because more came than the rates allow, or after too many failed attempts."]
    refused_connect_rate,
    #[doc = "Connections closed or refused because their address, client id or user is banned."]
    refused_banned,
    #[doc = "Connections ended because their client id, user or address was banned."]
    ended_banned,
    #[doc = "Connections refused because several clients with the same client id take the session from each other."]
    refused_contested,
    #[doc = "CONNECTs refused because of `max_sessions`."]
    refused_max_sessions,
    #[doc = "CONNECTs refused because of `max_session_memory`."]
    refused_session_memory,
    #[doc = "CONNECTs refused because the wills of all clients fill `max_queue_memory`."]
    refused_will_memory,
    #[doc = "CONNECTs refused because the store had no room for their session or will."]
    refused_store_full,
    #[doc = "CONNECTs refused because the store of their session has failed."]
    refused_store_failed,
    #[doc = "Connections refused with an error in CONNACK, those of `max_connections` included."]
    refused_connect,
    #[doc = "Connections refused with an error in CONNACK because the listener does not take their protocol version."]
    refused_version,
    #[doc = "Connections refused with an error in CONNACK, and connected clients that proved themselves again and could not: because of who they are, or are not."]
    refused_authentication,
    #[doc = "Connections refused with an error in CONNACK because nobody could say in time who the client is: a program that is asked is down or slow, or too many are asked about."]
    refused_unavailable,
    #[doc = "Questions who a client is."]
    authentications_asked,
    #[doc = "Authentications that did not come to their end in time."]
    authentication_timeouts,
    #[doc = "Clients that proved themselves again while connected."]
    grants_renewed,
    #[doc = "Connections ended because what proved who the client is had run out."]
    grants_ended,
    #[doc = "Connections closed because no CONNECT came in time."]
    connect_timeouts,
    #[doc = "Connections closed because the keep-alive ran out."]
    keep_alive_timeouts,
    #[doc = "Connections that lost their session to another connection."]
    takeovers,
    #[doc = "Times that so many of these concerned one client id that the log names both addresses."]
    takeovers_contested,
    #[doc = "Connections closed because the client broke the protocol."]
    violations,
    #[doc = "Of those: packets larger than `max_packet_size`."]
    packets_too_large,
    #[doc = "Connections closed because unfinished packets filled `max_receive_memory`, and this one had not gone on for longest. None is one of `violations`."]
    ended_receive_memory,
    #[doc = "Connections closed because topics behind aliases filled their part of `max_receive_memory`. None is one of `violations`."]
    ended_alias_memory,
    #[doc = "Of both, and of CONNECTs refused: because `max_receive_memory` was full."]
    receive_memory_exceeded,
    #[doc = "Connections closed because a packet did not go on for `packet_timeout_secs`. None is one of `violations`."]
    packet_timeouts,
    #[doc = "Connections closed because of more than 10,000 filters in one packet. None is one of `violations`."]
    ended_filters,
    #[doc = "CONNECT packets received, of clients that were let in and of others."]
    connects_received,
    #[doc = "CONNECTs whose keep-alive was lowered to the ceiling."]
    keep_alive_lowered,
    #[doc = "CONNECTs whose session expiry was lowered to the ceiling."]
    session_expiry_lowered,
    #[doc = "Sessions made."]
    sessions_created,
    #[doc = "Sessions that ended because their expiry interval passed."]
    sessions_expired,
    #[doc = "Packets received."]
    packets_received,
    #[doc = "Packets sent, those to clients that were refused included."]
    packets_sent,
    #[doc = "Bytes received."]
    bytes_received,
    #[doc = "Bytes given to sockets."]
    bytes_sent,
    #[doc = "PUBLISH packets received."]
    publish_received,
    #[doc = "Bytes of the payloads of PUBLISH packets received."]
    publish_bytes_received,
    #[doc = "PUBLISH packets received again by QoS 2 and not routed again."]
    publish_duplicates,
    #[doc = "PUBLISH packets not taken in because of the access rules, for their topic or QoS."]
    refused_publish_denied,
    #[doc = "PUBLISH packets not taken in because of the access rules, for being retained."]
    refused_publish_retain_denied,
    #[doc = "Wills not published because whoever left them may not publish them, is banned or is not let in any more."]
    refused_publish_will_denied,
    #[doc = "PUBLISH packets not taken in because of `max_topic_levels`, because their topic is the server's, or too long beneath the mount point."]
    refused_publish_topic,
    #[doc = "PUBLISH packets not taken in because their payload is not the UTF-8 that it says to be."]
    refused_publish_format,
    #[doc = "PUBLISH packets not taken in because the store was full."]
    refused_publish_store_full,
    #[doc = "PUBLISH packets not taken in because the store had failed."]
    refused_publish_store_failed,
    #[doc = "Messages delivered and not retained because of `retained_message_limit`."]
    refused_publish_retain_messages,
    #[doc = "Messages delivered and not retained because of `max_retained_bytes`."]
    refused_publish_retain_bytes,
    #[doc = "Messages at QoS 0 delivered and not retained because the store was full."]
    refused_publish_retain_store_full,
    #[doc = "Messages at QoS 0 delivered and not retained because the store had failed."]
    refused_publish_retain_store_failed,
    #[doc = "Wills at QoS 1 or 2 that were published and not stored because the store was full."]
    refused_publish_will_store_full,
    #[doc = "Wills at QoS 1 or 2 that were published and not stored because the store had failed."]
    refused_publish_will_store_failed,
    #[doc = "PUBLISH packets not taken in because their client left while it had to wait for its rates."]
    refused_publish_rate,
    #[doc = "CONNECTs refused, and wills taken away, because of the access rules for the will."]
    denied_will,
    #[doc = "Topic filters of SUBSCRIBEs and of sessions that the access rules do not allow."]
    denied_subscribe,
    #[doc = "Subscriptions that were taken away from their sessions, because of other access rules than before, or another mount point."]
    subscriptions_revoked,
    #[doc = "Retained messages that were not given out because their publishers may not publish them any more."]
    denied_retain_source,
    #[doc = "What is allowed, and would not be by the rules that are being tried out."]
    denied_by_shadow,
    #[doc = "Messages that were traced."]
    traces_begun,
    #[doc = "Messages that were not traced because a shard had traced too many in the same second."]
    traces_left_out,
    #[doc = "PUBLISH packets encoded for clients."]
    publish_sent,
    #[doc = "Bytes of the payloads of PUBLISH packets encoded for clients."]
    publish_bytes_sent,
    #[doc = "Messages that nobody subscribes to."]
    publish_unmatched,
    #[doc = "Wills published."]
    wills_published,
    #[doc = "Messages dropped because a client's queue had `max_queued_messages`."]
    dropped_queue_messages,
    #[doc = "Messages dropped because a client's queue had `max_queued_bytes`."]
    dropped_queue_bytes,
    #[doc = "Messages dropped because all queues together had `max_queue_memory`."]
    dropped_queue_memory,
    #[doc = "QoS 0 messages dropped because the client is away."]
    dropped_offline_qos0,
    #[doc = "QoS 0 messages encoded for a client whose connection ended before its socket had taken them."]
    dropped_unsent,
    #[doc = "Messages dropped because they expired before they were sent."]
    dropped_expired,
    #[doc = "Messages dropped because they exceed the client's maximum packet size."]
    dropped_packet_too_large,
    #[doc = "Messages dropped because their topic is not beneath the mount point of the client's listener."]
    dropped_beyond_mount,
    #[doc = "QoS 0 messages dropped because the ring to another shard was full."]
    dropped_mesh_full,
    #[doc = "Messages dropped because no member of a shared subscription could take them."]
    dropped_shared_nobody,
    #[doc = "Messages dropped from a queue by the operator."]
    dropped_purged,
    #[doc = "Messages dropped because the session ended before its client had them or acknowledged them."]
    dropped_session_ended,
    #[doc = "Messages not delivered because of the access rules."]
    dropped_denied,
    #[doc = "Messages that a client refused with an error in PUBACK or PUBREC."]
    dropped_refused_by_client,
    #[doc = "Messages of `$SYS` lost because a client's queue had `max_queued_messages`."]
    sys_dropped_queue_messages,
    #[doc = "Messages of `$SYS` lost because a client's queue had `max_queued_bytes`."]
    sys_dropped_queue_bytes,
    #[doc = "Messages of `$SYS` lost because all queues together had `max_queue_memory`."]
    sys_dropped_queue_memory,
    #[doc = "Messages of `$SYS` lost because the client is away."]
    sys_dropped_offline_qos0,
    #[doc = "QoS 0 messages of `$SYS` encoded for a client whose connection ended before its socket had taken them."]
    sys_dropped_unsent,
    #[doc = "Messages of `$SYS` lost because they expired before they were sent."]
    sys_dropped_expired,
    #[doc = "Messages of `$SYS` lost because they exceed the client's maximum packet size."]
    sys_dropped_packet_too_large,
    #[doc = "Messages of `$SYS` lost because their topic is not beneath the mount point of the client's listener."]
    sys_dropped_beyond_mount,
    #[doc = "Messages of `$SYS` lost because the ring to another shard was full."]
    sys_dropped_mesh_full,
    #[doc = "Messages of `$SYS` lost because no member of a shared subscription could take them."]
    sys_dropped_shared_nobody,
    #[doc = "Messages of `$SYS` lost because the operator purged the queue."]
    sys_dropped_purged,
    #[doc = "Messages of `$SYS` lost because the session ended before its client had them or acknowledged them."]
    sys_dropped_session_ended,
    #[doc = "Messages of `$SYS` lost because the access rules do not let the client receive them."]
    sys_dropped_denied,
    #[doc = "Messages of `$SYS` lost because the client refused them with an error in PUBACK or PUBREC."]
    sys_dropped_refused_by_client,
    #[doc = "Retained messages that expired."]
    retained_expired,
    #[doc = "Subscriptions refused because of `max_subscriptions`."]
    refused_max_subscriptions,
    #[doc = "Subscriptions refused because of `max_subscription_bytes`."]
    refused_max_subscription_bytes,
    #[doc = "Subscriptions refused because of `max_session_memory`."]
    refused_subscription_memory,
    #[doc = "Subscriptions refused because the store was full."]
    refused_subscription_store_full,
    #[doc = "Subscriptions refused because the store had failed."]
    refused_subscription_store_failed,
    #[doc = "Topics and filters refused because of `max_topic_levels`."]
    topic_levels_exceeded,
    #[doc = "PUBLISH packets beyond our Receive Maximum."]
    receive_maximum_exceeded,
    #[doc = "Messages that waited because a client had `max_inflight` unacknowledged."]
    waited_inflight,
    #[doc = "Messages that waited because the socket of a client had `session.max_outbox_bytes` to take."]
    waited_unsent,
    #[doc = "Mail sent to other shards."]
    mail_sent,
    #[doc = "Mail received from other shards."]
    mail_received,
    #[doc = "Mail that waited for room in a ring."]
    mail_waited,
    #[doc = "Times a client was not read for a while because of `rates.client_publish_messages_per_s`, or the rate of its role."]
    waited_client_publish_messages,
    #[doc = "Times a client was not read for a while because of `rates.client_publish_bytes_per_s`, or the rate of its role."]
    waited_client_publish_bytes,
    #[doc = "Times a client was not read for a while because of `rates.user_publish_messages_per_s`."]
    waited_user_publish_messages,
    #[doc = "Times a client was not read for a while because of `rates.user_publish_bytes_per_s`."]
    waited_user_publish_bytes,
    #[doc = "Times a client was not read for a while because of `rates.address_publish_messages_per_s`."]
    waited_address_publish_messages,
    #[doc = "Times a client was not read for a while because of `rates.address_publish_bytes_per_s`."]
    waited_address_publish_bytes,
    #[doc = "Times a client was not read for a while because of `rates.listener_publish_messages_per_s`."]
    waited_listener_publish_messages,
    #[doc = "Times a client was not read for a while because of `rates.listener_publish_bytes_per_s`."]
    waited_listener_publish_bytes,
    #[doc = "Connections ended because more was sent than `rates.client_publish_messages_per_s`, or the rate of its role, allows."]
    ended_client_publish_messages,
    #[doc = "Connections ended because more was sent than `rates.client_publish_bytes_per_s`, or the rate of its role, allows."]
    ended_client_publish_bytes,
    #[doc = "Connections ended because more was sent than `rates.user_publish_messages_per_s` allows."]
    ended_user_publish_messages,
    #[doc = "Connections ended because more was sent than `rates.user_publish_bytes_per_s` allows."]
    ended_user_publish_bytes,
    #[doc = "Connections ended because more was sent than `rates.address_publish_messages_per_s` allows."]
    ended_address_publish_messages,
    #[doc = "Connections ended because more was sent than `rates.address_publish_bytes_per_s` allows."]
    ended_address_publish_bytes,
    #[doc = "Times messages for a client waited because of `rates.client_receive_messages_per_s`, or the rate of its role."]
    waited_client_receive_messages,
    #[doc = "Times messages for a client waited because of `rates.client_receive_bytes_per_s`, or the rate of its role."]
    waited_client_receive_bytes,
    #[doc = "Times messages for a client waited because of `rates.user_receive_messages_per_s`."]
    waited_user_receive_messages,
    #[doc = "Times messages for a client waited because of `rates.user_receive_bytes_per_s`."]
    waited_user_receive_bytes,
    #[doc = "Times messages for a client waited because of `rates.address_receive_messages_per_s`."]
    waited_address_receive_messages,
    #[doc = "Times messages for a client waited because of `rates.address_receive_bytes_per_s`."]
    waited_address_receive_bytes,
    #[doc = "Times messages for a client waited because of `rates.listener_receive_messages_per_s`."]
    waited_listener_receive_messages,
    #[doc = "Times messages for a client waited because of `rates.listener_receive_bytes_per_s`."]
    waited_listener_receive_bytes,
    #[doc = "Times a connection was not read because other shards could not keep up."]
    paused_for_mesh,
    #[doc = "Times a connection was not read because the store had no room yet."]
    paused_for_store,
    #[doc = "Times a connection was not read because its client did not take its answers, or what it had asked for was still under way."]
    paused_for_client,
    #[doc = "SUBSCRIBEs and UNSUBSCRIBEs with more filters than there was room for at once: they went on a piece at a time."]
    changes_put_off,
}

/// What a shard holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    pub connections: usize,
    pub sessions: usize,
    /// Sessions whose client is connected.
    pub connected: usize,
    pub subscriptions: usize,
    /// Of those: shared ones.
    pub shared_subscriptions: usize,
    /// Filters in the trie, of local subscribers and of other shards.
    pub filters: usize,
    pub retained_messages: usize,
    /// Weight of the messages themselves.
    pub retained_bytes: usize,
    /// Weight of who published them, which is known until the broker ends.
    pub retained_source_bytes: usize,
    /// Client ids and filters.
    pub session_bytes: usize,
    /// Weight of wills.
    pub will_bytes: usize,
    /// Messages that wait to be sent, wherever they are.
    pub queued_messages: usize,
    /// Messages that were sent, and that their clients have not taken over.
    pub inflight_messages: usize,
    /// Weight of everything in queues and in flight.
    pub queued_bytes: usize,
    /// Messages in queues that the store alone has.
    pub queued_away_bytes: usize,
    /// Encoded and not yet taken by a socket.
    pub unsent_bytes: usize,
    /// Unfinished packets and topics behind aliases.
    pub receive_bytes: usize,
    pub mail_pending: usize,
    /// Bytes of the records that the store has to keep.
    pub stored_live_bytes: usize,
    /// Messages that the store knows by a number.
    pub stored_messages: usize,
    /// Topics of those that the store alone has, and of those that it alone had before, as long as somebody holds them.
    pub stored_topics_bytes: usize,
    /// 1 where its store has no room.
    pub store_full: usize,
    /// Deadlines that are set, of what is gone, too.
    pub timers: usize,
}

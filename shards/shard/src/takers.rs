//! Who can take a message now: the questions that routing and delivery ask of sessions and their connections.

use mqtt::QoS;

use crate::{
    Config,
    connection::{Connection, Connections},
    keys::SessionKey,
    session::{Session, Sessions},
};

/// The parts of a shard that decide it; a view of its own, because the router asks while it holds the groups.
pub(crate) struct Takers<'a> {
    pub sessions: &'a Sessions,
    pub connections: &'a Connections,
    pub config: &'a Config,
    pub queued_bytes: usize,
    pub unsent_bytes: usize,
}

/// The view of a `Shard`, which borrows no more of it than it needs.
macro_rules! takers {
    ($shard:expr) => {
        $crate::takers::Takers {
            sessions: &$shard.sessions,
            connections: &$shard.connections,
            config: &$shard.config,
            queued_bytes: $shard.queued_bytes,
            unsent_bytes: $shard.unsent_bytes,
        }
    };
}
pub(crate) use takers;

impl Takers<'_> {
    /// Nothing waits before it, the socket keeps up, and the client has room for one more unacknowledged message.
    #[inline]
    pub fn can_send_at_once(&self, key: SessionKey, qos: QoS) -> bool {
        let session = &self.sessions[key];
        let Some(connection) = session.conn.and_then(|conn| self.connections.get(conn)) else { return false };
        let unsent = connection.unsent_bytes();
        // A client that keeps up is served whatever others hold; one that is behind takes its share of the budget.
        if unsent >= self.config.limits.outbox_bytes_max || unsent > 0 && self.is_memory_full() {
            return false;
        }
        let Some(outbound) = session.outbound.as_ref() else { return true };
        outbound.queue.is_empty()
            && !outbound.inflight.is_resending()
            && (qos == QoS::AtMostOnce || self.has_quota(session, connection) && !self.is_memory_full())
    }

    fn is_memory_full(&self) -> bool {
        self.queued_bytes + self.unsent_bytes >= self.config.limits.queue_memory_max
    }

    /// [MQTT-3.3.4-9]
    pub fn has_quota(&self, session: &Session, connection: &Connection) -> bool {
        session.outbound.as_ref().is_none_or(|outbound| {
            outbound.inflight.outstanding() < connection.receive_maximum
                && outbound.inflight.len() < usize::from(self.config.limits.inflight_max)
        })
    }

    /// The queue of this session has room for one more.
    pub fn can_queue(&self, key: SessionKey, qos: QoS) -> bool {
        let session = &self.sessions[key];
        let limits = &self.config.limits;
        let may_wait = session.conn.is_some() || self.waits_for_absent(qos);
        let has_room = session.outbound.as_ref().is_none_or(|outbound| {
            outbound.queue.len() < limits.queued_messages_max as usize
                && outbound.queue_bytes < limits.queued_bytes_max
        });
        may_wait && has_room && !self.is_memory_full()
    }

    /// Messages of QoS 0 do not wait for a client that is away, unless the configuration says so.
    pub fn waits_for_absent(&self, qos: QoS) -> bool {
        qos != QoS::AtMostOnce || self.config.queue_qos0
    }
}

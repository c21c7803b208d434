//! Who can take a message now: the questions that routing and delivery ask of sessions and their connections.

use mqtt::QoS;

use crate::{
    Cause, Config, QueueFull,
    connection::{Connection, Connections},
    keys::SessionKey,
    outbound::{First, Load, Outbound},
    permission::Permissions,
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
            queued_bytes: $shard.totals.queued_bytes,
            unsent_bytes: $shard.totals.unsent_bytes,
        }
    };
}
pub(crate) use takers;

impl Takers<'_> {
    /// Nothing waits before it, the socket keeps up, and the client has room for one more unacknowledged message.
    #[inline(always)]
    pub fn can_send_at_once(&self, key: SessionKey, qos: QoS) -> bool {
        self.obstacle(key, qos).is_none()
    }

    /// What a message for this client has to wait for.
    #[inline(always)]
    pub fn obstacle(&self, key: SessionKey, qos: QoS) -> Option<Obstacle> {
        let session = &self.sessions[key];
        let connection = session.conn.and_then(|conn| self.connections.get(conn));
        let Some(connection) = connection else { return Some(Obstacle::Absence) };
        if connection.is_held_back() {
            return Some(Obstacle::Rates);
        }
        let has_slow_socket = connection.unsent_bytes() >= self.unsent_bytes_max();
        let Some(outbound) = session.outbound.as_deref() else {
            return has_slow_socket.then_some(Obstacle::Socket);
        };
        if !outbound.queue.is_empty() {
            return Some(self.obstacle_of_queue(session, connection, outbound));
        }
        if outbound.inflight.is_resending() || qos != QoS::AtMostOnce && !self.has_quota(session, connection)
        {
            return Some(Obstacle::Window);
        }
        has_slow_socket.then_some(Obstacle::Socket)
    }

    /// What the first of those waits for that wait already.
    #[inline(never)]
    fn obstacle_of_queue(&self, session: &Session, connection: &Connection, outbound: &Outbound) -> Obstacle {
        match outbound.queue.first() {
            _ if outbound.inflight.is_resending() => Obstacle::Window,
            Some(First::Here(first))
                if first.qos == QoS::AtMostOnce || self.has_quota(session, connection) =>
            {
                Obstacle::Socket
            }
            Some(First::Here(_)) => Obstacle::Window,
            _ => Obstacle::Store,
        }
    }

    /// A client that keeps up is served whatever others hold; one that is behind takes its share of the budget.
    pub fn unsent_bytes_max(&self) -> usize {
        match self.is_memory_full() {
            false => self.config.limits.outbox_bytes_max,
            true => self.config.limits.outbox_bytes_max.min(BYTES_ALWAYS),
        }
    }

    /// For a client that is away it is asked when it comes back.
    pub fn may_receive(&self, permissions: &mut Permissions, key: SessionKey, topic: &str) -> bool {
        let session = &self.sessions[key];
        let connection = session.conn.and_then(|conn| self.connections.get(conn));
        connection.is_none_or(|connection| permissions.lets_receive(session, connection, self.config, topic))
    }

    /// What is stored leaves the memory as soon as it can.
    pub fn is_memory_short(&self) -> bool {
        self.queued_bytes + self.unsent_bytes >= self.config.limits.queue_memory_max / 2
    }

    pub fn is_memory_full(&self) -> bool {
        self.queued_bytes + self.unsent_bytes >= self.config.limits.queue_memory_max
    }

    /// [MQTT-3.3.4-9]
    #[inline]
    pub fn has_quota(&self, session: &Session, connection: &Connection) -> bool {
        session.outbound.as_ref().is_none_or(|outbound| {
            outbound.inflight.outstanding() < connection.receive_maximum
                && outbound.inflight.len() < usize::from(self.config.limits.inflight_max)
                && outbound.has_packet_id()
        })
    }

    /// The queue of this session has room for such a message.
    pub fn can_queue(&self, key: SessionKey, qos: QoS, load: Load) -> bool {
        let session = &self.sessions[key];
        let may_wait = session.conn.is_some() || self.waits_for_absent(qos);
        // A full queue whose oldest message gives way takes the newest like any other.
        let gives_way = self.config.limits.queue_full == QueueFull::DropOldest;
        may_wait && (gives_way || self.queue_lacks(key, load).is_none())
    }

    /// What keeps such a message out of the queue of this session.
    pub fn queue_lacks(&self, key: SessionKey, Load { weight, waiting_bytes }: Load) -> Option<Full> {
        let limits = &self.config.limits;
        let session = &self.sessions[key];
        let (messages, before, waiting_before) = match session.outbound.as_deref() {
            Some(Outbound { queue, .. }) => (queue.len(), queue.weight(), queue.waiting_bytes()),
            None => (0, 0, 0),
        };
        // Those who are absent, whatever they hold, cannot take a connected client's queue away altogether.
        let is_assured = session.conn.is_some() && before + weight <= BYTES_ALWAYS;
        if messages >= limits.queued_messages_max as usize {
            Some(Full::Messages)
        } else if waiting_before + waiting_bytes > limits.queued_bytes_max {
            Some(Full::Bytes)
        } else if self.queued_bytes + self.unsent_bytes + weight > limits.queue_memory_max && !is_assured {
            Some(Full::Memory)
        } else {
            None
        }
    }

    /// Messages of QoS 0 do not wait for a client that is away, unless the configuration says so.
    pub fn waits_for_absent(&self, qos: QoS) -> bool {
        qos != QoS::AtMostOnce || self.config.queue_qos0
    }
}

/// Why a message is not sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The client is away.
    Absence,
    /// It got as much as its rates allow.
    Rates,
    /// Its socket has as much to take as it may.
    Socket,
    /// So many messages are not acknowledged, or are to be sent again before it.
    Window,
    /// What comes before it is read from the disk.
    Store,
}

/// Which limit a queue has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Messages,
    Bytes,
    Memory,
}

impl From<Full> for Cause {
    fn from(full: Full) -> Cause {
        match full {
            Full::Messages => Cause::QueueMessages,
            Full::Bytes => Cause::QueueBytes,
            Full::Memory => Cause::QueueMemory,
        }
    }
}

/// What a connected client's queue and its unsent bytes may each reach when the memory for all is used up.
pub(crate) const BYTES_ALWAYS: usize = 32 << 10;

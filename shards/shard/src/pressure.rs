//! Which of its limits a client is nearest to.

use crate::{Instant, Shard, connection::Connection, meters::Whose, session::Session};

/// A limit and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// A key of the configuration, or what the client itself has said.
    pub limit: &'static str,
    /// Of a thousand; more than that where the limit does not hold for what is there already.
    pub permille: u32,
}

impl Shard {
    /// How many messages may be unacknowledged, and who says so: the client in its CONNECT, or the configuration.
    pub(crate) fn window(&self, connection: &Connection) -> (&'static str, u16) {
        let own = self.config.limits.inflight_max;
        match connection.receive_maximum {
            of_client if of_client < own => ("receive_maximum of the client", of_client),
            _ => ("session.max_inflight", own),
        }
    }

    pub(crate) fn pressure(&self, session: &Session, now: Instant) -> Pressure {
        let limits = &self.config.limits;
        let outbound = session.outbound.as_deref();
        let queue = outbound.map(|outbound| &outbound.queue);
        let connection = session.conn.and_then(|conn| self.connections.get(conn));
        let of_connection = connection.map(|connection| {
            let (window_name, window) = self.window(connection);
            let outstanding = outbound.map_or(0, |outbound| outbound.inflight.outstanding());
            let keep_alive_ms = usize::from(connection.keep_alive_s) * 1000;
            let late_ms = (now.since(connection.heard_at).as_millis() as usize).saturating_sub(keep_alive_ms);
            [
                (window_name, usize::from(outstanding), usize::from(window)),
                ("session.max_outbox_bytes", connection.unsent_bytes(), limits.outbox_bytes_max),
                // Within its keep-alive every client is silent; it is let go after half as much again.
                ("keep_alive", late_ms, keep_alive_ms / 2),
            ]
        });
        let of_session = [
            (
                "session.max_queued_messages",
                queue.map_or(0, |queue| queue.len()),
                limits.queued_messages_max as usize,
            ),
            (
                "session.max_queued_bytes",
                queue.map_or(0, |queue| queue.waiting_bytes()),
                limits.queued_bytes_max,
            ),
            ("session.max_subscriptions", session.filters.len(), limits.subscriptions_max as usize),
            ("session.max_subscription_bytes", session.filter_bytes as usize, limits.subscription_bytes_max),
        ];
        let of_rates = connection.into_iter().flat_map(|connection| rates(connection, now));
        let all = of_session.into_iter().chain(of_connection.into_iter().flatten()).chain(of_rates);
        let parts = all.filter(|(_, _, most)| *most > 0).map(|(limit, used, most)| {
            let permille = used.saturating_mul(1000) / most;
            Pressure { limit, permille: u32::try_from(permille).unwrap_or(u32::MAX) }
        });
        parts.max_by_key(|pressure| pressure.permille).unwrap_or(Pressure { limit: "", permille: 0 })
    }
}

/// Of each rate that the client is held to what is used of its burst.
fn rates(connection: &Connection, now: Instant) -> impl Iterator<Item = (&'static str, usize, usize)> {
    let standing = connection.standing.as_deref();
    let held = standing.and_then(|standing| standing.held.as_deref());
    let used = connection.meters().into_iter().flat_map(move |meters| meters.used(now));
    used.map(move |(whose, flow, used_ns, most_ns)| {
        let is_of_role =
            whose == Whose::Client && held.is_some_and(|held| held.limit_place(flow.limit()).is_some());
        let limit = if is_of_role { OF_ROLE[flow as usize] } else { whose.key(flow) };
        (limit, used_ns as usize, most_ns as usize)
    })
}

const OF_ROLE: [&str; 4] = [
    "publish_messages_per_s of a role",
    "publish_bytes_per_s of a role",
    "receive_messages_per_s of a role",
    "receive_bytes_per_s of a role",
];

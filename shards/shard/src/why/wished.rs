//! What a client without a subscription for a topic has asked for, and why it does not have it.

use access::{Action, Ask};
use mqtt::PacketKind;

use super::{Says, Steps, receiving::shown, words};
use crate::{
    Direction, Instant, Shard, connection::Connection, filters::inner, keys::SessionKey, session::Session,
};

/// The last SUBSCRIBE or UNSUBSCRIBE of a client that began with a filter for the topic.
struct Wish {
    kind: PacketKind,
    filter: Box<str>,
    ago: std::time::Duration,
}

impl Shard {
    pub(super) fn add_wish(&self, key: SessionKey, topic: &str, now: Instant, steps: &mut Steps) {
        let session = &self.sessions[key];
        let connection = session.conn.and_then(|conn| self.connections.get(conn));
        let mount = session.conn.and_then(|conn| self.mount_of(conn));
        let mount = mount.as_deref().unwrap_or("");
        let wish = topic.strip_prefix(mount).and_then(|topic| last_wish(session, topic, now));
        let Some(Wish { kind, filter, ago }) = wish else {
            return self.add_hindrance(key, connection, topic, steps);
        };
        let (named, past) = (shown(&filter), words(ago));
        if kind == PacketKind::Unsubscribe {
            return steps.add_ago("subscription", format!("it unsubscribed from {named} {past} ago"), ago);
        }
        steps.add_ago("subscription", format!("it asked for {named} {past} ago, and does not have it"), ago);
        self.add_hindrance(key, connection, &format!("{mount}{filter}"), steps);
    }

    /// What keeps it from subscribing to that now.
    fn add_hindrance(
        &self,
        key: SessionKey,
        connection: Option<&Connection>,
        filter: &str,
        steps: &mut Steps,
    ) {
        if let Some((permissions, connection)) = self.permissions.as_deref().zip(connection) {
            let (client_id, ask) = (&self.sessions[key].client_id, Ask::new(Action::Subscribe, filter));
            if !permissions.rule(connection, &self.config, client_id, &ask).is_allowed {
                steps.add_ruling(permissions, connection, &self.config, client_id, &ask);
                return;
            }
        }
        if let Some(limit) = self.filter_limit(key, filter) {
            let text = format!("a subscription to {} would be refused: {}", shown(filter), limit.text());
            steps.add("limit", Says::No, text);
        }
    }
}

/// As far as its last packets tell. The name of a long filter is not kept as a whole.
fn last_wish(session: &Session, topic: &str, now: Instant) -> Option<Wish> {
    let packets = session.recorder.iter().flat_map(|recorder| recorder.entries_with_topics(now));
    let wishes = packets.filter_map(|(packet, filter)| {
        let is_wish = matches!(packet.kind, PacketKind::Subscribe | PacketKind::Unsubscribe);
        let filter = filter.filter(|_| is_wish && packet.direction == Direction::Received)?.whole()?;
        let is_wanted = mqtt::matches(inner(filter), topic);
        is_wanted.then(|| Wish { kind: packet.kind, filter: filter.into(), ago: packet.ago })
    });
    wishes.last()
}

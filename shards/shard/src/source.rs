//! Who published a retained message: whoever takes the right to do so from him takes the message from those who come later.
//!
//! It is known while the process lives and not stored: a message from before a start, or from before there were rules, has none, and
//! goes to everybody who may receive it.

use std::sync::Arc;

use access::{Action, Ask};

use crate::{ConnId, Grant, Message, Shard, keys::SessionKey};

/// The same for all messages of one connection, until the client proves itself anew.
#[derive(Debug)]
pub struct Source {
    pub(crate) client_id: Arc<str>,
    pub(crate) grant: Arc<Grant>,
    /// The number of the listener.
    pub(crate) door: u16,
}

impl Source {
    /// What it takes, all of it for each message: that others share it holds only as long as they are there.
    pub(crate) fn weight(&self) -> usize {
        let Grant { user, groups, roles, certificate_names, permits, .. } = &*self.grant;
        let names = groups.iter().chain(roles).chain(certificate_names).chain(user);
        let texts: usize = names.map(|name| name.len() + NAME_BYTES).sum();
        SOURCE_BYTES + self.client_id.len() + texts + permits.as_ref().map_or(0, |permits| permits.weight())
    }
}

impl Shard {
    /// None where nobody asks for it.
    pub(crate) fn source_of_session(&mut self, publisher: SessionKey) -> Option<Arc<Source>> {
        let session = &self.sessions[publisher];
        let client_id = Arc::clone(&session.client_id);
        self.source_of(session.conn?, &client_id)
    }

    pub(crate) fn source_of(&mut self, conn: ConnId, client_id: &Arc<str>) -> Option<Arc<Source>> {
        if self.permissions.is_none() || !self.config.checks_retain_source {
            return None;
        }
        let grant = self.grant_of(conn).cloned().unwrap_or_default();
        let connection = self.connections.get_mut(conn)?;
        let door = connection.door;
        let standing = connection.standing.get_or_insert_default();
        let source = standing
            .source
            .get_or_insert_with(|| Arc::new(Source { client_id: Arc::clone(client_id), grant, door }));
        Some(Arc::clone(source))
    }

    /// Leaves out what its publisher may not publish any more.
    pub(crate) fn withhold(&mut self, messages: &mut Vec<Message>) {
        if !self.config.checks_retain_source || !self.retained.has_sources() {
            return;
        }
        let Some(permissions) = self.permissions.as_mut() else { return };
        let before = messages.len();
        messages.retain(|message| {
            let Some(source) = self.retained.source(message) else { return true };
            let listener = self.config.door(source.door).map_or("", |door| &*door.name);
            let ask = Ask {
                action: Action::Publish,
                topic: message.topic(),
                qos: message.qos() as u8,
                retain: true,
            };
            permissions.lets(&source.grant, &source.client_id, listener, &ask)
        });
        self.counters.denied_retain_source += (before - messages.len()) as u64;
    }
}

/// Of the maps and blocks that it stands in.
const SOURCE_BYTES: usize = 160;
const NAME_BYTES: usize = 32;

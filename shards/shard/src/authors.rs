//! Who left a will, and whether it may be published: that is asked at the end, because its author may be away for long, and who is
//! not let in any more leaves none.

use std::sync::Arc;

use access::{Action, Ask};

use crate::{
    Cause, Effect, Instant, Note, Revision, Shard, What, bans::BANNED, keys::SessionKey, note::Denial,
    source::Source, turn::Turn, wills::Will,
};

impl Shard {
    /// The connection is about to end: from it is known whose the will is.
    pub(crate) fn note_author(&mut self, key: SessionKey) {
        let session = &self.sessions[key];
        let (Some(conn), Some(_)) = (session.conn, &session.will) else { return };
        let Some(connection) = self.connections.get(conn) else { return };
        let (door, client_id) = (connection.door, Arc::clone(&session.client_id));
        let grant = self.grant_of(conn).cloned().unwrap_or_default();
        if let Some(will) = self.sessions[key].will.as_mut() {
            will.author = Some(Arc::new(Source { client_id, grant, door }));
        }
    }

    /// What holds at this moment counts: its author may have gone before.
    pub(crate) fn is_will_denied(&mut self, key: SessionKey, will: &Will, turn: &mut Turn<'_>) -> bool {
        let client_id = &Arc::clone(&self.sessions[key].client_id);
        let denial = self.denial_of_will(client_id, will, turn.now);
        denial.map(|denial| self.lose_will(key, client_id, denial, turn)).is_some()
    }

    fn denial_of_will(&mut self, client_id: &str, will: &Will, now: Instant) -> Option<Denial> {
        let is_author_barred =
            will.author.as_ref().is_some_and(|author| self.is_grant_barred(&author.grant, now));
        if self.is_client_barred(client_id, now) || is_author_barred {
            return Some(denied(will, BANNED));
        }
        let author = will.author.as_deref()?;
        let grant = match self.grant_by_now(&author.grant, author.door) {
            Ok(grant) => grant,
            Err(ended) => return Some(denied(will, ended.why())),
        };
        let message = &will.message;
        let (topic, qos, retain) = (message.topic(), message.qos() as u8, message.retain());
        let listener = self.config.door(author.door).map_or("", |door| &*door.name);
        let ask = Ask { action: Action::Will, topic, qos, retain };
        self.permissions.as_mut()?.denial(&grant, client_id, listener, &ask)
    }

    fn lose_will(&mut self, key: SessionKey, client_id: &Arc<str>, denial: Denial, turn: &mut Turn<'_>) {
        self.counters.denied_will += 1;
        self.lose(key, Cause::PublishWillDenied, &denial.topic, turn.now);
        let client_id = Some(Arc::clone(client_id));
        let (user, what) = (denial.user.clone(), What::Denied(Box::new(denial)));
        turn.push(Effect::Note(Note { conn: None, client_id, user, what }));
    }

    /// Takes the will, if there is one, from somebody who may not be here.
    pub(crate) fn deny_will(&mut self, key: SessionKey, because: &str, turn: &mut Turn<'_>) {
        self.note_author(key);
        let Some(will) = self.take_will_away(key) else { return };
        let client_id = Arc::clone(&self.sessions[key].client_id);
        self.lose_will(key, &client_id, denied(&will, because), turn);
    }

    /// The session goes on without it, in the store as well.
    pub(crate) fn take_will_away(&mut self, key: SessionKey) -> Option<Box<Will>> {
        let will = self.sessions[key].will.take()?;
        self.totals.will_bytes -= will.message.weight();
        if self.is_kept(key) {
            self.keep_session(key, false);
        }
        Some(will)
    }

    /// Holds a revision against the author of a will who is away. False: it says nothing of him.
    pub(crate) fn revise_author(
        &mut self,
        key: SessionKey,
        revision: &Revision,
        turn: &mut Turn<'_>,
    ) -> bool {
        let will = self.sessions.get_mut(key).and_then(|session| session.will.as_mut());
        let Some(author) = will.and_then(|will| will.author.as_mut()) else { return false };
        let Some(rights) = author.grant.revised_by(revision, author.door) else { return false };
        match rights {
            Ok(rights) => {
                let (client_id, door) = (Arc::clone(&author.client_id), author.door);
                *author = Arc::new(Source { client_id, grant: author.grant.with(rights), door });
            }
            Err(ended) => self.deny_will(key, ended.why(), turn),
        }
        true
    }
}

fn denied(will: &Will, because: &str) -> Denial {
    Denial {
        user: will.author.as_ref().and_then(|author| author.grant.user.clone()),
        action: Action::Will.word(),
        topic: will.message.topic().into(),
        because: because.into(),
        is_shadow: false,
    }
}

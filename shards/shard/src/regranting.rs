//! What was granted to users is something else, or nothing, while they are connected or have left a will.

use std::{collections::BTreeMap, sync::Arc};

use mqtt::ReasonCode;

use crate::{
    ConnId, Ended, From, Grant, Revision, Rights, Shard, What,
    connection::{Connection, Stage},
    ending::WillFate,
    keys::SessionKey,
    shard::Deadline,
    standing::Talk,
    turn::Turn,
};

#[derive(Default)]
pub(crate) struct Revising {
    under_way: Vec<Looking>,
    /// In their order, the revisions that came while somebody was being asked about the connection, or the client was: the answer
    /// may be of before.
    missed: BTreeMap<ConnId, Vec<Arc<Revision>>>,
}

/// Whom a revision is still to be held against.
struct Looking {
    revision: Arc<Revision>,
    conns: Vec<ConnId>,
    /// Known when all connections were looked at: whoever has gone meanwhile is among them.
    sessions: Option<Vec<SessionKey>>,
}

impl Shard {
    pub(crate) fn handle_revised(&mut self, revision: Arc<Revision>, turn: &mut Turn<'_>) {
        let conns = self.connections.ids();
        self.revising.under_way.push(Looking { revision, conns, sessions: None });
        self.timers.insert(turn.next_instant(), Deadline::Revised);
    }

    pub(crate) fn on_revised_deadline(&mut self, turn: &mut Turn<'_>) {
        // Everybody goes anyway.
        if self.drain.has_begun() {
            return;
        }
        let mut work = 0;
        while work < WORK_PER_TURN {
            let Some(looking) = self.revising.under_way.first_mut() else { return };
            let revision = Arc::clone(&looking.revision);
            let is_said = if let Some(conn) = looking.conns.pop() {
                self.revise_connection(conn, &revision, turn)
            } else if let Some(session) = looking.sessions.get_or_insert_with(|| self.sessions.keys()).pop() {
                self.revise_author(session, &revision, turn)
            } else {
                self.revising.under_way.remove(0);
                continue;
            };
            work += 1 + if is_said { WORK_OF_CHANGE } else { 0 };
        }
        self.timers.insert(turn.next_instant(), Deadline::Revised);
    }

    /// False: the revision says nothing of its client.
    fn revise_connection(&mut self, conn: ConnId, revision: &Arc<Revision>, turn: &mut Turn<'_>) -> bool {
        // Who says CONNECT later is asked about later.
        let Some(connection) = self.connections.get(conn).filter(|it| it.is_in_question()) else {
            return false;
        };
        let rights = connection.revised_by(revision);
        if connection.standing.as_ref().is_some_and(|standing| standing.talk != Talk::Over) {
            self.revising.missed.entry(conn).or_default().push(Arc::clone(revision));
        }
        rights.map(|rights| self.regrant(conn, rights, turn)).is_some()
    }

    /// What was granted there, after all that is still to be held against somebody; or why nothing is left of it.
    pub(crate) fn grant_by_now(&self, grant: &Arc<Grant>, door: u16) -> Result<Arc<Grant>, Ended> {
        let mut grant = Arc::clone(grant);
        for Looking { revision, .. } in &self.revising.under_way {
            if let Some(rights) = grant.revised_by(revision, door) {
                grant = grant.with(rights?);
            }
        }
        Ok(grant)
    }

    /// What an answer grants, after all that was revised since the question; or why its user is not let in any more.
    pub(crate) fn grant_as_revised(&mut self, conn: ConnId, grant: Arc<Grant>) -> Result<Arc<Grant>, Ended> {
        let missed = self.revising.missed.remove(&conn).unwrap_or_default();
        let door = self.connections.get(conn).expect("the caller looked").door;
        let says = |revision: &Arc<Revision>| grant.revised_by(revision, door);
        // Other rights of a user bring nobody back whose certificate is revoked, or who came in by what is gone.
        let is_of_users = |revision: &&Arc<Revision>| matches!(***revision, Revision::Users { .. });
        if let Some(rights) = missed.iter().filter(|revision| !is_of_users(revision)).find_map(says) {
            rights?;
        }
        match missed.iter().rev().find_map(says) {
            Some(rights) => rights.map(|rights| grant.with(rights)),
            None => Ok(grant),
        }
    }

    /// The connection is gone.
    pub(crate) fn forget_missed(&mut self, conn: ConnId) {
        self.revising.missed.remove(&conn);
    }

    fn regrant(&mut self, conn: ConnId, rights: Result<Rights, Ended>, turn: &mut Turn<'_>) {
        let rights = match rights {
            Ok(rights) => rights,
            Err(ended) => return self.end_granted(conn, ended, turn),
        };
        let connection = self.connections.get_mut(conn).expect("the caller looked");
        let session = connection.session();
        connection.grant = Some(connection.grant.as_deref().unwrap_or(&Grant::default()).with(rights));
        self.forget_held(conn);
        if let Some(session) = session {
            self.review_rights(session, conn, turn);
        }
    }

    /// Why is for the log: the client knows who it is.
    fn end_granted(&mut self, conn: ConnId, ended: Ended, turn: &mut Turn<'_>) {
        self.counters.grants_ended += 1;
        let reason = ReasonCode::NotAuthorized;
        let what = What::Disconnected { reason, why: ended.why().into() };
        if let Some(session) = self.connections.get(conn).and_then(|connection| connection.session()) {
            self.deny_will(session, ended.why(), turn);
        }
        self.end_connection(conn, Some((reason, NOT_LET_IN)), what, WillFate::Discard, turn);
    }
}

impl Connection {
    fn is_in_question(&self) -> bool {
        matches!(self.stage, Stage::Asking | Stage::Connected(_))
    }

    fn revised_by(&self, revision: &Revision) -> Option<Result<Rights, Ended>> {
        self.grant.as_ref()?.revised_by(revision, self.door)
    }
}

impl Grant {
    /// What the revision says of whoever came in by this door; none if it says nothing.
    pub(crate) fn revised_by(&self, revision: &Revision, came_by: u16) -> Option<Result<Rights, Ended>> {
        let is_by = |by: &Arc<str>| self.by == Some(&**by);
        match revision {
            Revision::Users { by, users } => users.get(&**self.user.as_ref()?).filter(|_| is_by(by)).cloned(),
            Revision::Gone { door, by, from } => {
                let is_meant = *from == From::Anywhere || !self.is_local;
                (*door == came_by && is_by(by) && is_meant).then_some(Err(Ended::WayGone))
            }
            Revision::Revoked { door, certificates } => {
                let is_revoked = self.certificate.is_some_and(|id| certificates.contains(&id));
                (*door == came_by && is_revoked).then_some(Err(Ended::CertificateRevoked))
            }
        }
    }

    pub(crate) fn with(&self, Rights { groups, roles }: Rights) -> Arc<Grant> {
        Arc::new(Grant { groups, roles, ..self.clone() })
    }
}

/// For the client.
const NOT_LET_IN: &str = "is not let in any more";

/// Connections that are looked at in one turn, in the measure of one that has nothing to do with it.
const WORK_PER_TURN: usize = 4096;
const WORK_OF_CHANGE: usize = 64;

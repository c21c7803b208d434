//! What was granted to users is something else, or nothing, while they are connected.

use std::{collections::BTreeMap, sync::Arc};

use mqtt::ReasonCode;

use crate::{
    ConnId, From, Grant, Revision, Rights, Shard, What,
    connection::{Connection, Stage},
    ending::WillFate,
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

/// Connections that a revision is still to be held against.
struct Looking {
    revision: Arc<Revision>,
    conns: Vec<ConnId>,
}

impl Shard {
    pub(crate) fn handle_revised(&mut self, revision: Arc<Revision>, turn: &mut Turn<'_>) {
        let conns = self.connections.ids();
        self.revising.under_way.push(Looking { revision, conns });
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
            let Some(conn) = looking.conns.pop() else {
                self.revising.under_way.remove(0);
                continue;
            };
            let revision = Arc::clone(&looking.revision);
            work += 1;
            // Who says CONNECT later is asked about later.
            let Some(connection) = self.connections.get(conn).filter(|it| it.is_in_question()) else {
                continue;
            };
            if connection.standing.as_ref().is_some_and(|standing| standing.talk != Talk::Over) {
                self.revising.missed.entry(conn).or_default().push(Arc::clone(&revision));
            }
            if let Some(rights) = connection.revised_by(&revision) {
                work += WORK_OF_CHANGE;
                self.regrant(conn, rights, turn);
            }
        }
        self.timers.insert(turn.next_instant(), Deadline::Revised);
    }

    /// What an answer grants, after all that was revised since the question; none if its user is not let in any more.
    pub(crate) fn grant_as_revised(&mut self, conn: ConnId, grant: Arc<Grant>) -> Option<Arc<Grant>> {
        let missed = self.revising.missed.remove(&conn).unwrap_or_default();
        let door = self.connections.get(conn)?.door;
        let says = |revision: &Arc<Revision>| grant.revised_by(revision, door);
        // Other rights of a user bring nobody back whose certificate is revoked, or who came in by what is gone.
        let is_of_users = |revision: &&Arc<Revision>| matches!(***revision, Revision::Users { .. });
        if missed.iter().filter(|revision| !is_of_users(revision)).any(|revision| says(revision).is_some()) {
            return None;
        }
        match missed.iter().rev().find_map(says) {
            Some(rights) => rights.map(|rights| grant.with(rights)),
            None => Some(grant),
        }
    }

    /// The connection is gone.
    pub(crate) fn forget_missed(&mut self, conn: ConnId) {
        self.revising.missed.remove(&conn);
    }

    fn regrant(&mut self, conn: ConnId, rights: Option<Rights>, turn: &mut Turn<'_>) {
        let Some(rights) = rights else {
            self.counters.grants_ended += 1;
            let (reason, why) = (ReasonCode::NotAuthorized, NOT_LET_IN);
            let what = What::Disconnected { reason, why: why.into() };
            self.end_connection(conn, Some((reason, why)), what, WillFate::Publish, turn);
            return;
        };
        let connection = self.connections.get_mut(conn).expect("the caller looked");
        let session = connection.session();
        let standing = connection.standing.as_mut().expect("it has a grant");
        standing.grant = Some(standing.grant.as_deref().unwrap_or(&Grant::default()).with(rights));
        self.forget_held(conn);
        if let Some(session) = session {
            self.review_rights(session, conn, turn);
        }
    }
}

impl Connection {
    fn is_in_question(&self) -> bool {
        matches!(self.stage, Stage::Asking | Stage::Connected(_))
    }

    fn revised_by(&self, revision: &Revision) -> Option<Option<Rights>> {
        self.standing.as_ref()?.grant.as_ref()?.revised_by(revision, self.door)
    }
}

impl Grant {
    /// What the revision says of whoever came in by this door; none if it says nothing.
    fn revised_by(&self, revision: &Revision, came_by: u16) -> Option<Option<Rights>> {
        let is_by = |by: &Arc<str>| self.by.as_ref() == Some(by);
        match revision {
            Revision::Users { by, users } => users.get(&**self.user.as_ref()?).filter(|_| is_by(by)).cloned(),
            Revision::Gone { door, by, from } => {
                let is_meant = *from == From::Anywhere || !self.is_local;
                (*door == came_by && is_by(by) && is_meant).then_some(None)
            }
            Revision::Revoked { door, certificates } => {
                let is_revoked = self.certificate.is_some_and(|id| certificates.contains(&id));
                (*door == came_by && is_revoked).then_some(None)
            }
        }
    }

    fn with(&self, Rights { groups, roles }: Rights) -> Arc<Grant> {
        Arc::new(Grant { groups, roles, ..self.clone() })
    }
}

/// For the log.
pub(crate) const NOT_LET_IN: &str = "is not let in any more";

/// Connections that are looked at in one turn, in the measure of one that has nothing to do with it.
const WORK_PER_TURN: usize = 4096;
const WORK_OF_CHANGE: usize = 64;

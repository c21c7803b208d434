//! What was granted to users is something else, or nothing, while they are connected.

use std::{sync::Arc, time::Duration};

use mqtt::ReasonCode;

use crate::{
    ConnId, Grant, Revision, Rights, Shard, What,
    connection::{Connection, Stage},
    ending::WillFate,
    shard::Deadline,
    turn::Turn,
};

/// Connections that are to be looked at, for each revision.
#[derive(Default)]
pub(crate) struct Revising {
    under_way: Vec<Looking>,
}

struct Looking {
    revision: Arc<Revision>,
    conns: Vec<ConnId>,
    /// Somebody is being asked about them, and may answer by what was known before.
    asking: Vec<ConnId>,
}

impl Shard {
    pub(crate) fn handle_revised(&mut self, revision: Arc<Revision>, turn: &mut Turn<'_>) {
        let conns = self.connections.ids();
        self.revising.under_way.push(Looking { revision, conns, asking: Vec::new() });
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
                self.go_on_revising(turn);
                return;
            };
            let revision = Arc::clone(&looking.revision);
            work += 1;
            match self.connections.get(conn).map(|connection| connection.stage) {
                Some(Stage::Asking) => looking.asking.push(conn),
                Some(Stage::Connected(_)) => {
                    if let Some(rights) = self.connections.get(conn).and_then(|it| it.revised_by(&revision)) {
                        work += WORK_OF_CHANGE;
                        self.regrant(conn, rights, turn);
                    }
                }
                // Who says CONNECT later is asked about later.
                Some(Stage::Opened | Stage::Closing) | None => {}
            }
        }
        self.timers.insert(turn.next_instant(), Deadline::Revised);
    }

    /// The first revision has been held against everybody but those who are being asked about.
    fn go_on_revising(&mut self, turn: &mut Turn<'_>) {
        let mut looking = self.revising.under_way.remove(0);
        let mut at = turn.next_instant();
        if !looking.asking.is_empty() {
            looking.conns = std::mem::take(&mut looking.asking);
            if self.revising.under_way.is_empty() {
                at = turn.now + ASKED_AGAIN;
            }
            self.revising.under_way.push(looking);
        }
        if !self.revising.under_way.is_empty() {
            self.timers.insert(at, Deadline::Revised);
        }
    }

    fn regrant(&mut self, conn: ConnId, rights: Option<Rights>, turn: &mut Turn<'_>) {
        let Some(Rights { groups, roles }) = rights else {
            self.counters.grants_ended += 1;
            let (reason, why) = (ReasonCode::NotAuthorized, "the user is not let in any more");
            let what = What::Disconnected { reason, why: why.into() };
            self.end_connection(conn, Some((reason, why)), what, WillFate::Publish, turn);
            return;
        };
        let connection = self.connections.get_mut(conn).expect("the caller looked");
        let session = connection.session();
        let standing = connection.standing.as_mut().expect("it has a grant");
        let grant = standing.grant.as_deref().cloned().unwrap_or_default();
        standing.grant = Some(Arc::new(Grant { groups, roles, ..grant }));
        self.forget_held(conn);
        if let Some(session) = session {
            self.review_rights(session, conn, turn);
        }
    }
}

impl Connection {
    /// What the revision says of the connection's user; none if it says nothing.
    fn revised_by(&self, revision: &Revision) -> Option<Option<Rights>> {
        let grant = self.standing.as_ref()?.grant.as_ref()?;
        let is_its = grant.by.as_ref() == Some(&revision.by);
        revision.users.get(&**grant.user.as_ref()?).filter(|_| is_its).cloned()
    }
}

/// Connections that are looked at in one turn, in the measure of one that has nothing to do with it.
const WORK_PER_TURN: usize = 4096;
const WORK_OF_CHANGE: usize = 64;

/// When those are looked at again about whom somebody was being asked.
const ASKED_AGAIN: Duration = Duration::from_millis(500);

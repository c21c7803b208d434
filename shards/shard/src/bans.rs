//! Who may not come in, by client id and by user: refused at CONNECT, and sent away at once if he is here. Addresses are
//! looked at before a connection is one, which is the edge's business; here they count for wills.

use std::{net::IpAddr, sync::Arc, time::Duration};

use access::Network;
use hashbrown::HashMap;
use mqtt::{Connect, ReasonCode};

use crate::{
    BarredNetworks, ConnId, Grant, Instant, Shard, What,
    connection::Stage,
    ending::WillFate,
    hashing::{Table, hasher},
    turn::Turn,
};

/// All that are banned, each for a time or for ever. Immutable, the same for all shards, replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bans {
    pub client_ids: Vec<(Box<str>, Option<Duration>)>,
    pub users: Vec<(Box<str>, Option<Duration>)>,
    pub networks: Vec<(Network, Option<Duration>)>,
}

/// With the moments when they end.
#[derive(Default)]
pub(crate) struct Barred {
    client_ids: Names,
    users: Names,
    networks: BarredNetworks,
}

type Names = HashMap<Box<str>, Option<Instant>, ahash::RandomState>;

impl Barred {
    /// None where nobody is.
    pub fn of(bans: &Bans, seed: u64, now: Instant) -> Option<Box<Barred>> {
        let names = |banned: &[(Box<str>, Option<Duration>)]| {
            let mut names = Names::with_hasher(hasher(seed, Table::Bans));
            names.extend(banned.iter().map(|(name, lasts)| (name.clone(), lasts.map(|lasts| now + lasts))));
            names
        };
        let barred = Barred {
            client_ids: names(&bans.client_ids),
            users: names(&bans.users),
            networks: BarredNetworks::new(&bans.networks, now),
        };
        let is_empty = barred.client_ids.is_empty() && barred.users.is_empty() && barred.networks.is_empty();
        (!is_empty).then(|| Box::new(barred))
    }

    pub fn client(&self, client_id: &str, now: Instant) -> Option<Ends> {
        Ends::of(*self.client_ids.get(client_id)?, now)
    }

    pub fn user(&self, user: &str, now: Instant) -> Option<Ends> {
        Ends::of(*self.users.get(user)?, now)
    }

    pub fn network(&self, ip: IpAddr, now: Instant) -> Option<(Network, Ends)> {
        self.networks.around(ip, now)
    }

    /// How many of them hold.
    pub fn networks(&self, now: Instant) -> usize {
        self.networks.count(now)
    }
}

/// When the ban ends that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// None is never.
    pub at: Option<Instant>,
}

impl Ends {
    /// None: it is over.
    pub fn of(at: Option<Instant>, now: Instant) -> Option<Ends> {
        at.is_none_or(|at| at > now).then_some(Ends { at })
    }
}

impl Shard {
    /// Others are banned from now on.
    pub(crate) fn handle_bans(&mut self, bans: &Arc<Bans>, turn: &mut Turn<'_>) {
        self.barred = Barred::of(bans, self.random.next_u64(), turn.now);
        if self.barred.is_none() || self.drain.has_begun() {
            return;
        }
        for conn in self.connections.ids() {
            let Some(session) = self.connections.get(conn).and_then(|connection| connection.session()) else {
                continue;
            };
            let client_id = Arc::clone(&self.sessions[session].client_id);
            if self.is_client_barred(&client_id, turn.now) {
                self.send_away(conn, "banned: its client id", turn);
            } else if self.is_user_barred(conn, turn.now) {
                self.send_away(conn, "banned: its user", turn);
            }
        }
    }

    /// Somebody who is at an address that is banned.
    pub(crate) fn handle_barred(&mut self, conn: ConnId, ip: IpAddr, turn: &mut Turn<'_>) {
        let session = self.connections.get(conn).and_then(|connection| connection.session());
        let client_id = session.map(|session| Arc::clone(&self.sessions[session].client_id));
        self.send_away(conn, "banned: its address", turn);
        if let Some(client_id) = client_id {
            self.departures.locate(&client_id, ip);
        }
    }

    /// Somebody who is banned, with whatever he wanted to leave. Why is for the log.
    fn send_away(&mut self, conn: ConnId, why: &'static str, turn: &mut Turn<'_>) {
        let connection = self.connections.get(conn).filter(|connection| connection.stage != Stage::Closing);
        let Some(connection) = connection else { return };
        let session = connection.session();
        self.counters.ended_banned += 1;
        let reason = ReasonCode::AdministrativeAction;
        let what = What::Disconnected { reason, why: why.into() };
        if let Some(session) = session {
            self.deny_will(session, why, turn);
        }
        self.end_connection(conn, Some((reason, BANNED)), what, WillFate::Discard, turn);
    }

    pub(crate) fn is_client_barred(&self, client_id: &str, now: Instant) -> bool {
        self.barred.as_ref().is_some_and(|barred| barred.client(client_id, now).is_some())
    }

    /// As far as it is known who he is.
    pub(crate) fn is_user_barred(&self, conn: ConnId, now: Instant) -> bool {
        let user = self.grant_of(conn).and_then(|grant| grant.user.as_deref());
        user.is_some_and(|user| self.is_name_barred(user, now))
    }

    pub(crate) fn is_name_barred(&self, user: &str, now: Instant) -> bool {
        self.barred.as_ref().is_some_and(|barred| barred.user(user, now).is_some())
    }

    /// By the name or the address with which he was let in.
    pub(crate) fn is_grant_barred(&self, grant: &Grant, now: Instant) -> bool {
        grant.user.as_deref().is_some_and(|user| self.is_name_barred(user, now))
            || grant.address.is_some_and(|ip| self.is_address_barred(ip, now))
    }

    pub(crate) fn is_address_barred(&self, ip: IpAddr, now: Instant) -> bool {
        self.barred.as_ref().is_some_and(|barred| barred.networks.holds(ip, now))
    }

    pub(crate) fn refuse_barred(&mut self, conn: ConnId, connect: &Connect<'_>, turn: &mut Turn<'_>) {
        self.counters.refused_banned += 1;
        self.refuse_named(conn, connect, ReasonCode::Banned, BANNED, turn);
    }
}

/// For the client and for the log.
pub(crate) const BANNED: &str = "banned";

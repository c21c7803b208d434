//! What clients may do: the rules are asked, what they said is remembered, and each denial is counted and told once.
//!
//! Without rules nothing here is ever called. When others take their place, whoever is connected is held to them from his next
//! packet and his next message on, and his subscriptions and his will are looked at again soon after (`reviewing.rs`).

use std::sync::Arc;

use access::{Action, Ask, Holder, Limit, Memory, Place, Profiles, Rules, Verdict, Who};
use mqtt::QoS;

use crate::{
    Cause, Config, ConnId, Effect, Grant, Note, Shard, What,
    connection::{Connection, Stage},
    hashing::{Table, hasher},
    keys::SessionKey,
    note::Denial,
    publish::is_of_server,
    reviewing::Reviews,
    session::Session,
    turn::Turn,
    why::Ruling,
};

/// One shard's view of the rules.
pub(crate) struct Permissions {
    profiles: Profiles,
    memory: Memory,
    hasher: ahash::RandomState,
    /// Sessions whose subscriptions are to be looked at.
    pub(crate) reviews: Reviews,
}

/// A client's part of the rules.
pub(crate) struct Held {
    holder: Holder,
    /// Deliveries have to be asked about, each.
    checks_receive: bool,
    /// Denials that the log knows.
    noted: Vec<u64>,
}

impl Permissions {
    /// None where everybody may do everything.
    pub fn of(rules: Option<Rules>, seed: u64) -> Option<Box<Permissions>> {
        let rules = rules.filter(|rules| !rules.are_open())?;
        Some(Box::new(Permissions {
            profiles: Profiles::new(&rules),
            memory: Memory::new(),
            hasher: hasher(seed, Table::Permissions),
            reviews: Reviews::default(),
        }))
    }

    /// Whether its client may receive the message: as [`Shard::may`] says, without a word about it.
    pub fn lets_receive(
        &mut self,
        session: &Session,
        connection: &Connection,
        config: &Config,
        topic: &str,
    ) -> bool {
        let ask = Ask::new(Action::Receive, topic);
        let held = connection.standing.as_ref().and_then(|standing| standing.held.as_ref());
        match held.filter(|held| held.holder.is_of(self.profiles.rules())) {
            Some(held) => !held.checks_receive || self.memory.check(&held.holder, &ask).is_allowed,
            // It is held to these rules from its next packet on.
            None => {
                let held = self.hold_connection(connection, config, &session.client_id, true);
                self.memory.check(&held.holder, &ask).is_allowed
            }
        }
    }

    /// Whether somebody may who need not be here.
    pub fn lets(&mut self, grant: &Grant, client_id: &str, listener: &str, ask: &Ask<'_>) -> bool {
        self.hold(grant, client_id, listener, false).holder.check(ask).is_allowed
    }

    /// Why somebody may not who need not be here; none if he may.
    pub fn denial(
        &mut self,
        grant: &Grant,
        client_id: &str,
        listener: &str,
        ask: &Ask<'_>,
    ) -> Option<Denial> {
        let held = self.hold(grant, client_id, listener, false);
        let verdict = held.holder.check(ask);
        (!verdict.is_allowed).then(|| Denial {
            user: grant.user.clone(),
            action: ask.action.word(),
            topic: ask.topic.into(),
            is_shadow: false,
            because: held.holder.explain(&verdict).to_string().into(),
        })
    }

    /// What the rules say to this client, and nobody takes note of it.
    pub fn rule(&self, connection: &Connection, config: &Config, client_id: &str, ask: &Ask<'_>) -> Ruling {
        let nobody = Grant::default();
        let (grant, listener) = known_of(connection, config, &nobody);
        let holder = with_who(grant, client_id, listener, |who| self.profiles.rules().holder(who));
        Ruling::of(&holder.explain(&holder.check(ask)))
    }

    fn hold_connection(
        &mut self,
        connection: &Connection,
        config: &Config,
        client_id: &str,
        was_open: bool,
    ) -> Held {
        let nobody = Grant::default();
        let (grant, listener) = known_of(connection, config, &nobody);
        self.hold(grant, client_id, listener, was_open)
    }

    /// `was_open`: something may have come into the session's queue that these rules were not asked about.
    fn hold(&mut self, grant: &Grant, client_id: &str, listener: &str, was_open: bool) -> Held {
        let holder = with_who(grant, client_id, listener, |who| self.profiles.holder(who));
        let checks_receive = was_open || holder.checks_receive();
        Held { holder, checks_receive, noted: Vec::new() }
    }
}

/// Whom a connection belongs to, and by which listener it came.
fn known_of<'a>(connection: &'a Connection, config: &'a Config, nobody: &'a Grant) -> (&'a Grant, &'a str) {
    let door = config.door(connection.door);
    let own = connection.grant.as_deref();
    let grant = own.or(door.map(|door| &*door.grant)).unwrap_or(nobody);
    (grant, door.map_or("", |door| &*door.name))
}

fn with_who<T>(grant: &Grant, client_id: &str, listener: &str, ask: impl FnOnce(&Who<'_>) -> T) -> T {
    let groups: Vec<&str> = grant.groups.iter().map(|name| &**name).collect();
    let roles: Vec<&str> = grant.roles.iter().map(|name| &**name).collect();
    let certificate_names: Vec<&str> = grant.certificate_names.iter().map(|name| &**name).collect();
    ask(&Who {
        client_id,
        user: grant.user.as_deref(),
        groups: &groups,
        roles: &roles,
        certificate_names: &certificate_names,
        address: grant.address,
        listener,
        is_authenticated: grant.is_authenticated,
        permits: grant.permits.as_ref(),
    })
}

impl Held {
    pub fn limits(&self) -> &access::Limits {
        self.holder.limits()
    }

    /// Which role names the limit, and where.
    pub fn limit_place(&self, limit: Limit) -> Option<Place<'_>> {
        self.holder.limit_place(limit)
    }

    /// Of what is denied: it would be allowed if it were not to be retained.
    fn denies_retain(&self, ask: &Ask<'_>) -> bool {
        let of_publish = ask.retain && ask.action == Action::Publish;
        of_publish && self.holder.check(&Ask { retain: false, ..*ask }).is_allowed
    }

    /// A client that does the same again and again gets one line in the log, and not more than a few in all.
    fn is_first(&mut self, denial: u64) -> bool {
        let is_first = self.noted.len() < NOTED_MAX && !self.noted.contains(&denial);
        if is_first {
            self.noted.push(denial);
        }
        is_first
    }
}

impl Shard {
    /// Other rules, or none.
    pub(crate) fn handle_rules(&mut self, rules: Option<Rules>, turn: &mut Turn<'_>) {
        self.permissions = Permissions::of(rules, self.random.next_u64());
        let Some(permissions) = self.permissions.as_mut() else {
            // With the rules the roles are gone, and their rates.
            return self.meter_all(turn);
        };
        let is_here = |key: &SessionKey| self.sessions[*key].conn.is_some();
        permissions.reviews = self.sessions.keys().into_iter().filter(is_here).collect();
        self.review_soon(turn);
    }

    /// A client is let in under this id, which may have a session.
    pub(crate) fn hold(&mut self, conn: ConnId, client_id: &str, was_open: bool) {
        let Some(permissions) = self.permissions.as_mut() else { return };
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let held = permissions.hold_connection(connection, &self.config, client_id, was_open);
        connection.standing.get_or_insert_default().held = Some(Box::new(held));
        self.meter(conn);
    }

    /// Whether the client may. If not, that is counted and told.
    pub(crate) fn may(&mut self, conn: ConnId, ask: &Ask<'_>, turn: &mut Turn<'_>) -> bool {
        self.hold_anew(conn);
        self.may_as(conn, None, ask, turn)
    }

    /// The same for one that is held to these rules. Who has no session yet goes by the client id that it says.
    pub(crate) fn may_as(
        &mut self,
        conn: ConnId,
        client_id: Option<&str>,
        ask: &Ask<'_>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(permissions) = self.permissions.as_mut() else { return true };
        let Some(connection) = self.connections.get(conn) else { return false };
        let Some(held) = connection.standing.as_ref().and_then(|standing| standing.held.as_ref()) else {
            return false;
        };
        let verdict = permissions.memory.check(&held.holder, ask);
        if !verdict.is_allowed || verdict.shadow.is_some() {
            self.tell_of((conn, client_id), ask, &verdict, turn);
        }
        verdict.is_allowed
    }

    /// The client's part of the rules is that of others that held before.
    fn hold_anew(&mut self, conn: ConnId) {
        let (Some(permissions), Some(connection)) = (&self.permissions, self.connections.get(conn)) else {
            return;
        };
        let held = connection.standing.as_ref().and_then(|standing| standing.held.as_ref());
        if held.is_some_and(|held| held.holder.is_of(permissions.profiles.rules())) {
            return;
        }
        if let Stage::Connected(session) = connection.stage {
            let client_id = Arc::clone(&self.sessions[session].client_id);
            self.hold(conn, &client_id, true);
        }
    }

    /// Whether the client may publish it, and otherwise why it is lost.
    pub(crate) fn check_right_to_publish(
        &mut self,
        conn: ConnId,
        ask: &Ask<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Cause> {
        if self.may(conn, ask, turn) {
            return Ok(());
        }
        let standing = self.connections.get(conn).and_then(|connection| connection.standing.as_ref());
        let held = standing.and_then(|standing| standing.held.as_ref());
        let of_retain = held.is_some_and(|held| held.denies_retain(ask));
        Err(if of_retain { Cause::PublishRetainDenied } else { Cause::PublishDenied })
    }

    /// Whether the message may go to the session's client. For one that is absent that is asked when it comes back.
    pub(crate) fn may_receive(&mut self, key: SessionKey, topic: &str, turn: &mut Turn<'_>) -> bool {
        let Some(conn) = self.sessions[key].conn else { return true };
        self.hold_anew(conn);
        let connection = self.connections.get(conn).expect("a session's connection is in the table");
        let held = connection.standing.as_ref().and_then(|standing| standing.held.as_ref());
        if held.is_some_and(|held| !held.checks_receive) {
            return true;
        }
        let may = self.may(conn, &Ask::new(Action::Receive, topic), turn);
        if !may {
            self.lose(key, Cause::Denied, topic, turn.now);
        }
        may
    }

    /// The same as a question of somebody who tells nobody of it: nothing is counted.
    pub(crate) fn could_receive(&mut self, conn: ConnId, topic: &str) -> bool {
        self.hold_anew(conn);
        let Some(permissions) = self.permissions.as_mut() else { return true };
        let standing = self.connections.get(conn).and_then(|connection| connection.standing.as_ref());
        let Some(held) = standing.and_then(|standing| standing.held.as_ref()) else { return false };
        permissions.memory.check(&held.holder, &Ask::new(Action::Receive, topic)).is_allowed
    }

    /// The highest QoS that the client is granted.
    pub(crate) fn qos_max(&mut self, conn: ConnId) -> QoS {
        self.hold_anew(conn);
        let connection = self.connections.get(conn).filter(|_| self.permissions.is_some());
        let standing = connection.and_then(|connection| connection.standing.as_ref());
        let qos_max = standing.and_then(|standing| standing.held.as_ref()?.holder.limits().qos_max);
        qos_max.and_then(|qos_max| QoS::try_from(qos_max).ok()).unwrap_or(QoS::ExactlyOnce)
    }

    /// The grant is another one.
    pub(crate) fn forget_held(&mut self, conn: ConnId) {
        if let Some(standing) = self.standing(conn) {
            standing.held = None;
            standing.source = None;
        }
    }

    fn tell_of(
        &mut self,
        (conn, client_id): (ConnId, Option<&str>),
        ask: &Ask<'_>,
        verdict: &Verdict,
        turn: &mut Turn<'_>,
    ) {
        let user = self.user_at(conn);
        let Some(permissions) = self.permissions.as_ref() else { return };
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let session = connection.session();
        let Some(standing) = connection.standing.as_mut() else { return };
        let Some(held) = standing.held.as_mut() else { return };
        let action = if !verdict.is_allowed && held.denies_retain(ask) { Action::Retain } else { ask.action };
        let counter = match action {
            _ if verdict.is_allowed => &mut self.counters.denied_by_shadow,
            Action::Will => &mut self.counters.denied_will,
            Action::Subscribe => &mut self.counters.denied_subscribe,
            // The message is lost with it, and counts as that.
            Action::Publish | Action::Retain | Action::Receive | Action::Admin => &mut 0,
        };
        *counter += 1;
        // Of what the broker says of itself one line tells for all.
        let is_of_broker = action == Action::Receive && is_of_server(ask.topic.as_bytes());
        let topic = if is_of_broker { "$SYS" } else { ask.topic };
        if !held.is_first(permissions.hasher.hash_one((action as u8, topic))) {
            return;
        }
        let shadow = held.holder.explain_shadow(verdict).filter(|_| verdict.is_allowed);
        let denial = Denial {
            user: user.clone(),
            action: action.word(),
            topic: ask.topic.into(),
            is_shadow: shadow.is_some(),
            because: shadow.unwrap_or_else(|| held.holder.explain(verdict)).to_string().into(),
        };
        let of_session = || session.map(|session| Arc::clone(&self.sessions[session].client_id));
        let client_id = client_id.map(Arc::from).or_else(of_session);
        let what = What::Denied(Box::new(denial));
        turn.push(Effect::Note(Note { conn: Some(conn), client_id, user, what }));
    }

    pub(crate) fn revoke(&mut self, key: SessionKey, filter: &str, turn: &mut Turn<'_>) {
        self.counters.subscriptions_revoked += 1;
        self.sessions[key].filters.remove(filter);
        self.keep_unsubscribed(key, filter);
        self.remove_subscription(key, filter, turn);
    }
}

/// Lines of the log for what one client is denied, until the rules change.
const NOTED_MAX: usize = 32;

//! Who clients are and what they may do: questions of the shards, and what an operator changes. Everybody may do everything
//! all the time, so that whatever is lost or refused is a mistake.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use access::{Fallback, Rules};
use shard::{Answer, Ask, Bans, Config, ConnId, Event, Grant, Look, Matching, Revision, Rights, Seen};

use super::{Phase, World};
use crate::{agenda::Action, fault::Fault, ledger::Oracle};

impl World {
    pub(super) fn ask_about(&mut self, core: usize, conn: ConnId, ask: &Ask) {
        if !self.settings.config.doors.iter().any(|door| door.asks) {
            return self.illegal(core, format!("a question about {conn:?} where nobody is asked about"));
        }
        self.trace.record(self.now, format_args!("{core} -> who is {conn:?}, {:?}", ask.client_id));
        let role = if self.random.percent(50) { USUAL } else { OTHER };
        let grant = Grant {
            by: Some(PROVIDER),
            user: Some(user_of(&ask.client_id)),
            roles: [role.into()].into(),
            is_authenticated: true,
            ..Grant::default()
        };
        let lasts = self.random.percent(20).then_some(LONGER_THAN_A_RUN);
        let answer = Answer::Accept { grant: Arc::new(grant), lasts, data: None };
        self.asked.push((core, conn, Box::new(answer)));
        self.plan_in(self.settings.answer_us_max, Action::Answer(self.asked.len() - 1));
    }

    /// The connection may be gone meanwhile.
    pub(super) fn answer(&mut self, question: usize) {
        let (core, conn, answer) = self.asked[question].clone();
        self.handle(core, Event::Authenticated { conn, answer });
    }

    pub(super) fn plan_renewal(&mut self, core: usize) {
        let after = Duration::from_micros(self.random.below(self.settings.renewal_us_max));
        self.agenda.plan(self.now + after, Action::Renew(core));
    }

    pub(super) fn renew(&mut self, core: usize) {
        if self.phase != Phase::Acting {
            return;
        }
        if !self.is_down {
            match self.random.below(6) {
                0 | 1 => {
                    let rules = self.other_rules();
                    self.handle(core, Event::Rules(rules));
                }
                2 => self.handle(core, Event::Bans(bans_of_nobody())),
                3 | 4 => {
                    let revision = self.revision();
                    self.handle(core, Event::Revised(Arc::new(revision)));
                }
                _ => {
                    let config = self.other_config();
                    self.handle(core, Event::Config(Box::new(config)));
                }
            }
            self.look_at(core);
        }
        self.plan_renewal(core);
    }

    fn other_rules(&mut self) -> Option<Rules> {
        if self.fault == Some(Fault::DenyAll) {
            return Some(Rules::builder(Fallback::Deny).build());
        }
        let asks = self.settings.config.doors.iter().any(|door| door.asks);
        match self.random.below(3) {
            0 => None,
            1 => Some(Rules::builder(Fallback::Allow).build()),
            // Nobody has a role where nobody is asked.
            _ if !asks => Some(Rules::builder(Fallback::Deny).layer(layer(&everyone())).build()),
            _ => Some(Rules::builder(Fallback::Deny).layer(layer(&roles())).build()),
        }
    }

    /// Some clients have another role, which may do the same.
    fn revision(&mut self) -> Revision {
        let mut users = BTreeMap::new();
        for client in 0..self.clients.len() {
            if self.random.percent(50) {
                let role = if self.random.percent(50) { USUAL } else { OTHER };
                let rights = Rights { groups: Box::default(), roles: [role.into()].into() };
                users.insert((*user_of(&self.clients[client].client_id)).into(), Ok(rights));
            }
        }
        Revision::Users { by: PROVIDER.into(), users }
    }

    fn other_config(&mut self) -> Config {
        let mut config = self.settings.config.clone();
        config.limits.recorded_packets = *self.random.pick(&[0, 3, 16]);
        config.limits.connect_timeout += Duration::from_secs(self.random.below(2));
        config.store_epoch_ms = self.settings.store.map(|_| self.epoch_ms());
        config
    }

    /// Whoever looks sees what is there, and changes nothing.
    fn look_at(&mut self, core: usize) {
        let shard = &self.cores[core].shard;
        let (mut seen, mut after) = (0, None);
        loop {
            let look = Look::Clients { matching: Matching::default(), after, most: 3 };
            let Seen::Clients(page) = shard.look(self.shard_now(), &look) else { return };
            seen += page.rows.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let sessions = shard.gauges().sessions;
        if seen != sessions {
            let what = format!("shard {core} shows {seen} clients and has {sessions} sessions");
            self.ledger.fail(Oracle::Counters, what);
        }
    }
}

fn bans_of_nobody() -> Arc<Bans> {
    let nobody = |name: &str| (name.into(), None);
    Arc::new(Bans { client_ids: vec![nobody("nobody")], users: vec![nobody("nobody")], ..Bans::default() })
}

fn user_of(client_id: &str) -> Arc<str> {
    // Clients without an id share a user.
    let end = client_id.find('/').unwrap_or(client_id.len());
    client_id[..end].into()
}

fn layer(text: &str) -> access::Layer {
    access::own::parse("rules", text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn everyone() -> String {
    format!("everyone = [\"{USUAL}\"]\n[roles.{USUAL}]\n{ALL}\n")
}

fn roles() -> String {
    format!("[roles.{USUAL}]\n{ALL}\n[roles.{OTHER}]\n{ALL}\n")
}

const PROVIDER: &str = "book";
const USUAL: &str = "usual";
const OTHER: &str = "other";
const ALL: &str =
    "rules = [ { allow = \"readwrite\", topics = \"#\" }, { allow = \"readwrite\", topics = \"$dev/#\" } ]";
const LONGER_THAN_A_RUN: Duration = Duration::from_secs(100_000);

//! Who is banned, in words: by which ban, for how long, and how it is lifted.

use core::net::IpAddr;

use super::{Says, Step, Steps, comings::is_word, words};
use crate::{
    Instant, Shard,
    look::{BanSeen, BannedBy, BarredSeen, ComingsSeen, Presence},
    losses::{TOPIC_BYTES_MAX, cut},
};

impl Shard {
    /// By its client id; by its user and address as they are, or were when it was here or came last.
    pub(crate) fn bans_on(&self, client_id: &str, now: Instant) -> Vec<BanSeen> {
        let Some(barred) = self.barred.as_deref() else { return Vec::new() };
        let session = self.sessions.find(client_id);
        let conn = session.and_then(|key| self.sessions[key].conn);
        let grant = conn.and_then(|conn| self.grant_of(conn));
        let departure = self.departures.of(client_id, session.is_some()).filter(|_| conn.is_none());
        let refused = self.departures.refused.get(client_id).map(|refusals| refusals.seen(now));
        let refused = refused.as_ref().and_then(|refused| refused.latest()).filter(|_| conn.is_none());
        let known = grant.or_else(|| departure?.grant.as_ref()).and_then(|grant| grant.user.as_deref());
        let mut users: Vec<&str> =
            known.into_iter().chain(refused.and_then(|it| it.user.as_deref())).collect();
        users.dedup();
        let address = grant.and_then(|grant| grant.address).or_else(|| departure?.address);
        let mut addresses: Vec<IpAddr> =
            address.into_iter().chain(refused.and_then(|it| it.address)).collect();
        addresses.dedup();

        let of_client = barred.client(client_id, now).map(|ends| (BannedBy::ClientId, ends));
        let of_users =
            users.into_iter().filter_map(|user| Some((BannedBy::User(user.into()), barred.user(user, now)?)));
        let of_addresses = addresses.into_iter().filter_map(|ip| {
            let (network, ends) = barred.network(ip, now)?;
            Some((BannedBy::Address { ip, network }, ends))
        });
        let bans = of_client.into_iter().chain(of_users).chain(of_addresses);
        bans.map(|(by, ends)| BanSeen { by, ends_in: ends.at.map(|at| at.since(now)) }).collect()
    }

    pub(super) fn add_bans(&self, client_id: &str, now: Instant, steps: &mut Steps) {
        steps.steps.extend(self.bans_on(client_id, now).iter().map(|ban| ban.step(client_id)));
    }
}

impl BanSeen {
    /// Without a stop.
    pub fn text(&self) -> String {
        let lasts = self.ends_in.map_or("for ever".to_owned(), |span| format!("for another {}", words(span)));
        match &self.by {
            BannedBy::ClientId => format!(
                "this client id is banned {lasts}: it is not let in, and what it had to say is refused with that"
            ),
            BannedBy::User(user) => {
                let user = cut(user, TOPIC_BYTES_MAX);
                format!("the user {user} is banned {lasts}, as whom it was here or came last")
            }
            BannedBy::Address { ip, network } => {
                format!("nobody is let in from {ip}, where it was last: {network} is banned {lasts}")
            }
        }
    }

    /// The command that lifts it. A name that a shell would take apart is looked up.
    pub fn lifted_by(&self, client_id: &str) -> String {
        let lift = |flag: &str, name: &str| match is_word(name) {
            true => format!("iothub ban remove {flag} {name}"),
            false => "iothub ban list".to_owned(),
        };
        match &self.by {
            BannedBy::ClientId => lift("-i", client_id),
            BannedBy::User(user) => lift("-u", user),
            BannedBy::Address { network, .. } => lift("-a", &network.to_string()),
        }
    }

    fn step(&self, client_id: &str) -> Step {
        Step {
            about: "ban",
            says: Says::No,
            text: self.text().into(),
            place: Some(self.lifted_by(client_id).into()),
            ago: None,
        }
    }
}

impl BarredSeen {
    /// Of two shards, which have the same networks.
    pub(crate) fn and(self, other: BarredSeen) -> BarredSeen {
        let BarredSeen { networks, closed, last } = self;
        BarredSeen { networks, closed: closed + other.closed, last: last.max(other.last) }
    }

    /// Without a stop.
    pub fn text(&self) -> String {
        let BarredSeen { networks, closed, .. } = self;
        format!(
            "bans of addresses ({networks}) have closed connections ({closed} since the start) before these said a client id: its own may be \
             among them"
        )
    }

    /// Where those that come next are seen.
    pub const PLACE: &str = "iothub ctl events --kind refused";

    fn step(&self) -> Step {
        Step {
            about: "ban",
            says: Says::Fact,
            text: self.text().into(),
            place: Some(BarredSeen::PLACE.into()),
            ago: None,
        }
    }
}

impl ComingsSeen {
    /// Where connections were closed since nobody knows of this client any more.
    pub fn barred(&self) -> Option<&BarredSeen> {
        let is_unknown = match self.presence {
            Some(Presence::Here { .. }) => false,
            Some(Presence::Gone { until, .. }) => self.barred.last.is_some_and(|last| last >= until),
            None => self.refused.is_none(),
        };
        let has_closed = self.barred.networks > 0 && self.barred.closed > 0;
        (is_unknown && has_closed && self.bans.is_empty()).then_some(&self.barred)
    }

    /// What its home has not said, where all others are heard.
    pub fn steps_with(&self, others: impl IntoIterator<Item = ComingsSeen>, client_id: &str) -> Vec<Step> {
        let is_told = self.refused.is_some();
        let whole = ComingsSeen { refused: None, ..self.clone() }.with(others);
        let refused = whole.refused.as_ref().map(|refused| refused.step(client_id, whole.presence));
        let barred = whole.barred().filter(|_| !is_told).map(BarredSeen::step);
        refused.into_iter().chain(barred).collect()
    }
}

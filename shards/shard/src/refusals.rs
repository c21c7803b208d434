//! Clients that are not let in: how often, why and from where, by the client id that each says is its own. Anybody may say that, so this
//! tells something to whoever asks, and nothing goes by it.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use crate::{
    Claim, IS_WATCHED, Instant, Note, Shard, What,
    departures::Departures,
    look::{ComingsSeen, Presence, RefusedSeen},
    losses::{CLIENT_ID_BYTES_MAX, cut},
};

/// Of one client id, since the first of them that is remembered.
pub(crate) struct Refusals {
    count: u64,
    first: Instant,
    last: Instant,
    /// Of the last one, as all that follows.
    why: Cow<'static, str>,
    user: Option<Box<str>>,
    /// As far as the shard has heard of it.
    address: Option<IpAddr>,
}

impl Refusals {
    fn seen(&self, now: Instant) -> RefusedSeen {
        RefusedSeen {
            count: self.count,
            last: self.last,
            first_ago: now.since(self.first),
            last_ago: now.since(self.last),
            why: (*self.why).into(),
            user: self.user.clone(),
            address: self.address,
        }
    }
}

impl Departures {
    fn refuse(&mut self, claim: &Claim, why: Cow<'static, str>, now: Instant) {
        let client_id = &*claim.client_id;
        if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX {
            return;
        }
        let before = self.refused.take(client_id);
        let refusals = Refusals {
            count: before.as_ref().map_or(1, |before| before.count + 1),
            first: before.map_or(now, |before| before.first),
            last: now,
            why: kept(why),
            user: claim.user_name.as_deref().map(|user| cut(user, USER_BYTES_MAX).into()),
            address: None,
        };
        self.refused.put(&Arc::from(client_id), refusals, WHY_BYTES_MAX + USER_BYTES_MAX);
    }
}

impl RefusedSeen {
    /// By a shard that is not the client's home, before it was let in there: that is over. Only its home forgets it then.
    fn is_over(&self, presence: Option<Presence>) -> bool {
        let (Some(Presence::Here { since }) | Some(Presence::Gone { since, .. })) = presence else {
            return false;
        };
        self.last < since
    }

    /// Of two shards, the last refusal before all.
    pub fn and(self, other: RefusedSeen) -> RefusedSeen {
        let (last, earlier) = if self.last >= other.last { (self, other) } else { (other, self) };
        let (count, first_ago) = (last.count + earlier.count, last.first_ago.max(earlier.first_ago));
        RefusedSeen { count, first_ago, ..last }
    }
}

impl ComingsSeen {
    /// What other shards than the client's home have refused, and is not over.
    pub fn elsewhere(
        presence: Option<Presence>,
        refused: impl IntoIterator<Item = RefusedSeen>,
    ) -> Option<RefusedSeen> {
        refused.into_iter().filter(|refused| !refused.is_over(presence)).reduce(RefusedSeen::and)
    }

    /// What its home knows, and what the others have refused.
    pub fn with(self, refused: impl IntoIterator<Item = RefusedSeen>) -> ComingsSeen {
        let elsewhere = ComingsSeen::elsewhere(self.presence, refused);
        ComingsSeen { refused: self.refused.into_iter().chain(elsewhere).reduce(RefusedSeen::and), ..self }
    }
}

/// What stands in the program costs nothing.
fn kept(why: Cow<'static, str>) -> Cow<'static, str> {
    match why {
        Cow::Owned(long) if long.len() > WHY_BYTES_MAX => cut(&long, WHY_BYTES_MAX).to_owned().into(),
        why => why,
    }
}

impl Shard {
    /// A connection ends before it is a client's.
    pub(crate) fn note_refusal(&mut self, what: &What, now: Instant) {
        if let What::Refused { why, claim: Some(claim), .. } = what
            && IS_WATCHED
        {
            self.departures.refuse(claim, why.clone(), now);
        }
    }

    /// Whoever the note is about was there. It comes in the same turn, and nothing else does.
    pub fn locate(&mut self, note: &Note, ip: IpAddr) {
        match (&note.what, &note.client_id) {
            (What::Refused { claim: Some(claim), .. }, _) => {
                if let Some(refusals) = self.departures.refused.get_mut(&claim.client_id) {
                    refusals.address = Some(ip);
                }
            }
            (What::TakenOver, Some(client_id)) => self.departures.locate_taken_over(client_id, ip),
            _ => {}
        }
    }

    /// Whoever was not let in before is now.
    pub(crate) fn forget_refusals(&mut self, client_id: &str) {
        self.departures.refused.take(client_id);
    }

    fn presence(&self, client_id: &str) -> Option<Presence> {
        let session = self.sessions.find(client_id);
        let conn = session.and_then(|session| self.sessions[session].conn);
        if let Some(connection) = conn.and_then(|conn| self.connections.get(conn)) {
            return Some(Presence::Here { since: connection.came_before() });
        }
        let departure = self.departures.of(client_id, session.is_some())?;
        Some(Presence::Gone { since: departure.came_before, until: departure.left_at })
    }

    /// How it comes, and whether it is let in.
    pub(crate) fn comings_seen(&self, client_id: &str, now: Instant) -> ComingsSeen {
        ComingsSeen {
            presence: self.presence(client_id),
            refused: self.departures.refused.get(client_id).map(|refusals| refusals.seen(now)),
            breaks: self.departures.breaks(client_id).and_then(|breaks| breaks.seen(now)),
        }
    }
}

/// Of what others than the program have to say.
const WHY_BYTES_MAX: usize = 160;
const USER_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(client_id: &str) -> Claim {
        Claim { client_id: client_id.into(), user_name: Some("u".repeat(60_000).into()) }
    }

    #[test]
    fn however_many_are_refused_and_whatever_they_say_memory_is_bounded() {
        let mut departures = Departures::new(1);
        let why: Cow<'static, str> = "w".repeat(60_000).into();
        for n in 0..5000 {
            departures.refuse(&claim(&format!("{n:0CLIENT_ID_BYTES_MAX$}")), why.clone(), Instant::START);
            departures.refuse(&claim(&format!("{n:0300}")), why.clone(), Instant::START);
        }
        let kept =
            departures.refused.get(&format!("{:0CLIENT_ID_BYTES_MAX$}", 4999)).expect("it is the last");
        assert_eq!(
            (kept.why.len(), kept.user.as_deref().map(str::len)),
            (WHY_BYTES_MAX, Some(USER_BYTES_MAX))
        );
        assert_eq!(departures.refused.len(), 1024, "as many as are promised");
        assert!(departures.refused.bytes() <= 1 << 20);
        assert!(departures.refused.get(&format!("{:0300}", 4999)).is_none());
    }

    #[test]
    fn one_that_is_refused_again_and_again_has_one_place() {
        let mut departures = Departures::new(1);
        for n in 0..10_000 {
            departures.refuse(&claim("c"), "no".into(), Instant::START.add_secs(n));
        }
        departures.refuse(&claim(""), "no".into(), Instant::START);
        assert_eq!(departures.refused.len(), 1);
        let seen = departures.refused.get("c").map(|it| it.seen(Instant::START.add_secs(10_000)));
        let seen = seen.expect("it is there");
        assert_eq!((seen.count, seen.first_ago.as_secs(), seen.last_ago.as_secs()), (10_000, 10_000, 1));
    }
}

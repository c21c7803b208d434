//! Clients that are not let in: how often, why and from where, by the client id that each says is its own. Anybody may say that, so this
//! tells something to whoever asks, and nothing goes by it.

use std::{borrow::Cow, net::IpAddr};

use mqtt::ReasonCode;

use crate::{
    Claim, IS_WATCHED, Instant, Note, Shard, What,
    departures::Departures,
    look::{BarredSeen, ComingsSeen, Presence, RefusalSeen, RefusedSeen},
    losses::{CLIENT_ID_BYTES_MAX, cut},
};

/// Of one client id, since the first of them that is remembered. What says that it has to wait hides nothing of why it is not let in.
#[derive(Default)]
pub(crate) struct Refusals {
    cause: Option<Refusal>,
    wait: Option<Refusal>,
}

struct Refusal {
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
    fn of_kind(&mut self, reason: ReasonCode) -> &mut Option<Refusal> {
        if is_wait(reason) { &mut self.wait } else { &mut self.cause }
    }

    fn bytes(&self) -> usize {
        self.cause.iter().chain(&self.wait).map(Refusal::bytes).sum()
    }

    pub fn seen(&self, now: Instant) -> RefusedSeen {
        let seen = |refusal: &Option<Refusal>| refusal.as_ref().map(|refusal| refusal.seen(now));
        RefusedSeen { cause: seen(&self.cause), wait: seen(&self.wait) }
    }
}

impl Refusal {
    fn bytes(&self) -> usize {
        self.why.len() + self.user.as_ref().map_or(0, |user| user.len())
    }

    fn seen(&self, now: Instant) -> RefusalSeen {
        RefusalSeen {
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
    fn refuse(&mut self, claim: &Claim, (reason, why): (ReasonCode, Cow<'static, str>), now: Instant) {
        let client_id = &*claim.client_id;
        if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX {
            return;
        }
        let mut refusals = self.refused.get_mut(client_id).map(std::mem::take).unwrap_or_default();
        let of_kind = refusals.of_kind(reason);
        *of_kind = Some(Refusal {
            count: of_kind.as_ref().map_or(1, |before| before.count + 1),
            first: of_kind.as_ref().map_or(now, |before| before.first),
            last: now,
            why: kept(why),
            user: claim.user_name.as_deref().map(|user| cut(user, USER_BYTES_MAX).into()),
            address: None,
        });
        let bytes = refusals.bytes();
        self.refused.put(client_id, refusals, bytes);
    }

    /// From there it has just been refused.
    fn locate_refused(&mut self, client_id: &str, reason: ReasonCode, ip: IpAddr) {
        let refusals = self.refused.get_mut(client_id);
        if let Some(refusal) = refusals.and_then(|refusals| refusals.of_kind(reason).as_mut()) {
            refusal.address = Some(ip);
        }
        self.refused.locate(client_id, ip);
    }
}

/// It tells of the moment and of the broker, and not of the client: of a rate, of a place that was not there, of a program that did not answer.
fn is_wait(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::ConnectionRateExceeded
            | ReasonCode::ServerBusy
            | ReasonCode::ServerUnavailable
            | ReasonCode::QuotaExceeded
    )
}

impl RefusedSeen {
    pub(crate) fn latest(&self) -> Option<&RefusalSeen> {
        self.cause.iter().chain(&self.wait).max_by_key(|refusal| refusal.last)
    }

    pub(crate) fn last(&self) -> Option<Instant> {
        self.latest().map(|refusal| refusal.last)
    }

    /// What a shard knows that is not the client's home, and does not hear when it is let in there: what was before that is over. None:
    /// all of it.
    fn after(self, presence: Option<Presence>) -> Option<RefusedSeen> {
        let (Some(Presence::Here { since }) | Some(Presence::Gone { since, .. })) = presence else {
            return Some(self);
        };
        let [cause, wait] = [self.cause, self.wait].map(|refusal| refusal?.after(since));
        (cause.is_some() || wait.is_some()).then_some(RefusedSeen { cause, wait })
    }

    /// Of two shards.
    pub fn and(self, other: RefusedSeen) -> RefusedSeen {
        let both = |one: Option<RefusalSeen>, other| one.into_iter().chain(other).reduce(RefusalSeen::and);
        RefusedSeen { cause: both(self.cause, other.cause), wait: both(self.wait, other.wait) }
    }
}

impl RefusalSeen {
    /// Of some that began before, the last alone is known to be of the time after it.
    fn after(self, since: Instant) -> Option<RefusalSeen> {
        if self.last < since {
            return None;
        }
        let began_before = self.first_ago.saturating_sub(self.last_ago) > self.last.since(since);
        Some(match began_before {
            true => RefusalSeen { count: 1, first_ago: self.last_ago, ..self },
            false => self,
        })
    }

    /// Of two shards, the last before all.
    fn and(self, other: RefusalSeen) -> RefusalSeen {
        let (last, earlier) = if self.last >= other.last { (self, other) } else { (other, self) };
        let (count, first_ago) = (last.count + earlier.count, last.first_ago.max(earlier.first_ago));
        RefusalSeen { count, first_ago, ..last }
    }
}

impl ComingsSeen {
    /// What its home knows, and what others do: of those refusals those that are not over.
    pub fn with(self, others: impl IntoIterator<Item = ComingsSeen>) -> ComingsSeen {
        others.into_iter().fold(self, |home, other| {
            let elsewhere = other.refused.and_then(|refused| refused.after(home.presence));
            let refused = home.refused.into_iter().chain(elsewhere).reduce(RefusedSeen::and);
            ComingsSeen { refused, barred: home.barred.and(other.barred), ..home }
        })
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
        if let What::Refused { reason, why, claim: Some(claim) } = what
            && IS_WATCHED
        {
            self.departures.refuse(claim, (*reason, why.clone()), now);
        }
    }

    /// Whoever the note is about was there. It comes in the same turn, and nothing else does.
    pub fn locate(&mut self, note: &Note, ip: IpAddr) {
        match (&note.what, &note.client_id) {
            (What::Refused { reason, claim: Some(claim), .. }, _) => {
                self.departures.locate_refused(&claim.client_id, *reason, ip);
            }
            (What::TakenOver, Some(client_id)) => self.departures.locate_taken_over(client_id, ip),
            _ => {}
        }
    }

    /// Whoever was not let in before is now.
    pub(crate) fn forget_refusals(&mut self, client_id: &str) {
        self.departures.refused.remove(client_id);
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
            bans: self.bans_on(client_id, now),
            barred: BarredSeen {
                networks: self.barred.as_ref().map_or(0, |barred| barred.networks(now)),
                closed: self.departures.barred.count,
                last: self.departures.barred.last,
            },
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

    const NO: ReasonCode = ReasonCode::BadUserNameOrPassword;
    const LATER: ReasonCode = ReasonCode::ConnectionRateExceeded;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn refuse(departures: &mut Departures, client_id: &str, (reason, ip): (ReasonCode, IpAddr)) {
        departures.refuse(&claim(client_id), (reason, "no".into()), Instant::START);
        departures.locate_refused(client_id, reason, ip);
    }

    #[test]
    fn however_many_are_refused_and_whatever_they_say_memory_is_bounded() {
        let mut departures = Departures::new(1);
        let why: Cow<'static, str> = "w".repeat(60_000).into();
        for n in 0..5000 {
            for client_id in [format!("{n:0CLIENT_ID_BYTES_MAX$}"), format!("{n:0300}")] {
                for reason in [NO, LATER] {
                    departures.refuse(&claim(&client_id), (reason, why.clone()), Instant::START);
                    departures.locate_refused(
                        &client_id,
                        reason,
                        IpAddr::from([10, 0, n as u8, (n / 256) as u8]),
                    );
                }
            }
        }
        let kept =
            departures.refused.get(&format!("{:0CLIENT_ID_BYTES_MAX$}", 4999)).expect("it is the last");
        assert_eq!(kept.bytes(), 2 * (WHY_BYTES_MAX + USER_BYTES_MAX));
        assert_eq!(departures.refused.len(), 1024, "as many as are promised");
        assert!(departures.refused.bytes() <= 5 << 18);
        assert!(departures.refused.get(&format!("{:0300}", 4999)).is_none());
    }

    #[test]
    fn one_address_that_comes_with_any_number_of_ids_pushes_nobody_out() {
        let mut departures = Departures::new(1);
        let devices = (0..100).map(|n| (format!("device {n}"), ip(n)));
        devices.clone().for_each(|(device, ip)| refuse(&mut departures, &device, (NO, ip)));
        for n in 0..10_000 {
            let reason = if n % 2 == 0 { NO } else { LATER };
            refuse(&mut departures, &format!("flood {n}"), (reason, ip(200)));
        }
        assert!(devices.clone().all(|(device, _)| departures.refused.get(&device).is_some()));
        assert_eq!(departures.refused.len(), 1024);
        let flooded =
            (0..10_000).rev().take_while(|n| departures.refused.get(&format!("flood {n}")).is_some());
        assert_eq!(flooded.count(), 924, "of the flood the last are known, as far as there is room");
    }

    #[test]
    fn one_that_is_refused_again_and_again_has_one_place() {
        let mut departures = Departures::new(1);
        for n in 0..10_000 {
            departures.refuse(&claim("c"), (NO, "no".into()), Instant::START.add_secs(n));
        }
        departures.refuse(&claim(""), (NO, "no".into()), Instant::START);
        assert_eq!(departures.refused.len(), 1);
        let seen = departures.refused.get("c").map(|it| it.seen(Instant::START.add_secs(10_000)));
        let seen = seen.and_then(|seen| seen.cause).expect("it is there");
        assert_eq!((seen.count, seen.first_ago.as_secs(), seen.last_ago.as_secs()), (10_000, 10_000, 1));
    }
}

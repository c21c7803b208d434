//! Who was here last: clients that left, sessions that ended with the last packets of their clients, and who was not let in, so that
//! who asks afterwards is answered.
//!
//! They stand by client id in lists with limits of their own: however many clients come and go with their sessions, or are refused, those
//! whose sessions ended are not pushed out. The oldest make way, and of those who were refused the oldest of whoever has the most. Clients with long ids are in none, because a few of them would take the room
//! of all others.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use crate::{
    ConnId, Grant, IS_WATCHED, Instant, ReasonCode, Shard, What, breaks::Breaks, connect::is_made_here,
    latest::Latest, recorder::Recorder, refusals::Refusals, shares::Shares,
};

/// How a client was here, and how it left.
pub(crate) struct Departure {
    /// Its connection began before that, and not a second earlier.
    pub came_before: Instant,
    pub left_at: Instant,
    pub why: Cow<'static, str>,
    pub grant: Option<Arc<Grant>>,
    /// From where, as far as the shard has heard of it.
    pub address: Option<IpAddr>,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// With this one.
    pub breaks: Breaks,
}

impl Departure {
    /// Beyond itself. What several have in common counts for each of them.
    fn weight(&self) -> usize {
        self.why.len() + self.grant.as_ref().map_or(0, |grant| grant.weight())
    }
}

/// A session that is gone.
pub(crate) struct Ended {
    pub at: Instant,
    pub why: &'static str,
    /// None: how its client left is not known any more.
    pub departure: Option<Departure>,
    pub recorder: Option<Box<Recorder>>,
}

/// Of one shard.
pub(crate) struct Departures {
    /// Of sessions that went on.
    away: Latest<Departure>,
    ended: Latest<Ended>,
    pub refused: Shares<Refusals>,
    pub barred: Closed,
}

/// Connections that were closed for a ban of their address.
#[derive(Default)]
pub(crate) struct Closed {
    pub count: u64,
    pub last: Option<Instant>,
}

impl Departures {
    pub fn new(seed: u64) -> Departures {
        Departures {
            away: Latest::new(seed, AWAY_MAX, AWAY_BYTES_MAX),
            ended: Latest::new(seed, ENDED_MAX, ENDED_BYTES_MAX),
            refused: Shares::new(seed, REFUSED_MAX, REFUSED_BYTES_MAX),
            barred: Closed::default(),
        }
    }

    pub fn leave(&mut self, client_id: &Arc<str>, departure: Departure) {
        let bytes = departure.weight();
        self.away.put(client_id, departure, bytes);
    }

    /// Whoever was named by the broker comes back under another name: nobody asks for this one.
    pub fn end(
        &mut self,
        client_id: &Arc<str>,
        why: &'static str,
        recorder: Option<Box<Recorder>>,
        now: Instant,
    ) {
        let departure = self.away.take(client_id);
        if is_made_here(client_id) {
            return;
        }
        let said = departure.as_ref().map_or(0, Departure::weight);
        let bytes = said + recorder.as_ref().map_or(0, |recorder| recorder.bytes_max());
        self.ended.put(client_id, Ended { at: now, why, departure, recorder }, bytes);
    }

    /// From there it has just left.
    pub fn locate(&mut self, client_id: &str, ip: IpAddr) {
        if let Some(departure) = self.last_mut(client_id) {
            departure.address = Some(ip);
        }
    }

    /// From there it has just left, because another came.
    pub fn locate_taken_over(&mut self, client_id: &str, ip: IpAddr) {
        if let Some(departure) = self.last_mut(client_id) {
            departure.breaks.on_address(ip);
        }
    }

    fn last_mut(&mut self, client_id: &str) -> Option<&mut Departure> {
        match self.away.get_mut(client_id) {
            Some(departure) => Some(departure),
            None => self.ended.get_mut(client_id).and_then(|ended| ended.departure.as_mut()),
        }
    }

    /// How often it left, whatever became of its sessions.
    pub fn breaks(&self, client_id: &str) -> Option<&Breaks> {
        let ended = || self.ended.get(client_id)?.departure.as_ref();
        self.away.get(client_id).or_else(ended).map(|departure| &departure.breaks)
    }

    /// How it left last: the session that it has, or the one that has ended.
    pub fn of(&self, client_id: &str, has_session: bool) -> Option<&Departure> {
        match has_session {
            true => self.away.get(client_id),
            false => self.ended(client_id)?.departure.as_ref(),
        }
    }

    /// Of its session that ended last.
    pub fn recorder(&mut self, client_id: &str) -> Option<&mut Recorder> {
        self.ended.get_mut(client_id)?.recorder.as_deref_mut()
    }

    pub fn ended(&self, client_id: &str) -> Option<&Ended> {
        self.ended.get(client_id)
    }
}

impl Shard {
    /// The connection is about to end. What is granted to it is known for the last time.
    pub(crate) fn note_departure(&mut self, conn: ConnId, what: &What, now: Instant) {
        let Some(connection) = self.connections.get(conn).filter(|_| IS_WATCHED) else { return };
        let Some(session) = connection.session() else { return };
        let client_id = Arc::clone(&self.sessions[session].client_id);
        let listener = self.config.door(connection.door).map_or_else(|| "".into(), |door| door.name.clone());
        let (came_before, left_at) = (connection.came_before(), now);
        let grant = self.grant_of(conn).cloned();
        let address = grant.as_ref().and_then(|grant| grant.address);
        let breaks = self.departures.breaks(&client_id).copied().unwrap_or_else(|| Breaks::new(now));
        let breaks =
            if is_goodbye(what) { breaks } else { breaks.with_one(matches!(what, What::TakenOver), now) };
        let why = why_left(what);
        let departure = Departure { came_before, left_at, why, grant, address, listener, breaks };
        self.departures.leave(&client_id, departure);
    }
}

/// The client wanted to go, and nothing was wrong: no server says these reasons.
fn is_goodbye(what: &What) -> bool {
    let What::Disconnected { reason, .. } = what else { return false };
    matches!(reason, ReasonCode::Success | ReasonCode::DisconnectWithWill)
}

/// Why a client is gone, in words.
fn why_left(what: &What) -> Cow<'static, str> {
    match what {
        What::Disconnected { why, .. } => why.clone(),
        What::Violation { what, .. } => (*what).into(),
        What::QuotaExceeded { why } => (*why).into(),
        What::TakenOver => "another connection with its client id took its place".into(),
        _ => "its connection ended".into(),
    }
}

const ENDED_MAX: usize = 256;
const ENDED_BYTES_MAX: usize = 1 << 20;
const AWAY_MAX: usize = 1024;
const AWAY_BYTES_MAX: usize = 1 << 20;
const REFUSED_MAX: usize = 1024;
const REFUSED_BYTES_MAX: usize = 5 << 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::CLIENT_ID_BYTES_MAX;

    fn departure() -> Departure {
        let (came_before, left_at) = (Instant::START, Instant::START);
        let (breaks, why) = (Breaks::new(left_at), "left".into());
        Departure { came_before, left_at, why, grant: None, address: None, listener: "".into(), breaks }
    }

    #[test]
    fn clients_with_long_ids_push_nobody_out() {
        let mut departures = Departures::new(1);
        departures.leave(&"away".into(), departure());
        departures.end(&"gone".into(), "", None, Instant::START);
        for n in 0..100 {
            let client_id: Arc<str> = format!("{n}{}", "w".repeat(65_000)).into();
            departures.leave(&client_id, departure());
            assert!(departures.of(&client_id, true).is_none());
            departures.end(&client_id, "", None, Instant::START);
            assert!(departures.ended(&client_id).is_none());
        }
        assert!(departures.of("away", true).is_some() && departures.ended("gone").is_some());
    }

    #[test]
    fn so_many_are_known_as_are_promised_however_long_ids_may_be() {
        let mut departures = Departures::new(1);
        let client_id = |n: usize| Arc::from(format!("{n:0CLIENT_ID_BYTES_MAX$}"));
        (0..AWAY_MAX).for_each(|n| departures.leave(&client_id(n), departure()));
        assert!((0..AWAY_MAX).all(|n| departures.of(&client_id(n), true).is_some()));
    }

    #[test]
    fn what_was_granted_counts_as_what_it_takes() {
        let topics: Vec<String> = (0..100).map(|n| format!("{n}/{}", "x".repeat(100))).collect();
        let topics = topics.iter().map(|topic| topic.as_str()).collect();
        let permit = access::Permit { is_denial: false, actions: vec!["publish"], topics };
        let permits = Arc::new(access::Permits::new("a token", &[permit]).expect("they are rules"));
        let weight = permits.weight();
        let mut departures = Departures::new(1);
        for n in 0..100 {
            let grant = Arc::new(Grant { permits: Some(Arc::clone(&permits)), ..Grant::default() });
            let client_id: Arc<str> = format!("c{n}").into();
            departures.leave(&client_id, Departure { grant: Some(grant), ..departure() });
            if n % 2 == 0 {
                departures.end(&client_id, "", None, Instant::START);
            }
        }
        let Departures { away, ended, .. } = departures;
        assert!(away.len() * weight <= AWAY_BYTES_MAX, "{} of {weight}", away.len());
        assert!(away.len() + ended.len() > 50, "there is room for most of them");
        assert!(ended.bytes() > ended.len() * weight);
    }

    #[test]
    fn names_that_the_broker_made_are_not_remembered() {
        let mut departures = Departures::new(1);
        let made: Arc<str> = format!("iothub-{:032x}", 7).into();
        departures.end(&made, "", None, Instant::START);
        assert!(departures.ended(&made).is_none());
        departures.end(&"iothub-7".into(), "", None, Instant::START);
        assert!(departures.ended("iothub-7").is_some());
    }
}

//! Who was here last: clients that left, and sessions that ended with the last packets of their clients, so that who asks
//! afterwards is answered.
//!
//! They stand by client id in two lists with limits of their own: however many clients come and go with their sessions, those whose
//! sessions ended are not pushed out. The oldest make way. Clients with long ids are in neither, because a few of them would take the room
//! of all others.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, sync::Arc};

use hashbrown::HashMap;

use crate::{
    ConnId, Grant, IS_WATCHED, Instant, Shard, What, connect::is_made_here, losses::CLIENT_ID_BYTES_MAX,
    recorder::Recorder,
};

/// How a client was here, and how it left.
pub(crate) struct Departure {
    pub left_at: Instant,
    pub why: Cow<'static, str>,
    pub grant: Option<Arc<Grant>>,
    /// From where, as far as the shard has heard of it.
    pub address: Option<IpAddr>,
    /// The name of the listener.
    pub listener: Arc<str>,
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
}

impl Departures {
    pub fn new(seed: u64) -> Departures {
        Departures {
            away: Latest::new(seed, AWAY_MAX, AWAY_BYTES_MAX),
            ended: Latest::new(seed, ENDED_MAX, ENDED_BYTES_MAX),
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
        let away = self.away.get_mut(client_id);
        // A client is in one of them: it has just been put there.
        let departure = match away {
            Some(departure) => Some(departure),
            None => self.ended.get_mut(client_id).and_then(|ended| ended.departure.as_mut()),
        };
        if let Some(departure) = departure {
            departure.address = Some(ip);
        }
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

/// A bounded table by client id. What was put in first makes way.
struct Latest<T> {
    by_client_id: HashMap<Arc<str>, Held<T>, ahash::RandomState>,
    /// By the number of their coming.
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
    bytes: usize,
    most: usize,
    bytes_max: usize,
}

struct Held<T> {
    number: u64,
    bytes: usize,
    value: T,
}

impl<T> Latest<T> {
    fn new(seed: u64, most: usize, bytes_max: usize) -> Latest<T> {
        let hasher = ahash::RandomState::with_seeds(seed, 25, 26, 27);
        let by_client_id = HashMap::with_hasher(hasher);
        Latest { by_client_id, order: BTreeMap::new(), next: 0, bytes: 0, most, bytes_max }
    }

    /// `bytes`: what the value holds beyond itself. Nobody makes way for what has too long a name, or is too much alone.
    fn put(&mut self, client_id: &Arc<str>, value: T, bytes: usize) {
        self.take(client_id);
        let bytes = bytes + client_id.len() + size_of::<Held<T>>() + ORDER_BYTES;
        if client_id.len() > CLIENT_ID_BYTES_MAX || bytes > self.bytes_max {
            return;
        }
        let number = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.by_client_id.insert(Arc::clone(client_id), Held { number, bytes, value });
        self.order.insert(number, Arc::clone(client_id));
        while (self.order.len() > self.most || self.bytes > self.bytes_max)
            && let Some((_, oldest)) = self.order.pop_first()
        {
            let held = self.by_client_id.remove(&oldest).expect("who has a number is held");
            self.bytes -= held.bytes;
        }
    }

    fn take(&mut self, client_id: &str) -> Option<T> {
        let Held { number, bytes, value } = self.by_client_id.remove(client_id)?;
        self.order.remove(&number);
        self.bytes -= bytes;
        Some(value)
    }

    fn get_mut(&mut self, client_id: &str) -> Option<&mut T> {
        self.by_client_id.get_mut(client_id).map(|held| &mut held.value)
    }

    fn get(&self, client_id: &str) -> Option<&T> {
        self.by_client_id.get(client_id).map(|held| &held.value)
    }
}

impl Shard {
    /// The connection is about to end. What is granted to it is known for the last time.
    pub(crate) fn note_departure(&mut self, conn: ConnId, why: Cow<'static, str>, now: Instant) {
        let Some(connection) = self.connections.get(conn).filter(|_| IS_WATCHED) else { return };
        let Some(session) = connection.session() else { return };
        let client_id = Arc::clone(&self.sessions[session].client_id);
        let listener = self.config.door(connection.door).map_or_else(|| "".into(), |door| door.name.clone());
        let grant = self.grant_of(conn).cloned();
        let address = grant.as_ref().and_then(|grant| grant.address);
        self.departures.leave(&client_id, Departure { left_at: now, why, grant, address, listener });
    }
}

/// Why a client is gone, in words.
pub(crate) fn why_left(what: &What) -> Cow<'static, str> {
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
/// What standing in order costs.
const ORDER_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(latest: &Latest<u32>) -> Vec<&str> {
        latest.order.values().map(|client_id| &**client_id).collect()
    }

    #[test]
    fn the_oldest_makes_way_and_who_comes_again_is_the_latest() {
        let mut latest = Latest::new(1, 3, 1 << 20);
        for (value, client_id) in ["a", "b", "a", "c", "d"].into_iter().enumerate() {
            latest.put(&client_id.into(), value as u32, 0);
        }
        assert_eq!(ids(&latest), ["a", "c", "d"]);
        assert_eq!((latest.get("a"), latest.get("b")), (Some(&2), None));
        assert_eq!((latest.take("a"), latest.get("a")), (Some(2), None));
        for client_id in ["c", "d"] {
            latest.take(client_id);
        }
        assert_eq!((latest.bytes, latest.order.len(), latest.by_client_id.len()), (0, 0, 0));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut latest = Latest::new(1, 100, 10_000);
        for n in 0..50_u32 {
            latest.put(&format!("c{n}").into(), n, 1000);
            assert!(latest.bytes <= 10_000);
        }
        assert_eq!(ids(&latest).last(), Some(&"c49"));
        latest.put(&"huge".into(), 1, 20_000);
        assert_eq!(latest.get("huge"), None, "it alone is too much");
        assert_eq!(ids(&latest).last(), Some(&"c49"), "nobody makes way for it");
    }

    fn departure() -> Departure {
        let left_at = Instant::START;
        Departure { left_at, why: "left".into(), grant: None, address: None, listener: "".into() }
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
            let (why, listener) = ("".into(), "".into());
            let left_at = Instant::START;
            departures
                .leave(&client_id, Departure { left_at, why, grant: Some(grant), address: None, listener });
            if n % 2 == 0 {
                departures.end(&client_id, "", None, Instant::START);
            }
        }
        let Departures { away, ended } = departures;
        assert!(away.order.len() * weight <= AWAY_BYTES_MAX, "{} of {weight}", away.order.len());
        assert!(away.order.len() + ended.order.len() > 50, "there is room for most of them");
        assert!(ended.bytes > ended.order.len() * weight);
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

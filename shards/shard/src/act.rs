//! What an operator may have done to clients and to what the shard holds for them.

use std::sync::Arc;

use mqtt::{QoS, ReasonCode};

use crate::{
    Cause, ConnId, Effects, Instant, Message, Shard, What, confirm::Needs, ending::WillFate,
    keys::SessionKey, losses::Owner, message::Parts, publish::is_of_server, router::Carried, turn::Turn,
};

/// One order. Whoever is not here is no error: another shard may know it.
#[derive(Debug, Clone)]
pub enum Act {
    /// Ends the connection. The session lives on as if the network had failed.
    Disconnect { client_id: Box<str>, reason: ReasonCode },
    /// Ends the connection, if there is one, and the session with all that it holds.
    EndSession { client_id: Box<str> },
    /// Drops what waits for the client, but for what is in flight.
    PurgeQueue { client_id: Box<str> },
    /// Drops retained messages that match the filter, those of topics that this shard keeps.
    DropRetained { filter: Box<str>, after: Option<Box<str>> },
    /// For the shard that is home to the topic: it alone knows at once whether the message is retained.
    Publish { topic: Box<str>, payload: Box<[u8]>, qos: QoS, retain: bool, expiry_s: Option<u32> },
    /// Publishes what the server says of itself, retained: of all of it what belongs to topics that this shard keeps.
    Tell(Arc<[Told]>),
}

/// A topic within `$SYS/`, and what is to be read there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub topic: Box<str>,
    pub payload: Box<[u8]>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acted {
    /// Connections, sessions or messages that it was done to.
    pub count: usize,
    /// There is more, from behind this topic.
    pub next: Option<Box<str>>,
    /// There is more, by the same order once more.
    pub is_partial: bool,
    /// Why it was not done, where that is to be told.
    pub refused: Option<&'static str>,
    /// Why a message that was published is not retained, although it was to be.
    pub unretained: Option<Cause>,
    /// What it waits for, to be done for good.
    pub needs: Needs,
    /// Nothing is done: those who publish have more than their share of the way to another shard, and it may be tried again.
    pub is_held_back: bool,
}

impl Shard {
    /// Like an event, and a bounded piece of work like each of them.
    pub fn act(&mut self, now: Instant, act: Act, effects: &mut Effects) -> Acted {
        let turn = &mut Turn { now, effects };
        self.begin_answer();
        if self.drain.has_begun() {
            return Acted::refused("the broker is about to end, and takes nothing in any more");
        }
        match act {
            Act::Disconnect { client_id, reason } => {
                let session = self.sessions.find(&client_id);
                Acted::of(session.is_some_and(|session| self.disconnect(session, reason, turn)))
            }
            Act::EndSession { client_id } => {
                let Some(session) = self.sessions.find(&client_id) else { return Acted::default() };
                self.disconnect(session, ReasonCode::AdministrativeAction, turn);
                // One that was to end with its connection is gone by now.
                if let Some(session) = self.sessions.find(&client_id) {
                    self.end_session(session, "an operator has ended it", turn);
                }
                Acted::of(true)
            }
            Act::PurgeQueue { client_id } => {
                let session = self.sessions.find(&client_id);
                session.map_or_else(Acted::default, |session| self.purge_queue(session, now))
            }
            Act::DropRetained { filter, after } => self.drop_retained(&filter, after.as_deref(), turn),
            Act::Publish { topic, payload, qos, retain, expiry_s } => {
                let expires_at = expiry_s.map(|expiry_s| now.add_secs(u64::from(expiry_s)));
                self.publish_for_operator(
                    Parts {
                        topic: &topic,
                        qos,
                        retain,
                        expires_at,
                        retained_id: None,
                        forwarded: &[],
                        payload: &payload,
                    },
                    turn,
                )
            }
            Act::Tell(told) => self.tell(&told, turn),
        }
    }

    /// What cannot be stored is refused as it is to a client, and who publishes too much is held back as one is.
    fn publish_for_operator(&mut self, mut parts: Parts<'_>, turn: &mut Turn<'_>) -> Acted {
        let home = self.placement.topic(parts.topic);
        assert_eq!(home, self.id, "an operator publishes at the home of the topic");
        if self.post.is_congested() || self.post.holds_back(OPERATORS) {
            return Acted { is_held_back: true, ..Acted::default() };
        }
        let mut unretained = None;
        if let Some(lack) = self.store_lack() {
            if parts.qos != QoS::AtMostOnce {
                self.lose_of(Owner::Operators, lack.of_publish(), parts.topic, 1, turn.now);
                return Acted::refused(lack.text());
            }
            if std::mem::take(&mut parts.retain) {
                self.lose_retained(Owner::Operators, lack.of_retained(), parts.topic, turn);
                unretained = Some(lack.of_retained());
            }
        }
        let is_promised = parts.qos != QoS::AtMostOnce;
        let mut carried = Carried::new(parts);
        self.post.set_sender(Some(OPERATORS));
        let acted = Acted::of(self.publish(None, &mut carried, turn));
        self.post.set_sender(None);
        let needs = if is_promised { self.needed() } else { Needs::default() };
        Acted { needs, unretained: unretained.or(carried.unretained), ..acted }
    }

    /// Whether it is an operator's message that goes its way just now.
    pub(crate) fn publishes_for_operator(&self) -> bool {
        self.post.sender() == Some(OPERATORS)
    }

    /// Whether nothing is left to wait for before somebody is told that it was done. What has failed meanwhile is refused.
    pub fn is_settled(&self, acted: &mut Acted) -> bool {
        if self.is_met(acted.needs) {
            return true;
        }
        if self.has_store_failed() {
            *acted = Acted::refused("the store has failed before it had the message");
        }
        acted.refused.is_some()
    }

    /// At QoS 0: whoever misses one gets the next, and nothing of it is for those who are away.
    fn tell(&mut self, told: &[Told], turn: &mut Turn<'_>) -> Acted {
        let mut count = 0;
        for Told { topic, payload } in told {
            if self.placement.topic(topic) != self.id || !is_of_server(topic.as_bytes()) {
                continue;
            }
            let parts = Parts {
                topic,
                qos: QoS::AtMostOnce,
                retain: true,
                expires_at: None,
                retained_id: None,
                forwarded: &[],
                payload,
            };
            self.spread(None, &mut Carried::new(parts), turn);
            count += 1;
        }
        Acted { count, ..Acted::default() }
    }

    /// False: it has no connection.
    fn disconnect(&mut self, session: SessionKey, reason: ReasonCode, turn: &mut Turn<'_>) -> bool {
        let Some(conn) = self.sessions[session].conn else { return false };
        let why = "ended by the operator";
        let what = What::Disconnected { reason, why: why.into() };
        self.end_connection(conn, Some((reason, why)), what, WillFate::Publish, turn);
        true
    }

    fn purge_queue(&mut self, session: SessionKey, now: Instant) -> Acted {
        let mut count = 0;
        while count < PURGED_PER_TURN
            && let Some(popped) = self.pop_queued(session)
        {
            self.lose_popped(session, Cause::Purged, &popped, now);
            self.give_up(session, &popped);
            count += 1;
        }
        // Nobody waits for an answer that would have it stored.
        self.store.hurry();
        Acted { count, is_partial: count == PURGED_PER_TURN, ..Acted::default() }
    }

    /// [MQTT-3.3.1-6] As if somebody had published an empty message for each topic.
    fn drop_retained(&mut self, filter: &str, after: Option<&str>, turn: &mut Turn<'_>) -> Acted {
        let page = self.retained.page(filter, after, RETAINED_DROPPED_PER_TURN, turn.now);
        for message in &page.messages {
            let nothing = Parts { payload: &[], expires_at: None, forwarded: &[], ..message.parts() };
            let cleared = self.retain_here(Message::new(&nothing), None, turn);
            assert!(cleared.is_ok(), "nothing always has room");
        }
        Acted { count: page.messages.len(), next: page.next, ..Acted::default() }
    }
}

impl Acted {
    fn refused(why: &'static str) -> Acted {
        Acted { refused: Some(why), ..Acted::default() }
    }

    fn of(is_done: bool) -> Acted {
        Acted { count: usize::from(is_done), ..Acted::default() }
    }
}

/// All operators together are held back as one client is that publishes: they stand for it where slots of rings are counted.
const OPERATORS: ConnId = ConnId { slot: u32::MAX, generation: u32::MAX };

/// Messages of a queue that one order drops.
const PURGED_PER_TURN: usize = 1000;

/// Retained messages that one order drops.
const RETAINED_DROPPED_PER_TURN: usize = 200;

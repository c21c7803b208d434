//! The half of the way that ends at a receiver.

use std::borrow::Cow;

use access::{Action, Ask};
use mqtt::{QoS, RetainHandling, SubscriptionOptions};

use super::{
    Because, Outcome, Says, Step, Steps, Why,
    near::{near_miss, plain},
    user_words, words,
};
use crate::{
    Instant, Message, QueueFull, Shard, Side,
    connection::Connection,
    filters::{inner, is_shared},
    keys::SessionKey,
    losses::cut,
    message::Parts,
    mount::seen,
    outbound::{Load, Queued},
    rates::Flow,
    session::Session,
    takers::{Full, takers},
    trie::Subscription,
};

/// What the subscriptions of the session make of it.
struct Wanted {
    qos: QoS,
    is_shared_only: bool,
    /// The client is away, and in each group that brings it there is somebody here who is not.
    goes_to_others: bool,
}

impl Shard {
    /// Whether the client would get a message now, and what has become of the last ones.
    pub(crate) fn why_receive(&self, now: Instant, why: &Why) -> Because {
        let mut steps = Steps::default();
        let outcome = self.why_receive_now(now, why, &mut steps);
        let outcome = self.contradicted(outcome, why, now, &mut steps);
        let outcome = self.add_room(outcome, why, &mut steps);
        self.add_sent(now, &why.client_id, &why.topic, &mut steps);
        self.add_losses(now, (&why.client_id, Side::Out), &why.topic, &mut steps);
        let mut elsewhere = if why.other.is_none() { self.refused_on(now, &why.topic) } else { Vec::new() };
        elsewhere.extend(self.retained_on(&why.topic));
        let comings = self.comings_seen(&why.client_id, now);
        Because { elsewhere, comings, ..steps.because(outcome) }
    }

    fn why_receive_now(&self, now: Instant, why: &Why, steps: &mut Steps) -> Outcome {
        let most = self.config.limits.packet_bytes_max;
        if let Some(bytes) = self.beyond_packets(why) {
            let text = format!(
                "a message of {bytes} bytes on this topic exceeds packets of {most} bytes: nobody can publish it"
            );
            steps.add_at("size", Says::No, text, "server.max_packet_size");
            return Outcome::Stops;
        }
        let Some(key) = self.sessions.find(&why.client_id) else {
            self.add_bans(&why.client_id, now, steps);
            self.add_no_session(&why.client_id, now, steps);
            self.add_comings(&why.client_id, now, steps);
            return Outcome::Misses;
        };
        self.add_bans(&why.client_id, now, steps);
        let session = &self.sessions[key];
        let connection = session.conn.and_then(|conn| self.connections.get(conn));
        self.add_connection(session, connection, now, steps);
        self.add_comings(&why.client_id, now, steps);
        let Some(wanted) = self.add_subscriptions(key, why, now, steps) else { return Outcome::Misses };
        if wanted.goes_to_others {
            return Outcome::Misses;
        }
        if let Some(connection) = connection
            && !self.add_sight(session, connection, why, steps)
        {
            return Outcome::Stops;
        }
        let outcome = match connection {
            Some(connection) => self.add_delivery(key, connection, &wanted, why, steps),
            None => self.add_absence(key, &wanted, why, steps),
        };
        match outcome {
            Outcome::Goes | Outcome::Waits if wanted.is_shared_only => Outcome::Perhaps,
            outcome => outcome,
        }
    }

    /// Of a payload that no packet of this broker has room for.
    pub(super) fn beyond_packets(&self, why: &Why) -> Option<usize> {
        let most = self.config.limits.packet_bytes_max as usize;
        why.payload_bytes.filter(|bytes| bytes + why.topic.len() + PUBLISH_BYTES_LEAST > most)
    }

    /// Who does not say how large the message is, is told what has just become of others on the topic.
    fn contradicted(&self, outcome: Outcome, why: &Why, now: Instant, steps: &mut Steps) -> Outcome {
        if outcome != Outcome::Waits || why.payload_bytes.is_some() {
            return outcome;
        }
        let Some(loss) = self.last_full_queue(&why.client_id, &why.topic, now) else { return outcome };
        let (count, last, cause) = (loss.count, words(loss.last_ago), loss.cause.text());
        let text = format!(
            "but {count} on this topic were lost, the last {last} ago, because {cause}: one as large as those is lost, too"
        );
        steps.add("queue", Says::No, text);
        Outcome::Stops
    }

    fn add_no_session(&self, client_id: &str, now: Instant, steps: &mut Steps) {
        let Some(ended) = self.departures.ended(client_id) else {
            let text = match self.departures.refused.get(client_id) {
                Some(_) => "there is no session with this client id",
                None => {
                    "there is no session with this client id: it has not been here since the broker was started, \
                     was not let in, or its session has ended"
                }
            };
            return steps.add("session", Says::No, text);
        };
        let ago = now.since(ended.at);
        let (last, why) = (words(ago), ended.why);
        let text = format!("there is no session with this client id: it has ended {last} ago: {why}");
        steps.add("session", Says::No, text);
        self.add_departure(client_id, now, steps);
    }

    fn add_connection(
        &self,
        session: &Session,
        connection: Option<&Connection>,
        now: Instant,
        steps: &mut Steps,
    ) {
        steps.add("session", Says::Yes, format!("the session is on shard {}", self.id.0));
        let Some(connection) = connection else {
            let ends =
                session.ends_at.map_or("never".to_owned(), |at| format!("in {}", words(at.since(now))));
            let text = format!("the client is away; its session ends {ends}");
            steps.add("connection", Says::Later, text);
            return self.add_departure(&session.client_id, now, steps);
        };
        let grant = session.conn.and_then(|conn| self.grant_of(conn));
        let listener = self.config.door(connection.door).map_or("", |door| &*door.name);
        let (age, silent) = (words(connection.age(now)), words(now.since(connection.heard_at)));
        let who = user_words(grant);
        let text =
            format!("the client is connected {who} by {listener} for {age}, and was heard of {silent} ago");
        steps.add("connection", Says::Yes, text);
    }

    /// None: no subscription brings it.
    fn add_subscriptions(
        &self,
        key: SessionKey,
        why: &Why,
        now: Instant,
        steps: &mut Steps,
    ) -> Option<Wanted> {
        let session = &self.sessions[key];
        let matching = session.filters.iter().filter(|filter| mqtt::matches(inner(filter), &why.topic));
        let (mut qos, mut is_shared_only, mut count, mut local) = (None, true, 0, 0);
        let mut goes_to_others = true;
        for filter in matching {
            count += 1;
            let shared = is_shared(filter);
            let held =
                if shared { self.groups.member(filter, key) } else { self.trie.subscription(filter, key) };
            let options = held.map(|held| held.options).unwrap_or_default();
            let is_own = options.no_local && why.other.as_deref() == Some(&*session.client_id);
            local += usize::from(is_own);
            if !is_own {
                qos = qos.max(Some(options.qos));
                is_shared_only &= shared;
            }
            if count <= FILTERS_SHOWN {
                let says = if is_own { Says::No } else { Says::Yes };
                steps.add("subscription", says, subscription_words(filter, options, held.as_ref(), is_own));
                if shared {
                    steps.add("group", Says::Fact, self.groups.words(filter, |key| self.client_id_of(key)));
                }
            }
            goes_to_others &= shared && session.conn.is_none() && self.is_taken_by_others(filter, why.qos);
        }
        if count > FILTERS_SHOWN {
            steps.add("subscription", Says::Fact, format!("{} more filters match", count - FILTERS_SHOWN));
        }
        if count == 0 {
            add_near_misses(session, &why.topic, steps);
            self.add_wish(key, &why.topic, now, steps);
        }
        let Some(qos) = qos else {
            if local > 0 {
                let text = "the client publishes it itself, and each subscription that matches says No Local";
                steps.add("no_local", Says::No, text);
            }
            return None;
        };
        if goes_to_others {
            let text = "the client is away, and somebody else of the group is connected and can take messages: he gets them";
            steps.add("group", Says::No, text);
        }
        Some(Wanted { qos: qos.min(why.qos), is_shared_only, goes_to_others })
    }

    /// Of a topic that is kept here. Who has subscribed before has got what was retained then.
    fn retained_on(&self, topic: &str) -> Option<Step> {
        let message = self.retained.get(topic)?;
        let (bytes, qos) = (message.payload().len(), message.qos() as u8);
        let text = format!(
            "a message of {bytes} bytes at QoS {qos} is retained on this topic: a client gets it when it subscribes, as the \
             subscription's Retain Handling says, and by a shared subscription never"
        );
        Some(Step { about: "retained", says: Says::Fact, text: text.into(), place: None, ago: None })
    }

    /// Of the group: somebody who is connected here can take a message now or have it wait.
    fn is_taken_by_others(&self, name: &str, qos: QoS) -> bool {
        let takers = takers!(self);
        self.groups.has_connected(name, |member| {
            let qos = qos.min(member.options.qos);
            takers.can_send_at_once(member.session, qos)
                || takers.can_queue(member.session, qos, Load::default())
        })
    }

    fn client_id_of(&self, key: SessionKey) -> Option<&str> {
        self.sessions.get(key).map(|session| &*session.client_id)
    }

    /// False: the client may not see it, or cannot.
    fn add_sight(&self, session: &Session, connection: &Connection, why: &Why, steps: &mut Steps) -> bool {
        let standing = connection.standing.as_ref();
        let mut topic_bytes = why.topic.len();
        if let Some(mount) = standing.and_then(|standing| standing.mount.as_deref()) {
            let Some(seen) = seen(mount, &why.topic) else {
                let text =
                    format!("the topic is not beneath the mount point {mount} of the client's listener");
                steps.add_at("mount_point", Says::No, text, "listener.mount_point");
                return false;
            };
            topic_bytes = seen.len();
            steps.add_at(
                "mount_point",
                Says::Fact,
                format!("the client sees it as {seen}"),
                "listener.mount_point",
            );
        }
        if let Some(permissions) = self.permissions.as_deref() {
            let ask = Ask::new(Action::Receive, &why.topic);
            if !steps.add_ruling(permissions, connection, &self.config, &session.client_id, &ask) {
                return false;
            }
        }
        let most = connection.packet_bytes_max as usize;
        if why.payload_bytes.unwrap_or(0) + topic_bytes + PUBLISH_BYTES_LEAST > most {
            let what = match why.payload_bytes {
                Some(payload) => format!("a message of {payload} bytes"),
                None => "even an empty message".to_owned(),
            };
            let text =
                format!("{what} on this topic exceeds the client's maximum packet size of {most} bytes");
            steps.add("size", Says::No, text);
            return false;
        }
        if most < self.config.limits.packet_bytes_max as usize {
            let text = format!("the client takes packets of up to {most} bytes; larger ones are dropped");
            steps.add("size", Says::Fact, text);
        }
        true
    }

    fn add_delivery(
        &self,
        key: SessionKey,
        connection: &Connection,
        wanted: &Wanted,
        why: &Why,
        steps: &mut Steps,
    ) -> Outcome {
        let takers = takers!(self);
        if takers.can_send_at_once(key, wanted.qos) {
            steps.add("delivery", Says::Yes, format!("it is sent at once, at QoS {}", wanted.qos as u8));
            return Outcome::Goes;
        }
        let session = &self.sessions[key];
        let unsent = connection.unsent_bytes();
        if unsent >= self.config.limits.outbox_bytes_max {
            let text =
                format!("{unsent} bytes wait until the client's socket takes them: it reads too slowly");
            steps.add_at("socket", Says::Later, text, "session.max_outbox_bytes");
        } else if unsent >= takers.unsent_bytes_max() {
            let text =
                format!("the queues of all clients are full, and {unsent} bytes of this one's are not taken");
            steps.add_at("memory", Says::Later, text, "limits.max_queue_memory");
        }
        if connection.is_held_back() {
            let place = self.place_of_wait(connection, &[Flow::ReceiveMessages, Flow::ReceiveBytes]);
            if let Some((rate, place)) = place {
                let text = format!("it has got {rate}, and gets more when its rate allows it");
                steps.add_at("rates", Says::Later, text, &place);
            }
        }
        if let Some(outbound) = session.outbound.as_deref() {
            if !takers.has_quota(session, connection) {
                let (place, most) = self.window(connection);
                let sent = outbound.inflight.outstanding();
                let text = format!("{sent} messages are not acknowledged, and no more than {most} may be");
                steps.add_at("window", Says::Later, text, place);
            }
            if !outbound.queue.is_empty() {
                let waiting = outbound.queue.len();
                steps.add("queue", Says::Later, format!("{waiting} messages wait before it"));
            }
        }
        self.add_queue(key, why, steps)
    }

    fn add_absence(&self, key: SessionKey, wanted: &Wanted, why: &Why, steps: &mut Steps) -> Outcome {
        if !takers!(self).waits_for_absent(wanted.qos) {
            let text = "at QoS 0 a message does not wait for a client that is away";
            steps.add_at("offline", Says::No, text, "session.queue_qos0");
            return Outcome::Stops;
        }
        if self.permissions.is_some() {
            steps.add("rules", Says::Fact, "the rules are asked when the client comes back");
        }
        self.add_queue(key, why, steps)
    }

    /// Whether it finds room among those that wait.
    fn add_queue(&self, key: SessionKey, why: &Why, steps: &mut Steps) -> Outcome {
        let parts = Parts {
            topic: &why.topic,
            qos: why.qos,
            retain: false,
            expires_at: None,
            retained_id: None,
            forwarded: &[],
            payload: &[],
        };
        let load = Queued::load_of(&Message::new(&parts)).and(why.payload_bytes.unwrap_or(0));
        let limits = &self.config.limits;
        let (text, place) = match takers!(self).queue_lacks(key, load) {
            None => {
                let text = match why.payload_bytes {
                    Some(bytes) => format!("it waits in the client's queue, which has room for {bytes} bytes"),
                    None => "it waits in the client's queue, which has room for an empty message: how large it is was not said".to_owned(),
                };
                steps.add("queue", Says::Later, text);
                return Outcome::Waits;
            }
            Some(Full::Messages) => (
                format!("the client's queue is full, with {} messages", limits.queued_messages_max),
                "session.max_queued_messages",
            ),
            Some(Full::Bytes) => (
                format!("the client's queue has no room for it within {} bytes", limits.queued_bytes_max),
                "session.max_queued_bytes",
            ),
            Some(Full::Memory) => {
                ("the queues of all clients together are full".to_owned(), "limits.max_queue_memory")
            }
        };
        match limits.queue_full {
            QueueFull::DropNewest => {
                steps.add_at("queue", Says::No, format!("{text}: it is dropped"), place);
                Outcome::Stops
            }
            QueueFull::DropOldest => {
                let text = format!("{text}: the oldest that wait are dropped for it (session.queue_full)");
                steps.add_at("queue", Says::Later, text, place);
                Outcome::Waits
            }
        }
    }
}

fn add_near_misses(session: &Session, topic: &str, steps: &mut Steps) {
    let text = match session.filters.len() {
        0 => "it has no subscriptions".to_owned(),
        1 => "its only filter does not match the topic".to_owned(),
        count => format!("none of its {count} filters matches the topic"),
    };
    steps.add("subscription", Says::No, text);
    let plain = plain(topic);
    let mut bytes = 0;
    for (at, filter) in session.filters.iter().enumerate() {
        bytes += filter.len();
        if bytes > NEAR_BYTES_MAX {
            let text = format!("{at} of them were looked at for one that nearly does");
            return steps.add("subscription", Says::Fact, text);
        }
        if let Some(near) = near_miss(inner(filter), topic, &plain) {
            return steps.add("subscription", Says::Fact, format!("{}: {near}", shown(filter)));
        }
    }
}

/// Of a long one the beginning.
pub(super) fn shown(filter: &str) -> Cow<'_, str> {
    match cut(filter, SHOWN_BYTES_MAX) {
        whole if whole.len() == filter.len() => whole.into(),
        beginning => format!("{beginning}...").into(),
    }
}

fn subscription_words(
    filter: &str,
    options: SubscriptionOptions,
    held: Option<&Subscription>,
    is_own: bool,
) -> String {
    let mut text = format!("{} at QoS {}", shown(filter), options.qos as u8);
    if options.no_local {
        text += ", No Local";
    }
    if options.retain_as_published {
        text += ", Retain As Published";
    }
    text += match options.retain_handling {
        RetainHandling::Send => "",
        RetainHandling::SendIfNew => ", Retain Handling 1: retained messages only when it is new",
        RetainHandling::DoNotSend => ", Retain Handling 2: no retained messages when it is made",
    };
    if let Some(held) = held.filter(|held| held.subscription_id != 0) {
        text += &format!(", subscription identifier {}", held.subscription_id);
    }
    if is_own {
        text += ": not for what the client publishes itself";
    }
    text
}

/// Of those that match.
const FILTERS_SHOWN: usize = 16;

/// Of one filter.
const SHOWN_BYTES_MAX: usize = 512;

/// Filters that are looked at for one that nearly matches: less than a millisecond.
const NEAR_BYTES_MAX: usize = 64 << 10;

/// Of a PUBLISH at QoS 0 to a client of version 3.1.1, without topic and payload.
const PUBLISH_BYTES_LEAST: usize = 4;

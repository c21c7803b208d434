//! The half of the way that begins at a publisher.

use access::{Action, Ask};
use mqtt::{QoS, Version};

use super::{
    Because, Outcome, Says, Steps, Why,
    history::{answer_words, packets_on},
    user_words, words,
};
use crate::{
    Direction, Instant, Shard, Side, connection::Connection, fullness::StoreLack, publish::is_of_server,
    session::Session,
};

impl Shard {
    /// Whether the client could publish it now, and what has become of what it published last.
    pub(crate) fn why_publish(&self, now: Instant, why: &Why) -> Because {
        let mut steps = Steps::default();
        self.add_bans(&why.client_id, now, &mut steps);
        let outcome = self.why_publish_now(now, why, &mut steps);
        if let Some(key) = self.sessions.find(&why.client_id) {
            add_published(&self.sessions[key], now, &why.topic, &mut steps);
        }
        self.add_losses(now, (&why.client_id, Side::In), &why.topic, &mut steps);
        Because { comings: self.comings_seen(&why.client_id, now), ..steps.because(outcome) }
    }

    fn why_publish_now(&self, now: Instant, why: &Why, steps: &mut Steps) -> Outcome {
        let found = self.sessions.find(&why.client_id).map(|key| &self.sessions[key]);
        let conn = found.and_then(|session| session.conn);
        let Some((session, connection)) = found.zip(conn.and_then(|conn| self.connections.get(conn))) else {
            let text = match found {
                Some(_) => "the publisher is away",
                None => {
                    "the publisher has no session: it has not been here since the broker was started, was not let in, or its session has ended"
                }
            };
            steps.add("publisher", Says::No, text);
            self.add_departure(&why.client_id, now, steps);
            self.add_comings(&why.client_id, now, steps);
            return Outcome::Stops;
        };
        let who = user_words(conn.and_then(|conn| self.grant_of(conn)));
        steps.add("publisher", Says::Yes, format!("the publisher is connected {who}"));
        self.add_comings(&why.client_id, now, steps);
        if is_of_server(why.topic.as_bytes()) {
            steps.add("topic", Says::No, "topics within $SYS/ belong to the server");
            return Outcome::Stops;
        }
        let levels = mqtt::level_count(&why.topic);
        if levels > usize::from(self.config.limits.topic_levels_max) {
            let text = format!("the topic has {levels} levels, which are too many");
            steps.add_at("topic", Says::No, text, "router.max_topic_levels");
            return Outcome::Stops;
        }
        if let Some(bytes) = self.beyond_packets(why) {
            let most = self.config.limits.packet_bytes_max;
            let text = format!(
                "a message of {bytes} bytes on this topic exceeds packets of {most} bytes: its client is disconnected with 0x95"
            );
            steps.add_at("size", Says::No, text, "server.max_packet_size");
            return Outcome::Stops;
        }
        self.why_lets_publish(session, connection, now, why, steps)
    }

    fn why_lets_publish(
        &self,
        session: &Session,
        connection: &Connection,
        now: Instant,
        why: &Why,
        steps: &mut Steps,
    ) -> Outcome {
        let mount = connection.standing.as_ref().and_then(|standing| standing.mount.as_deref());
        if let Some(mount) = mount.filter(|mount| !why.topic.starts_with(mount)) {
            let text = format!("the publisher's topics are all beneath {mount}, and this one is not");
            steps.add_at("mount_point", Says::No, text, "listener.mount_point");
            return Outcome::Stops;
        }
        if let Some(permissions) = self.permissions.as_deref() {
            let ask =
                Ask { action: Action::Publish, topic: &why.topic, qos: why.qos as u8, retain: why.retain };
            if !steps.add_ruling(permissions, connection, &self.config, &session.client_id, &ask) {
                return Outcome::Stops;
            }
        }
        let outcome = self.add_room_for(connection, why, steps);
        let Some(pause) = session.conn.and_then(|conn| self.pause(conn, connection, now)) else {
            return outcome;
        };
        let is_said = outcome != Outcome::Goes && pause.about == "store";
        if !is_said {
            steps.add_pause(pause);
        }
        if outcome == Outcome::Stops { Outcome::Stops } else { Outcome::Waits }
    }

    /// Whether the store takes it in from this client, if it is to be stored.
    fn add_room_for(&self, connection: &Connection, why: &Why, steps: &mut Steps) -> Outcome {
        let Some(lack) = self.store_lack() else { return Outcome::Goes };
        if why.qos == QoS::AtMostOnce {
            steps.add_unretained(lack, why);
            return Outcome::Goes;
        }
        let (says, outcome) = match connection.version {
            Version::V5 => (Says::No, Outcome::Stops),
            // It cannot be told that there is no room, and waits for it.
            _ => (Says::Later, Outcome::Waits),
        };
        steps.add_at("store", says, lack.text(), "store");
        outcome
    }

    /// The same of whoever would publish it, of whom nothing is known.
    pub(super) fn add_room(&self, outcome: Outcome, why: &Why, steps: &mut Steps) -> Outcome {
        let Some(lack) = self.store_lack().filter(|_| why.other.is_none()) else { return outcome };
        if why.qos == QoS::AtMostOnce {
            steps.add_unretained(lack, why);
            return outcome;
        }
        let text = format!("{}; whoever publishes by 5.0 is refused with 0x97, and others wait", lack.text());
        steps.add_at("store", Says::No, text, "store");
        if outcome == Outcome::Misses { outcome } else { Outcome::Stops }
    }
}

impl Steps {
    /// Of one at QoS 0, of which nothing but what is retained would be stored.
    fn add_unretained(&mut self, lack: StoreLack, why: &Why) {
        if why.retain {
            self.add_at("store", Says::Fact, format!("{}, and it is not retained", lack.text()), "store");
        }
    }
}

/// The last of its messages on this topic, and how they were answered.
fn add_published(session: &Session, now: Instant, topic: &str, steps: &mut Steps) {
    let (packets, found) = packets_on(session, now, topic, Direction::Received);
    let Some(last) = found.last().copied() else {
        return steps.add(
            "packets",
            Says::Fact,
            "among its last packets there is no message on this topic from it",
        );
    };
    let (ago, answered) = (packets[last].ago, answer_words(&packets[last..]));
    let text = format!("its last message on this topic came {} ago{answered}", words(ago));
    steps.add_ago("packets", text, ago);
}

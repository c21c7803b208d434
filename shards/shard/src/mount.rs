//! Mount points: what the clients of a listener call `a` is called `site1/a` everywhere else.
//!
//! Topics and filters get the mount point where a client says them, and lose it where one is sent to it. All between, rules included,
//! knows whole names. A topic that begins with `$` is none beneath a mount point, but for `DROPS_TOPIC`, which tells a client of itself.

use std::{borrow::Cow, sync::Arc};

use mqtt::{Connect, Publish, ReasonCode, Violation, Will};

use crate::{Cause, ConnId, Shard, keys::SessionKey, publish::Way, reporting::DROPS_TOPIC, turn::Turn};

impl Shard {
    /// A client is about to be let in, beneath what its listener says now. Another word of the listener's counts for others.
    pub(crate) fn mount(&mut self, conn: ConnId) {
        if !self.has_mounts {
            return;
        }
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if let Some(mount) = self.config.door(connection.door).and_then(|door| door.mount.clone()) {
            connection.standing.get_or_insert_default().mount = Some(mount);
        }
    }

    /// What stands before the topics of the connection's client.
    pub(crate) fn mount_of(&self, conn: ConnId) -> Option<Arc<str>> {
        if !self.has_mounts {
            return None;
        }
        self.connections.get(conn)?.standing.as_ref()?.mount.clone()
    }

    pub(crate) fn take_mounted_publish(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        publish: &Publish<'_>,
        topic: &str,
        mount: &str,
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        match mounted(mount, topic) {
            Some(topic) => self.take_publish(conn, session, publish, &topic, Way::default(), turn),
            None => {
                let refusal = (ReasonCode::TopicNameInvalid, Cause::PublishTopic);
                self.refuse_publish((conn, session), publish, topic, refusal, turn);
                Ok(())
            }
        }
    }

    /// The topic of the will under its whole name. The error is for the client.
    pub(crate) fn mounted_will(
        &self,
        conn: ConnId,
        connect: &Connect<'_>,
    ) -> Result<Option<Box<str>>, &'static str> {
        let Some((mount, will)) = self.mount_of(conn).zip(connect.will.as_ref()) else { return Ok(None) };
        let topic = mounted(&mount, will.topic);
        topic
            .map(Some)
            .ok_or("a will topic that begins with $, or is too long with the listener's mount point")
    }

    /// What the client calls the topic. None: it is nothing that the client can see.
    #[inline(always)]
    pub(crate) fn seen_by<'t>(&self, key: SessionKey, topic: &'t str) -> Option<&'t str> {
        if self.has_mounts { self.seen_beneath_mount(key, topic) } else { Some(topic) }
    }

    fn seen_beneath_mount<'t>(&self, key: SessionKey, topic: &'t str) -> Option<&'t str> {
        match self.sessions[key].conn.and_then(|conn| self.mount_of(conn)) {
            None => Some(topic),
            // It is the client's own, wherever it comes in.
            Some(_) if topic == DROPS_TOPIC => Some(topic),
            Some(mount) => seen(&mount, topic),
        }
    }

    /// A session that comes back keeps what lies beneath the mount point of now.
    pub(crate) fn review_mount(&mut self, key: SessionKey, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(mount) = self.mount_of(conn) else { return };
        if self.drain.has_begun() {
            return;
        }
        let beyond: Vec<Box<str>> = self.sessions[key]
            .filters
            .iter()
            .filter(|filter| !is_beneath(&mount, filter))
            .map(Box::from)
            .collect();
        for filter in beyond {
            self.revoke(key, &filter, turn);
        }
    }
}

/// A topic of a client under its whole name.
pub(crate) fn mounted(mount: &str, topic: &str) -> Option<Box<str>> {
    let fits = mount.len() + topic.len() <= NAME_BYTES_MAX && !topic.starts_with('$');
    fits.then(|| format!("{mount}{topic}").into())
}

/// A filter of a client under its whole name. Of a shared subscription it is the filter inside that gets the mount point.
pub(crate) fn mounted_filter<'f>(mount: Option<&str>, filter: &'f str) -> Option<Cow<'f, str>> {
    let Some(mount) = mount.filter(|_| filter != DROPS_TOPIC) else { return Some(Cow::Borrowed(filter)) };
    let inside = inside(filter);
    let share = &filter[..filter.len() - inside.len()];
    let fits = mount.len() + filter.len() <= NAME_BYTES_MAX;
    fits.then(|| Cow::Owned(format!("{share}{mount}{inside}")))
}

/// The will, under the whole name of its topic.
pub(crate) fn with_topic<'a>(connect: &Connect<'a>, topic: &'a str) -> Connect<'a> {
    let will = connect.will.clone().map(|will| Will { topic, ..will });
    Connect { will, ..connect.clone() }
}

pub(crate) fn seen<'t>(mount: &str, topic: &'t str) -> Option<&'t str> {
    topic.strip_prefix(mount).filter(|topic| !topic.is_empty() && !topic.starts_with('$'))
}

fn is_beneath(mount: &str, filter: &str) -> bool {
    filter == DROPS_TOPIC || inside(filter).starts_with(mount)
}

fn inside(filter: &str) -> &str {
    match mqtt::shared_filter(filter) {
        Ok(Some(shared)) => shared.filter,
        _ => filter,
    }
}

/// What a name on the wire can have.
const NAME_BYTES_MAX: usize = u16::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_the_mount_point_and_lose_it() {
        assert_eq!(mounted("s/", "a/b").as_deref(), Some("s/a/b"));
        assert_eq!(mounted("s/", "/a").as_deref(), Some("s//a"));
        assert_eq!(mounted("s/", "$a"), None);
        for (topic, expected) in [
            ("s/a", Some("a")),
            ("s//a", Some("/a")),
            ("s/", None),
            ("s", None),
            ("t/a", None),
            ("s/$a", None),
        ] {
            assert_eq!(seen("s/", topic), expected, "{topic}");
        }
    }

    #[test]
    fn of_a_shared_subscription_the_filter_inside_is_mounted() {
        for (filter, expected) in [("#", "s/#"), ("$share/g/a/+", "$share/g/s/a/+"), ("$SYS/#", "s/$SYS/#")] {
            let whole = mounted_filter(Some("s/"), filter).expect("it is short");
            assert_eq!(whole, expected);
            assert!(is_beneath("s/", &whole) && !is_beneath("t/", &whole));
        }
        assert_eq!(mounted_filter(None, "a").as_deref(), Some("a"));
    }

    #[test]
    fn a_name_that_becomes_too_long_is_none() {
        let long = "a".repeat(NAME_BYTES_MAX - 1);
        assert!(mounted("s/", &long).is_none() && mounted_filter(Some("s/"), &long).is_none());
        assert!(mounted("s/", &long[1..]).is_some() && mounted_filter(Some("s/"), &long[1..]).is_some());
    }
}

//! SUBSCRIBE and UNSUBSCRIBE: changes to the session's filters, here and in what other shards know of them.

use mqtt::{
    Packet, PacketId, ReasonCode, RetainHandling, Suback, Subscribe, SubscriptionOptions, Unsuback,
    Unsubscribe, UserProperties, Violation,
};

use access::{Action, Ask};

use crate::{
    ConnId, Effect, Note, Shard, What,
    announce::{News, Waiting, filter_of_group},
    confirm::Needs,
    filter_limit::FilterLimit,
    filters::is_shared,
    keys::SessionKey,
    mount::mounted_filter,
    receive::{Breach, FILTERS_PER_PACKET_MAX, Quota, protocol_error},
    replay::Wanted,
    reporting::DROPS_TOPIC,
    trie::Subscription,
    turn::Turn,
};

impl Shard {
    pub(crate) fn on_subscribe(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        subscribe: &Subscribe<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Breach> {
        check_filter_count(subscribe.filters.len())?;
        for (filter, options) in &subscribe.filters {
            let shared = check_filter(filter)?;
            // [MQTT-3.8.3-4]
            if shared && options.no_local {
                return Err(protocol_error("No Local on a shared subscription").into());
            }
        }
        let mut waiting = Waiting::new(conn, session, subscribe.packet_id);
        let subscription_id = subscribe.subscription_id.unwrap_or(0);
        let news =
            self.subscribe_some(&mut waiting, subscription_id, subscribe.filters.iter().copied(), turn);
        let done = waiting.codes.len();
        if done < subscribe.filters.len() && !self.has_gone(conn) {
            self.put_off_subscribe(waiting, news, subscription_id, &subscribe.filters[done..], turn);
            return Ok(());
        }
        if done > 0 {
            self.note_refusals(&waiting, turn);
            self.announce(waiting, news, turn);
        }
        Ok(())
    }

    /// The first of these filters, as far as there is room for them in this tick.
    pub(crate) fn subscribe_some<'f>(
        &mut self,
        waiting: &mut Waiting,
        subscription_id: u32,
        filters: impl Iterator<Item = (&'f str, SubscriptionOptions)>,
        turn: &mut Turn<'_>,
    ) -> News {
        let mut news = News::default();
        let (conn, session) = (waiting.conn, waiting.session);
        let (qos_max, mount) = (self.qos_max(conn), self.mount_of(conn));
        for (filter, options) in filters {
            if !self.changes.has_room() {
                break;
            }
            let options = SubscriptionOptions { qos: options.qos.min(qos_max), ..options };
            let subscription = Subscription { session, options, subscription_id };
            let code = match mounted_filter(mount.as_deref(), filter) {
                Some(filter) => self.subscribe_one(&filter, subscription, waiting, &mut news, turn),
                None => {
                    self.changes.spend(refusal_weight(filter));
                    ReasonCode::TopicFilterInvalid
                }
            };
            waiting.codes.push(code);
        }
        waiting.needs = waiting.needs.and(self.needed());
        if !waiting.wanted.is_empty() && waiting.token.is_none() {
            waiting.token = Some(self.expect_replays(session));
        }
        news
    }

    fn subscribe_one(
        &mut self,
        filter: &str,
        subscription: Subscription,
        waiting: &mut Waiting,
        news: &mut News,
        turn: &mut Turn<'_>,
    ) -> ReasonCode {
        if let Err(limit) = self.check_subscription(subscription.session, filter) {
            self.changes.spend(refusal_weight(filter));
            waiting.limit.get_or_insert(limit);
            return limit.reason();
        }
        self.changes.spend(change_weight(filter));
        if !self.may_subscribe(waiting.conn, filter, turn) {
            return ReasonCode::NotAuthorized;
        }
        self.add_subscription(filter, subscription, waiting, news);
        if filter == DROPS_TOPIC {
            self.watch_losses(subscription.session, turn);
        }
        ReasonCode::granted(subscription.options.qos)
    }

    /// What a client has lost itself is for it to know.
    pub(crate) fn may_subscribe(&mut self, conn: ConnId, filter: &str, turn: &mut Turn<'_>) -> bool {
        self.permissions.is_none()
            || filter == DROPS_TOPIC
            || self.may(conn, &Ask::new(Action::Subscribe, filter), turn)
    }

    /// One line for a SUBSCRIBE, however many of its filters are refused.
    pub(crate) fn note_refusals(&self, waiting: &Waiting, turn: &mut Turn<'_>) {
        let codes = &waiting.codes;
        let Some(reason) = codes.iter().copied().find(|code| code.is_error()) else { return };
        let count = codes.iter().filter(|code| code.is_error()).count();
        let client_id = Some(self.sessions[waiting.session].client_id.clone());
        let what = What::SubscriptionsRefused { reason, count, limit: waiting.limit };
        turn.push(Effect::Note(Note { conn: Some(waiting.conn), client_id, user: None, what }));
    }

    fn add_subscription(
        &mut self,
        filter: &str,
        subscription: Subscription,
        waiting: &mut Waiting,
        news: &mut News,
    ) {
        if is_shared(filter) {
            self.join_group(filter, subscription, news);
            return;
        }
        // [MQTT-3.8.4-3]
        let subscribed = self.trie.subscribe(filter, subscription);
        let is_new = subscribed.replaced.is_none();
        self.keep_subscribed(filter, &subscription, is_new);
        if is_new {
            self.take_filter(subscription.session, filter);
        }
        if subscribed.first_local || self.announcements.is_unconfirmed(filter) {
            news.filters.push(filter.into());
        }
        // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]
        let wants_retained = match subscription.options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants_retained {
            waiting.wanted.push(Wanted { filter: filter.into(), subscription });
        }
    }

    /// The session has the filter from now on.
    pub(crate) fn take_filter(&mut self, session: SessionKey, filter: &str) {
        self.sessions[session].filters.insert(filter);
        let weight = filter_weight(filter);
        self.totals.session_bytes += weight;
        self.sessions[session].filter_bytes += weight as u32;
        self.totals.subscriptions += 1;
        self.totals.shared_subscriptions += usize::from(is_shared(filter));
    }

    /// Shared subscriptions get no retained messages.
    fn join_group(&mut self, name: &str, member: Subscription, news: &mut News) {
        let connected = self.sessions[member.session].conn.is_some();
        let joined = self.groups.join(name, member, connected);
        self.keep_subscribed(name, &member, joined.replaced.is_none());
        if joined.created {
            self.trie.add_group(filter_of_group(name), joined.key);
        }
        if joined.replaced.is_none() {
            self.take_filter(member.session, name);
            news.members.push((self.groups.name(joined.key).clone(), joined.local_count));
        }
    }

    /// Every shard knows: the client may rely on it.
    pub(crate) fn complete_subscribe(&mut self, waiting: Waiting, turn: &mut Turn<'_>) {
        let connection = self.connections.get(waiting.conn);
        let is_current = connection.is_some_and(|connection| connection.session() == Some(waiting.session));
        let (session, token) = (waiting.session, waiting.token);
        if is_current {
            self.answer_subscribe(waiting, turn);
        }
        if let Some(token) = token {
            self.stop_expecting(session, token);
        }
    }

    fn answer_subscribe(&mut self, mut waiting: Waiting, turn: &mut Turn<'_>) {
        let is_denied = waiting.codes.contains(&ReasonCode::NotAuthorized);
        let limit = waiting.limit.filter(|_| self.says_why(waiting.conn));
        let suback = Suback {
            packet_id: waiting.packet_id,
            reason_string: match is_denied {
                true => self.why_denied(waiting.conn),
                false => limit.map(FilterLimit::text),
            },
            user_properties: UserProperties::default(),
            codes: std::mem::take(&mut waiting.codes),
        };
        self.reply(waiting.conn, &Packet::Suback(suback), turn);
        if let Some(connection) = self.connections.get_mut(waiting.conn) {
            connection.needs = connection.needs.and(waiting.needs);
        }
        self.begin_replays(waiting, turn);
    }

    pub(crate) fn on_unsubscribe(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        unsubscribe: &Unsubscribe<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Breach> {
        check_filter_count(unsubscribe.filters.len())?;
        for filter in &unsubscribe.filters {
            check_filter(filter)?;
        }
        let codes = Vec::with_capacity(unsubscribe.filters.len());
        let mut removal = Removal { packet_id: unsubscribe.packet_id, codes, needs: Needs::default() };
        self.unsubscribe_some(conn, session, &mut removal, unsubscribe.filters.iter().copied(), turn);
        let done = removal.codes.len();
        if done < unsubscribe.filters.len() && !self.has_gone(conn) {
            self.put_off_unsubscribe(conn, session, removal, &unsubscribe.filters[done..], turn);
            return Ok(());
        }
        self.answer_unsubscribe(conn, removal, turn);
        Ok(())
    }

    /// The first of these filters, as far as there is room for them in this tick.
    pub(crate) fn unsubscribe_some<'f>(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        removal: &mut Removal,
        filters: impl Iterator<Item = &'f str>,
        turn: &mut Turn<'_>,
    ) {
        let mount = self.mount_of(conn);
        for filter in filters {
            if !self.changes.has_room() {
                break;
            }
            let filter = mounted_filter(mount.as_deref(), filter);
            let existing = filter.as_deref().filter(|filter| self.sessions[session].filters.remove(filter));
            removal.codes.push(match existing {
                Some(filter) => {
                    self.changes.spend(change_weight(filter));
                    self.keep_unsubscribed(session, filter);
                    self.remove_subscription(session, filter, turn);
                    ReasonCode::Success
                }
                None => {
                    self.changes.spend(filter.as_deref().map_or(CHANGE_BYTES, refusal_weight));
                    ReasonCode::NoSubscriptionExisted
                }
            });
        }
        removal.needs = removal.needs.and(self.needed());
    }

    /// [MQTT-3.10.4-5]
    pub(crate) fn answer_unsubscribe(&mut self, conn: ConnId, removal: Removal, turn: &mut Turn<'_>) {
        let unsuback = Unsuback {
            packet_id: removal.packet_id,
            reason_string: None,
            user_properties: UserProperties::default(),
            codes: removal.codes,
        };
        self.reply(conn, &Packet::Unsuback(unsuback), turn);
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.needs = connection.needs.and(removal.needs);
        }
    }

    /// Takes one filter out of the indexes; other shards are told when nobody here has it any more.
    pub(crate) fn remove_subscription(&mut self, session: SessionKey, filter: &str, turn: &mut Turn<'_>) {
        self.totals.subscriptions -= 1;
        let weight = filter_weight(filter);
        self.totals.session_bytes -= weight;
        // One that has ended is gone before its filters are.
        if let Some(session) = self.sessions.get_mut(session) {
            session.filter_bytes -= weight as u32;
        }
        if is_shared(filter) {
            self.totals.shared_subscriptions -= 1;
            self.leave_group(session, filter, turn);
            return;
        }
        self.cancel_replays(session, filter);
        let unsubscribed = self.trie.unsubscribe(filter, session);
        if unsubscribed.is_some_and(|unsubscribed| unsubscribed.last_local) {
            self.withdraw(filter, 0, turn);
        }
    }

    /// The other shards are told at the end of the tick, or before they hear of other filters. In a drain nobody wants to know.
    fn withdraw(&mut self, name: &str, left: u32, turn: &mut Turn<'_>) {
        if self.drain.has_begun() {
            return;
        }
        for peer in self.peers() {
            let posted = self.post.send_withdrawal(peer, name, left, turn);
            self.count_posted(posted);
        }
    }

    /// The session has got a connection, or has lost it: its groups ask it in another order.
    pub(crate) fn tell_groups(&mut self, session: SessionKey, connected: bool) {
        for name in self.sessions[session].filters.shared() {
            let is_member = self.groups.set_connected(name, session, connected);
            assert!(is_member, "a session is a member of the groups among its filters");
        }
    }

    /// The session has ended: nothing goes to it for its groups any more. It leaves them filter by filter.
    pub(crate) fn end_in_groups(&mut self, session: SessionKey) {
        let mut count = 0;
        for name in self.sessions[session].filters.shared() {
            let is_member = self.groups.end(name, session);
            assert!(is_member, "a session is a member of the groups among its filters");
            count += 1;
        }
        self.clearing.spend(count * GROUP_WEIGHT);
    }

    fn leave_group(&mut self, session: SessionKey, name: &str, turn: &mut Turn<'_>) {
        let shared_name = self.groups.key(name).map(|key| self.groups.name(key).clone());
        let left = match self.sessions.get(session) {
            Some(_) => self.groups.leave(name, session),
            None => self.groups.let_go(name),
        };
        let (Some(left), Some(name)) = (left, shared_name) else { return };
        if left.removed {
            self.trie.remove_group(filter_of_group(&name), left.key);
        }
        self.withdraw(&name, left.local_count, turn);
    }
}

/// An UNSUBSCRIBE, as far as its filters are gone.
pub(crate) struct Removal {
    packet_id: PacketId,
    pub codes: Vec<ReasonCode>,
    /// That they are gone from the store.
    needs: Needs,
}

/// One packet is decoded in one go: it may not keep the others waiting for long.
fn check_filter_count(count: usize) -> Result<(), Breach> {
    if count > FILTERS_PER_PACKET_MAX {
        return Err(Quota::Filters.into());
    }
    Ok(())
}

/// Whether the filter is a shared one. [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
fn check_filter(filter: &str) -> Result<bool, Violation> {
    let shared = mqtt::shared_filter(filter)?;
    if !mqtt::is_topic_filter(shared.as_ref().map_or(filter, |shared| shared.filter)) {
        let what = "a topic filter with a misplaced wildcard, or an empty one";
        return Err(Violation { reason: ReasonCode::TopicFilterInvalid, what });
    }
    Ok(shared.is_some())
}

/// What a filter costs in the session, in the trie and in those of other shards, roughly: a node for each level.
pub(crate) fn filter_weight(filter: &str) -> usize {
    filter.len() * 2 + mqtt::level_count(filter) * LEVEL_BYTES
}

/// What it takes to have a filter come or go, in the same measure.
pub(crate) fn change_weight(filter: &str) -> usize {
    filter_weight(filter) + CHANGE_BYTES
}

/// What it takes to find out that a filter is not to be had, or not there: no level of it is looked at.
fn refusal_weight(filter: &str) -> usize {
    filter.len() * 2 + CHANGE_BYTES
}

/// However short a filter is, it is looked up, answered, stored and told to others.
const CHANGE_BYTES: usize = 256;

const LEVEL_BYTES: usize = 96;

/// To find the group of a shared filter takes as long as so many bytes of filters that leave.
const GROUP_WEIGHT: usize = 64;

const _: () = assert!(size_of::<SubscriptionOptions>() <= 4, "a subscription in the trie stays small");

//! The way of a publication: to the retained store, to local subscribers, to other shards, to shared subscriptions.

mod shared;

use std::{rc::Rc, sync::Arc};

use mqtt::{QoS, Received};
use smallvec::SmallVec;

use crate::{
    Bundle, Bundled, Cause, Errand, Handshake, Instant, Mail, Message, Shard, ShardId,
    keys::SessionKey,
    losses::Owner,
    mail::{Publication, Retain},
    message::{Parts, RetainedId},
    post::Posted,
    publish::is_of_server,
    recorder::Topic,
    retained::Set,
    routes::{Known, Route},
    session::Delivery,
    source::Source,
    store::{Companion, bodies::BodyId, entry::SUBSCRIPTION_IDS_MAX},
    trie::Subscription,
    turn::Turn,
};

/// A message on its way through the shard. It becomes a `Message` of its own only if somebody has to keep it.
pub(crate) struct Carried<'a> {
    pub parts: Parts<'a>,
    /// Of a QoS 2 publication that shards which store it have to know again.
    pub handshake: Option<Handshake>,
    /// Of a will that is to be retained: its client is not here any more.
    pub source: Option<Arc<Source>>,
    /// Set for a message that the retained store of another shard gets, too.
    pub origin: Option<Origin>,
    /// As it came from its publisher, where that is a form for receivers.
    pub received: Option<Received<'a>>,
    /// Where the topic leads, if that is known already and the trie is as it was.
    pub route: Option<Rc<Known>>,
    /// Why this shard has not retained it.
    pub unretained: Option<Cause>,
    kept: Option<Message>,
    /// The number of the block that it becomes.
    body: BodyId,
}

/// Which of the retained messages that one shard sent to another a message is. It tells whether a retained message that
/// comes from there is older.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub shard: ShardId,
    pub number: u64,
}

impl<'a> Carried<'a> {
    pub fn new(parts: Parts<'a>) -> Carried<'a> {
        Carried {
            parts,
            handshake: None,
            source: None,
            origin: None,
            received: None,
            route: None,
            unretained: None,
            kept: None,
            body: BodyId::NONE,
        }
    }

    pub fn of(message: &'a Message) -> Carried<'a> {
        Carried { kept: Some(message.clone()), body: message.body(), ..Carried::new(message.parts()) }
    }

    pub fn keep(&mut self) -> Message {
        self.kept.get_or_insert_with(|| Message::with_body(&self.parts, self.body)).clone()
    }

    /// Whoever keeps it from now on gets a block with this number.
    pub fn begin_block(&mut self, body: BodyId) {
        self.kept = None;
        self.body = body;
    }

    pub fn body(&self) -> BodyId {
        self.body
    }

    pub fn is_expired(&self, now: Instant) -> bool {
        self.parts.expires_at.is_some_and(|at| at <= now)
    }
}

impl Shard {
    /// Takes a publication of a local client. Says whether anybody subscribes to it.
    pub(crate) fn publish(
        &mut self,
        publisher: Option<SessionKey>,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let matched = self.spread(publisher, carried, turn);
        if !matched {
            self.counters.publish_unmatched += 1;
        }
        matched
    }

    /// The same for what nobody has published: it is not missed where nobody wants it.
    pub(crate) fn spread(
        &mut self,
        publisher: Option<SessionKey>,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) -> bool {
        if self.store.is_on() {
            carried.begin_block(self.store.new_body());
        }
        // The retained messages first: whoever subscribes now gets the message from the store or live, never neither.
        if carried.parts.retain {
            self.retain(publisher, carried, turn);
        }
        let matches = self.route_of(carried, turn.now);
        let matched = !matches.is_empty();
        // An earlier life of the broker has stored it here, and may not have told others.
        if !carried.handshake.is_some_and(|handshake| self.handshakes.is_stored(handshake, "")) {
            self.deliver_to_matches(publisher, &matches, carried, turn);
        }
        for peer in matches.peers.iter() {
            self.publish_to_peer(peer, carried, turn);
        }
        for group in &matches.groups {
            self.publish_to_group(*group, carried, turn);
            self.keep_part(carried);
        }
        self.routes.put_back(matches);
        self.keep_message(carried);
        matched
    }

    fn publish_to_peer(&mut self, peer: ShardId, carried: &mut Carried<'_>, turn: &mut Turn<'_>) {
        let number = carried.origin.map(|origin| origin.number);
        let handshake = carried.handshake;
        let received = carried.received;
        let publication =
            Bundled { number, handshake, received, ..Bundled::new(Errand::Deliver, carried.parts) };
        let traced = self.traced_away(turn.now);
        // What is traced travels alone.
        let posted = if traced.is_none() && Bundle::default().has_room_for(&publication) {
            self.post.send_bundled(peer, &publication, turn)
        } else {
            let message = carried.keep();
            let mail = Mail::Publish(Box::new(Publication {
                message,
                number,
                handshake,
                traced,
                begun_at: turn.now,
            }));
            self.post.send(peer, mail, publication.is_droppable(), turn)
        };
        self.ask_confirmation(peer, carried.parts.qos);
        self.count_posted(posted);
        if posted == Posted::Dropped {
            self.lose_for_nobody(Cause::MeshFull, carried.parts.topic, turn.now);
        }
    }

    /// Publications that another shard mailed: for those who are here, never onward.
    pub(crate) fn route_bundle(&mut self, from: ShardId, bundle: &Bundle, turn: &mut Turn<'_>) {
        let (mut at, mut wanted, mut count) = (0, 0, 0);
        loop {
            let known = self.routes.recent(&self.trie);
            let expected = known.as_ref().map(|known| &*known.topic);
            let Some(bundled) = bundle.next(&mut at, expected) else { break };
            let Bundled { parts, number, handshake, received, .. } = bundled;
            wanted += u64::from(parts.qos != QoS::AtMostOnce);
            if bundled.errand != Errand::Deliver {
                self.do_errand(from, &bundled, turn);
                continue;
            }
            count += 1;
            // The bundle has compared them.
            let is_known = expected.is_some_and(|expected| std::ptr::eq(expected, parts.topic));
            let mut carried = Carried { received, handshake, ..Carried::new(parts) };
            carried.origin = number.map(|number| Origin { shard: from, number });
            carried.route = known.clone().filter(|_| is_known);
            self.route_here(&mut carried, turn);
        }
        self.owe_confirmation(from, wanted);
        self.note_arrived(bundle.begun_at(), count, turn.now);
    }

    fn do_errand(&mut self, from: ShardId, bundled: &Bundled<'_>, turn: &mut Turn<'_>) {
        match (bundled.errand, bundled.handshake) {
            (Errand::Retain, _) => {
                let message = Message::with_body(&bundled.parts, self.store.new_body());
                self.keep_retained(from, message, bundled.author, None, turn);
            }
            (Errand::NotRetained, _) => {
                let cause = Cause::ALL[usize::from(bundled.parts.payload[0])];
                self.lose_retained(Owner::of_author(bundled.author), cause, bundled.parts.topic, turn);
            }
            (Errand::Release, Some(handshake)) => self.forget_handshake(handshake),
            (Errand::ReleaseAll, Some(Handshake { home, session, .. })) => {
                self.on_publisher_gone(home, session);
            }
            (Errand::Deliver | Errand::Release | Errand::ReleaseAll, _) => {
                unreachable!("it is delivered, or was put in with a handshake")
            }
        }
    }

    /// The same for one that is too large for a bundle.
    pub(crate) fn route_publication(
        &mut self,
        from: ShardId,
        publication: &Publication,
        turn: &mut Turn<'_>,
    ) {
        let Publication { message, number, handshake, traced, begun_at } = publication;
        self.begin_route(from, traced.as_deref());
        let mut carried = Carried { handshake: *handshake, ..self.carry(message) };
        carried.origin = number.map(|number| Origin { shard: from, number });
        self.route_here(&mut carried, turn);
        self.end_route(turn);
        self.owe_confirmation(from, u64::from(message.qos() != QoS::AtMostOnce));
        self.note_arrived(*begun_at, 1, turn.now);
    }

    /// A message of another shard as a block of our own.
    pub(crate) fn own(&mut self, message: &Message) -> Message {
        Message::with_body(&message.parts(), self.store.new_body())
    }

    /// A message of another shard. What is stored here is a block of our own.
    fn carry<'a>(&self, message: &'a Message) -> Carried<'a> {
        if self.store.is_on() { Carried::new(message.parts()) } else { Carried::of(message) }
    }

    fn route_here(&mut self, carried: &mut Carried<'_>, turn: &mut Turn<'_>) {
        if let Some(handshake) = carried.handshake {
            if self.handshakes.is_stored(handshake, "") {
                self.counters.publish_duplicates += 1;
                return;
            }
            self.store.set_companion(Companion::Handshake(handshake));
        }
        if self.store.is_on() {
            carried.begin_block(self.store.new_body());
        }
        let matches = self.route_of(carried, turn.now);
        self.deliver_to_matches(None, &matches, carried, turn);
        self.routes.put_back(matches);
        self.keep_message(carried);
    }

    #[inline(always)]
    fn route_of(&mut self, carried: &mut Carried<'_>, now: Instant) -> Route {
        match carried.route.take() {
            Some(known) => Route::Known(known),
            None => self.route(carried.parts.topic, now),
        }
    }

    #[inline(never)]
    fn route(&mut self, topic: &str, now: Instant) -> Route {
        let hash = self.placement.hash(topic);
        self.prefixes.see(topic, hash, now);
        let mut route = self.routes.find(topic, hash, &self.trie);
        if let Route::Found { matches, shown } = &mut route
            && matches.local.len() > 1
        {
            // One text for all of them, where each would look for it.
            *shown = self.recording.topic_of(topic);
        }
        route
    }

    /// One copy for each session, however many of its filters match: at the highest QoS of them, with all their
    /// subscription ids. [MQTT-3.3.4-2] [MQTT-3.3.4-4]
    fn deliver_to_matches(
        &mut self,
        publisher: Option<SessionKey>,
        route: &Route,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) {
        let in_part = carried.handshake.filter(|handshake| self.handshakes.is_in_part(*handshake));
        for subscriptions in route.local.chunk_by(|one, other| one.session == other.session) {
            // One that has ended is there until its filters are out.
            let Some(session) = self.sessions.get(subscriptions[0].session) else { continue };
            if in_part.is_some_and(|handshake| self.handshakes.has_got(handshake, session.id)) {
                continue;
            }
            let marks = self.marks();
            self.deliver_to_subscriber(publisher, subscriptions, route.shown(), carried, turn);
            if let Some(marks) = marks {
                let granted = subscriptions.iter().map(|one| one.options.qos).max();
                let qos = granted.map_or(carried.parts.qos, |granted| granted.min(carried.parts.qos));
                self.end_delivery(subscriptions[0].session, qos, marks, turn);
            }
        }
    }

    fn deliver_to_subscriber(
        &mut self,
        publisher: Option<SessionKey>,
        subscriptions: &[Subscription],
        topic: Option<&Topic>,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) {
        let session = subscriptions[0].session;
        let mut qos = None;
        let mut retain_as_published = false;
        let mut subscription_ids = SmallVec::<[u32; 4]>::new();
        for subscription in subscriptions {
            // [MQTT-3.8.3-3]
            if subscription.options.no_local && publisher == Some(session) {
                continue;
            }
            qos = qos.max(Some(subscription.options.qos));
            retain_as_published |= subscription.options.retain_as_published;
            if subscription.subscription_id != 0 {
                subscription_ids.push(subscription.subscription_id);
            }
        }
        let Some(qos) = qos else { return };
        if carried.parts.retain {
            self.note_for_replays(session, carried);
        }
        // [MQTT-3.8.4-8]
        let qos = qos.min(carried.parts.qos);
        // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        let retain = carried.parts.retain && retain_as_published;
        let mut ids_left = &subscription_ids[..];
        loop {
            let (subscription_ids, others) = ids_left.split_at(ids_left.len().min(SUBSCRIPTION_IDS_MAX));
            self.deliver(session, &Delivery { qos, retain, subscription_ids, topic }, carried, turn);
            self.keep_part(carried);
            // Overlapping subscriptions may be served with further copies: what one cannot name, the next one does.
            ids_left = others;
            if ids_left.is_empty() {
                return;
            }
        }
    }

    /// Mail that may not be dropped, with its counters.
    pub(crate) fn post_mail(&mut self, to: ShardId, mail: Mail, turn: &mut Turn<'_>) {
        let posted = self.post.send(to, mail, false, turn);
        self.count_posted(posted);
    }

    pub(crate) fn count_posted(&mut self, posted: Posted) {
        match posted {
            Posted::Sent => self.counters.mail_sent += 1,
            Posted::Waits => self.counters.mail_waited += 1,
            Posted::Joined | Posted::Dropped => {}
        }
    }

    pub(crate) fn handle_mail_room(&mut self, to: ShardId, slots: usize, turn: &mut Turn<'_>) {
        let sent = self.post.set_room(to, slots, turn);
        self.counters.mail_sent += sent as u64;
        if !self.stalled.is_empty() {
            self.resume_for_mesh(turn);
        }
        self.check_drained(turn);
    }

    fn retain(&mut self, publisher: Option<SessionKey>, carried: &mut Carried<'_>, turn: &mut Turn<'_>) {
        let source = carried.source.take();
        let source = source.or_else(|| self.source_of_session(publisher?));
        let author = publisher.map(|publisher| self.sessions[publisher].client_id.clone());
        let publisher = self.placement.publisher(author.as_deref().unwrap_or_default());
        carried.parts.retained_id = Some(RetainedId::new(publisher, self.next_request()));
        let home = self.placement.topic(carried.parts.topic);
        let number = if home == self.id {
            if let Err(cause) = self.retain_here(carried.keep(), source, turn) {
                let owner = match author.as_deref() {
                    None if self.publishes_for_operator() => Owner::Operators,
                    author => Owner::of_author(author.unwrap_or_default()),
                };
                self.lose_retained(owner, cause, carried.parts.topic, turn);
                carried.unretained = Some(cause);
            }
            self.post.count_retained_here()
        } else {
            self.ask_confirmation(home, carried.parts.qos);
            self.retain_elsewhere(home, author, source, carried, turn);
            self.post.retained_sent[home.index()]
        };
        carried.origin = Some(Origin { shard: self.id, number });
    }

    fn retain_elsewhere(
        &mut self,
        home: ShardId,
        author: Option<Arc<str>>,
        source: Option<Arc<Source>>,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) {
        let bundled = Bundled::to_retain(author.as_deref().unwrap_or_default(), carried.parts);
        if source.is_none() && Bundle::default().has_room_for(&bundled) {
            self.post_bundled(home, &bundled, turn);
        } else {
            let message = carried.keep();
            self.post_mail(home, Mail::Retain(Box::new(Retain { message, author, source })), turn);
        }
    }

    /// What may not be dropped and fits a bundle, with its counters.
    pub(crate) fn post_bundled(&mut self, to: ShardId, bundled: &Bundled<'_>, turn: &mut Turn<'_>) {
        let posted = self.post.send_bundled(to, bundled, turn);
        self.count_posted(posted);
    }

    pub(crate) fn route_retained(&mut self, from: ShardId, retain: Retain, turn: &mut Turn<'_>) {
        let Retain { message, author, source } = retain;
        let message = if self.store.is_on() { self.own(&message) } else { message };
        let wanted = u64::from(message.qos() != QoS::AtMostOnce);
        self.keep_retained(from, message, author.as_deref().unwrap_or_default(), source, turn);
        self.owe_confirmation(from, wanted);
    }

    /// `message` is a block of our own where there is a store.
    fn keep_retained(
        &mut self,
        from: ShardId,
        message: Message,
        author: &str,
        source: Option<Arc<Source>>,
        turn: &mut Turn<'_>,
    ) {
        self.post.count_retained_from(from);
        if let Err(cause) = self.retain_here(message.clone(), source, turn) {
            self.lose_retained_of(from, author, cause, message.topic(), turn);
        }
        self.keep_message(&mut Carried::of(&message));
        self.answer_waiting_replays(turn);
    }

    /// `Err`: there is no room for it. [MQTT-3.3.1-5] [MQTT-3.3.1-6]
    pub(crate) fn retain_here(
        &mut self,
        message: Message,
        source: Option<Arc<Source>>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Cause> {
        if is_of_server(message.topic_bytes()) {
            // It is about this process, and not stored: the next one has its own.
            self.retained.set_own(message);
            return Ok(());
        }
        let expires = message.expires_at().is_some();
        let before = if self.store.is_on() { self.retained.get(message.topic()).cloned() } else { None };
        let set = match source {
            Some(source) => self.retained.set_of(message.clone(), source),
            None => self.retained.set(message.clone()),
        };
        if let Some(before) = before {
            self.store.let_go_retained(before.body(), before.bytes());
        }
        match set {
            Set::Stored | Set::Replaced => self.store.set_retained(),
            Set::Cleared | Set::Refused(_) => self.keep_retained_gone(message.topic()),
            // Whoever has cleared it may not have waited for that.
            Set::Nothing => self.store.need_earlier(),
        }
        if expires {
            self.arm_retained(turn.now);
        }
        match set {
            Set::Refused(cause) => Err(cause),
            Set::Stored | Set::Replaced | Set::Cleared | Set::Nothing => Ok(()),
        }
    }
}

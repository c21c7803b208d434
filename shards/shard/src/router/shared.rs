//! The copy for a shared subscription: the shard whose turn it is gives it to one of its members, or passes it on, so that it
//! is not lost while some member anywhere can take it.

use access::{Action, Ask};
use mqtt::QoS;

use super::Carried;
use crate::{
    Cause, Mail, Shard, ShardId, ShardSet, keys::GroupKey, mail::Shared, outbound::Queued, session::Delivery,
    store::Companion, takers::takers, trie::Subscription, turn::Turn,
};

impl Shard {
    pub(super) fn publish_to_group(
        &mut self,
        group: GroupKey,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) {
        let name = self.groups.name(group).clone();
        if carried.handshake.is_some_and(|handshake| self.handshakes.is_stored(handshake, &name)) {
            return;
        }
        let shared = Shared {
            message: carried.keep(),
            name,
            tried: ShardSet::EMPTY,
            to_queue: false,
            handshake: carried.handshake,
            traced: None,
            begun_at: turn.now,
        };
        self.pass_to_group(group, shared, turn);
    }

    pub(crate) fn route_shared(&mut self, from: ShardId, mut shared: Shared, turn: &mut Turn<'_>) {
        if let Some(handshake) = shared.handshake {
            if self.handshakes.is_stored(handshake, &shared.name) {
                self.counters.publish_duplicates += 1;
                self.owe_confirmation(from, 1);
                return;
            }
            self.store.set_companion(Companion::SharedHandshake(handshake));
        }
        if self.store.is_on() {
            shared.message = self.own(&shared.message);
        }
        let message = shared.message.clone();
        self.begin_route(from, shared.traced.take().as_deref());
        self.note_arrived(shared.begun_at, 1, turn.now);
        self.pass_on_shared(shared, turn);
        self.end_route(turn);
        self.keep_message(&mut Carried::of(&message));
        self.owe_confirmation(from, u64::from(message.qos() != QoS::AtMostOnce));
    }

    fn pass_on_shared(&mut self, shared: Shared, turn: &mut Turn<'_>) {
        match self.groups.key(&shared.name) {
            Some(group) if self.take_for_group(group, &shared, turn) => {}
            Some(group) => {
                let tried = shared.tried.union([self.id].into_iter().collect());
                self.pass_to_group(group, Shared { tried, ..shared }, turn);
            }
            // The last member anywhere has just left.
            None => self.lose_for_nobody(Cause::SharedNobody, shared.message.topic(), turn.now),
        }
    }

    /// Finds the shard whose turn it is and gives it the message; first for a member that can take it at once, then,
    /// in a second round, for one that can queue it.
    fn pass_to_group(&mut self, group: GroupKey, mut shared: Shared, turn: &mut Turn<'_>) {
        loop {
            match self.groups.pick_shard(group, self.id, shared.tried) {
                Some(shard) if shard == self.id => {
                    if self.take_for_group(group, &shared, turn) {
                        return;
                    }
                    shared.tried.insert(self.id);
                }
                Some(shard) => {
                    self.ask_confirmation(shard, shared.message.qos());
                    if shared.handshake.is_some() {
                        self.confirmations.ask_any(self.peers().collect());
                    }
                    shared.traced = self.traced_away(turn.now);
                    self.post_mail(shard, Mail::Shared(Box::new(shared)), turn);
                    return;
                }
                None if !shared.to_queue => {
                    shared.to_queue = true;
                    shared.tried = ShardSet::EMPTY;
                }
                None => {
                    return self.lose_for_nobody(Cause::SharedNobody, shared.message.topic(), turn.now);
                }
            }
        }
    }

    fn take_for_group(&mut self, group: GroupKey, shared: &Shared, turn: &mut Turn<'_>) -> bool {
        let (qos, load) = (shared.message.qos(), Queued::load_of(&shared.message));
        let takers = takers!(self);
        let can_send =
            |member: &Subscription| takers.can_send_at_once(member.session, qos.min(member.options.qos));
        let can_queue =
            |member: &Subscription| takers.can_queue(member.session, qos.min(member.options.qos), load);
        let mut denied = None;
        let permissions = &mut self.permissions;
        let mut may = |member: &Subscription| {
            let Some(permissions) = permissions.as_mut() else { return true };
            let may = takers.may_receive(permissions, member.session, shared.message.topic());
            if !may {
                denied.get_or_insert(member.session);
            }
            may
        };
        let mut member = match shared.to_queue {
            false => self.groups.pick_connected(group, |member| can_send(member) && may(member)),
            true => self.groups.pick_connected(group, |member| can_queue(member) && may(member)),
        };
        // What waits for nobody who is away at the message's own QoS does not at a lower one either.
        if member.is_none() && shared.to_queue && takers.waits_for_absent(qos) {
            member = self.groups.pick_absent(group, can_queue);
        }
        let Some(member) = member else {
            // Told once, by one of them: what the others may is for the rules to say. If the message is lost by that, it is one message.
            let conn = denied.filter(|_| shared.to_queue).and_then(|denied| self.sessions[denied].conn);
            if let Some(conn) = conn {
                self.may(conn, &Ask::new(Action::Receive, shared.message.topic()), turn);
            }
            return false;
        };
        let id = [member.subscription_id];
        let delivery = Delivery {
            qos: qos.min(member.options.qos),
            retain: shared.message.retain() && member.options.retain_as_published,
            subscription_ids: if member.subscription_id == 0 { &[] } else { &id },
            topic: None,
        };
        let marks = self.marks();
        self.deliver(member.session, &delivery, &mut Carried::of(&shared.message), turn);
        if let Some(marks) = marks {
            self.end_delivery(member.session, delivery.qos, marks, turn);
        }
        if shared.handshake.is_some() && self.is_kept(member.session) && delivery.qos != QoS::AtMostOnce {
            self.store.add_share(&shared.name);
        }
        true
    }
}

//! Shared subscriptions: who the members of a group are, here and on other shards, and whose turn it is. Which
//! messages a group gets is the trie's business; how one is delivered is the router's.

use std::{iter, sync::Arc};

use hashbrown::HashTable;
use slab::Slab;

use crate::{
    ShardId, ShardSet,
    hashing::{Table, hasher},
    keys::{GroupKey, SessionKey},
    subscribers::Subscribers,
    trie::Subscription,
};

/// All groups that have a member anywhere, keyed by the whole `$share/group/filter`.
// [MQTT-4.8.2-3] Two filters under one share name are two groups.
pub(crate) struct Groups {
    groups: Slab<Group>,
    /// Indexes into `groups`, found by name.
    by_name: HashTable<u32>,
    hasher: ahash::RandomState,
}

pub(crate) struct Group {
    /// The whole `$share/group/filter`.
    pub name: Arc<str>,
    /// The local members whose sessions have a connection.
    connected: Circle,
    /// The others. Apart, because there can be many of them for a long time: a message for those who are there does not
    /// look at each one who is not.
    absent: Circle,
    /// Local members whose sessions have ended. Nobody asks them, but the group stays until the last has left it.
    ended: u32,
    local_credit: i64,
    /// Sorted by shard.
    remote: Vec<Remote>,
}

/// Members that take turns.
#[derive(Default)]
struct Circle {
    members: Subscribers,
    /// Where in `members` the search for the next receiver begins.
    turn: usize,
}

/// The members that another shard has.
struct Remote {
    shard: ShardId,
    count: u32,
    credit: i64,
}

/// What `join` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Joined {
    pub key: GroupKey,
    /// The group is new: its filter belongs into the trie.
    pub created: bool,
    pub replaced: Option<Subscription>,
    pub local_count: u32,
}

/// What `leave` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub key: GroupKey,
    pub local_count: u32,
    /// The group is gone: its filter leaves the trie.
    pub removed: bool,
}

/// What `set_remote` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemoteChange {
    /// None: there is no such group, neither before nor after.
    pub key: Option<GroupKey>,
    pub created: bool,
    pub removed: bool,
}

impl Groups {
    pub fn new(seed: u64) -> Groups {
        let hasher = hasher(seed, Table::Groups);
        Groups { groups: Slab::new(), by_name: HashTable::new(), hasher }
    }

    pub fn key(&self, name: &str) -> Option<GroupKey> {
        let hash = self.hasher.hash_one(name);
        let found = self.by_name.find(hash, |&index| *self.groups[index as usize].name == *name);
        found.map(|&index| GroupKey(index))
    }

    pub fn name(&self, key: GroupKey) -> &Arc<str> {
        &self.groups[key.index()].name
    }

    /// Adds or replaces a local member; makes the group if need be.
    pub fn join(&mut self, name: &str, member: Subscription, connected: bool) -> Joined {
        let (key, created) = self.key_or_insert(name);
        let group = &mut self.groups[key.index()];
        let (circle, other) = group.circles(connected);
        let elsewhere = other.members.remove(member.session);
        let replaced = circle.members.insert(member).or(elsewhere);
        Joined { key, created, replaced, local_count: group.local_count() }
    }

    /// `None`: the session was no member.
    pub fn leave(&mut self, name: &str, session: SessionKey) -> Option<Left> {
        let key = self.key(name)?;
        let group = &mut self.groups[key.index()];
        group.connected.members.remove(session).or_else(|| group.absent.members.remove(session))?;
        Some(self.left(key))
    }

    /// The session of a local member has ended: from now on it gets nothing and counts for nothing. False: it is no member.
    pub fn end(&mut self, name: &str, session: SessionKey) -> bool {
        let Some(key) = self.key(name) else { return false };
        let group = &mut self.groups[key.index()];
        let ended = group.connected.members.remove(session).or_else(|| group.absent.members.remove(session));
        group.ended += u32::from(ended.is_some());
        ended.is_some()
    }

    /// One of those who have ended leaves. `None`: there is none.
    pub fn let_go(&mut self, name: &str) -> Option<Left> {
        let key = self.key(name)?;
        let group = &mut self.groups[key.index()];
        group.ended = group.ended.checked_sub(1)?;
        Some(self.left(key))
    }

    fn left(&mut self, key: GroupKey) -> Left {
        let local_count = self.groups[key.index()].local_count();
        Left { key, local_count, removed: self.remove_if_empty(key) }
    }

    /// A local member has got a connection, or has lost it. False: the session is no member.
    pub fn set_connected(&mut self, name: &str, session: SessionKey, connected: bool) -> bool {
        let Some(key) = self.key(name) else { return false };
        let (circle, other) = self.groups[key.index()].circles(connected);
        match other.members.remove(session) {
            Some(member) => circle.members.insert(member).is_none(),
            None => circle.members.get(session).is_some(),
        }
    }

    /// How many members another shard has; 0 removes it. Like a local member, it can make or end a group.
    pub fn set_remote(&mut self, name: &str, shard: ShardId, count: u32) -> RemoteChange {
        if count == 0 {
            return self.remove_remote(name, shard);
        }
        let (key, created) = self.key_or_insert(name);
        let remote = &mut self.groups[key.index()].remote;
        match remote.binary_search_by_key(&shard, |remote| remote.shard) {
            Ok(at) => remote[at].count = count,
            Err(at) => remote.insert(at, Remote { shard, count, credit: 0 }),
        }
        RemoteChange { key: Some(key), created, removed: false }
    }

    pub fn member(&self, name: &str, session: SessionKey) -> Option<Subscription> {
        let group = &self.groups[self.key(name)?.index()];
        group.connected.members.get(session).or_else(|| group.absent.members.get(session)).copied()
    }

    pub fn local_count(&self, key: GroupKey) -> u32 {
        self.groups[key.index()].local_count()
    }

    /// The shard whose turn it is, weighted by members; `me` stands for the local ones. None: all have been tried.
    ///
    /// Every candidate is credited with its members, and the one with the most credit pays for all. So each gets its
    /// share, and the turns of a large one are spread among those of the others instead of coming in a row.
    pub fn pick_shard(&mut self, key: GroupKey, me: ShardId, tried: ShardSet) -> Option<ShardId> {
        let group = &mut self.groups[key.index()];
        let local = (me, group.local_count(), &mut group.local_credit);
        let remote = group.remote.iter_mut().map(|remote| (remote.shard, remote.count, &mut remote.credit));
        let mut members = 0;
        let mut best: Option<(ShardId, &mut i64)> = None;
        for (shard, count, credit) in iter::once(local).chain(remote) {
            if count == 0 || tried.contains(shard) {
                continue;
            }
            members += i64::from(count);
            *credit += i64::from(count);
            if best.as_ref().is_none_or(|(_, most)| *credit > **most) {
                best = Some((shard, credit));
            }
        }
        let (shard, credit) = best?;
        *credit -= members;
        Some(shard)
    }

    /// The next local member with a connection, in turn, for which `can_take` says yes.
    pub fn pick_connected(
        &mut self,
        key: GroupKey,
        can_take: impl FnMut(&Subscription) -> bool,
    ) -> Option<Subscription> {
        self.groups[key.index()].connected.pick(usize::MAX, can_take)
    }

    /// The next local member without one, in turn. If the first `PROBES_MAX` say no, the next message asks others.
    pub fn pick_absent(
        &mut self,
        key: GroupKey,
        can_take: impl FnMut(&Subscription) -> bool,
    ) -> Option<Subscription> {
        self.groups[key.index()].absent.pick(PROBES_MAX, can_take)
    }

    /// One of the local members that have a connection.
    pub fn has_connected(&self, name: &str, can_take: impl FnMut(&Subscription) -> bool) -> bool {
        let group = self.key(name).map(|key| &self.groups[key.index()]);
        group.is_some_and(|group| group.connected.members.as_slice().iter().any(can_take))
    }

    /// Who the members are and whose turn it is here, in words.
    pub fn words<'a>(&self, name: &str, client_id: impl Fn(SessionKey) -> Option<&'a str>) -> String {
        let Some(group) = self.key(name).map(|key| &self.groups[key.index()]) else {
            return "the group is gone".to_owned();
        };
        let (here, absent) = (group.connected.members.len(), group.absent.members.len());
        let elsewhere: u32 = group.remote.iter().map(|remote| remote.count).sum();
        let next = group.connected.next().or_else(|| group.absent.next());
        let next = next.and_then(|next| client_id(next.session)).unwrap_or("nobody");
        format!(
            "each message goes to one member: {here} connected and {absent} away on this shard, {elsewhere} on others, which \
             have their turns as well; when it is this shard's turn the next is {next}"
        )
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    fn key_or_insert(&mut self, name: &str) -> (GroupKey, bool) {
        if let Some(key) = self.key(name) {
            return (key, false);
        }
        let group = Group {
            name: name.into(),
            connected: Circle::default(),
            absent: Circle::default(),
            ended: 0,
            local_credit: 0,
            remote: Vec::new(),
        };
        let index =
            u32::try_from(self.groups.insert(group)).expect("a group has a member, and those are fewer");
        let Groups { groups, by_name, hasher } = self;
        by_name.insert_unique(hasher.hash_one(name), index, |&index| {
            hasher.hash_one(&*groups[index as usize].name)
        });
        (GroupKey(index), true)
    }

    fn remove_remote(&mut self, name: &str, shard: ShardId) -> RemoteChange {
        let Some(key) = self.key(name) else {
            return RemoteChange { key: None, created: false, removed: false };
        };
        self.groups[key.index()].remote.retain(|remote| remote.shard != shard);
        RemoteChange { key: Some(key), created: false, removed: self.remove_if_empty(key) }
    }

    fn remove_if_empty(&mut self, key: GroupKey) -> bool {
        let group = &self.groups[key.index()];
        if group.local_count() > 0 || group.ended > 0 || !group.remote.is_empty() {
            return false;
        }
        let hash = self.hasher.hash_one(&*group.name);
        let entry = self.by_name.find_entry(hash, |&index| index == key.0);
        entry.expect("every group is found by its name").remove();
        self.groups.remove(key.index());
        true
    }
}

impl Group {
    fn local_count(&self) -> u32 {
        let count = self.connected.members.len() + self.absent.members.len();
        u32::try_from(count).expect("members have 32-bit session keys")
    }

    /// The circle of those who are connected, or not, and the other one.
    fn circles(&mut self, connected: bool) -> (&mut Circle, &mut Circle) {
        match connected {
            true => (&mut self.connected, &mut self.absent),
            false => (&mut self.absent, &mut self.connected),
        }
    }
}

impl Circle {
    /// Who is asked first.
    fn next(&self) -> Option<&Subscription> {
        let members = self.members.as_slice();
        members.get(self.turn).or_else(|| members.first())
    }

    /// Asks each member once, and no more than `questions_max` of them; the next search begins behind the last one asked.
    fn pick(
        &mut self,
        questions_max: usize,
        mut can_take: impl FnMut(&Subscription) -> bool,
    ) -> Option<Subscription> {
        let members = self.members.as_slice();
        // Behind the last, or the list has become shorter since: begin again.
        let first = if self.turn < members.len() { self.turn } else { 0 };
        for at in (first..members.len()).chain(0..first).take(questions_max) {
            self.turn = at + 1;
            if can_take(&members[at]) {
                return Some(members[at]);
            }
        }
        None
    }
}

/// How many members without a connection are asked for one message. Their queues can all be full for days, and the
/// publisher's shard would walk over them for every message.
const PROBES_MAX: usize = 64;

#[cfg(test)]
mod tests;

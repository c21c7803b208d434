//! Shared subscriptions: who the members of a group are, here and on other shards, and whose turn it is. Which
//! messages a group gets is the trie's business; how one is delivered is the router's.

use std::sync::Arc;

use hashbrown::HashTable;
use slab::Slab;

use crate::{
    ShardId, ShardSet,
    keys::{GroupKey, SessionKey},
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
    local: Vec<Subscription>,
    /// Where in `local` the search for the next receiver begins.
    turn: usize,
    local_credit: i64,
    remote: Vec<Remote>,
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
        let hasher = ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0x6720_09a5);
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
    pub fn join(&mut self, name: &str, member: Subscription) -> Joined {
        let (key, created) = self.key_or_insert(name);
        let group = &mut self.groups[key.index()];
        let held = group.local.iter_mut().find(|held| held.session == member.session);
        let replaced = match held {
            Some(held) => Some(std::mem::replace(held, member)),
            None => {
                group.local.push(member);
                None
            }
        };
        Joined { key, created, replaced, local_count: group.local_count() }
    }

    /// `None`: the session was no member.
    pub fn leave(&mut self, name: &str, session: SessionKey) -> Option<Left> {
        let key = self.key(name)?;
        let group = &mut self.groups[key.index()];
        let at = group.local.iter().position(|held| held.session == session)?;
        group.local.remove(at);
        let local_count = group.local_count();
        Some(Left { key, local_count, removed: self.remove_if_empty(key) })
    }

    /// How many members another shard has; 0 removes it. Like a local member, it can make or end a group.
    pub fn set_remote(&mut self, name: &str, shard: ShardId, count: u32) -> RemoteChange {
        if count == 0 {
            return self.remove_remote(name, shard);
        }
        let (key, created) = self.key_or_insert(name);
        let remote = &mut self.groups[key.index()].remote;
        match remote.iter_mut().find(|remote| remote.shard == shard) {
            Some(remote) => remote.count = count,
            None => remote.push(Remote { shard, count, credit: 0 }),
        }
        RemoteChange { key: Some(key), created, removed: false }
    }

    pub fn member(&self, name: &str, session: SessionKey) -> Option<Subscription> {
        let group = &self.groups[self.key(name)?.index()];
        group.local.iter().find(|held| held.session == session).copied()
    }

    pub fn local_count(&self, key: GroupKey) -> u32 {
        self.groups[key.index()].local_count()
    }

    /// The shard whose turn it is, weighted by members; `me` stands for the local ones. None: all have been tried.
    pub fn pick_shard(&mut self, key: GroupKey, me: ShardId, tried: ShardSet) -> Option<ShardId> {
        let group = &mut self.groups[key.index()];
        let local_count = group.local_count();
        let mut candidates: Vec<(ShardId, u32, &mut i64)> = Vec::new();
        if local_count > 0 && !tried.contains(me) {
            candidates.push((me, local_count, &mut group.local_credit));
        }
        for remote in group.remote.iter_mut().filter(|remote| !tried.contains(remote.shard)) {
            candidates.push((remote.shard, remote.count, &mut remote.credit));
        }
        let mut total = 0;
        for (_, count, credit) in &mut candidates {
            **credit += i64::from(*count);
            total += i64::from(*count);
        }
        let (shard, _, credit) = candidates.into_iter().max_by_key(|(_, _, credit)| **credit)?;
        *credit -= total;
        Some(shard)
    }

    /// The next local member, in turn, for which `can_take` says yes.
    pub fn pick_member(
        &mut self,
        key: GroupKey,
        mut can_take: impl FnMut(&Subscription) -> bool,
    ) -> Option<Subscription> {
        let group = &mut self.groups[key.index()];
        let count = group.local.len();
        for step in 0..count {
            let at = (group.turn + step) % count;
            if can_take(&group.local[at]) {
                group.turn = at + 1;
                return Some(group.local[at]);
            }
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    fn key_or_insert(&mut self, name: &str) -> (GroupKey, bool) {
        if let Some(key) = self.key(name) {
            return (key, false);
        }
        let group =
            Group { name: name.into(), local: Vec::new(), turn: 0, local_credit: 0, remote: Vec::new() };
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
        if !group.local.is_empty() || !group.remote.is_empty() {
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
        u32::try_from(self.local.len()).expect("members have 32-bit session keys")
    }
}

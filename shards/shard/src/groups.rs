//! Shared subscriptions: who the members of a group are, here and on other shards, and whose turn it is. Which
//! messages a group gets is the trie's business; how one is delivered is the router's.

use std::{iter, sync::Arc};

use hashbrown::HashTable;
use slab::Slab;

use crate::{
    ShardId, ShardSet,
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
    local: Subscribers,
    /// Where in `local` the search for the next receiver begins.
    turn: usize,
    local_credit: i64,
    /// Sorted by shard.
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
        let replaced = group.local.insert(member);
        Joined { key, created, replaced, local_count: group.local_count() }
    }

    /// `None`: the session was no member.
    pub fn leave(&mut self, name: &str, session: SessionKey) -> Option<Left> {
        let key = self.key(name)?;
        let group = &mut self.groups[key.index()];
        group.local.remove(session)?;
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
        match remote.binary_search_by_key(&shard, |remote| remote.shard) {
            Ok(at) => remote[at].count = count,
            Err(at) => remote.insert(at, Remote { shard, count, credit: 0 }),
        }
        RemoteChange { key: Some(key), created, removed: false }
    }

    pub fn member(&self, name: &str, session: SessionKey) -> Option<Subscription> {
        self.groups[self.key(name)?.index()].local.get(session).copied()
    }

    #[cfg(test)]
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

    /// The next local member, in turn, for which `can_take` says yes.
    pub fn pick_member(
        &mut self,
        key: GroupKey,
        mut can_take: impl FnMut(&Subscription) -> bool,
    ) -> Option<Subscription> {
        let Group { local, turn, .. } = &mut self.groups[key.index()];
        let members = local.as_slice();
        // Behind the last, or the list has become shorter since: begin again.
        let first = if *turn < members.len() { *turn } else { 0 };
        let at = (first..members.len()).chain(0..first).find(|&at| can_take(&members[at]))?;
        *turn = at + 1;
        Some(members[at])
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
            local: Subscribers::default(),
            turn: 0,
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

#[cfg(test)]
mod tests;

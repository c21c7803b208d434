//! Who takes what matches one filter: sessions of this shard, other shards, groups.

use super::{Matches, Subscribed, Subscription, Unsubscribed};
use crate::{
    ShardId, ShardSet,
    keys::{GroupKey, SessionKey},
    subscribers::Subscribers,
};

/// Most filters have a single taker, a client or another shard, and that one needs no allocation.
pub(super) enum Takers {
    Nobody,
    Session(Subscription),
    Peer(ShardId),
    Many(Box<Crowd>),
}

#[derive(Default)]
pub(super) struct Crowd {
    local: Subscribers,
    peers: ShardSet,
    /// Sorted.
    groups: Vec<GroupKey>,
}

impl Takers {
    pub fn is_nobody(&self) -> bool {
        matches!(self, Takers::Nobody)
    }

    pub fn subscribe(&mut self, subscription: Subscription) -> Subscribed {
        match self {
            Takers::Nobody => {
                *self = Takers::Session(subscription);
                Subscribed { replaced: None, first_local: true }
            }
            Takers::Session(held) if held.session == subscription.session => {
                let replaced = std::mem::replace(held, subscription);
                Subscribed { replaced: Some(replaced), first_local: false }
            }
            _ => {
                let local = &mut self.crowd().local;
                let first_local = local.is_empty();
                Subscribed { replaced: local.insert(subscription), first_local }
            }
        }
    }

    pub fn unsubscribe(&mut self, session: SessionKey) -> Option<Unsubscribed> {
        match self {
            Takers::Session(held) if held.session == session => {
                *self = Takers::Nobody;
                Some(Unsubscribed { last_local: true })
            }
            Takers::Many(crowd) => {
                crowd.local.remove(session)?;
                let last_local = crowd.local.is_empty();
                self.settle();
                Some(Unsubscribed { last_local })
            }
            _ => None,
        }
    }

    /// False: nothing changed. So with all that follow.
    pub fn add_peer(&mut self, peer: ShardId) -> bool {
        match self {
            Takers::Nobody => *self = Takers::Peer(peer),
            Takers::Peer(held) if *held == peer => return false,
            _ => {
                let peers = &mut self.crowd().peers;
                if peers.contains(peer) {
                    return false;
                }
                peers.insert(peer);
            }
        }
        true
    }

    pub fn remove_peer(&mut self, peer: ShardId) -> bool {
        match self {
            Takers::Peer(held) if *held == peer => *self = Takers::Nobody,
            Takers::Many(crowd) if crowd.peers.contains(peer) => {
                crowd.peers.remove(peer);
                self.settle();
            }
            _ => return false,
        }
        true
    }

    pub fn add_group(&mut self, group: GroupKey) -> bool {
        let groups = &mut self.crowd().groups;
        match groups.binary_search(&group) {
            Ok(_) => return false,
            Err(at) => groups.insert(at, group),
        }
        true
    }

    pub fn remove_group(&mut self, group: GroupKey) -> bool {
        let Takers::Many(crowd) = self else { return false };
        let Ok(at) = crowd.groups.binary_search(&group) else { return false };
        crowd.groups.remove(at);
        self.settle();
        true
    }

    pub fn subscription(&self, session: SessionKey) -> Option<Subscription> {
        match self {
            Takers::Session(held) if held.session == session => Some(*held),
            Takers::Many(crowd) => crowd.local.get(session).copied(),
            _ => None,
        }
    }

    #[cfg(test)]
    pub fn has_local(&self) -> bool {
        match self {
            Takers::Session(_) => true,
            Takers::Many(crowd) => !crowd.local.is_empty(),
            Takers::Nobody | Takers::Peer(_) => false,
        }
    }

    #[inline]
    pub fn add_to(&self, found: &mut Matches) {
        match self {
            Takers::Nobody => {}
            Takers::Session(subscription) => {
                found.local.push(*subscription);
                found.filters_with_local += 1;
            }
            Takers::Peer(peer) => found.peers.insert(*peer),
            Takers::Many(crowd) => crowd.add_to(found),
        }
    }

    /// Makes room for more than one.
    fn crowd(&mut self) -> &mut Crowd {
        if !matches!(self, Takers::Many(_)) {
            let mut crowd = Box::<Crowd>::default();
            match std::mem::replace(self, Takers::Nobody) {
                Takers::Session(subscription) => {
                    crowd.local.insert(subscription);
                }
                Takers::Peer(peer) => crowd.peers.insert(peer),
                Takers::Nobody | Takers::Many(_) => {}
            }
            *self = Takers::Many(crowd);
        }
        let Takers::Many(crowd) = self else { unreachable!("it has just been made a crowd") };
        crowd
    }

    /// Gives up the room for many when at most one is left.
    fn settle(&mut self) {
        let Takers::Many(crowd) = self else { return };
        let one = match (crowd.local.as_slice(), crowd.peers.len(), crowd.groups.len()) {
            ([], 0, 0) => Takers::Nobody,
            ([subscription], 0, 0) => Takers::Session(*subscription),
            ([], 1, 0) => crowd.peers.iter().next().map_or(Takers::Nobody, Takers::Peer),
            _ => return,
        };
        *self = one;
    }
}

impl Crowd {
    fn add_to(&self, found: &mut Matches) {
        found.local.extend_from_slice(self.local.as_slice());
        found.filters_with_local += usize::from(!self.local.is_empty());
        found.peers = found.peers.union(self.peers);
        found.groups.extend_from_slice(&self.groups);
    }
}

const _: () = assert!(
    size_of::<Subscription>() == 12,
    "a subscription stays small: there is one per client and filter"
);
const _: () = assert!(size_of::<Takers>() == 16, "a filter's takers stay small: every node has them");

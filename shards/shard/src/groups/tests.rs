//! Groups against plain maps, and whether every member gets its turn.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const ME: ShardId = ShardId(9);

fn subscription(session: u32) -> Subscription {
    let options = mqtt::SubscriptionOptions::default();
    Subscription { session: SessionKey(session), options, subscription_id: 0 }
}

fn tried(shards: &[u8]) -> ShardSet {
    shards.iter().map(|&shard| ShardId(shard)).collect()
}

#[test]
fn the_first_member_makes_a_group_and_the_last_ends_it() {
    let mut groups = Groups::new(1);
    let joined = groups.join("$share/g/a", subscription(1), true);
    let key = joined.key;
    assert_eq!(joined, Joined { key, created: true, replaced: None, local_count: 1 });
    let joined = groups.join("$share/g/a", subscription(1), true);
    assert_eq!(joined, Joined { key, created: false, replaced: Some(subscription(1)), local_count: 1 });
    assert_eq!(groups.join("$share/g/a", subscription(2), true).local_count, 2);
    assert_eq!(groups.leave("$share/g/a", SessionKey(3)), None);
    assert_eq!(groups.leave("$share/g/a", SessionKey(1)), Some(Left { key, local_count: 1, removed: false }));
    assert_eq!(groups.leave("$share/g/a", SessionKey(2)), Some(Left { key, local_count: 0, removed: true }));
    assert!(groups.is_empty() && groups.by_name.is_empty());
    assert_eq!(groups.key("$share/g/a"), None);
}

#[test]
fn members_of_another_shard_make_and_keep_a_group_too() {
    let mut groups = Groups::new(1);
    let none = RemoteChange { key: None, created: false, removed: false };
    assert_eq!(groups.set_remote("$share/g/a", ShardId(1), 0), none);
    let change = groups.set_remote("$share/g/a", ShardId(1), 5);
    assert!(change.created);
    assert!(!groups.join("$share/g/a", subscription(1), true).created);
    assert!(!groups.leave("$share/g/a", SessionKey(1)).is_some_and(|left| left.removed));
    let change = groups.set_remote("$share/g/a", ShardId(1), 0);
    assert!(change.removed && change.key.is_some());
    assert!(groups.is_empty());
}

#[test]
fn one_share_name_with_two_filters_is_two_groups() {
    let mut groups = Groups::new(1);
    let first = groups.join("$share/g/a", subscription(1), true).key;
    let second = groups.join("$share/g/b", subscription(1), true).key;
    assert_ne!(first, second);
    assert_eq!(&**groups.name(second), "$share/g/b");
    assert!(groups.leave("$share/g/a", SessionKey(1)).is_some_and(|left| left.removed));
    assert_eq!(groups.member("$share/g/b", SessionKey(1)), Some(subscription(1)));
    assert_eq!(groups.member("$share/g/a", SessionKey(1)), None);
}

#[test]
fn shards_take_turns_by_the_number_of_their_members() {
    let mut groups = Groups::new(1);
    let key = groups.join("$share/g/a", subscription(1), true).key;
    groups.join("$share/g/a", subscription(2), true);
    groups.set_remote("$share/g/a", ShardId(1), 1);
    groups.set_remote("$share/g/a", ShardId(2), 4);
    let picks: Vec<u8> =
        (0..70).filter_map(|_| groups.pick_shard(key, ME, ShardSet::EMPTY)).map(|s| s.0).collect();
    let count = |shard| picks.iter().filter(|&&pick| pick == shard).count();
    assert_eq!((count(ME.0), count(1), count(2)), (20, 10, 40));
    // Four of seven turns are spread out: no three of them in a row.
    assert!(!picks.windows(3).any(|three| three == [2, 2, 2]), "{picks:?}");
}

#[test]
fn shards_that_were_tried_are_left_out_until_nobody_is_left() {
    let mut groups = Groups::new(1);
    let key = groups.join("$share/g/a", subscription(1), true).key;
    groups.set_remote("$share/g/a", ShardId(1), 1);
    assert_eq!(groups.pick_shard(key, ME, tried(&[ME.0])), Some(ShardId(1)));
    assert_eq!(groups.pick_shard(key, ME, tried(&[1])), Some(ME));
    assert_eq!(groups.pick_shard(key, ME, tried(&[1, ME.0])), None);
    groups.leave("$share/g/a", SessionKey(1));
    assert_eq!(groups.pick_shard(key, ME, tried(&[1])), None);
}

#[test]
fn local_members_take_turns_and_those_that_cannot_are_passed_over() {
    let mut groups = Groups::new(1);
    for session in 0..4 {
        groups.join("$share/g/a", subscription(session), true);
    }
    let key = groups.key("$share/g/a").expect("it has members");
    let mut pick = |busy: &[u32]| {
        groups.pick_connected(key, |member| !busy.contains(&member.session.0)).map(|member| member.session.0)
    };
    let turns: Vec<_> = (0..6).map(|_| pick(&[])).collect();
    assert_eq!(turns, [0, 1, 2, 3, 0, 1].map(Some));
    assert_eq!(pick(&[2, 3]), Some(0));
    assert_eq!(pick(&[0, 1, 2, 3]), None);
    assert_eq!(pick(&[]), Some(1));
}

#[test]
fn a_member_moves_between_the_connected_and_the_absent() {
    let mut groups = Groups::new(1);
    let key = groups.join("$share/g/a", subscription(1), false).key;
    assert_eq!(groups.pick_connected(key, |_| true), None);
    assert_eq!(groups.pick_absent(key, |_| true), Some(subscription(1)));
    assert!(groups.set_connected("$share/g/a", SessionKey(1), true));
    assert_eq!(groups.pick_connected(key, |_| true), Some(subscription(1)));
    assert_eq!(groups.pick_absent(key, |_| true), None);
    let joined = groups.join("$share/g/a", subscription(1), false);
    assert_eq!(joined, Joined { key, created: false, replaced: Some(subscription(1)), local_count: 1 });
    assert_eq!(groups.pick_connected(key, |_| true), None);
    assert!(groups.set_connected("$share/g/a", SessionKey(1), false), "it is a member still");
    assert!(!groups.set_connected("$share/g/a", SessionKey(2), true));
    assert!(!groups.set_connected("$share/g/b", SessionKey(1), true));
    assert!(groups.leave("$share/g/a", SessionKey(1)).is_some_and(|left| left.removed));
}

/// Whom `pick_absent` asks if only `free` says yes, and what comes out.
fn ask_absent(groups: &mut Groups, key: GroupKey, free: Option<u32>) -> (Vec<u32>, Option<u32>) {
    let mut asked = Vec::new();
    let picked = groups.pick_absent(key, |member| {
        asked.push(member.session.0);
        Some(member.session.0) == free
    });
    (asked, picked.map(|member| member.session.0))
}

#[test]
fn a_message_asks_a_few_of_many_absent_members_and_the_next_one_asks_others() {
    let mut groups = Groups::new(1);
    for session in 0..10_000 {
        groups.join("$share/g/a", subscription(session), false);
    }
    let key = groups.key("$share/g/a").expect("it has members");
    let mut asked_by_all = Vec::new();
    for _ in 0..10_000_usize.div_ceil(PROBES_MAX) {
        let (asked, picked) = ask_absent(&mut groups, key, None);
        assert_eq!((asked.len(), picked), (PROBES_MAX, None));
        asked_by_all.extend(asked);
    }
    // In turn, once around and a little more.
    assert!(asked_by_all.into_iter().eq((0..10_000).chain(0..48)));
    let (asked, picked) = ask_absent(&mut groups, key, Some(50));
    assert_eq!((asked, picked), (vec![48, 49, 50], Some(50)));
    assert_eq!(ask_absent(&mut groups, key, Some(51)), (vec![51], Some(51)));
}

#[test]
fn the_one_connected_member_among_many_absent_is_found_with_one_question() {
    let mut groups = Groups::new(1);
    for session in 0..10_000 {
        groups.join("$share/g/a", subscription(session), false);
    }
    let key = groups.key("$share/g/a").expect("it has members");
    assert!(groups.set_connected("$share/g/a", SessionKey(7_777), true));
    for _ in 0..3 {
        let mut questions = 0;
        let picked = groups.pick_connected(key, |_| {
            questions += 1;
            true
        });
        assert_eq!((picked, questions), (Some(subscription(7_777)), 1));
    }
    assert_eq!(groups.local_count(key), 10_000);
}

#[test]
fn few_absent_members_are_asked_once_each() {
    let mut groups = Groups::new(1);
    let key = groups.join("$share/g/a", subscription(1), false).key;
    groups.join("$share/g/a", subscription(2), false);
    assert_eq!(ask_absent(&mut groups, key, None), (vec![1, 2], None));
    assert_eq!(ask_absent(&mut groups, key, Some(1)), (vec![1], Some(1)));
    assert_eq!(ask_absent(&mut groups, key, None), (vec![2, 1], None));
}

#[derive(Debug, Clone)]
enum Change {
    Join(u32, bool),
    Leave(u32),
    End(u32),
    LetGo,
    SetConnected(u32, bool),
    SetRemote(u8, u32),
}

fn a_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..5u32, any::<bool>()).prop_map(|(session, connected)| Change::Join(session, connected)),
        (0..5u32).prop_map(Change::Leave),
        (0..5u32).prop_map(Change::End),
        Just(Change::LetGo),
        (0..5u32, any::<bool>()).prop_map(|(session, connected)| Change::SetConnected(session, connected)),
        (0..3u8, 0..4u32).prop_map(|(shard, count)| Change::SetRemote(shard, count)),
    ]
}

/// What a group is.
#[derive(Default)]
struct Expected {
    /// Its members here, with whether they are connected.
    local: BTreeMap<u32, bool>,
    ended: u32,
    /// How many there are elsewhere.
    remote: BTreeMap<u8, u32>,
}

impl Expected {
    fn exists(&self) -> bool {
        !self.local.is_empty() || self.ended > 0 || !self.remote.is_empty()
    }
}

type Oracle = BTreeMap<String, Expected>;

fn apply(groups: &mut Groups, oracle: &mut Oracle, name: &str, change: &Change) {
    let existed = oracle.contains_key(name);
    let expected = oracle.entry(name.to_owned()).or_default();
    match *change {
        Change::Join(session, connected) => {
            let joined = groups.join(name, subscription(session), connected);
            let replaced = expected.local.insert(session, connected).is_some();
            assert_eq!((joined.created, joined.replaced.is_some()), (!existed, replaced));
            assert_eq!(joined.local_count as usize, expected.local.len());
        }
        Change::Leave(session) => {
            let left = groups.leave(name, SessionKey(session));
            assert_eq!(left.is_some(), expected.local.remove(&session).is_some());
            expect_left(left, expected);
        }
        Change::End(session) => {
            let has_ended = expected.local.remove(&session).is_some();
            assert_eq!(groups.end(name, SessionKey(session)), has_ended);
            expected.ended += u32::from(has_ended);
        }
        Change::LetGo => {
            let left = groups.let_go(name);
            assert_eq!(left.is_some(), expected.ended > 0);
            expected.ended = expected.ended.saturating_sub(1);
            expect_left(left, expected);
        }
        Change::SetConnected(session, connected) => {
            let held = expected.local.get_mut(&session);
            assert_eq!(groups.set_connected(name, SessionKey(session), connected), held.is_some());
            if let Some(held) = held {
                *held = connected;
            }
        }
        Change::SetRemote(shard, count) => {
            let change = groups.set_remote(name, ShardId(shard), count);
            if count == 0 {
                expected.remote.remove(&shard)
            } else {
                expected.remote.insert(shard, count)
            };
            let exists = expected.exists();
            assert_eq!((change.created, change.removed), (!existed && exists, existed && !exists));
            assert_eq!(change.key.is_some(), existed || exists);
        }
    }
    oracle.retain(|_, expected| expected.exists());
}

fn expect_left(left: Option<Left>, expected: &Expected) {
    let Some(left) = left else { return };
    assert_eq!((left.removed, left.local_count as usize), (!expected.exists(), expected.local.len()));
}

proptest! {
    #[test]
    fn groups_behave_like_maps_of_members(
        changes in prop::collection::vec((0..3usize, a_change()), 1..120),
        seed: u64,
    ) {
        let mut groups = Groups::new(seed);
        let mut oracle = Oracle::new();
        for (name, change) in &changes {
            let name = ["$share/g/a", "$share/g/b", "$share/h/a"][*name];
            apply(&mut groups, &mut oracle, name, change);
            assert_eq!(groups.len(), oracle.len());
            assert_eq!(groups.by_name.len(), oracle.len());
            let Some(Expected { local, remote, .. }) = oracle.get(name) else {
                assert_eq!(groups.key(name), None);
                continue;
            };
            let key = groups.key(name).expect("a group with members exists");
            assert_eq!(&**groups.name(key), name);
            assert_eq!(groups.local_count(key) as usize, local.len());
            for session in 0..5 {
                assert_eq!(groups.member(name, SessionKey(session)).is_some(), local.contains_key(&session));
            }
            // Whoever has members gets a turn once the others were tried.
            let mut picked = ShardSet::EMPTY;
            while let Some(shard) = groups.pick_shard(key, ME, picked) {
                picked.insert(shard);
            }
            let me = (!local.is_empty()).then_some(ME);
            assert_eq!(picked, remote.keys().map(|&shard| ShardId(shard)).chain(me).collect());
            let served = |connected| local.iter().filter(move |held| *held.1 == connected).map(|(&session, _)| session);
            let connected: BTreeSet<u32> = served(true)
                .filter_map(|_| groups.pick_connected(key, |_| true)).map(|member| member.session.0).collect();
            assert!(connected.into_iter().eq(served(true)));
            let absent: BTreeSet<u32> = served(false)
                .filter_map(|_| groups.pick_absent(key, |_| true)).map(|member| member.session.0).collect();
            assert!(absent.into_iter().eq(served(false)));
        }
    }
}

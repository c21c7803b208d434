//! The trie against its definition: a list of filters, each compared with the topic.

use proptest::prelude::*;

use super::*;

fn subscription(session: u32) -> Subscription {
    let options = mqtt::SubscriptionOptions::default();
    Subscription { session: SessionKey(session), options, subscription_id: 0 }
}

fn sessions(trie: &Trie, topic: &str) -> Vec<u32> {
    let mut found = Matches::default();
    trie.matches(topic, &mut found);
    let mut sessions: Vec<u32> = found.local.iter().map(|held| held.session.0).collect();
    sessions.sort_unstable();
    sessions
}

/// A trie in which session `n` subscribes to the `n`th of these filters.
fn trie_of(filters: &[&str]) -> Trie {
    let mut trie = Trie::new(1);
    for (session, filter) in (0..).zip(filters) {
        trie.subscribe(filter, subscription(session));
    }
    trie
}

fn assert_nothing_is_left(trie: &Trie) {
    assert_eq!((trie.filter_count(), trie.subscription_count()), (0, 0));
    assert_eq!((trie.exact.len(), trie.shaped.len()), (0, 0));
    assert_eq!((trie.shaped.shape_count(), trie.shaped.probes_max()), (0, 0));
    assert_eq!(trie.tree.size(), tree::Size { nodes: 1, edges: 0, levels: 0 });
}

#[test]
fn a_multi_level_wildcard_matches_its_parent_level() {
    let trie = trie_of(&["a/#", "a/b/#", "#", "a/+/#"]);
    assert_eq!(sessions(&trie, "a"), [0, 2]);
    assert_eq!(sessions(&trie, "a/b"), [0, 1, 2, 3]);
    assert_eq!(sessions(&trie, "a/b/c/d"), [0, 1, 2, 3]);
    assert_eq!(sessions(&trie, "ab"), [2]);
}

#[test]
fn a_single_level_wildcard_matches_exactly_one_level_even_an_empty_one() {
    let trie = trie_of(&["+", "+/+", "/+", "a/+", "a//b", "a/+/b", "/a"]);
    assert_eq!(sessions(&trie, "a"), [0]);
    assert_eq!(sessions(&trie, "/"), [1, 2]);
    assert_eq!(sessions(&trie, "/a"), [1, 2, 6]);
    assert_eq!(sessions(&trie, "a/"), [1, 3]);
    assert_eq!(sessions(&trie, "a//b"), [4, 5]);
}

#[test]
fn leading_wildcards_do_not_match_topics_that_start_with_a_dollar_sign() {
    let trie = trie_of(&["#", "+/#", "+/broker", "$SYS/#", "$SYS/+", "a/+", "a/#", "$SYS/broker"]);
    assert_eq!(sessions(&trie, "$SYS/broker"), [3, 4, 7]);
    assert_eq!(sessions(&trie, "$SYS"), [3]);
    assert_eq!(sessions(&trie, "$"), Vec::<u32>::new());
    // Only the first level counts.
    assert_eq!(sessions(&trie, "a/$SYS"), [0, 1, 5, 6]);
}

#[test]
fn subscribing_again_replaces_and_is_no_first() {
    let mut trie = Trie::new(1);
    for filter in ["a/b", "a/+"] {
        let first = trie.subscribe(filter, subscription(7));
        assert_eq!(first, Subscribed { replaced: None, first_local: true });
        let again = Subscription { subscription_id: 9, ..subscription(7) };
        let replaced = trie.subscribe(filter, again);
        assert_eq!(replaced, Subscribed { replaced: Some(subscription(7)), first_local: false });
        assert_eq!(trie.subscription(filter, SessionKey(7)), Some(again));
        assert_eq!(trie.subscription(filter, SessionKey(8)), None);
    }
    assert_eq!((trie.filter_count(), trie.subscription_count()), (2, 2));
}

#[test]
fn first_and_last_local_do_not_depend_on_peers_and_groups() {
    let mut trie = Trie::new(1);
    for filter in ["a/b", "a/#", "+"] {
        trie.add_peer(filter, ShardId(3));
        trie.add_group(filter, GroupKey(5));
        assert!(!trie.has_local(filter));
        assert!(trie.subscribe(filter, subscription(1)).first_local);
        assert!(!trie.subscribe(filter, subscription(2)).first_local);
        assert_eq!(trie.unsubscribe(filter, SessionKey(1)), Some(Unsubscribed { last_local: false }));
        assert!(trie.has_local(filter));
        assert_eq!(trie.unsubscribe(filter, SessionKey(2)), Some(Unsubscribed { last_local: true }));
        assert_eq!(trie.unsubscribe(filter, SessionKey(2)), None);
        assert!(!trie.has_local(filter));
        trie.remove_peer(filter, ShardId(3));
        trie.remove_group(filter, GroupKey(5));
    }
    assert_nothing_is_left(&trie);
}

#[test]
fn the_generation_changes_with_every_change_and_only_then() {
    let mut trie = Trie::new(1);
    let mut last = trie.generation();
    let mut changed = |trie: &Trie| std::mem::replace(&mut last, trie.generation()) != trie.generation();
    for filter in ["a", "a/#"] {
        trie.subscribe(filter, subscription(1));
        assert!(changed(&trie));
        trie.add_peer(filter, ShardId(1));
        assert!(changed(&trie));
        trie.add_peer(filter, ShardId(1));
        assert!(!changed(&trie));
        trie.add_group(filter, GroupKey(1));
        assert!(changed(&trie));
        trie.remove_group(filter, GroupKey(1));
        assert!(changed(&trie));
        trie.remove_peer(filter, ShardId(1));
        assert!(changed(&trie));
        trie.remove_peer(filter, ShardId(1));
        assert!(!changed(&trie));
        trie.unsubscribe(filter, SessionKey(1));
        assert!(changed(&trie));
        trie.unsubscribe(filter, SessionKey(1));
        assert!(!changed(&trie));
    }
}

#[test]
fn many_sessions_come_to_one_filter_and_leave_it_in_any_order() {
    for filter in ["a", "a/+"] {
        let mut trie = Trie::new(1);
        for session in 0..1000 {
            assert_eq!(trie.subscribe(filter, subscription(session)).first_local, session == 0);
        }
        for session in (0..1000).map(|n| n * 7 % 1000) {
            assert_eq!(trie.subscription(filter, SessionKey(session)), Some(subscription(session)));
            let left = trie.unsubscribe(filter, SessionKey(session));
            assert_eq!(left, Some(Unsubscribed { last_local: trie.subscription_count() == 0 }));
        }
        assert_nothing_is_left(&trie);
    }
}

#[test]
fn a_long_chain_of_wildcards_costs_one_step_a_level() {
    let deep = ["x"; 128].join("/");
    for filter in [["+"; 128].join("/"), ["+"; 127].join("/") + "/y", ["x"; 127].join("/") + "/#"] {
        let trie = trie_of(&[&filter]);
        assert!(trie.tree.matches(&deep, &mut Matches::default()) <= 129, "{filter}");
    }
}

#[test]
fn a_topic_visits_no_prefix_twice_whatever_the_filters() {
    // All of {x,+}^10, each with a chain behind it that the topic never gets to the end of.
    let mut trie = Trie::new(1);
    for bits in 0..1024u32 {
        let head = (0..10).map(|bit| if bits >> bit & 1 == 0 { "x" } else { "+" }).collect::<Vec<_>>();
        trie.subscribe(&(head.join("/") + "/+/+/+/never"), subscription(bits));
    }
    let steps = trie.tree.matches(&["x"; 128].join("/"), &mut Matches::default());
    assert!(steps <= trie.tree.size().nodes, "{steps} steps");
    // A topic that ends early or goes elsewhere pays for what it saw of the filters, not for all of them.
    assert!(trie.tree.matches("x/x/x", &mut Matches::default()) <= 16);
    assert!(trie.tree.matches("y/y/y/y/y/y/y/y/y/y/y/y", &mut Matches::default()) <= 13);
}

#[test]
fn any_number_of_shapes_costs_a_topic_a_bounded_number_of_looks() {
    // All of {x,+}^8 and all of them again with a `#` behind: many more shapes than there is room for.
    let mut trie = Trie::new(1);
    let filters: Vec<String> = (0..512u32)
        .map(|bits| {
            let head = (0..8).map(|bit| if bits >> bit & 1 == 0 { "x" } else { "+" }).collect::<Vec<_>>();
            head.join("/") + if bits < 256 { "" } else { "/#" }
        })
        .collect();
    for (session, filter) in (0..).zip(&filters) {
        trie.subscribe(filter, subscription(session));
    }
    assert_eq!(trie.shaped.probes_max(), 64);
    assert_eq!(trie.shaped.shape_count() + trie.tree.filter_count() + trie.exact.len(), 512);
    assert_eq!(sessions(&trie, "x/x/x/x/x/x/x/x"), (0..512).collect::<Vec<_>>());
    assert_eq!(sessions(&trie, "x/x/x/x/x/x/x/y").len(), 256);
    assert_eq!(sessions(&trie, "x/x/x/x/x/x/x/x/y"), (256..512).collect::<Vec<_>>());
    // A filter is found where it is, also after its shape has got room.
    for (session, filter) in (0..).zip(&filters) {
        assert!(!trie.subscribe(filter, subscription(session)).first_local, "{filter}");
    }
    for session in (0..512).rev() {
        let filter = &filters[session as usize];
        assert_eq!(trie.unsubscribe(filter, SessionKey(session)), Some(Unsubscribed { last_local: true }));
        assert_eq!(trie.unsubscribe(filter, SessionKey(session)), None);
    }
    assert_nothing_is_left(&trie);
}

#[test]
fn a_shape_that_gets_room_leaves_the_filters_of_the_tree_where_they_are() {
    let mut trie = Trie::new(1);
    let shapes = |bits: u32| {
        let head = (0..6).map(|bit| if bits >> bit & 1 == 0 { "x" } else { "+" }).collect::<Vec<_>>();
        head.join("/")
    };
    for bits in 1..=33 {
        trie.subscribe(&shapes(bits), subscription(bits));
    }
    assert_eq!((trie.shaped.len(), trie.tree.filter_count()), (32, 1));
    trie.unsubscribe(&shapes(1), SessionKey(1));
    // Two filters of one shape, one on either side.
    let (in_tree, beside) = (shapes(33), shapes(33).replace('x', "y"));
    trie.subscribe(&beside, subscription(34));
    trie.subscribe(&in_tree, subscription(35));
    assert_eq!((trie.shaped.len(), trie.tree.filter_count()), (32, 1));
    assert_eq!(sessions(&trie, "y/y/y/y/y/y"), [34]);
    assert!(sessions(&trie, "x/x/x/x/x/x").contains(&35));
    assert!(trie.unsubscribe(&in_tree, SessionKey(33)).is_some());
    assert!(trie.unsubscribe(&in_tree, SessionKey(35)).is_some());
    assert!(trie.unsubscribe(&beside, SessionKey(34)).is_some());
    assert_eq!((trie.shaped.len(), trie.tree.filter_count()), (31, 0));
}

#[derive(Debug, Clone)]
enum Change {
    Subscribe(u32, u32),
    Unsubscribe(u32),
    AddPeer(u8),
    RemovePeer(u8),
    AddGroup(u32),
    RemoveGroup(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Taker {
    /// With its subscription id.
    Session(u32, u32),
    Peer(u8),
    Group(u32),
}

/// The definition: who takes what, in no order.
#[derive(Default)]
struct Oracle(Vec<(String, Taker)>);

impl Oracle {
    fn is_local(taker: &Taker) -> bool {
        matches!(taker, Taker::Session(..))
    }

    fn local_count(&self, filter: &str) -> usize {
        self.0.iter().filter(|(held, taker)| held == filter && Oracle::is_local(taker)).count()
    }

    fn remove(&mut self, filter: &str, gone: impl Fn(&Taker) -> bool) -> Option<Taker> {
        let at = self.0.iter().position(|(held, taker)| held == filter && gone(taker))?;
        Some(self.0.swap_remove(at).1)
    }

    fn add(&mut self, filter: &str, taker: Taker) {
        self.remove(filter, |held| *held == taker);
        self.0.push((filter.to_owned(), taker));
    }

    fn filter_count(&self) -> usize {
        self.0.iter().map(|(filter, _)| filter).collect::<std::collections::BTreeSet<_>>().len()
    }

    fn apply(&mut self, filter: &str, change: &Change, trie: &mut Trie) {
        match *change {
            Change::Subscribe(session, id) => {
                let first_local = self.local_count(filter) == 0;
                let before =
                    self.remove(filter, |taker| matches!(taker, Taker::Session(held, _) if *held == session));
                let subscribed =
                    trie.subscribe(filter, Subscription { subscription_id: id, ..subscription(session) });
                assert_eq!(subscribed.first_local, first_local);
                let replaced =
                    subscribed.replaced.map(|held| Taker::Session(held.session.0, held.subscription_id));
                assert_eq!(replaced, before);
                self.add(filter, Taker::Session(session, id));
            }
            Change::Unsubscribe(session) => {
                let gone =
                    self.remove(filter, |taker| matches!(taker, Taker::Session(held, _) if *held == session));
                let expected = gone.map(|_| Unsubscribed { last_local: self.local_count(filter) == 0 });
                assert_eq!(trie.unsubscribe(filter, SessionKey(session)), expected);
            }
            Change::AddPeer(peer) => {
                self.add(filter, Taker::Peer(peer));
                trie.add_peer(filter, ShardId(peer));
            }
            Change::RemovePeer(peer) => {
                self.remove(filter, |taker| *taker == Taker::Peer(peer));
                trie.remove_peer(filter, ShardId(peer));
            }
            Change::AddGroup(group) => {
                self.add(filter, Taker::Group(group));
                trie.add_group(filter, GroupKey(group));
            }
            Change::RemoveGroup(group) => {
                self.remove(filter, |taker| *taker == Taker::Group(group));
                trie.remove_group(filter, GroupKey(group));
            }
        }
    }

    fn check(&self, topic: &str, trie: &Trie, found: &mut Matches) {
        let matching: Vec<_> = self.0.iter().filter(|(filter, _)| mqtt::matches(filter, topic)).collect();
        let mut expected: Vec<Taker> = matching.iter().map(|(_, taker)| *taker).collect();
        expected.sort_unstable();
        // A shard takes a message once, however many of its filters match.
        expected.dedup_by(|next, taker| next == taker && matches!(taker, Taker::Peer(_)));
        let mut with_local: Vec<_> =
            matching.iter().filter(|(_, taker)| Oracle::is_local(taker)).map(|(filter, _)| filter).collect();
        with_local.sort_unstable();
        with_local.dedup();

        trie.matches(topic, found);
        let local = found.local.iter().map(|held| Taker::Session(held.session.0, held.subscription_id));
        let peers = found.peers.iter().map(|peer| Taker::Peer(peer.0));
        let groups = found.groups.iter().map(|group| Taker::Group(group.0));
        let mut all: Vec<Taker> = local.chain(peers).chain(groups).collect();
        all.sort_unstable();
        assert_eq!(all, expected, "{topic}");
        assert_eq!(found.filters_with_local, with_local.len(), "{topic}");
        assert_eq!(found.is_empty(), expected.is_empty());
    }
}

fn a_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..4u32, 0..3u32).prop_map(|(session, id)| Change::Subscribe(session, id)),
        4 => (0..4u32).prop_map(Change::Unsubscribe),
        1 => (0..3u8).prop_map(Change::AddPeer),
        1 => (0..3u8).prop_map(Change::RemovePeer),
        1 => (0..3u32).prop_map(Change::AddGroup),
        1 => (0..3u32).prop_map(Change::RemoveGroup),
    ]
}

fn levels(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(names), 1..5).prop_map(|levels| levels.join("/"))
}

/// Names on either side of what a word holds, and more levels than have a hash of their own.
fn deep(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(names), 1..12).prop_map(|levels| levels.join("/"))
}

fn a_deep_filter() -> impl Strategy<Value = String> {
    let plain = || deep(&["+", "+", "a", "abcdefg", "abcdefgh", "abcdefghabcdefghi"]);
    prop_oneof![3 => plain(), 1 => plain().prop_map(|head| head + "/#")]
}

fn a_deep_topic() -> impl Strategy<Value = String> {
    deep(&["a", "abcdefg", "abcdefgh", "abcdefghabcdefghi"])
}

/// Filters of a few levels, of which many meet, and deep ones.
fn any_filter() -> impl Strategy<Value = String> {
    prop_oneof![3 => a_filter(), 1 => a_deep_filter()]
}

fn any_topic() -> impl Strategy<Value = String> {
    prop_oneof![3 => a_topic(), 1 => a_deep_topic()]
}

fn a_filter() -> impl Strategy<Value = String> {
    let plain = || levels(&["", "a", "b", "$x", "+", "+"]);
    let filter = prop_oneof![
        1 => Just("#".to_owned()),
        3 => plain(),
        2 => plain().prop_map(|head| head + "/#"),
    ];
    filter.prop_filter("a filter is not empty", |filter| mqtt::is_topic_filter(filter))
}

fn a_topic() -> impl Strategy<Value = String> {
    levels(&["", "a", "b", "$x", "c"]).prop_filter("a topic is not empty", |topic| mqtt::is_topic_name(topic))
}

proptest! {
    #[test]
    fn the_trie_finds_what_the_definition_finds(
        changes in prop::collection::vec((any_filter(), a_change()), 1..120),
        topics in prop::collection::vec(any_topic(), 40),
        seed: u64,
        distinct in prop_oneof![2 => Just(None), 1 => any::<u16>().prop_map(Some), 1 => Just(Some(0))],
    ) {
        let mut trie = Trie::new(seed);
        if let Some(distinct) = distinct {
            trie.keys = Keys::colliding(seed, distinct);
        }
        let mut oracle = Oracle::default();
        let mut found = Matches::default();
        for (at, (filter, change)) in changes.iter().enumerate() {
            oracle.apply(filter, change, &mut trie);
            oracle.check(&topics[at % topics.len()], &trie, &mut found);
            assert_eq!(trie.filter_count(), oracle.filter_count());
        }
        for topic in &topics {
            oracle.check(topic, &trie, &mut found);
        }
        for (filter, taker) in oracle.0.clone() {
            let removal = match taker {
                Taker::Session(session, _) => Change::Unsubscribe(session),
                Taker::Peer(peer) => Change::RemovePeer(peer),
                Taker::Group(group) => Change::RemoveGroup(group),
            };
            oracle.apply(&filter, &removal, &mut trie);
        }
        assert_nothing_is_left(&trie);
    }

    #[test]
    fn deep_filters_match_the_topics_that_they_are_made_of(
        topic in a_deep_topic(),
        wild in any::<u16>(),
        end in 0..12usize,
        others in prop::collection::vec(a_deep_filter(), 0..40),
        seed: u64,
    ) {
        let mut trie = Trie::new(seed);
        for (session, filter) in (1..).zip(&others) {
            trie.subscribe(filter, subscription(session));
        }
        let levels = topic.split('/').enumerate();
        let mut levels: Vec<&str> =
            levels.map(|(at, name)| if wild >> at & 1 == 0 { name } else { "+" }).collect();
        if end < levels.len() {
            levels.truncate(end);
            levels.push("#");
        }
        let filter = levels.join("/");
        trie.subscribe(&filter, subscription(0));
        let found = sessions(&trie, &topic);
        assert_eq!(found[0], 0, "{filter} {topic}");
        let expected = (1..).zip(&others).filter(|(_, filter)| mqtt::matches(filter, &topic)).map(|(n, _)| n);
        assert_eq!(found[1..], expected.collect::<Vec<u32>>());
    }
}

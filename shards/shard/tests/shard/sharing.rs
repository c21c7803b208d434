//! Shared subscriptions under rules: a message goes to a member that may have it.

use shard::{Config, Event};

use crate::{
    permitted::{bob, config, rules},
    script::{Client, Script, connect},
};

#[test]
fn a_group_gives_a_message_to_a_member_that_may_have_it() {
    for shards in [1, 3] {
        let deny = "{ allow = \"subscribe\", topics = \"#\" }, { deny = \"receive\", topics = \"t/secret\" }";
        let mut s = Script::new(Config { shards, ..config(Some(rules(deny))) });
        let members: Vec<Client> = (0..4).map(|n| s.join(&format!("m{n}"))).collect();
        let trusted = bob(&mut s);
        for member in members.iter().chain([&trusted]) {
            s.subscribe(*member, "$share/g/t/#", 1);
            s.hear(*member);
        }
        let sender = s.open_by(1, false);
        s.say_connect(sender, &connect("sender"));
        s.hear(sender);
        for n in 0..10 {
            s.publish(sender, "t/secret", &n.to_string());
        }
        let expected: Vec<String> = (0..10).map(|n| format!("t/secret '{n}'")).collect();
        assert_eq!(s.hear(trusted), expected, "on {shards} shards");
        for member in &members {
            assert!(s.hear(*member).is_empty());
        }
        assert_eq!((s.counter("dropped_denied"), s.counter("dropped_shared_nobody")), (0, 0));
        for n in 0..10 {
            s.publish(sender, "t/open", &n.to_string());
        }
        let each: Vec<usize> = members.iter().map(|member| s.hear(*member).len()).collect();
        assert_eq!(each.iter().sum::<usize>() + s.hear(trusted).len(), 10);
        assert!(each.iter().all(|count| *count > 0), "the turn goes round: {each:?}");
    }
}

#[test]
fn a_group_of_which_nobody_may_have_a_message_loses_it_and_says_so() {
    let deny = "{ allow = \"subscribe\", topics = \"#\" }, { deny = \"receive\", topics = \"t\" }";
    let mut s = Script::new(config(Some(rules(deny))));
    let (ada, bob) = (s.join("ada"), bob(&mut s));
    s.subscribe(ada, "$share/g/t", 1);
    s.hear(ada);
    s.publish(bob, "t", "");
    assert!(s.hear(ada).is_empty());
    assert_eq!((s.counter("dropped_denied"), s.counter("dropped_shared_nobody")), (0, 1));
    assert!(s.notes.iter().any(|note| note.contains("Denied") && note.contains("receive")));
}

#[test]
fn a_group_holds_its_members_to_the_rules_of_now() {
    let all = "{ allow = [\"subscribe\", \"publish\"], topics = \"#\" }";
    let mut s = Script::new(config(Some(rules(all))));
    let (ada, bob) = (s.join("ada"), bob(&mut s));
    s.subscribe(ada, "$share/g/t", 1);
    s.subscribe(bob, "$share/g/t", 1);
    s.hear(ada);
    s.hear(bob);
    let less = rules(&format!("{all}, {{ deny = \"receive\", topics = \"t\" }}"));
    s.event(0, Event::Rules(Some(less)));
    for n in 0..4 {
        s.publish(bob, "t", &n.to_string());
    }
    assert_eq!(s.hear(bob), ["t '0'", "t '1'", "t '2'", "t '3'"]);
    assert!(s.hear(ada).is_empty());
}

//! What `why` tells of subscriptions that a client has asked for and does not have, and of messages that are too large.

use mqtt::ReasonCode;
use shard::{Config, Look, Outcome, Why};

use crate::{
    permitted::{config, rules},
    script::{Script, options},
    why::{ask, question, receive, told},
};

#[test]
fn a_subscription_that_was_refused_says_by_what() {
    let rules = rules("{ allow = \"read\", topics = \"open/#\" }");
    let mut s = Script::new(config(Some(rules)));
    let client = s.join("c");
    s.subscribe_with(client, "closed/#", options(1), None);
    s.secs(3);
    let because = receive(&s, "c", "closed/x");
    assert_eq!(because.outcome, Outcome::Misses);
    let steps = told(&because, "subscription");
    assert_eq!(
        steps,
        ["no: it has no subscriptions", "fact: it asked for closed/# 3 s ago, and does not have it"]
    );
    assert!(
        told(&because, "rules")[0].starts_with("no: the rules say of \"subscribe\": denied"),
        "{because:?}"
    );
    let because = receive(&s, "c", "elsewhere");
    assert_eq!(told(&because, "subscription"), ["no: it has no subscriptions"]);
    assert_eq!(told(&because, "rules").len(), 1, "it may not subscribe to that either: {because:?}");
    s.subscribe(client, "open/#", 1);
    s.unsubscribe(client, "open/#");
    let because = receive(&s, "c", "open/x");
    assert_eq!(told(&because, "subscription")[1], "fact: it unsubscribed from open/# 0 s ago");
    assert!(told(&because, "rules").is_empty(), "{because:?}");
}

#[test]
fn a_subscription_beyond_a_limit_says_which() {
    let mut limited = Config::default();
    limited.limits.subscriptions_max = 1;
    let mut s = Script::new(limited);
    let client = s.join("c");
    s.subscribe(client, "a", 1);
    s.subscribe_with(client, "b", options(1), None);
    let because = receive(&s, "c", "b");
    assert_eq!(because.outcome, Outcome::Misses);
    let limit = "no: a subscription to b would be refused: the client has session.max_subscriptions";
    assert_eq!(told(&because, "limit"), [limit]);
}

#[test]
fn how_large_a_message_is_counts_on_both_sides() {
    let mut limited = Config::default();
    limited.limits.packet_bytes_max = 1000;
    limited.limits.queued_bytes_max = 600;
    let mut s = Script::new(limited);
    let publisher = s.join("p");
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "a", 1);
    s.disconnect(client, ReasonCode::Success);
    let large = Why { payload_bytes: Some(1000), ..question("p", "a") };
    let because = ask(&s, &Look::WhyPublish(Box::new(large.clone())));
    assert_eq!(because.outcome, Outcome::Stops);
    assert!(told(&because, "size")[0].ends_with("[server.max_packet_size]"), "{because:?}");
    let because = ask(&s, &Look::WhyReceive(Box::new(Why { client_id: "c".into(), ..large })));
    assert_eq!(because.outcome, Outcome::Stops);
    let because = receive(&s, "c", "a");
    assert_eq!(because.outcome, Outcome::Waits);
    assert!(told(&because, "queue")[0].contains("how large it is was not said"), "{because:?}");
    s.publish_qos(publisher, "a", &"x".repeat(700), 1, 1);
    let because = receive(&s, "c", "a");
    assert_eq!(because.outcome, Outcome::Stops, "the last one was lost");
    assert!(told(&because, "queue")[1].starts_with("no: but 1 on this topic were lost"), "{because:?}");
    let small = Why { payload_bytes: Some(1), ..question("c", "a") };
    assert_eq!(ask(&s, &Look::WhyReceive(Box::new(small))).outcome, Outcome::Waits);
    s.secs(11);
    assert_eq!(receive(&s, "c", "a").outcome, Outcome::Waits);
}

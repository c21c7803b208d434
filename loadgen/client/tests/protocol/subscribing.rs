//! SUBSCRIBE and UNSUBSCRIBE, and what becomes of them when the connection does not last.

use client::{
    Event, Options, QoS, ReasonCode, Refusal, RetainHandling, Subscription, SubscriptionOptions, Token,
    Unsubscription, Version,
};

use crate::script::{Script, options, persistent, plain_connack, resumed_connack};

fn subscribe(script: &mut Script, filter: &str) -> Token {
    script.client.subscribe(script.now, Subscription::new(filter, QoS::AtLeastOnce)).unwrap()
}

#[test]
fn suback_answers_with_one_reason_per_filter() {
    let mut script = Script::online(options(Version::V311));
    let mut subscription = Subscription::new("a", QoS::AtLeastOnce);
    subscription.filters.push(("b".into(), subscription.filters[0].1));
    let token = script.client.subscribe(script.now, subscription).unwrap();
    assert_eq!(script.sent(), b"\x82\x0a\x00\x01\x00\x01a\x01\x00\x01b\x01");
    script.receive(b"\x90\x04\x00\x01\x01\x80");
    let reasons = vec![ReasonCode::GrantedQoS1, ReasonCode::UnspecifiedError];
    assert_eq!(script.events(), [Event::Subscribed { token, reasons, reason_string: None }]);
}

#[test]
fn options_of_5_0_are_sent() {
    let mut script = Script::online(options(Version::V5));
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let subscription = Subscription {
        filters: vec![("a".into(), options)],
        subscription_id: Some(5),
        user_properties: Vec::new(),
    };
    script.client.subscribe(script.now, subscription).unwrap();
    assert_eq!(script.sent(), b"\x82\x09\x00\x01\x02\x0b\x05\x00\x01a\x2e");
}

#[test]
fn unsuback_carries_reasons_in_5_0_only() {
    let mut old = Script::online(options(Version::V311));
    let token = old.client.unsubscribe(old.now, Unsubscription::new("a")).unwrap();
    assert_eq!(old.sent(), b"\xa2\x05\x00\x01\x00\x01a");
    old.receive(b"\xb0\x02\x00\x01");
    assert_eq!(old.events(), [Event::Unsubscribed { token, reasons: Vec::new(), reason_string: None }]);

    let mut new = Script::online(options(Version::V5));
    let token = new.client.unsubscribe(new.now, Unsubscription::new("a")).unwrap();
    assert_eq!(new.sent(), b"\xa2\x06\x00\x01\x00\x00\x01a");
    new.receive(b"\xb0\x04\x00\x01\x00\x11");
    let reasons = vec![ReasonCode::NoSubscriptionExisted];
    assert_eq!(new.events(), [Event::Unsubscribed { token, reasons, reason_string: None }]);
}

#[test]
fn unanswered_request_is_asked_again_on_the_next_connection() {
    for connack in [plain_connack(Version::V311), resumed_connack(Version::V311)] {
        let mut script = Script::opened(persistent(Version::V311));
        let token = subscribe(&mut script, "a");
        assert_eq!(script.sent(), b"", "not before the CONNACK");
        script.receive(plain_connack(Version::V311));
        assert_eq!(script.sent(), b"\x82\x06\x00\x01\x00\x01a\x01");
        script.break_and_open();
        script.receive(connack);
        assert_eq!(script.sent(), b"\x82\x06\x00\x02\x00\x01a\x01", "as a new packet");
        script.events();
        script.receive(b"\x90\x03\x00\x02\x01");
        let reasons = vec![ReasonCode::GrantedQoS1];
        assert_eq!(script.events(), [Event::Subscribed { token, reasons, reason_string: None }]);
    }
}

#[test]
fn requests_and_publications_share_the_packet_ids() {
    let mut script = Script::online(options(Version::V311));
    script.publish(QoS::AtLeastOnce, "x");
    subscribe(&mut script, "a");
    let sent = script.sent();
    assert_eq!(sent[8..], *b"\x82\x06\x00\x02\x00\x01a\x01");
}

#[test]
fn answers_to_nothing_are_violations() {
    for answer in
        [&b"\x90\x03\x00\x07\x01"[..], b"\xb0\x02\x00\x07", b"\xb0\x02\x00\x01", b"\x90\x04\x00\x01\x00\x00"]
    {
        let mut script = Script::online(options(Version::V311));
        subscribe(&mut script, "a");
        script.receive(answer);
        script.assert_violated(ReasonCode::ProtocolError);
    }
}

#[test]
fn filters_are_checked() {
    let mut script = Script::online(options(Version::V5));
    for filter in ["", "a#", "a/#/b", "+a", "$share/g", "$share//a", "$share/g/a#", "a\0"] {
        let refused = script.client.subscribe(script.now, Subscription::new(filter, QoS::AtMostOnce));
        assert!(refused.is_err(), "{filter:?}");
    }
    for filter in ["#", "+", "a/+/b/#", "/", "$share/g/#", "$SYS/#"] {
        subscribe(&mut script, filter);
    }
    for id in [0, 268_435_456] {
        let numbered = Subscription { subscription_id: Some(id), ..Subscription::new("a", QoS::AtMostOnce) };
        assert_eq!(script.client.subscribe(script.now, numbered), Err(Refusal::SubscriptionId(id)));
    }
    let empty = Subscription { filters: Vec::new(), ..Subscription::new("a", QoS::AtMostOnce) };
    assert_eq!(script.client.subscribe(script.now, empty), Err(Refusal::NoFilter));
}

#[test]
fn requests_are_bounded() {
    let mut script = Script::online(Options { requests_max: 1, ..options(Version::V311) });
    subscribe(&mut script, "a");
    let refused = script.client.subscribe(script.now, Subscription::new("b", QoS::AtMostOnce));
    assert_eq!(refused, Err(Refusal::RequestsFull { limit: 1 }));
}

#[test]
fn request_larger_than_the_server_takes_is_answered_locally() {
    let mut script = Script::online_with(options(Version::V5), b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x0c");
    let token = subscribe(&mut script, "a/long/filter");
    assert_eq!(script.sent(), b"");
    let reasons = vec![ReasonCode::PacketTooLarge];
    assert_eq!(script.events(), [Event::Subscribed { token, reasons, reason_string: None }]);
    subscribe(&mut script, "a");
    assert_eq!(script.sent().len(), 9, "the next one is sent");
}

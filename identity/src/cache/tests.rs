//! What is repeated, for how long, and to whom.

use std::sync::Arc;

use super::*;
use crate::{Certificate, Enhanced, Reason, Secret, chain::tests::ask};

const ALL: Aspects =
    Aspects { login: true, client_id: true, certificate: true, address: true, version: true };

fn accept(expires_at_unix_ms: Option<u64>) -> Answer {
    Answer::Accept { identity: Arc::new(Identity { expires_at_unix_ms, ..Identity::default() }), data: None }
}

#[test]
fn each_part_that_is_looked_at_makes_another_key_and_no_other_does() {
    let keys = KeyMaker::new();
    let base = ask("192.0.2.1:1", Some(("alice", "secret")));
    let changed: [(Aspects, Ask); 6] = [
        (Aspects::LOGIN, ask("192.0.2.1:1", Some(("alice", "secreT")))),
        (Aspects::LOGIN, ask("192.0.2.1:1", Some(("alices", "ecret")))),
        (Aspects { client_id: true, ..Aspects::default() }, Ask { client_id: "x".into(), ..base.clone() }),
        (
            Aspects { certificate: true, ..Aspects::default() },
            Ask {
                certificate: Some(Arc::new(Certificate {
                    common_name: None,
                    alternative_names: Vec::new(),
                    fingerprint: [1; 32],
                })),
                ..base.clone()
            },
        ),
        (Aspects { address: true, ..Aspects::default() }, ask("192.0.2.2:1", Some(("alice", "secret")))),
        (Aspects { version: true, ..Aspects::default() }, Ask { version: 4, ..base.clone() }),
    ];
    for (aspect, other) in &changed {
        assert_ne!(keys.key(&base, *aspect, (0, 0)), keys.key(other, *aspect, (0, 0)), "{aspect:?}");
        assert_ne!(keys.key(&base, ALL, (0, 0)), keys.key(other, ALL, (0, 0)), "{aspect:?}");
        assert_eq!(keys.key(&base, Aspects::default(), (0, 0)), keys.key(other, Aspects::default(), (0, 0)));
    }
    // The port is another one for each connection.
    assert_eq!(
        keys.key(&base, ALL, (0, 0)),
        keys.key(&ask("192.0.2.1:2", Some(("alice", "secret"))), ALL, (0, 0))
    );
    let elsewhere = Ask { listener: "other".into(), ..base.clone() };
    assert_ne!(keys.key(&base, ALL, (0, 0)), keys.key(&elsewhere, ALL, (0, 0)));
    assert_ne!(keys.key(&base, ALL, (0, 0)), keys.key(&base, ALL, (1, 0)));
    assert_ne!(keys.key(&base, ALL, (0, 0)), keys.key(&base, ALL, (0, 1)));
    assert_ne!(keys.key(&base, ALL, (0, 0)), KeyMaker::new().key(&base, ALL, (0, 0)));
    // No password and an empty one are two things.
    let (none, empty) = (Ask { password: None, ..base.clone() }, ask("192.0.2.1:1", Some(("alice", ""))));
    assert_ne!(keys.key(&none, ALL, (0, 0)), keys.key(&empty, ALL, (0, 0)));
    let enhanced = Enhanced { method: "X".into(), data: Secret::new(b""), exchange: None };
    assert_eq!(keys.key(&Ask { enhanced: Some(enhanced), ..base }, ALL, (0, 0)), None);
}

#[test]
fn a_decision_is_repeated_until_its_time_is_over() {
    let mut cache = Cache::new(CacheLimits { accepted_ms: 100, rejected_ms: 10, entries_max: 100 });
    let wrong = Answer::reject(Reason::BadUserNameOrPassword, "wrong");
    cache.put([1; 16], 1_000, &accept(None));
    cache.put([2; 16], 1_000, &wrong);
    assert_eq!(cache.get(&[1; 16], 1_099, 0), Some(accept(None)));
    assert_eq!(cache.get(&[1; 16], 1_100, 0), None);
    assert_eq!(cache.get(&[2; 16], 1_009, 0), Some(wrong));
    assert_eq!(cache.get(&[2; 16], 1_010, 0), None);
    assert_eq!(cache.get(&[3; 16], 1_000, 0), None);
    cache.clear();
    assert_eq!(cache.get(&[1; 16], 1_000, 0), None);
}

#[test]
fn an_identity_is_not_repeated_beyond_its_own_end() {
    let mut cache = Cache::new(CacheLimits::default());
    cache.put([1; 16], 0, &accept(Some(5_000)));
    assert!(cache.get(&[1; 16], 1, 4_999).is_some());
    assert!(cache.get(&[1; 16], 1, 5_000).is_none());
}

#[test]
fn what_may_be_otherwise_in_a_moment_is_not_kept() {
    let mut cache = Cache::new(CacheLimits::default());
    for answer in [
        Answer::reject(Reason::ServerBusy, "x"),
        Answer::reject(Reason::ServerUnavailable, "x"),
        Answer::reject(Reason::ConnectionRateExceeded, "x"),
        Answer::Challenge { data: Vec::new(), exchange: crate::ExchangeId(1) },
        Answer::Accept { identity: Arc::default(), data: Some(Vec::new()) },
    ] {
        cache.put([1; 16], 0, &answer);
        assert_eq!(cache.get(&[1; 16], 0, 0), None);
    }
    let mut none = Cache::new(CacheLimits { accepted_ms: 0, ..CacheLimits::default() });
    none.put([1; 16], 0, &accept(None));
    assert_eq!(none.get(&[1; 16], 0, 0), None);
}

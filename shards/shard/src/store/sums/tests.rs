//! Records in, numbers out.
#![allow(clippy::unwrap_used)]

use mqtt::{QoS, SubscriptionOptions};
use smallvec::smallvec;

use super::*;
use crate::store::{
    entry::{Detached, Receiver, Receivers},
    record,
};

fn sums(entries: &[Entry<'_>]) -> Sums {
    let mut sums = Sums::default();
    let mut batch = Vec::new();
    entries.iter().for_each(|entry| {
        entry.encode(&mut batch, false);
    });
    record::records(&batch).for_each(|record| sums.take(&record).unwrap());
    sums
}

fn session(id: u64, client_id: &str) -> Entry<'_> {
    Entry::Session(SessionEntry {
        session: SessionId(id),
        is_whole: true,
        client_id,
        expiry_s: 60,
        detached: None,
        will: None,
    })
}

fn subscribed(id: u64, filter: &str) -> Entry<'_> {
    let options = SubscriptionOptions::default();
    Entry::Subscribed { session: SessionId(id), options, subscription_id: 0, filter }
}

fn receivers(of: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (session, number) in of {
        let qos = QoS::AtLeastOnce;
        let session = SessionId(*session);
        Receiver { session, number: *number, qos, retain: false, subscription_ids: smallvec![] }
            .encode(&mut bytes);
    }
    bytes
}

fn message<'a>(receivers: &'a [u8], count: u32, is_retained: bool, payload: &'a [u8]) -> Entry<'a> {
    Entry::Message(MessageEntry {
        qos: QoS::AtLeastOnce,
        retain: is_retained,
        is_retained,
        expires_at_ms: None,
        topic: "t",
        forwarded: &[],
        payload,
        receivers: Receivers { count, bytes: receivers },
    })
}

#[test]
fn what_is_owed_and_what_is_over_are_told_apart() {
    let both = receivers(&[(1, 1), (2, 1)]);
    let detached =
        Detached { session: SessionId(2), expiry_s: 60, ends_at_ms: None, will_at_ms: None, sent: 0 };
    let entries = [
        session(1, "one"),
        session(2, "two"),
        subscribed(1, "a"),
        subscribed(1, "b"),
        Entry::Unsubscribed { session: SessionId(1), filter: "a" },
        message(&both, 2, false, &[7; 100]),
        message(&[], 0, true, b"kept"),
        Entry::Detached(detached),
        Entry::Done { session: SessionId(1), number: 1 },
    ];
    let totals = sums(&entries).totals();
    let expected = Totals {
        sessions: 2,
        connected: 1,
        subscriptions: 1,
        queued: 1,
        retained: 1,
        live_bytes: totals.live_bytes,
        ..Totals::default()
    };
    assert_eq!(totals, expected);
    let over = [entries.as_slice(), &[Entry::Done { session: SessionId(2), number: 1 }]].concat();
    let after = sums(&over);
    assert!(totals.live_bytes - after.totals().live_bytes > 100);
    assert_eq!((after.kinds()[&22].records, after.kinds()[&24].records), (2, 2));
    let gone = [over.as_slice(), &[Entry::RetainedGone { topic: "t" }]].concat();
    let sessions =
        [Entry::SessionGone { session: SessionId(1) }, Entry::SessionGone { session: SessionId(2) }];
    assert_eq!(sums(&[gone.as_slice(), &sessions].concat()).totals(), Totals::default());
}

#[test]
fn a_whole_session_replaces_its_filters_and_keeps_its_queue() {
    let owed = receivers(&[(1, 1)]);
    let totals = sums(&[
        session(1, "one"),
        subscribed(1, "a"),
        message(&owed, 1, false, b"x"),
        session(1, "one"),
        subscribed(1, "b"),
    ])
    .totals();
    assert_eq!((totals.sessions, totals.subscriptions, totals.queued), (1, 1, 1));
}

#[test]
fn what_has_no_session_is_a_stray() {
    let totals = sums(&[subscribed(9, "a"), Entry::Done { session: SessionId(8), number: 3 }]).totals();
    assert_eq!((totals.sessions, totals.strays, totals.subscriptions), (0, 2, 0));
}

#[test]
fn the_older_of_two_sessions_of_one_client_or_place_is_superseded() {
    let place = |generation: u64, slot: u64| generation << 32 | slot;
    let found = sums(&[
        session(place(1, 0), "a"),
        session(place(2, 1), "b"),
        session(place(3, 2), "c"),
        session(place(4, 0), "d"),
        session(place(5, 3), "b"),
    ]);
    assert_eq!(found.superseded(), [SessionId(place(2, 1)), SessionId(place(1, 0))]);
    assert_eq!(found.client_id(SessionId(place(3, 2))), Some("c"));
}

#[test]
fn every_kind_has_a_name() {
    let known: Vec<u8> = (0..=255).filter(|kind| super::super::entry::name_of(*kind).is_some()).collect();
    assert_eq!(known, (16..=33).collect::<Vec<u8>>());
}

//! Every record survives the way through its bytes, and no bytes lead to a panic.

use proptest::prelude::*;

use super::*;
use crate::store::log::Position;

fn assert_survives(entry: &Entry<'_>) {
    let mut batch = Vec::new();
    assert_eq!(entry.encode(&mut batch, false), 0);
    let record = record::records(&batch).next().expect("one record was written");
    assert_eq!(Entry::decode(&record).as_ref(), Ok(entry));
    let of_another_version = Record { version: VERSION + 1, ..record };
    assert_eq!(Entry::decode(&of_another_version), Err(Malformed));
    for len in 0..record.body.len() {
        // Shorter bodies are errors or shorter texts, and never a panic.
        let _ = Entry::decode(&Record { body: &record.body[..len], ..record });
    }
}

fn detached() -> Detached {
    Detached { session: SessionId(7), expiry_s: 9, ends_at_ms: None, will_at_ms: Some(0), sent: 3 }
}

#[test]
fn every_record_survives_the_way_through_its_bytes() {
    let session = SessionId(0x0102_0304_0506_0708);
    let packet_id = PacketId::new(65_535).expect("not zero");
    let will = WillEntry {
        will: SessionId(8),
        qos: QoS::ExactlyOnce,
        retain: true,
        delay_s: 5,
        message_expiry_s: Some(0),
        topic: "w/t",
        forwarded: &[1, 2],
        payload: b"",
    };
    let whole = SessionEntry {
        session,
        is_whole: true,
        client_id: "c\u{e4}",
        expiry_s: u32::MAX,
        detached: Some(detached()),
        will: Some(will),
    };
    let back = SessionEntry { is_whole: false, detached: None, will: None, ..whole.clone() };
    let mut receivers = Vec::new();
    let receiver = Receiver {
        session,
        number: 1 << 40,
        qos: QoS::AtLeastOnce,
        retain: true,
        subscription_ids: [1, 268_435_455, 3].into_iter().collect(),
    };
    receiver.encode(&mut receivers);
    Receiver { subscription_ids: Default::default(), ..receiver.clone() }.encode(&mut receivers);
    let message = MessageEntry {
        qos: QoS::ExactlyOnce,
        retain: false,
        is_retained: true,
        expires_at_ms: Some(1_700_000_000_000),
        topic: "a/b",
        forwarded: &[0x26, 0, 1, b'a', 0, 1, b'b'],
        payload: b"payload",
        receivers: Receivers { count: 2, bytes: &receivers },
    };
    let options = SubscriptionOptions { qos: QoS::AtLeastOnce, no_local: true, ..Default::default() };
    assert_eq!(message.receivers.iter().next(), Some(receiver));
    for entry in [
        Entry::Session(whole),
        Entry::Session(back),
        Entry::Subscribed { session, options, subscription_id: 268_435_455, filter: "a/+/#" },
        Entry::Unsubscribed { session, filter: "$share/g/a" },
        Entry::Detached(detached()),
        Entry::WillGone { session },
        Entry::WillPublished { will: SessionId(8), session, message: message.clone() },
        Entry::WillOver { will: SessionId(8) },
        Entry::SessionGone { session },
        Entry::Message(message),
        Entry::Released { session, number: 0 },
        Entry::Done { session, number: u64::MAX },
        Entry::Received { session, packet_id },
        Entry::Freed { session, packet_id },
        Entry::RetainedGone { topic: "a" },
        Entry::Handshake { handshake: Handshake { home: ShardId(127), session, packet_id }, share: "" },
        Entry::Handshake {
            handshake: Handshake { home: ShardId(0), session, packet_id },
            share: "$share/group/a/+",
        },
        Entry::HandshakePart {
            handshake: Handshake { home: ShardId(1), session, packet_id },
            first: SessionId(1 << 32),
            last: session,
        },
        Entry::HandshakeOver(Handshake { home: ShardId(0), session, packet_id }),
        Entry::PublisherGone { home: ShardId(1), session },
    ] {
        assert_survives(&entry);
    }
}

proptest! {
    #[test]
    fn no_bytes_lead_to_a_panic(kind in 0..40u8, body in prop::collection::vec(any::<u8>(), 0..80)) {
        let position = Position { generation: 0, offset: 0 };
        let _ = Entry::decode(&Record { kind, version: VERSION, more: false, position, body: &body });
    }
}

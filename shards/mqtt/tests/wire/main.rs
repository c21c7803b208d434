//! The wire, byte by byte: tables of packets and their bytes, of bytes that are refused and why, and properties
//! that hold for every packet. The files named after packets hold the tables; this one runs them.

mod acks;
mod build;
mod connack;
mod connect;
mod forward;
mod limit;
mod publish;
mod reason;
mod received;
mod refused;
mod round_trip;
mod session_end;
mod subscriptions;
mod topic;

use build::{Case, Direction};
use mqtt::{MAX_PACKET_SIZE, PacketKind, Version, decode, frame_size, split};

fn all_cases() -> Vec<Case> {
    [
        connect::cases(),
        connack::cases(),
        publish::cases(),
        acks::cases(),
        subscriptions::cases(),
        session_end::cases(),
    ]
    .concat()
}

#[test]
fn every_case_decodes_to_its_packet() {
    for case in all_cases() {
        let frame = split(case.bytes, MAX_PACKET_SIZE).expect(case.name).expect(case.name);
        assert_eq!(frame.size, case.bytes.len(), "{}", case.name);
        assert_eq!(frame.kind, case.packet.kind(), "{}", case.name);
        assert_eq!(decode(&frame, case.version).as_ref(), Ok(&case.packet), "{}", case.name);
    }
}

#[test]
fn every_case_encodes_to_its_bytes() {
    for case in all_cases().iter().filter(|case| case.direction == Direction::Both) {
        let mut out = b"before".to_vec();
        case.packet.encode(case.version, &mut out);
        assert_eq!(out.strip_prefix(b"before"), Some(case.bytes), "{}", case.name);
        assert_eq!(case.packet.size(case.version), case.bytes.len(), "{}", case.name);
    }
}

#[test]
fn every_prefix_of_a_packet_is_incomplete() {
    for case in all_cases() {
        for len in 0..case.bytes.len() {
            assert_eq!(split(&case.bytes[..len], MAX_PACKET_SIZE), Ok(None), "{} at {len}", case.name);
        }
    }
}

#[test]
fn what_follows_a_packet_is_not_touched() {
    for case in all_cases() {
        let stream = [case.bytes, b"\xff\xff\xff\xff\xff"].concat();
        let frame = split(&stream, MAX_PACKET_SIZE).expect(case.name).expect(case.name);
        assert_eq!(frame.size, case.bytes.len(), "{}", case.name);
        assert_eq!(frame_size(&stream), Some(frame.size), "{}", case.name);
    }
}

#[test]
fn a_body_cut_short_is_refused_or_is_another_valid_packet() {
    for case in all_cases().iter().filter(|case| case.direction == Direction::Both) {
        let whole = split(case.bytes, MAX_PACKET_SIZE).expect(case.name).expect(case.name);
        for len in 0..whole.body.len() {
            let cut = mqtt::Frame { body: &whole.body[..len], ..whole };
            if let Ok(packet) = decode(&cut, case.version) {
                assert_ne!(packet, case.packet, "{} at {len}", case.name);
            }
        }
    }
}

#[test]
fn there_is_a_case_for_every_packet_of_every_version() {
    let cases = all_cases();
    for version in Version::ALL {
        for kind in PacketKind::ALL {
            let exists = kind != PacketKind::Auth || version == Version::V5;
            let found = cases.iter().any(|case| case.packet.kind() == kind && case.version == version);
            assert_eq!(found, exists, "{kind:?} of {version:?}");
        }
    }
}

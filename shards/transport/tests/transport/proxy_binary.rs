//! Version 2 of the PROXY protocol, byte by byte.

use transport::proxy::{Header, V2_SIGNATURE, V2_SIZE_MAX, decode};

use crate::proxy::check;

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xDC, 0x04, 0x07, 0x5B];

fn bytes(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = (rest.len() as u16).to_be_bytes();
    [V2_SIGNATURE, &[command, family], &len, rest].concat()
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &(value.len() as u16).to_be_bytes()[..], value].concat()
}

fn from_v4(size: usize, common_name: Option<&str>) -> Header {
    Header {
        source: Some("192.0.2.1:56324".parse().expect("an address")),
        destination: Some("198.51.100.2:1883".parse().expect("an address")),
        common_name: common_name.map(str::to_owned),
        size,
    }
}

fn is_refused(bytes: &[u8], part: &str) {
    let fault = decode(bytes).expect_err(part);
    assert!(fault.what.contains(part), "{:?} speaks of {part:?}", fault.what);
}

#[test]
fn addresses_of_a_stream_are_read() {
    check(&bytes(0x21, 0x11, &V4), &from_v4(28, None));
    let mut v6 = [0; 36];
    v6[..2].copy_from_slice(&[0x20, 0x01]);
    (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
    let expected = Header {
        source: Some("[2001::1]:3".parse().expect("an address")),
        destination: Some("[::2]:4".parse().expect("an address")),
        common_name: None,
        size: 52,
    };
    check(&bytes(0x21, 0x21, &v6), &expected);
}

#[test]
fn local_unix_datagram_and_unknown_name_no_address() {
    let nobody = |size| Header { size, ..Header::default() };
    for (command, family, rest) in [
        (0x20, 0x00, &b""[..]),
        (0x20, 0x11, &V4),
        (0x20, 0x11, &[1, 2, 3]),
        (0x21, 0x00, &b""[..]),
        (0x21, 0x00, &[9; 33]),
        (0x21, 0x31, &[b'x'; 216]),
        (0x21, 0x12, &V4),
        (0x21, 0x10, &V4),
    ] {
        check(&bytes(command, family, rest), &nobody(16 + rest.len()));
    }
}

#[test]
fn a_name_counts_when_the_proxy_has_verified_the_certificate() {
    let name = field(0x22, "sensor-\u{e9}".as_bytes());
    for (client, verify, expected) in [
        (0x07, 0, Some("sensor-\u{e9}")),
        (0x03, 0, Some("sensor-\u{e9}")),
        (0x05, 0, Some("sensor-\u{e9}")),
        // No certificate, or one that is not good.
        (0x01, 0, None),
        (0x07, 1, None),
    ] {
        let about = [&[client, 0, 0, 0, verify], &field(0x21, b"TLSv1.3")[..], &name].concat();
        let rest = [&V4, &field(0x05, b"id")[..], &field(0x20, &about), &field(0x04, &[0; 9])].concat();
        check(&bytes(0x21, 0x11, &rest), &from_v4(16 + rest.len(), expected));
    }
    let about = [&[7, 0, 0, 0, 0], &field(0x22, &[0xFF])[..]].concat();
    is_refused(&bytes(0x21, 0x11, &[&V4, &field(0x20, &about)[..]].concat()), "UTF-8");
    is_refused(&bytes(0x21, 0x11, &[&V4, &field(0x20, &[7, 0, 0, 0])[..]].concat()), "too short");
    is_refused(
        &bytes(0x21, 0x11, &[&V4, &field(0x20, &[7, 0, 0, 0, 0, 0x22])[..]].concat()),
        "beyond its end",
    );
}

#[test]
fn a_checksum_is_checked() {
    let rest = [&V4, &field(0x01, b"mqtt")[..], &field(0x03, &[0; 4]), &field(0x02, b"host")].concat();
    let mut whole = bytes(0x21, 0x11, &rest);
    let at = 16 + 12 + 7 + 3;
    // Computed bit by bit, in another way than the crate does.
    let mut sum = u32::MAX;
    for byte in &whole {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82F6_3B78 } else { sum >> 1 };
        }
    }
    whole[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
    check(&whole, &from_v4(whole.len(), None));
    for wrong in [0, 13, 16, at, at + 3, whole.len() - 1] {
        let mut whole = whole.clone();
        whole[wrong] ^= 0x01;
        assert!(decode(&whole).is_err(), "byte {wrong}");
    }
    is_refused(&bytes(0x21, 0x11, &[&V4, &field(0x03, &[0; 5])[..]].concat()), "four bytes");
}

#[test]
fn headers_that_are_not_as_specified_are_refused_early() {
    is_refused(&[V2_SIGNATURE, &[0x11]].concat(), "version");
    is_refused(&[V2_SIGNATURE, &[0x22]].concat(), "command");
    is_refused(&bytes(0x21, 0x41, &V4), "family");
    is_refused(&bytes(0x21, 0x13, &V4), "transport");
    is_refused(&bytes(0x21, 0x11, &V4[..11]), "too short");
    is_refused(&bytes(0x21, 0x21, &V4), "too short");
    is_refused(&bytes(0x21, 0x31, &[0; 215]), "too short");
    is_refused(&bytes(0x21, 0x11, &[&V4[..], &[1]].concat()), "beyond its end");
    is_refused(&bytes(0x21, 0x11, &[&V4[..], &[1, 0, 2, 0]].concat()), "beyond its end");
}

#[test]
fn a_header_beyond_the_limit_is_refused_before_it_is_there() {
    let most = vec![0; V2_SIZE_MAX - 16];
    check(&bytes(0x20, 0, &most), &Header { size: V2_SIZE_MAX, ..Header::default() });
    let more = bytes(0x20, 0, &vec![0; V2_SIZE_MAX - 15]);
    is_refused(&more[..16], "larger");
}

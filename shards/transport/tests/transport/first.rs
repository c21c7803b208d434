//! The first bytes of a connection, each protocol's and those of none.

use transport::{FIRST_BYTES_MAX, Kind, tell};

const KNOWN: [(&[u8], Kind, usize); 11] = [
    (b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", Kind::Mqtt, 1),
    (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", Kind::Tls, 2),
    (b"\x16\x03\x03\x02\0\x01", Kind::Tls, 2),
    (b"GET /mqtt HTTP/1.1\r\n", Kind::Http, 4),
    (b"POST / HTTP/1.1\r\n", Kind::Http, 5),
    (b"PUT / HTTP/1.1\r\n", Kind::Http, 4),
    (b"HEAD / HTTP/1.1\r\n", Kind::Http, 5),
    (b"OPTIONS * HTTP/1.1\r\n", Kind::Http, 8),
    (b"PRI * HTTP/2.0\r\n", Kind::Http, 4),
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Kind::Proxy, 6),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Kind::Proxy, 12),
];

#[test]
fn each_protocol_is_told_as_soon_as_its_beginning_is_there() {
    for (bytes, kind, needed) in KNOWN {
        for len in 0..=bytes.len() {
            let expected = (len >= needed).then_some(Ok(kind));
            assert_eq!(
                tell(&bytes[..len]),
                expected,
                "{len} bytes of {:?}",
                bytes.escape_ascii().to_string()
            );
        }
        assert!(needed <= FIRST_BYTES_MAX);
    }
}

#[test]
fn what_is_none_of_them_is_refused_at_the_first_byte_that_differs() {
    for (bytes, needed) in [
        (&b"\x16\x02\0"[..], 2),
        (b"\x12\x0c", 1),
        (b"\xc0\0", 1),
        (b"\x30\x05\0\x01ahi", 1),
        (b"\x80\x2e\x01", 1),
        (b"SSH-2.0-OpenSSH", 1),
        (b"GETS", 4),
        (b"PROXX", 5),
        (b"PROXY\t", 6),
        (b"\r\nGET", 3),
        (b"\0\0\0\0", 1),
    ] {
        for len in 0..=bytes.len() {
            let told = tell(&bytes[..len]);
            assert_eq!(told.is_some(), len >= needed, "{len} bytes of {bytes:?}");
            assert!(told.is_none_or(|told| told.is_err()), "{len} bytes of {bytes:?}");
        }
    }
}

#[test]
fn nothing_needs_more_than_the_limit() {
    for first in 0..=u8::MAX {
        for second in 0..=u8::MAX {
            let mut bytes = [b'A'; FIRST_BYTES_MAX];
            bytes[..2].copy_from_slice(&[first, second]);
            assert!(tell(&bytes).is_some(), "{bytes:?}");
        }
    }
}

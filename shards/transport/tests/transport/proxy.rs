//! Version 1 of the PROXY protocol, and what is no header at all.

use proptest::prelude::*;
use transport::proxy::{Header, V1_SIZE_MAX, decode};

fn header(source: &str, destination: &str, size: usize) -> Header {
    let address = |text: &str| (!text.is_empty()).then(|| text.parse().expect("an address"));
    Header { source: address(source), destination: address(destination), common_name: None, size }
}

/// Each prefix is incomplete, and what follows does not matter.
pub fn check(bytes: &[u8], expected: &Header) {
    for len in 0..bytes.len() {
        assert_eq!(decode(&bytes[..len]), Ok(None), "{len} bytes of {bytes:?}");
    }
    for more in [&b""[..], b"\x10\x0c\0\x04MQTT", &[0xFF; 5000]] {
        assert_eq!(decode(&[bytes, more].concat()).as_ref(), Ok(&Some(expected.clone())), "{bytes:?}");
    }
}

#[test]
fn lines_are_read() {
    for (line, source, destination) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883\r\n", "192.0.2.1:56324", "198.51.100.2:1883"),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0", "255.255.255.255:65535"),
        ("PROXY TCP6 2001:db8::1 ::1 56324 1883\r\n", "[2001:db8::1]:56324", "[::1]:1883"),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1", "[::1]:2"),
        ("PROXY UNKNOWN\r\n", "", ""),
        ("PROXY UNKNOWN ffff::1 whatever 1 2 3 4\r\n", "", ""),
    ] {
        check(line.as_bytes(), &header(source, destination, line.len()));
    }
}

#[test]
fn the_longest_line_is_read_and_a_longer_one_is_not() {
    let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let line = format!("PROXY UNKNOWN {long} {long} 65535 65535\r\n");
    assert_eq!(line.len(), V1_SIZE_MAX);
    check(line.as_bytes(), &header("", "", line.len()));
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
    for len in 0..V1_SIZE_MAX {
        assert_eq!(decode(&endless.as_bytes()[..len]), Ok(None));
    }
    for len in V1_SIZE_MAX..endless.len() {
        assert!(decode(&endless.as_bytes()[..len]).is_err());
    }
}

#[test]
fn lines_that_are_not_as_specified_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4  2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP6 ::1 ::g 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
    ] {
        assert!(decode(line.as_bytes()).is_err(), "{line:?}");
    }
    assert!(decode(b"PROXY TCP4 \xff 1.2.3.4 1 2\r\n").is_err());
}

#[test]
fn what_begins_otherwise_is_refused_at_the_first_byte_that_differs() {
    for (bytes, needed) in
        [(&b"\x10\x0c\0"[..], 1), (b"PROXX ", 5), (b"proxy ", 1), (b"\r\n\r\n\0\r\nQUIT\r", 12)]
    {
        for len in 0..=bytes.len() {
            assert_eq!(decode(&bytes[..len]).is_err(), len >= needed, "{len} bytes of {bytes:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_address_is_read_back(source: std::net::SocketAddrV4, destination: std::net::SocketAddrV4) {
        let (from, to) = (source.ip(), destination.ip());
        let line = format!("PROXY TCP4 {from} {to} {} {}\r\n", source.port(), destination.port());
        let expected = header(&source.to_string(), &destination.to_string(), line.len());
        prop_assert_eq!(decode(line.as_bytes()), Ok(Some(expected)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, signature in 0usize..3) {
        let begin: &[u8] = [&b""[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"][signature];
        let bytes = [begin, &bytes].concat();
        if let Ok(Some(header)) = decode(&bytes) {
            prop_assert!(header.size <= bytes.len());
        }
    }
}

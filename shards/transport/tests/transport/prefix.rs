//! Prefixes of addresses, from text and against addresses.

use std::net::IpAddr;

use proptest::prelude::*;
use transport::{BadPrefix, Prefix};

fn prefix(text: &str) -> Prefix {
    text.parse().expect(text)
}

#[test]
fn a_prefix_contains_the_addresses_that_begin_like_it() {
    for (text, address, expected) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("0.0.0.0/0", "255.255.255.255", true),
        ("0.0.0.0/0", "::1", false),
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false),
        ("192.0.2.128/25", "192.0.2.127", false),
        ("192.0.2.128/25", "192.0.2.255", true),
        ("::1", "::1", true),
        ("::1", "127.0.0.1", false),
        ("2001:db8::/33", "2001:db8:7fff::1", true),
        ("2001:db8::/33", "2001:db8:8000::1", false),
        ("::/0", "fe80::1", true),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("::ffff:10.0.0.0/104", "10.1.2.3", true),
        ("::ffff:10.1.2.3", "10.1.2.3", true),
    ] {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(prefix(text).contains(address), expected, "{address} in {text}");
    }
}

#[test]
fn what_is_no_prefix_is_refused_with_what_to_write() {
    for text in ["", "10.0.0", "10.0.0.0.0/8", "10.0.0.0 /8", "host", "01.2.3.4", "[::1]", "::1%eth0", "/8"] {
        assert!(matches!(text.parse::<Prefix>(), Err(BadPrefix::Address(_))), "{text:?}");
    }
    for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1", "::/129", "::/256", "::/8/8"] {
        assert!(matches!(text.parse::<Prefix>(), Err(BadPrefix::Length { .. })), "{text:?}");
    }
    let error = "10.1.2.3/8".parse::<Prefix>().expect_err("bits beyond the prefix");
    assert_eq!(error.to_string(), "`10.1.2.3/8` has bits set beyond its length: write 10.0.0.0/8");
}

proptest! {
    #[test]
    fn a_prefix_agrees_with_its_bits(address: u32, other: u32, bits in 0u8..=32, flipped in 0u32..32) {
        let ip = |bits: u32| IpAddr::from(bits.to_be_bytes());
        let prefix = Prefix::around(ip(address), bits).expect("a length of IPv4");
        let begins_alike = |other: u32| (0..u32::from(bits)).all(|at| (address ^ other) & (1 << (31 - at)) == 0);
        for other in [other, address ^ (1 << flipped), address] {
            prop_assert_eq!(prefix.contains(ip(other)), begins_alike(other));
        }
        prop_assert_eq!(prefix.to_string().parse::<Prefix>().expect("what is shown can be read"), prefix);
    }

    #[test]
    fn longer_prefixes_agree_with_their_bits(address: u128, flipped in 0u32..128, bits in 0u8..=128) {
        let ip = |bits: u128| IpAddr::from(bits.to_be_bytes());
        let prefix = Prefix::around(ip(address | 1 << 127), bits).expect("a length of IPv6");
        let other = ip((address | 1 << 127) ^ (1 << (127 - flipped)));
        prop_assert_eq!(prefix.contains(other), flipped >= u32::from(bits));
        prop_assert_eq!(prefix.to_string().parse::<Prefix>().expect("what is shown can be read"), prefix);
    }
}

#[test]
fn what_counts_of_an_address_is_all_of_ipv4_and_the_network_of_a_customer_of_ipv6() {
    for (address, counts) in [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
    ] {
        assert_eq!(Prefix::that_counts(address.parse().expect(address)), prefix(counts), "{address}");
    }
}

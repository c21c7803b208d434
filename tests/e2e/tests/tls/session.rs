//! What is agreed on beside keys: protocols by name, certificates by name, sessions that are resumed, and no second handshake.

use super::Sealed;
use super::openssl::{Client, visit};

impl Sealed {
    fn client(&self, scheme: &str) -> Client {
        Client::to(self.port(scheme), &self.authority.file())
    }
}

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

#[test]
fn a_client_names_its_protocol_or_none_and_others_are_refused() {
    let sealed = Sealed::start("tls-alpn", "");
    for version in VERSIONS {
        for (door, named, agreed) in [
            ("tls", None, Some("No ALPN negotiated")),
            ("tls", Some("mqtt"), Some("ALPN protocol: mqtt")),
            ("tls", Some("h2,mqtt"), Some("ALPN protocol: mqtt")),
            ("tls", Some("http/1.1"), None),
            ("tls", Some("h2"), None),
            ("wss", Some("http/1.1"), Some("ALPN protocol: http/1.1")),
            ("wss", Some("h2,http/1.1"), Some("ALPN protocol: http/1.1")),
            ("wss", Some("mqtt"), None),
            ("any", Some("mqtt"), Some("ALPN protocol: mqtt")),
            ("any", Some("http/1.1"), Some("ALPN protocol: http/1.1")),
            ("any", Some("h2"), None),
        ] {
            let client = sealed.client(door).args([version]);
            let said = match named {
                Some(named) => client.args(["-alpn", named]).visit(),
                None => client.visit(),
            };
            match agreed {
                Some(agreed) => assert!(said.says(agreed), "{door} {named:?} {version}\n{}", said.text),
                None => assert!(
                    said.says("no application protocol") && !said.was_served(),
                    "{door} {named:?} {version}\n{}",
                    said.text
                ),
            }
        }
    }
}

#[test]
fn a_client_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let sealed = Sealed::start("tls-names", "");
    for version in VERSIONS {
        for (asked, shown) in [
            (Some("broker.example"), "CN = broker.example"),
            (Some("second.example"), "CN = second.example"),
            (Some("SECOND.example"), "CN = second.example"),
            (Some("unknown.example"), "CN = broker.example"),
            (None, "CN = broker.example"),
        ] {
            let client = sealed.client("tls").args([version]);
            let said = match asked {
                Some(name) => client.args(["-servername", name]).visit(),
                None => client.args(["-noservername"]).visit(),
            };
            assert!(said.was_served(), "{asked:?} {version}\n{}", said.text);
            assert!(said.says(&format!("subject={shown}")), "{asked:?} {version}\n{}", said.text);
        }
    }
}

#[test]
fn a_client_sees_that_the_certificate_is_for_another_name_or_by_another_authority() {
    let sealed = Sealed::start("tls-wrong-name", "");
    let good = sealed.client("tls").args(["-verify_hostname", "broker.example"]).visit();
    assert!(good.is_success && good.was_served() && good.says("Verify return code: 0 (ok)"), "{}", good.text);
    let other = sealed.client("tls").args(["-verify_hostname", "unknown.example"]).visit();
    assert!(other.says("hostname mismatch") && !other.was_served(), "{}", other.text);
    let elsewhere = e2e::Authority::new(&e2e::program::fresh_folder("tls-elsewhere"));
    let stranger = Client::to(sealed.port("tls"), &elsewhere.file()).visit();
    assert!(!stranger.is_success && !stranger.was_served(), "{}", stranger.text);
}

#[test]
fn a_client_sees_that_the_certificate_is_of_the_past() {
    let sealed = Sealed::prepared("tls-past", "", |authority| authority.issue_expired("broker.example"));
    let said = sealed.client("tls").visit();
    assert!(said.says("certificate has expired") && !said.was_served(), "{}", said.text);
}

#[test]
fn a_session_is_resumed_by_a_ticket_whichever_shard_or_listener_gave_it() {
    let sealed = Sealed::start("tls-tickets", "");
    for version in VERSIONS {
        let file = sealed.authority.path(&format!("ticket{version}")).display().to_string();
        let first = sealed.client("tls").args([version, "-sess_out", &file]).visit();
        assert!(first.was_served() && first.says("New, TLSv1."), "{}", first.text);
        // More often than there are shards.
        for _ in 0..8 {
            let again = sealed.client("tls").args([version, "-sess_in", &file]).visit();
            assert!(again.was_served() && again.says("Reused, TLSv1."), "{version}\n{}", again.text);
        }
        let elsewhere = sealed.client("any").args([version, "-sess_in", &file]).visit();
        assert!(elsewhere.was_served(), "{version}\n{}", elsewhere.text);
    }
}

#[test]
fn a_ticket_of_another_broker_is_no_ticket() {
    let (one, other) = (Sealed::start("tls-ticket-one", ""), Sealed::start("tls-ticket-other", ""));
    for version in VERSIONS {
        let file = one.authority.path(&format!("ticket{version}")).display().to_string();
        assert!(one.client("tls").args([version, "-sess_out", &file]).visit().was_served());
        let said = other.client("tls").args([version, "-sess_in", &file]).visit();
        assert!(said.was_served() && said.says("New, TLSv1."), "{version}\n{}", said.text);
    }
}

#[test]
fn early_data_is_not_offered_and_not_taken() {
    let sealed = Sealed::start("tls-early", "");
    let file = sealed.authority.path("ticket").display().to_string();
    let first = sealed.client("tls").args(["-tls1_3", "-sess_out", &file]).visit();
    assert!(first.says("Max Early Data: 0"), "{}", first.text);
    let early = sealed.authority.path("early");
    std::fs::write(&early, e2e::socket::connect("early", true)).unwrap();
    let early = early.display().to_string();
    let said = sealed.client("tls").args(["-tls1_3", "-sess_in", &file, "-early_data", &early]).visit();
    assert!(!said.says("Early data was accepted"), "{}", said.text);
}

#[test]
fn a_second_handshake_within_a_connection_is_refused() {
    let sealed = Sealed::start("tls-again", "");
    // A line with R alone asks s_client to begin one.
    let said = sealed.client("tls").args(["-tls1_2"]).say(b"R\n");
    assert!(said.says("RENEGOTIATING"), "{}", said.text);
    assert!(said.says("no renegotiation"), "{}", said.text);
    assert_eq!(said.text.matches("depth=0").count(), 1, "there was one handshake\n{}", said.text);
}

#[test]
fn keys_are_renewed_within_a_connection() {
    let sealed = Sealed::start("tls-keys", "");
    // A line with K alone: other keys in both directions. What comes behind it is sealed with them.
    let client = sealed.client("tls").args(["-tls1_3"]);
    let said = client.say_in_turn(b"K\n", Some(("KEYUPDATE", &visit("keys"))));
    assert!(said.says("KEYUPDATE") && said.was_served(), "{}", said.text);
}

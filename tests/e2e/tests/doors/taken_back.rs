//! What was granted is taken back while its client is connected: the certificate has ended or is revoked, or nobody lets it in any more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{Disconnection, Error, Options, QoS, ReasonCode, Target, Tls, TlsOptions};
use e2e::token::{Issuer, claims};
use e2e::{Authority, Broker, Link, Setup, v5};
use rcgen::{KeyPair, date_time_ymd};

use super::reload::reload;

const FILES: &str = "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\nwatch_files = false\n\
                     [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
                     client_certificates = \"required\"\nclient_ca_file = \"ca.pem\"\nclient_crl_file = \"crl.pem\"\n\
                     [authentication]\n";

/// Of tokens.
const KEY: &[u8] = &[b'k'; 32];

/// A whole life of a certificate: longer than a start, shorter than patience.
const LIFE: Duration = Duration::from_secs(6);

fn start(name: &str, settings: &str, names: &[&str]) -> (Broker, Authority) {
    let setup = Setup::bare(name).shards(2);
    let authority = Authority::new(setup.folder());
    for name in [&["broker.example"], names].concat() {
        authority.issue(name);
    }
    authority.revoke(&[]);
    let key = setup.folder().join("key");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    (setup.config(&format!("{FILES}{settings}")).start(), authority)
}

fn reload_with(broker: &Broker, settings: &str) {
    reload_as(broker, &format!("{FILES}{settings}"));
}

fn reload_as(broker: &Broker, text: &str) {
    fs::write(broker.folder().join("iothub.toml"), text).unwrap();
    reload(broker);
}

fn try_come_with(broker: &Broker, name: &str) -> Result<Link, Error> {
    let file = |name: &str, end: &str| broker.folder().join(format!("{name}.{end}"));
    let options = TlsOptions {
        ca_file: Some(file("ca", "pem")),
        identity: Some((file(name, "pem"), file(name, "key"))),
        ..TlsOptions::default()
    };
    let mut target = Target::new("127.0.0.1", broker.port_of("tls"));
    target.tls = Some(Tls::new(&options).unwrap());
    Link::reach(target, v5(name))
}

fn come_with(broker: &Broker, name: &str) -> Link {
    try_come_with(broker, name).unwrap_or_else(|error| panic!("{name} is not connected: {error}"))
}

/// One that is cut off fails here.
fn is_served(link: &mut Link) {
    link.publish("t", "m", QoS::AtLeastOnce);
}

#[test]
fn whose_certificate_is_revoked_is_disconnected_and_nobody_else() {
    // Whoever lets them in: by the certificate, and as nobody in particular.
    for (name, user) in [("named", "common_name"), ("nameless", "none")] {
        let settings = format!("certificate_user = \"{user}\"\nanonymous = \"always\"\n");
        let (broker, authority) = start(&format!("taken-back-{name}"), &settings, &["revoked", "stays"]);
        let [mut revoked, mut stays] = ["revoked", "stays"].map(|name| come_with(&broker, name));
        authority.revoke(&["revoked"]);
        reload(&broker);
        assert_eq!(revoked.ended_by_server(), ReasonCode::NotAuthorized);
        is_served(&mut stays);
        assert_eq!(broker.counter("grants_ended"), 1);
        assert!(try_come_with(&broker, "revoked").is_err());
    }
}

#[test]
fn a_connection_ends_with_its_certificate() {
    let settings = "certificate_user = \"common_name\"\n";
    let (broker, authority) = start("taken-back-ended", settings, &["stays"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    authority.issue_as("ending", KeyPair::generate().unwrap(), |params| {
        params.not_after = date_time_ymd(1970, 1, 1) + now + LIFE;
    });
    let came_at = Instant::now();
    let [mut ending, mut stays] = ["ending", "stays"].map(|name| come_with(&broker, name));
    is_served(&mut ending);
    assert_eq!(ending.ended_by_server(), ReasonCode::NotAuthorized);
    // The last second counts, of which some may be over already when the certificate is made.
    assert!(came_at.elapsed() + Duration::from_secs(2) > LIFE, "it was good until then");
    is_served(&mut stays);
    let refused = try_come_with(&broker, "ending").map(drop);
    assert!(
        matches!(refused, Err(Error::Broken(_) | Error::Disconnected(Disconnection::Lost))),
        "{refused:?}"
    );
}

#[test]
fn whoever_came_in_by_what_is_gone_is_disconnected_and_nobody_else() {
    let issuer = Issuer::Hs256(KEY.to_vec());
    let all = "jwt_keys = \"key\"\ncertificate_user = \"common_name\"\nanonymous = \"always\"\n";
    let (broker, _authority) = start("taken-back-gone", all, &["certified"]);

    let mut nobody = Link::connect(broker.port, v5("nobody"));
    let token = issuer.sign(&claims("anna", 600));
    let login = Options { username: Some("anna".into()), password: Some(token.into()), ..v5("token") };
    let mut with_token = Link::connect(broker.port, login);
    let mut certified = come_with(&broker, "certified");

    reload_with(&broker, &all.replace("always", "never"));
    assert_eq!(nobody.ended_by_server(), ReasonCode::NotAuthorized);
    is_served(&mut with_token);
    is_served(&mut certified);

    reload_with(&broker, "certificate_user = \"common_name\"\nanonymous = \"never\"\n");
    assert_eq!(with_token.ended_by_server(), ReasonCode::NotAuthorized);
    is_served(&mut certified);
    assert_eq!(broker.counter("grants_ended"), 2);

    // Another part of the certificate is another user.
    reload_with(&broker, "certificate_user = \"fingerprint\"\nanonymous = \"never\"\n");
    assert_eq!(certified.ended_by_server(), ReasonCode::NotAuthorized);
    assert_eq!(broker.counter("grants_ended"), 3);
}

#[test]
fn who_came_in_by_a_certificate_goes_where_none_is_asked_for() {
    let settings = "jwt_keys = \"key\"\ncertificate_user = \"common_name\"\nanonymous = \"never\"\n";
    let (broker, _authority) = start("taken-back-unasked", settings, &["certified"]);
    let token = Issuer::Hs256(KEY.to_vec()).sign(&claims("anna", 600));
    let login = Options { username: Some("anna".into()), password: Some(token.into()), ..v5("token") };
    let mut with_token = Link::connect(broker.port, login);
    let mut certified = come_with(&broker, "certified");

    let asking = |how: &str| format!("{}{settings}", FILES.replace("\"required\"", &format!("\"{how}\"")));
    reload_as(&broker, &asking("optional"));
    is_served(&mut certified);
    reload_as(&broker, &asking("none"));
    assert_eq!(certified.ended_by_server(), ReasonCode::NotAuthorized);
    is_served(&mut with_token);
    assert_eq!(broker.counter("grants_ended"), 1);
}

#[test]
fn who_came_in_by_a_certificate_stays_where_the_listener_is_removed_with_its_tls() {
    let settings = "certificate_user = \"common_name\"\n";
    let (broker, _authority) = start("taken-back-closed", settings, &["certified"]);
    let mut certified = come_with(&broker, "certified");
    let left =
        "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\"]\nwatch_files = false\n[authentication]\n";
    reload_as(&broker, &format!("{left}{settings}"));
    assert!(try_come_with(&broker, "certified").is_err());
    is_served(&mut certified);
}

//! Certificates of clients: who is let in, and which alert the others get.

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};

use super::Sealed;
use super::openssl::{Client, Said};

fn asking(name: &str, how: &str) -> Sealed {
    let more = format!(
        "client_certificates = \"{how}\"\nclient_ca_file = \"ca.pem\"\nclient_crl_file = \"crl.pem\"\n"
    );
    Sealed::prepared(name, &more, |authority| {
        for name in ["broker.example", "good", "revoked"] {
            authority.issue(name);
        }
        authority.issue_rsa("good-rsa");
        authority.issue_expired("expired");
        authority.issue_for_later("later");
        authority.issue_by_itself("own");
        authority.issue_as("server-only", KeyPair::generate().unwrap(), |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        authority.issue_as("client-only", KeyPair::generate().unwrap(), |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        authority.revoke(&["revoked"]);
    })
}

fn show(sealed: &Sealed, version: &str, name: &str) -> Said {
    let client = Client::to(sealed.port("tls"), &sealed.authority.file());
    client.args([version]).showing(sealed.authority.file().parent().unwrap(), name).visit()
}

#[test]
fn each_certificate_is_judged_by_its_signature_its_time_its_purpose_and_the_list() {
    for how in ["required", "optional"] {
        let sealed = asking(&format!("tls-clients-{how}"), how);
        let elsewhere = e2e::Authority::new(&e2e::program::fresh_folder("tls-clients-elsewhere"));
        elsewhere.issue("stranger");
        for version in ["-tls1_2", "-tls1_3"] {
            for name in ["good", "good-rsa", "client-only"] {
                let said = show(&sealed, version, name);
                assert!(said.was_served(), "{name} {version} {how}\n{}", said.text);
            }
            for (name, alert) in [
                ("expired", "alert certificate expired"),
                ("later", "alert certificate expired"),
                ("revoked", "alert certificate revoked"),
                ("own", "alert unknown ca"),
                ("server-only", "alert"),
            ] {
                let said = show(&sealed, version, name);
                assert!(!said.was_served() && said.says(alert), "{name} {version} {how}\n{}", said.text);
            }
            let stranger = Client::to(sealed.port("tls"), &sealed.authority.file());
            let folder = elsewhere.file().parent().unwrap().to_owned();
            let said = stranger.args([version]).showing(&folder, "stranger").visit();
            assert!(!said.was_served() && said.says("alert"), "{version} {how}\n{}", said.text);
            let none = Client::to(sealed.port("tls"), &sealed.authority.file()).args([version]).visit();
            assert_eq!(none.was_served(), how == "optional", "{version}\n{}", none.text);
            assert!(how == "optional" || none.says("alert certificate required") || none.says("alert"));
        }
    }
}

#[test]
fn a_key_of_somebody_else_proves_nothing() {
    let sealed = asking("tls-clients-key", "required");
    // The certificate is public: who has it alone cannot sign with it.
    let folder = sealed.authority.file().parent().unwrap().to_owned();
    std::fs::copy(folder.join("good.pem"), folder.join("stolen.pem")).unwrap();
    std::fs::copy(folder.join("client-only.key"), folder.join("stolen.key")).unwrap();
    let said = show(&sealed, "-tls1_3", "stolen");
    assert!(!said.was_served(), "{}", said.text);
}

#[test]
fn a_session_of_a_certificate_that_is_revoked_since_is_not_resumed() {
    let sealed = asking("tls-clients-ticket", "required");
    let folder = sealed.authority.file().parent().unwrap().to_owned();
    for version in ["-tls1_2", "-tls1_3"] {
        sealed.authority.revoke(&["revoked"]);
        sealed.reload();
        let file = folder.join("ticket").display().to_string();
        let visit = |flag: &str| {
            let client = Client::to(sealed.port("tls"), &sealed.authority.file());
            client.args([version, flag, &file]).showing(&folder, "good").visit()
        };
        assert!(visit("-sess_out").was_served());
        assert!(visit("-sess_in").says("Reused, TLSv1."));
        sealed.authority.revoke(&["revoked", "good"]);
        sealed.reload();
        let said = visit("-sess_in");
        assert!(!said.was_served(), "{version}\n{}", said.text);
    }
}

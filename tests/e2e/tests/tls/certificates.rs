//! Certificates of clients: who is let in, and which alert the others get.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use e2e::{
    PATIENCE, Process, Setup,
    hello::{Hello, TLS_1_1},
    program,
};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};

use super::Sealed;
use super::openssl::{Client, Said};

fn asking(name: &str, how: &str) -> Sealed {
    asking_with(name, how, "")
}

fn asking_with(name: &str, how: &str, sections: &str) -> Sealed {
    let more = format!(
        "client_certificates = \"{how}\"\nclient_ca_file = \"ca.pem\"\nclient_crl_file = \"crl.pem\"\n{sections}"
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

/// Tools of another kind make them: an authority of its own, and a certificate without extensions, which is of version 1.
fn issue_by_openssl(folder: &Path) {
    let run = |args: &[&str]| {
        let mut command = program::command(program::installed("openssl"));
        Process::start("openssl", command.current_dir(folder).args(args)).succeed();
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let own = ["-x509", "-days", "9", "-subj", "/CN=self", "-keyout", "self.key", "-out", "self.pem"];
    run(&[&["req"][..], &key, &own].concat());
    run(&[&["req"][..], &key, &["-subj", "/CN=v1", "-keyout", "v1.key", "-out", "v1.csr"]].concat());
    let signed = ["-in", "v1.csr", "-days", "9", "-set_serial", "7", "-out", "v1.pem"];
    run(&[&["x509", "-req", "-CA", "self.pem", "-CAkey", "self.key"][..], &signed].concat());
    let both = ["ca.pem", "self.pem"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
    std::fs::write(folder.join("clients.pem"), both.concat()).unwrap();
}

#[test]
fn the_log_says_what_is_wrong_with_a_certificate() {
    let more = "client_certificates = \"required\"\nclient_ca_file = \"clients.pem\"\nclient_crl_file = \"crl.pem\"\n";
    let sealed = Sealed::prepared("tls-reasons", more, |authority| {
        authority.issue("broker.example");
        authority.issue("revoked");
        authority.issue_expired("expired");
        authority.issue_for_later("later");
        authority.issue_by_itself("own");
        authority.issue_as("server-only", KeyPair::generate().unwrap(), |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        authority.revoke(&["revoked"]);
        issue_by_openssl(authority.file().parent().unwrap());
    });
    for (name, reason) in [
        ("expired", "TLS: the client's certificate has expired "),
        ("later", "TLS: the client's certificate is not valid yet: it will be in "),
        ("revoked", "TLS: the client's certificate is revoked (client_crl_file)"),
        ("own", "TLS: the client's certificate is signed by none of the authorities in client_ca_file"),
        (
            "server-only",
            "TLS: the client's certificate is not for clients: its extended key usage lacks clientAuth",
        ),
        ("v1", "TLS: the client's certificate is of X.509 version 1 or 2, and only version 3 counts"),
        (
            "self",
            "TLS: the client's certificate is that of an authority (CA:TRUE), as self-signed ones often are",
        ),
    ] {
        await_reason(&sealed, reason, || show(&sealed, "-tls1_3", name));
    }
    let visit = |ca: &Path| Client::to(sealed.port("tls"), ca).args(["-tls1_3"]).visit();
    await_reason(&sealed, "TLS: the client shows no certificate, and has to", || {
        visit(&sealed.authority.file())
    });
    // Who does not know the broker's authority says so itself.
    let reason = "TLS: the client does not know the authority of the broker's certificate (unknown_ca)";
    await_reason(&sealed, reason, || visit(&sealed.authority.path("self.pem")));
}

/// Tries until the log has a line for it: not every refusal gets one.
fn await_reason(sealed: &Sealed, reason: &str, attempt: impl Fn() -> Said) {
    let deadline = Instant::now() + PATIENCE;
    while !sealed.broker.process.says(reason) {
        assert!(Instant::now() < deadline, "{reason}\n{}", sealed.broker.process.shown());
        let said = attempt();
        assert!(!said.was_served(), "{reason}\n{}", said.text);
    }
}

#[test]
fn what_is_over_or_soon_will_be_is_told_by_the_check_the_start_and_the_reload() {
    let setup = Setup::bare("tls-dates").shards(1);
    let authority = e2e::Authority::new(setup.folder());
    authority.issue_expired("expired.example");
    authority.issue_for_later("later.example");
    authority.issue_as("client.example", KeyPair::generate().unwrap(), |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    authority.issue_as("soon.example", KeyPair::generate().unwrap(), |params| {
        params.not_after = (SystemTime::now() + Duration::from_secs(5 * 86_400 + 3600)).into();
    });
    authority.issue("good.example");
    let names = ["expired", "later", "client", "soon", "good"].map(|name| format!("{name}.example"));
    let files = |end: &str| names.each_ref().map(|name| format!("\"{name}.{end}\"")).join(", ");
    let text = format!(
        "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n[tls]\ncertificate_files = [{}]\nkey_files = [{}]\n\
         [[ban]]\nusers = [\"ada\"]\nuntil = 2001-01-31T12:00:00Z\n[websocket]\npath = \"/x\"\n",
        files("pem"),
        files("key")
    );
    let sentences = [
        "expired.example.pem: the certificate of expired.example has expired at 2002-01-01T00:00:00Z",
        "later.example.pem: the certificate of later.example is valid from 3001-01-01T00:00:00Z on",
        "client.example.pem: the certificate of client.example is not for servers",
        "soon.example.pem: the certificate of soon.example expires in 5 days, at ",
        "the [[ban]] of users = [\"ada\"] has ended at 2001-01-31T12:00:00Z",
        "websocket.path says nothing: no listener takes a WebSocket",
    ];
    let setup = setup.config(&text);
    let folder = setup.folder().clone();
    let mut command = program::command(program::iothub());
    command.current_dir(&folder).args(["-c", "iothub.toml", "--test-config"]);
    let mut check = Process::start("iothub --test-config", &mut command);
    check.succeed();
    let broker = setup.start();
    for sentence in sentences {
        assert!(check.says(&format!("warning: {sentence}")), "{sentence}\n{}", check.shown());
        broker.process.await_text(sentence);
    }
    assert!(!check.says("good.example.pem:"), "{}", check.shown());
    let count = || broker.process.lines().iter().filter(|line| line.contains(sentences[0])).count();
    assert_eq!(count(), 1);
    crate::await_reload(&broker);
    let deadline = Instant::now() + PATIENCE;
    while count() < 2 {
        assert!(Instant::now() < deadline, "the reload does not tell it\n{}", broker.process.shown());
        // Lines about time stand behind the one that says that it is done.
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn who_is_refused_before_mqtt_stands_in_the_audit_log_with_the_reason() {
    let sealed = asking_with("tls-clients-audit", "required", "[audit]\nfile = \"audit\"\n");
    let path = sealed.broker.folder().join("audit");
    let refused = || std::fs::read_to_string(&path).unwrap_or_default();
    let expired = || drop(show(&sealed, "-tls1_3", "expired"));
    let revoked = || drop(show(&sealed, "-tls1_3", "revoked"));
    let without = || drop(Client::to(sealed.port("tls"), &sealed.authority.file()).args(["-tls1_3"]).visit());
    let outdated = || drop(Hello::of(TLS_1_1).ask(sealed.port("tls")));
    let attempts: [(&dyn Fn(), &str); 4] = [
        (&expired, "certificate has expired"),
        (&revoked, "is revoked"),
        (&without, "shows no certificate"),
        (&outdated, "TLS 1.1 at the newest"),
    ];
    for (attempt, why) in attempts {
        let deadline = Instant::now() + PATIENCE;
        // An address has one such line a second.
        while !refused().lines().any(|line| line.contains("\"by\":\"tls\"") && line.contains(why)) {
            assert!(Instant::now() < deadline, "no line with {why}\n{}", refused());
            attempt();
        }
    }
    let text = refused();
    // What an address has done more than once in a second is told as a number.
    let lines = text.lines().filter(|line| line.contains("\"by\":\"tls\"") && !line.contains("\"more\":"));
    assert!(lines.clone().all(|line| line.contains("\"listener\":\"tls://127.0.0.1:0\"")), "{text}");
    assert!(lines.clone().all(|line| line.contains("\"address\":\"127.0.0.1:")), "{text}");
    assert!(text.contains("\"more\":"), "{text}");
}

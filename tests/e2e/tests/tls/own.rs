//! A listener with certificates of its own beside one with those of `[tls]`: who connects to which sees which, and has to show which.

use e2e::{Authority, Broker, Setup, program};

use super::{await_reload, openssl::Client};

/// `tls://` has what `[tls]` says, `any://` its own.
struct Beside {
    broker: Broker,
    shared: Authority,
    own: Authority,
}

const TEXT: &str = "[tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
                    [[listener]]\naddress = \"tcp://127.0.0.1:0\"\n[[listener]]\naddress = \"tls://127.0.0.1:0\"\n\
                    [[listener]]\naddress = \"any://127.0.0.1:0\"\n\
                    certificate_files = [\"own/own.example.pem\"]\nkey_files = [\"own/own.example.key\"]\n";

impl Beside {
    fn start(name: &str, more: &str) -> Beside {
        let setup = Setup::bare(name).shards(2);
        let folder = setup.folder().join("own");
        std::fs::create_dir(&folder).unwrap();
        let (shared, own) =
            (Authority::new(setup.folder()), Authority::named(&folder, "Authority of its own"));
        shared.issue("broker.example");
        for name in ["own.example", "client"] {
            own.issue(name);
        }
        Beside { broker: setup.config(&format!("{TEXT}{more}")).start(), shared, own }
    }

    fn visit(&self, scheme: &str, authority: &Authority) -> Client {
        Client::to(self.broker.port_of(scheme), &authority.file())
    }
}

#[test]
fn a_listener_shows_its_own_certificate_and_the_others_that_of_the_section() {
    let beside = Beside::start("tls-own", "");
    for version in ["-tls1_2", "-tls1_3"] {
        for (scheme, authority, is_its) in [
            ("tls", &beside.shared, true),
            ("tls", &beside.own, false),
            ("any", &beside.own, true),
            ("any", &beside.shared, false),
        ] {
            let said = beside.visit(scheme, authority).args([version]).visit();
            assert_eq!(said.was_served(), is_its, "{scheme} {version}\n{}", said.text);
        }
    }
}

#[test]
fn a_listener_asks_its_clients_for_certificates_of_its_own_authority_alone() {
    let more = "client_certificates = \"required\"\nclient_ca_file = \"own/ca.pem\"\n";
    let beside = Beside::start("tls-own-clients", more);
    beside.shared.issue("stranger");
    let folder = |authority: &Authority| authority.file().parent().unwrap().to_owned();
    let known = beside.visit("any", &beside.own).showing(&folder(&beside.own), "client").visit();
    assert!(known.was_served(), "{}", known.text);
    let stranger = beside.visit("any", &beside.own).showing(&folder(&beside.shared), "stranger").visit();
    assert!(!stranger.was_served() && stranger.says("alert"), "{}", stranger.text);
    let silent = beside.visit("any", &beside.own).visit();
    assert!(!silent.was_served() && silent.says("alert"), "{}", silent.text);
    // The others ask for none.
    let elsewhere = beside.visit("tls", &beside.shared).visit();
    assert!(elsewhere.was_served(), "{}", elsewhere.text);
}

#[test]
fn a_reload_reads_the_listeners_own_certificate_again() {
    let beside = Beside::start("tls-own-reload", "");
    let later = Authority::named(&program::fresh_folder("tls-own-later"), "Authority of later");
    later.issue("own.example");
    for end in ["pem", "key"] {
        let name = format!("own.example.{end}");
        std::fs::copy(later.path(&name), beside.own.path(&name)).unwrap();
    }
    await_reload(&beside.broker);
    let before = beside.visit("any", &beside.own).visit();
    assert!(!before.was_served(), "{}", before.text);
    let now = beside.visit("any", &later).visit();
    assert!(now.was_served(), "{}", now.text);
    let others = beside.visit("tls", &beside.shared).visit();
    assert!(others.was_served(), "{}", others.text);
}

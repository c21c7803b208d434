//! Who decides, in which order, and what it costs not to be known.

use std::{
    env, fs,
    net::SocketAddr,
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{
    Certificate, Cost, Enhanced, Hash, Identity, Kind, PasswordFile, Replacement, ScramFile, Secret,
    UserRecord, UserTable,
    provider::{Anonymous, ByCertificate, CertificateName, Database, Passwords, Scram},
    scram::{Client, Credential, Mechanism},
};

pub(crate) fn ask(address: &str, login: Option<(&str, &str)>) -> Ask {
    Ask {
        listener: "default".into(),
        address: Some(address.parse::<SocketAddr>().expect("an address")),
        is_relayed: false,
        client_id: "client".into(),
        user: login.map(|(user, _)| user.into()),
        password: login.map(|(_, password)| Secret::new(password.as_bytes())),
        certificate: None,
        version: 5,
        enhanced: None,
    }
}

/// Alice with the password `secret`.
pub(crate) fn passwords() -> Passwords {
    let cost = Cost { kind: Kind::Pbkdf2, rounds: 10, memory_kib: 0 };
    let text = format!("alice:{}\n", Hash::make(b"secret", cost).expect("a hash"));
    Passwords::new("users", PasswordFile::parse("users", text.as_bytes()).expect("a file").0)
}

fn anonymous(everywhere: bool) -> Arc<dyn Provider> {
    Arc::new(Anonymous { everywhere, ignores_logins: false })
}

fn user_of(judgement: Judgement) -> Option<String> {
    match judgement {
        Judgement::Accept(identity) => Some(identity.user.as_deref().unwrap_or("").to_owned()),
        _ => None,
    }
}

fn reason_of(judgement: Judgement) -> Reason {
    match judgement {
        Judgement::Reject(rejection) => rejection.reason,
        other => panic!("{other:?} is no rejection"),
    }
}

#[test]
fn the_first_that_does_not_pass_decides() {
    let chain = Chain::new(vec![Arc::new(passwords()), anonymous(true)]);
    let judge = |ask: Ask| chain.judge(&ask, 0);
    assert_eq!(user_of(judge(ask("192.0.2.1:1", Some(("alice", "secret"))))).as_deref(), Some("alice"));
    assert_eq!(user_of(judge(ask("192.0.2.1:1", None))).as_deref(), Some(""));
    assert_eq!(reason_of(judge(ask("127.0.0.1:1", Some(("alice", "wrong"))))), Reason::BadUserNameOrPassword);
    assert_eq!(reason_of(judge(ask("127.0.0.1:1", Some(("bob", "secret"))))), Reason::BadUserNameOrPassword);
}

#[test]
fn an_open_broker_is_open_on_this_machine_only() {
    let chain = Chain::new(vec![anonymous(false)]);
    for (address, is_in) in [
        ("127.0.0.1:1", true),
        ("127.9.9.9:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("192.0.2.1:1", false),
        ("[::ffff:192.0.2.1]:1", false),
    ] {
        assert_eq!(user_of(chain.judge(&ask(address, None), 0)).is_some(), is_in, "{address}");
    }
    let relayed = Ask { is_relayed: true, ..ask("127.0.0.1:1", None) };
    assert!(!relayed.is_local(), "the proxy is, and its client may be anywhere");
    let why = |ask: &Ask| match chain.judge(ask, 0) {
        Judgement::Reject(rejection) => rejection.why,
        other => panic!("{other:?}"),
    };
    assert!(why(&relayed).contains("by a proxy or from a page of elsewhere"), "{}", why(&relayed));
    let far = Ask { is_relayed: true, ..ask("192.0.2.1:1", None) };
    assert_eq!(why(&far), "the client says nothing about who it is");
    let local = Ask { address: None, ..ask("192.0.2.1:1", None) };
    assert!(user_of(chain.judge(&local, 0)).is_some());
}

#[test]
fn a_name_that_nobody_checks_is_nobody() {
    let open = Anonymous { everywhere: false, ignores_logins: true };
    let chain = Chain::new(vec![Arc::new(open)]);
    assert_eq!(user_of(chain.judge(&ask("[::1]:1", Some(("admin", "x"))), 0)).as_deref(), Some(""));
    let relayed = Ask { is_relayed: true, ..ask("[::1]:1", Some(("admin", "x"))) };
    let refused = format!("{:?}", chain.judge(&relayed, 0));
    assert!(refused.contains("by a proxy or from a page of elsewhere"), "{refused}");
}

#[test]
fn whom_nobody_knows_is_not_let_in() {
    let chain = Chain::new(Vec::new());
    assert_eq!(reason_of(chain.judge(&ask("[::1]:1", None), 0)), Reason::NotAuthorized);
    let enhanced = Enhanced { method: "X".into(), data: Secret::new(b""), exchange: None };
    let asked = Ask { enhanced: Some(enhanced), ..ask("[::1]:1", Some(("alice", "secret"))) };
    let all = Chain::new(vec![Arc::new(passwords()), anonymous(true)]);
    assert_eq!(reason_of(all.judge(&asked, 0)), Reason::BadAuthenticationMethod);
}

#[test]
fn a_certificate_names_its_user_by_the_part_that_is_configured() {
    let certificate = Certificate {
        common_name: Some("device 7".into()),
        alternative_names: vec!["seven.example".into(), "192.0.2.7".into()],
        fingerprint: [0xab; 32],
    };
    let with = |certificate: Option<Certificate>| Ask {
        certificate: certificate.map(Arc::new),
        ..ask("192.0.2.1:1", Some(("other", "x")))
    };
    let user = |user: CertificateName, asked: &Ask| user_of(ByCertificate { user }.judge(asked, 0));
    let whole = with(Some(certificate.clone()));
    assert_eq!(user(CertificateName::CommonName, &whole).as_deref(), Some("device 7"));
    assert_eq!(user(CertificateName::AlternativeName, &whole).as_deref(), Some("seven.example"));
    assert_eq!(user(CertificateName::Fingerprint, &whole), Some("ab".repeat(32)));
    let bare = with(Some(Certificate {
        common_name: Some("".into()),
        alternative_names: Vec::new(),
        ..certificate
    }));
    for name in [CertificateName::CommonName, CertificateName::AlternativeName] {
        assert_eq!(reason_of(ByCertificate { user: name }.judge(&bare, 0)), Reason::NotAuthorized);
        assert!(matches!(ByCertificate { user: name }.judge(&with(None), 0), Judgement::Pass));
    }
}

/// Passes, and counts how often it took the time of a password.
struct Slow(AtomicUsize, bool);

impl Provider for Slow {
    fn name(&self) -> &str {
        "slow"
    }
    fn kind(&self) -> &'static str {
        ""
    }

    fn looks_at(&self) -> Aspects {
        Aspects::LOGIN
    }
    fn is_quick(&self, _ask: &Ask) -> bool {
        false
    }
    fn judge(&self, _ask: &Ask, _unix_ms: u64) -> Judgement {
        match self.1 {
            true => Judgement::Accept(Identity::default()),
            false => Judgement::Pass,
        }
    }
    fn burn(&self, _ask: &Ask) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
}

#[test]
fn an_unknown_user_costs_one_password_whatever_the_length_of_the_chain() {
    let count = |last_accepts: bool| {
        let slow: Vec<Arc<Slow>> =
            [false, false, last_accepts].map(|accepts| Arc::new(Slow(AtomicUsize::new(0), accepts))).into();
        let chain = Chain::new(slow.iter().map(|one| one.clone() as Arc<dyn Provider>).collect());
        let _ = chain.judge(&ask("[::1]:1", Some(("bob", "x"))), 0);
        slow.iter().map(|one| one.0.load(Ordering::Relaxed)).sum::<usize>()
    };
    assert_eq!((count(false), count(true)), (1, 0));
}

#[test]
fn each_listener_has_its_chain() {
    let chains = Chains::new(Chain::new(Vec::new())).with("inside", Chain::new(vec![anonymous(true)]));
    assert!(user_of(chains.of("inside").judge(&ask("192.0.2.1:1", None), 0)).is_some());
    assert!(user_of(chains.of("outside").judge(&ask("192.0.2.1:1", None), 0)).is_none());
    assert!(format!("{chains:?}").contains("anonymous"));
}

fn credential(mechanism: Mechanism) -> Credential {
    Credential::make(mechanism, b"secret", 4096).expect("made")
}

/// Anna and the disabled Dora, who can prove their passwords, and Ben, who has none to prove.
fn database(name: &str) -> Database {
    let able = UserRecord { scram: vec![credential(Mechanism::Sha256)], ..UserRecord::default() };
    let disabled = UserRecord { is_disabled: true, ..able.clone() };
    let records = [("anna", able), ("dora", disabled), ("ben", UserRecord::default())];
    let table = UserTable { records: records.map(|(user, record)| (user.into(), record)).into() };
    let path = env::temp_dir().join(format!("iothub-chain-{}-{name}", process::id()));
    Replacement::begin(&path).expect("begun").finish(&table.bytes()).expect("written");
    let database = Database::load(&path, &Secret::new(b"s")).expect("a good file");
    fs::remove_file(path).expect("removed");
    database
}

/// The server's salt and iterations, and how the exchange ends.
fn prove(chain: &Chain, user: &str) -> (String, Judgement) {
    let mut client = Client::new(Mechanism::Sha256, user, Secret::new(b"secret"), "abc");
    let data = Secret::new(&client.first());
    let enhanced = Enhanced { method: "SCRAM-SHA-256".into(), data, exchange: None };
    let asked = Ask { enhanced: Some(enhanced), ..ask("192.0.2.1:1", None) };
    let (first, exchange) = match chain.judge(&asked, 0) {
        Judgement::Challenge(first, exchange) => (first, exchange),
        other => panic!("{other:?} is no challenge for {user}"),
    };
    let proof = client.answer(&first).expect("an answer");
    let text = String::from_utf8(first).expect("a text");
    let (_, salted) = text.split_once(",s=").expect("a salt");
    (salted.to_owned(), exchange.go_on(&proof, 0, chain))
}

#[test]
fn users_of_every_provider_can_prove_their_passwords() {
    let keys: String =
        ["ben", "carl", "dora"].map(|u| format!("{u}:{}\n", credential(Mechanism::Sha256))).concat();
    let file = ScramFile::parse("keys", keys.as_bytes()).expect("a file").0;
    let other = ScramFile::parse("keys", format!("anna:{}\n", credential(Mechanism::Sha512)).as_bytes());
    let scram: Arc<dyn Provider> = Arc::new(Scram::new("keys", file, &Secret::new(b"s")));
    let other: Arc<dyn Provider> =
        Arc::new(Scram::new("other", other.expect("a file").0, &Secret::new(b"s")));
    let database: Arc<dyn Provider> = Arc::new(database("every"));
    let is_in = |chain: &Chain, user: &str| matches!(prove(chain, user).1, Judgement::AcceptWith(..));
    let chain = Chain::new(vec![database.clone(), scram.clone()]);
    assert!(is_in(&chain, "anna") && is_in(&chain, "carl"));
    // Whom the database knows, it decides upon.
    assert!(!is_in(&chain, "ben") && !is_in(&chain, "dora") && !is_in(&chain, "nobody"));
    let chain = Chain::new(vec![scram, database.clone()]);
    assert!(["anna", "ben", "carl", "dora"].iter().all(|user| is_in(&chain, user)));
    let chain = Chain::new(vec![other, database]);
    assert!(!is_in(&chain, "anna"), "the first that knows her has no key for this mechanism");
}

#[test]
fn who_is_not_known_gets_the_same_salt_each_time_and_whatever_the_order() {
    let scram = Scram::new("keys", ScramFile::parse("keys", b"").expect("a file").0, &Secret::new(b"s"));
    let (scram, database): (Arc<dyn Provider>, Arc<dyn Provider>) =
        (Arc::new(scram), Arc::new(database("salt")));
    let chain = Chain::new(vec![database.clone(), scram.clone()]);
    let (salted, judgement) = prove(&chain, "nobody");
    assert!(matches!(judgement, Judgement::Reject(_)));
    assert_eq!(prove(&chain, "nobody").0, salted);
    assert_eq!(prove(&Chain::new(vec![scram, database]), "nobody").0, salted);
    assert_ne!(prove(&chain, "somebody").0, salted);
}

//! Every transport with every provider: who proves who it is comes in by each of them as the same user, and nobody else does.
//! So it is for our own client and for those of other makers.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use client::{Disconnection, Error, Options, Publication, QoS, ReasonCode, Target, Tls, TlsOptions};
use e2e::scram::{Mechanism, Scram};
use e2e::site::Site;
use e2e::token::{Issuer, claims};
use e2e::{Authority, Broker, Link, PATIENCE, Setup, program, v5};
use serde_json::{Value, json};

use super::makers::Maker;

/// A transport. Its name is a user's, too: whoever fails at one has nothing to wait for at the others.
pub struct Way {
    pub name: &'static str,
    pub target: Target,
    /// The same in one word.
    pub url: String,
    pub is_sealed: bool,
}

/// How a client says who it is.
pub enum Says {
    Nothing,
    Password(String, String),
    Token(String),
    Scram(String, String),
}

impl Says {
    /// Whether it is said by enhanced authentication.
    pub fn is_exchange(&self) -> bool {
        matches!(self, Says::Token(_) | Says::Scram(..))
    }
}

/// One client, and what is to become of it.
pub struct Visit {
    pub says: Says,
    /// The name of the files of its certificate.
    pub certificate: Option<&'static str>,
    outcome: Outcome,
}

#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is in, as this user or as nobody in particular.
    In(Option<String>),
    Refused(ReasonCode),
    /// The transport itself has refused it.
    Cut,
}

const SCHEMES: [&str; 5] = ["tcp", "tls", "ws", "wss", "any"];

/// The name, the listener, and the layers of each way.
const WAYS: [(&str, &str, bool, bool); 9] = [
    ("tcp", "tcp", false, false),
    ("tls", "tls", true, false),
    ("ws", "ws", false, true),
    ("wss", "wss", true, true),
    ("unix", "unix", false, false),
    ("any-tcp", "any", false, false),
    ("any-tls", "any", true, false),
    ("any-ws", "any", false, true),
    ("any-wss", "any", true, true),
];

fn start(name: &str, authentication: &str, put: impl FnOnce(&Path, &Authority)) -> (Broker, Vec<Way>) {
    let setup = Setup::bare(name).shards(2);
    let authority = Authority::new(setup.folder());
    authority.issue("broker.example");
    put(setup.folder(), &authority);
    fs::write(setup.folder().join("acl"), "topic readwrite open\npattern readwrite of/%u\n").unwrap();
    let socket = setup.folder().join("mqtt.sock");
    let listen = SCHEMES.map(|scheme| format!("\"{scheme}://127.0.0.1:0\"")).join(", ");
    let text = format!(
        "[server]\nlisten_addresses = [{listen}, \"unix://{}\"]\n\
         [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
         client_certificates = \"optional\"\nclient_ca_file = \"ca.pem\"\n\
         [access]\nacl_file = \"acl\"\n[authentication]\n{authentication}\n",
        socket.display()
    );
    let broker = setup.config(&text).start();
    let way = |(name, listener, is_sealed, is_web)| {
        let mut target = match listener {
            "unix" => Target::unix(&socket),
            scheme => Target::new("127.0.0.1", broker.port_of(scheme)),
        };
        target.websocket = Some("/mqtt".to_owned()).filter(|_| is_web);
        let url = match (listener, is_sealed, is_web) {
            ("unix", ..) => format!("unix://{}", socket.display()),
            (_, is_sealed, true) => {
                let scheme = if is_sealed { "wss" } else { "ws" };
                format!("{scheme}://127.0.0.1:{}/mqtt", broker.port_of(listener))
            }
            (_, is_sealed, false) => {
                let scheme = if is_sealed { "tls" } else { "tcp" };
                format!("{scheme}://127.0.0.1:{}", broker.port_of(listener))
            }
        };
        Way { name, target, url, is_sealed }
    };
    let ways = WAYS.map(way).into();
    (broker, ways)
}

fn come(broker: &Broker, way: &Way, visit: &Visit) -> Outcome {
    let mut target = way.target.clone();
    if way.is_sealed {
        let file = |name: &str, end: &str| broker.folder().join(format!("{name}.{end}"));
        let options = TlsOptions {
            ca_file: Some(file("ca", "pem")),
            identity: visit.certificate.map(|name| (file(name, "pem"), file(name, "key"))),
            ..TlsOptions::default()
        };
        target.tls = Some(Tls::new(&options).unwrap());
    }
    // A failure by an exchange that names nobody counts for the client, and who fails too often has to wait.
    let mut options = v5(way.name);
    let result = match &visit.says {
        Says::Nothing => Link::reach(target, options),
        Says::Password(user, password) => {
            (options.username, options.password) = (Some(user.clone()), Some(password.clone().into()));
            Link::reach(target, options)
        }
        Says::Token(token) => {
            let options = by("JWT", token.clone().into(), options);
            Link::prove(target, options, |_| Vec::new()).map(|(link, _)| link)
        }
        Says::Scram(user, password) => {
            let mut scram = Scram::new(Mechanism::Sha256, user, password);
            let options = by("SCRAM-SHA-256", scram.first(), options);
            Link::prove(target, options, |said| scram.answer(said)).map(|(link, last)| {
                assert!(scram.is_proved_by(&last));
                link
            })
        }
    };
    match result {
        Ok(link) => Outcome::In(user_of(link, way.name)),
        Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => Outcome::Refused(reason),
        Err(Error::Broken(_) | Error::Disconnected(Disconnection::Lost)) => Outcome::Cut,
        // By a WebSocket the alert comes before there is a transport.
        Err(Error::Unreachable { source, .. }) if source.to_string().contains("fatal alert") => Outcome::Cut,
        Err(other) => panic!("{}: {other}", way.name),
    }
}

fn by(method: &str, data: Vec<u8>, options: Options) -> Options {
    Options { authentication_method: Some(method.to_owned()), authentication_data: Some(data), ..options }
}

/// Who the rules take the client for: each user has a topic, which nobody else may write.
fn user_of(mut link: Link, user: &str) -> Option<String> {
    let (own, open) = (format!("of/{user}"), "open".to_owned());
    let mut writes = |topic: &str| {
        let publication = Publication::new(topic, "m", QoS::AtLeastOnce);
        let reason = link.driver.publish_and_wait(publication, PATIENCE).unwrap();
        assert!(!reason.is_error() || reason == ReasonCode::NotAuthorized, "{reason:?}");
        !reason.is_error()
    };
    assert!(!writes("of/somebody-else"));
    let (is_user, is_nobody) = (writes(&own), writes(&open));
    assert!(is_user != is_nobody, "the client is {user} or nobody in particular");
    let topic = if is_user { own } else { open };
    link.subscribe(&topic, QoS::AtLeastOnce);
    link.publish(&topic, "back", QoS::AtLeastOnce);
    assert_eq!(link.text(), "back");
    link.close();
    is_user.then(|| user.to_owned())
}

/// Lets the clients of `visits` come by every way: our own, and those of other makers where they can. Each maker has a broker of its
/// own, at which nobody has failed before.
fn check(name: &str, settings: &str, put: impl Fn(&Path, &Authority), visits: impl Fn(&Way) -> Vec<Visit>) {
    check_ours(name, settings, &put, &visits);
    for maker in Maker::ALL {
        let (broker, ways) = start(&format!("{name}-{maker:?}"), settings, &put);
        let all = ways.iter().flat_map(|way| visits(way).into_iter().map(move |visit| (way, visit)));
        let able: Vec<(&Way, Visit)> = all.filter(|(way, visit)| maker.can(way, visit)).collect();
        for ((way, visit), outcome) in able.iter().zip(maker.outcomes(&broker, &able)) {
            let shown = || broker.process.shown();
            assert_eq!(outcome, visit.outcome, "{maker:?} by {}\n{}", way.name, shown());
        }
    }
}

fn check_ours(
    name: &str,
    settings: &str,
    put: impl Fn(&Path, &Authority),
    visits: impl Fn(&Way) -> Vec<Visit>,
) {
    let (broker, ways) = start(name, settings, put);
    for way in &ways {
        for (number, visit) in visits(way).iter().enumerate() {
            let outcome = come(&broker, way, visit);
            let shown = || broker.process.shown();
            assert_eq!(outcome, visit.outcome, "client {number} by {}\n{}", way.name, shown());
        }
    }
}

fn visit(says: Says, outcome: Outcome) -> Visit {
    Visit { says, certificate: None, outcome }
}

/// Somebody who is in as the user that the way is called after.
fn is_in(says: Says, way: &Way) -> Visit {
    visit(says, Outcome::In(Some(way.name.to_owned())))
}

fn with_password(user: &str, password: &str) -> Says {
    Says::Password(user.to_owned(), password.to_owned())
}

/// What each provider of passwords does with them.
fn passwords(way: &Way) -> Vec<Visit> {
    let refused = |says, reason| visit(says, Outcome::Refused(reason));
    vec![
        is_in(with_password(way.name, "secret"), way),
        refused(with_password(way.name, "wrong"), ReasonCode::BadUserNameOrPassword),
        refused(with_password(&format!("not-{}", way.name), "secret"), ReasonCode::BadUserNameOrPassword),
        refused(Says::Nothing, ReasonCode::NotAuthorized),
    ]
}

/// A file with a user for each way, made by our own tool.
fn make(tool: &[&str], file: &Path, ending: &[&str]) {
    for (number, (user, ..)) in WAYS.iter().enumerate() {
        let mut command = program::command(program::iothub());
        command.args(tool).args((number == 0).then_some("-c")).arg(file).arg(user).args(ending);
        let typed = file.with_extension("typed");
        fs::write(&typed, "secret\n").unwrap();
        assert!(command.stdin(File::open(typed).unwrap()).status().unwrap().success(), "{tool:?} {user}");
    }
}

fn write_private(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_password_file_by_every_way() {
    let put = |folder: &Path, _: &Authority| {
        make(&["passwd", "-b", "-H", "sha512"], &folder.join("users"), &["secret"]);
    };
    check("ways-password", "password_file = \"users\"\nanonymous = \"never\"", put, passwords);
}

#[test]
fn a_user_database_by_every_way() {
    let put = |folder: &Path, _: &Authority| make(&["user", "add"], &folder.join("users.jsonl"), &[]);
    check("ways-database", "user_database = \"users.jsonl\"\nanonymous = \"never\"", put, passwords);
}

#[test]
fn a_program_that_is_asked_by_every_way() {
    let site = Site::open(|request| {
        let asked: Value = serde_json::from_str(&request.body).unwrap();
        let user = asked["user"].as_str().unwrap_or_default();
        let is_known = WAYS.iter().any(|(name, ..)| *name == user);
        match is_known && asked["password"] == "secret" {
            true => (200, json!({"result": "allow", "user": user}).to_string()),
            false => (403, String::new()),
        }
    });
    let settings = format!("http_url = \"{}\"\nanonymous = \"never\"", site.url("/"));
    check(
        "ways-program",
        &settings,
        |_, _| {},
        |way| {
            let mut visits = passwords(way);
            // It is asked about those as well who say nothing, and refuses them like the others.
            visits.last_mut().unwrap().outcome = Outcome::Refused(ReasonCode::BadUserNameOrPassword);
            visits
        },
    );
}

#[test]
fn tokens_by_every_way() {
    const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
    let put = |folder: &Path, _: &Authority| write_private(&folder.join("secret"), SECRET);
    check("ways-token", "jwt_keys = \"secret\"\nanonymous = \"never\"", put, |way| {
        let issuer = Issuer::Hs256(SECRET.to_vec());
        let good = issuer.sign(&claims(way.name, 600));
        let forged = Issuer::Hs256(SECRET.to_ascii_uppercase()).sign(&claims(way.name, 600));
        let mut over = claims(way.name, 0);
        over["exp"] = json!(1_700_000_000);
        let refused = |says| visit(says, Outcome::Refused(ReasonCode::NotAuthorized));
        vec![
            is_in(with_password("whoever", &good), way),
            is_in(Says::Token(good), way),
            refused(with_password(way.name, &forged)),
            refused(Says::Token(forged)),
            refused(Says::Token(issuer.sign(&over))),
            refused(Says::Nothing),
        ]
    });
}

#[test]
fn scram_by_every_way() {
    let put = |folder: &Path, _: &Authority| make(&["scram", "-b"], &folder.join("keys"), &["secret"]);
    check("ways-scram", "scram_file = \"keys\"\nanonymous = \"never\"", put, |way| {
        let scram = |user: &str, password: &str| Says::Scram(user.to_owned(), password.to_owned());
        let refused = |says, reason| visit(says, Outcome::Refused(reason));
        vec![
            is_in(scram(way.name, "secret"), way),
            refused(scram(way.name, "wrong"), ReasonCode::NotAuthorized),
            refused(scram(&format!("not-{}", way.name), "secret"), ReasonCode::NotAuthorized),
            // Sent and not proved.
            refused(with_password(way.name, "secret"), ReasonCode::BadUserNameOrPassword),
            refused(Says::Nothing, ReasonCode::NotAuthorized),
        ]
    });
}

#[test]
fn certificates_by_every_way_that_has_tls() {
    let put = |_: &Path, authority: &Authority| {
        WAYS.iter().for_each(|(name, ..)| authority.issue(name));
        authority.issue_by_itself("stranger");
        authority.issue_expired("over");
    };
    let settings = "certificate_user = \"common_name\"\nanonymous = \"never\"";
    check("ways-certificate", settings, put, |way| {
        let with = |certificate, outcome| Visit { says: Says::Nothing, certificate, outcome };
        let mut visits = vec![with(None, Outcome::Refused(ReasonCode::NotAuthorized))];
        if way.is_sealed {
            visits.push(with(Some(way.name), Outcome::In(Some(way.name.to_owned()))));
            visits.push(with(Some("stranger"), Outcome::Cut));
            visits.push(with(Some("over"), Outcome::Cut));
        }
        visits
    });
}

#[test]
fn clients_that_say_nothing_by_every_way() {
    let put = |folder: &Path, _: &Authority| {
        make(&["passwd", "-b", "-H", "sha512"], &folder.join("users"), &["secret"]);
    };
    check("ways-anonymous", "password_file = \"users\"\nanonymous = \"always\"", put, |way| {
        let mut visits = passwords(way);
        visits.last_mut().unwrap().outcome = Outcome::In(None);
        visits
    });
}

//! Signed tokens of each algorithm, with public keys from a file and from a URL of their issuer.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::{Disconnection, Error, Options, QoS, ReasonCode};
use e2e::site::Site;
use e2e::standstill::{self, Lookout};
use e2e::token::{Issuer, claims};
use e2e::{Broker, Link, PATIENCE, Setup, v5};
use serde_json::{Value, json};

fn trusting(name: &str, keys: &str, put: impl FnOnce(&Setup)) -> Broker {
    let setup = Setup::new(name).shards(2);
    put(&setup);
    setup.config(&format!("[authentication]\njwt_keys = \"{keys}\"\nanonymous = \"never\"\n")).start()
}

/// Comes in with a token as its password, and has a message sent to itself.
fn come(broker: &Broker, token: &str) -> Result<(), ReasonCode> {
    // Whoever has failed some times has to wait, and each of these is somebody else.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let user = format!("user-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let login = Options { username: Some(user), password: Some(token.into()), ..v5("comes") };
    match Link::try_connect(broker.port, login) {
        Ok(mut link) => {
            link.subscribe("own", QoS::AtLeastOnce);
            link.publish("own", "m", QoS::AtLeastOnce);
            assert_eq!(link.text(), "m");
            link.close();
            Ok(())
        }
        Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

/// The token with another claim than was signed.
fn changed(token: &str, other: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let body = other.split('.').nth(1).unwrap();
    [parts[0], body, parts[2]].join(".")
}

#[test]
fn a_public_key_in_a_file_checks_the_tokens_of_its_algorithm_only() {
    let issuers = Issuer::each();
    let strangers = Issuer::each();
    for (issuer, stranger) in issuers.iter().zip(&strangers) {
        let algorithm = issuer.algorithm();
        let broker = trusting(&format!("tokens-{algorithm}"), "key.pem", |setup| {
            fs::write(setup.folder().join("key.pem"), issuer.pem()).unwrap();
        });
        let good = issuer.sign(&claims("anna", 600));
        assert_eq!(come(&broker, &good), Ok(()), "{algorithm}");
        let forged = changed(&good, &issuer.sign(&claims("root", 600)));
        // Whoever knows the public key could sign with it, if it were taken for a secret.
        let confused = Issuer::Hs256(issuer.pem().into_bytes()).sign(&claims("anna", 600));
        for wrong in [stranger.sign(&claims("anna", 600)), forged, confused] {
            assert_eq!(come(&broker, &wrong), Err(ReasonCode::NotAuthorized), "{algorithm} {wrong}");
        }
        broker.process.await_text("user=\"anna\"");
        assert!(!broker.process.says(good.rsplit('.').next().unwrap()), "a token is never logged");
    }
}

#[test]
fn a_role_of_a_token_that_no_rule_knows_is_said_once() {
    let [issuer, ..] = Issuer::each();
    let setup = Setup::new("tokens-roles").shards(1);
    fs::write(setup.folder().join("key.pem"), issuer.pem()).unwrap();
    fs::write(setup.folder().join("rules.toml"), "default = \"allow\"\n[roles.operator]\nrules = []\n")
        .unwrap();
    let text = "[authentication]\njwt_keys = \"key.pem\"\nanonymous = \"never\"\n[access]\nrules_file = \"rules.toml\"\n";
    let broker = setup.config(text).start();
    for roles in [json!(["operator"]), json!(["operater"]), json!(["operator", "operater"])] {
        let mut claims = claims("anna", 600);
        claims["roles"] = roles;
        assert_eq!(come(&broker, &issuer.sign(&claims)), Ok(()));
    }
    broker.process.await_text("no rule knows the role `operater`");
    let lines = broker.process.lines();
    let told: Vec<_> = lines.iter().filter(|line| line.contains("no rule knows")).collect();
    assert!(told.len() == 1 && told[0].contains("user=\"anna\""), "{told:?}");
}

/// What an issuer publishes, and changes.
fn published(keys: Value) -> (Site, Arc<Mutex<Value>>) {
    let keys = Arc::new(Mutex::new(keys));
    let shown = Arc::clone(&keys);
    (Site::open(move |_| (200, shown.lock().unwrap().to_string())), keys)
}

#[test]
fn keys_at_a_url_are_fetched_once_and_check_tokens_of_each_algorithm() {
    let issuers = Issuer::each();
    let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk(issuer.algorithm())).collect();
    let (site, _) = published(json!({ "keys": keys }));
    let broker = trusting("tokens-url", &site.url("/keys.json"), |_| {});
    assert!(site.asked().is_empty(), "nobody has brought a token");
    for issuer in &issuers {
        let named = issuer.sign_by(issuer.algorithm(), &claims("anna", 600));
        assert_eq!(come(&broker, &named), Ok(()));
        assert_eq!(come(&broker, &issuer.sign(&claims("anna", 600))), Ok(()));
    }
    let asked = site.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].head.starts_with("GET /keys.json HTTP/1.1\r\n"), "{asked:?}");
    for issuer in &issuers {
        // By the name of another's key.
        let other = issuers.iter().find(|other| other.algorithm() != issuer.algorithm()).unwrap();
        let misnamed = issuer.sign_by(other.algorithm(), &claims("ben", 600));
        assert_eq!(come(&broker, &misnamed), Err(ReasonCode::NotAuthorized));
    }
}

#[test]
fn a_key_that_its_issuer_publishes_later_counts_without_a_reload() {
    let [_, first, second] = Issuer::each();
    let (site, keys) = published(json!({"keys": [first.jwk("first")]}));
    let broker = trusting("tokens-rotated", &site.url("/keys.json"), |_| {});
    assert_eq!(come(&broker, &first.sign_by("first", &claims("anna", 600))), Ok(()));
    *keys.lock().unwrap() = json!({"keys": [second.jwk("second")]});
    let token = second.sign_by("second", &claims("anna", 600));
    let deadline = Instant::now() + PATIENCE;
    while come(&broker, &token).is_err() {
        assert!(Instant::now() < deadline, "the other key is not taken\n{}", broker.process.shown());
        // Tokens with keys that are not known may not make the broker ask at any rate, nor may they come at any.
        std::thread::sleep(Duration::from_secs(2));
    }
    assert_eq!(site.asked().len(), 2);
    let gone = come(&broker, &first.sign_by("first", &claims("anna", 600)));
    assert_eq!(gone, Err(ReasonCode::NotAuthorized));
}

/// What becomes of a fetch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answers {
    Keys,
    Status500,
    Nonsense,
    /// Nothing, for longer than the broker waits.
    Nothing,
}

/// Keys that count for fifteen seconds, so that they are fetched again in the background from the twelfth on.
struct Fading {
    broker: Broker,
    site: Site,
    answers: Arc<Mutex<Answers>>,
    issuer: Issuer,
}

impl Fading {
    fn begin(name: &str) -> Fading {
        let [_, issuer, _] = Issuer::each();
        let keys = json!({"keys": [issuer.jwk("key")]}).to_string();
        let answers = Arc::new(Mutex::new(Answers::Keys));
        let shown = Arc::clone(&answers);
        let site = Site::open(move |_| {
            let answer = *shown.lock().unwrap();
            match answer {
                Answers::Keys => (200, keys.clone()),
                Answers::Status500 => (500, String::new()),
                Answers::Nonsense => (200, "<html>no keys</html>".to_owned()),
                Answers::Nothing => {
                    std::thread::sleep(2 * FETCH_TIME);
                    (200, String::new())
                }
            }
        });
        let text = format!(
            "[authentication]\njwt_keys = \"{}\"\njwt_refresh_secs = 15\nhttp_timeout_secs = {}\n\
             cache_secs = 0\nanonymous = \"never\"\n",
            site.url("/keys.json"),
            FETCH_TIME.as_secs()
        );
        Fading { broker: Setup::new(name).shards(2).config(&text).start(), site, answers, issuer }
    }

    /// Clients with the key that is known come in one after the other, and promptly, until the keys were asked for so often.
    #[track_caller]
    fn come_until_asked(&self, count: usize) {
        let token = self.issuer.sign_by("key", &claims("anna", 600));
        let deadline = Instant::now() + 2 * PATIENCE;
        let lookout = Lookout::start();
        let mut comings = Vec::new();
        while self.site.asked().len() < count {
            assert!(Instant::now() < deadline, "the keys are not asked for\n{}", self.broker.process.shown());
            let begun = Instant::now();
            assert_eq!(come(&self.broker, &token), Ok(()), "{}", self.broker.process.shown());
            comings.push((begun, begun.elapsed()));
            // Somebody has to come for the keys to be asked for.
            std::thread::sleep(Duration::from_millis(100));
        }
        let standstills = lookout.end();
        let took = comings.into_iter().map(|(begun, took)| standstill::without(&standstills, begun, took));
        let worst = took.max().unwrap_or_default();
        assert!(worst < FETCH_TIME / 2, "somebody waited for {worst:?}");
    }

    fn lines(&self, text: &str) -> Vec<String> {
        self.broker.process.lines().into_iter().filter(|line| line.contains(text)).collect()
    }
}

#[test]
fn a_fetch_in_the_background_that_fails_keeps_nobody_out_and_is_told_as_its_end_is() {
    let fail = |answers: Answers, why: &str| {
        let fading = Fading::begin(&format!("tokens-fading-{answers:?}"));
        fading.come_until_asked(1);
        *fading.answers.lock().unwrap() = answers;
        // Once before their end, and once more when that has failed.
        fading.come_until_asked(2);
        fading.broker.process.await_text(FAILED);
        *fading.answers.lock().unwrap() = Answers::Keys;
        fading.come_until_asked(3);
        fading.broker.process.await_text(MENDED);
        let (failed, mended) = (fading.lines(FAILED), fading.lines(MENDED));
        assert!(failed.len() == 1 && failed[0].contains(why), "{answers:?}: {failed:?}");
        assert_eq!(mended.len(), 1, "{answers:?}: {mended:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| fail(Answers::Status500, "status 500"));
        scope.spawn(|| fail(Answers::Nonsense, "this is no set of keys (JWKS)"));
        scope.spawn(|| {
            fail(Answers::Nothing, "did not answer within 3 seconds (authentication.http_timeout_secs)")
        });
    });
}

const FAILED: &str = "published keys of tokens cannot be fetched";
const MENDED: &str = "published keys of tokens are fetched again";
const FETCH_TIME: Duration = Duration::from_secs(3);

#[test]
fn without_keys_at_the_url_nobody_comes_in_and_the_log_says_why() {
    let site = Site::open(|_| (500, String::new()));
    let url = site.url("/keys.json?key=verborgen");
    let broker = trusting("tokens-broken", &url, |_| {});
    let [_, issuer, _] = Issuer::each();
    let token = issuer.sign_by("ES256", &claims("anna", 600));
    assert_eq!(come(&broker, &token), Err(ReasonCode::ServerUnavailable));
    broker.process.await_text("no keys for tokens: ");
    assert_eq!(come(&broker, &token), Err(ReasonCode::ServerUnavailable));
    let told = |line: &str| line.contains("published keys of tokens cannot be fetched");
    let line = broker.process.await_line("that keys are missing", |line| told(line).then(|| line.to_owned()));
    let host = url.split('/').nth(2).unwrap();
    assert!(line.contains(&format!("host=\"{host}\"")) && line.contains("status 500"), "{line}");
    assert_eq!(broker.process.lines().iter().filter(|line| told(line)).count(), 1);
    assert!(!broker.process.says("verborgen"));
}

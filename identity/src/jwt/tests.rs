//! Tokens of every algorithm, signed here by aws-lc-rs alone, and everything that can be wrong with one.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;

use super::*;
use crate::{
    Ask, Enhanced, Judgement, Provider, Reason, Secret,
    chain::tests::ask,
    provider::{KeySource, Tokens},
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW_S: u64 = 1_700_000_000;

fn signed(header: Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

fn hs256(claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    signed(json!({"alg": "HS256", "typ": "JWT"}), claims, |text| hmac::sign(&key, text).as_ref().to_vec())
}

fn claims() -> Value {
    json!({"sub": "alice", "exp": NOW_S + 100})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn secret_keys() -> TokenKeys {
    TokenKeys::of_secret(&Secret::new(SECRET)).expect("long enough")
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn judged(rules: &TokenRules, claims: &Value) -> Result<crate::Identity, TokenError> {
    let claims = verify(&secret_keys(), hs256(claims).as_bytes())?;
    rules.judge(&claims, "device", NOW_S * 1000)
}

#[test]
fn each_algorithm_is_checked_with_its_own_kind_of_key() {
    let ed = Ed25519KeyPair::generate().expect("a key");
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
    let random = SystemRandom::new();
    let der = |key: &dyn Fn() -> Vec<u8>| pem(&key());
    let ed_pem =
        der(&|| AsDer::<PublicKeyX509Der>::as_der(ed.public_key()).expect("a key").as_ref().to_vec());
    let ec_pem =
        der(&|| AsDer::<PublicKeyX509Der>::as_der(ec.public_key()).expect("a key").as_ref().to_vec());
    let rsa_pem =
        der(&|| AsDer::<PublicKeyX509Der>::as_der(rsa.public_key()).expect("a key").as_ref().to_vec());
    let sign_rsa = |text: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).expect("signed");
        signature
    };
    let tokens = [
        signed(json!({"alg": "EdDSA"}), &claims(), |text| ed.sign(text).as_ref().to_vec()),
        signed(json!({"alg": "ES256"}), &claims(), |text| {
            ec.sign(&random, text).expect("signed").as_ref().to_vec()
        }),
        signed(json!({"alg": "RS256"}), &claims(), sign_rsa),
        hs256(&claims()),
    ];
    let keys = [ed_pem, ec_pem, rsa_pem.clone()].map(|pem| TokenKeys::of_pem(pem.as_bytes()).expect("a key"));
    let keys = [&keys[0], &keys[1], &keys[2], &secret_keys()];
    for (at, token) in tokens.iter().enumerate() {
        for (key_at, keys) in keys.iter().enumerate() {
            let verified = verify(keys, token.as_bytes()).map(Value::from);
            let expected = if at == key_at { Ok(claims()) } else { Err(TokenError::UnknownKey) };
            assert_eq!(verified, expected, "token {at} with key {key_at}");
        }
    }
    // A public key, which everybody has, is no secret: the classic forgery.
    let key = hmac::Key::new(hmac::HMAC_SHA256, rsa_pem.as_bytes());
    let forged = signed(json!({"alg": "HS256"}), &claims(), |text| hmac::sign(&key, text).as_ref().to_vec());
    assert_eq!(verify(keys[2], forged.as_bytes()), Err(TokenError::UnknownKey));
}

#[test]
fn a_token_without_a_right_signature_says_nothing() {
    let token = hs256(&claims());
    let (text, _) = token.rsplit_once('.').expect("three parts");
    for header in [json!({"alg": "none"}), json!({"alg": "HS384"}), json!({"alg": "hs256"}), json!({})] {
        assert!(verify(&secret_keys(), signed(header, &claims(), |_| Vec::new()).as_bytes()).is_err());
    }
    assert!(verify(&secret_keys(), format!("{text}.").as_bytes()).is_err());
    for at in 0..token.len() - 1 {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(verify(&secret_keys(), &changed).is_err(), "byte {at}");
        assert!(verify(&secret_keys(), &token.as_bytes()[..at]).is_err(), "up to {at}");
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let critical = signed(json!({"alg": "HS256", "crit": ["x"], "x": 1}), &claims(), |text| {
        hmac::sign(&key, text).as_ref().to_vec()
    });
    assert_eq!(verify(&secret_keys(), critical.as_bytes()), Err(TokenError::Critical));
    assert_eq!(verify(&secret_keys(), &vec![b'.'; 20_000]), Err(TokenError::Malformed));
    assert!(TokenKeys::of_secret(&Secret::new(&SECRET[1..])).is_err());
}

#[test]
fn times_are_kept_with_their_leeway() {
    let rules = TokenRules { leeway_s: 10, ..TokenRules::default() };
    for (claims, expected) in [
        (with("exp", json!(NOW_S - 9)), Ok(())),
        (with("exp", json!(NOW_S - 10)), Err(TokenError::Expired)),
        (with("exp", json!((NOW_S + 1) as f64 + 0.5)), Ok(())),
        (with("exp", json!("tomorrow")), Err(TokenError::Claim("exp".to_owned()))),
        (with("exp", json!(-1)), Err(TokenError::Claim("exp".to_owned()))),
        (with("exp", json!(NOW_S * 1000)), Err(TokenError::Claim("exp".to_owned()))),
        (without("exp"), Err(TokenError::Claim("exp".to_owned()))),
        (with("nbf", json!(NOW_S + 10)), Ok(())),
        (with("nbf", json!(NOW_S + 11)), Err(TokenError::Early)),
        (with("nbf", json!([])), Err(TokenError::Claim("nbf".to_owned()))),
    ] {
        assert_eq!(judged(&rules, &claims).map(|_| ()), expected, "{claims}");
    }
    let endless = TokenRules { needs_expiry: false, ..rules.clone() };
    assert_eq!(judged(&endless, &without("exp")).map(|identity| identity.expires_at_unix_ms), Ok(None));
    let end = judged(&rules, &claims()).map(|identity| identity.expires_at_unix_ms);
    assert_eq!(end, Ok(Some((NOW_S + 110) * 1000)));
}

#[test]
fn issuer_audience_and_client_have_to_be_the_right_ones() {
    let rules = TokenRules {
        issuers: vec!["us".to_owned()],
        audiences: vec!["mqtt".to_owned()],
        client_id_claim: Some("cid".to_owned()),
        ..TokenRules::default()
    };
    let good =
        json!({"sub": "alice", "exp": NOW_S + 1, "iss": "us", "aud": ["web", "mqtt"], "cid": "device"});
    assert!(judged(&rules, &good).is_ok());
    for (name, value, error) in [
        ("iss", json!("them"), TokenError::Issuer),
        ("iss", Value::Null, TokenError::Issuer),
        ("iss", json!(7), TokenError::Claim("iss".to_owned())),
        ("aud", json!("web"), TokenError::Audience),
        ("aud", json!([]), TokenError::Audience),
        ("aud", json!({"mqtt": 1}), TokenError::Claim("aud".to_owned())),
        ("cid", json!("other"), TokenError::ClientId),
        ("cid", Value::Null, TokenError::Claim("cid".to_owned())),
        ("sub", json!(""), TokenError::Claim("sub".to_owned())),
        ("sub", json!("a\nb"), TokenError::Claim("sub".to_owned())),
        ("roles", json!([1]), TokenError::Claim("roles".to_owned())),
        (
            "permissions",
            json!([{"allow": "fly", "topics": "a"}]),
            TokenError::Permissions { claim: "permissions".to_owned(), why: "`fly` is no action".to_owned() },
        ),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        assert_eq!(judged(&rules, &claims), Err(error), "{claims}");
    }
    // For somebody else: we are nobody in particular.
    assert_eq!(judged(&TokenRules::default(), &with("aud", json!("web"))), Err(TokenError::Audience));
}

#[test]
fn claims_say_who_it_is_and_what_it_may() {
    let mut claims = with("roles", json!(["operator"]));
    claims["groups"] = json!("plant");
    claims["permissions"] = json!([{"allow": "publish", "topics": "a/#"}, {"deny": "read", "topics": ["b"]}]);
    let identity = judged(&TokenRules::default(), &claims).expect("in order");
    assert_eq!(identity.user.as_deref(), Some("alice"));
    assert_eq!((&*identity.roles[0], &*identity.groups[0]), ("operator", "plant"));
    let permits = identity.permits.expect("there are some");
    assert_eq!((permits.text(0), permits.text(1)), (Some("allow publish on a/#"), Some("deny read on b")));
    assert_eq!(permits.source(), "the token's claim `permissions`");
}

#[test]
fn claims_have_the_names_that_they_are_given() {
    let claims = json!({
        "exp": NOW_S + 1, "sub": "alice", "preferred_username": "bob", "teams": "plant", "groups": "office",
        "roles": "operator", "": "nobody",
    });
    let rules = TokenRules {
        user_claim: "preferred_username".to_owned(),
        groups_claim: "teams".to_owned(),
        roles_claim: String::new(),
        ..TokenRules::default()
    };
    let identity = judged(&rules, &claims).expect("in order");
    assert_eq!((identity.user.as_deref(), &*identity.groups[0]), (Some("bob"), "plant"));
    assert_eq!(identity.roles.len(), 0, "tokens are not asked for roles");
}

fn jwks(id: &str, key: &Ed25519KeyPair) -> Vec<u8> {
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    let secret = URL_SAFE_NO_PAD.encode(SECRET);
    let keys = json!([
        {"kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "x": x},
        {"kty": "oct", "kid": "secret", "k": secret},
    ]);
    json!({ "keys": keys }).to_string().into_bytes()
}

#[test]
fn published_keys_are_fetched_when_they_are_needed_and_not_at_any_rate() {
    let key = Ed25519KeyPair::generate().expect("a key");
    let token = |id: &str| {
        let header = json!({"alg": "EdDSA", "kid": id});
        signed(header, &claims(), |text| key.sign(text).as_ref().to_vec())
    };
    let down = || Err("down".to_owned());
    let sets: [Result<Vec<u8>, String>; 6] =
        [down(), Ok(jwks("one", &key)), down(), Ok(jwks("two", &key)), down(), Ok(b"{}".to_vec())];
    let fetched = Arc::new(AtomicUsize::new(0));
    let counter = fetched.clone();
    let fetch = move || sets[counter.fetch_add(1, Ordering::Relaxed).min(5)].clone();
    let (tell, told) = mpsc::channel();
    let report = move |trouble: Option<&str>| tell.send(trouble.map(str::to_owned)).expect("the test hears");
    let published = PublishedKeys::new(Box::new(fetch), Box::new(report), 3_600_000);
    let tokens = Tokens::new(KeySource::Published(published), TokenRules::default());
    let judge = |id: &str, after_s: u64| {
        let asked = ask("192.0.2.1:1", Some(("any", &token(id))));
        match tokens.judge(&asked, (NOW_S + after_s) * 1000) {
            Judgement::Accept(identity) => Ok(identity.user),
            Judgement::Reject(rejection) => Err(rejection.reason),
            other => panic!("{other:?}"),
        }
    };
    let alice = Ok(Some(Arc::from("alice")));
    let count = |expected: usize| assert_eq!(fetched.load(Ordering::Relaxed), expected);
    assert_eq!(judge("one", 0), Err(Reason::ServerUnavailable));
    assert_eq!(judge("one", 9), Err(Reason::ServerUnavailable));
    count(1);
    assert_eq!(judge("one", 10), alice);
    assert_eq!(judge("one", 15), alice);
    count(2);
    // An unknown key is asked for once in ten seconds; what is known goes on while nothing comes.
    assert_eq!(judge("two", 15), Err(Reason::NotAuthorized));
    count(2);
    assert_eq!(judge("two", 20), Err(Reason::NotAuthorized));
    assert_eq!(judge("one", 21), alice);
    count(3);
    assert_eq!(judge("two", 30), alice);
    assert_eq!(judge("one", 31), Err(Reason::NotAuthorized));
    count(4);
    assert_eq!(judge("three", 40), Err(Reason::NotAuthorized));
    assert_eq!(judge("three", 50), Err(Reason::NotAuthorized));
    count(6);
    // Each beginning and each end of a trouble once.
    let [begins, ends] = [Some("down".to_owned()), None];
    assert_eq!(
        told.try_iter().collect::<Vec<_>>(),
        [begins.clone(), ends.clone(), begins.clone(), ends, begins]
    );
    // A secret in what is published is none.
    let asked = ask("192.0.2.1:1", Some(("any", &hs256(&claims()))));
    assert!(matches!(tokens.judge(&asked, NOW_S * 1000), Judgement::Reject(_)));
}

/// An issuer with keys at a URL, of which the test says when and what it answers.
struct Issuer {
    key: Ed25519KeyPair,
    tokens: Arc<Tokens>,
    answers: mpsc::Sender<Result<Vec<u8>, String>>,
    asked: mpsc::Receiver<()>,
}

impl Issuer {
    fn new(refresh_s: u64) -> Issuer {
        let (answers, given) = mpsc::channel();
        let (tells, asked) = mpsc::channel();
        let given = Mutex::new(given);
        let fetch = move || {
            tells.send(()).expect("the test waits");
            given.lock().expect("nobody panics").recv().expect("an answer of the test")
        };
        let published = PublishedKeys::new(Box::new(fetch), Box::new(|_| {}), refresh_s * 1000);
        let tokens = Arc::new(Tokens::new(KeySource::Published(published), TokenRules::default()));
        Issuer { key: Ed25519KeyPair::generate().expect("a key"), tokens, answers, asked }
    }

    fn ask(&self, id: &str) -> Ask {
        let claims = with("exp", json!(NOW_S + 1_000_000));
        let header = json!({"alg": "EdDSA", "kid": id});
        let token = signed(header, &claims, |text| self.key.sign(text).as_ref().to_vec());
        ask("192.0.2.1:1", Some(("any", &token)))
    }

    /// What is said without waiting: in, out, no keys, or that somebody has to wait.
    fn at_hand(&self, id: &str, after_s: u64) -> &'static str {
        shown(self.tokens.judge_at_hand(&self.ask(id), (NOW_S + after_s) * 1000))
    }

    /// One who waits, on a thread.
    fn wait(&self, id: &str, after_s: u64) -> thread::JoinHandle<&'static str> {
        let (tokens, asked) = (Arc::clone(&self.tokens), self.ask(id));
        thread::spawn(move || shown(Some(tokens.judge(&asked, (NOW_S + after_s) * 1000))))
    }

    fn is_asked(&self) {
        self.asked.recv_timeout(Duration::from_secs(20)).expect("the keys are asked for");
    }

    fn is_not_asked(&self) {
        assert_eq!(self.asked.try_recv(), Err(mpsc::TryRecvError::Empty));
    }

    fn answer(&self, id: &str) {
        self.answers.send(Ok(jwks(id, &self.key))).expect("somebody asks");
    }

    fn fail(&self) {
        self.answers.send(Err("down".to_owned())).expect("somebody asks");
    }

    /// In the background it comes some time.
    fn await_at_hand(&self, id: &str, after_s: u64, expected: &str) {
        let begun = Instant::now();
        while self.at_hand(id, after_s) != expected {
            assert!(begun.elapsed() < Duration::from_secs(20), "{id} is not {expected}");
            thread::yield_now();
        }
    }
}

fn shown(judgement: Option<Judgement>) -> &'static str {
    match judgement {
        None => "waits",
        Some(Judgement::Accept(_)) => "in",
        Some(Judgement::Reject(rejection)) if rejection.reason == Reason::ServerUnavailable => "no keys",
        Some(Judgement::Reject(_)) => "out",
        Some(other) => panic!("{other:?}"),
    }
}

/// A fetch may end while somebody looks among the keys that were at hand before.
#[test]
fn keys_that_came_since_are_looked_at() {
    let key = Ed25519KeyPair::generate().expect("a key");
    let sets = Mutex::new(vec![jwks("two", &key), jwks("one", &key)]);
    let fetch = move || Ok(sets.lock().expect("nobody panics").pop().expect("it is asked for twice"));
    let published = PublishedKeys::new(Box::new(fetch), Box::new(|_| {}), 600_000);
    let before = published.fetched(0).expect("the first");
    assert!(!published.may_know_more(&before, 9_999) && published.may_know_more(&before, 10_000));
    let since = published.fetched(10_000).expect("the second");
    assert!(published.may_know_more(&before, 10_001) && !published.may_know_more(&since, 10_001));
}

#[test]
fn only_who_has_no_key_waits_for_a_fetch() {
    let issuer = Issuer::new(600);
    assert_eq!(issuer.at_hand("one", 0), "waits");
    let first: Vec<_> = (0..4).map(|_| issuer.wait("one", 0)).collect();
    issuer.is_asked();
    assert_eq!(issuer.at_hand("one", 1), "waits");
    issuer.answer("one");
    assert!(first.into_iter().all(|thread| thread.join().expect("judged") == "in"));
    issuer.is_not_asked();
    // A key that is not known may not be asked for yet.
    assert_eq!((issuer.at_hand("one", 9), issuer.at_hand("two", 9)), ("in", "out"));
    assert_eq!(issuer.at_hand("two", 10), "waits");
    let second: Vec<_> = (0..4).map(|_| issuer.wait("two", 10)).collect();
    issuer.is_asked();
    // The server hangs, and whose key is known does not feel it.
    assert_eq!((issuer.at_hand("one", 11), issuer.at_hand("two", 11)), ("in", "waits"));
    issuer.answer("two");
    assert!(second.into_iter().all(|thread| thread.join().expect("judged") == "in"));
    assert_eq!((issuer.at_hand("one", 12), issuer.at_hand("two", 12)), ("out", "in"));
    issuer.is_not_asked();
}

#[test]
fn without_any_keys_the_trouble_is_told_at_once_after_a_fetch() {
    let issuer = Issuer::new(600);
    let first: Vec<_> = (0..4).map(|_| issuer.wait("one", 0)).collect();
    issuer.is_asked();
    issuer.fail();
    assert!(first.into_iter().all(|thread| thread.join().expect("judged") == "no keys"));
    assert_eq!((issuer.at_hand("one", 9), issuer.at_hand("one", 10)), ("no keys", "waits"));
    issuer.is_not_asked();
}

#[test]
fn keys_are_fetched_again_in_the_background_before_their_time_is_over() {
    let issuer = Issuer::new(600);
    let first = issuer.wait("one", 0);
    issuer.is_asked();
    issuer.answer("one");
    assert_eq!(first.join().expect("judged"), "in");
    assert_eq!(issuer.at_hand("one", 479), "in");
    issuer.is_not_asked();
    // In the last fifth whoever comes brings it about, and does not wait, nor do those after it.
    assert_eq!(issuer.at_hand("one", 480), "in");
    issuer.is_asked();
    assert_eq!(issuer.at_hand("one", 500), "in");
    issuer.is_not_asked();
    issuer.answer("two");
    issuer.await_at_hand("one", 489, "out");
    assert_eq!(issuer.at_hand("two", 500), "in");
    // The time begins anew with what was fetched: a key that is gone is not taken longer than that.
    assert_eq!((issuer.at_hand("two", 959), issuer.at_hand("two", 1_080)), ("in", "waits"));
    issuer.is_not_asked();
}

#[test]
fn known_keys_go_on_while_others_cannot_be_fetched() {
    let issuer = Issuer::new(600);
    let first = issuer.wait("one", 0);
    issuer.is_asked();
    issuer.answer("one");
    assert_eq!(first.join().expect("judged"), "in");
    // Each attempt fails, and no two of them are less than ten seconds apart.
    for after_s in (480..2_000).step_by(10) {
        assert_eq!(issuer.at_hand("one", after_s), "in");
        issuer.is_asked();
        assert_eq!(issuer.at_hand("one", after_s + 9), "in");
        issuer.fail();
        // It is over when a key that is not known need not wait for it any more.
        issuer.await_at_hand("two", after_s, "out");
        assert_eq!(issuer.at_hand("one", after_s + 9), "in");
        issuer.is_not_asked();
    }
}

#[test]
fn keys_that_nobody_needed_for_long_are_fetched_before_they_are_used() {
    let issuer = Issuer::new(600);
    let first = issuer.wait("one", 0);
    issuer.is_asked();
    issuer.answer("one");
    assert_eq!(first.join().expect("judged"), "in");
    assert_eq!(issuer.at_hand("one", 600), "waits");
    let late = issuer.wait("one", 600);
    issuer.is_asked();
    issuer.answer("two");
    assert_eq!(late.join().expect("judged"), "out");
}

#[test]
fn a_token_comes_as_password_or_by_its_method_and_other_passwords_pass() {
    let tokens = Tokens::new(KeySource::Known(secret_keys()), TokenRules::default());
    let judge = |asked: &Ask| tokens.judge(asked, NOW_S * 1000);
    let password = ask("192.0.2.1:1", Some(("any", &hs256(&claims()))));
    assert!(matches!(judge(&password), Judgement::Accept(_)) && !tokens.is_quick(&password));
    for other in ["secret", "a.b.c", "", "..", "eyJ.eyJ.x"] {
        let asked = ask("192.0.2.1:1", Some(("any", other)));
        assert!(matches!(judge(&asked), Judgement::Pass) && tokens.is_quick(&asked), "{other}");
    }
    let by = |method: &str, data: &str| Ask {
        enhanced: Some(Enhanced {
            method: method.into(),
            data: Secret::new(data.as_bytes()),
            exchange: None,
        }),
        ..ask("192.0.2.1:1", None)
    };
    assert!(matches!(judge(&by("JWT", &hs256(&claims()))), Judgement::Accept(_)));
    assert!(matches!(judge(&by("JWT", "nonsense")), Judgement::Reject(_)));
    assert!(matches!(judge(&by("SCRAM-SHA-256", "n,,")), Judgement::Pass));
}

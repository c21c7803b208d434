//! Answers at once, answers later, and answers to too many.

use std::{
    sync::{Condvar, mpsc},
    time::Duration,
};

use super::*;
use crate::{
    Enhanced, Exchange, Identity, ScramFile, Secret,
    chain::{
        Aspects, Chain, Provider,
        tests::{ask, passwords},
    },
    provider::{Anonymous, Scram},
    scram::{Client, Credential, Mechanism},
};

/// Judges when it is let, and counts.
struct Gate {
    /// Its kind, where it is one that asks another program.
    waits_as: Option<&'static str>,
    judged: AtomicU64,
    is_open: Mutex<bool>,
    bell: Condvar,
}

impl Gate {
    fn new(is_open: bool) -> Arc<Gate> {
        Gate::of(is_open, None)
    }

    fn of(is_open: bool, waits_as: Option<&'static str>) -> Arc<Gate> {
        Arc::new(Gate {
            waits_as,
            judged: AtomicU64::new(0),
            is_open: Mutex::new(is_open),
            bell: Condvar::new(),
        })
    }

    fn open(&self) {
        *lock(&self.is_open) = true;
        self.bell.notify_all();
    }

    fn judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }
}

impl Provider for Gate {
    fn name(&self) -> &str {
        "gate"
    }
    fn kind(&self) -> &'static str {
        self.waits_as.unwrap_or_default()
    }

    fn looks_at(&self) -> Aspects {
        Aspects::LOGIN
    }
    fn is_quick(&self, _ask: &Ask) -> bool {
        false
    }
    fn judge_at_hand(&self, ask: &Ask, unix_ms: u64) -> Option<Judgement> {
        self.waits_as.is_none().then(|| self.judge(ask, unix_ms))
    }
    fn judge(&self, ask: &Ask, _unix_ms: u64) -> Judgement {
        let mut is_open = lock(&self.is_open);
        while !*is_open {
            is_open = self.bell.wait(is_open).expect("no thread panics");
        }
        self.judged.fetch_add(1, Ordering::Relaxed);
        match ask.password.as_ref().map(Secret::expose) {
            Some(b"right") => Judgement::Accept(Identity {
                user: ask.user.as_deref().map(Arc::from),
                ..Identity::default()
            }),
            Some(b"own") => {
                Judgement::Accept(Identity { user: Some("mallory".into()), ..Identity::default() })
            }
            Some(b"pass") => Judgement::Pass,
            Some(b"down") => Judgement::reject(Reason::ServerUnavailable, "down"),
            _ => Judgement::reject(Reason::BadUserNameOrPassword, "wrong"),
        }
    }
}

fn front(provider: Arc<dyn Provider>, limits: FrontLimits) -> Front {
    Front::start(Chains::new(Chain::new(vec![provider])), limits).expect("threads")
}

fn patient() -> FrontLimits {
    FrontLimits { threads: 2, queue_max: 10_000, ..FrontLimits::default() }
}

fn answer(front: &Front, asked: Ask) -> Answer {
    let (sender, receiver) = mpsc::channel();
    front.ask(asked, move |answer| sender.send(answer).expect("the test waits"));
    receiver.recv_timeout(Duration::from_secs(20)).expect("an answer")
}

fn reason(answer: &Answer) -> Option<Reason> {
    match answer {
        Answer::Reject(rejection) => Some(rejection.reason),
        _ => None,
    }
}

fn login(address: u8, user: &str, password: &str) -> Ask {
    ask(&format!("192.0.2.{address}:1"), Some((user, password)))
}

#[test]
fn what_is_quick_is_answered_before_the_return() {
    let front = front(Arc::new(Anonymous { everywhere: true, ignores_logins: false }), patient());
    let (sender, receiver) = mpsc::channel();
    let here = thread::current().id();
    front.ask(ask("192.0.2.1:1", None), move |answer| {
        sender.send((answer, thread::current().id() == here)).expect("the test waits");
    });
    let (answer, is_here) = receiver.try_recv().expect("answered at once");
    assert!(is_here && matches!(answer, Answer::Accept { .. }));
}

#[test]
fn what_is_slow_never_keeps_the_asker() {
    let gate = Gate::new(false);
    let front = front(gate.clone(), patient());
    let (sender, receiver) = mpsc::channel();
    let begin = Instant::now();
    for number in 0..2_000 {
        let sender = sender.clone();
        front.ask(login(number as u8, &format!("user{number}"), "right"), move |answer| {
            sender.send(answer).expect("the test waits");
        });
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(receiver.try_recv().is_err());
    gate.open();
    for _ in 0..2_000 {
        let answer = receiver.recv_timeout(Duration::from_secs(20)).expect("an answer");
        assert!(matches!(answer, Answer::Accept { .. }));
    }
    assert_eq!(front.figures(), Figures { accepted: 2_000, queued_max: 10_000, ..Figures::default() });
}

#[test]
fn the_same_is_decided_once_also_for_those_that_wait_already() {
    let gate = Gate::new(false);
    let front = front(gate.clone(), FrontLimits { threads: 1, ..patient() });
    let (sender, receiver) = mpsc::channel();
    for number in 0..100 {
        let sender = sender.clone();
        front
            .ask(login(number, "plant", "right"), move |answer| sender.send(answer).expect("the test waits"));
    }
    gate.open();
    for _ in 0..100 {
        receiver.recv_timeout(Duration::from_secs(20)).expect("an answer");
    }
    assert_eq!((gate.judged(), front.figures().repeated), (1, 99));
    assert!(matches!(answer(&front, login(1, "plant", "right")), Answer::Accept { .. }));
    assert_eq!(gate.judged(), 1);
}

#[test]
fn other_chains_decide_anew() {
    let (one, two) = (Gate::new(true), Gate::new(true));
    let front = front(one.clone(), patient());
    for _ in 0..3 {
        answer(&front, login(1, "alice", "right"));
    }
    front.replace(Chains::new(Chain::new(vec![two.clone() as Arc<dyn Provider>])));
    for _ in 0..3 {
        answer(&front, login(1, "alice", "right"));
    }
    assert_eq!((one.judged(), two.judged()), (1, 1));
}

#[test]
fn a_guesser_is_held_and_his_guesses_that_wait_are_not_tried() {
    let gate = Gate::new(false);
    let front = front(gate.clone(), FrontLimits { threads: 1, ..patient() });
    let (sender, receiver) = mpsc::channel();
    for number in 0..100 {
        let sender = sender.clone();
        front.ask(login(1, "alice", &format!("guess{number}")), move |answer| {
            sender.send(answer).expect("the test waits");
        });
    }
    gate.open();
    let answers: Vec<Answer> =
        (0..100).map(|_| receiver.recv_timeout(Duration::from_secs(20)).expect("an answer")).collect();
    let held = answers.iter().filter(|answer| reason(answer) == Some(Reason::ConnectionRateExceeded)).count();
    assert_eq!((gate.judged(), held as u64), (4, 96));
    // Also with the right password, and not from elsewhere.
    assert_eq!(reason(&answer(&front, login(1, "alice", "right"))), Some(Reason::ConnectionRateExceeded));
    assert!(matches!(answer(&front, login(2, "alice", "right")), Answer::Accept { .. }));
}

#[test]
fn a_provider_that_is_down_is_nobodys_failed_attempt() {
    let gate = Gate::new(true);
    let front = front(gate.clone(), patient());
    for _ in 0..20 {
        let answer = answer(&front, login(1, "alice", "down"));
        assert_eq!(reason(&answer), Some(Reason::ServerUnavailable));
    }
    assert_eq!(gate.judged(), 20);
}

#[test]
fn too_many_and_too_late_are_told_that_the_broker_is_busy() {
    let gate = Gate::new(false);
    let front = front(gate.clone(), FrontLimits { threads: 1, queue_max: 8, wait_ms: 0, ..patient() });
    let (sender, receiver) = mpsc::channel();
    for number in 0..50u8 {
        let sender = sender.clone();
        front.ask(login(number, "x", &number.to_string()), move |answer| {
            sender.send(answer).expect("the test waits");
        });
    }
    // Those beyond the queue are answered at once, and at most one more than the queue is with the thread.
    let at_once = receiver.try_iter().filter(|answer| reason(answer) == Some(Reason::ServerBusy)).count();
    assert!((41..=42).contains(&at_once), "{at_once}");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(5) {
        thread::yield_now();
    }
    gate.open();
    let late: Vec<Answer> = (0..50 - at_once)
        .map(|_| receiver.recv_timeout(Duration::from_secs(20)).expect("an answer"))
        .collect();
    let busy = late.iter().filter(|answer| reason(answer) == Some(Reason::ServerBusy)).count();
    assert!(busy + 1 >= late.len(), "{busy} of {}", late.len());
}

#[test]
fn the_end_answers_those_that_wait() {
    let gate = Gate::new(false);
    let front = front(gate.clone(), FrontLimits { threads: 1, ..patient() });
    let (sender, receiver) = mpsc::channel();
    for number in 0..10 {
        let sender = sender.clone();
        front.ask(login(number, &number.to_string(), "right"), move |answer| {
            sender.send(answer).expect("the test waits");
        });
    }
    drop(sender);
    gate.open();
    drop(front);
    assert_eq!(receiver.iter().count(), 10);
}

/// Asks for the word `more` before it says yes.
struct Asking;
struct Asked;

impl Provider for Asking {
    fn name(&self) -> &str {
        "asking"
    }
    fn kind(&self) -> &'static str {
        ""
    }

    fn looks_at(&self) -> Aspects {
        Aspects::default()
    }
    fn is_quick(&self, _ask: &Ask) -> bool {
        true
    }
    fn judge(&self, ask: &Ask, _unix_ms: u64) -> Judgement {
        match ask.enhanced {
            Some(_) => Judgement::Challenge(b"?".to_vec(), Box::new(Asked)),
            None => Judgement::Pass,
        }
    }
}

impl Exchange for Asked {
    fn go_on(self: Box<Self>, data: &[u8], _unix_ms: u64, _chain: &Chain) -> Judgement {
        match data {
            b"more" => Judgement::AcceptWith(Identity::default(), b"!".to_vec()),
            _ => Judgement::reject(Reason::NotAuthorized, "not the word"),
        }
    }
}

#[test]
fn an_exchange_goes_on_where_it_was_and_once() {
    let front = front(Arc::new(Asking), patient());
    let enhanced = |data: &[u8], exchange: Option<ExchangeId>| Ask {
        enhanced: Some(Enhanced { method: "ASK".into(), data: Secret::new(data), exchange }),
        ..ask("[::1]:1", None)
    };
    let Answer::Challenge { data, exchange } = answer(&front, enhanced(b"", None)) else {
        panic!("a challenge")
    };
    assert_eq!(data, b"?");
    let done = answer(&front, enhanced(b"more", Some(exchange)));
    assert!(matches!(done, Answer::Accept { data: Some(data), .. } if data == b"!"));
    assert_eq!(reason(&answer(&front, enhanced(b"more", Some(exchange)))), Some(Reason::NotAuthorized));
}

#[test]
fn exchanges_that_begin_before_the_first_one_fails_are_no_more_guesses() {
    let front = front(Arc::new(Asking), patient());
    let enhanced = |data: &[u8], exchange: Option<ExchangeId>| Ask {
        enhanced: Some(Enhanced { method: "ASK".into(), data: Secret::new(data), exchange }),
        ..ask("192.0.2.1:1", None)
    };
    let begun: Vec<ExchangeId> = (0..20)
        .map(|_| match answer(&front, enhanced(b"", None)) {
            Answer::Challenge { exchange, .. } => exchange,
            other => panic!("{other:?}"),
        })
        .collect();
    let guess = |exchange: &ExchangeId| reason(&answer(&front, enhanced(b"guess", Some(*exchange))));
    let reasons: Vec<Option<Reason>> = begun.iter().map(guess).collect();
    let judged = reasons.iter().filter(|reason| **reason == Some(Reason::NotAuthorized)).count();
    let held = reasons.iter().filter(|reason| **reason == Some(Reason::ConnectionRateExceeded)).count();
    assert_eq!((judged, held), (4, 16));
}

#[test]
fn a_refusal_of_an_exchange_names_whom_it_was_to_prove() {
    let front = front(keys(ALICE, b"secret"), patient());
    let mut exchange = None;
    let mut refused = 0;
    for data in ["n,,n=alice,r=abcdefgh", "c=biws,r=abcdefgh,p=AAAA"] {
        let enhanced =
            Enhanced { method: "SCRAM-SHA-256".into(), data: Secret::new(data.as_bytes()), exchange };
        match answer(&front, Ask { enhanced: Some(enhanced), ..ask("192.0.2.1:1", None) }) {
            Answer::Challenge { exchange: begun, .. } => exchange = Some(begun),
            Answer::Reject(rejection) => {
                assert_eq!(rejection.user.as_deref(), Some(ALICE));
                refused += 1;
            }
            accepted @ Answer::Accept { .. } => panic!("{accepted:?}"),
        }
    }
    assert_eq!(refused, 1);
}

#[test]
fn a_password_file_answers_through_the_threads() {
    let front = front(Arc::new(passwords()), patient());
    assert!(matches!(answer(&front, login(1, "alice", "secret")), Answer::Accept { .. }));
    assert_eq!(reason(&answer(&front, login(2, "alice", "x"))), Some(Reason::BadUserNameOrPassword));
    assert_eq!(reason(&answer(&front, login(3, "bob", "x"))), Some(Reason::BadUserNameOrPassword));
}

#[test]
fn a_login_of_ones_own_under_anothers_name_forgives_nothing() {
    let gate = Gate::new(true);
    let front = front(gate, patient());
    let guess = |number: u8| reason(&answer(&front, login(1, "victim", &format!("guess{number}"))));
    for number in 0..4 {
        assert_eq!(guess(number), Some(Reason::BadUserNameOrPassword));
        // After the last one it is held as well.
        let own = answer(&front, login(1, "victim", "own"));
        assert_eq!(reason(&own), (number == 3).then_some(Reason::ConnectionRateExceeded));
    }
    assert_eq!(guess(4), Some(Reason::ConnectionRateExceeded));
    assert!(matches!(answer(&front, login(1, "mallory", "own")), Answer::Accept { .. }));
}

const ALICE: &str = "alice";

fn keys(user: &str, password: &[u8]) -> Arc<dyn Provider> {
    let credential = Credential::make(Mechanism::Sha256, password, 4096).expect("made");
    keys_of(&format!("{user}:{credential}\n"))
}

fn keys_of(text: &str) -> Arc<dyn Provider> {
    let file = ScramFile::parse("keys", text.as_bytes()).expect("a good file").0;
    Arc::new(Scram::new("keys", file, &Secret::new(b"s")))
}

fn proof(address: u8, user: Option<&str>, data: &[u8], exchange: Option<ExchangeId>) -> Ask {
    let enhanced = Enhanced { method: "SCRAM-SHA-256".into(), data: Secret::new(data), exchange };
    Ask { enhanced: Some(enhanced), user: user.map(Into::into), ..ask(&format!("192.0.2.{address}:1"), None) }
}

/// The client's last message, for the exchange that it is for.
fn begin_proof(front: &Front, user: Option<&str>, password: &[u8]) -> Result<(Vec<u8>, ExchangeId), Answer> {
    let mut client = Client::new(Mechanism::Sha256, ALICE, Secret::new(password), "abc");
    match answer(front, proof(1, user, &client.first(), None)) {
        Answer::Challenge { data, exchange } => Ok((client.answer(&data).expect("an answer"), exchange)),
        other => Err(other),
    }
}

#[test]
fn guesses_in_an_exchange_count_for_whom_it_is_to_prove() {
    let front = front(keys(ALICE, b"secret"), patient());
    for number in 0..4 {
        // The name of the CONNECT is another one each time.
        let name = format!("user{number}");
        let (last, exchange) = begin_proof(&front, Some(&name), b"guess").expect("not held yet");
        let guessed = answer(&front, proof(1, Some(&name), &last, Some(exchange)));
        assert_eq!(reason(&guessed), Some(Reason::NotAuthorized));
    }
    for name in [Some("another"), Some(ALICE), None] {
        let held = begin_proof(&front, name, b"secret").expect_err("held");
        assert_eq!(reason(&held), Some(Reason::ConnectionRateExceeded), "{name:?}");
    }
    // Also by the other way to prove a password, and not from elsewhere.
    assert_eq!(reason(&answer(&front, login(1, ALICE, "x"))), Some(Reason::ConnectionRateExceeded));
    assert_eq!(reason(&answer(&front, login(2, ALICE, "x"))), Some(Reason::BadUserNameOrPassword));
}

#[test]
fn a_proof_is_judged_by_the_chains_of_its_moment() {
    let credential = Credential::make(Mechanism::Sha256, b"secret", 4096).expect("made");
    let same = || keys_of(&format!("{ALICE}:{credential}\n"));
    let cases = [
        (Some(same()), None),
        (Some(keys(ALICE, b"other")), Some(Reason::NotAuthorized)),
        (Some(keys("bob", b"secret")), Some(Reason::NotAuthorized)),
        (None, Some(Reason::NotAuthorized)),
    ];
    for (number, (later, expected)) in cases.into_iter().enumerate() {
        let front = front(same(), patient());
        let (last, exchange) = begin_proof(&front, None, b"secret").expect("a challenge");
        front.replace(Chains::new(Chain::new(later.into_iter().collect())));
        let judged = answer(&front, proof(1, None, &last, Some(exchange)));
        assert_eq!(reason(&judged), expected, "case {number}: {judged:?}");
    }
}

#[test]
fn a_program_that_hangs_keeps_nobody_out_who_is_known_without_it() {
    let gate = Gate::of(false, Some("other"));
    let chain = Chain::new(vec![Arc::new(passwords()), gate.clone()]);
    let front = Front::start(Chains::new(chain), patient()).expect("threads");
    let (sender, receiver) = mpsc::channel();
    for number in 0..100u8 {
        let sender = sender.clone();
        let stranger = login(number, &format!("stranger{number}"), "right");
        front.ask(stranger, move |answer| sender.send(answer).expect("the test waits"));
    }
    for address in 200..210 {
        assert!(matches!(answer(&front, login(address, ALICE, "secret")), Answer::Accept { .. }));
    }
    assert_eq!((gate.judged(), receiver.try_iter().count()), (0, 0));
    gate.open();
    for _ in 0..100 {
        let answer = receiver.recv_timeout(Duration::from_secs(20)).expect("an answer");
        assert!(matches!(answer, Answer::Accept { .. }));
    }
    assert_eq!(gate.judged(), 100);
}

#[test]
fn a_program_that_hangs_keeps_nobody_out_whom_another_program_knows() {
    let (hangs, answers) = (Gate::of(false, Some("hangs")), Gate::of(true, Some("answers")));
    let chain = |gate: &Arc<Gate>| Chain::new(vec![Arc::clone(gate) as Arc<dyn Provider>]);
    let chains = Chains::new(chain(&answers)).with("slow", chain(&hangs));
    let front = Front::start(chains, patient()).expect("threads");
    let (sender, receiver) = mpsc::channel();
    for number in 0..100u8 {
        let sender = sender.clone();
        let stranger = login(number, &format!("stranger{number}"), "right");
        let stranger = Ask { listener: "slow".into(), ..stranger };
        front.ask(stranger, move |answer| sender.send(answer).expect("the test waits"));
    }
    for number in 200..220 {
        let known = answer(&front, login(number, &format!("known{number}"), "right"));
        assert!(matches!(known, Answer::Accept { .. }), "{known:?}");
    }
    assert_eq!((hangs.judged(), answers.judged(), receiver.try_iter().count()), (0, 20, 0));
    hangs.open();
    for _ in 0..100 {
        let answer = receiver.recv_timeout(Duration::from_secs(20)).expect("an answer");
        assert!(matches!(answer, Answer::Accept { .. }));
    }
}

/// Passes, and takes the time of a password on a thread that it tells of.
struct Witness(Mutex<Vec<String>>);

impl Provider for Witness {
    fn name(&self) -> &str {
        "witness"
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
        lock(&self.0).push(thread::current().name().unwrap_or_default().to_owned());
        Judgement::Pass
    }
    fn burn(&self, ask: &Ask) -> bool {
        self.judge(ask, 0);
        true
    }
}

#[test]
fn what_takes_a_core_is_never_done_by_threads_that_wait_for_others() {
    let witness = Arc::new(Witness(Mutex::default()));
    let gates = [Gate::of(true, Some("one")), Gate::of(true, Some("other"))];
    let chain = Chain::new(vec![gates[0].clone(), witness.clone(), gates[1].clone()]);
    let front = Front::start(Chains::new(chain), FrontLimits { threads: 1, ..patient() }).expect("threads");
    let unknown = answer(&front, login(1, "nobody", "pass"));
    assert_eq!(reason(&unknown), Some(Reason::BadUserNameOrPassword));
    assert_eq!(gates.map(|gate| gate.judged()), [1, 1], "each is asked once");
    assert_eq!(
        *lock(&witness.0),
        ["identity-0", "identity-0"],
        "for its judgement, and for the time of a hash"
    );
}

/// With a token and without a user nobody has said who it is.
#[test]
fn who_has_neither_user_nor_client_id_is_not_held_for_others_elsewhere() {
    let front = front(Gate::new(true), patient());
    let nameless = |address: u8| Ask {
        client_id: "".into(),
        password: Some(Secret::new(b"guess")),
        ..ask(&format!("192.0.2.{address}:1"), None)
    };
    (1..=40).for_each(|address| _ = answer(&front, nameless(address)));
    answer(&front, nameless(100));
    let figures = front.figures();
    assert_eq!((figures.rejected, figures.throttled), (41, 0), "each of them is looked at");
}

#[test]
fn guesses_by_a_client_id_do_not_hold_the_user_of_that_name() {
    let front = front(Gate::new(true), patient());
    for address in 1..=40 {
        // A password without a user name counts for the client.
        let wrong = Some(Secret::new(b"guess"));
        let guess =
            Ask { client_id: "alice".into(), password: wrong, ..ask(&format!("192.0.2.{address}:1"), None) };
        answer(&front, guess);
    }
    assert!(matches!(answer(&front, login(100, "alice", "right")), Answer::Accept { .. }));
}

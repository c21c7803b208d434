//! What it costs to say who a client is: checks of each kind of password per second of a core, and how long a decision takes that
//! was made a moment ago.
//!
//! `cargo run --release -p identity --example cost`, on a core that has nothing else to do; with `-- capacity` only what decisions
//! take when all threads are busy.

use std::{
    fs,
    sync::mpsc,
    time::{Duration, Instant},
};

use identity::{
    Answer, Ask, Chain, Chains, Cost, Front, FrontLimits, Hash, Kind, PasswordFile, Secret,
    provider::Passwords,
    scram::{Client, Credential, Decoy, Mechanism, Server},
};

fn main() {
    if std::env::args().any(|word| word == "capacity") {
        return at_capacity();
    }
    let bcrypt = Hash::parse("$2a$10$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui").expect("a hash");
    per_second("$6$", &hash(Kind::Sha512.cost()));
    per_second("$7$, 101 iterations", &hash(Cost { rounds: 101, ..Kind::Pbkdf2.cost() }));
    per_second("$7$, 210,000 iterations", &hash(Kind::Pbkdf2.cost()));
    per_second("argon2id, 46 MiB, one pass", &hash(Kind::Argon2id.cost()));
    per_second("bcrypt, 2^10", &bcrypt);
    scram();
    decisions();
    at_capacity();
}

fn hash(cost: Cost) -> Hash {
    Hash::make(b"secret", cost).expect("a hash")
}

fn per_second(name: &str, hash: &Hash) {
    rate(name, || assert!(!hash.is_of(b"wrong")));
}

/// By the time that this thread had a core, which is the same beside other programs.
fn rate(name: &str, mut once: impl FnMut()) {
    let (begin, spent) = (Instant::now(), time_on_core());
    let mut count = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        once();
        count += 1;
    }
    let each = (time_on_core() - spent) / count;
    println!("{name}: {:.0} per second, {each:?} each", 1.0 / each.as_secs_f64());
}

fn time_on_core() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first number is in nanoseconds"))
}

/// The server's share of an exchange.
fn scram() {
    let credential = Credential::make(Mechanism::Sha256, b"secret", 4096).expect("made");
    let decoy = Decoy::new(b"secret", credential.iterations);
    let mut client = Client::new(Mechanism::Sha256, "alice", Secret::new(b"secret"), "abc");
    let find = |_: &str| Some(&credential);
    let (_, first) = Server::begin(Mechanism::Sha256, &client.first(), "def", &decoy, find).expect("begun");
    let proof = client.answer(&first).expect("an answer");
    rate("SCRAM-SHA-256, the server's share", || {
        let begun = Server::begin(Mechanism::Sha256, &client.first(), "def", &decoy, find);
        let (server, _) = begun.expect("begun");
        server.finish(&proof).expect("let in");
    });
}

/// Through the front, with argon2id behind it.
fn decisions() {
    let text = format!("alice:{}\n", hash(Kind::Argon2id.cost()));
    let (file, _) = PasswordFile::parse("users", text.as_bytes()).expect("a file");
    let chain = Chain::new(vec![std::sync::Arc::new(Passwords::new("users", file))]);
    let front = Front::start(Chains::new(chain), FrontLimits::default()).expect("threads");
    let first = decided(&front, "alice");
    println!("a decision with argon2id: {first:?}");
    show("repeated", (0..100_000).map(|_| decided(&front, "alice")).collect());
    assert_eq!(front.figures().repeated, 100_000);
}

/// As many clients ask at a time as there are threads, and no more threads than cores, each time for a user that nobody has asked for.
fn at_capacity() {
    let users: Vec<String> = (0..USERS).map(|user| format!("user{user}")).collect();
    let secret = hash(Kind::Argon2id.cost());
    let text: String = users.iter().map(|user| format!("{user}:{secret}\n")).collect();
    let (file, _) = PasswordFile::parse("users", text.as_bytes()).expect("a file");
    let chain = Chain::new(vec![std::sync::Arc::new(Passwords::new("users", file))]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = FrontLimits::default().threads.min(cores);
    let limits = FrontLimits { threads, ..FrontLimits::default() };
    let front = Front::start(Chains::new(chain), limits);
    let front = &front.expect("threads");
    let begun = Instant::now();
    let taken = std::thread::scope(|scope| {
        let ask =
            |users: Vec<String>| scope.spawn(move || users.iter().map(|user| decided(front, user)).collect());
        let askers: Vec<_> = users.chunks(USERS / threads).map(|users| ask(users.to_vec())).collect();
        let taken = askers.into_iter().map(|asker| asker.join().expect("an asker asks to the end"));
        taken.collect::<Vec<Vec<Duration>>>().concat()
    });
    let rate = taken.len() as f64 / begun.elapsed().as_secs_f64();
    println!("with argon2id at the capacity of {threads} threads: {rate:.0} per second");
    show("each", taken);
    assert_eq!(front.figures().repeated, 0);
}

fn show(what: &str, mut taken: Vec<Duration>) {
    taken.sort();
    let at = |share: f64| taken[(taken.len() as f64 * share) as usize];
    println!("{what}: p50 {:?}, p99 {:?}, p99.9 {:?}", at(0.5), at(0.99), at(0.999));
}

fn decided(front: &Front, user: &str) -> Duration {
    let ask = Ask {
        listener: "default".into(),
        address: Some(([192, 0, 2, 1], 1).into()),
        is_relayed: false,
        client_id: "device".into(),
        user: Some(user.into()),
        password: Some(Secret::new(b"secret")),
        certificate: None,
        version: 5,
        enhanced: None,
    };
    let (sender, receiver) = mpsc::channel();
    let begin = Instant::now();
    front.ask(ask, move |answer| sender.send(answer).expect("the asker waits"));
    let answer = receiver.recv().expect("an answer");
    let taken = begin.elapsed();
    assert!(matches!(answer, Answer::Accept { .. }));
    taken
}

const USERS: usize = 200;

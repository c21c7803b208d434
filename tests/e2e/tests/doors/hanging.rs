//! Programs that are asked and never answer: whom that keeps out, and whom it does not.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use client::Options;
use client::wire::{Connect, ConnectProperties, Version};
use e2e::site::Site;
use e2e::socket::Socket;
use e2e::standstill::{self, Lookout};
use e2e::token::{Issuer, claims};
use e2e::{Broker, Link, Setup, v5};
use serde_json::json;

/// It is connected to, and never says anything: what it is asked waits in its socket.
struct Silent(TcpListener);

impl Silent {
    fn open() -> Silent {
        Silent(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr().unwrap())
    }
}

/// With a second listener at which a PROXY header says who comes.
fn asking(name: &str, keys: &str, call_out: &str) -> Broker {
    let text = format!(
        "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\"]\n\
         [[listener]]\naddress = \"tcp://127.0.0.1:0\"\nproxy_protocol_from = [\"127.0.0.1\"]\n\
         [authentication]\njwt_keys = \"{keys}\"\nhttp_url = \"{call_out}\"\nhttp_timeout_secs = 60\n\
         anonymous = \"never\"\n"
    );
    Setup::bare(name).shards(2).config(&text).start()
}

/// One from each of so many addresses, who waits for its answer.
fn knock(broker: &Broker, password: impl Fn(usize) -> String) -> Vec<Socket> {
    let asked = broker.counter("authentications_asked");
    let sockets = (0..ADDRESSES).map(|number| knock_from(broker, number, &password(number))).collect();
    broker.await_counter("authentications_asked", asked + ADDRESSES as u64);
    sockets
}

/// Somebody of this number.
fn knock_from(broker: &Broker, number: usize, password: &str) -> Socket {
    let name = format!("stranger-{number}");
    let mut bytes = format!("PROXY TCP4 192.0.2.{number} 192.0.2.255 1 2\r\n").into_bytes();
    let connect = Connect {
        version: Version::V311,
        clean_start: true,
        keep_alive_s: 0,
        client_id: &name,
        will: None,
        username: Some(&name),
        password: Some(password.as_bytes()),
        properties: ConnectProperties::default(),
    };
    connect.encode(Version::V311, &mut bytes);
    let mut socket = Socket::open(broker.ports_of("tcp")[1]);
    socket.send(&bytes);
    socket
}

fn login(user: &str, password: &str) -> Options {
    Options { username: Some(user.into()), password: Some(password.into()), ..v5(user) }
}

/// Each comes in while the others wait. What the machine itself took does not count.
#[track_caller]
fn come_promptly(broker: &Broker, password: impl Fn(usize) -> String) {
    let lookout = Lookout::start();
    let coming = (0..COMERS).map(|number| {
        let begun = Instant::now();
        Link::connect(broker.port, login(&format!("known-{number}"), &password(number))).close();
        (begun, begun.elapsed())
    });
    let coming: Vec<(Instant, Duration)> = coming.collect();
    let standstills = lookout.end();
    let took = coming.into_iter().map(|(begun, took)| standstill::without(&standstills, begun, took));
    let worst = took.max().unwrap();
    println!("the slowest of {COMERS} came in after {worst:?}");
    assert!(worst < PROMPT, "{worst:?}");
}

/// None of them has an answer yet.
#[track_caller]
fn still_wait(sockets: &[Socket]) {
    for socket in sockets {
        socket.stream.set_nonblocking(true).unwrap();
        let error = socket.stream.peek(&mut [0]).expect_err("nobody has answered");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_call_out_that_hangs_keeps_nobody_out_who_brings_a_token() {
    let [_, issuer, _] = Issuer::each();
    let keys = json!({"keys": [issuer.jwk("key")]}).to_string();
    let site = Site::open(move |_| (200, keys.clone()));
    let hangs = Silent::open();
    let broker = asking("hanging-call-out", &site.url("/keys.json"), &hangs.url());
    let strangers = knock(&broker, |number| format!("password-{number}"));
    come_promptly(&broker, |number| issuer.sign_by("key", &claims(&format!("known-{number}"), 600)));
    still_wait(&strangers);
}

#[test]
fn a_server_of_keys_that_hangs_keeps_nobody_out_whom_a_call_out_knows() {
    let [_, issuer, _] = Issuer::each();
    let site = Site::open(|_| (200, json!({"result": "allow"}).to_string()));
    let hangs = Silent::open();
    let broker = asking("hanging-keys", &hangs.url(), &site.url("/"));
    let strangers =
        knock(&broker, |number| issuer.sign_by("key", &claims(&format!("stranger-{number}"), 600)));
    come_promptly(&broker, |number| format!("password-{number}"));
    still_wait(&strangers);
}

#[test]
fn a_server_of_keys_that_hangs_keeps_nobody_out_whose_key_is_known() {
    let [_, issuer, _] = Issuer::each();
    let keys = json!({"keys": [issuer.jwk("key")]}).to_string();
    // It answers the first question at once, and the next ones when it is let.
    let (open, gate) = mpsc::channel::<()>();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let site = Site::open(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) > 0 {
            // Nobody opens where the test has failed.
            let _ = gate.recv();
        }
        (200, keys.clone())
    });
    let call_out = Silent::open();
    let broker = asking("hanging-later", &site.url("/keys.json"), &call_out.url());
    let token = |user: &str| issuer.sign_by("key", &claims(user, 600));
    Link::connect(broker.port, login("first", &token("first"))).close();
    // For ten seconds after a fetch a key that is not known is refused at once.
    let unknown = |number: usize| issuer.sign_by("other", &claims(&format!("stranger-{number}"), 600));
    let mut before = Vec::new();
    while asked.load(Ordering::Relaxed) < 2 {
        let number = ADDRESSES + before.len();
        assert!(number < 250, "the keys are not asked for again");
        before.push(knock_from(&broker, number, &unknown(number)));
        thread::sleep(Duration::from_millis(250));
    }
    let strangers = knock(&broker, unknown);
    come_promptly(&broker, |number| token(&format!("known-{number}")));
    still_wait(&strangers);
    open.send(()).unwrap();
    for mut socket in strangers {
        socket.stream.set_nonblocking(false).unwrap();
        assert_eq!(socket.read(4), [0x20, 2, 0, 5], "the key is still not known");
    }
}

const ADDRESSES: usize = 64;
const COMERS: usize = 20;

/// A program that hangs may do so for a minute.
const PROMPT: Duration = Duration::from_secs(2);

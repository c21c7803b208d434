//! Strangers who begin and do not go on, who are many, and who send too much of everything: those who are connected do not feel it.
#![allow(clippy::unwrap_used)]

mod crossing;
mod filters;
mod handshakes;
mod hogs;
mod leaving;
mod neighbours;
mod oversized;
mod passwords;
mod publishing;
mod scrapes;
mod slowloris;
mod streams;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use e2e::pace::Pace;
use e2e::{Authority, Broker, Setup};

/// A broker with a door of each kind, where a connection has three seconds for its CONNECT.
pub struct Doors {
    pub broker: Broker,
    pub authority: Authority,
}

impl Doors {
    /// `more` is whatever sections the test wants besides.
    pub fn open(name: &str, more: &str) -> Doors {
        let setup = Setup::bare(name).shards(2);
        let authority = Authority::new(setup.folder());
        authority.issue("broker.example");
        let listen = SCHEMES.map(|scheme| format!("\"{scheme}://127.0.0.1:0\"")).join(", ");
        let text = format!(
            "[server]\nlisten_addresses = [{listen}]\nmax_connections = 12000\nconnect_timeout_secs = {}\n\
             [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
             client_certificates = \"optional\"\nclient_ca_file = \"ca.pem\"\n\
             [[listener]]\naddress = \"mqtt://127.0.0.1:0\"\nproxy_protocol_from = [\"127.0.0.1\"]\n{more}",
            CONNECT_TIMEOUT.as_secs()
        );
        Doors { broker: setup.config(&text).start(), authority }
    }

    /// Of the first listener of a scheme; that of proxies is the second one of `tcp`.
    pub fn port(&self, door: &str) -> u16 {
        match door {
            "proxied" => self.broker.ports_of("tcp")[1],
            scheme => self.broker.port_of(scheme),
        }
    }
}

/// Runs it beside round trips of clients that are connected, and holds these to what they took before, as
/// [`Pace::held_up_since`] says.
#[track_caller]
pub fn beside_others<T>(port: u16, what: &str, work: impl FnOnce() -> T) -> T {
    let before = Pace::of(port, 1000);
    let (result, during) = Pace::during(port, work);
    println!("before {what}: {}\nduring {what}: {}", before.shown(), during.shown());
    if let Some(wrong) = during.held_up_since(&before) {
        panic!("{what}: {wrong}");
    }
    result
}

#[test]
fn a_broker_that_stands_still_is_found_to_hold_others_up() {
    let _alone = alone();
    let broker = Broker::start("held-up", 2);
    let before = Pace::of(broker.port, 1000);
    let again_and_again = (20, Duration::from_millis(120), Duration::from_millis(5));
    let now_and_then = (10, Duration::from_millis(40), Duration::from_millis(260));
    let once = (1, Duration::from_millis(700), Duration::from_secs(3));
    for (times, stopped, running) in [again_and_again, now_and_then, once] {
        let ((), during) = Pace::during(broker.port, || {
            for _ in 0..times {
                broker.process.signal(libc::SIGSTOP);
                thread::sleep(stopped);
                broker.process.signal(libc::SIGCONT);
                thread::sleep(running);
            }
        });
        assert!(during.held_up_since(&before).is_some(), "{times} times {stopped:?}: {}", during.shown());
    }
}

/// One flood at a time: their sockets are all of this process, and each would be the others' load.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const SCHEMES: [&str; 5] = ["tcp", "tls", "ws", "wss", "any"];

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

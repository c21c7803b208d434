//! TLS as a stranger finds it: what the broker speaks, what it refuses and by which alert. By hand and with openssl.
#![allow(clippy::unwrap_used)]

mod certificates;
mod openssl;
mod own;
mod protocol;
mod session;

use std::time::{Duration, Instant};

use e2e::{Authority, Broker, PATIENCE, Setup};

/// A broker with a listener of each kind that speaks TLS, and a plain one.
pub struct Sealed {
    pub broker: Broker,
    pub authority: Authority,
}

impl Sealed {
    /// Certificates for `broker.example` and `second.example`; `more` goes into `[tls]`.
    pub fn start(name: &str, more: &str) -> Sealed {
        Sealed::prepared(name, more, |authority| authority.issue("broker.example"))
    }

    /// With a key of RSA.
    pub fn with_rsa(name: &str) -> Sealed {
        Sealed::prepared(name, "", |authority| authority.issue_rsa("broker.example"))
    }

    pub fn prepared(name: &str, more: &str, prepare: impl FnOnce(&Authority)) -> Sealed {
        let setup = Setup::bare(name).shards(2);
        let authority = Authority::new(setup.folder());
        prepare(&authority);
        authority.issue("second.example");
        let listen = SCHEMES.map(|scheme| format!("\"{scheme}://127.0.0.1:0\"")).join(", ");
        let text = format!(
            "[server]\nlisten_addresses = [{listen}]\n\
             [tls]\ncertificate_files = [\"broker.example.pem\", \"second.example.pem\"]\n\
             key_files = [\"broker.example.key\", \"second.example.key\"]\n{more}"
        );
        Sealed { broker: setup.config(&text).start(), authority }
    }

    /// Lets the broker read its files again.
    pub fn reload(&self) {
        await_reload(&self.broker);
    }

    pub fn port(&self, scheme: &str) -> u16 {
        self.broker.port_of(scheme)
    }
}

pub fn await_reload(broker: &Broker) {
    let said = || broker.process.lines().iter().filter(|line| line.contains("SIGHUP")).count();
    let before = said();
    broker.process.signal(libc::SIGHUP);
    let deadline = Instant::now() + PATIENCE;
    while said() == before {
        assert!(Instant::now() < deadline, "nothing was reloaded\n{}", broker.process.shown());
        // The line is the only sign of it.
        std::thread::sleep(Duration::from_millis(5));
    }
}

const SCHEMES: [&str; 4] = ["tcp", "tls", "wss", "any"];

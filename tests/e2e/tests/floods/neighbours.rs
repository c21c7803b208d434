//! The API under a flood from one address, with TLS and without: supervisors and scrapers at another have their answers meanwhile.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::hello::{Hello, TLS_1_2};
use e2e::network::Network;
use e2e::pace::Done;
use e2e::standstill::{self, Lookout};
use e2e::{Authority, Broker, Setup, api, program, resources};

use super::alone;

/// The API at an address of this network.
struct Besieged {
    broker: Broker,
    authority: Authority,
    network: Network,
    api: SocketAddr,
    has_tls: bool,
}

impl Besieged {
    fn start(network: Network, has_tls: bool) -> Besieged {
        let setup = Setup::new("floods-api").shards(2).with_api();
        let authority = Authority::new(setup.folder());
        let ip = network.address(BROKER);
        authority.issue("broker.example");
        let how = match has_tls {
            true => "certificate = \"broker.example.pem\"\nprivate_key = \"broker.example.key\"",
            false => "insecure = true",
        };
        let broker = setup.config(&format!("[api]\nlisten = [\"{ip}:0\"]\n{how}\n")).start();
        let api = SocketAddr::new(ip, api::port_of(&broker));
        Besieged { broker, authority, network, api, has_tls }
    }

    /// What strangers begin with, one after the other.
    fn beginnings(&self) -> Vec<Vec<u8>> {
        let hello = Hello::of(TLS_1_2).records();
        let asked =
            b"GET /v1/clients HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer iothub_no\r\n\r\n".to_vec();
        match self.has_tls {
            true => vec![Vec::new(), hello[..20].to_vec(), hello],
            false => vec![Vec::new(), asked[..30].to_vec(), asked.clone(), asked.repeat(3)],
        }
    }

    /// Begins so many connections in a second, waits for none, and holds on to the latest. Gives how many there were.
    fn flood(&self, is_over: &AtomicBool) -> usize {
        let beginnings = self.beginnings();
        let mut held: VecDeque<TcpStream> = VecDeque::new();
        // For the API all addresses of loopback are one, which has answers for so many.
        let per_s = if self.network.is_loopback() { ANSWERED_PER_S } else { BEGINNINGS_PER_S };
        let (begun, mut begins) = (Instant::now(), 0);
        while !is_over.load(Ordering::Relaxed) {
            if begins > (begun.elapsed().as_secs_f64() * per_s) as usize {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            begins += 1;
            held.extend(self.network.begin_to_connect(FLOODER, self.api).ok());
            // By now it is connected, or it waits to be.
            if let Some(mut stream) = held.len().checked_sub(LATER).and_then(|at| held.get(at)) {
                let _ = stream.write_all(&beginnings[begins % beginnings.len()]);
            }
            if held.len() > HELD {
                held.pop_front();
            }
        }
        begins
    }

    /// As a supervisor asks, or a scraper: on a connection of its own, without a token.
    #[track_caller]
    fn ask(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.api);
        if self.has_tls {
            return self.ask_sealed(&request);
        }
        let mut stream = self.network.connect(NEIGHBOUR, self.api).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[track_caller]
    fn ask_sealed(&self, request: &str) -> String {
        let mut command = Command::new(program::installed("openssl"));
        command.args(["s_client", "-quiet", "-connect", &self.api.to_string(), "-CAfile"]);
        command.arg(self.authority.file()).args(["-verify_return_error", "-servername", "broker.example"]);
        command.args(["-bind", &format!("{}:0", self.network.address(NEIGHBOUR))]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut asking = command.spawn().unwrap();
        asking.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
        let output = asking.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.is_empty(), "no answer: {}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Each has its answer, and soon. What the machine itself took does not count.
    #[track_caller]
    fn expect_answers(&self) -> Duration {
        let lookout = Lookout::start();
        let mut askings = Vec::new();
        for path in ["/livez", "/metrics"].into_iter().cycle().take(ASKINGS) {
            let begun = Instant::now();
            let answer = self.ask(path);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
            assert!(path == "/livez" || answer.contains("iothub_shard_up"), "{answer}");
            askings.push((begun, begun.elapsed()));
            // The flood is to change from one to the next.
            thread::sleep(BETWEEN_ASKINGS);
        }
        let standstills = lookout.end();
        askings.into_iter().map(|(begun, took)| standstill::without(&standstills, begun, took)).max().unwrap()
    }
}

#[test]
fn a_flood_of_the_api_from_one_address_leaves_others_their_answers() {
    let _alone = alone();
    resources::raise_open_files(HELD);
    Network::own(|network| {
        for has_tls in [false, true] {
            let besieged = Besieged::start(network, has_tls);
            let before = besieged.expect_answers();
            let is_over = AtomicBool::new(false);
            let (opened, during) = thread::scope(|scope| {
                let flood = scope.spawn(|| besieged.flood(&is_over));
                let done = Done(&is_over);
                // It has filled the hall by then.
                thread::sleep(Duration::from_secs(1));
                let during = besieged.expect_answers();
                drop(done);
                (flood.join().unwrap(), during)
            });
            println!(
                "TLS: {has_tls}; the slowest answer took {before:?} before and {during:?} beside {opened} connections"
            );
            assert!(opened > 5 * ASKINGS, "{opened} connections are no flood");
            assert!(during < PROMPT, "{during:?}\n{}", besieged.broker.process.shown());
        }
    });
}

const BROKER: u8 = 1;
const NEIGHBOUR: u8 = 7;
const FLOODER: u8 = 66;

/// More than one address is let in with.
const BEGINNINGS_PER_S: f64 = 2000.0;
const ANSWERED_PER_S: f64 = 300.0;
const HELD: usize = 1000;
/// What was begun so many ago is spoken on.
const LATER: usize = 10;

const ASKINGS: usize = 40;
const BETWEEN_ASKINGS: Duration = Duration::from_millis(40);
/// A supervisor gives up after a second, often.
const PROMPT: Duration = Duration::from_secs(1);

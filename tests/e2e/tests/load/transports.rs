//! The load generator over every transport: nothing is lost there either, and handshakes are counted for what they are.

use e2e::{Authority, Broker, Setup};

use super::{figure, run, try_run};

const SCHEMES: [&str; 5] = ["tcp", "tls", "ws", "wss", "any"];

/// A broker with a listener of each kind.
struct Doors {
    broker: Broker,
    authority: Authority,
}

impl Doors {
    fn open(name: &str, shards: u8) -> Doors {
        let setup = Setup::bare(name).shards(shards);
        let authority = Authority::new(setup.folder());
        authority.issue("broker.example");
        let listen = SCHEMES.map(|scheme| format!("\"{scheme}://127.0.0.1:0\"")).join(", ");
        let text = format!(
            "[server]\nlisten_addresses = [{listen}, \"unix://{}\"]\n\
             [tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n",
            setup.folder().join("mqtt.sock").display()
        );
        Doors { broker: setup.config(&text).start(), authority }
    }

    /// The flags for a transport at the listener of a scheme.
    fn flags(&self, transport: &str, scheme: &str) -> String {
        if transport == "unix" {
            return format!("--url unix://{}", self.broker.folder().join("mqtt.sock").display());
        }
        let url = format!("--url {transport}://127.0.0.1:{}", self.broker.port_of(scheme));
        let is_sealed = matches!(transport, "tls" | "wss");
        if is_sealed { format!("{url} --ca-file {}", self.authority.file().display()) } else { url }
    }

    fn run(&self, scenario: &str, flags: &str) -> String {
        run(&format!("{scenario} {flags}"), self.broker.port, Some(self.broker.process.id()))
    }
}

#[test]
fn messages_of_every_transport_are_whole_on_one_and_two_shards() {
    for shards in [1, 2] {
        let doors = Doors::open("load-transports", shards);
        for (transport, scheme) in [
            ("tcp", "tcp"),
            ("tls", "tls"),
            ("ws", "ws"),
            ("wss", "wss"),
            ("unix", "unix"),
            ("tls", "any"),
            ("ws", "any"),
            ("wss", "any"),
        ] {
            let flags = doors.flags(transport, scheme);
            for scenario in [
                "p2p -n 5 -w 100",
                "p2p -n 3 -w 100 -q 2 --stored --resume",
                "fanout -n 20 -w 200",
                "p2p -n 2 -w 10 -s 100000",
                "churn -n 5 -q 1",
            ] {
                let figures = doors.run(scenario, &flags);
                let rate = if scenario.starts_with("churn") { "cycles_per_s" } else { "deliveries_per_s" };
                assert!(figure(&figures, rate) > 5.0, "{scenario} {flags}: {figures}");
                assert!(figure(&figures, "broker_cpu_us") > 0.0, "{scenario} {flags}: {figures}");
            }
        }
    }
}

#[test]
fn handshakes_in_full_and_resumed_ones_are_counted_apart() {
    let doors = Doors::open("load-handshakes", 1);
    for transport in ["tls", "wss"] {
        let flags = doors.flags(transport, transport);
        let full = doors.run("connect -n 60 --parallel 4", &flags);
        assert_eq!((figure(&full, "tls_full"), figure(&full, "tls_resumed")), (60.0, 0.0), "{full}");
        // As many as are begun at once have no ticket yet.
        let resumed = doors.run("connect -n 60 --parallel 4 --resume", &flags);
        let counts = (figure(&resumed, "tls_full"), figure(&resumed, "tls_resumed"));
        assert!(counts.0 + counts.1 == 60.0 && counts.1 >= 50.0, "{resumed}");
        let idle = doors.run("idle -n 20 --hold 1", &flags);
        assert!(figure(&idle, "connections") == 20.0 && figure(&idle, "dropped") == 0.0, "{idle}");
    }
    let plain = doors.run("connect -n 20", &doors.flags("ws", "ws"));
    assert!(!plain.contains("tls_full"), "{plain}");
}

#[test]
fn a_broker_that_nobody_vouches_for_is_refused() {
    let doors = Doors::open("load-stranger", 1);
    let port = doors.broker.port_of("tls");
    let (code, _, errors) = try_run(&format!("p2p --url tls://127.0.0.1:{port}"), port, None);
    assert_eq!(code, Some(1), "{errors}");
    let (code, _, errors) = try_run(&format!("p2p --url ws://127.0.0.1:{port}"), port, None);
    assert_eq!(code, Some(1), "{errors}");
}

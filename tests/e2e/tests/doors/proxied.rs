//! Listeners behind a proxy: its header, in words and in binary, says who comes, whatever is spoken behind it.

use std::net::SocketAddr;

use client::{QoS, Target, Tls, TlsOptions};
use e2e::proxy::{self, Proxy};
use e2e::socket::{self, Socket};
use e2e::{Authority, Broker, Link, Setup, api, v5};

use super::publish;

/// A listener of each kind that believes these proxies.
struct Doors {
    broker: Broker,
    authority: Authority,
}

const SCHEMES: [&str; 5] = ["tcp", "tls", "ws", "wss", "any"];

/// What is spoken at which of them.
const SPOKEN: [(&str, &str); 8] = [
    ("tcp", "tcp"),
    ("tls", "tls"),
    ("ws", "ws"),
    ("wss", "wss"),
    ("any", "tcp"),
    ("any", "tls"),
    ("any", "ws"),
    ("any", "wss"),
];

impl Doors {
    fn trusting(name: &str, proxies: &str) -> Doors {
        let setup = Setup::bare(name).shards(2);
        let authority = Authority::new(setup.folder());
        authority.issue("broker.example");
        let listeners = SCHEMES.map(|scheme| {
            format!(
                "[[listener]]\naddress = \"{scheme}://127.0.0.1:0\"\nproxy_protocol_from = [\"{proxies}\"]\n"
            )
        });
        // Who comes by a proxy is nobody of this machine.
        let text = format!(
            "[tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
             [authentication]\nanonymous = \"always\"\n[control]\nsocket = \"control.sock\"\n{}",
            listeners.concat()
        );
        Doors { broker: setup.config(&text).start(), authority }
    }

    fn target(&self, port: u16, spoken: &str) -> Target {
        let tls = || {
            let options = TlsOptions { ca_file: Some(self.authority.file()), ..TlsOptions::default() };
            Tls::new(&options).unwrap()
        };
        Target {
            tls: ["tls", "wss"].contains(&spoken).then(tls),
            websocket: ["ws", "wss"].contains(&spoken).then(|| "/mqtt".into()),
            ..Target::new("127.0.0.1", port)
        }
    }

    /// Where the broker says that the client comes from, while it is connected.
    fn address_of(&self, client_id: &str) -> String {
        let socket = self.broker.folder().join("control.sock");
        let told = api::ask_control(&socket, "GET", &format!("/v1/clients/{client_id}"), None).expect(200);
        told["client"]["connection"]["address"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
    }
}

#[test]
fn the_header_says_who_comes_at_every_listener_whatever_is_spoken_there() {
    let doors = Doors::trusting("proxied-all", "127.0.0.1");
    let v4: SocketAddr = "203.0.113.7:5000".parse().unwrap();
    let v6: SocketAddr = "[2001:db8::7]:5000".parse().unwrap();
    for (kind, header, source) in [
        ("text-4", proxy::text_header(v4), v4),
        ("text-6", proxy::text_header(v6), v6),
        ("binary-4", proxy::binary_header(v4), v4),
        ("binary-6", proxy::binary_header(v6), v6),
    ] {
        for (door, spoken) in SPOKEN {
            let client_id = format!("{kind}-{door}-{spoken}");
            let proxy = Proxy::before(doors.broker.port_of(door), &header);
            let mut link = Link::reach(doors.target(proxy.port, spoken), v5(&client_id)).unwrap();
            link.subscribe(&client_id, QoS::AtLeastOnce);
            link.publish(&client_id, "through", QoS::AtLeastOnce);
            assert_eq!(link.text(), "through", "{client_id}");
            assert_eq!(doors.address_of(&client_id), source.to_string(), "{client_id}");
            let line = doors.broker.process.await_line("who comes", |line| {
                let is_it =
                    line.contains(&format!("client_id={client_id:?}")) && line.contains(" connected ");
                is_it.then(|| line.to_owned())
            });
            assert!(line.contains(&source.to_string()), "{line}");
        }
    }
}

#[test]
fn the_programs_of_mosquitto_come_through_a_proxy_with_tls_behind_the_binary_header() {
    let doors = Doors::trusting("proxied-mosquitto", "127.0.0.1");
    let header = proxy::binary_header("203.0.113.8:700".parse().unwrap());
    let ca = doors.authority.file().display().to_string();
    for door in ["tls", "any"] {
        let proxy = Proxy::before(doors.broker.port_of(door), &header);
        let id = format!("mosquitto-{door}");
        let args = ["-V", "5", "-i", &id, "-q", "1", "-t", "t", "-m", "m", "--cafile", &ca];
        assert!(publish(proxy.port, &args).says("PUBACK"), "{door}\n{}", doors.broker.process.shown());
        doors.broker.process.await_line("who comes", |line| {
            (line.contains(&format!("client_id={id:?}")) && line.contains("203.0.113.8:700")).then_some(())
        });
    }
}

#[test]
fn a_proxy_that_asks_for_itself_comes_from_its_own_address() {
    let doors = Doors::trusting("proxied-local", "127.0.0.1");
    for (door, spoken) in SPOKEN {
        let client_id = format!("local-{door}-{spoken}");
        let proxy = Proxy::before(doors.broker.port_of(door), &proxy::local_header());
        let _link = Link::reach(doors.target(proxy.port, spoken), v5(&client_id)).unwrap();
        let address = doors.address_of(&client_id);
        assert!(address.starts_with("127.0.0.1:"), "{client_id}: {address}");
    }
}

#[test]
fn nobody_believes_the_header_of_who_is_no_proxy() {
    let source = "203.0.113.9:700".parse().unwrap();
    // What is refused for one reason has a line a second, so that each sentence has a broker of its own.
    for (at_any, why) in [
        (false, "127.0.0.1 is no proxy that may connect here"),
        (
            true,
            "a PROXY header came from an address that may not send one: add it to proxy_protocol_from of this listener, or have its sender leave the header out",
        ),
    ] {
        let doors = Doors::trusting("proxied-strangers", "192.0.2.0/24");
        let mut refused = 0;
        for header in [proxy::text_header(source), proxy::binary_header(source), proxy::local_header()] {
            for (door, spoken) in SPOKEN.into_iter().filter(|(door, _)| (*door == "any") == at_any) {
                let proxy = Proxy::before(doors.broker.port_of(door), &header);
                let let_in = Link::reach(doors.target(proxy.port, spoken), v5("liar"));
                assert!(let_in.is_err(), "{door} {spoken} {header:?}");
                refused += 1;
            }
        }
        doors.broker.await_counter("refused_proxy", refused);
        doors.broker.process.await_text(why);
        assert!(!doors.broker.process.says("203.0.113.9"), "{}", doors.broker.process.shown());
        // Without a header the door for everything is open to them, and no other is.
        for (door, spoken) in SPOKEN {
            let comes = Link::reach(doors.target(doors.broker.port_of(door), spoken), v5("honest"));
            assert_eq!(comes.is_ok(), door == "any", "{door} {spoken}");
            let is_known = comes.map(|_link| doors.address_of("honest").starts_with("127.0.0.1:"));
            assert!(is_known.unwrap_or(true), "{door} {spoken}");
        }
    }
}

#[test]
fn a_second_header_is_refused_with_what_came_and_what_was_expected() {
    let doors = Doors::trusting("proxied-twice", "127.0.0.1");
    let source = "203.0.113.9:700".parse().unwrap();
    for header in [proxy::text_header(source), proxy::binary_header(source)] {
        let before = doors.broker.counter("refused_proxy");
        let proxy = Proxy::before(doors.broker.port_of("any"), &[&header[..], &header[..]].concat());
        assert!(Link::reach(doors.target(proxy.port, "tcp"), v5("twice")).is_err(), "{header:?}");
        doors.broker.await_counter("refused_proxy", before + 1);
    }
    doors.broker.process.await_text(
        "a second PROXY header came behind the first, where MQTT, TLS or HTTP was expected: have only one proxy on the way send one",
    );
}

#[test]
fn a_proxy_that_forgets_its_header_is_refused_where_it_has_to_send_one() {
    let doors = Doors::trusting("proxied-forgotten", "127.0.0.1");
    for door in ["tcp", "tls", "ws", "wss"] {
        let before = doors.broker.counter("refused_proxy");
        let mut socket = Socket::open(doors.broker.port_of(door));
        socket.send(&socket::connect("forgets", true));
        assert_eq!(socket.read_to_end(e2e::PATIENCE), b"", "{door}");
        doors.broker.await_counter("refused_proxy", before + 1);
    }
}

//! Every rate of `[rates]`, of clients, users, addresses and listeners, with both words for what becomes of it: who shares one waits or is cut off,
//! and whoever differs in just that does not feel it.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use client::wire::{Connect, ConnectProperties, Version};
use client::{Options, QoS};
use e2e::socket::{Socket, frame, string};
use e2e::standstill::{self, Lookout};
use e2e::{Broker, Link, Process, Setup, program, v5};

/// Whose rate it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    Client,
    User,
    Address,
    Listener,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flow {
    PublishMessages,
    PublishBytes,
    ReceiveMessages,
    ReceiveBytes,
}

/// One client, in everything by which a rate may know it.
#[derive(Clone, Copy)]
struct Who {
    client_id: &'static str,
    user: &'static str,
    address: [u8; 4],
    listener: usize,
}

/// Listeners with equal rates, and one without any.
struct Doors {
    broker: Broker,
    free: u16,
    limited: [u16; 2],
}

const FLOWS: [Flow; 4] =
    [Flow::PublishMessages, Flow::PublishBytes, Flow::ReceiveMessages, Flow::ReceiveBytes];

impl Whose {
    const ALL: [Whose; 4] = [Whose::Client, Whose::User, Whose::Address, Whose::Listener];

    fn word(self) -> &'static str {
        match self {
            Whose::Client => "client",
            Whose::User => "user",
            Whose::Address => "address",
            Whose::Listener => "listener",
        }
    }

    /// Two who share it and as little else as may be, and one who has everything of the second but this.
    fn crowd(self) -> [Who; 3] {
        let one = Who { client_id: "one", user: "anna", address: [127, 0, 0, 2], listener: 0 };
        let other = Who { client_id: "other", user: "ben", address: [127, 0, 0, 3], listener: 1 };
        let other = match self {
            Whose::Client => one,
            Whose::User => Who { user: one.user, ..other },
            Whose::Address => Who { address: one.address, ..other },
            Whose::Listener => Who { listener: one.listener, ..other },
        };
        let outsider = Who { client_id: "outsider", ..other };
        let outsider = match self {
            Whose::Client => outsider,
            Whose::User => Who { user: "carl", ..outsider },
            Whose::Address => Who { address: [127, 0, 0, 4], ..outsider },
            Whose::Listener => Who { listener: 1, ..outsider },
        };
        [one, other, outsider]
    }
}

impl Flow {
    fn is_publishing(self) -> bool {
        matches!(self, Flow::PublishMessages | Flow::PublishBytes)
    }

    /// As many small messages as go at once, or as few large ones: neither comes near the rate of the other kind.
    fn at_once(self) -> usize {
        match self {
            Flow::PublishMessages | Flow::ReceiveMessages => MESSAGES_PER_S,
            Flow::PublishBytes | Flow::ReceiveBytes => BYTES_PER_S / LARGE_BYTES,
        }
    }

    fn payload_bytes(self) -> usize {
        match self {
            Flow::PublishMessages | Flow::ReceiveMessages => 1,
            Flow::PublishBytes | Flow::ReceiveBytes => LARGE_BYTES,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Flow::PublishMessages => "publish_messages",
            Flow::PublishBytes => "publish_bytes",
            Flow::ReceiveMessages => "receive_messages",
            Flow::ReceiveBytes => "receive_bytes",
        }
    }

    /// What 5.0 calls it, and the log.
    fn reason(self) -> (u8, &'static str) {
        match self {
            Flow::PublishMessages | Flow::ReceiveMessages => (0x96, "reason=\"Message rate too high\""),
            Flow::PublishBytes | Flow::ReceiveBytes => (0x97, "reason=\"Quota exceeded\""),
        }
    }
}

impl Doors {
    /// With rates of all flows.
    fn open(whose: Whose, over: &str) -> Doors {
        let word = whose.word();
        Doors::with(&format!(
            "over = \"{over}\"\n\
             {word}_publish_messages_per_s = {MESSAGES_PER_S}\n{word}_publish_bytes_per_s = {BYTES_PER_S}\n\
             {word}_receive_messages_per_s = {MESSAGES_PER_S}\n{word}_receive_bytes_per_s = {BYTES_PER_S}\n"
        ))
    }

    fn with(rates: &str) -> Doors {
        let setup = Setup::bare("flows").shards(2);
        add_users(&setup);
        let listener = "[[listener]]\naddress = \"tcp://127.0.0.1:0\"\n";
        let text = format!(
            "[authentication]\npassword_file = \"users\"\nanonymous = \"never\"\n\
             {listener}{listener}{rates}{listener}{rates}"
        );
        let broker = setup.config(&text).start();
        let [free, first, second] = broker.ports_of("tcp")[..] else { panic!("{}", broker.process.shown()) };
        Doors { broker, free, limited: [first, second] }
    }

    #[track_caller]
    fn connect(&self, who: Who) -> Socket {
        let (socket, code) = self.knock(who, Version::V5);
        assert_eq!(code, Some(0), "a CONNACK that accepts");
        socket
    }

    /// What the CONNACK says, if there is one.
    #[track_caller]
    fn knock(&self, who: Who, version: Version) -> (Socket, Option<u8>) {
        let mut socket = Socket::open_from(who.address, self.limited[who.listener]);
        let mut bytes = Vec::new();
        let connect = Connect {
            version,
            clean_start: true,
            keep_alive_s: 0,
            client_id: who.client_id,
            will: None,
            username: Some(who.user),
            password: Some(b"secret"),
            properties: ConnectProperties::default(),
        };
        connect.encode(version, &mut bytes);
        // Who comes too often may be closed before it has said anything.
        let _ = socket.stream.write_all(&bytes);
        if !matches!(socket.stream.peek(&mut [0]), Ok(1)) {
            return (socket, None);
        }
        let (first, body) = socket.packet();
        assert_eq!(first, 0x20, "a CONNACK");
        (socket, Some(body[1]))
    }

    /// Somebody without limits who sends to the others.
    fn feeder(&self) -> Link {
        let login =
            Options { username: Some("dora".into()), password: Some("secret".into()), ..v5("feeder") };
        Link::connect(self.free, login)
    }
}

fn add_users(setup: &Setup) {
    let path = setup.folder().join("users");
    for (number, user) in ["anna", "ben", "carl", "dora"].iter().enumerate() {
        let mut command = program::command(program::iothub());
        command.arg("passwd").args((number == 0).then_some("-c")).arg("-b").arg(&path).args([user, "secret"]);
        Process::start("iothub passwd", &mut command).succeed();
    }
    assert!(fs::metadata(path).unwrap().len() > 0);
}

/// Who sends or gets by one rate, and what the test sees of it.
struct Course {
    doors: Doors,
    flow: Flow,
    feeder: Link,
}

impl Course {
    /// So many messages of this client, in the direction of the flow; nobody waits for them yet.
    fn begin(&mut self, socket: &mut Socket, who: Who, count: usize) {
        let payload = vec![b'm'; self.flow.payload_bytes()];
        if self.flow.is_publishing() {
            let publish = |id: usize| {
                let id = u16::try_from(id + 1).unwrap().to_be_bytes();
                frame(0x32, &[string("nobody"), id.to_vec(), vec![0], payload.clone()].concat())
            };
            let bytes: Vec<u8> = (0..count).flat_map(publish).collect();
            // Who is cut off may be so before all of it is out.
            let _ = socket.stream.write_all(&bytes);
        } else {
            for _ in 0..count {
                self.feeder.publish(&format!("to/{}", who.client_id), payload.clone(), QoS::AtLeastOnce);
            }
        }
    }

    /// Waits for all of them: acknowledgements, or the messages themselves.
    #[track_caller]
    fn finish(&self, socket: &mut Socket, count: usize) {
        let expected = if self.flow.is_publishing() { 0x40 } else { 0x32 };
        for number in 0..count {
            let (first, body) = socket.packet();
            assert_eq!(first, expected, "{number} of {count}: {body:?}");
        }
    }

    #[track_caller]
    fn come(&self, who: Who) -> Socket {
        let mut socket = self.doors.connect(who);
        if !self.flow.is_publishing() {
            let filter = string(&format!("to/{}", who.client_id));
            socket.send(&frame(0x82, &[vec![0, 1, 0], filter, vec![1]].concat()));
            let (first, body) = socket.packet();
            assert_eq!((first, body.last()), (0x90, Some(&1)), "a SUBACK that grants");
        }
        socket
    }

    /// Somebody whom it does not concern has so many at once. What the machine itself took does not count.
    #[track_caller]
    fn pass_by(&mut self, socket: &mut Socket, who: Who) {
        let (lookout, begun) = (Lookout::start(), Instant::now());
        self.begin(socket, who, OUTSIDE);
        self.finish(socket, OUTSIDE);
        let took = begun.elapsed();
        let own = standstill::without(&lookout.end(), begun, took);
        assert!(own < PROMPT, "{own:?} ({took:?} by the clock)");
    }
}

/// The first uses up what may go at once, and the second has twice as much.
#[track_caller]
fn hold(whose: Whose, flow: Flow, over: &str) {
    println!("{whose:?} {flow:?} {over}");
    let doors = Doors::open(whose, over);
    let feeder = doors.feeder();
    let mut course = Course { doors, flow, feeder };
    let [one, other, outsider] = whose.crowd();
    let mut first = course.come(one);
    let mut second = (whose != Whose::Client).then(|| course.come(other));
    let mut outside = course.come(outsider);
    let (at_once, more) = (flow.at_once(), 2 * flow.at_once());

    let begun = Instant::now();
    course.begin(&mut first, one, at_once);
    course.finish(&mut first, at_once);
    let late = second.as_mut().unwrap_or(&mut first);
    course.begin(late, other, more);
    course.pass_by(&mut outside, outsider);
    // A listener is nobody's, and what others send is nobody's fault.
    if over == "disconnect" && flow.is_publishing() && whose != Whose::Listener {
        expect_cut_off(&course, whose, late);
    } else {
        course.finish(late, more);
        assert!(begun.elapsed() > WAITED, "all of it went in {:?}", begun.elapsed());
        assert_eq!(counted(&course, "waited_"), [format!("waited_{}_{}", whose.word(), flow.word())]);
        assert!(counted(&course, "ended_").is_empty());
    }
    course.pass_by(&mut outside, outsider);
}

#[track_caller]
fn expect_cut_off(course: &Course, whose: Whose, socket: &mut Socket) {
    let (code, word) = course.flow.reason();
    let last = loop {
        match socket.packet() {
            (0x40, _) => {}
            other => break other,
        }
    };
    assert_eq!((last.0, last.1[0]), (0xE0, code), "a DISCONNECT");
    course.doors.broker.process.await_text(word);
    assert_eq!(counted(course, "ended_"), [format!("ended_{}_{}", whose.word(), course.flow.word())]);
}

/// The rates that this has happened for, by their counters.
fn counted(course: &Course, what: &str) -> Vec<String> {
    let rates = Whose::ALL
        .iter()
        .flat_map(|whose| FLOWS.map(|flow| format!("{what}{}_{}", whose.word(), flow.word())));
    rates.filter(|name| course.doors.broker.counter(name) > 0).collect()
}

#[track_caller]
fn hold_to_each_rate(whose: Whose) {
    for flow in FLOWS {
        for over in ["wait", "disconnect"] {
            hold(whose, flow, over);
        }
    }
}

#[test]
fn a_client_is_held_to_each_of_its_rates() {
    hold_to_each_rate(Whose::Client);
}

#[test]
fn the_clients_of_a_user_share_each_of_its_rates() {
    hold_to_each_rate(Whose::User);
}

#[test]
fn the_clients_of_an_address_share_each_of_its_rates() {
    hold_to_each_rate(Whose::Address);
}

#[test]
fn the_clients_of_a_listener_share_each_of_its_rates() {
    hold_to_each_rate(Whose::Listener);
}

/// Before it is proved who comes there is nobody to tell anything, and it costs less.
#[test]
fn whoever_shares_a_rate_of_connecting_comes_no_oftener_and_others_come() {
    for whose in Whose::ALL {
        let is_told = matches!(whose, Whose::Client | Whose::User);
        for (version, answer) in [(Version::V5, 0x9F), (Version::V311, 3)] {
            let doors = Doors::with(&format!("{}_connects_per_minute = 2\n", whose.word()));
            let [one, other, outsider] = whose.crowd();
            let mut comes = |who| doors.knock(who, version).1;
            let come = [one, other, one, other].map(&mut comes);
            let too_often = is_told.then_some(answer);
            assert_eq!(come, [Some(0), Some(0), too_often, too_often], "{whose:?} {version:?}");
            assert_eq!(comes(outsider), Some(0), "{whose:?} {version:?}");
            assert_eq!(doors.broker.counter("refused_connect_rate"), 2);
        }
    }
}

const MESSAGES_PER_S: usize = 20;
const BYTES_PER_S: usize = 20_000;
const LARGE_BYTES: usize = 4000;

/// Twice what goes in a second takes two seconds, of which the packet that goes whole takes a part.
const WAITED: Duration = Duration::from_millis(1500);

/// Of somebody outside: fewer than go at once, both times.
const OUTSIDE: usize = 2;
const PROMPT: Duration = Duration::from_secs(1);

//! A client with a scripted server: bytes in, bytes out, time by hand.

use std::time::Duration;

use client::{
    Action, Client, Disconnection, Event, Instant, Options, Publication, QoS, ReasonCode, Token, Version,
};

pub struct Script {
    pub client: Client,
    pub now: Instant,
}

impl Script {
    /// A client whose transport has just been opened and whose CONNECT has been read.
    pub fn opened(options: Options) -> Script {
        let mut script = Script { client: Client::new(options, 1).unwrap(), now: Instant::ZERO };
        script.client.connect();
        script.open();
        script
    }

    /// A client that is online after `connack`. The CONNECT and the event are read.
    pub fn online_with(options: Options, connack: &[u8]) -> Script {
        let mut script = Script::opened(options);
        script.receive(connack);
        assert!(matches!(script.event(), Event::Connected { .. }));
        script
    }

    pub fn online(options: Options) -> Script {
        let connack = plain_connack(options.version);
        Script::online_with(options, connack)
    }

    /// Opens the transport that the client asks for, and gives its CONNECT.
    pub fn open(&mut self) -> Vec<u8> {
        assert_eq!(self.client.poll_action(), Some(Action::Open));
        self.client.handle_opened(self.now);
        self.sent()
    }

    /// The transport breaks; the client waits for its next attempt, which follows at once.
    pub fn break_and_open(&mut self) -> Vec<u8> {
        self.client.handle_closed(self.now);
        self.client.connect();
        self.open()
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.client.handle_bytes(self.now, bytes);
    }

    pub fn sent(&mut self) -> Vec<u8> {
        let bytes = self.client.output().to_vec();
        self.client.consume_output(bytes.len());
        bytes
    }

    pub fn event(&mut self) -> Event {
        self.client.poll_event().expect("an event should be there")
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    pub fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.client.handle_deadline(self.now);
    }

    pub fn publish(&mut self, qos: QoS, payload: &str) -> Token {
        self.client.publish(self.now, Publication::new("a", payload, qos)).unwrap()
    }

    pub fn assert_violated(&mut self, reason: ReasonCode) {
        let events = self.events();
        let Some(Event::Disconnected { reason: Disconnection::Violated(violation), .. }) = events.last()
        else {
            panic!("the server's fault should end the connection, not {events:?}");
        };
        assert_eq!(violation.reason, reason, "{}", violation.what);
        assert_eq!(self.client.poll_action(), Some(Action::Close));
    }
}

pub fn published(token: Token) -> Event {
    published_with(token, ReasonCode::Success)
}

pub fn published_with(token: Token, reason: ReasonCode) -> Event {
    Event::Published { token, reason, reason_string: None }
}

pub fn options(version: Version) -> Options {
    Options::new(version, "c")
}

/// Options whose session is there after a reconnection, if the server says so.
pub fn persistent(version: Version) -> Options {
    let mut options = options(version);
    options.clean_start = false;
    options.session_expiry_interval_s = Some(60);
    options
}

pub fn plain_connack(version: Version) -> &'static [u8] {
    match version {
        Version::V5 => b"\x20\x03\x00\x00\x00",
        Version::V31 | Version::V311 => b"\x20\x02\x00\x00",
    }
}

pub fn resumed_connack(version: Version) -> &'static [u8] {
    match version {
        Version::V5 => b"\x20\x03\x01\x00\x00",
        Version::V31 | Version::V311 => b"\x20\x02\x01\x00",
    }
}

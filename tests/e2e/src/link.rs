//! Our own client as the tests use it: one connection, asked and awaited step by step.

use std::time::{Duration, Instant};

use client::{
    Disconnection, Driver, Error, Event, Farewell, Message, Options, Publication, QoS, ReasonCode,
    Subscription, Target, Version,
};

use crate::PATIENCE;

/// A connection of `client` that fails the test at anything unexpected.
pub struct Link {
    pub driver: Driver,
    /// What the CONNACK said.
    pub session_present: bool,
}

/// Options of a 5.0 client with a clean session.
pub fn v5(client_id: &str) -> Options {
    Options::new(Version::V5, client_id)
}

pub fn v311(client_id: &str) -> Options {
    Options::new(Version::V311, client_id)
}

/// A session that stays when its connection ends, in either version.
pub fn lasting(version: Version, client_id: &str) -> Options {
    let mut options = Options::new(version, client_id);
    options.clean_start = false;
    options.session_expiry_interval_s = (version == Version::V5).then_some(600);
    options
}

impl Link {
    #[track_caller]
    pub fn connect(port: u16, options: Options) -> Link {
        Link::try_connect(port, options).unwrap_or_else(|error| panic!("not connected: {error}"))
    }

    pub fn try_connect(port: u16, options: Options) -> Result<Link, Error> {
        Link::reach(Target::new("127.0.0.1", port), options)
    }

    /// By any transport.
    pub fn reach(target: Target, options: Options) -> Result<Link, Error> {
        let mut driver = Driver::connect(target, options, 1)?;
        match driver.next_event(Duration::ZERO)? {
            Some(Event::Connected { session_present, .. }) => Ok(Link { driver, session_present }),
            other => panic!("a connection begins with its CONNACK, not with {other:?}"),
        }
    }

    /// By an enhanced authentication: `answer` has the client's word for each of the server's. With it comes the server's last.
    pub fn prove(
        target: Target,
        options: Options,
        mut answer: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<(Link, Vec<u8>), Error> {
        let mut driver = Driver::start(target, options, 1)?;
        loop {
            match driver.next_event(PATIENCE)? {
                Some(Event::Authenticate { data, .. }) => {
                    let said = answer(&data.unwrap_or_default());
                    driver.authenticate(ReasonCode::ContinueAuthentication, &said)?;
                }
                Some(Event::Connected { session_present, granted }) => {
                    let last = granted.authentication_data.unwrap_or_default();
                    return Ok((Link { driver, session_present }, last));
                }
                Some(Event::Disconnected { reason, .. }) => return Err(driver.error_of(reason)),
                other => panic!("a connection begins with AUTH and CONNACK, not with {other:?}"),
            }
        }
    }

    /// Re-authentication, as [`Link::prove`]. An error is how the connection ended instead.
    pub fn prove_again(
        &mut self,
        first: &[u8],
        mut answer: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<Vec<u8>, Disconnection> {
        self.driver.authenticate(ReasonCode::Reauthenticate, first).expect("a connection that works");
        loop {
            match self.driver.next_event(PATIENCE).expect("a connection that works") {
                Some(Event::Authenticate { reason: ReasonCode::Success, data, .. }) => {
                    return Ok(data.unwrap_or_default());
                }
                Some(Event::Authenticate { data, .. }) => {
                    let said = answer(&data.unwrap_or_default());
                    self.driver
                        .authenticate(ReasonCode::ContinueAuthentication, &said)
                        .expect("a connection that works");
                }
                Some(Event::Disconnected { reason, .. }) => return Err(reason),
                other => panic!("an AUTH was to come, not {other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.subscribe_with(Subscription::new(filter, qos));
    }

    #[track_caller]
    pub fn subscribe_with(&mut self, subscription: Subscription) {
        let reasons = self.driver.subscribe_and_wait(subscription, PATIENCE).expect("a SUBACK");
        assert!(reasons.iter().all(|reason| !reason.is_error()), "{reasons:?}");
    }

    /// Publishes and waits for the acknowledgement that its QoS has.
    #[track_caller]
    pub fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>, qos: QoS) {
        self.publish_with(Publication::new(topic, payload, qos));
    }

    #[track_caller]
    pub fn publish_with(&mut self, publication: Publication) {
        let reason = self.driver.publish_and_wait(publication, PATIENCE).expect("an acknowledgement");
        assert!(!reason.is_error(), "{reason:?}");
    }

    /// The next message.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        match self.message_within(PATIENCE) {
            Some(message) => message,
            None => panic!("no message came within {PATIENCE:?}"),
        }
    }

    /// The next message as text.
    #[track_caller]
    pub fn text(&mut self) -> String {
        String::from_utf8(self.message().payload).expect("the tests send text")
    }

    /// The next message, or `None` when the time is over.
    #[track_caller]
    pub fn message_within(&mut self, patience: Duration) -> Option<Message> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.driver.next_event(left).expect("a connection that works") {
                Some(Event::Message(message)) => return Some(*message),
                Some(Event::Disconnected { reason, .. }) => panic!("disconnected: {reason}"),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Shows that nothing is under way to this client: a message to itself, sent now, is the next one that it gets.
    #[track_caller]
    pub fn expect_silence(&mut self) {
        let topic = format!("silence/{}", self.driver.client().options().client_id);
        self.subscribe(&topic, QoS::AtMostOnce);
        self.publish(&topic, "nothing else", QoS::AtMostOnce);
        let next = self.message();
        assert_eq!(next.topic, topic, "nobody was to send this: {next:?}");
    }

    /// Waits for the end of the connection. Messages before it are dropped.
    #[track_caller]
    pub fn disconnection(&mut self) -> Disconnection {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.driver.next_event(left).expect("a connection that works") {
                Some(Event::Disconnected { reason, .. }) => return reason,
                Some(_) => {}
                None => panic!("the connection did not end within {PATIENCE:?}"),
            }
        }
    }

    /// Waits for the DISCONNECT of the server, and gives its reason.
    #[track_caller]
    pub fn ended_by_server(&mut self) -> ReasonCode {
        match self.disconnection() {
            Disconnection::Ended { reason, .. } => reason,
            other => panic!("a DISCONNECT was to come, not: {other}"),
        }
    }

    /// Says goodbye.
    pub fn close(mut self) {
        self.driver.disconnect(&Farewell::default()).expect("a connection that works");
    }

    /// Goes away without a word.
    pub fn cut(mut self) {
        self.driver.abort();
    }
}

//! A client with a session that comes back whenever the broker does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use client::{Disconnection, Driver, Event, Farewell, Options, Publication, Subscription, Target, Token};
use e2e::PATIENCE;

use crate::lives::{Lives, Over};

pub struct Visitor<'a> {
    pub lives: &'a Lives,
    port: u16,
    options: Options,
    driver: Option<Driver>,
    /// The life in which the broker took the connection that stands.
    connected_in: Option<u64>,
    /// The life in which a connection ended without anybody having asked for it.
    lost_in: Option<u64>,
    /// The broker said that there is a session, and has to know it from then on.
    has_session: bool,
    /// What came while an answer was waited for.
    aside: VecDeque<Event>,
}

impl<'a> Visitor<'a> {
    pub fn new(lives: &'a Lives, port: u16, options: Options) -> Visitor<'a> {
        Visitor {
            lives,
            port,
            options,
            driver: None,
            connected_in: None,
            lost_in: None,
            has_session: false,
            aside: VecDeque::new(),
        }
    }

    pub fn name(&self) -> &str {
        &self.options.client_id
    }

    /// Publishes and waits until the broker has taken it, in this life or in a later one.
    #[track_caller]
    pub fn publish(&mut self, publication: Publication) -> Result<(), Over> {
        let token = self.begin_to_publish(publication)?;
        let answer = self.answer(token)?;
        let Event::Published { reason, .. } = answer else { panic!("{}: {answer:?}", self.name()) };
        assert!(!reason.is_error(), "{}: {reason:?}", self.name());
        Ok(())
    }

    #[track_caller]
    pub fn subscribe(&mut self, subscription: Subscription) -> Result<(), Over> {
        let token = self.driver()?.subscribe(subscription).unwrap();
        let answer = self.answer(token)?;
        let Event::Subscribed { reasons, .. } = answer else { panic!("{}: {answer:?}", self.name()) };
        assert!(reasons.iter().all(|reason| !reason.is_error()), "{}: {reasons:?}", self.name());
        Ok(())
    }

    #[track_caller]
    pub fn unsubscribe(&mut self, filter: &str) -> Result<(), Over> {
        let unsubscription = client::Unsubscription::new(filter);
        let token = self.driver()?.unsubscribe(unsubscription).unwrap();
        let answer = self.answer(token)?;
        assert!(matches!(answer, Event::Unsubscribed { .. }), "{}: {answer:?}", self.name());
        Ok(())
    }

    /// Hands it over; `Event::Published` with this token follows.
    pub fn begin_to_publish(&mut self, publication: Publication) -> Result<Token, Over> {
        Ok(self.driver()?.publish(publication).unwrap())
    }

    pub fn unanswered(&self) -> usize {
        self.driver.as_ref().map_or(0, |driver| driver.client().unanswered_len())
    }

    /// The next event; before it, a connection if there is none. `Event::Disconnected` says that there is none any more.
    #[track_caller]
    pub fn next(&mut self, patience: Duration) -> Result<Option<Event>, Over> {
        if let Some(event) = self.aside.pop_front() {
            return Ok(Some(event));
        }
        self.next_arrived(patience)
    }

    /// The next event, which is to come.
    #[track_caller]
    pub fn event(&mut self) -> Result<Event, Over> {
        let event = self.next(PATIENCE)?;
        Ok(event.unwrap_or_else(|| panic!("{}: nothing came within {PATIENCE:?}", self.name())))
    }

    /// Goes away, with or without a word. What has come stays to be taken.
    pub fn leave(&mut self, politely: bool) {
        self.connected_in = None;
        let Some(driver) = &mut self.driver else { return };
        match politely {
            true => driver.disconnect(&Farewell::default()).unwrap(),
            false => driver.abort(),
        }
        while let Some(event) = driver.next_event(Duration::ZERO).unwrap() {
            match event {
                Event::Disconnected { .. } => return,
                event => self.aside.push_back(event),
            }
        }
    }

    #[track_caller]
    fn answer(&mut self, asked: Token) -> Result<Event, Over> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = self.next_arrived(deadline.saturating_duration_since(Instant::now()))?;
            match event {
                Some(
                    Event::Published { token, .. }
                    | Event::Subscribed { token, .. }
                    | Event::Unsubscribed { token, .. },
                ) if token == asked => return Ok(event.expect("it was looked at")),
                Some(Event::Disconnected { .. }) => {}
                Some(event) => self.aside.push_back(event),
                None => panic!("{}: no answer came within {PATIENCE:?}", self.name()),
            }
        }
    }

    #[track_caller]
    fn next_arrived(&mut self, patience: Duration) -> Result<Option<Event>, Over> {
        if self.connected_in.is_none() {
            self.arrive()?;
        }
        if self.lives.is_over() {
            return Err(Over);
        }
        let driver = self.driver.as_mut().expect("it has arrived");
        let event = driver.next_event(patience).unwrap();
        match &event {
            Some(Event::Connected { .. }) => panic!("connected twice"),
            Some(Event::Disconnected { reason, .. }) => {
                assert_eq!(*reason, Disconnection::Lost, "{}", self.name());
                self.lost_in = self.connected_in.take();
            }
            _ => {}
        }
        Ok(event)
    }

    /// Connects, in this life of the broker or in a later one.
    #[track_caller]
    fn arrive(&mut self) -> Result<(), Over> {
        loop {
            let life = self.lives.await_up()?;
            if !self.connect() {
                continue;
            }
            // Everything that the broker says now, it says in a life that has not ended: the dead do not answer.
            if self.lives.await_up()? == life {
                let ended_alive = self.lost_in.take() == Some(life);
                assert!(!ended_alive, "{}: the broker ended the connection in life {life}", self.name());
            }
            self.connected_in = Some(life);
            return Ok(());
        }
    }

    #[track_caller]
    fn connect(&mut self) -> bool {
        match &mut self.driver {
            Some(driver) => driver.reconnect(),
            None => {
                let target = Target::new("127.0.0.1", self.port);
                self.driver = Some(Driver::start(target, self.options.clone(), 1).unwrap());
            }
        }
        let driver = self.driver.as_mut().expect("it was made");
        match driver.next_event(PATIENCE).unwrap() {
            Some(Event::Connected { session_present, .. }) => {
                assert!(
                    session_present || !self.has_session,
                    "{}: its session is lost",
                    self.options.client_id
                );
                self.has_session = true;
                true
            }
            Some(Event::Disconnected {
                reason: Disconnection::Lost | Disconnection::Unreachable, ..
            }) => false,
            other => panic!("{}: {other:?}", self.options.client_id),
        }
    }

    /// The driver, which takes everything also while there is no connection.
    fn driver(&mut self) -> Result<&mut Driver, Over> {
        if self.driver.is_none() {
            self.arrive()?;
        }
        Ok(self.driver.as_mut().expect("it has arrived"))
    }
}

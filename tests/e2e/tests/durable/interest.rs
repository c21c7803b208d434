//! Subscribes and unsubscribes all the time: what was acknowledged last is what holds, in each later life as well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use client::{Event, Message, Publication, QoS, Subscription, Version};
use e2e::PATIENCE;
use e2e::link::lasting;

use crate::lives::{Lives, Over};
use crate::visitor::Visitor;
use e2e::dice::Dice;

/// Changes its mind until the broker stays; gives how many changes were acknowledged.
pub fn change(lives: &Lives, port: u16, person: u64, dice: &mut Dice) -> Result<u64, Over> {
    let (own, other) =
        if person.is_multiple_of(2) { (Version::V311, Version::V5) } else { (Version::V5, Version::V311) };
    let mut wavering = Wavering {
        reader: Visitor::new(lives, port, lasting(own, &format!("wavering-{person}"))),
        prober: Visitor::new(lives, port, lasting(other, &format!("probing-{person}"))),
        person,
        wanted: BTreeSet::new(),
        probes: 0,
        awaited: BTreeSet::new(),
    };
    let mut changes = 0;
    loop {
        let is_settling = lives.is_settling();
        for _ in 0..dice.within(1..=3) {
            wavering.change(dice.within(0..=FILTERS - 1))?;
            changes += 1;
        }
        let few = dice.within(0..=FILTERS - 1);
        for filter in 0..FILTERS {
            if is_settling || filter % 4 == few % 4 {
                wavering.probe(filter)?;
            }
        }
        wavering.read(dice.time(Duration::ZERO..=PAUSE_MAX))?;
        if dice.one_in(LEAVE_ONE_IN) {
            wavering.reader.leave(dice.one_in(2));
        }
        if is_settling {
            wavering.end()?;
            return Ok(changes);
        }
    }
}

struct Wavering<'a> {
    reader: Visitor<'a>,
    /// Lives elsewhere, maybe on another shard.
    prober: Visitor<'a>,
    person: u64,
    /// Filters whose SUBACK came after any UNSUBACK.
    wanted: BTreeSet<u64>,
    probes: u64,
    /// Publications to those that have not come.
    awaited: BTreeSet<u64>,
}

impl Wavering<'_> {
    fn change(&mut self, filter: u64) -> Result<(), Over> {
        let text = format!("whim/{}/{filter}/+", self.person);
        if self.wanted.remove(&filter) {
            return self.reader.unsubscribe(&text);
        }
        self.reader.subscribe(Subscription::new(text, QoS::ExactlyOnce))?;
        self.wanted.insert(filter);
        Ok(())
    }

    fn probe(&mut self, filter: u64) -> Result<(), Over> {
        let probe = self.probes;
        self.probes += 1;
        if self.wanted.contains(&filter) {
            self.awaited.insert(probe);
        }
        let topic = format!("whim/{}/{filter}/{probe}", self.person);
        self.prober.publish(Publication::new(topic, "probe", QoS::ExactlyOnce))
    }

    /// Takes what comes within this time.
    fn read(&mut self, time: Duration) -> Result<(), Over> {
        let deadline = Instant::now() + time;
        while let Some(event) = self.reader.next(deadline.saturating_duration_since(Instant::now()))? {
            if let Event::Message(message) = event {
                self.take(&message);
            }
        }
        Ok(())
    }

    #[track_caller]
    fn take(&mut self, message: &Message) {
        let probe = message.topic.rsplit('/').next().unwrap().parse().unwrap();
        let was_awaited = self.awaited.remove(&probe);
        assert!(was_awaited, "not subscribed, or it came twice: {message:?}");
    }

    /// Everything that was to come has come, and nothing else does.
    fn end(mut self) -> Result<(), Over> {
        while !self.awaited.is_empty() {
            match self.reader.next(PATIENCE)? {
                Some(Event::Message(message)) => self.take(&message),
                Some(_) => {}
                None => panic!("{}: {:?} do not come", self.reader.name(), self.awaited),
            }
        }
        let silence = format!("silence/wavering/{}", self.person);
        self.reader.subscribe(Subscription::new(silence.as_str(), QoS::AtLeastOnce))?;
        self.reader.publish(Publication::new(silence.as_str(), "", QoS::AtLeastOnce))?;
        loop {
            match self.reader.event()? {
                Event::Message(message) if message.topic == silence => return Ok(()),
                Event::Message(message) => self.take(&message),
                _ => {}
            }
        }
    }
}

const FILTERS: u64 = 12;
const LEAVE_ONE_IN: u64 = 20;
const PAUSE_MAX: Duration = Duration::from_millis(1);

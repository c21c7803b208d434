//! Takes numbered messages into a session of its own, is away at times, and misses none.

use std::collections::{BTreeMap, VecDeque};

use client::{Event, Message, Publication, QoS, Subscription, Version};
use e2e::PATIENCE;
use e2e::link::lasting;

use crate::lives::{Lives, Over};
use crate::traffic::{Numbered, PUBLISHERS, TOPICS};
use crate::visitor::Visitor;
use e2e::dice::Dice;

/// One subscriber of the run.
#[derive(Debug, Clone, Copy)]
pub struct Taste {
    pub name: &'static str,
    pub version: Version,
    pub qos: QoS,
    pub receive_maximum: Option<u16>,
    /// One end of a connection in so many is followed by an absence.
    pub absent_one_in: u64,
}

/// What came, in all.
#[derive(Debug, Default, Clone, Copy)]
pub struct Heard {
    pub messages: u64,
    /// Of QoS 1, where this is allowed.
    pub repeated: u64,
}

pub fn subscribe(lives: &Lives, port: u16, taste: Taste, dice: &mut Dice) -> Result<Heard, Over> {
    let mut options = lasting(taste.version, taste.name);
    options.receive_maximum = taste.receive_maximum;
    let mut visitor = Visitor::new(lives, port, options);
    let silence = format!("silence/{}", taste.name);
    visitor.subscribe(Subscription::new("run/#", taste.qos))?;
    visitor.subscribe(Subscription::new(silence.as_str(), QoS::AtLeastOnce))?;
    lives.report_ready();

    let mut ledger = Ledger::new(taste);
    while !ledger.is_complete() {
        match visitor.next(PATIENCE)? {
            Some(Event::Message(message)) => ledger.take(&message),
            Some(Event::Disconnected { .. }) => stay_away(lives, taste, dice)?,
            Some(_) => {}
            None => panic!("{}: {} do not come", taste.name, ledger.missing()),
        }
        if dice.one_in(LEAVE_ONE_IN) && !lives.is_settling() {
            visitor.leave(dice.one_in(2));
            stay_away(lives, taste, dice)?;
        }
    }
    // Whatever is under way to it comes before what it sends to itself now.
    visitor.publish(Publication::new(silence.as_str(), "", QoS::AtLeastOnce))?;
    loop {
        match visitor.event()? {
            Event::Message(message) if message.topic == silence => return Ok(ledger.heard),
            Event::Message(message) => ledger.take(&message),
            _ => {}
        }
    }
}

fn stay_away(lives: &Lives, taste: Taste, dice: &mut Dice) -> Result<(), Over> {
    if dice.one_in(taste.absent_one_in) {
        let life = lives.await_up()?;
        lives.await_life(life + dice.within(1..=ABSENT_LIVES_MAX))?;
    }
    Ok(())
}

/// Of each topic, the number that comes next.
struct Ledger {
    taste: Taste,
    next: BTreeMap<(u64, u64), Option<u64>>,
    heard: Heard,
    /// The latest messages, for whoever looks into a failure.
    trail: VecDeque<String>,
}

impl Ledger {
    fn new(taste: Taste) -> Ledger {
        let topics = (0..PUBLISHERS).flat_map(|publisher| (0..TOPICS).map(move |topic| (publisher, topic)));
        Ledger {
            taste,
            next: topics.map(|topic| (topic, Some(0))).collect(),
            heard: Heard::default(),
            trail: VecDeque::new(),
        }
    }

    #[track_caller]
    fn take(&mut self, message: &Message) {
        let numbered = Numbered::of(message);
        self.remember(message, &numbered);
        let Ledger { taste, next, heard, trail } = self;
        assert_eq!(message.qos, numbered.qos.min(taste.qos), "{}: {numbered:?}", taste.name);
        let next = next.get_mut(&(numbered.publisher, numbered.topic)).unwrap();
        heard.messages += 1;
        if *next == Some(numbered.number) {
            *next = (!numbered.is_last).then_some(numbered.number + 1);
            return;
        }
        let is_repeated = next.is_none_or(|next| numbered.number < next);
        assert!(is_repeated, "{}: {next:?} was to come, not {numbered:?}\n{trail:#?}", taste.name);
        assert_eq!(
            message.qos,
            QoS::AtLeastOnce,
            "{}: came twice: {numbered:?}, dup {}",
            taste.name,
            message.dup
        );
        heard.repeated += 1;
    }

    fn remember(&mut self, message: &Message, numbered: &Numbered) {
        let Numbered { publisher, topic, number, qos, .. } = numbered;
        let Message { packet_id, dup, .. } = message;
        self.trail.push_back(format!("{publisher}/{topic} {number} {qos:?} {packet_id:?} dup {dup}"));
        if self.trail.len() > TRAIL_MAX {
            self.trail.pop_front();
        }
    }

    fn is_complete(&self) -> bool {
        self.next.values().all(Option::is_none)
    }

    fn missing(&self) -> String {
        let missing = self.next.iter().filter_map(|(topic, next)| next.map(|next| (topic, next)));
        format!("{:?}", missing.collect::<Vec<_>>())
    }
}

const TRAIL_MAX: usize = 60;
const LEAVE_ONE_IN: u64 = 2_000;
const ABSENT_LIVES_MAX: u64 = 5;

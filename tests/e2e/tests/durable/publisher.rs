//! Publishes numbered messages at QoS 1 and 2 and sees to it that the broker takes each of them.

use std::time::Duration;

use client::{Event, QoS, Version};
use e2e::link::lasting;

use crate::lives::{Lives, Over};
use crate::traffic::{Numbered, TOPICS};
use crate::visitor::Visitor;
use e2e::dice::Dice;

/// Publishes until the broker stays; gives how many publications that were.
pub fn publish(lives: &Lives, port: u16, publisher: u64, dice: &mut Dice) -> Result<u64, Over> {
    let version = if publisher.is_multiple_of(2) { Version::V5 } else { Version::V311 };
    let mut visitor = Visitor::new(lives, port, lasting(version, &format!("publisher-{publisher}")));
    let mut numbers = [0; TOPICS as usize];
    loop {
        let is_settling = lives.is_settling();
        for _ in 0..dice.within(1..=BURST_MAX) {
            let topic = dice.within(0..=TOPICS - 1);
            let number = numbers[topic as usize];
            numbers[topic as usize] += 1;
            let qos = if dice.one_in(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            let numbered = Numbered { publisher, topic, number, qos, is_last: false };
            visitor.begin_to_publish(numbered.publication())?;
        }
        await_all(&mut visitor)?;
        if is_settling {
            break;
        }
        // What it does not do all the time leaves the others time to drain.
        if let Some(event) = visitor.next(dice.time(PAUSE_MIN..=PAUSE_MAX))? {
            check(&visitor, &event);
        }
    }
    for (topic, number) in (0..).zip(numbers) {
        let qos = QoS::ExactlyOnce;
        let numbered = Numbered { publisher, topic, number, qos, is_last: true };
        visitor.begin_to_publish(numbered.publication())?;
    }
    await_all(&mut visitor)?;
    Ok(numbers.iter().sum::<u64>() + TOPICS)
}

fn await_all(visitor: &mut Visitor<'_>) -> Result<(), Over> {
    while visitor.unanswered() > 0 {
        let event = visitor.event()?;
        check(visitor, &event);
    }
    Ok(())
}

fn check(visitor: &Visitor<'_>, event: &Event) {
    match event {
        Event::Published { reason, .. } => assert!(!reason.is_error(), "{}: {reason:?}", visitor.name()),
        Event::Disconnected { .. } => {}
        other => panic!("{}: {other:?}", visitor.name()),
    }
}

const BURST_MAX: u64 = 12;
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(8);

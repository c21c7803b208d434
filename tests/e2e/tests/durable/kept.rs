//! Retained messages: whoever asks gets the one that was acknowledged last for each topic, and none that was cleared.

use std::collections::BTreeMap;
use std::time::Instant;

use client::{Driver, Error, Event, Message, Publication, QoS, Subscription, Target, Version};
use e2e::link::lasting;
use e2e::{PATIENCE, v5};

use crate::lives::{Lives, Over};
use crate::visitor::Visitor;
use e2e::dice::Dice;

/// Retains and clears until the broker stays; gives how many publications and how many looks at all of them that were.
pub fn keep(lives: &Lives, port: u16, dice: &mut Dice) -> Result<(u64, u64), Over> {
    let mut writer = Visitor::new(lives, port, lasting(Version::V5, "retaining"));
    let mut kept: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    let (mut count, mut looks) = (0, 0);
    loop {
        let is_settling = lives.is_settling();
        for _ in 0..dice.within(1..=6) {
            count += 1;
            let topic = dice.within(0..=TOPICS - 1);
            let value = (!dice.one_in(3)).then_some(count);
            kept.insert(topic, value);
            let payload = value.map(|value| value.to_string()).unwrap_or_default();
            let qos = if dice.one_in(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            let publication = Publication::new(format!("kept/{topic}/value"), payload, qos);
            writer.publish(publication.retained())?;
        }
        // Clients without a session come and go meanwhile, each to see everything.
        let reader = format!("reader-{looks}");
        lives.await_up()?;
        if let Ok(seen) = look(port, &reader) {
            looks += 1;
            let expected: BTreeMap<u64, u64> =
                kept.iter().filter_map(|(topic, value)| Some((*topic, (*value)?))).collect();
            assert_eq!(seen, expected, "what is retained, and what was");
            if is_settling {
                return Ok((count, looks));
            }
        }
    }
}

/// All retained messages. An error: the broker has gone meanwhile.
fn look(port: u16, client_id: &str) -> Result<BTreeMap<u64, u64>, Error> {
    let mut driver = Driver::connect(Target::new("127.0.0.1", port), v5(client_id), 1)?;
    driver.subscribe_and_wait(Subscription::new("kept/+/value", QoS::AtLeastOnce), PATIENCE)?;
    // What it sends to itself now comes behind everything that is under way to it.
    let silence = format!("silence/{client_id}");
    driver.subscribe_and_wait(Subscription::new(silence.as_str(), QoS::AtMostOnce), PATIENCE)?;
    driver.publish(Publication::new(silence.as_str(), "", QoS::AtMostOnce))?;
    let mut seen = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match driver.next_event(deadline.saturating_duration_since(Instant::now()))? {
            Some(Event::Message(message)) if message.topic == silence => return Ok(seen),
            Some(Event::Message(message)) => take(&message, &mut seen),
            Some(Event::Disconnected { reason, .. }) => return Err(driver.error_of(reason)),
            Some(_) => {}
            None => panic!("{client_id}: its own message does not come"),
        }
    }
}

#[track_caller]
fn take(message: &Message, seen: &mut BTreeMap<u64, u64>) {
    assert!(message.retain, "nobody publishes meanwhile: {message:?}");
    let topic = message.topic.split('/').nth(1).unwrap().parse().unwrap();
    let value = String::from_utf8_lossy(&message.payload).parse().unwrap();
    assert_eq!(seen.insert(topic, value), None, "one for each topic");
}

const TOPICS: u64 = 40;

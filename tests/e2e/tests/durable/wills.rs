//! Clients with wills: what the CONNACK has promised is published when they vanish, also when the broker vanishes first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use client::{Event, Publication, QoS, Subscription, Version, Will};
use e2e::link::lasting;
use e2e::{Link, PATIENCE};

use crate::lives::{Lives, Over};
use crate::visitor::Visitor;
use e2e::dice::Dice;

/// Makes wills until the broker stays; gives what came of them.
pub fn make(lives: &Lives, port: u16, dice: &mut Dice) -> Result<String, Over> {
    let mut watcher = Visitor::new(lives, port, lasting(Version::V5, "will-watcher"));
    watcher.subscribe(Subscription::new("will/#", QoS::ExactlyOnce))?;
    let mut testaments = Testaments::default();
    let mut heard = BTreeMap::new();
    let mut will = 0;
    loop {
        let is_settling = lives.is_settling();
        will += 1;
        testaments.live(lives, port, will, dice)?;
        hear(&mut watcher, Duration::ZERO, &mut heard)?;
        if is_settling {
            break;
        }
    }
    // The last one says goodbye to all that was delayed.
    testaments.return_of_all(lives, port)?;
    let deadline = Instant::now() + PATIENCE;
    while !testaments.promised.iter().all(|will| heard.contains_key(will)) {
        let missing: Vec<u64> =
            testaments.promised.iter().copied().filter(|will| !heard.contains_key(will)).collect();
        assert!(Instant::now() < deadline, "these wills do not come: {missing:?}");
        hear(&mut watcher, Duration::from_millis(100), &mut heard)?;
    }
    let wrong: Vec<_> = testaments.withdrawn.iter().filter(|will| heard.contains_key(will)).collect();
    assert!(wrong.is_empty(), "these wills were taken back: {wrong:?}");
    let known = |will: &&u64| testaments.promised.contains(will) || testaments.in_doubt.contains(will);
    assert_eq!(heard.keys().find(|will| !known(will)), None, "nobody made this will");
    // An end of the broker in the middle of it may publish one twice.
    let repeated = heard.values().filter(|times| **times > 1).count();
    let Testaments { promised, withdrawn, in_doubt, .. } = testaments;
    let (promised, withdrawn, in_doubt) = (promised.len(), withdrawn.len(), in_doubt.len());
    Ok(format!(
        "{promised} wills promised, {withdrawn} taken back, {in_doubt} in doubt, {repeated} came twice"
    ))
}

fn hear(watcher: &mut Visitor<'_>, time: Duration, heard: &mut BTreeMap<u64, u64>) -> Result<(), Over> {
    while let Some(event) = watcher.next(time)? {
        if let Event::Message(message) = event {
            let will = String::from_utf8_lossy(&message.payload).parse().unwrap();
            *heard.entry(will).or_default() += 1;
        }
    }
    Ok(())
}

/// What is to become of each will.
#[derive(Default)]
struct Testaments {
    promised: BTreeSet<u64>,
    withdrawn: BTreeSet<u64>,
    in_doubt: BTreeSet<u64>,
    /// By client: a goodbye that the broker has heard, and a will that waits, with the life in which that was.
    open: BTreeMap<u64, (u64, u64)>,
}

impl Testaments {
    /// One connection of some client: it begins, and ends in one of the ways in which connections end.
    fn live(&mut self, lives: &Lives, port: u16, will: u64, dice: &mut Dice) -> Result<(), Over> {
        let client = dice.within(0..=CLIENTS - 1);
        // 3.1.1 knows no delay.
        let is_delayed = client.is_multiple_of(2) && dice.one_in(3);
        let qos = if dice.one_in(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let Some((link, life)) = self.connect(lives, port, client, Some((will, is_delayed, qos)))? else {
            self.in_doubt.insert(will);
            return Ok(());
        };
        match dice.within(0..=2) {
            0 if is_delayed => {
                link.cut();
                self.withdrawn.insert(will);
            }
            0 => {
                link.cut();
                self.promised.insert(will);
            }
            1 => {
                link.close();
                // Whether the broker knew of the goodbye when it ended is certain only once it has gone on.
                self.open.insert(client, (will, life));
            }
            _ => {
                self.outlive(lives, link, life)?;
                if is_delayed {
                    self.withdrawn.insert(will)
                } else {
                    self.promised.insert(will)
                };
            }
        }
        Ok(())
    }

    /// Holds the connection until the broker is gone.
    fn outlive(&mut self, lives: &Lives, mut link: Link, life: u64) -> Result<(), Over> {
        if lives.is_settling() {
            link.cut();
            return Ok(());
        }
        link.disconnection();
        lives.await_life(life + 1)
    }

    /// `None`: it is not known whether the broker knows of it.
    fn connect(
        &mut self,
        lives: &Lives,
        port: u16,
        client: u64,
        will: Option<(u64, bool, QoS)>,
    ) -> Result<Option<(Link, u64)>, Over> {
        let version = if client.is_multiple_of(2) { Version::V5 } else { Version::V311 };
        let mut options = lasting(version, &format!("willing-{client}"));
        options.will = will.map(|(will, is_delayed, qos)| Will {
            publication: Publication::new(format!("will/{client}"), will.to_string(), qos),
            delay_interval_s: is_delayed.then_some(DELAY_S),
        });
        let life = lives.await_up()?;
        let connected = Link::try_connect(port, options).ok();
        // Nobody who is dead answers: an answer came in the life that goes on.
        let connected = connected.filter(|_| lives.await_up().is_ok_and(|now| now == life));
        if let Some((open, in_life)) = self.open.remove(&client) {
            let is_certain = connected.is_some() && in_life == life;
            if is_certain {
                self.withdrawn.insert(open)
            } else {
                self.in_doubt.insert(open)
            };
        }
        Ok(connected.map(|link| (link, life)))
    }

    /// Takes back what waits: the next connection of each client.
    fn return_of_all(&mut self, lives: &Lives, port: u16) -> Result<(), Over> {
        for client in 0..CLIENTS {
            let (link, _) = self.connect(lives, port, client, None)?.expect("the broker stays");
            link.close();
        }
        Ok(())
    }
}

const CLIENTS: u64 = 6;
/// Long enough that none becomes due before its client comes back.
const DELAY_S: u32 = 600;

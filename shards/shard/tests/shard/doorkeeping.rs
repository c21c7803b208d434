//! A doorkeeper who is slow, forgetful and contradictory, before random clients on three shards: nobody is in without his word, nothing is
//! published or received against the rules of the moment, and nothing of anybody is left.

use std::{sync::Arc, time::Duration};

use access::{Fallback, Rules};
use mqtt::{Auth, Connect, ConnectProperties, Packet, ReasonCode, Version};
use shard::{Answer, Config, Event, Grant, Instant};

use crate::asking;
use crate::script::{Client, Script, connect};

/// A small random source with a seed, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed >> 33) as usize % count
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// What may be: everything, each user his own and what is everybody's, or all for Ada and nothing for Bob.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Law {
    None,
    Own,
    Ada,
}

impl Law {
    fn allows(self, user: &str, topic: &str) -> bool {
        match self {
            Law::None => true,
            Law::Own => topic.starts_with("t/all/") || topic.starts_with(&format!("t/{user}/")),
            Law::Ada => user == "ada",
        }
    }

    fn rules(self) -> Option<Rules> {
        let role = |name: &str, topics: &str| {
            format!("[roles.{name}]\nrules = [ {{ allow = \"readwrite\", topics = \"{topics}\" }} ]\n")
        };
        let text = match self {
            Law::None => return None,
            Law::Own => {
                let users = "everyone = [\"all\"]\n[users]\nada = \"ada\"\nbob = \"bob\"\n".to_owned();
                users + &role("all", "t/all/#") + &role("ada", "t/ada/#") + &role("bob", "t/bob/#")
            }
            Law::Ada => "[users]\nada = \"ada\"\n".to_owned() + &role("ada", "t/#"),
        };
        let layer = access::own::parse("rules", &text).unwrap();
        Some(Rules::builder(Fallback::Deny).layer(layer).build())
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Talk {
    Asked,
    Challenged,
    Over,
}

/// A client as the test sees it.
struct Guest {
    client: Client,
    has_method: bool,
    talk: Talk,
    since: Instant,
    user: Option<&'static str>,
    ends_at: Option<Instant>,
    has_connack: bool,
}

struct House {
    script: Script,
    guests: Vec<Guest>,
    law: Law,
    /// Who published the message of this number.
    published: Vec<usize>,
    received: usize,
}

const METHOD: &str = "METHOD";
const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const TOPICS: [&str; 3] = ["t/all/x", "t/ada/x", "t/bob/x"];
const FILTERS: [&str; 4] = ["t/all/#", "t/ada/#", "t/bob/#", "t/#"];

impl House {
    fn new() -> House {
        let script = Script::new(Config { shards: 3, ..asking::config() });
        House { script, guests: Vec::new(), law: Law::None, published: Vec::new(), received: 0 }
    }

    fn knock(&mut self, dice: &mut Dice) {
        let has_method = dice.below(2) == 0;
        let version = if has_method || dice.below(2) == 0 { Version::V5 } else { Version::V311 };
        let properties = ConnectProperties {
            authentication_method: has_method.then_some(METHOD),
            ..ConnectProperties::default()
        };
        let connect = Connect { version, properties, ..connect(dice.pick(&IDS)) };
        let client = asking::knock(&mut self.script, &connect);
        let since = self.script.now;
        let guest = Guest {
            client,
            has_method,
            talk: Talk::Asked,
            since,
            user: None,
            ends_at: None,
            has_connack: false,
        };
        self.guests.push(guest);
    }

    fn answer(&mut self, dice: &mut Dice, number: usize) {
        let user = dice.pick(&["ada", "bob"]);
        let lasts = (dice.below(2) == 0).then(|| Duration::from_secs(1 + dice.below(90) as u64));
        let grant = Grant { user: Some(user.into()), is_authenticated: true, ..Grant::default() };
        let accept = Answer::Accept { grant: Arc::new(grant), lasts, data: None };
        let kind = dice.below(6);
        let answer = match kind {
            0 => Answer::refuse(ReasonCode::NotAuthorized, "no"),
            1 => Answer::Continue { data: b"who?".as_slice().into(), ticket: 7 },
            _ => accept,
        };
        let (now, guest) = (self.script.now, &mut self.guests[number]);
        // One that nobody has asked for changes nothing, and is given as well.
        if guest.talk == Talk::Asked {
            guest.since = now;
            match kind {
                0 => guest.talk = Talk::Over,
                1 if guest.has_method => guest.talk = Talk::Challenged,
                1 => guest.talk = Talk::Over,
                _ => {
                    guest.talk = Talk::Over;
                    // Nobody becomes somebody else.
                    if guest.user.is_none_or(|before| before == user) {
                        guest.user = Some(user);
                        guest.ends_at = lasts.map(|lasts| now + lasts);
                    }
                }
            }
        }
        self.script.answer(guest.client, answer);
    }

    /// Goes on with an exchange, or begins another one while connected.
    fn prove(&mut self, number: usize) {
        let guest = &mut self.guests[number];
        let reason = match guest.talk {
            Talk::Challenged => ReasonCode::ContinueAuthentication,
            Talk::Over if guest.has_connack && guest.has_method => ReasonCode::Reauthenticate,
            Talk::Over | Talk::Asked => return,
        };
        if self.script.is_closed(guest.client) {
            return;
        }
        guest.talk = Talk::Asked;
        guest.since = self.script.now;
        let auth = Auth { reason, method: Some(METHOD), data: Some(b"me"), ..Auth::default() };
        self.script.packet(guest.client, &Packet::Auth(auth));
    }

    fn publish(&mut self, dice: &mut Dice, number: usize) {
        // Between challenge and answer it would be a violation.
        if self.guests[number].talk != Talk::Challenged || self.guests[number].has_connack {
            let payload = self.published.len().to_string();
            self.published.push(number);
            self.script.publish(self.guests[number].client, dice.pick(&TOPICS), &payload);
        }
    }

    fn subscribe(&mut self, dice: &mut Dice, number: usize) {
        if self.guests[number].talk != Talk::Challenged || self.guests[number].has_connack {
            self.script.subscribe(self.guests[number].client, dice.pick(&FILTERS), 0);
        }
    }

    fn change(&mut self, law: Law) {
        self.law = law;
        for shard in 0..3 {
            self.script.event(shard, Event::Rules(law.rules()));
        }
        self.script.settle();
    }

    /// What everybody hears is what may be.
    fn check(&mut self) {
        for number in 0..self.guests.len() {
            let client = self.guests[number].client;
            for line in self.script.hear(client) {
                self.check_line(number, &line);
            }
            let guest = &self.guests[number];
            let is_closed = self.script.is_closed(client);
            assert!(
                is_closed || guest.ends_at.is_none_or(|at| at > self.script.now),
                "{number}: its grant is over"
            );
            let limit_s = match guest.talk {
                Talk::Asked => 60,
                Talk::Challenged => 10,
                Talk::Over => u64::MAX / 4,
            };
            let waited = self.script.now.since(guest.since);
            assert!(
                is_closed || waited < Duration::from_secs(limit_s),
                "{number}: {:?} {waited:?}",
                guest.talk
            );
        }
    }

    fn check_line(&mut self, number: usize, line: &str) {
        let guest = &mut self.guests[number];
        if line.starts_with("CONNACK Success") {
            assert!(guest.user.is_some() && !guest.has_connack, "{number} is in without a word: {line}");
            guest.has_connack = true;
        } else if line.starts_with("CONNACK") {
            assert!(!guest.has_connack && self.script.is_closed(guest.client), "{number}: {line}");
        } else if line.starts_with("AUTH") {
            assert!(guest.has_method, "{number}: {line}");
        } else {
            assert!(guest.has_connack, "{number} is not in and hears: {line}");
        }
        let Some((topic, rest)) = line.split_once(" '").filter(|(topic, _)| topic.starts_with("t/")) else {
            return;
        };
        let (law, receiver) = (self.law, guest.user.expect("it has a CONNACK"));
        let payload: usize = rest.trim_end_matches('\'').parse().unwrap();
        let publisher = self.guests[self.published[payload]].user.expect("who is not in publishes nothing");
        assert!(law.allows(receiver, topic), "{receiver} receives {topic} under {law:?}");
        assert!(law.allows(publisher, topic), "{publisher} published {topic} under {law:?}");
        self.received += 1;
    }

    /// Everybody leaves, and then nothing is left.
    fn empty(mut self) -> (usize, usize) {
        for guest in &self.guests {
            if !self.script.is_closed(guest.client) {
                self.script.cut(guest.client);
            }
        }
        self.script.secs(600);
        for shard in &self.script.shards {
            let gauges = shard.gauges();
            let left = (gauges.connections, gauges.sessions, gauges.subscriptions, gauges.receive_bytes);
            assert_eq!(left, (0, 0, 0, 0));
        }
        (self.guests.iter().filter(|guest| guest.has_connack).count(), self.received)
    }
}

fn run(seed: u64) -> (usize, usize) {
    let (mut dice, mut house) = (Dice(seed), House::new());
    for _ in 0..STEPS {
        let number = dice.below(house.guests.len().max(1));
        // The latest have the most to do.
        let number = number.max(dice.below(house.guests.len().max(1)));
        match dice.below(16) {
            0 | 1 => house.knock(&mut dice),
            _ if house.guests.is_empty() => {}
            2..=5 => house.answer(&mut dice, number),
            6 => house.prove(number),
            7..=10 => house.publish(&mut dice, number),
            11 | 12 => house.subscribe(&mut dice, number),
            13 if dice.below(3) == 0 => house.change([Law::None, Law::Own, Law::Ada][dice.below(3)]),
            14 if dice.below(4) == 0 && !house.script.is_closed(house.guests[number].client) => {
                house.script.cut(house.guests[number].client);
            }
            15 => house.script.secs(1 + dice.below(8) as u64),
            _ => {}
        }
        house.check();
    }
    house.empty()
}

#[test]
fn nobody_is_in_without_a_word_and_nothing_happens_against_the_rules() {
    let (mut let_in, mut received) = (0, 0);
    for seed in 0..SEEDS {
        // Of a panic the seed is the last line.
        println!("seed {seed}");
        let (more_let_in, more_received) = run(seed);
        let_in += more_let_in;
        received += more_received;
    }
    assert!(let_in > 1000 && received > 1000, "{let_in} were let in, {received} messages received");
}

const SEEDS: u64 = 300;
const STEPS: usize = 200;

//! One run from beginning to judgement: clients act, the world comes to rest, everybody leaves.

use std::{collections::BTreeSet, panic::AssertUnwindSafe, time::Duration};

use mqtt::{QoS, SubscriptionOptions, Version};
use shard::{Counters, Event};

use crate::{
    agenda::Action,
    client::{Client, ConnectPlan, Phase as ClientPhase},
    crash::{Point, Schedule},
    fault::Fault,
    ledger::{Closing, Failure, Oracle},
    profile::Profile,
    random::Random,
    said::{Content, Properties},
    settings::Settings,
    world::{Phase, World},
};

/// What to run. The same plan gives the same run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub shards: u8,
    pub profile: Profile,
    pub fault: Option<Fault>,
    pub readable: bool,
    pub schedule: Schedule,
}

#[derive(Debug)]
pub struct Report {
    pub plan: Plan,
    pub failures: Vec<Failure>,
    pub hash: u64,
    pub steps: u64,
    pub publications: usize,
    pub counters: Counters,
    /// How often the broker was started, where there is a store; how many segments its logs gave up; how many messages were
    /// read back one by one.
    pub lives: u64,
    pub retired: u64,
    pub fetched: u64,
    /// Publications that the store had no room for.
    pub refused: u64,
    /// How often a write failed and the broker ended, and how often it went on.
    pub store_failures: [u64; 2],
    /// How often a disk did something: each of these is a point at which the broker can crash.
    pub points: u64,
    pub trace: String,
}

impl Plan {
    pub fn new(seed: u64, shards: u8, profile: Profile) -> Plan {
        Plan { seed, shards, profile, fault: None, readable: false, schedule: Schedule::ByChance }
    }

    /// Without a choice, the seed chooses the number of shards and the profile.
    pub fn shards_of(seed: u64) -> u8 {
        (seed / Profile::ALL.len() as u64 % 4) as u8 + 1
    }

    pub fn profile_of(seed: u64) -> Profile {
        Profile::ALL[(seed % Profile::ALL.len() as u64) as usize]
    }

    /// The command that shows this run again.
    pub fn replay(&self) -> String {
        let Plan { seed, shards, profile, schedule, .. } = self;
        let point = match schedule {
            Schedule::At(point) => format!(" --point {point}"),
            Schedule::ByChance | Schedule::Never => String::new(),
        };
        format!(
            "cargo run --release -p sim -- --seed {seed} --shards {shards} --profile {}{point} --trace",
            profile.name()
        )
    }

    /// The run without a crash, and one run for each way in which it can crash once.
    pub fn at_each_point(self) -> Vec<Plan> {
        let whole = Plan { schedule: Schedule::Never, ..self };
        let points = Point::up_to(run(whole).points);
        let crashed = points.map(|point| Plan { schedule: Schedule::At(point), ..self });
        std::iter::once(whole).chain(crashed).collect()
    }
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    /// The oracles that spoke.
    pub fn oracles(&self) -> Vec<Oracle> {
        let mut oracles: Vec<Oracle> = self.failures.iter().map(|failure| failure.oracle).collect();
        oracles.sort_unstable();
        oracles.dedup();
        oracles
    }

    pub fn describe(&self) -> String {
        let mut text = format!(
            "seed {} with {} shards, profile {}: {} steps\n",
            self.plan.seed,
            self.plan.shards,
            self.plan.profile.name(),
            self.steps
        );
        for failure in &self.failures {
            let seconds = failure.at.as_nanos() as f64 / 1e9;
            text += &format!("  {seconds:.6} step {} {:?}: {}\n", failure.step, failure.oracle, failure.what);
        }
        text + &format!("  again: {}\n", self.plan.replay())
    }
}

pub fn run(plan: Plan) -> Report {
    let mut world = begin(plan);
    world.go();
    report(plan, world, Vec::new())
}

/// As `run`; a panic becomes a failure of the report where panics unwind.
pub fn run_caught(plan: Plan) -> Report {
    let mut world = begin(plan);
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| world.go()));
    let panicked = caught.err().map(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let what =
            text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned();
        Failure { oracle: Oracle::Panic, at: world.now, step: world.steps, what }
    });
    report(plan, world, panicked.into_iter().collect())
}

fn begin(plan: Plan) -> World {
    let mut random = Random::new(plan.seed);
    let settings = Settings::draw(plan.profile, plan.shards, &mut random);
    World::new(plan, settings, random)
}

fn report(plan: Plan, mut world: World, mut failures: Vec<Failure>) -> Report {
    failures.append(&mut world.ledger.failures);
    Report {
        plan,
        failures,
        hash: world.trace.hash(),
        steps: world.steps,
        publications: world.ledger.publications.len(),
        counters: world.counters(),
        lives: world.lives,
        retired: world.disks.iter().map(|disk| disk.retired).sum(),
        fetched: world.disks.iter().map(|disk| disk.fetched).sum(),
        refused: world.ledger.refused_for_want_of_room,
        store_failures: world.store_failures,
        points: world.points,
        trace: world.trace.into_text(),
    }
}

impl World {
    fn go(&mut self) {
        let until = self.now + self.settings.acting;
        while self.is_going() && self.step(until) {}
        self.now = self.now.max(until);
        if self.has_failed() {
            return;
        }
        if self.settings.has_drain {
            self.wait_until_serving();
            self.drain();
            if self.settings.store.is_none() || self.has_failed() {
                return;
            }
            self.end_after_drain();
        }
        self.end_failure();
        self.phase = Phase::Resting;
        self.has_space = true;
        self.check_strangers_are_closed();
        self.heal();
        self.rest("acting");
        if self.crashes_at_rest() && !self.has_failed() {
            self.crash();
            self.rest("a crash at rest");
        }
        self.is_judged = true;
        let auditor = self.audit();
        self.rest("the audit");
        if self.has_failed() {
            return;
        }
        self.judge();
        self.look_away();
        if self.has_failed() {
            return;
        }
        self.clear_retained(auditor);
        self.rest("clearing");
        self.leave();
    }

    fn crashes_at_rest(&mut self) -> bool {
        self.settings.store.is_some() && self.schedule == Schedule::ByChance && self.random.percent(50)
    }

    fn has_failed(&self) -> bool {
        !self.ledger.failures.is_empty()
    }

    fn is_going(&mut self) -> bool {
        if self.steps > STEPS_MAX {
            self.ledger.fail(Oracle::Stuck, format!("{STEPS_MAX} steps were not enough"));
        }
        !self.has_failed()
    }

    /// Goes on until nothing is under way and nobody waits for anything.
    fn rest(&mut self, after: &str) {
        let until = self.now + REST_MAX;
        while self.is_going() && !self.is_at_rest() {
            if !self.step(until) {
                let waiting: Vec<String> = self.clients.iter().filter_map(waits_for).collect();
                let mail = self.cores.iter().map(|core| core.shard.gauges().mail_pending).sum::<usize>();
                self.check_everything_heard();
                let what = format!("no rest after {after}: {waiting:?}, mail pending {mail}");
                self.ledger.fail(Oracle::Stuck, what);
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        self.agenda.is_quiet()
            && self.mesh.is_empty()
            && self.clients.iter().all(|client| client.phase == ClientPhase::Online && !client.is_waiting())
            && self.cores.iter().all(|core| core.shard.gauges().mail_pending == 0)
            && self.cores.iter().all(|core| core.shard.last_batch() == 0)
    }

    /// One more client comes and asks for everything that is retained.
    fn audit(&mut self) -> usize {
        let index = self.clients.len();
        self.clients.push(Client::new(index, "auditor".into(), Version::V5));
        let plan = ConnectPlan {
            clean_start: true,
            keep_alive_s: 0,
            session_expiry_s: 0,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 3,
            will: None,
        };
        self.connect(index, &plan);
        self.plan_in(1_000, Action::Act(index));
        self.rest("the auditor's CONNECT");
        let options = SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() };
        let filters = vec![("#".to_owned(), options), ("$dev/#".to_owned(), options)];
        self.clients[index].subscribe(Some(7), filters);
        self.write_out(index);
        index
    }

    fn judge(&mut self) {
        self.check_everything_heard();
        self.check_space();
        self.advance();
        let mut counters = self.counters();
        let unsent = counters.publish_sent.saturating_sub(self.publishes_sent);
        if self.fault == Some(Fault::MiscountPublishes) {
            self.publishes_sent += 1_000_000;
        }
        if self.publishes_sent > counters.publish_sent {
            let what = format!("{} PUBLISH sent, {} counted", self.publishes_sent, counters.publish_sent);
            self.ledger.fail(Oracle::Counters, what);
        }
        if self.fault == Some(Fault::HideCounters) {
            counters = Counters::default();
        }
        if self.fault == Some(Fault::InflateCounters) {
            counters.dropped_offline_qos0 += 1_000_000;
        }
        let (untaken, has_strangers) = (self.unkept.untaken, self.settings.strangers);
        let unkept_lost = self.unkept_lost();
        let closing = Closing { counters: &counters, unsent, untaken, unkept_lost, has_strangers };
        self.ledger.judge_rest(&closing);
    }

    fn clear_retained(&mut self, auditor: usize) {
        let mut topics: BTreeSet<String> = self.ledger.retained.topics().map(str::to_owned).collect();
        topics.extend(self.topics_of_strangers());
        for topic in topics {
            let content = Content {
                author: auditor,
                topic,
                qos: QoS::AtLeastOnce,
                retain: true,
                is_empty: true,
                padding: 0,
                expiry_s: None,
                properties: Properties::default(),
                is_will: false,
            };
            self.clients[auditor].publish(content, false, &mut self.ledger);
        }
        self.write_out(auditor);
    }

    /// Everybody goes; when the last session has expired nothing may be left.
    fn leave(&mut self) {
        self.phase = Phase::Leaving;
        for client in 0..self.clients.len() {
            let says_nothing = !self.clients[client].has_will && self.random.percent(50);
            match self.clients[client].socket.filter(|_| says_nothing) {
                Some(socket) => self.hang_up(client, socket),
                None => self.clients[client].disconnect(false, None),
            }
            self.write_out(client);
        }
        let until = self.end_of_all_expiry();
        while self.is_going() && self.step(until) {}
        self.now = self.now.max(until);
        for (index, core) in self.cores.iter().enumerate() {
            let left = core.shard.gauges();
            if left != shard::Gauges::default() {
                self.ledger.fail(Oracle::Leftover, format!("shard {index} still holds {left:?}"));
            }
        }
    }

    fn wait_until_serving(&mut self) {
        let until = self.now + REST_MAX;
        while self.is_going() && !self.is_serving && self.step(until) {}
    }

    /// The process is over, and another one begins with what it left. Everybody acts again.
    fn end_after_drain(&mut self) {
        self.phase = Phase::Acting;
        self.crash();
        self.ledger.drained = false;
        self.ledger.draining.clear();
        for client in 0..self.clients.len() {
            self.plan_in(1_000_000, Action::Act(client));
        }
    }

    /// The broker is told to end, with everything under way.
    fn drain(&mut self) {
        (self.ledger.drained, self.ledger.drained_at) = (true, self.now);
        self.phase = Phase::Leaving;
        for core in 0..self.cores.len() {
            self.ledger.drained_by = self.now;
            self.ledger.draining.insert(core);
            self.handle(core, Event::Drain);
            for _ in 0..self.random.below(20) {
                self.step(self.now + Duration::from_millis(50));
            }
        }
        let until = self.now + DRAIN_MAX;
        while self.is_going() && self.step(until) {
            if self.cores.iter().all(|core| core.is_drained) {
                break;
            }
        }
        self.check_drained();
    }

    fn check_drained(&mut self) {
        for index in 0..self.cores.len() {
            let left = self.cores[index].shard.gauges();
            let is_done = self.cores[index].is_drained && left.connections == 0 && left.mail_pending == 0;
            if !is_done && !self.has_failed() {
                self.ledger.fail(Oracle::Stuck, format!("shard {index} does not end: {left:?}"));
            }
        }
    }
}

fn waits_for(client: &Client) -> Option<String> {
    let is_done = client.phase == ClientPhase::Online && !client.is_waiting();
    let what = format!(
        "client {} is {:?} on socket {:?}, requests {:?}, outbound {:?}, acks {:?}",
        client.index, client.phase, client.socket, client.requests, client.outbound, client.acks
    );
    (!is_done).then_some(what)
}

/// Far more than any run needs that ends at all.
const STEPS_MAX: u64 = 400_000;

/// In virtual time: long enough for every slow reader and every full ring.
const REST_MAX: Duration = Duration::from_secs(300);

const DRAIN_MAX: Duration = Duration::from_secs(120);

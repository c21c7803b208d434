//! The simulated world: shards, rings, sockets, clients and the virtual clock, all moved by one seed in one thread.
//!
//! `step` takes the next thing from the agenda. What shards want done is carried out in `world/effects.rs`, bytes move in
//! `world/traffic.rs`, connections begin and end in `world/connections.rs`, and clients choose in `actor.rs`.

use std::{collections::VecDeque, time::Duration};

use shard::{Answer, ConnId, Counters, Effects, Event, Instant, Placement, Reading, Shard, ShardId};

use crate::{
    agenda::{Action, Agenda},
    client::Client,
    crash::Schedule,
    disk::Disk,
    fault::Fault,
    ledger::{Ledger, Oracle},
    mesh::Mesh,
    random::Random,
    run::Plan,
    settings::Settings,
    socket::Socket,
    tap::Tap,
    trace::Trace,
};

mod connections;
mod crashes;
mod disks;
mod doors;
mod effects;
mod failures;
mod looking_on;
mod said;
mod traffic;

use looking_on::Unkept;

pub struct World {
    pub settings: Settings,
    pub random: Random,
    pub now: Instant,
    pub agenda: Agenda,
    pub cores: Vec<Core>,
    pub mesh: Mesh,
    pub sockets: Vec<Socket>,
    pub taps: Vec<Tap>,
    pub clients: Vec<Client>,
    pub ledger: Ledger,
    pub trace: Trace,
    pub fault: Option<Fault>,
    pub phase: Phase,
    pub steps: u64,
    /// PUBLISH packets that were seen in sends.
    pub publishes_sent: u64,
    pub unkept: Unkept,
    /// Somebody sees each packet.
    looks_on: bool,
    /// One for each shard, where there is a store.
    pub disks: Vec<Disk>,
    seed: u64,
    /// How often the broker was started.
    pub lives: u64,
    /// What shards take for the beginning of time.
    start: Instant,
    /// The broker has been started and is ready for connections.
    pub is_serving: bool,
    is_down: bool,
    /// The socket of which a shard is told that it is gone.
    lost: Option<usize>,
    /// What was counted in earlier lives.
    past: Counters,
    /// The disks have space for further files.
    pub has_space: bool,
    /// The next write is to fail.
    must_fail: bool,
    /// Whom somebody thinks about, or did.
    asked: Vec<(usize, ConnId, Box<Answer>)>,
    /// How often one did and the broker ended, and how often it went on.
    pub store_failures: [u64; 2],
    pub schedule: Schedule,
    /// How often a disk did something.
    pub points: u64,
    is_crash_due: bool,
    /// A shard is restored and has not been told what room there is.
    is_room_due: bool,
    /// The run is at its end: nothing crashes any more.
    pub is_judged: bool,
}

/// What the clients are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// They do what they like.
    Acting,
    /// Nothing breaks any more: they come back and finish what they have begun.
    Resting,
    /// They leave for good.
    Leaving,
}

/// One shard and what its runtime would keep beside it.
pub struct Core {
    pub shard: Shard,
    effects: Effects,
    flush_due: bool,
    timer_at: Option<Instant>,
    /// By slot: the generation, and the socket while it is in use.
    slots: Vec<(u32, Option<usize>)>,
    /// Connections that the shard has paused, the longest paused first.
    paused: VecDeque<usize>,
    pub is_drained: bool,
    /// The step of its last batch, and of the last that is stored.
    storing: u64,
    durable: u64,
    /// When its last batch began to be stored.
    storing_at: Instant,
    is_restored: bool,
}

impl World {
    pub fn new(plan: Plan, settings: Settings, random: Random) -> World {
        let Plan { seed, fault, readable, .. } = plan;
        let mut random = random;
        let config = &settings.config;
        let core = |id| Core::new(Shard::new(ShardId(id), config, Instant::START, seed ^ 0xC0FF_EE00));
        let cores: Vec<Core> = (0..config.shards).map(core).collect();
        let (low, high) = settings.network.ring_capacity;
        let mesh = Mesh::new(cores.len(), || random.between(low, high) as usize);
        let placement = Placement::new(config.shards, config.placement_seed);
        let has_store = settings.store.is_some();
        let mut world = World {
            ledger: Ledger::new(placement, config.limits.inflight_max),
            settings,
            random,
            now: Instant::START,
            agenda: Agenda::default(),
            cores,
            mesh,
            lost: None,
            sockets: Vec::new(),
            taps: Vec::new(),
            clients: Vec::new(),
            trace: Trace::new(readable),
            fault,
            phase: Phase::Acting,
            steps: 0,
            publishes_sent: 0,
            unkept: Unkept::default(),
            looks_on: World::is_looked_on(seed),
            disks: Vec::new(),
            seed,
            lives: 0,
            start: Instant::START,
            is_serving: !has_store,
            is_down: false,
            past: Counters::default(),
            has_space: true,
            must_fail: false,
            asked: Vec::new(),
            store_failures: [0; 2],
            schedule: plan.schedule,
            points: 0,
            is_crash_due: false,
            is_room_due: false,
            is_judged: false,
        };
        world.ledger.has_store = has_store;
        world.ledger.store_gets_full = world.settings.store.is_some_and(|store| store.space_us_max > 0);
        let limits = &world.settings.config.limits;
        world.ledger.retained_is_limited = limits.retained_messages_max < RETAINED_WITHOUT_LIMIT;
        world.ledger.subscriptions_are_limited =
            limits.subscriptions_max < SUBSCRIPTIONS_WITHOUT_LIMIT || world.ledger.store_gets_full;
        world.ledger.subscriptions_are_limited |=
            world.settings.store.is_some_and(|store| store.failure_us_max > 0);
        world.ledger.believes_in_haste = fault == Some(Fault::UnderstateExpiry);
        world.begin();
        world
    }

    fn begin(&mut self) {
        if self.settings.store.is_some() {
            self.install_disks();
        } else {
            self.tell_all_room();
        }
        self.make_clients();
        if self.settings.strangers {
            self.plan_in(1_000_000, Action::Stranger);
        }
        if self.settings.renewal_us_max > 0 {
            (0..self.cores.len()).for_each(|core| self.plan_renewal(core));
        }
    }

    fn tell_all_room(&mut self) {
        for from in 0..self.cores.len() {
            for to in (0..self.cores.len()).filter(|to| *to != from) {
                self.tell_room(from, to);
            }
        }
    }

    /// As the clocks of the shards show it.
    fn shard_now(&self) -> Instant {
        Instant::from_nanos(self.now.as_nanos() - self.start.as_nanos())
    }

    fn next_deadline(&self, core: usize) -> Option<Instant> {
        let at = self.cores[core].shard.next_deadline()?;
        Some(Instant::from_nanos(at.as_nanos().saturating_add(self.start.as_nanos())))
    }

    pub fn plan_in(&mut self, us_max: u64, action: Action) {
        let delay = Duration::from_nanos(self.random.skewed(us_max * 1000));
        self.agenda.plan(self.now + delay, action);
    }

    /// The next thing on the agenda; false if there is none up to `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        if self.agenda.next_at().is_none_or(|at| at > until) {
            return false;
        }
        let Some((at, action)) = self.agenda.take() else { return false };
        self.now = self.now.max(at);
        self.steps += 1;
        self.advance();
        self.act_on(action);
        self.crash_at_point();
        if std::mem::take(&mut self.is_room_due) {
            (0..self.disks.len()).for_each(|core| self.tell_store_room(core));
        }
        self.look_for_quiet();
        true
    }

    /// Moves the ledger's clock; every packet and every event has a step of its own.
    pub fn advance(&mut self) {
        self.ledger.now = self.now;
        self.ledger.step += 1;
        if !self.may_hold() {
            self.ledger.held_since = self.now;
        }
    }

    /// An answer may wait for a store, of this shard or of another one, and everything behind it.
    fn may_hold(&self) -> bool {
        let is_busy = |core: &Core| core.shard.last_batch() != 0 || core.shard.gauges().mail_pending > 0;
        !self.disks.is_empty() && (!self.mesh.is_empty() || self.cores.iter().any(is_busy))
    }

    fn act_on(&mut self, action: Action) {
        match action {
            Action::Act(client) => self.act(client),
            Action::Acks(client) => self.send_acks(client),
            Action::Open(socket) => self.open(socket),
            Action::Up(socket) => self.move_up(socket),
            Action::Down(socket) => self.move_down(socket),
            Action::Sent(socket) => self.finish_send(socket),
            Action::Unsent(socket) => self.tell_unsent(socket),
            Action::Read(socket) => self.read(socket),
            Action::Gone(socket) => self.lose(socket),
            Action::Mail { from, to } => self.bring_mail(from, to),
            Action::Room { from, to } => {
                self.mesh.ring(from, to).room_due = false;
                self.tell_room(from, to);
            }
            Action::Timer(core) => self.serve_timer(core),
            Action::Flush(core) => {
                self.cores[core].flush_due = false;
                self.handle(core, Event::Flush);
            }
            Action::Stranger => self.send_stranger(),
            Action::Written(core) => self.finish_write(core),
            Action::Synced(core) => self.finish_sync(core),
            Action::ReadBack(core) => self.read_back(core),
            Action::Fetched(core) => self.read_fetched(core),
            Action::Made(core) => self.take_file(core),
            Action::Answer(question) => self.answer(question),
            Action::Renew(core) => self.renew(core),
            Action::Crash { again } => self.crash_while_acting(again),
            Action::AskAgain(core) => self.ask_again(core),
            Action::Space => self.change_space(),
            Action::Failure => self.must_fail = self.phase == Phase::Acting,
            Action::Restart => self.restart(),
        }
    }

    fn serve_timer(&mut self, core: usize) {
        self.cores[core].timer_at = None;
        if self.next_deadline(core).is_some_and(|at| at <= self.now) {
            self.handle(core, Event::Timer);
        } else {
            self.arm(core);
        }
    }

    /// Gives one event to a shard and carries out what it asks for.
    pub fn handle(&mut self, core: usize, event: Event<'_>) {
        self.advance();
        let is_flush = matches!(event, Event::Flush);
        let is_answer = matches!(event, Event::Authenticated { .. });
        self.record_event(core, &event);
        let mut effects = std::mem::take(&mut self.cores[core].effects);
        let before = self.cores[core].shard.counters().packets_received;
        let source = match &event {
            Event::Bytes { conn, .. } | Event::Authenticated { conn, .. } => self.socket_of(core, *conn),
            _ => None,
        };
        let taken_before = self.taken_before(core, source);
        if self.fault == Some(Fault::Panic) && self.steps > 200 {
            panic!("this shard was told to panic");
        }
        self.look_on(core);
        let now = self.shard_now();
        self.cores[core].shard.handle(now, event, &mut effects);
        self.count_made(core);
        let packets = self.cores[core].shard.counters().packets_received - before;
        let packets = packets - self.note_asked(core, &effects.queue);
        if is_answer {
            self.hear_answered(core, source);
        }
        match self.lost.take() {
            Some(socket) => self.note_last_said(core, socket, packets),
            None => self.note_said(core, source, packets, &taken_before, &effects.queue),
        }
        self.advance();
        for effect in std::mem::take(&mut effects.queue) {
            self.carry_out(core, effect, &mut effects);
        }
        self.cores[core].effects = effects;
        if !is_flush {
            self.plan_flush(core);
        }
        self.arm(core);
    }

    fn plan_flush(&mut self, core: usize) {
        if !self.cores[core].flush_due {
            self.cores[core].flush_due = true;
            self.plan_in(self.settings.network.tick_us_max, Action::Flush(core));
        }
    }

    fn record_event(&mut self, core: usize, event: &Event<'_>) {
        match event {
            Event::Bytes { conn, bytes } => {
                self.trace.record(self.now, format_args!("{core} <- {conn:?} {} bytes", bytes.len()));
                self.trace.record_bytes(bytes);
            }
            Event::Flush => {}
            Event::Unsent { conn, outgoing, taken } => {
                let len = outgoing.len();
                self.trace.record(self.now, format_args!("{core} <- {conn:?} took {taken} bytes of {len}"));
            }
            Event::Review { record } => {
                let (kind, position) = (record.kind, record.position);
                self.trace.record(self.now, format_args!("{core} <- review kind {kind} at {position:?}"));
            }
            Event::Rules(rules) => {
                self.trace.record(self.now, format_args!("{core} <- rules: {}", rules.is_some()));
            }
            event => self.trace.record(self.now, format_args!("{core} <- {event:?}")),
        }
    }

    /// Plans the shard's next timer.
    fn arm(&mut self, core: usize) {
        let Some(at) = self.next_deadline(core) else { return };
        if self.cores[core].timer_at.is_none_or(|armed| at < armed) {
            self.cores[core].timer_at = Some(at);
            let late = Duration::from_micros(self.random.below(TIMER_LATE_US_MAX));
            self.agenda.plan(at.max(self.now) + late, Action::Timer(core));
        }
    }

    fn look_for_quiet(&mut self) {
        let is_quiet = !self.is_down
            && self.is_serving
            && self.mesh.is_empty()
            && self.cores.iter().all(|core| !core.flush_due && core.shard.gauges().mail_pending == 0);
        if is_quiet {
            self.ledger.on_quiet_mesh();
        }
        if let Some(socket) = self.ledger.overdue_keep_alive() {
            let what = format!("socket {socket}: silent beyond its keep-alive and still connected");
            self.ledger.fail(Oracle::LeftOpen, what);
        }
    }

    /// The sum of all shards' counters.
    pub fn counters(&self) -> Counters {
        let mut sum = self.past.clone();
        for core in &self.cores {
            sum.add(core.shard.counters());
        }
        sum
    }

    fn socket_of(&self, core: usize, conn: ConnId) -> Option<usize> {
        let (generation, socket) = self.cores[core].slots.get(conn.slot as usize)?;
        socket.filter(|_| *generation == conn.generation)
    }

    fn set_reading(&mut self, core: usize, socket: usize, reading: Reading) {
        self.sockets[socket].read(reading);
        self.cores[core].paused.retain(|paused| *paused != socket);
        if reading == Reading::Paused {
            self.cores[core].paused.push_back(socket);
        }
        self.ledger.on_stall(socket, reading == Reading::Paused);
        self.plan_up(socket);
    }
}

impl Core {
    fn new(shard: Shard) -> Core {
        Core {
            shard,
            effects: Effects::default(),
            flush_due: false,
            timer_at: None,
            slots: Vec::new(),
            paused: VecDeque::new(),
            is_drained: false,
            storing: 0,
            durable: 0,
            storing_at: Instant::START,
            is_restored: false,
        }
    }
}

/// No run comes near these.
const RETAINED_WITHOUT_LIMIT: usize = 1_000;
const SUBSCRIPTIONS_WITHOUT_LIMIT: u32 = 1_000;

/// Timers are served at most this late; well below `ledger::SLACK`.
const TIMER_LATE_US_MAX: u64 = 2_000;

//! The loop of one core: wait, bring what happened to the shard, carry out what it wants.
//!
//! One turn is one tick: however much came in, each connection gets at most one send and each other shard at most one
//! publication and one ring of its bell.

mod commands;
mod questions;
mod storing;
mod telling;
mod timing;

use std::{io, sync::Arc, time::Duration};

use shard::{Acted, Ask, ConnId, Effect, Effects, Event, Full, Instant, NotOpened, ShardId};

use crate::{
    Auditor, Config, Timings,
    backend::{Backend, Opened},
    background::Background,
    brain::Brain,
    breakdown::Breakdown,
    clock::Clock,
    control::{Line, Report},
    desk::Reply,
    doorkeeper::{Answered, Gate},
    mesh::{Letter, Mesh},
    port::{Happened, Port, Then},
    ring::Completion,
    seats::Seats,
    strangers::Strangers,
    tracer::Spans,
    worker::questions::Questions,
};

/// Everything that one core has.
pub(crate) struct Worker<B> {
    id: ShardId,
    brain: B,
    effects: Effects,
    port: Port,
    mesh: Mesh,
    gate: Gate,
    auditors: Vec<Arc<dyn Auditor>>,
    spans: Spans,
    line: Line,
    questions: Questions,
    clock: Clock,
    /// The time of this turn: everything in it happens at once.
    now: Instant,
    /// Where batches are stored. A shard without one keeps everything in memory.
    backend: Option<Box<dyn Backend>>,
    /// It failed, and nothing is given to it any more.
    has_store_failed: bool,
    serves_without_store: bool,
    /// The last batch that is stored.
    stored: u64,
    /// Among the effects were messages to be brought back.
    has_fetches: bool,
    is_restored: bool,
    is_ready: bool,
    background: Background,
    gave_way_at: Instant,
    /// When the last turn was over.
    ended_at: Instant,
    timings: Timings,
    /// What the brain had counted at the end of the last turn.
    publish_received: u64,
    /// When the batch that is not stored yet was given to the store.
    committing_since: Option<Instant>,
    /// Keeps its capacity from turn to turn.
    letters: Vec<Letter>,
    strangers: Strangers,
    /// What was done, and is not stored yet.
    unsettled: Vec<(Acted, Reply<Acted>)>,
    /// The shard has nothing left; connections may still be closing.
    is_drained: bool,
    is_drained_reported: bool,
    is_stopped: bool,
}

impl<B: Brain> Worker<B> {
    /// Must be called on the thread and the executor that will run it.
    pub fn new(
        id: ShardId,
        config: &Config,
        make_brain: impl FnOnce(Instant) -> B,
        parts: Parts,
        opened: Option<Opened>,
    ) -> io::Result<Worker<B>> {
        let Parts { mesh, line, clock, seats } = parts;
        let port = Port::new(id, config, seats, mesh.bell().descriptor())?;
        let now = clock.now();
        let gate = Gate::new(config.doorkeeper.clone(), mesh.waker());
        let (backend, restoring) = opened.map(|opened| (opened.backend, opened.restoring)).unzip();
        let mut worker = Worker {
            id,
            brain: make_brain(now),
            effects: Effects::default(),
            port,
            mesh,
            gate,
            auditors: config.auditors.clone(),
            spans: Spans::new(config.tracer.clone()),
            line,
            questions: Questions::new(now),
            clock,
            now,
            backend,
            has_store_failed: false,
            serves_without_store: config.serves_without_store,
            stored: 0,
            has_fetches: false,
            is_restored: false,
            is_ready: false,
            background: Background::new(),
            gave_way_at: now,
            ended_at: now,
            timings: Timings::default(),
            publish_received: 0,
            committing_since: None,
            letters: Vec::new(),
            strangers: Strangers::new(),
            unsettled: Vec::new(),
            is_drained: false,
            is_drained_reported: false,
            is_stopped: false,
        };
        match restoring {
            Some(restoring) => {
                worker.brain.restore(restoring, now, &mut worker.effects);
                worker.carry_out();
            }
            None => {
                worker.is_restored = true;
                worker.report_ready();
            }
        }
        Ok(worker)
    }

    #[cfg(test)]
    pub fn background(&self) -> &Background {
        &self.background
    }

    /// Runs until it is told to stop, or until the ring fails.
    pub async fn run(mut self) -> Result<(), Breakdown> {
        let result = self.work().await;
        if result.is_ok() {
            self.end_store();
        }
        self.end();
        result
    }

    async fn work(&mut self) -> Result<(), Breakdown> {
        for to in self.mesh.peers().iter() {
            self.tell_room(to);
        }
        while !self.is_stopped {
            self.wait()?;
            self.now = self.clock.now();
            self.turn()?;
            self.time_turn();
            if self.background.is_due(self.gave_way_at, self.now) {
                self.background.give_way().await;
                self.gave_way_at = self.clock.now();
                self.ended_at = self.gave_way_at;
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Breakdown> {
        self.end_leaving();
        self.take_completions()?;
        self.take_due();
        self.take_mail();
        self.take_commands();
        self.answer_one();
        self.take_answers();
        self.take_store_news()?;
        self.tell_settled();
        self.take_room();
        self.take_time();
        self.tell(Event::Flush);
        self.publish();
        self.name_tapped();
        self.port.forget_gone();
        self.report_drained();
        Ok(())
    }

    /// Submits everything and sleeps, unless there is something to do.
    fn wait(&mut self) -> io::Result<()> {
        // What the last turn left is taken before the kernel brings more: it would only wait behind it, in buffers that
        // all connections share.
        if self.port.ring.has_completions() {
            return self.port.ring.submit();
        }
        if self.port.has_due() {
            return self.port.ring.wait(Some(Duration::ZERO));
        }
        let mut timeout = self.timeout();
        if timeout == Some(Duration::ZERO) {
            return self.port.ring.wait(timeout);
        }
        self.mesh.bell().fall_asleep();
        let has_news = self.mesh.has_news() || !self.line.commands.is_empty() || self.gate.has_answers();
        if has_news || self.has_store_news() {
            timeout = Some(Duration::ZERO);
        }
        let result = self.port.ring.wait(timeout);
        self.mesh.bell().wake_up();
        result
    }

    /// How long nothing is due. None is for ever.
    fn timeout(&self) -> Option<Duration> {
        let store = self.backend.as_ref().and_then(|backend| backend.next_deadline());
        let deadlines = [
            self.brain.next_deadline(),
            self.port.next_deadline(),
            self.strangers.next_deadline(),
            self.questions.next_deadline(),
            store,
        ];
        let deadline = deadlines.into_iter().flatten().min();
        // The turn took time itself.
        let until_due = deadline.map(|at| at.since(self.ended_at));
        [until_due, self.background.wait_max()].into_iter().flatten().min()
    }

    fn take_completions(&mut self) -> Result<(), Breakdown> {
        let (mut taken, mut bytes) = (0, 0);
        loop {
            let before = taken;
            while let Some(completion) = self.port.ring.next() {
                bytes += self.take_completion(completion)?;
                taken += 1;
                // Mail, timers and what is to be sent have their turn, too.
                if taken >= COMPLETIONS_MAX || bytes >= BYTES_MAX {
                    return Ok(());
                }
            }
            // The kernel can leave its flag set when nothing is deferred any more, and an entry that brings nothing
            // does not clear it.
            if taken == before || !self.port.ring.has_deferred() {
                return Ok(());
            }
            self.port.ring.wait(Some(Duration::ZERO))?;
        }
    }

    /// Says how many bytes came with it.
    fn take_completion(&mut self, completion: Completion) -> Result<usize, Breakdown> {
        match self.port.on_completion(self.now, completion) {
            Happened::Nothing => {}
            Happened::Opened { conn, refuse, door } => {
                self.tell(Event::Opened { conn, refuse, door });
                // A connection begins with one single receive, unless the shard has closed it at once.
                self.port.settle(conn);
            }
            Happened::Bytes { conn, filled } => {
                let bytes = self.port.buffers.bytes(&filled);
                let len = bytes.len();
                self.brain.handle(self.now, Event::Bytes { conn, bytes }, &mut self.effects);
                self.port.buffers.recycle(filled);
                self.carry_out();
                return Ok(len);
            }
            Happened::Layered { conn, opened } => return Ok(self.tell_layered(conn, opened)),
            Happened::NotOpened(why) => self.tell(Event::NotOpened(why)),
            Happened::Sent { conn, outgoing } => {
                self.effects.recycle(outgoing);
                self.tell(Event::Sent { conn });
            }
            Happened::Unsent { conn, outgoing, taken, then } => {
                self.tell(Event::Unsent { conn, outgoing, taken });
                match then {
                    Then::Nothing => {}
                    Then::GoesOn => self.tell(Event::Sent { conn }),
                    Then::Closed => self.tell(Event::Closed { conn }),
                }
            }
            Happened::Leaving { conn } => self.tell(Event::Leaving { conn }),
            Happened::Closed { conn } => self.tell(Event::Closed { conn }),
            Happened::OfStore { name, result } => self.on_store_operation(name, result)?,
        }
        Ok(0)
    }

    /// Says how many bytes came.
    fn tell_layered(&mut self, conn: ConnId, opened: Option<(Option<Full>, u16)>) -> usize {
        let plain = self.port.take_plain();
        if let Some((refuse, door)) = opened {
            self.tell(Event::Opened { conn, refuse, door });
        }
        if !plain.is_empty() && self.port.is_open(conn) {
            self.tell(Event::Bytes { conn, bytes: &plain });
        }
        let len = plain.len();
        self.port.keep_plain(plain);
        self.port.settle(conn);
        len
    }

    /// Those who left in an earlier turn have their answers.
    fn end_leaving(&mut self) {
        while let Some((conn, is_violation)) = self.port.on_leaving(self.now) {
            if is_violation {
                self.tell(Event::NotOpened(NotOpened::WebSocket));
            }
            self.tell(Event::Closed { conn });
        }
    }

    /// Lets those go on that come in through layers, as long as that takes nobody else's time: a handshake costs as much
    /// as hundreds of messages.
    fn take_due(&mut self) {
        if !self.port.has_due() {
            return;
        }
        let began = self.clock.now();
        while let Some(happened) = self.port.on_due(self.now) {
            match happened {
                Happened::Layered { conn, opened } => drop(self.tell_layered(conn, opened)),
                Happened::NotOpened(why) => self.tell(Event::NotOpened(why)),
                Happened::Closed { conn } => self.tell(Event::Closed { conn }),
                _ => {}
            }
            let now = self.clock.now();
            if let Some(since) = self.port.stood_since.take() {
                self.timings.handshake.record(now.since(since), 1);
            }
            if now.since(began) >= HANDSHAKES_MAX {
                return;
            }
        }
    }

    fn take_mail(&mut self) {
        for from in self.mesh.peers().iter() {
            let mut letters = std::mem::take(&mut self.letters);
            self.mesh.collect(from, &mut letters);
            for letter in letters.drain(..) {
                match letter {
                    Letter::Mail(mail) => self.tell(Event::Mail { from, mail }),
                    Letter::HandOver(moving) => match self.port.adopt(self.now, *moving) {
                        Some((conn, refuse, door, unread)) => {
                            self.tell(Event::Opened { conn, refuse, door });
                            self.tell_unread(conn, unread.expose());
                        }
                        None => self.tell(Event::NotOpened(NotOpened::Banned)),
                    },
                }
            }
            self.letters = letters;
        }
    }

    /// Bytes that another shard received come first, and stand for the single receive that a connection begins with.
    fn tell_unread(&mut self, conn: ConnId, unread: &[u8]) {
        if unread.is_empty() {
            self.port.settle(conn);
        } else if self.port.has_received(conn) {
            self.tell(Event::Bytes { conn, bytes: unread });
        }
    }

    /// Some of them belong to connections that are gone.
    fn take_answers(&mut self) {
        for _ in 0..ANSWERS_MAX {
            let Some(Answered { conn, asked_at, answer }) = self.gate.next_answer() else { return };
            self.timings.authentication.record(self.now.since(asked_at), 1);
            self.tell(Event::Authenticated { conn, answer: Box::new(answer) });
        }
    }

    /// Tells the shard of rings that were full and have room again.
    fn take_room(&mut self) {
        for to in self.mesh.relieved().iter() {
            self.tell_room(to);
        }
    }

    fn take_time(&mut self) {
        for _ in 0..self.port.on_time(self.now) {
            self.tell(Event::NotOpened(NotOpened::Slow));
        }
        self.take_store_time();
        if self.strangers.next_deadline().is_some_and(|at| at <= self.now) {
            self.tell_left_out();
        }
        if self.brain.next_deadline().is_some_and(|at| at <= self.now) {
            self.tell(Event::Timer);
        }
    }

    /// Sends off the mail of this tick. The shard learns what room is left, and may have waited for just that.
    fn publish(&mut self) {
        for _ in 0..PUBLICATIONS_MAX {
            let published = self.mesh.publish();
            if published.is_empty() {
                return;
            }
            for to in published.iter() {
                self.tell_room(to);
            }
            // Room lets connections go on that were stalled: what they made belongs to this tick.
            self.tell(Event::FlushAgain);
        }
    }

    fn tell_room(&mut self, to: ShardId) {
        let slots = self.mesh.room(to);
        self.tell(Event::MailRoom { to, slots });
    }

    /// Brings one event to the shard and does at once what follows from it, so that no event ever names a connection
    /// that the shard has closed, but for what became of its last send.
    fn tell(&mut self, event: Event<'_>) {
        self.brain.handle(self.now, event, &mut self.effects);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        if self.effects.queue.is_empty() {
            return;
        }
        let mut queue = std::mem::take(&mut self.effects.queue);
        for effect in queue.drain(..) {
            self.carry_out_one(effect);
        }
        // Nothing above tells the shard anything that it would act upon, so nothing was added meanwhile.
        self.effects.queue = queue;
        if std::mem::take(&mut self.has_fetches) {
            self.start_fetches();
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Send { conn, bytes } => self.port.send(conn, bytes),
            Effect::Close { conn } => self.port.close(self.now, conn),
            Effect::Read { conn, reading } => self.port.read(conn, reading),
            Effect::HandOver { conn, to, unread } => {
                let moving = self.port.release(conn, unread);
                self.mesh.stage(to, Letter::HandOver(Box::new(moving)));
            }
            Effect::Authenticate { conn, ask } => self.ask(conn, ask),
            Effect::Mail { to, mail } => self.mesh.stage(to, Letter::Mail(mail)),
            Effect::Note(note) => self.log(&note),
            Effect::Span(span) => self.spans.take(span, self.clock.now()),
            Effect::Drained => self.is_drained = true,
            Effect::Store(batch) => self.store(batch),
            Effect::Fetch(fetch) => self.fetch(fetch),
            Effect::Restored => {
                self.is_restored = true;
                self.report_ready();
                self.tell_store_room();
            }
        }
    }

    fn ask(&mut self, conn: ConnId, ask: Box<Ask>) {
        let question = self.port.question(conn, ask);
        self.gate.ask(conn, question, self.clock.now());
    }

    fn report_drained(&mut self) {
        let is_drained = self.is_drained && self.port.is_empty() && !self.mesh.has_staged();
        if is_drained && !std::mem::replace(&mut self.is_drained_reported, true) {
            self.line.report(Report::Drained(self.id));
        }
    }

    /// Takes every operation back from the kernel, which may write into our memory until then.
    fn end(mut self) {
        let give_up_at = self.clock.now() + END_MAX;
        self.port.end();
        while self.port.ring.outstanding() > 0 {
            let left = give_up_at.since(self.clock.now());
            if left.is_zero() || self.port.ring.wait(Some(left)).is_err() {
                tracing::error!(shard = self.id.0, "operations did not end: their memory is given up");
                // Better lost than used for something else while the kernel still knows it.
                std::mem::forget((self.port, self.backend));
                return;
            }
            while let Some(completion) = self.port.ring.next() {
                if let Happened::Bytes { filled, .. } = self.port.on_completion(self.now, completion) {
                    self.port.buffers.recycle(filled);
                }
            }
        }
    }
}

/// What a worker is made from.
pub(crate) struct Parts {
    pub mesh: Mesh,
    pub line: Line,
    pub clock: Clock,
    pub seats: Arc<Seats>,
}

/// Completions of one tick. More wait for the next, after mail and timers.
const COMPLETIONS_MAX: usize = 1024;

/// Received bytes of one tick. They may be thousands of packets, and everybody else waits for all of them.
pub(crate) const BYTES_MAX: usize = 256 << 10;

/// What handshakes may take of one tick, but for the last that was begun.
const HANDSHAKES_MAX: Duration = Duration::from_micros(500);

/// Answers of one tick: each lets a client in, or sends one away.
const ANSWERS_MAX: usize = 256;

/// Rounds of mail that waited for room in one tick.
const PUBLICATIONS_MAX: usize = 4;

/// How long the kernel may take to give our memory back.
const END_MAX: Duration = Duration::from_secs(2);

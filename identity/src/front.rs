//! Where the broker asks, and never waits: what is quick is answered at once, the rest on threads of its own.
//!
//! The way of an ask: is it an answer to a challenge? Has this address or user to wait after failed attempts? Was the same
//! decided a moment ago? Can it be decided at once? Else it queues for a thread, in turn by address, and is looked at in the same
//! order again when its turn comes, because much may have been decided meanwhile.
//!
//! There is one line for what takes a core, and one for each kind of provider that waits for another program, each with threads of its
//! own. An ask goes to and fro between them as its chain has it, and to a line of those who wait only where there is something to wait
//! for: a token whose key is at hand is judged without. So a program that hangs keeps those alone from coming in that it is asked about.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    Answer, Ask, Judgement, Reason,
    attempt::Attempt,
    cache::{Cache, CacheKey, CacheLimits, KeyMaker},
    chain::{Chain, Chains},
    exchanges::{ExchangeId, Exchanges},
    judgement::Rejection,
    line::Line,
    priority,
    provider::kind::ANONYMOUS,
    throttle::{Throttle, ThrottleLimits},
    waiting::Waiting,
};

/// How much may wait, for how long, and who works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontLimits {
    pub threads: usize,
    /// Beside them, those that wait for another program, for each kind of provider that does: started when they are needed.
    pub waiting_threads_max: usize,
    /// For each line.
    pub queue_max: usize,
    /// Who waited so long is told that the broker is busy: its client has given up.
    pub wait_ms: u64,
    pub cache: CacheLimits,
    pub throttle: ThrottleLimits,
}

/// Everything is shared: a clone asks the same threads, which end with the last of them.
#[derive(Clone)]
pub struct Front {
    owner: Arc<Owner>,
}

/// What was answered, and what waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub accepted: u64,
    pub rejected: u64,
    pub challenged: u64,
    /// Of the rejected: those that had to wait after failed attempts.
    pub throttled: u64,
    /// Of the rejected: those that there was no room or no time for.
    pub busy: u64,
    /// Of all: those that were decided a moment before.
    pub repeated: u64,
    /// Waiting now.
    pub queued: u64,
    /// That may wait for a thread of our own, and as many for each kind of program that is asked.
    pub queued_max: u64,
}

struct Owner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    limits: FrontLimits,
    begin: Instant,
    keys: KeyMaker,
    chains: RwLock<(u64, Arc<Chains>)>,
    cache: Mutex<Cache>,
    throttle: Mutex<Throttle>,
    exchanges: Mutex<Exchanges>,
    /// For what takes a core.
    working: Line<Job>,
    /// For what waits for another program.
    waiting: Waiting<Job>,
    counters: Counters,
}

struct Job {
    attempt: Attempt,
    since_ms: u64,
    /// How far the chain was asked already.
    asked: Asked,
    answer: Box<dyn FnOnce(Answer) + Send>,
}

/// The providers before this one have passed, as they were at these generations of the chains and of the chain.
#[derive(Clone, Copy, Default)]
struct Asked {
    generation: (u64, u64),
    from: usize,
}

/// What a thread judges an ask by.
struct Turn {
    chain: Arc<Chain>,
    generation: (u64, u64),
    key: Option<CacheKey>,
}

#[derive(Default)]
struct Counters {
    accepted: AtomicU64,
    rejected: AtomicU64,
    challenged: AtomicU64,
    throttled: AtomicU64,
    busy: AtomicU64,
    repeated: AtomicU64,
}

impl Front {
    /// Starts the threads.
    pub fn start(chains: Chains, limits: FrontLimits) -> io::Result<Front> {
        let shared = Arc::new(Shared {
            limits,
            begin: Instant::now(),
            keys: KeyMaker::new(),
            chains: RwLock::new((0, Arc::new(chains))),
            cache: Mutex::new(Cache::new(limits.cache)),
            throttle: Mutex::new(Throttle::new(limits.throttle)),
            exchanges: Mutex::default(),
            working: Line::new(limits.queue_max),
            waiting: Waiting::new(limits.waiting_threads_max, limits.queue_max),
            counters: Counters::default(),
        });
        // Those that were started end with their owner, also where a later one cannot be started.
        let mut owner = Owner { shared: shared.clone(), threads: Vec::new() };
        for number in 0..limits.threads.max(1) {
            let shared = shared.clone();
            let thread = thread::Builder::new().name(format!("identity-{number}"));
            owner.threads.push(thread.spawn(move || shared.work())?);
        }
        Ok(Front { owner: Arc::new(owner) })
    }

    /// Who is it? The answer comes on this thread before the return, or later on another. Never blocks.
    pub fn ask(&self, ask: Ask, answer: impl FnOnce(Answer) + Send + 'static) {
        self.owner.shared.ask(ask, Box::new(answer));
    }

    /// From now on these decide. What was decided before is not repeated; what waits is judged by them.
    pub fn replace(&self, chains: Chains) {
        let shared = &self.owner.shared;
        {
            let mut current = shared.chains.write().unwrap_or_else(PoisonError::into_inner);
            *current = (current.0 + 1, Arc::new(chains));
        }
        lock(&shared.cache).clear();
    }

    pub fn figures(&self) -> Figures {
        let shared = &self.owner.shared;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &shared.counters;
        Figures {
            accepted: read(&counters.accepted),
            rejected: read(&counters.rejected),
            challenged: read(&counters.challenged),
            throttled: read(&counters.throttled),
            busy: read(&counters.busy),
            repeated: read(&counters.repeated),
            queued: (shared.working.len() + shared.waiting.len()) as u64,
            queued_max: shared.limits.queue_max as u64,
        }
    }
}

impl Shared {
    fn ask(&self, ask: Ask, answer: Box<dyn FnOnce(Answer) + Send>) {
        if let Some(exchange) = ask.enhanced.as_ref().and_then(|enhanced| enhanced.exchange) {
            return answer(self.go_on(ask, exchange));
        }
        let attempt = Attempt::new(ask);
        if let Some(at_once) = self.answer_at_once(&attempt) {
            return answer(at_once);
        }
        let job = Job { since_ms: self.now_ms(), attempt, asked: Asked::default(), answer };
        self.push(job);
    }

    fn push(&self, job: Job) {
        self.taken(self.working.push(job.attempt.ask.ip(), job));
    }

    /// Who found no room is told so.
    fn taken(&self, pushed: Result<(), Job>) {
        if let Err(job) = pushed {
            (job.answer)(self.busy("too many clients wait to be identified"));
        }
    }

    fn answer_at_once(&self, attempt: &Attempt) -> Option<Answer> {
        let ask = &attempt.ask;
        let (generation, chains) = self.chains();
        let chain = chains.of(&ask.listener);
        if chain.is_quick(ask) && !ask.has_credentials() {
            // Nothing was tried, so that nothing can have failed before.
            return Some(self.settled(attempt, chain.judge(ask, unix_ms()), None));
        }
        let key = self.keys.key(ask, chain.looks_at(), (generation, chain.generation()));
        if let Some(known) = self.known(attempt, key.as_ref()) {
            return Some(known);
        }
        chain.is_quick(ask).then(|| self.settled(attempt, chain.judge(ask, unix_ms()), key))
    }

    /// What need not be judged: those who have to wait, and what was decided a moment ago.
    fn known(&self, attempt: &Attempt, key: Option<&CacheKey>) -> Option<Answer> {
        if let Some(held) = self.held(attempt) {
            return Some(held);
        }
        let answer = lock(&self.cache).get(key?, self.now_ms(), unix_ms())?;
        bump(&self.counters.repeated);
        self.note(attempt, &answer);
        Some(answer)
    }

    /// The answer to those who have to wait after failed attempts.
    fn held(&self, attempt: &Attempt) -> Option<Answer> {
        let wait = lock(&self.throttle).wait(self.now_ms(), attempt.comer(), attempt.names())?;
        bump(&self.counters.throttled);
        bump(&self.counters.rejected);
        let (whose, wait_s) = (wait.whose.text(), wait.ms.div_ceil(1000));
        let why = format!("too many failed attempts {whose}: {wait_s} s to wait");
        let rejection = Rejection { reason: Reason::ConnectionRateExceeded, why: why.into(), user: None };
        Some(Answer::Reject(rejection.of(attempt.proves())))
    }

    fn go_on(&self, ask: Ask, exchange: ExchangeId) -> Answer {
        let (begun, proves) = lock(&self.exchanges).take(exchange).unzip();
        let attempt = Attempt::going_on(ask, proves.flatten());
        // Also here: many exchanges may have begun before the first of them failed.
        if let Some(held) = self.held(&attempt) {
            return held;
        }
        let (_, chains) = self.chains();
        let chain = chains.of(&attempt.ask.listener);
        let judgement = match (begun, &attempt.ask.enhanced) {
            (Some(begun), Some(enhanced)) => begun.go_on(enhanced.data.expose(), unix_ms(), chain),
            _ => {
                let why = "the exchange is over: it took too long, or was answered before";
                Judgement::reject(Reason::NotAuthorized, why)
            }
        };
        self.settled(&attempt, judgement, None)
    }

    /// What is to be remembered of a judgement, and its answer.
    fn settled(&self, attempt: &Attempt, judgement: Judgement, key: Option<CacheKey>) -> Answer {
        let answer = match judgement {
            Judgement::Accept(identity) => Answer::Accept { identity: Arc::new(identity), data: None },
            Judgement::AcceptWith(identity, data) => {
                Answer::Accept { identity: Arc::new(identity), data: Some(data) }
            }
            Judgement::Reject(rejection) => Answer::Reject(rejection.of(attempt.proves())),
            Judgement::Pass => Answer::reject(Reason::NotAuthorized, "nobody decided"),
            Judgement::Challenge(data, exchange) => {
                let kept = (exchange, attempt.proves().map(Into::into));
                let exchange = lock(&self.exchanges).keep(self.now_ms(), kept);
                Answer::Challenge { data, exchange }
            }
        };
        if let Some(key) = key {
            lock(&self.cache).put(key, self.now_ms(), &answer);
        }
        self.note(attempt, &answer);
        answer
    }

    /// Counts, and remembers failed attempts.
    fn note(&self, attempt: &Attempt, answer: &Answer) {
        let comer = attempt.comer();
        match answer {
            Answer::Accept { identity, .. } => {
                bump(&self.counters.accepted);
                // Where anybody is let in nobody has proved anything.
                if attempt.ask.has_credentials() && identity.kind != ANONYMOUS {
                    let mut throttle = lock(&self.throttle);
                    let proved = attempt.proved(identity).filter(|proved| attempt.client() != Some(*proved));
                    let names = attempt.client().into_iter().chain(proved);
                    names.for_each(|name| throttle.on_arrival(self.now_ms(), comer, name));
                }
            }
            Answer::Reject(rejection) => {
                bump(&self.counters.rejected);
                if attempt.ask.has_credentials() && rejection.reason.is_failed_attempt() {
                    lock(&self.throttle).on_failure(self.now_ms(), comer, attempt.names());
                }
            }
            Answer::Challenge { .. } => bump(&self.counters.challenged),
        }
    }

    fn busy(&self, why: &'static str) -> Answer {
        bump(&self.counters.busy);
        bump(&self.counters.rejected);
        Answer::reject(Reason::ServerBusy, why)
    }

    /// One thread, until the end.
    fn work(self: &Arc<Self>) {
        priority::give_way();
        while let Some(mut job) = self.working.next() {
            match self.judge_at_hand(&mut job) {
                Ok(answer) => (job.answer)(answer),
                Err(kind) => self.hand_over(job, kind),
            }
        }
    }

    fn hand_over(self: &Arc<Self>, job: Job, kind: &'static str) {
        let shared = Arc::clone(self);
        let work = move |line: &Line<Job>| shared.wait(line);
        self.taken(self.waiting.push(kind, job.attempt.ask.ip(), job, work));
    }

    /// One thread of those that wait for other programs, until the end.
    fn wait(&self, line: &Line<Job>) {
        priority::give_way();
        while let Some(mut job) = line.next() {
            match self.judge_by_another(&mut job, line) {
                Some(answer) => (job.answer)(answer),
                // What follows may take the time of a hash.
                None => self.push(job),
            }
        }
    }

    /// The error is the kind of the provider that has to wait.
    fn judge_at_hand(&self, job: &mut Job) -> Result<Answer, &'static str> {
        let turn = match self.take_up(job, &self.working) {
            Ok(turn) => turn,
            Err(answer) => return Ok(answer),
        };
        let judged = turn.chain.judge_at_hand(&job.attempt.ask, unix_ms(), job.asked.from);
        let judgement = judged.map_err(|at| {
            job.asked.from = at;
            turn.chain.provider(at).kind()
        })?;
        Ok(self.settled(&job.attempt, judgement, turn.key))
    }

    /// By the one provider that has to wait. None: it is for others to go on.
    fn judge_by_another(&self, job: &mut Job, line: &Line<Job>) -> Option<Answer> {
        let before = job.asked.generation;
        let turn = match self.take_up(job, line) {
            Ok(turn) => turn,
            Err(answer) => return Some(answer),
        };
        if turn.generation != before {
            return None;
        }
        match turn.chain.provider(job.asked.from).judge(&job.attempt.ask, unix_ms()) {
            Judgement::Pass => {
                job.asked.from += 1;
                None
            }
            judgement => Some(self.settled(&job.attempt, judgement, turn.key)),
        }
    }

    /// What to judge it by, and from where on. The error is its answer, where there is nothing to judge.
    fn take_up(&self, job: &mut Job, line: &Line<Job>) -> Result<Turn, Answer> {
        if line.is_ending() {
            return Err(self.busy("the broker is ending"));
        }
        if self.now_ms().saturating_sub(job.since_ms) > self.limits.wait_ms {
            return Err(self.busy("the client waited too long to be identified"));
        }
        let ask = &job.attempt.ask;
        let (generation, chains) = self.chains();
        let chain = Arc::clone(chains.of(&ask.listener));
        let generation = (generation, chain.generation());
        let key = self.keys.key(ask, chain.looks_at(), generation);
        if let Some(answer) = self.known(&job.attempt, key.as_ref()) {
            return Err(answer);
        }
        // What was said by others than these, or by these when they knew something else, is asked again.
        if job.asked.generation != generation {
            job.asked = Asked { generation, from: 0 };
        }
        Ok(Turn { chain, generation, key })
    }

    fn chains(&self) -> (u64, Arc<Chains>) {
        self.chains.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // What waits is answered, and a judgement that has begun comes to its end.
        self.shared.working.end();
        let waiting = self.shared.waiting.end();
        for thread in self.threads.drain(..).chain(waiting) {
            // The last owner may be gone on one of these threads, with the answer that it held.
            if thread.thread().id() != thread::current().id() {
                // A thread that panicked has said so.
                drop(thread.join());
            }
        }
    }
}

/// Nothing is done under these locks that could leave half a change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn unix_ms() -> u64 {
    // Before 1970 no token is valid yet, and none is over.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

impl Default for FrontLimits {
    fn default() -> FrontLimits {
        FrontLimits {
            threads: 2,
            waiting_threads_max: 16,
            queue_max: 20_000,
            wait_ms: 30_000,
            cache: CacheLimits::default(),
            throttle: ThrottleLimits::default(),
        }
    }
}

#[cfg(test)]
mod tests;

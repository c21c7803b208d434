//! All shards together: start, stop and what the control thread asks of them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use shard::{DoorRates, Placement, Revision, Rules, SHARDS_MAX, Shard, ShardId, ShardSet};

use crate::{
    Ban, Config, Door, Place, StartError, Whom,
    backend::Engine,
    bans::BanTable,
    brain::Brain,
    clock::Clock,
    control::{COMMANDS_MAX, Command, Failure, Line, Report, Snapshot},
    desk::{Desk, Places},
    disk::{self, Logs, keeper},
    door::{Doors, OpenDoor},
    executor, listener, mesh,
    mesh::Shared,
    probe::{self, random_seed},
    seats::Seats,
    worker::Parts,
};

/// The running broker. Dropping it stops all shards at once.
pub struct Broker {
    /// By their numbers; none where a door was closed.
    doors: Arc<Doors>,
    commands: Vec<Sender<Command>>,
    reports: Receiver<Report>,
    failures: Receiver<Failure>,
    threads: Vec<JoinHandle<()>>,
    /// Ends when the shards have.
    keeper: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    pub(crate) seats: Arc<Seats>,
    bans: Arc<Mutex<BanTable>>,
    placement: Placement,
}

/// Starts every shard and returns once all of them listen. If one cannot start, none runs.
pub fn start(config: Config) -> Result<Broker, StartError> {
    let mut config = config;
    config.core.store_epoch_ms = config.store.as_ref().map(|_| unix_ms());
    config.core.bans = BanTable::of(config.bans.clone()).snapshot(SystemTime::now());
    let core = shard::Config { shards: config.shards, ..config.core.clone() };
    let seed = random_seed().map_err(StartError::Resources)?;
    start_with(config, move |id, now| Shard::new(id, &core, now, seed.wrapping_add(u64::from(id.0))))
}

pub(crate) fn start_with<B: Brain>(
    config: Config,
    make_brain: impl Fn(ShardId, shard::Instant) -> B + Clone + Send + 'static,
) -> Result<Broker, StartError> {
    let (store, epoch_ms) = (config.store.clone(), config.core.store_epoch_ms);
    let Some((store, epoch_ms)) = store.zip(epoch_ms) else { return start_on(None, config, make_brain) };
    check(&config)?;
    disk::settle(&store, config.shards, &mut || {})?;
    let (orders, ordered) = unbounded();
    let logs = Logs { config: store, shards: config.shards, epoch_ms, orders };
    let keeper = keeper::spawn(ordered).map_err(StartError::Resources)?;
    let mut broker = start_on(Some(Arc::new(logs)), config, make_brain)?;
    broker.keeper = Some(keeper);
    Ok(broker)
}

/// On whatever stores what is to live on; without it everything is in memory.
pub(crate) fn start_on<B: Brain>(
    engine: Option<Arc<dyn Engine>>,
    config: Config,
    make_brain: impl Fn(ShardId, shard::Instant) -> B + Clone + Send + 'static,
) -> Result<Broker, StartError> {
    check(&config)?;
    let probe = probe::probe()?;
    let numbered: Vec<(u16, Door)> = (0..).zip(config.doors.iter().cloned()).collect();
    let mut bound = listener::bind(&numbered, &[], config.shards)?;
    // Whoever has much to recover takes his time.
    let ready_max = if engine.is_some() { READY_MAX * 20 } else { READY_MAX };
    let mut broker = Broker::spawn(&config, &probe.cores, engine, make_brain)?;
    broker.await_ready(config.shards, ready_max)?;
    if !config.bans.is_empty() {
        broker.set_bans(config.bans);
    }
    // Nobody is let in before everybody is ready.
    bound.listen()?;
    *broker.open_doors() = bound.doors.drain(..).map(Some).collect();
    for (shard, listeners) in (0..config.shards).map(ShardId).zip(std::mem::take(&mut bound.by_shard)) {
        broker.command(shard, Command::Listen(listeners));
    }
    Ok(broker)
}

impl Broker {
    /// Where it listens, with the ports that were chosen.
    pub fn places(&self) -> Vec<Place> {
        self.open_doors().iter().flatten().map(|open| open.door.place.clone()).collect()
    }

    /// For other threads, which ask the shards without this one.
    pub fn desk(&self) -> Desk {
        let (seats, doors, bans) = (&self.seats, &self.doors, &self.bans);
        let places = Places { seats: Arc::clone(seats), doors: Arc::clone(doors), bans: Arc::clone(bans) };
        Desk::new(self.commands.clone(), Arc::clone(&self.shared), places, self.placement.clone())
    }

    /// Connections of all shards, closing ones included.
    pub fn connections(&self) -> usize {
        self.seats.taken()
    }

    /// Brings the news of a shard that ended when it should not have, or whose store failed.
    pub fn failures(&self) -> &Receiver<Failure> {
        &self.failures
    }

    /// What every shard has counted. Shards that do not answer in time are left out.
    pub fn snapshot(&self) -> Vec<Snapshot> {
        let (reply, answers) = bounded(self.commands.len());
        for shard in self.shards() {
            let reply = reply.clone();
            // Whoever asked may have given up waiting.
            self.command(shard, Command::Snapshot(Box::new(move |snapshot| drop(reply.try_send(snapshot)))));
        }
        drop(reply);
        let deadline = Instant::now() + SNAPSHOT_MAX;
        let mut snapshots: Vec<Snapshot> =
            std::iter::from_fn(|| answers.recv_deadline(deadline).ok()).collect();
        snapshots.sort_by_key(|snapshot| snapshot.shard);
        snapshots
    }

    /// Waits until every shard has heard what it was told before, but not for one that hangs.
    pub fn settle(&self) {
        drop(self.snapshot());
    }

    /// Lets nobody in, lets out what is under way, and closes every connection. Says whether that was done in time.
    /// The shards still run after it.
    pub fn drain(&self, timeout: Duration) -> bool {
        for shard in self.shards() {
            self.command(shard, Command::Drain);
        }
        let deadline = Instant::now() + timeout;
        let mut left: ShardSet = self.shards().collect();
        while !left.is_empty() {
            match self.reports.recv_deadline(deadline) {
                Ok(Report::Drained(shard)) => left.remove(shard),
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Other access rules from now on, or none. Each shard holds everybody to them from the moment it hears of them.
    pub fn set_rules(&self, rules: Option<&Rules>) {
        for shard in self.shards() {
            self.command(shard, Command::Rules(rules.cloned()));
        }
    }

    /// Other rates from now on, by the number of the door.
    pub fn set_rates(&self, by_door: &Arc<[DoorRates]>) {
        for shard in self.shards() {
            self.command(shard, Command::Rates(Arc::clone(by_door)));
        }
    }

    /// Whom the configuration bans, in the place of whom it has banned before. Counts at once, for those who are here, too.
    pub fn set_bans(&self, bans: Vec<Ban>) {
        self.change_bans(|table| table.configure(bans));
    }

    /// Until it is lifted, or over, or the broker ends.
    pub fn ban(&self, ban: Ban) {
        self.change_bans(|table| table.order(ban));
    }

    /// What was ordered in earlier lives: all at once, because each change is a list of its own for every shard.
    pub fn take_up_bans(&self, bans: Vec<Ban>) {
        self.change_bans(|table| table.take_up(bans));
    }

    /// Of somebody whom `ban` has banned. False: there is none.
    pub fn lift_ban(&self, whom: &Whom) -> bool {
        self.change_bans(|table| table.lift(whom))
    }

    /// Those that hold now.
    pub fn bans(&self) -> Arc<[Ban]> {
        self.ban_table().tell(SystemTime::now())
    }

    /// Of those, the ones that `ban` has made.
    pub fn ordered_bans(&self) -> Vec<Ban> {
        self.ban_table().ordered(SystemTime::now())
    }

    /// Shards hear of changes in the order in which they were made.
    fn change_bans<T>(&self, change: impl FnOnce(&mut BanTable) -> T) -> T {
        let mut table = self.ban_table();
        let changed = change(&mut table);
        let bans = table.snapshot(SystemTime::now());
        for shard in self.shards() {
            self.command(shard, Command::Bans(Arc::clone(&bans)));
        }
        changed
    }

    fn ban_table(&self) -> MutexGuard<'_, BanTable> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Users who are known otherwise than before, by the one who granted: those who are connected are held to it at once.
    pub fn revise(&self, revision: &Arc<Revision>) {
        for shard in self.shards() {
            self.command(shard, Command::Revised(Arc::clone(revision)));
        }
    }

    /// Tells every shard to end now.
    pub fn stop(&self) {
        for shard in self.shards() {
            self.command(shard, Command::Stop);
        }
    }

    /// Waits until every shard has ended; the failure if one ended by itself.
    pub fn join(mut self) -> Result<(), Failure> {
        self.join_threads();
        self.failures.try_iter().find(|failure| !failure.serves).map_or(Ok(()), Err)
    }

    fn spawn<B: Brain>(
        config: &Config,
        cores: &[usize],
        engine: Option<Arc<dyn Engine>>,
        make_brain: impl Fn(ShardId, shard::Instant) -> B + Clone + Send + 'static,
    ) -> Result<Broker, StartError> {
        if usize::from(config.shards) > cores.len() {
            tracing::warn!(
                shards = config.shards,
                cores = cores.len(),
                "more shards than cores: shards share cores"
            );
        }
        let meshes = mesh::weave(config.shards, config.mail_ring).map_err(StartError::Resources)?;
        let clock = Clock::start();
        let (reporter, reports) = unbounded();
        let (failer, failures) = unbounded();
        let shared = Arc::clone(meshes.first().expect("there is at least one shard").shared());
        let seats = Arc::new(Seats::new(config.max_connections));
        let mut broker = Broker {
            doors: Arc::default(),
            commands: Vec::new(),
            reports,
            failures,
            threads: Vec::new(),
            keeper: None,
            shared,
            seats,
            bans: Arc::default(),
            placement: Placement::new(config.shards, config.core.placement_seed),
        };
        for (id, mesh) in (0..config.shards).map(ShardId).zip(meshes) {
            let (sender, commands) = bounded(COMMANDS_MAX);
            let line = Line { commands, reports: reporter.clone(), failures: failer.clone() };
            let parts = Parts { mesh, line, clock, seats: Arc::clone(&broker.seats) };
            let make_brain = make_brain.clone();
            let core = cores[id.index() % cores.len()];
            let thread = executor::spawn(
                id,
                core,
                config.clone(),
                move |now| make_brain(id, now),
                parts,
                engine.clone(),
            );
            broker.commands.push(sender);
            // Dropping the broker stops the shards that were started.
            broker.threads.push(thread.map_err(StartError::Resources)?);
        }
        Ok(broker)
    }

    fn await_ready(&mut self, shards: u8, ready_max: Duration) -> Result<(), StartError> {
        let deadline = Instant::now() + ready_max;
        for _ in 0..shards {
            match self.reports.recv_deadline(deadline) {
                Ok(Report::NotReady(error)) => return Err(error),
                Ok(_) => {}
                Err(_) => {
                    // Whoever hangs is not waited for.
                    self.stop();
                    self.threads.clear();
                    return Err(StartError::NotReady { seconds: ready_max.as_secs() });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn open_doors(&self) -> MutexGuard<'_, Vec<Option<Arc<OpenDoor>>>> {
        // A list is replaced as a whole: nobody leaves half a change behind.
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.commands.len() as u8).map(ShardId)
    }

    pub(crate) fn command(&self, shard: ShardId, command: Command) {
        // A shard that has ended takes no commands, which whoever waits for an answer finds out by its deadline.
        if self.commands[shard.index()].send(command).is_ok() {
            self.shared.bell(shard).ring();
        }
    }

    fn join_threads(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic has been told through `failures` already.
            let _ = thread.join();
        }
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        for open in self.open_doors().drain(..).flatten() {
            // Nobody listens any more.
            open.door.place.clear();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.stop();
            self.join_threads();
        }
    }
}

fn check(config: &Config) -> Result<(), StartError> {
    if config.shards == 0 || usize::from(config.shards) > SHARDS_MAX {
        return Err(StartError::Shards { shards: config.shards });
    }
    if config.doors.is_empty() {
        return Err(StartError::NoAddress);
    }
    let receive_buffers = config.receive_buffers;
    if !receive_buffers.is_power_of_two() || !(8..=1 << 15).contains(&receive_buffers) {
        return Err(StartError::ReceiveBuffers { receive_buffers });
    }
    Ok(())
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// How long the shards may take to set themselves up.
const READY_MAX: Duration = Duration::from_secs(30);

/// How long a snapshot waits for a shard.
pub(crate) const SNAPSHOT_MAX: Duration = Duration::from_secs(2);

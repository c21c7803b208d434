//! Commits that are written and not synced: a loss of power may take recent ones, in any order of blocks, and nothing
//! that a sync has covered.

use proptest::prelude::*;
use shard::store::{Config, Fault, FileId, Placed, Purpose, Recovered, Refusal};

use crate::{
    disk::{Block, Chance, Disk, Entry, writes},
    history::{Bodies, CONFIG},
};

const WRITTEN: Config = Config { synced: false, files_max: 30, ..CONFIG };

/// A log whose writes stay in memory until they are synced or the system writes them by itself.
struct Machine {
    log: shard::store::Log,
    config: Config,
    /// As a program sees it, and as it is after a loss of power.
    cached: Disk,
    durable: Disk,
    commits: Vec<Commit>,
    entries: Vec<Entry>,
    /// How many entries and commits there were at the start.
    entries_before: usize,
    commits_before: u64,
    crashes: u32,
    retired: u32,
    /// The file whose sync is on its way, and how many commits it covers.
    syncing: Option<(FileId, usize)>,
    chance: Chance,
}

/// One commit record with what belongs to it.
#[derive(Debug)]
struct Commit {
    /// Not yet on disk.
    blocks: Vec<Block>,
    /// How many entries there are with those of this commit, and the oldest generation that it counts on.
    entries: usize,
    tail: u32,
}

impl Machine {
    fn new(config: Config) -> Machine {
        Machine::with(shard::store::Log::new(config), config, Disk::default(), Vec::new())
    }

    fn with(log: shard::store::Log, config: Config, disk: Disk, entries: Vec<Entry>) -> Machine {
        let mut machine = Machine {
            commits_before: log.last_commit(),
            log,
            config,
            cached: disk.clone(),
            durable: disk,
            commits: Vec::new(),
            entries_before: entries.len(),
            entries,
            crashes: 0,
            retired: 0,
            syncing: None,
            chance: Chance(config.seed),
        };
        machine.add_spares();
        machine
    }

    fn add_spares(&mut self) {
        for _ in 0..self.log.wants_spares() {
            let file = self.cached.create(self.config.segment_bytes);
            self.durable.0.insert(file.0, vec![0; self.config.segment_bytes as usize]);
            self.log.add_spare(file);
        }
    }

    fn commit(&mut self, bodies: &[(usize, bool)]) {
        let mut batch = Vec::new();
        for (at, (length, more)) in bodies.iter().enumerate() {
            let body = self.chance.bytes(*length);
            shard::store::record::push(&mut batch, 16, 1, &body, *more && at + 1 < bodies.len());
        }
        let Ok(placed) = self.log.commit(batch, Purpose::Add) else { return };
        self.note(&placed);
        self.log.stored();
        self.tidy();
    }

    fn note(&mut self, placed: &Placed) {
        for (blocks, piece) in writes(placed).into_iter().zip(&placed.pieces) {
            for block in &blocks {
                assert!(!self.is_pending(block), "a file is not used again before all of it is on disk");
                self.cached.put(block);
            }
            for record in shard::store::record::records(&placed.batch[piece.range.clone()]) {
                let at = piece.range.start + record.position.offset as usize;
                let position = placed.position(at);
                self.entries.push(Entry { position, ..Entry::of(&record) });
            }
            self.commits.push(Commit { blocks, entries: self.entries.len(), tail: self.retired + 1 });
        }
    }

    fn tidy(&mut self) {
        while let Some(FileId(file)) = self.log.take_discarded() {
            self.cached.0.remove(&file);
            self.durable.0.remove(&file);
        }
        self.add_spares();
    }

    fn begin_sync(&mut self) {
        if let Some(file) = self.log.begin_sync() {
            self.syncing = Some((file, self.commits.len()));
        }
    }

    fn end_sync(&mut self) {
        let Some((FileId(file), commits)) = self.syncing.take() else { return };
        for commit in &mut self.commits[..commits] {
            commit.blocks.retain(|block| {
                if block.file == file {
                    self.durable.put(block);
                }
                block.file != file
            });
        }
        self.log.synced();
        self.tidy();
    }

    /// The system writes some block by itself.
    fn write_back(&mut self, seed: u64) {
        let lists = self.commits.iter_mut().map(|commit| &mut commit.blocks);
        let mut blocks: Vec<&mut Vec<Block>> = lists.filter(|blocks| !blocks.is_empty()).collect();
        if blocks.is_empty() {
            return;
        }
        let commit = seed as usize % blocks.len();
        let block = seed as usize / 7 % blocks[commit].len();
        let block = blocks[commit].remove(block);
        self.durable.put(&block);
    }

    fn is_pending(&self, block: &Block) -> bool {
        let mut blocks = self.commits.iter().flat_map(|commit| &commit.blocks);
        blocks.any(|other| other.file == block.file && other.at == block.at)
    }

    /// Power is lost: some of the blocks in memory have reached the disk.
    fn crash(&self, seed: u64) -> (Disk, Recovered, Vec<Entry>) {
        let mut image = self.durable.clone();
        let mut chance = Chance(seed);
        let odds = 1 + seed % 8;
        for block in self.commits.iter().flat_map(|commit| &commit.blocks) {
            if chance.below(9) >= odds {
                image.put(block);
            }
        }
        let config = Config { seed: self.config.seed + 1, ..self.config };
        let (recovered, got) = image.recover(config).expect("what was not synced is torn, not damaged");
        (image, recovered, got)
    }

    /// Whatever was recovered is what the log held after some commit, and nothing that was synced is missing.
    fn judge(&self, recovered: &Recovered, got: &[Entry]) {
        let synced = self.commits.iter().take_while(|commit| commit.blocks.is_empty()).count();
        let whole = (recovered.log.last_commit() - self.commits_before) as usize;
        assert!(whole >= synced, "{whole} commits of {synced} that were synced");
        let expected = match whole.checked_sub(1).map(|at| &self.commits[at]) {
            Some(commit) => self.since(&self.entries[..commit.entries], commit.tail),
            None => self.entries[..self.entries_before].to_vec(),
        };
        assert_eq!(got, expected, "{:?}", recovered.report);
        let torn = recovered.report.torn.map_or(0, |torn| torn.commits);
        // What an earlier loss has torn is told again until something is stored behind it.
        assert!(self.crashes > 0 || torn as usize <= self.commits.len() - whole, "{:?}", recovered.report);
    }

    fn since(&self, entries: &[Entry], tail: u32) -> Vec<Entry> {
        let whole = entries.iter().rposition(|entry| !entry.more).map_or(0, |at| at + 1);
        entries[..whole].iter().filter(|entry| entry.position.generation >= tail).cloned().collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Bodies),
    BeginSync,
    EndSync,
    Retire,
    WriteBack(u64),
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![4 => 0..300_usize, 2 => 3900..4200_usize, 1 => 0..11_985_usize];
    let bodies = prop::collection::vec((length, any::<bool>()), 0..8);
    prop_oneof![
        8 => bodies.prop_map(Step::Commit),
        2 => Just(Step::BeginSync),
        2 => Just(Step::EndSync),
        3 => Just(Step::Retire),
        3 => any::<u64>().prop_map(Step::WriteBack),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

impl Machine {
    fn run(&mut self, step: &Step) {
        match step {
            Step::Commit(bodies) => self.commit(bodies),
            Step::BeginSync => self.begin_sync(),
            Step::EndSync => self.end_sync(),
            Step::Retire if self.log.oldest().is_some() => self.retired = self.log.retire_oldest().generation,
            Step::Retire => {}
            Step::WriteBack(seed) => self.write_back(*seed),
            Step::Crash(seed) => {
                let (mut image, recovered, got) = self.crash(*seed);
                self.judge(&recovered, &got);
                for FileId(file) in &recovered.discarded {
                    image.0.remove(file);
                }
                let config = Config { seed: self.config.seed + 1, ..self.config };
                let crashes = self.crashes + 1;
                *self = Machine { crashes, ..Machine::with(recovered.log, config, image, got) };
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_loss_of_power_takes_recent_commits_only(
        steps in prop::collection::vec(step(), 1..60),
        seed in any::<u32>(),
    ) {
        let mut machine = Machine::new(Config { seed: seed.into(), ..WRITTEN });
        for step in &steps {
            machine.run(step);
            for odds in 0..8 {
                let (_, recovered, got) = machine.crash(machine.chance.0 / 8 * 8 + odds);
                machine.judge(&recovered, &got);
            }
        }
    }
}

#[test]
fn a_lost_commit_in_the_middle_ends_the_log_and_the_report_says_what_is_void() {
    let mut machine = Machine::new(WRITTEN);
    (0..5).for_each(|_| machine.commit(&[(100, false)]));
    let mut image = machine.durable.clone();
    for (at, commit) in machine.commits.iter().enumerate().filter(|(at, _)| *at != 2) {
        assert_eq!(commit.blocks.len(), if at == 0 { 2 } else { 1 });
        commit.blocks.iter().for_each(|block| image.put(block));
    }
    let (recovered, got) = image.recover(Config { seed: 7, ..WRITTEN }).unwrap();
    assert_eq!(got, machine.entries[..2]);
    let torn = recovered.report.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes, torn.commits), (3 * 4096, 3 * 4096, 2));
}

#[test]
fn what_a_sync_has_covered_is_damaged_and_not_torn() {
    let mut machine = Machine::new(WRITTEN);
    (0..12).for_each(|_| machine.commit(&[(100, false), (5000, false)]));
    machine.begin_sync();
    machine.commit(&[(1, false)]);
    machine.end_sync();
    let mut image = machine.cached.clone();
    image.0.get_mut(&1).unwrap()[4096 + 60] ^= 1;
    let void = machine.log.last_commit() - 1;
    // Until a commit says so, this may as well be a loss of power.
    let (recovered, got) = image.recover(Config { seed: 7, ..WRITTEN }).unwrap();
    assert!(
        got.is_empty() && recovered.report.torn.is_some_and(|torn| torn.commits == void),
        "{:?}",
        recovered.report
    );
    machine.commit(&[(1, false)]);
    let mut image = machine.cached.clone();
    image.0.get_mut(&1).unwrap()[4096 + 60] ^= 1;
    image.recover(Config { seed: 7, ..WRITTEN }).unwrap_err();
}

#[test]
fn a_retired_file_waits_for_the_sync_that_makes_it_superfluous() {
    let mut machine = Machine::new(Config { files_max: 4, ..WRITTEN });
    while machine.log.segments() < 3 {
        machine.commit(&[(9000, false)]);
    }
    machine.retired = machine.log.retire_oldest().generation;
    machine.commit(&[]);
    assert_eq!((machine.log.retired(), machine.log.spares()), (1, 1));
    for _ in 0..4 {
        machine.begin_sync();
        machine.end_sync();
    }
    assert_eq!((machine.log.retired(), machine.log.spares()), (0, 2));
    assert_eq!(machine.log.begin_sync(), None, "everything is on disk");
}

#[test]
fn a_segment_of_which_some_commits_were_on_disk_is_not_lost_in_silence() {
    let mut machine = Machine::new(WRITTEN);
    while machine.log.segments() < 2 {
        machine.commit(&[(9000, false)]);
    }
    machine.retired = machine.log.retire_oldest().generation;
    for _ in 0..2 {
        machine.begin_sync();
        machine.end_sync();
    }
    while machine.log.segments() < 2 {
        machine.commit(&[(9000, false)]);
    }
    let recover = |image: &Disk| image.recover(Config { seed: 7, ..WRITTEN }).unwrap_err();
    let mut image = machine.cached.clone();
    let mut bytes = image.0.remove(&2).unwrap();
    assert_eq!(recover(&image), Refusal::Missing { generation: 2, suspect: None });
    bytes[..4096].fill(0);
    image.0.insert(2, bytes);
    let Refusal::Damage(damage) = recover(&image) else {
        panic!("its first commit says which segment it is")
    };
    assert_eq!((damage.file, damage.fault, damage.generation), (FileId(2), Fault::Header, 2));
}

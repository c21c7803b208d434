//! A disk in memory: files by number, and every way in which a write may end half done.

use std::collections::BTreeMap;

use shard::store::{
    BLOCK_BYTES, Config, Damage, FileId, Found, LOOK_BYTES, Placed, Position, Record, Recovered, Recovery,
    Refusal, Step,
};

pub const BLOCK: usize = BLOCK_BYTES as usize;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk(pub BTreeMap<u32, Vec<u8>>);

/// One block on its way to the disk.
#[derive(Debug, Clone)]
pub struct Block {
    pub file: u32,
    pub at: usize,
    pub bytes: Vec<u8>,
}

/// A record that stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    pub kind: u8,
    pub more: bool,
    pub body: Vec<u8>,
}

impl Entry {
    pub fn of(record: &Record<'_>) -> Entry {
        let Record { kind, more, position, body, .. } = *record;
        Entry { position, kind, more, body: body.to_vec() }
    }
}

impl Disk {
    /// A file of zeros.
    pub fn create(&mut self, bytes: u32) -> FileId {
        let file = self.0.keys().next_back().map_or(1, |last| last + 1);
        self.0.insert(file, vec![0; bytes as usize]);
        FileId(file)
    }

    pub fn put(&mut self, block: &Block) {
        self.0.get_mut(&block.file).unwrap()[block.at..block.at + BLOCK].copy_from_slice(&block.bytes);
    }

    /// Everything that this recovery hands out, and what it ends with.
    pub fn recover(&self, config: Config) -> Result<(Recovered, Vec<Entry>), Refusal> {
        self.read(Recovery::new(config, self.found())?)
    }

    /// The same, where something was stored for certain.
    pub fn recover_some(&self, config: Config) -> Result<(Recovered, Vec<Entry>), Refusal> {
        self.read(Recovery::new(config, self.found())?.expecting_some()?)
    }

    pub fn recover_some_tolerantly(&self, config: Config) -> (Recovered, Vec<Entry>) {
        self.read(Recovery::tolerant(config, self.found()).unwrap().expecting_some().unwrap()).unwrap()
    }

    pub fn recover_tolerantly(&self, config: Config) -> (Recovered, Vec<Entry>) {
        self.read(Recovery::tolerant(config, self.found()).unwrap()).unwrap()
    }

    /// All damage and all records, and the places of both in the order in which they come.
    pub fn walk(&self, config: Config) -> (Vec<Damage>, Vec<Entry>, Vec<(u32, u32)>) {
        let (mut damages, mut entries, mut order) = (Vec::new(), Vec::new(), Vec::new());
        let mut recovery = Recovery::tolerant(config, self.found()).unwrap();
        while let Some((FileId(file), bytes)) = recovery.wants() {
            let each = |step: Step<'_>| match step {
                Step::Record(record) => {
                    order.push((record.position.generation, record.position.offset));
                    entries.push(Entry::of(&record));
                }
                Step::Damage(damage) => {
                    order.push((damage.generation, damage.from));
                    damages.push(damage.clone());
                }
            };
            recovery.walk(&self.0[&file][..bytes as usize], each).unwrap();
        }
        (damages, entries, order)
    }

    fn found(&self) -> impl Iterator<Item = Found<'_>> {
        self.0.iter().map(|(file, bytes)| Found {
            file: FileId(*file),
            bytes: bytes.len() as u32,
            start: &bytes[..bytes.len().min(LOOK_BYTES as usize)],
        })
    }

    fn read(&self, mut recovery: Recovery) -> Result<(Recovered, Vec<Entry>), Refusal> {
        let (mut entries, mut announced) = (Vec::new(), 0);
        while let Some((FileId(file), bytes)) = recovery.wants() {
            let later: Vec<_> = recovery.wants_later().collect();
            recovery.read(&self.0[&file][..bytes as usize], |record| entries.push(Entry::of(&record)))?;
            let next: Vec<_> = recovery.wants().into_iter().chain(recovery.wants_later()).collect();
            assert!(later.is_empty() || later == next, "what is read comes as it was announced");
            announced += u64::from(!later.is_empty());
        }
        let in_order = recovery.report().segments.saturating_sub(1);
        assert_eq!(announced, in_order, "every segment but the first is announced");
        Ok((recovery.finish(), entries))
    }
}

/// The blocks of each write.
pub fn writes(placed: &Placed) -> Vec<Vec<Block>> {
    let blocks = |write: &shard::store::Write| {
        let bytes = write.slices(&placed.batch).concat();
        assert_eq!(bytes.len(), write.bytes());
        assert!(bytes.len().is_multiple_of(BLOCK) && (write.offset as usize).is_multiple_of(BLOCK));
        let block = |(at, bytes): (usize, &[u8])| Block {
            file: write.file.0,
            at: write.offset as usize + at * BLOCK,
            bytes: bytes.to_vec(),
        };
        bytes.chunks(BLOCK).enumerate().map(block).collect()
    };
    placed.writes.iter().map(blocks).collect()
}

/// Which of these blocks reach the disk: every choice of up to six, else as many at random. The last choice is all.
pub fn choices(blocks: usize, chance: &mut Chance) -> Vec<Vec<bool>> {
    let all = vec![true; blocks];
    if blocks <= 6 {
        return (0..1_u32 << blocks)
            .map(|bits| (0..blocks).map(|at| bits >> at & 1 == 1).collect())
            .collect();
    }
    let mut choices: Vec<Vec<bool>> =
        (0..64).map(|_| (0..blocks).map(|_| chance.below(2) == 0).collect()).collect();
    // Torn in order, too: the beginning or the end.
    choices.extend((0..blocks).map(|cut| (0..blocks).map(|at| at < cut).collect()));
    choices.extend((1..blocks).map(|cut| (0..blocks).map(|at| at >= cut).collect()));
    choices.push(all);
    choices
}

/// SplitMix64: the same numbers from the same seed.
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
        bytes
    }
}

//! The files of one shard as a disk has them: what is on the medium, what is only in the cache of the machine, and what is
//! on its way. What the bytes mean is not known here.

use std::collections::BTreeMap;

use shard::store::log::{BLOCK_BYTES, FileId};

use crate::{
    crash::{Crash, Landing},
    random::Random,
};

#[derive(Debug, Default)]
pub struct Medium {
    files: BTreeMap<FileId, File>,
    /// Deleted, and the directory is not on the medium yet.
    deleted: BTreeMap<FileId, File>,
    /// A write that is not synced: any of its blocks can be anywhere.
    under_way: Option<Write>,
    last: Option<Write>,
    /// What a sync that is under way found in the cache.
    syncing: Option<(FileId, BTreeMap<usize, Vec<u8>>)>,
}

#[derive(Debug, Default)]
struct File {
    stable: Vec<u8>,
    /// By number; not on the medium.
    cached: BTreeMap<usize, Vec<u8>>,
}

#[derive(Debug)]
struct Write {
    file: FileId,
    offset: u32,
    bytes: Vec<u8>,
}

impl Medium {
    /// A file full of zeros, of which the directory knows; with it the directory forgets what was deleted.
    pub fn make(&mut self, file: FileId, bytes: u32) {
        self.deleted.clear();
        self.files.insert(file, File { stable: vec![0; bytes as usize], ..File::default() });
    }

    pub fn delete(&mut self, file: FileId) {
        let gone = self.files.remove(&file).expect("only files that are there are deleted");
        self.deleted.insert(file, gone);
    }

    pub fn files(&self) -> impl Iterator<Item = (FileId, u32)> {
        self.files.iter().map(|(id, file)| (*id, file.stable.len() as u32))
    }

    pub fn begin(&mut self, file: FileId, offset: u32, bytes: Vec<u8>) {
        assert!(self.under_way.is_none(), "one write at a time is under way");
        let known = self.files.get(&file).expect("only files that are there are written to");
        assert!(offset as usize + bytes.len() <= known.stable.len(), "a write stays in its file");
        assert!(offset.is_multiple_of(BLOCK_BYTES) && bytes.len().is_multiple_of(BLOCK_BYTES as usize));
        self.under_way = Some(Write { file, offset, bytes });
    }

    /// The write is on the medium; where the disk lies, only in its cache.
    pub fn finish(&mut self, is_lie: bool) {
        let write = self.under_way.take().expect("a write is under way");
        for (at, block) in write.blocks() {
            self.files.get_mut(&write.file).expect("it is written to").put(at, block, !is_lie);
        }
        self.last = Some(write);
    }

    /// What a reader sees, cached or not.
    pub fn read(&self, file: FileId, from: u32, bytes: u32) -> Vec<u8> {
        self.files.get(&file).map(|file| file.read(from as usize, bytes as usize)).unwrap_or_default()
    }

    pub fn sync(&mut self, file: FileId) {
        let file = self.files.get_mut(&file).expect("only files that are there are synced");
        for (at, block) in std::mem::take(&mut file.cached) {
            file.put(at, &block, true);
        }
    }

    /// What was written up to here goes to the medium, and is there when the sync ends.
    pub fn begin_sync(&mut self, file: FileId) {
        let known = self.files.get(&file).expect("only files that are there are synced");
        assert!(self.syncing.is_none(), "one sync at a time is under way");
        self.syncing = Some((file, known.cached.clone()));
    }

    pub fn finish_sync(&mut self, is_lie: bool) {
        let (file, blocks) = self.syncing.take().expect("a sync is under way");
        let Some(file) = self.files.get_mut(&file).filter(|_| !is_lie) else { return };
        for (at, block) in blocks {
            let later = file.cached.remove(&at).filter(|cached| *cached != block);
            file.put(at, &block, true);
            if let Some(later) = later {
                file.put(at, &later, false);
            }
        }
    }

    /// Takes back the last write that was done, as only a disk that lies does.
    pub fn lose_last(&mut self) {
        // What is under way behind it would give it away.
        if self.under_way.is_none()
            && let Some(Write { file, offset, bytes }) = self.last.take()
            && let Some(file) = self.files.get_mut(&file)
        {
            let from = offset as usize;
            file.stable[from..from + bytes.len()].fill(0);
        }
    }

    /// Any blocks of what was under way are there, and any are not. True: something that was written is gone. `making`: a file that may be finished.
    pub fn crash(
        &mut self,
        crash: Crash,
        landing: Landing,
        making: Option<(FileId, u32)>,
        random: &mut Random,
    ) -> (String, bool) {
        let chance = landing.chance(random);
        self.syncing = None;
        let mut said = format!("{crash:?}");
        if let Some(write) = self.under_way.take() {
            let mut landed = Vec::new();
            for (at, block) in write.blocks().filter(|_| random.percent(chance)) {
                landed.push(at);
                let file = self.files.get_mut(&write.file).expect("it was written to");
                file.put(at, block, crash == Crash::Power);
            }
            let blocks = write.bytes.len() / BLOCK_BYTES as usize;
            said += &format!(", of {blocks} blocks to {:?} at {:#x} {landed:?}", write.file, write.offset);
        }
        if let Some((file, bytes)) = making.filter(|_| random.percent(50)) {
            // It gets its name when it has its length.
            self.files.insert(file, File { stable: vec![0; bytes as usize], ..File::default() });
            said += &format!(", {file:?} is just made");
        }
        let mut has_lost = false;
        if crash == Crash::Power {
            for file in self.files.values_mut() {
                for (at, block) in std::mem::take(&mut file.cached) {
                    if random.percent(chance) {
                        file.put(at, &block, true);
                    } else {
                        has_lost = true;
                    }
                }
            }
            for (id, file) in std::mem::take(&mut self.deleted) {
                if random.percent(50) {
                    said += &format!(", {id:?} is back");
                    self.files.insert(id, file);
                }
            }
        } else {
            self.deleted.clear();
        }
        (said, has_lost)
    }
}

impl Write {
    fn blocks(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let first = (self.offset / BLOCK_BYTES) as usize;
        self.bytes.chunks(BLOCK_BYTES as usize).enumerate().map(move |(n, block)| (first + n, block))
    }
}

impl File {
    fn put(&mut self, at: usize, block: &[u8], is_stable: bool) {
        if is_stable {
            let from = at * BLOCK_BYTES as usize;
            self.stable[from..from + block.len()].copy_from_slice(block);
            self.cached.remove(&at);
        } else {
            self.cached.insert(at, block.to_vec());
        }
    }

    fn read(&self, from: usize, bytes: usize) -> Vec<u8> {
        let until = self.stable.len().min(from + bytes);
        let mut read = self.stable.get(from..until).unwrap_or_default().to_vec();
        let first = from / BLOCK_BYTES as usize;
        for (at, block) in
            self.cached.range(first..).take_while(|(at, _)| **at * (BLOCK_BYTES as usize) < until)
        {
            let begin = at * BLOCK_BYTES as usize;
            let (low, high) = (begin.max(from), (begin + block.len()).min(until));
            read[low - from..high - from].copy_from_slice(&block[low - begin..high - begin]);
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = BLOCK_BYTES as usize;

    fn written(blocks: usize) -> Medium {
        let mut medium = Medium::default();
        medium.make(FileId(1), 8 * BLOCK_BYTES);
        medium.begin(FileId(1), 0, vec![7; blocks * BLOCK]);
        medium
    }

    #[test]
    fn what_was_finished_survives_and_what_was_under_way_is_torn_by_blocks() {
        let mut torn = 0;
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let mut medium = written(1);
            medium.finish(false);
            medium.begin(FileId(1), BLOCK_BYTES, vec![9; 4 * BLOCK]);
            medium.crash(Crash::Power, Landing::Any, None, &mut random);
            let all = medium.read(FileId(1), 0, u32::MAX);
            assert!(all[..BLOCK].iter().all(|byte| *byte == 7));
            let there = all[BLOCK..5 * BLOCK].chunks(BLOCK).filter(|block| block[0] == 9).count();
            assert!(all.chunks(BLOCK).all(|block| block.iter().all(|byte| *byte == block[0])));
            torn += usize::from((1..4).contains(&there));
        }
        assert!(torn > 10, "blocks land in any subset");
    }

    #[test]
    fn what_a_killed_process_wrote_is_seen_and_is_on_the_medium_after_a_sync_only() {
        let seed = (0..).find(|seed| {
            let mut medium = written(2);
            medium.crash(Crash::Kill, Landing::Any, None, &mut Random::new(*seed));
            medium.read(FileId(1), 0, 1) == [7]
        });
        let mut random = Random::new(seed.expect("some seed lets the first block land"));
        for is_synced in [false, true] {
            let mut lost = 0;
            for again in 0..20 {
                let mut medium = written(2);
                medium.crash(Crash::Kill, Landing::Any, None, &mut random.clone());
                if is_synced {
                    medium.sync(FileId(1));
                }
                medium.crash(Crash::Power, Landing::Any, None, &mut Random::new(again));
                lost += usize::from(medium.read(FileId(1), 0, 1) == [0]);
            }
            assert_eq!(lost > 0, !is_synced);
        }
        random.next();
    }

    #[test]
    fn a_sync_saves_what_was_written_before_it_began() {
        let mut medium = written(1);
        medium.finish(true);
        medium.begin_sync(FileId(1));
        medium.begin(FileId(1), BLOCK_BYTES, vec![9; BLOCK]);
        medium.finish(true);
        medium.finish_sync(false);
        let (_, has_lost) = medium.crash(Crash::Power, Landing::Nothing, None, &mut Random::new(1));
        assert!(has_lost);
        assert_eq!(medium.read(FileId(1), 0, 1), [7]);
        assert_eq!(medium.read(FileId(1), BLOCK_BYTES, 1), [0]);
    }
}

//! What stands where nothing should, and is no damage for certain, is told.

use shard::store::FileId;

use super::{alone, commits, history, records_of, seeded};
use crate::{
    disk::{BLOCK, Chance},
    history::{CONFIG, History},
};

#[test]
fn bytes_behind_the_end_that_no_broker_leaves_are_told() {
    let mut chance = Chance(7);
    let (mut fresh, _) = alone();
    fresh.commit(&[(300, false)]);
    let mut used = History::new(CONFIG);
    // All files were used, and none of them up to its last block.
    for _ in 0..12 {
        (0..3).for_each(|_| used.commit(&[(300, false)]));
        used.commit(&[(9000, false), (700, false)]);
        while used.log.oldest().is_some() {
            used.retire_oldest();
        }
    }
    for history in [fresh, used] {
        let commits = commits(&history);
        let (file, range) = commits.last().unwrap().clone();
        let (_, whole) = history.judge(&history.disk, None);
        let lost = records_of(&history, &(file, range.clone()));
        for from in [range.start, range.end] {
            // Nothing of the last commit is left, or it is whole.
            let until = (from + 3 * BLOCK).min(history.disk.0[&file].len());
            let mut image = history.disk.clone();
            image.0.get_mut(&file).unwrap()[from..until].copy_from_slice(&chance.bytes(until - from));
            let (recovered, got) = image.recover(seeded()).unwrap();
            let report = recovered.report;
            let strange = report.strange.unwrap_or_else(|| panic!("{report:?}"));
            assert_eq!((strange.file, strange.offset as usize), (FileId(file), from));
            assert_eq!(strange.bytes as usize, until - from);
            let left = if from == range.start { whole.len() - lost } else { whole.len() };
            assert_eq!(got, whole[..left]);
            assert_eq!(image.recover_tolerantly(seeded()).0.report, report);
        }
    }
}

#[test]
fn a_file_that_has_lost_its_beginning_is_told() {
    let mut chance = Chance(8);
    let history = history();
    let (_, whole) = history.judge(&history.disk, None);
    let (file, _) = commits(&history).last().unwrap().clone();
    let left = commits(&history).into_iter().filter(|(other, _)| *other != file);
    let left: usize = left.map(|commit| records_of(&history, &commit)).sum();
    assert!(left < whole.len());
    let length = history.disk.0[&file].len();
    for (lost, is_zeros) in [(1, false), (2, false), (2, true), (5, false)] {
        let mut image = history.disk.clone();
        let bytes = image.0.get_mut(&file).unwrap();
        let noise = chance.bytes(lost * BLOCK);
        bytes[..lost * BLOCK].copy_from_slice(&noise);
        if is_zeros {
            bytes[..lost * BLOCK].fill(0);
        }
        if lost == 1 {
            bytes[BLOCK..BLOCK + 16].fill(0xff);
        }
        let seen = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(BLOCK).min(length);
        let (recovered, got) = image.recover_some(seeded()).unwrap();
        let report = recovered.report;
        let strange = report.strange.unwrap_or_else(|| panic!("{lost} blocks, zeros {is_zeros}: {report:?}"));
        assert_eq!((strange.file, strange.offset, strange.bytes as usize), (FileId(file), 0, seen));
        assert_eq!(got, whole[..left]);
        assert_eq!(image.recover_some_tolerantly(seeded()).0.report, report);
    }
}

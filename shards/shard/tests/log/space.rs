//! Files: how many there are, when there is no room, and reading segments back.

use shard::store::{Config, FileId, Log, Position, Purpose, Wanted, record};

use crate::{
    disk::{Chance, Disk, Entry},
    history::{CONFIG, History},
};

fn batch(lengths: &[usize]) -> Vec<u8> {
    let mut batch = Vec::new();
    for length in lengths {
        record::push(&mut batch, 16, 1, &vec![7; *length], false);
    }
    batch
}

#[test]
fn a_full_log_keeps_its_reserve_for_what_frees_space() {
    let mut history = History::new(Config { spares_wanted: 2, files_max: 4, ..CONFIG });
    let mut refused = 0;
    for _ in 0..100 {
        let room = history.log.room(Purpose::Add);
        let batch = history.batch(&[(7000, false)]);
        match history.begin(batch, Purpose::Add) {
            Some(under_way) => history.end(under_way),
            None => {
                refused += 1;
                assert!(room < 7016);
            }
        }
    }
    assert!(refused > 80);
    assert_eq!((history.log.segments(), history.log.spares()), (3, 1));
    assert!(history.log.room(Purpose::Free) >= 7 * 4096 - 48);

    // What is alive moves to the reserve, and the segment that it was in becomes the next one.
    let oldest = history.log.oldest().unwrap().generation();
    let alive: Vec<Entry> =
        history.entries.iter().filter(|e| e.position.generation == oldest).cloned().collect();
    let mut batch = Vec::new();
    record::push(&mut batch, 20, 1, &alive[0].body, false);
    let under_way = history.begin(batch, Purpose::Free).unwrap();
    history.end(under_way);
    assert_eq!(history.log.room(Purpose::Add), 0, "the reserve was begun and is still the reserve");
    let batch = history.batch(&[(10, false)]);
    assert!(history.begin(batch, Purpose::Add).is_none());
    history.retire_oldest();
    let under_way = history.begin(Vec::new(), Purpose::Free).unwrap();
    history.end(under_way);
    assert_eq!((history.log.segments(), history.log.spares()), (3, 1));
    history.judge(&history.disk, None);
    history.commit(&[(7000, false)]);
    history.judge(&history.disk, None);
}

#[test]
fn a_batch_that_has_room_is_never_refused() {
    let mut chance = Chance(4);
    for _ in 0..2000 {
        let mut log = Log::new(CONFIG);
        let files = 1 + chance.below(5) as u32;
        (0..files).for_each(|file| log.add_spare(FileId(file)));
        while !log.is_under_way() {
            let room = log.room(Purpose::Add);
            let mut lengths = Vec::new();
            let mut bytes = 0;
            loop {
                let length = if chance.below(2) == 0 { 11_984 } else { chance.below(11_985) as usize };
                if bytes + length + 16 > room {
                    break;
                }
                bytes += length + 16;
                lengths.push(length);
                if chance.below(6) == 0 {
                    break;
                }
            }
            if lengths.is_empty() {
                break;
            }
            log.commit(batch(&lengths), Purpose::Add).expect("there is room");
            log.stored();
        }
    }
}

#[test]
fn files_are_wanted_kept_and_discarded_by_the_limits() {
    let mut history = History::new(CONFIG);
    assert_eq!((history.log.spares(), history.log.wants_spares()), (3, 0));
    while history.log.segments() < 12 {
        history.commit(&[(9000, false), (9000, false)]);
    }
    assert_eq!(history.disk.0.len(), 15);
    let used = history.log.used_bytes();
    assert!((11 * 8 * 4096..=12 * 8 * 4096).contains(&used), "{used}");
    for _ in 0..11 {
        history.retire_oldest();
    }
    assert_eq!(history.log.retired(), 11);
    history.commit(&[]);
    assert_eq!((history.log.segments(), history.log.retired(), history.log.spares()), (1, 0, 4));
    assert_eq!(history.disk.0.len(), 5, "the others were discarded");
    history.judge(&history.disk, None);
}

#[test]
fn files_of_another_size_are_read_and_not_used_again() {
    let mut history = History::new(CONFIG);
    history.commit(&[(9000, false), (9000, false), (9000, false)]);
    history.commit(&[(9000, false), (9000, false), (9000, false)]);
    let (expected, other) = (history.expected(), Config { segment_bytes: 16 * 4096, seed: 5, ..CONFIG });
    let (recovered, got) = history.disk.recover(other).unwrap();
    assert_eq!(got, expected);
    assert_eq!(recovered.discarded.len(), 3);
    assert_eq!((recovered.log.spares(), recovered.log.wants_spares()), (0, 3));
    assert_eq!(recovered.sync.len(), 2);

    history.config = other;
    let mut resumed = history.resume(&history.disk, recovered, got);
    while resumed.log.oldest().is_some() {
        resumed.retire_oldest();
    }
    resumed.add_spares();
    resumed.commit(&[(9000, false)]);
    resumed.commit(&[(100, false)]);
    assert!(resumed.disk.0.values().all(|bytes| bytes.len() == 16 * 4096));
    resumed.judge(&resumed.disk, None);
}

/// Reads the oldest segment in pieces of about so many bytes.
fn clean(log: &Log, disk: &Disk, piece: usize) -> Vec<Entry> {
    let mut cleaning = log.oldest().unwrap();
    let mut entries = Vec::new();
    let mut reads = 0;
    while let Some(wanted) = cleaning.wants() {
        let length = piece.max(wanted.bytes_min as usize).min(wanted.bytes_max as usize);
        let bytes = &disk.0[&wanted.file.0][wanted.offset as usize..][..length];
        cleaning.chunk(bytes, |record| entries.push(Entry::of(&record))).unwrap();
        reads += 1;
        assert!(reads < 5000, "each piece brings something");
    }
    entries
}

#[test]
fn the_oldest_segment_is_read_back_in_pieces_of_any_size() {
    let mut history = History::new(CONFIG);
    history.commit(&[(3, false), (9000, true), (10, false), (4000, false), (0, false)]);
    history.commit(&[]);
    history.commit(&[(4032, false)]);
    history.commit(&[(4031, false)]);
    assert!(history.log.oldest().is_none(), "commits still go there");
    history.commit(&[(9000, false), (9000, false), (9000, false)]);
    let expected: Vec<Entry> =
        history.entries.iter().filter(|e| e.position.generation == 1).cloned().collect();
    assert!(expected.len() > 6);
    for piece in (1..200).chain([4096, 5000, 12_000, 1 << 20]) {
        assert_eq!(clean(&history.log, &history.disk, piece), expected, "{piece} bytes");
    }
    // Also after a recovery.
    let (recovered, _) = history.judge(&history.disk, None);
    assert_eq!(clean(&recovered.log, &history.disk, 4096), expected);
}

#[test]
fn damage_is_found_when_a_segment_is_read_back() {
    let mut history = History::new(CONFIG);
    history.commit(&[(300, false), (9000, false), (4000, false)]);
    history.commit(&[(300, false)]);
    history.commit(&[(9000, false), (9000, false)]);
    let mut cleaning = history.log.oldest().unwrap();
    let Wanted { file: FileId(file), offset, .. } = cleaning.wants().unwrap();
    for at in (offset as usize + 48..offset as usize + 48 + 316).step_by(3) {
        let mut bytes = history.disk.0[&file].clone();
        bytes[at] ^= 4;
        let damage = cleaning.clone().chunk(&bytes[offset as usize..], |_| {}).unwrap_err();
        assert_eq!((damage.file, damage.offset), (FileId(file), offset + 48));
    }
    cleaning.chunk(&history.disk.0[&file][offset as usize..], |_| {}).unwrap();
}

#[test]
fn a_record_is_found_by_its_position() {
    let mut history = History::new(CONFIG);
    (0..6).for_each(|_| history.commit(&[(9000, false), (40, true), (10, false)]));
    for entry in &history.entries {
        let bytes = 16 + entry.body.len() as u32;
        let position = Position::from_u64(entry.position.to_u64());
        let (FileId(file), left) = history.log.locate(position).unwrap();
        assert!(left >= bytes);
        let mut read = history.disk.0[&file][position.offset as usize..][..bytes as usize].to_vec();
        let record = history.log.record(position, &read).unwrap();
        assert_eq!(Entry::of(&record), *entry);
        read[20] ^= 1;
        assert_eq!(history.log.record(position, &read), None);
        let beyond = Position { offset: position.offset + left, ..position };
        assert_eq!(history.log.locate(beyond), None, "beyond the end");
    }
    let first = history.entries[0].position;
    history.retire_oldest();
    assert_eq!(history.log.locate(first), None, "its segment is not in use");
}

//! What was stored and came to harm is found, and named; nothing is dropped in silence.

mod strange;

use std::ops::Range;

use proptest::prelude::*;
use shard::store::{BLOCK_BYTES, Config, Damage, Fault, FileId, Purpose, Refusal};

use crate::{
    disk::{BLOCK, Chance, Disk, Entry},
    history::{CONFIG, History},
};

/// A few segments in use, of which most files were used before, and groups that span commits and segments.
fn history() -> History {
    let mut history = History::new(Config { segment_bytes: 5 * BLOCK_BYTES, ..CONFIG });
    for _ in 0..6 {
        history.commit(&[(9000, false), (2000, false)]);
        history.commit(&[(3000, true), (3000, false)]);
        while history.log.oldest().is_some() {
            history.retire_oldest();
        }
        history.commit(&[]);
    }
    history.commit(&[(300, true), (20, false), (8000, false), (0, false)]);
    history.commit(&[(4000, true), (4000, true), (4000, true), (4000, false), (70, false)]);
    history.commit(&[(10, false), (150, true), (1, false)]);
    history.commit(&[(4020, false)]);
    history.commit(&[(4030, false)]);
    history.commit(&[(9, false), (333, false), (77, false)]);
    history
}

fn seeded() -> Config {
    Config { seed: 99, segment_bytes: 5 * BLOCK_BYTES, ..CONFIG }
}

/// Where each whole commit stands, in the order of the log, with how many records the log has in front of it.
fn commits(history: &History) -> Vec<(u32, Range<usize>)> {
    let blocks =
        history.disk.0.iter().flat_map(|(file, bytes)| (0..bytes.len() / BLOCK).map(|at| (*file, at)));
    let mut commits: Vec<(u64, u32, Range<usize>)> = blocks
        .filter_map(|(file, block)| {
            let bytes = &history.disk.0[&file];
            let commit = &bytes[block * BLOCK..];
            let same = |at: usize, other: usize| commit[at..at + 4] == bytes[other..other + 4];
            // A commit record of this use of the file: length, kind and generation are right.
            let is_commit =
                block > 0 && commit[4..8] == [48, 0, 0, 0] && commit[12..14] == [1, 1] && same(8, 20);
            let number = u64::from_le_bytes(*commit[16..].first_chunk().unwrap());
            let length = u32::from_le_bytes(*commit[40..].first_chunk().unwrap()) as usize;
            let is_commit =
                is_commit && u32::from_le_bytes(*bytes[20..].first_chunk().unwrap()) >= history.tail;
            is_commit.then(|| (number, file, block * BLOCK..block * BLOCK + length))
        })
        .collect();
    commits.sort_unstable_by_key(|(number, ..)| *number);
    commits.into_iter().map(|(_, file, range)| (file, range)).collect()
}

/// The bytes of a commit's padding behind its header: nothing reads them.
fn padding(history: &History, file: u32, range: &Range<usize>) -> Range<usize> {
    let bytes = &history.disk.0[&file];
    let mut at = range.start;
    while range.end - at >= 16 {
        if bytes[at + 12] == 2 {
            return at + 16..range.end;
        }
        at += u32::from_le_bytes(*bytes[at + 4..].first_chunk().unwrap()) as usize;
    }
    at..range.end
}

/// What is left of the records when those of the last commit are lost, with a group that ends in it.
fn without_last(history: &History) -> Vec<Entry> {
    let mut entries = history.expected();
    entries
        .retain(|entry| history.entries[*history.commits.last().unwrap()..].iter().all(|lost| lost != entry));
    entries
}

#[test]
fn every_altered_byte_is_harmless_or_found() {
    let history = history();
    let commits = commits(&history);
    let (last, _) = commits.split_last().unwrap();
    let (mut chance, expected, shorter) = (Chance(5), history.expected(), without_last(&history));
    let (mut harmless, mut found, mut torn) = (0, 0, 0);
    for file in history.disk.0.keys() {
        for at in 0..history.disk.0[file].len() {
            let mut image = history.disk.clone();
            image.0.get_mut(file).unwrap()[at] ^= 1 << chance.below(8);
            let commit = commits.iter().find(|(of, range)| of == file && range.contains(&at));
            match image.recover(seeded()) {
                Ok((_, got)) if got == expected => {
                    harmless += 1;
                    if let Some((_, range)) = commit {
                        assert!(padding(&history, *file, range).contains(&at), "file {file}, byte {at}");
                    }
                }
                Ok((recovered, got)) => {
                    torn += 1;
                    assert_eq!(got, shorter, "file {file}, byte {at}");
                    assert!(recovered.report.torn.is_some_and(|torn| torn.file == FileId(*file)));
                    assert_eq!(commit, Some(last), "only the last commit may have been torn");
                }
                Err(Refusal::Damage(damage)) => {
                    found += 1;
                    assert_eq!(damage.file, FileId(*file), "byte {at}");
                    let range = damage.from as usize..damage.until as usize;
                    assert!(
                        range.contains(&at) && range.contains(&(damage.offset as usize)),
                        "{damage:?}, {at}"
                    );
                }
                Err(refusal) => panic!("file {file}, byte {at}: {refusal}"),
            }
        }
    }
    assert!(harmless > 10_000 && found > 20_000 && torn > 400, "{harmless} {found} {torn}");
}

#[test]
fn damage_names_the_place_the_commit_and_the_proof() {
    let history = history();
    let commits = commits(&history);
    let (file, range) = commits[commits.len() - 3].clone();
    let mut image = history.disk.clone();
    image.0.get_mut(&file).unwrap()[range.start + 100] ^= 1;
    let Err(Refusal::Damage(damage)) = image.recover(seeded()) else { panic!("this is damage") };
    let number = history.log.last_commit() - 2;
    let expected = Damage {
        file: FileId(file),
        generation: damage.generation,
        offset: range.start as u32 + 48,
        from: range.start as u32,
        until: range.end as u32,
        fault: Fault::Record,
        commit: number,
        behind: Some(number + 1),
    };
    assert_eq!(damage, expected);
    assert!(damage.to_string().ends_with("record checksum does not match"), "{damage}");
}

#[test]
fn a_file_cut_anywhere_in_its_last_commits_gives_all_before_them() {
    let history = history();
    let commits = commits(&history);
    let expected = history.expected();
    for back in 1..=2 {
        let (file, range) = &commits[commits.len() - back];
        let lost: usize = (1..=back).map(|back| records_of(&history, &commits[commits.len() - back])).sum();
        for length in range.clone() {
            let mut image = history.disk.clone();
            image.0.get_mut(file).unwrap().truncate(length);
            let (recovered, got) = image.recover(seeded()).unwrap();
            assert_eq!(got, expected[..expected.len() - lost], "{length} bytes");
            assert!(recovered.report.torn.is_some_and(|torn| torn.offset as usize == range.start));
            let mut resumed = history.resume(&image, recovered, got);
            resumed.commit(&[(100, false)]);
            resumed.judge(&resumed.disk, None);
        }
    }
}

fn records_of(history: &History, (file, range): &(u32, Range<usize>)) -> usize {
    let bytes = &history.disk.0[file];
    let generation = u32::from_le_bytes(*bytes[20..].first_chunk().unwrap());
    let inside = |entry: &&Entry| {
        entry.position.generation == generation && range.contains(&(entry.position.offset as usize))
    };
    history.entries.iter().filter(inside).count()
}

#[test]
fn a_file_that_is_cut_further_in_front_is_damage_or_missing() {
    let history = history();
    let expected = history.expected();
    let first = (expected[0].position.generation, commits(&history)[0].0);
    for length in (0..5 * BLOCK).step_by(97) {
        let mut image = history.disk.clone();
        image.0.get_mut(&first.1).unwrap().truncate(length);
        match image.recover(seeded()) {
            Err(Refusal::Damage(damage)) => assert_eq!(damage.file, FileId(first.1)),
            Err(Refusal::Emptied { file, bytes }) => {
                assert!(length < 64);
                assert_eq!((file, bytes), (FileId(first.1), length as u32));
            }
            Err(refusal) => panic!("{refusal}"),
            Ok((_, got)) => {
                assert_eq!(got, expected, "{length} bytes");
                assert!(
                    length
                        >= commits(&history)
                            .iter()
                            .filter(|(file, _)| *file == first.1)
                            .map(|(_, range)| range.end)
                            .max()
                            .unwrap()
                );
            }
        }
    }
}

#[test]
fn a_missing_segment_is_named() {
    let history = history();
    let mut files: Vec<u32> = commits(&history).into_iter().map(|(file, _)| file).collect();
    files.dedup();
    // The newest is not missed: nothing else knows of it.
    for file in &files[..files.len() - 1] {
        let mut image = history.disk.clone();
        let bytes = image.0.remove(file).unwrap();
        let generation = u32::from_le_bytes(*bytes[20..].first_chunk().unwrap());
        assert_eq!(image.recover(seeded()).unwrap_err(), Refusal::Missing { generation, suspect: None });
        // A file of which nothing can be read may be the one that is missing.
        image.0.insert(77, vec![0xaa; 3 * BLOCK]);
        let suspect = Some(FileId(77));
        assert_eq!(image.recover(seeded()).unwrap_err(), Refusal::Missing { generation, suspect });
    }
}

/// A log of one commit.
fn alone() -> (History, u32) {
    let mut history = History::new(CONFIG);
    history.commit(&[(300, false), (5000, false)]);
    let (file, _) = commits(&history)[0];
    (history, file)
}

#[test]
fn a_log_that_is_gone_is_missed_where_something_was_stored() {
    let (history, file) = alone();
    let mut image = history.disk.clone();
    image.0.remove(&file);
    assert_eq!(image.recover_some(seeded()).unwrap_err(), Refusal::Lost);
    assert!(image.recover_some_tolerantly(seeded()).0.report.is_lost);
    assert!(image.recover(seeded()).is_ok(), "where nothing was stored yet there is nothing to miss");
    image.0.clear();
    assert_eq!(image.recover_some(seeded()).unwrap_err(), Refusal::Lost);
    image.0.insert(file, vec![0; CONFIG.segment_bytes as usize]);
    assert_eq!(image.recover_some(seeded()).unwrap_err(), Refusal::Lost);
}

#[test]
fn a_file_that_was_emptied_is_refused_whatever_it_was() {
    let (history, file) = alone();
    for file in history.disk.0.keys().chain([&file]) {
        let mut image = history.disk.clone();
        image.0.insert(*file, Vec::new());
        let expected = Refusal::Emptied { file: FileId(*file), bytes: 0 };
        assert_eq!(image.recover(seeded()).unwrap_err(), expected);
    }
}

#[test]
fn the_only_commit_was_not_torn_where_it_was_on_disk() {
    let (history, file) = alone();
    let (_, range) = commits(&history)[0].clone();
    let padding = padding(&history, file, &range);
    for at in (0..64).chain(range.clone()).filter(|at| !padding.contains(at)) {
        let mut image = history.disk.clone();
        image.0.get_mut(&file).unwrap()[at] ^= 1 << (at % 8);
        match image.recover_some(seeded()) {
            Err(Refusal::Damage(damage)) => assert_eq!(damage.file, FileId(file), "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
        let (recovered, got) = image.recover_some_tolerantly(seeded());
        let report = recovered.report;
        assert!(report.torn.is_none() && report.damages.len() == 1, "byte {at}: {report:?}");
        // A header is not needed, and a record in front of the one that came to harm is whole.
        let least = [(0..64, 2), (range.start + 48 + 316..range.end, 1)];
        let least = least.iter().find(|(places, _)| places.contains(&at)).map_or(0, |(_, least)| *least);
        assert!(got.len() >= least && got.iter().all(|entry| history.entries.contains(entry)), "byte {at}");
    }
    let mut image = history.disk.clone();
    image.0.get_mut(&file).unwrap()[range.clone()].fill(0);
    let Err(Refusal::Damage(damage)) = image.recover_some(seeded()) else { panic!("this is damage") };
    assert_eq!((damage.file, damage.offset as usize, damage.commit), (FileId(file), range.start, 1));
    assert!(!image.recover_some_tolerantly(seeded()).0.report.damages.is_empty());
}

/// Changes a header and makes its checksum right.
fn alter_header(image: &mut Disk, file: u32, at: usize, byte: u8) {
    let bytes = image.0.get_mut(&file).unwrap();
    bytes[at] = byte;
    let checksum = crc32c::crc32c(&bytes[12..64]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn other_formats_other_shards_and_copies_are_refused() {
    let history = history();
    let (file, _) = commits(&history)[0];
    let mut image = history.disk.clone();
    alter_header(&mut image, file, 12, 2);
    assert_eq!(image.recover(seeded()).unwrap_err(), Refusal::Newer { file: FileId(file), format: 2 });

    let other = Config { shards: 2, ..seeded() };
    let Err(Refusal::Foreign { shard: 0, shards: 1, .. }) = history.disk.recover(other) else {
        panic!("another number of shards is refused")
    };
    let other = Config { shard: 1, shards: 2, ..seeded() };
    assert!(matches!(history.disk.recover(other), Err(Refusal::Foreign { .. })));

    let mut image = history.disk.clone();
    image.0.insert(50, image.0[&file].clone());
    let files = [FileId(file), FileId(50)];
    let Err(Refusal::Twice { files: found, .. }) = image.recover(seeded()) else {
        panic!("a copy is refused")
    };
    assert_eq!(found, files);
}

#[test]
fn a_header_with_a_link_to_nowhere_is_no_reason_to_panic() {
    let history = history();
    for file in history.disk.0.keys() {
        for at in 20..64 {
            for byte in [0, 1, 0xff] {
                let mut image = history.disk.clone();
                alter_header(&mut image, *file, at, byte);
                let _ = image.recover(seeded());
                image.recover_tolerantly(seeded());
            }
        }
    }
}

/// The groups of the log: each a run of entries that counts as a whole.
fn groups(entries: &[Entry]) -> Vec<&[Entry]> {
    entries.split_inclusive(|entry| !entry.more).collect()
}

#[test]
fn a_tolerant_recovery_loses_the_group_that_came_to_harm_and_at_most_its_neighbour() {
    let history = history();
    let expected = history.expected();
    let groups = groups(&expected);
    let (mut alone, mut commits_whole) = (0, 0);
    for (file, range) in commits(&history) {
        let padding = padding(&history, file, &range);
        for at in range.clone().filter(|at| at % 7 == 0 && !padding.contains(at)) {
            let mut image = history.disk.clone();
            image.0.get_mut(&file).unwrap()[at] ^= 1 << (at % 8);
            let (recovered, got) = image.recover_tolerantly(seeded());
            let report = recovered.report;
            if report.torn.is_some() {
                continue;
            }
            assert_eq!(report.damages.len(), 1, "{report:?}");
            assert!(report.damages.iter().all(|damage| damage.from as usize == range.start));
            assert_eq!(report.records as usize, got.len());
            let lost: Vec<usize> = (0..groups.len()).filter(|at| !got.contains(&groups[*at][0])).collect();
            let kept = groups.iter().enumerate().filter(|(at, _)| !lost.contains(at));
            let kept = kept.flat_map(|(_, group)| *group);
            assert!(got.iter().eq(kept), "{at}, {range:?}: not whole groups in their order, {lost:?}");
            assert!(lost.len() <= 2 && lost.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{at}: {lost:?}");
            let is_at = |entry: &Entry| {
                let start = entry.position.offset as usize;
                (start..start + 16 + entry.body.len()).contains(&at)
            };
            let is_in_body = |entry: &Entry| is_at(entry) && at >= entry.position.offset as usize + 16;
            let inside = lost.iter().any(|lost| groups[*lost].iter().any(is_in_body));
            // A header that is right says whether the next record is of the same group.
            if inside && lost.len() == 1 {
                alone += 1;
            }
            assert!(!inside || lost.len() == 1, "{at}: {lost:?}");
            commits_whole += usize::from(lost.is_empty());
        }
    }
    assert!(alone > 1000 && commits_whole > 10, "{alone} {commits_whole}");
}

#[test]
fn a_tolerant_recovery_needs_no_headers() {
    let history = history();
    let files: Vec<u32> = commits(&history).into_iter().map(|(file, _)| file).collect();
    for file in &files {
        let mut image = history.disk.clone();
        image.0.get_mut(file).unwrap()[..BLOCK].fill(0);
        let (recovered, got) = image.recover_tolerantly(seeded());
        assert_eq!(got, history.expected(), "file {file}");
        assert_eq!(recovered.report.damages[0].fault, Fault::Header);
    }
}

#[test]
fn payloads_that_look_like_commits_change_nothing() {
    let mut history = History::new(CONFIG);
    history.commit(&[(10, false)]);
    let mut chance = Chance(3);
    for round in 0..12 {
        // The last commit as it is on disk, also with a higher number and a salt and checksum that agree with each other.
        let (file, range) = commits(&history).pop().unwrap();
        let mut commit = history.disk.0[&file][range.start..range.start + BLOCK].to_vec();
        if round % 2 == 1 {
            commit[16] += 20;
            commit[24] += 20;
            commit[32..40].copy_from_slice(&chance.next().to_le_bytes());
            let salt = u64::from_le_bytes(*commit[32..].first_chunk().unwrap());
            let checksum = crc32c::crc32c_append((salt ^ (salt >> 32)) as u32, &commit[4..48]);
            commit[..4].copy_from_slice(&checksum.to_le_bytes());
        }
        let mut batch = Vec::new();
        let mut body = vec![0; BLOCK - 64];
        body.extend_from_slice(&commit);
        body.extend_from_slice(&commit[..2000]);
        shard::store::record::push(&mut batch, 16, 1, &body, false);
        let under_way = history.begin(batch, Purpose::Add).unwrap();
        history.images(&under_way, |history, image| {
            history.judge(image, Some(&under_way));
        });
        history.end(under_way);
        history.judge(&history.disk, None);
    }
}

#[test]
fn a_commit_that_stands_where_another_should_is_damage() {
    let mut history = History::new(CONFIG);
    (0..4).for_each(|_| history.commit(&[(100, false)]));
    let commits = commits(&history);
    let mut image = history.disk.clone();
    let file = image.0.get_mut(&commits[0].0).unwrap();
    file.copy_within(commits[1].1.clone(), commits[2].1.start);
    let Err(Refusal::Damage(damage)) = image.recover(Config { seed: 99, ..CONFIG }) else {
        panic!("this is damage")
    };
    assert_eq!((damage.fault, damage.commit, damage.behind), (Fault::Order, 3, Some(4)));
}

#[test]
fn a_header_without_commits_still_vouches_for_the_segment_before() {
    let mut history = History::new(CONFIG);
    history.commit(&[(9000, false), (9000, false)]);
    history.commit(&[(8000, false)]);
    let batch = history.batch(&[(9000, false)]);
    let under_way = history.begin(batch, Purpose::Add).unwrap();
    let mut image = history.disk.clone();
    image.put(&under_way.writes[0][0]);
    history.judge(&image, Some(&under_way));
    let file = commits(&history)[0].0;
    image.0.get_mut(&file).unwrap()[30] ^= 1;
    let Err(Refusal::Damage(damage)) = image.recover(Config { seed: 99, ..CONFIG }) else {
        panic!("this is damage")
    };
    assert_eq!((damage.file, damage.fault), (FileId(file), Fault::Header));
}

#[test]
fn a_link_that_leaves_a_segment_out_is_damage() {
    let mut history = History::new(CONFIG);
    (0..3).for_each(|_| history.commit(&[(9000, false), (9000, false), (4000, false)]));
    let commits = commits(&history);
    assert_eq!(commits.len(), 3);
    let mut image = history.disk.clone();
    let end = commits[0].1.end as u32;
    alter_header(&mut image, commits[2].0, 40, 1);
    for (at, byte) in end.to_le_bytes().into_iter().enumerate() {
        alter_header(&mut image, commits[2].0, 44 + at, byte);
    }
    let Err(Refusal::Damage(damage)) = image.recover(Config { seed: 99, ..CONFIG }) else {
        panic!("this is damage")
    };
    assert_eq!((damage.file, damage.fault, damage.commit), (FileId(commits[2].0), Fault::Order, 2));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_recovery_panic(
        places in prop::collection::vec((any::<prop::sample::Index>(), 0..5 * BLOCK, any::<u8>()), 1..30),
    ) {
        let history = history();
        let mut image = history.disk.clone();
        let files: Vec<u32> = image.0.keys().copied().collect();
        for (file, at, byte) in places {
            image.0.get_mut(file.get(&files)).unwrap()[at] = byte;
        }
        let _ = image.recover(seeded());
        let (_, got) = image.recover_tolerantly(seeded());
        prop_assert!(got.iter().all(|entry| history.entries.contains(entry)));
    }

    #[test]
    fn a_tolerant_recovery_finds_fault_with_what_a_strict_one_refuses_and_with_nothing_else(
        places in prop::collection::vec((any::<prop::sample::Index>(), 0..5 * BLOCK, 1..=255_u8), 1..4),
        gone in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let history = history();
        let mut image = history.disk.clone();
        let files: Vec<u32> = image.0.keys().copied().collect();
        for (file, at, bits) in places {
            image.0.get_mut(file.get(&files)).unwrap()[at] ^= bits;
        }
        if let Some(file) = gone {
            image.0.remove(file.get(&files));
        }
        let (tolerant, got) = image.recover_tolerantly(seeded());
        let faults = tolerant.report.damages.len() + tolerant.report.missing.len();
        match image.recover(seeded()) {
            Ok((strict, records)) => {
                prop_assert_eq!(records, got);
                prop_assert_eq!(strict.report, tolerant.report);
            }
            Err(refusal) => prop_assert!(faults > 0, "{}: {:?}", refusal, tolerant.report),
        }
    }

    #[test]
    fn a_walk_tells_of_damage_where_it_stands(
        places in prop::collection::vec((any::<prop::sample::Index>(), 0..5 * BLOCK, 1..=255_u8), 1..6),
    ) {
        let history = history();
        let mut image = history.disk.clone();
        let files: Vec<u32> = image.0.keys().copied().collect();
        for (file, at, bits) in places {
            image.0.get_mut(file.get(&files)).unwrap()[at] ^= bits;
        }
        let (recovered, got) = image.recover_tolerantly(seeded());
        let (damages, records, order) = image.walk(seeded());
        prop_assert_eq!(&records, &got);
        prop_assert_eq!(&damages, &recovered.report.damages);
        // A group comes where it ends, and what concerns a whole segment at its beginning.
        let is_grouped = |place: &(u32, u32)| {
            let at = got.iter().position(|entry| {
                (entry.position.generation, entry.position.offset) == *place
            });
            at.is_some_and(|at| got[at].more || at > 0 && got[at - 1].more)
        };
        let order: Vec<(u32, u32)> =
            order.into_iter().filter(|place| place.1 > 0 && !is_grouped(place)).collect();
        prop_assert!(order.is_sorted(), "{:?}", order);
    }
}

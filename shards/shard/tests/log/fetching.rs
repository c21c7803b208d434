//! Records that are read back one by one.

use std::collections::BTreeMap;

use shard::{
    Fetch,
    store::{FileId, Position, Record, entry::SessionId, fetching::Fetching},
};

use crate::{
    disk::Entry,
    history::{CONFIG, History},
};

/// A log of three segments.
fn filled() -> History {
    let mut history = History::new(CONFIG);
    (0..8).for_each(|_| history.commit(&[(5000, false), (40, true), (10, false), (300, false)]));
    history
}

fn fetch(number: usize, entry: &Entry) -> Fetch {
    Fetch { session: SessionId(1), number: number as u64, position: entry.position, bytes: 16 }
}

/// Reads all that is wanted; gives back the records by number, and how many reads that took.
fn read_all(fetching: &mut Fetching, history: &History) -> (BTreeMap<u64, Option<Entry>>, usize) {
    let (mut got, mut gone, mut reads) = (BTreeMap::new(), Vec::new(), 0);
    while let Some(reading) = fetching.next(&history.log, &mut gone) {
        let FileId(file) = reading.file;
        let bytes = history.disk.0[&file][reading.offset as usize..][..reading.bytes as usize].to_vec();
        let each = |fetch: Fetch, record: Option<Record<'_>>| {
            got.insert(fetch.number, record.as_ref().map(Entry::of));
        };
        fetching.take(&history.log, reading, &bytes, each).unwrap();
        reads += 1;
    }
    got.extend(gone.into_iter().map(|fetch| (fetch.number, None)));
    (got, reads)
}

#[test]
fn every_record_comes_whatever_the_order_in_which_they_are_wanted() {
    let history = filled();
    let mut order: Vec<usize> = (0..history.entries.len()).collect();
    for _ in 0..20 {
        let mut fetching = Fetching::default();
        for number in &order {
            fetching.ask(fetch(*number, &history.entries[*number]));
        }
        let (got, _) = read_all(&mut fetching, &history);
        assert!(fetching.is_empty());
        assert_eq!(got.len(), history.entries.len());
        for (number, entry) in history.entries.iter().enumerate() {
            assert_eq!(got[&(number as u64)].as_ref(), Some(entry));
        }
        let middle = order.len() / 3;
        order.rotate_left(middle);
        order[1..].reverse();
    }
}

#[test]
fn what_stands_close_together_comes_with_one_read() {
    let mut history = History::new(CONFIG);
    history.commit(&vec![(100, false); 50]);
    let mut fetching = Fetching::default();
    for (number, entry) in history.entries.iter().enumerate() {
        fetching.ask(fetch(number, entry));
    }
    let (got, reads) = read_all(&mut fetching, &history);
    assert_eq!((got.len(), reads), (50, 1));
}

#[test]
fn what_was_given_up_is_gone_before_the_read_and_after_it() {
    let mut history = filled();
    let mut fetching = Fetching::default();
    fetching.ask(fetch(0, &history.entries[0]));
    let reading = fetching.next(&history.log, &mut Vec::new()).unwrap();
    fetching.ask(fetch(1, &history.entries[1]));
    history.retire_oldest();
    let mut got = Vec::new();
    fetching
        .take(&history.log, reading, &[0; 100], |fetch, record| got.push((fetch, record.is_some())))
        .unwrap();
    assert_eq!(got, [(fetch(0, &history.entries[0]), false)]);
    let mut gone = Vec::new();
    assert!(fetching.next(&history.log, &mut gone).is_none());
    assert_eq!(gone, [fetch(1, &history.entries[1])]);
}

#[test]
fn a_record_that_is_not_what_was_written_is_named() {
    let history = filled();
    for (entry, at) in [(0, 0), (0, 5), (0, 4000), (1, 20), (3, 12)] {
        let entry = &history.entries[entry];
        let mut fetching = Fetching::default();
        fetching.ask(Fetch { bytes: entry.body.len() as u32, ..fetch(7, entry) });
        let reading = fetching.next(&history.log, &mut Vec::new()).unwrap();
        let FileId(file) = reading.file;
        let mut bytes = history.disk.0[&file][reading.offset as usize..][..reading.bytes as usize].to_vec();
        bytes[at] ^= 0x40;
        let each = |_, record: Option<Record<'_>>| assert!(record.is_none(), "it is damaged");
        let damage = fetching.take(&history.log, reading, &bytes, each);
        let again = damage.is_ok() && fetching.next(&history.log, &mut Vec::new()).is_some();
        assert!(
            damage == Err(entry.position) || again,
            "{at}: a length that is too large is read to the end"
        );
    }
    let position = Position { offset: history.entries[0].position.offset + 8, ..history.entries[0].position };
    let mut fetching = Fetching::default();
    fetching.ask(Fetch { position, ..fetch(7, &history.entries[0]) });
    for _ in 0..3 {
        let Some(reading) = fetching.next(&history.log, &mut Vec::new()) else { break };
        let FileId(file) = reading.file;
        let bytes = history.disk.0[&file][reading.offset as usize..][..reading.bytes as usize].to_vec();
        if fetching.take(&history.log, reading, &bytes, |_, record| assert!(record.is_none())).is_err() {
            return;
        }
    }
    panic!("a place where no record begins is not noticed");
}

#[test]
fn what_is_damaged_costs_nobody_else_their_answer() {
    let mut history = History::new(CONFIG);
    history.commit(&[(100, false); 4]);
    let mut fetching = Fetching::default();
    for (number, entry) in history.entries.iter().enumerate() {
        fetching.ask(fetch(number, entry));
    }
    let reading = fetching.next(&history.log, &mut Vec::new()).unwrap();
    let FileId(file) = reading.file;
    let mut bytes = history.disk.0[&file][reading.offset as usize..][..reading.bytes as usize].to_vec();
    let damaged = history.entries[1].position;
    bytes[(damaged.offset - reading.offset) as usize + 40] ^= 1;
    let mut got = BTreeMap::new();
    let taken = fetching.take(&history.log, reading, &bytes, |fetch, record| {
        got.insert(fetch.number, record.is_some());
    });
    assert_eq!(taken, Err(damaged));
    assert_eq!(got, BTreeMap::from([(0, true), (1, false), (2, true), (3, true)]));

    for (number, entry) in history.entries.iter().enumerate() {
        fetching.ask(fetch(number, entry));
    }
    let reading = fetching.next(&history.log, &mut Vec::new()).unwrap();
    let given_up: Vec<u64> = reading.give_up().map(|fetch| fetch.number).collect();
    assert_eq!(given_up, [0, 1, 2, 3], "nothing could be read");
}

//! Power is lost at every moment and blocks reach the disk in every choice: what was acknowledged is there.

use shard::store::{BLOCK_BYTES, Config, Purpose};

use crate::history::{CONFIG, History};

/// Room for records in a commit of so many blocks.
fn body_of_blocks(blocks: usize) -> usize {
    blocks * BLOCK_BYTES as usize - 48 - 16
}

/// Loses power in every way during a commit of this batch, then acknowledges it.
fn crash_during(history: &mut History, bodies: &[(usize, bool)]) {
    let batch = history.batch(bodies);
    let under_way = history.begin(batch, Purpose::Add).expect("there is room");
    history.images(&under_way, |history, image| {
        history.judge(image, Some(&under_way));
    });
    history.end(under_way);
    history.judge(&history.disk, None);
}

#[test]
fn every_choice_of_blocks_of_every_commit_leaves_what_was_acknowledged() {
    let mut history = History::new(CONFIG);
    for bodies in [
        vec![(150, false)],
        vec![(0, false), (1, false), (4000, false)],
        vec![(100, true), (9000, true), (100, false)],
        vec![(5000, false), (5000, true), (5000, false)],
        vec![],
        vec![(11_984, true), (11_984, true), (11_984, false), (10, false)],
        vec![(2000, true); 30],
    ] {
        crash_during(&mut history, &bodies);
    }
    assert!(history.log.segments() > 3);
}

#[test]
fn every_size_around_the_end_of_a_block_is_found_again() {
    for blocks in [1, 2] {
        for less in -2..36 {
            let mut history = History::new(CONFIG);
            let body = (body_of_blocks(blocks) as isize - less) as usize;
            history.commit(&[(10, false)]);
            crash_during(&mut history, &[(body, false)]);
            crash_during(&mut history, &[(10, false)]);
        }
    }
}

#[test]
fn every_size_around_the_end_of_a_segment_is_found_again() {
    let config = Config { record_bytes_max: 7 * 4096 - 48, ..CONFIG };
    for less in -20..20_isize {
        let mut history = History::new(config);
        // Two records and the first one's commit fill the segment, but for a few bytes more or less.
        history.commit(&[(body_of_blocks(3), false)]);
        crash_during(
            &mut history,
            &[(2000, false), ((body_of_blocks(4) - 2016).wrapping_add_signed(-less), false)],
        );
        assert_eq!(history.log.segments(), if less >= 0 { 1 } else { 2 });
        crash_during(&mut history, &[(10, false)]);
    }
}

#[test]
fn a_segment_that_is_used_again_shows_nothing_of_what_it_held() {
    let mut history = History::new(Config { spares_wanted: 2, files_max: 3, ..CONFIG });
    for round in 0..40 {
        if history.log.segments() == 2 {
            history.retire_oldest();
            crash_during(&mut history, &[]);
        }
        crash_during(&mut history, &[(7000, true), (100 + round, false), (3000, false)]);
    }
    assert_eq!(history.disk.0.len(), 3, "files were used again");
}

#[test]
fn a_recovery_may_be_interrupted_at_its_first_commits_too() {
    let mut history = History::new(CONFIG);
    history.commit(&[(3000, false), (3000, false), (9000, false)]);
    history.commit(&[(10, false)]);
    let batch = history.batch(&[(4000, true), (4000, false), (9000, true), (5000, true), (7000, false)]);
    let under_way = history.begin(batch, Purpose::Add).unwrap();
    history.images(&under_way, |history, image| {
        let (recovered, got) = history.judge(image, Some(&under_way));
        let mut resumed = history.resume(image, recovered, got);
        crash_twice(&mut resumed);
    });
}

/// A commit after a recovery that is interrupted in every way; each time another recovery and commits go on.
fn crash_twice(resumed: &mut History) {
    let batch = resumed.batch(&[(300, true), (4000, false)]);
    let under_way = resumed.begin(batch, Purpose::Add).unwrap();
    resumed.images(&under_way, |resumed, image| {
        let (recovered, got) = resumed.judge(image, Some(&under_way));
        let mut again = resumed.resume(image, recovered, got);
        again.commit(&[(200, false)]);
        again.judge(&again.disk, None);
        again.commit(&[(9000, false), (9000, false), (9000, false), (9000, false)]);
        again.judge(&again.disk, None);
    });
    resumed.end(under_way);
    resumed.judge(&resumed.disk, None);
}

#[test]
fn a_start_that_fails_again_and_again_loses_nothing() {
    let mut history = History::new(CONFIG);
    history.commit(&[(100, false), (200, false)]);
    for round in 0..20 {
        let (recovered, got) = history.judge(&history.disk, None);
        history = history.resume(&history.disk, recovered, got);
        let batch = history.batch(&[(300, false)]);
        let under_way = history.begin(batch, Purpose::Add).unwrap();
        // The header without the commit, the commit without the header, both, or none.
        let blocks = &under_way.writes[0];
        let mut image = history.disk.clone();
        (0..2).filter(|at| round >> at & 1 == 1).for_each(|at| image.put(&blocks[at]));
        let (recovered, got) = history.judge(&image, Some(&under_way));
        history = history.resume(&image, recovered, got);
        history.commit(&[(50, false)]);
    }
    assert!(history.disk.0.len() < 50);
}

#[test]
fn an_empty_disk_and_an_interrupted_first_commit_are_an_empty_log() {
    let mut history = History::new(CONFIG);
    history.judge(&history.disk.clone(), None);
    crash_during(&mut history, &[(300, false)]);
}

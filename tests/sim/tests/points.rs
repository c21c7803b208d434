//! The broker crashes at every point at which a disk does anything: as a write begins and ends, as a file is made or given
//! up, before a recovery has told everybody. Each time in every way, with none, some and all of the blocks under way.
#![allow(clippy::unwrap_used)]

use sim::{Plan, Point, Profile, Schedule, run, run_caught};

fn assert_survives_every_point(seed: u64, shards: u8) {
    let mut crashes = 0;
    let plans = Plan::new(seed, shards, Profile::DurableBrief).at_each_point();
    for plan in &plans {
        let report = run_caught(*plan);
        assert!(report.is_good(), "{}", report.describe());
        crashes += report.lives - 1;
    }
    assert_eq!(crashes, plans.len() as u64 - 1, "each run but the first crashes once");
}

#[test]
fn one_shard_survives_a_crash_at_every_point() {
    assert_survives_every_point(0, 1);
    assert_survives_every_point(1, 1);
}

#[test]
fn two_shards_survive_a_crash_at_every_point() {
    assert_survives_every_point(0, 2);
}

#[test]
fn four_shards_survive_a_crash_at_every_point() {
    assert_survives_every_point(0, 4);
}

#[test]
fn a_brief_run_gives_up_segments() {
    let plan = Plan::new(0, 1, Profile::DurableBrief);
    assert!(run(Plan { schedule: Schedule::Never, ..plan }).retired > 0, "no segment is given up");
}

#[test]
fn a_retained_message_may_have_the_packet_id_of_the_live_one_that_a_crash_has_lost() {
    let point = Point::of("148,power,any").unwrap();
    let plan = Plan { schedule: Schedule::At(point), ..Plan::new(7, 4, Profile::DurableBrief) };
    let report = run_caught(plan);
    assert!(report.is_good(), "{}", report.describe());
}

//! A fixed set of seeds for every kind of world, with one, two and four shards; and that a seed is all that a run needs.
#![allow(clippy::unwrap_used)]

use sim::{Plan, Profile, run, run_caught};

fn assert_seeds_pass(profile: Profile) {
    for shards in [1, 2, 4] {
        for seed in 0..SEEDS {
            let report = run_caught(Plan::new(seed, shards, profile));
            assert!(report.is_good(), "{}", report.describe());
        }
    }
}

#[test]
fn calm_worlds_lose_nothing() {
    assert_seeds_pass(Profile::Calm);
}

#[test]
fn promises_hold_in_chaos() {
    assert_seeds_pass(Profile::Chaos);
}

#[test]
fn promises_hold_with_hardly_any_room_between_shards() {
    assert_seeds_pass(Profile::TinyMesh);
}

#[test]
fn slow_readers_lose_only_what_is_counted() {
    assert_seeds_pass(Profile::SlowReaders);
}

#[test]
fn shared_subscriptions_give_each_message_once() {
    assert_seeds_pass(Profile::Shared);
}

#[test]
fn wills_and_expiry_keep_their_time() {
    assert_seeds_pass(Profile::Wills);
}

#[test]
fn handshakes_survive_cuts_at_any_byte() {
    assert_seeds_pass(Profile::Cuts);
}

#[test]
fn new_subscribers_get_what_is_retained() {
    assert_seeds_pass(Profile::Retained);
}

#[test]
fn what_is_missing_is_what_is_counted() {
    assert_seeds_pass(Profile::Accounts);
}

#[test]
fn publishers_wait_where_the_mesh_is_congested() {
    for shards in [2, 4] {
        let report = run_caught(Plan::new(1, shards, Profile::Congested));
        assert!(report.is_good(), "{}", report.describe());
        assert!(report.counters.paused_for_mesh > 0, "no publisher was paused");
    }
}

#[test]
fn a_shutdown_comes_to_its_end() {
    assert_seeds_pass(Profile::Drain);
}

#[test]
fn other_rules_rates_users_and_limits_cost_nobody_who_may_do_everything() {
    assert_seeds_pass(Profile::Renewals);
}

#[test]
fn subscriptions_that_come_and_go_in_pieces_are_answered_as_ever() {
    let put_off: u64 = (0..SEEDS)
        .map(|seed| {
            let report = run_caught(Plan::new(seed, seed as u8 % 4 + 1, Profile::Changes));
            assert!(report.is_good(), "{}", report.describe());
            report.counters.changes_put_off
        })
        .sum();
    assert!(put_off > 100, "{put_off}");
}

fn assert_recovers(shards: u8) {
    // Large segments take long, and a test of their own; so have failing writes.
    let has_its_own = |profile: &Profile| matches!(profile, Profile::DurableFull | Profile::DurableFailing);
    let is_meant = |profile: &Profile| profile.is_durable() && !has_its_own(profile);
    for profile in Profile::ALL.into_iter().filter(is_meant) {
        let mut retired = 0;
        for seed in 0..SEEDS {
            let report = run_caught(Plan::new(seed, shards, profile));
            assert!(report.is_good(), "{}", report.describe());
            assert!(report.lives > 1, "seed {seed} of {} does not crash", profile.name());
            retired += report.retired;
        }
        assert!(retired > 0, "no log of {} gives up a segment", profile.name());
    }
}

#[test]
fn what_was_acknowledged_is_recovered_after_any_crash() {
    assert_recovers(1);
}

#[test]
fn what_two_shards_acknowledged_is_recovered_after_any_crash() {
    assert_recovers(2);
}

#[test]
fn what_four_shards_acknowledged_is_recovered_after_any_crash() {
    assert_recovers(4);
}

#[test]
fn a_store_without_room_refuses_what_it_cannot_keep_and_goes_on() {
    for shards in [1, 2] {
        let refused: u64 = (3..6)
            .map(|seed| {
                let report = run_caught(Plan::new(seed, shards, Profile::DurableFull));
                assert!(report.is_good(), "{}", report.describe());
                report.refused
            })
            .sum();
        assert!(refused > 0, "no store is ever full");
    }
}

#[test]
fn nothing_is_promised_after_a_failed_write_whether_the_broker_ends_or_goes_on() {
    for shards in [1, 2, 4] {
        let mut failures = [0, 0];
        for seed in 0..SEEDS {
            let report = run_caught(Plan::new(seed, shards, Profile::DurableFailing));
            assert!(report.is_good(), "{}", report.describe());
            failures.iter_mut().zip(report.store_failures).for_each(|(sum, count)| *sum += count);
        }
        assert!(failures.iter().all(|count| *count > 0), "{shards} shards: {failures:?}");
    }
}

#[test]
fn queues_are_read_back_from_the_log() {
    for shards in [1, 2, 4] {
        let fetched: u64 = (0..SEEDS)
            .map(|seed| {
                let report = run_caught(Plan::new(seed, shards, Profile::DurableSpill));
                assert!(report.is_good(), "{}", report.describe());
                report.fetched
            })
            .sum();
        assert!(fetched > 0, "nothing is read back");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_another() {
    for profile in [Profile::Chaos, Profile::TinyMesh, Profile::Wills, Profile::DurableChaos] {
        let hash = |seed| run(Plan::new(seed, 3, profile)).hash;
        assert_eq!(hash(5), hash(5), "{}", profile.name());
        assert_ne!(hash(5), hash(6), "{}", profile.name());
    }
}

const SEEDS: u64 = 12;

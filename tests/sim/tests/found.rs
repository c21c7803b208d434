//! Seeds that once failed, each under the fact that it showed.
#![allow(clippy::unwrap_used)]

use sim::{Plan, Profile, run_caught};

fn assert_passes(runs: &[(u64, u8, Profile)]) {
    for &(seed, shards, profile) in runs {
        let report = run_caught(Plan::new(seed, shards, profile));
        assert!(report.is_good(), "{}", report.describe());
    }
}

#[test]
fn bytes_behind_a_connect_that_came_in_pieces_move_home_with_it() {
    assert_passes(&[(0, 2, Profile::Chaos), (29, 2, Profile::Cuts), (72, 4, Profile::Shared)]);
}

#[test]
fn an_older_live_message_does_not_keep_back_a_newer_retained_one() {
    assert_passes(&[(144, 2, Profile::Retained), (191, 4, Profile::Retained)]);
}

#[test]
fn nothing_is_owed_for_a_filter_that_was_given_up_and_taken_again() {
    assert_passes(&[(2, 4, Profile::Congested), (16, 2, Profile::Congested), (61, 4, Profile::Congested)]);
}

#[test]
fn a_retained_message_does_not_follow_the_live_one_that_replaced_it() {
    assert_passes(&[(5, 4, Profile::Retained), (0, 4, Profile::Retained), (12, 1, Profile::SlowReaders)]);
}

#[test]
fn a_client_that_asks_for_an_id_twice_is_two_clients() {
    assert_passes(&[(801_108, 3, Profile::Congested)]);
}

#[test]
fn a_client_knows_again_what_it_heard_from_a_connection_that_had_lost_the_session() {
    assert_passes(&[(400_926, 4, Profile::Congested)]);
}

#[test]
fn what_ends_in_a_drain_makes_no_mail() {
    assert_passes(&[(103_047, 4, Profile::Drain)]);
}

#[test]
fn the_id_of_what_a_small_client_cannot_take_is_free_again() {
    assert_passes(&[(802_279, 4, Profile::Drain)]);
}

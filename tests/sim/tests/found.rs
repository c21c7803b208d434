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
fn who_has_asked_for_several_ids_comes_back_to_the_session_of_the_one_that_it_heard_of() {
    assert_passes(&[(870_076, 3, Profile::DurableCongested), (870_256, 1, Profile::DurableCongested)]);
    assert_passes(&[(822_526, 2, Profile::DurableCongested)]);
}

#[test]
fn what_an_earlier_life_answered_does_not_tell_a_client_which_session_it_has() {
    assert_passes(&[(871_223, 1, Profile::DurableWritten)]);
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

#[test]
fn what_is_too_large_for_a_client_is_not_kept_for_it() {
    assert_passes(&[(0, 1, Profile::DurableChaos), (13, 1, Profile::DurableChaos)]);
}

#[test]
fn shards_that_pass_messages_on_to_each_other_do_not_wait_for_ever() {
    assert_passes(&[(4, 2, Profile::DurableShared), (7, 2, Profile::DurableShared)]);
}

#[test]
fn a_publication_is_answered_where_it_came_last() {
    assert_passes(&[(29, 4, Profile::DurableCuts), (16, 4, Profile::DurableCuts)]);
}

#[test]
fn a_message_gives_way_to_another_copy_of_itself() {
    assert_passes(&[(14, 1, Profile::DurableSlow)]);
}

#[test]
fn a_session_that_is_written_again_does_not_take_in_what_is_not_confirmed() {
    assert_passes(&[(1067, 2, Profile::DurableRetained), (1062, 2, Profile::Durable)]);
}

#[test]
fn a_shared_copy_is_not_a_repetition_of_the_plain_one() {
    assert_passes(&[(1037, 4, Profile::DurableShared), (1003, 4, Profile::DurableShared)]);
}

#[test]
fn nothing_is_left_of_publishers_that_a_crash_has_ended() {
    assert_passes(&[(2016, 2, Profile::DurableCuts), (2011, 2, Profile::DurableCongested)]);
}

#[test]
fn what_was_due_at_the_start_comes_about_before_clients_come_back() {
    assert_passes(&[(81, 1, Profile::DurableDrain), (92, 1, Profile::DurableDrain)]);
}

#[test]
fn a_session_that_is_told_to_be_gone_does_not_come_back() {
    assert_passes(&[(3074, 1, Profile::DurableCongested), (1022, 1, Profile::DurableCongested)]);
}

#[test]
fn a_will_may_be_published_at_each_start_until_all_have_stored_it() {
    assert_passes(&[(40_182, 4, Profile::DurableBrief), (40_136, 2, Profile::DurableWills)]);
    assert_passes(&[(40_160, 3, Profile::DurableShared), (40_156, 3, Profile::DurableCongested)]);
    assert_passes(&[(5_072, 4, Profile::DurableCongested), (5_110, 4, Profile::DurableRetained)]);
}

#[test]
fn nothing_is_left_of_a_will_that_finds_nobody_after_a_crash() {
    assert_passes(&[(17, 4, Profile::DurableCongested)]);
}

#[test]
fn a_shard_that_is_not_told_to_end_publishes_wills() {
    assert_passes(&[(40_042, 2, Profile::Drain)]);
}

#[test]
fn what_is_retained_may_be_lost_where_it_was_sent_again() {
    assert_passes(&[(40_129, 2, Profile::DurableChaos)]);
}

#[test]
fn what_waits_for_the_store_was_encoded_before_others_were_sent() {
    assert_passes(&[(5_233, 1, Profile::DurableWills)]);
}

#[test]
fn a_session_that_expires_while_its_broker_ends_keeps_its_will() {
    assert_passes(&[(920_130, 2, Profile::DurableDrain)]);
}

#[test]
fn a_connection_that_closes_and_takes_nothing_ends_although_more_waits_behind_what_is_under_way() {
    assert_passes(&[(912_312, 1, Profile::DurableDrain)]);
}

#[test]
fn a_will_whose_connect_was_not_answered_may_be_lost_with_the_store() {
    assert_passes(&[(70_225, 1, Profile::DurableFailing)]);
}

#[test]
fn what_one_life_has_stored_the_next_one_finds_however_short_it_is() {
    assert_passes(&[(70_490, 4, Profile::DurableFailing), (146, 2, Profile::DurableFailing)]);
}

#[test]
fn a_session_counts_from_when_a_drain_gave_up_its_connection() {
    assert_passes(&[(60_084, 2, Profile::DurableDrain)]);
}

#[test]
fn a_session_that_nobody_could_take_up_ends_when_it_would_have_ended() {
    assert_passes(&[(90_381, 1, Profile::DurableRestarts)]);
}

#[test]
fn that_a_crash_took_the_client_away_is_not_stored_by_the_life_that_crashed() {
    assert_passes(&[(120_411, 4, Profile::DurableChaos)]);
}

#[test]
fn a_qos_2_message_that_is_sent_again_is_another_one_to_another_session() {
    assert_passes(&[(120_386, 3, Profile::DurableWills)]);
}

#[test]
fn who_takes_nothing_of_what_waited_for_the_store_is_told_nothing() {
    assert_passes(&[(120_120, 1, Profile::DurableCuts)]);
}

#[test]
fn a_client_of_3_1_cannot_know_that_its_session_is_another_one() {
    assert_passes(&[(150_375, 4, Profile::DurableWills), (150_262, 4, Profile::Wills)]);
}

#[test]
fn what_waits_behind_what_waits_for_the_store_was_encoded_before_both() {
    assert_passes(&[(150_130, 3, Profile::DurableWills)]);
}

#[test]
fn a_shard_that_is_done_answers_nobody() {
    assert_passes(&[(180_117, 4, Profile::Drain)]);
}

#[test]
fn a_topic_is_gone_for_good_when_its_clearing_is_acknowledged() {
    assert_passes(&[(180_130, 1, Profile::DurableCongested)]);
}

#[test]
fn a_retained_message_that_is_sent_again_keeps_its_place() {
    assert_passes(&[(180_026, 1, Profile::DurableCongested)]);
}

#[test]
fn what_was_given_up_as_too_old_may_come_back_with_a_crash() {
    assert_passes(&[(210_278, 4, Profile::DurableWills)]);
}

#[test]
fn what_an_earlier_life_sent_under_a_packet_id_is_not_what_comes_under_it_now() {
    assert_passes(&[(718_048, 1, Profile::DurableShared)]);
}

#[test]
fn what_was_subscribed_before_a_session_that_may_have_ended_may_be_gone() {
    assert_passes(&[(903_583, 1, Profile::DurableChanges)]);
}

#[test]
fn what_a_stranger_has_retained_is_cleared_like_the_rest() {
    assert_passes(&[(906_146, 2, Profile::TinyMesh)]);
}

#[test]
fn what_a_stranger_says_is_not_taken_for_what_others_said_who_waited_beside_it() {
    assert_passes(&[(949_054, 2, Profile::Changes)]);
}

#[test]
fn what_a_disconnect_says_of_its_session_may_be_lost_with_a_crash() {
    assert_passes(&[(150_130, 3, Profile::DurableWills)]);
}

#[test]
fn whoever_ends_among_those_that_go_on_has_its_place_in_their_order() {
    assert_passes(&[(941_641, 3, Profile::Congested)]);
}

#[test]
fn nothing_is_owed_to_a_session_that_may_have_ended_before_its_client_came() {
    assert_passes(&[(2308, 1, Profile::DurablePieces), (1134, 2, Profile::DurablePieces)]);
}

#[test]
fn whoever_is_paused_again_has_its_place_in_the_order_of_those_that_go_on() {
    assert_passes(&[(1_000_412, 3, Profile::Congested)]);
}

#[test]
fn who_has_drained_asks_for_nothing_more_and_confirms_what_it_has() {
    assert_passes(&[(1_171_386, 2, Profile::DurableDrain), (1_209_850, 4, Profile::DurableDrain)]);
}

#[test]
fn a_will_waits_after_a_crash_until_all_subscriptions_are_known() {
    assert_passes(&[(1_171_167, 3, Profile::DurableChanges)]);
}

#[test]
fn an_answer_to_the_first_time_that_a_message_was_sent_is_none_to_the_second() {
    assert_passes(&[(1_313_872, 3, Profile::DurableCongested)]);
}

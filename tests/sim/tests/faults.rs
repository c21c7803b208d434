//! The oracles can fail: each fault of a world that is broken on purpose is reported by the oracle that is there for it.
#![allow(clippy::unwrap_used)]

use sim::{Fault, Oracle, Plan, Profile, Report, run_caught};

/// Runs seeds of the broken world until an oracle speaks that is there for it.
fn first_report(fault: Fault, profile: Profile, shards: u8, expected: &[Oracle]) -> Report {
    let mut reports = (0..SEEDS_MAX)
        .map(|seed| run_caught(Plan { fault: Some(fault), ..Plan::new(seed, shards, profile) }));
    let is_meant = |report: &Report| expected.iter().any(|oracle| report.oracles().contains(oracle));
    reports.find(is_meant).unwrap_or_else(|| panic!("nobody noticed {fault:?} as {expected:?}"))
}

fn assert_reported(fault: Fault, profile: Profile, shards: u8, expected: &[Oracle]) {
    first_report(fault, profile, shards, expected);
}

#[test]
fn a_lost_mail_of_qos_1_is_a_lost_message() {
    assert_reported(Fault::LoseMail, Profile::Calm, 2, &[Oracle::Lost]);
}

#[test]
fn a_repeated_mail_is_a_duplicate() {
    assert_reported(Fault::RepeatMail, Profile::Calm, 2, &[Oracle::Duplicate]);
}

#[test]
fn exchanged_mails_break_the_order() {
    assert_reported(Fault::SwapMail, Profile::Calm, 2, &[Oracle::Order]);
}

#[test]
fn a_lost_retained_message_is_missed_by_a_new_subscriber() {
    assert_reported(Fault::LoseRetained, Profile::Retained, 2, &[Oracle::Retained]);
}

#[test]
fn a_retained_message_that_nobody_published_is_noticed() {
    assert_reported(Fault::RepeatRetained, Profile::Retained, 2, &[Oracle::Retained]);
    assert_reported(Fault::RepeatRetained, Profile::DurableRetained, 2, &[Oracle::Retained]);
    assert_reported(Fault::RepeatRetained, Profile::DurableWills, 2, &[Oracle::Retained]);
}

#[test]
fn what_is_retained_though_its_publisher_did_not_ask_for_it_is_noticed_in_a_stranger_too() {
    assert_reported(Fault::RetainStrangers, Profile::Chaos, 1, &[Oracle::Retained]);
}

#[test]
fn a_lost_acknowledgement_leaves_a_client_waiting() {
    assert_reported(Fault::LoseAcknowledgement, Profile::Calm, 1, &[Oracle::AckOwed, Oracle::Stuck]);
}

#[test]
fn an_answer_to_nothing_is_a_breach_of_protocol() {
    assert_reported(Fault::RepeatPingresp, Profile::Calm, 1, &[Oracle::Protocol]);
}

#[test]
fn a_qos_0_message_sent_twice_is_a_duplicate() {
    assert_reported(Fault::RepeatPublish, Profile::Calm, 1, &[Oracle::Duplicate]);
}

#[test]
fn a_message_to_somebody_else_is_noticed() {
    assert_reported(Fault::Misdeliver, Profile::Calm, 1, &[Oracle::Stranger, Oracle::Protocol]);
}

#[test]
fn a_changed_payload_is_noticed() {
    assert_reported(Fault::ChangePayload, Profile::Calm, 1, &[Oracle::Content]);
}

#[test]
fn bytes_that_are_no_packet_are_noticed() {
    assert_reported(Fault::SendGarbage, Profile::Calm, 1, &[Oracle::Undecodable]);
}

#[test]
fn a_packet_beyond_the_maximum_packet_size_is_noticed() {
    assert_reported(Fault::UnderstatePacketSize, Profile::Calm, 1, &[Oracle::PacketSize]);
}

#[test]
fn messages_beyond_the_receive_maximum_are_noticed() {
    assert_reported(Fault::UnderstateReceiveMaximum, Profile::Calm, 1, &[Oracle::ReceiveMaximum]);
}

#[test]
fn an_alias_beyond_the_maximum_is_noticed() {
    assert_reported(Fault::UnderstateTopicAliasMaximum, Profile::Calm, 1, &[Oracle::AliasMaximum]);
}

#[test]
fn drops_that_no_counter_tells_of_are_losses() {
    assert_reported(Fault::HideCounters, Profile::SlowReaders, 1, &[Oracle::Lost]);
}

#[test]
fn more_drops_than_can_have_been_are_noticed() {
    assert_reported(Fault::InflateCounters, Profile::Calm, 1, &[Oracle::Counters]);
}

#[test]
fn a_connection_that_is_ended_without_a_word_is_noticed() {
    assert_reported(Fault::LoseDisconnect, Profile::Cuts, 1, &[Oracle::Protocol]);
}

#[test]
fn a_connection_whose_end_the_broker_is_not_told_of_is_left_over() {
    assert_reported(Fault::ForgetClosed, Profile::Calm, 1, &[Oracle::Leftover]);
}

#[test]
fn a_wrong_session_present_is_noticed() {
    assert_reported(Fault::FlipSessionPresent, Profile::Cuts, 1, &[Oracle::SessionPresent]);
    assert_reported(Fault::FlipSessionPresent, Profile::DurableWritten, 1, &[Oracle::SessionPresent]);
}

#[test]
fn a_client_id_that_is_not_assigned_or_not_to_one_alone_is_noticed() {
    assert_reported(Fault::LoseAssignedId, Profile::Congested, 1, &[Oracle::Content]);
    // It is told to two at a time, or to one that comes back when another one has had it.
    let expected = [Oracle::Content, Oracle::SessionPresent];
    assert_reported(Fault::RepeatAssignedId, Profile::Congested, 1, &expected);
}

#[test]
fn a_will_that_is_published_too_early_is_noticed() {
    assert_reported(Fault::OverstateWillDelay, Profile::Wills, 1, &[Oracle::Will]);
}

#[test]
fn an_expired_message_is_noticed() {
    assert_reported(Fault::UnderstateExpiry, Profile::Wills, 1, &[Oracle::Expiry]);
}

#[test]
fn a_connection_that_is_closed_without_a_reason_is_noticed() {
    assert_reported(Fault::CloseSecretly, Profile::Calm, 1, &[Oracle::Closed]);
}

#[test]
fn a_silent_connection_that_stays_is_noticed() {
    assert_reported(Fault::UnderstateKeepAlive, Profile::Chaos, 1, &[Oracle::LeftOpen]);
}

#[test]
fn mail_without_room_is_noticed() {
    assert_reported(Fault::OverstateRoom, Profile::TinyMesh, 2, &[Oracle::Illegal]);
}

#[test]
fn a_second_send_before_the_first_is_taken_is_noticed() {
    assert_reported(Fault::ConfirmEarly, Profile::SlowReaders, 1, &[Oracle::Illegal]);
}

#[test]
fn more_packets_than_the_shards_count_are_noticed() {
    assert_reported(Fault::MiscountPublishes, Profile::Calm, 1, &[Oracle::Counters]);
}

#[test]
fn messages_that_were_taken_and_count_as_never_sent_are_noticed() {
    assert_reported(Fault::UnderstateTaken, Profile::Congested, 1, &[Oracle::Counters]);
    assert_reported(Fault::UnderstateTaken, Profile::Congested, 2, &[Oracle::Counters]);
}

#[test]
fn messages_that_were_not_taken_and_count_as_sent_are_noticed() {
    assert_reported(Fault::OverstateTaken, Profile::Congested, 1, &[Oracle::Counters]);
    assert_reported(Fault::OverstateTaken, Profile::Cuts, 2, &[Oracle::Counters]);
}

#[test]
fn a_right_that_is_missing_is_noticed() {
    let expected = [Oracle::Lost, Oracle::Protocol, Oracle::Content, Oracle::Will, Oracle::Retained];
    assert_reported(Fault::DenyAll, Profile::Renewals, 1, &expected);
}

#[test]
fn a_panic_is_reported_with_its_seed() {
    let report = first_report(Fault::Panic, Profile::Calm, 1, &[Oracle::Panic]);
    assert_eq!(report.oracles(), [Oracle::Panic]);
    assert!(report.describe().contains("--seed 0 --shards 1"), "{}", report.describe());
}

#[test]
fn a_disk_that_loses_what_it_synced_is_noticed() {
    // Where nothing was written behind it, what is lost looks like the end of the log.
    let expected = [Oracle::Recovery, Oracle::Panic, Oracle::SessionPresent, Oracle::Lost, Oracle::Duplicate];
    assert_reported(Fault::LoseWrites, Profile::Durable, 1, &expected);
}

#[test]
fn an_acknowledged_write_that_is_lost_is_noticed() {
    let expected =
        [Oracle::Lost, Oracle::SessionPresent, Oracle::Retained, Oracle::Protocol, Oracle::Duplicate];
    assert_reported(Fault::LoseLastWrite, Profile::Durable, 1, &expected);
}

#[test]
fn a_sync_that_saves_nothing_is_noticed() {
    assert_reported(Fault::LoseSyncs, Profile::DurableWritten, 1, &[Oracle::Recovery]);
}

#[test]
fn an_answer_after_the_store_has_failed_is_noticed() {
    assert_reported(Fault::HideFailure, Profile::DurableFailing, 1, &[Oracle::Unstored]);
    assert_reported(Fault::HideFailure, Profile::DurableFailing, 2, &[Oracle::Unstored]);
}

#[test]
fn a_segment_that_is_given_up_too_early_is_noticed() {
    let expected = [Oracle::Lost, Oracle::SessionPresent, Oracle::Retained, Oracle::Recovery];
    assert_reported(Fault::RetireEarly, Profile::DurableCuts, 1, &expected);
}

#[test]
fn messages_that_are_not_recovered_are_noticed() {
    // One start may miss what the next one finds and sends behind later messages.
    let expected = [Oracle::Lost, Oracle::Retained, Oracle::Protocol, Oracle::Order];
    assert_reported(Fault::DropMessages, Profile::Durable, 1, &expected);
}

#[test]
fn sessions_that_are_not_recovered_are_noticed() {
    assert_reported(Fault::DropSessions, Profile::Durable, 1, &[Oracle::SessionPresent]);
}

#[test]
fn subscriptions_that_are_not_recovered_are_noticed() {
    assert_reported(Fault::DropSubscriptions, Profile::Durable, 1, &[Oracle::Lost, Oracle::Content]);
}

#[test]
fn messages_that_come_again_after_their_end_are_noticed() {
    let expected = [Oracle::Duplicate, Oracle::Protocol, Oracle::Order];
    assert_reported(Fault::DropDone, Profile::Durable, 1, &expected);
}

#[test]
fn publications_that_are_taken_in_twice_are_noticed() {
    assert_reported(Fault::DropReceived, Profile::DurableCuts, 1, &[Oracle::Duplicate]);
}

#[test]
fn wills_that_come_twice_after_a_crash_are_noticed() {
    let report = first_report(Fault::DropWillNames, Profile::DurableRestarts, 2, &[Oracle::Duplicate]);
    let is_will = |what: &str| what.starts_with("will") && what.ends_with("after a crash");
    assert!(
        report.failures.iter().any(|it| it.oracle == Oracle::Duplicate && is_will(&it.what)),
        "{}",
        report.describe()
    );
}

const SEEDS_MAX: u64 = 20;

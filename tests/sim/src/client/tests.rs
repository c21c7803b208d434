//! What a simulated client makes of an answer from before a crash.

use shard::Placement;

use super::*;

const PLAN: ConnectPlan = ConnectPlan {
    clean_start: false,
    keep_alive_s: 0,
    session_expiry_s: 0,
    receive_maximum: None,
    maximum_packet_size: None,
    topic_alias_maximum: 0,
    will: None,
};

fn connect(client: &mut Client, clean_start: bool, ledger: &mut Ledger) {
    client.connect(0, &ConnectPlan { clean_start, ..PLAN }, ledger);
}

fn hear_connack(client: &mut Client, ledger: &mut Ledger) {
    let mut bytes = Vec::new();
    Packet::Connack(Connack::default()).encode(client.version, &mut bytes);
    client.receive(&bytes, ledger);
}

#[test]
fn a_clean_session_ends_the_doubt_about_which_one_it_is() {
    let (mut client, mut ledger) =
        (Client::new(0, "c".into(), Version::V311), Ledger::new(Placement::new(1, 0), 10));
    client.begin_anew();
    connect(&mut client, true, &mut ledger);
    assert!(client.must_clean, "nobody has answered");
    hear_connack(&mut client, &mut ledger);
    assert!(!client.must_clean);
}

#[test]
fn an_answer_from_before_the_crash_leaves_the_doubt() {
    for clean_start in [false, true] {
        let (mut client, mut ledger) =
            (Client::new(0, "c".into(), Version::V311), Ledger::new(Placement::new(1, 0), 10));
        connect(&mut client, clean_start, &mut ledger);
        client.begin_anew();
        hear_connack(&mut client, &mut ledger);
        assert!(client.must_clean, "clean start {clean_start}");
    }
}

//! What the command shows of one seed, to whoever reads it or does not.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

#[test]
fn who_does_not_read_what_a_seed_shows_makes_it_end_quietly() {
    for traced in [false, true] {
        let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
        sim.args(["--seed", "1", "--shards", "1"]).args(traced.then_some("--trace"));
        let mut running = sim.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(running.stdout.take());
        let ended = running.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
        assert!(ended.status.success(), "{ended:?}");
    }
}

//! An idle shard: its deadlines, and glommio's own work while the loop waits in a ring that glommio does not know.

use std::{io::Write, sync::atomic::Ordering::SeqCst};

use super::client::{await_that, config, connect, start};

#[test]
fn a_deadline_ends_the_sleep_of_an_idle_shard() {
    let (broker, observed) = start(config(1));
    for n in 1..=20 {
        let mut stream = connect(&broker);
        stream.write_all(&[b'T', 5]).unwrap();
        await_that("the timer came", || observed.timers.load(SeqCst) == n);
    }
}

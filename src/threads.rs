//! Whether this process may have the threads that it is about to need.

use std::{io, thread};

use crossbeam_channel::bounded;

/// Has them all at once for a moment: a library that cannot start its thread panics, and a sentence is better.
pub fn check(shards: u8) -> Result<(), String> {
    let count = usize::from(shards) * THREADS_PER_SHARD + OWN_THREADS;
    try_start(count).map_err(|error| format!("{count} threads cannot be started: {error}. {REMEDY}"))
}

fn try_start(count: usize) -> io::Result<()> {
    let (hold, held) = bounded::<()>(0);
    let start = |_| {
        let held = held.clone();
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || held.recv().is_ok())
    };
    let threads: Vec<_> = (0..count).map(start).collect();
    // This ends those that did start.
    drop(hold);
    for thread in threads {
        // What they return says nothing; that they have ended makes room for the real ones.
        let _ = thread?.join();
    }
    Ok(())
}

/// What to do about a thread that cannot be started.
pub const REMEDY: &str = "The broker needs two threads for each shard and a few more: raise the limit of processes \
    (ulimit -u, TasksMax= in systemd, --pids-limit in Docker)";

/// The shard's own, and the one to which its executor gives what may block.
const THREADS_PER_SHARD: usize = 2;
/// What the end of the broker takes, beside the threads that run already.
const OWN_THREADS: usize = 2;
/// They do nothing.
const STACK_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_threads_can_be_had() {
        assert_eq!(check(2), Ok(()));
    }
}

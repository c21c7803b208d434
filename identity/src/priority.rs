//! Threads that give way to the shards.

/// Lets the calling thread have what of a core the shards leave. Without the right to say so it goes on as it is.
#[allow(unsafe_code)]
pub fn give_way() {
    // SAFETY: takes numbers and touches no memory. On Linux 0 stands for the calling thread, not for its process.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// Between 0, as everybody is, and 19, which hardly runs beside a busy shard.
const NICE: i32 = 10;

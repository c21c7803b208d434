//! What the allocator gives back to the system. Left to itself it learns from the first large buffers that are freed to keep all later ones: the memory of a flood would
//! stay with the process for as long as it lives.

/// Before the first large allocation. A wrong value would only be less memory that is given back.
#[cfg(target_env = "gnu")]
pub fn give_back_large() {
    // SAFETY: the calls take numbers, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}

/// Other allocators learn nothing.
#[cfg(not(target_env = "gnu"))]
pub fn give_back_large() {}

/// From this size on each has pages of its own, which go back when it is freed: some hundred page faults for a message of 1 MiB.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: libc::c_int = 256 << 10;

/// Smaller ones are kept by each thread, so that freeing and allocating them again costs no system call.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: libc::c_int = 8 << 20;

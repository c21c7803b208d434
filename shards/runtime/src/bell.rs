//! How a sleeping shard is woken: a flag that says that it sleeps and a descriptor that ends the sleep.
//!
//! The protocol, in which no wake-up can get lost: whoever brings something first makes it visible, then looks at the
//! flag; the shard first sets the flag, then looks for something once more. Each side puts a full fence between its
//! two steps, so at least one of them sees the other.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering, fence},
};

/// On cache lines of its own: the flag is read by all other shards.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Bell {
    asleep: AtomicBool,
    descriptor: OwnedFd,
}

impl Bell {
    pub fn new() -> io::Result<Bell> {
        // Blocking, on purpose: the ring waits for a blocking descriptor and answers EAGAIN for another.
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Bell { asleep: AtomicBool::new(false), descriptor })
    }

    /// What the sleeper reads eight bytes from.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// The sleeper says that it will sleep, and must look for something to do once more after this.
    pub fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Wakes the sleeper, if it sleeps, after something was brought.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        // Of several who bring something only one pays for the system call.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.write();
        }
    }

    fn write(&self) {
        let one: u64 = 1;
        // SAFETY: the eight bytes live until the call returns.
        let written = unsafe { libc::write(self.descriptor(), (&raw const one).cast(), size_of::<u64>()) };
        // The count would have to reach 2^64 - 1 for a write to block, and no signal interrupts one that does not.
        assert_eq!(written, 8, "a bell can always be rung");
    }
}

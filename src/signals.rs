//! Signals, as messages to the control thread. They interrupt no other thread, and so no system call of a shard.

use std::{
    io,
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crossbeam_channel::Sender;

/// A signal that means something to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
    /// Reads the configuration again.
    Hangup,
    /// Asks other brokers to save what they hold; what is to be stored here is stored as it comes.
    Save,
    /// Writes the counters to the log.
    Count,
}

impl Signal {
    const ALL: [(Signal, libc::c_int); 5] = [
        (Signal::Interrupt, libc::SIGINT),
        (Signal::Terminate, libc::SIGTERM),
        (Signal::Hangup, libc::SIGHUP),
        (Signal::Save, libc::SIGUSR1),
        (Signal::Count, libc::SIGUSR2),
    ];

    fn is_end(self) -> bool {
        matches!(self, Signal::Interrupt | Signal::Terminate)
    }

    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::Hangup => "SIGHUP",
            Signal::Save => "SIGUSR1",
            Signal::Count => "SIGUSR2",
        }
    }
}

/// From here on somebody is served, and the control thread answers all signals.
pub fn started() {
    IS_STARTING.store(false, Ordering::Release);
}

static IS_STARTING: AtomicBool = AtomicBool::new(true);

/// The signals, held back in this thread and in every thread that it starts.
pub struct Signals {
    set: libc::sigset_t,
}

impl Signals {
    /// Called before any other thread exists, which would otherwise take the signals by their default action.
    pub fn hold() -> io::Result<Signals> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises the set before anything reads it; `pthread_sigmask` only reads it.
        let (set, error) = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for (_, number) in Signal::ALL {
                libc::sigaddset(set.as_mut_ptr(), number);
            }
            let set = set.assume_init();
            (set, libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))
        };
        match error {
            0 => Ok(Signals { set }),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Sends each signal that comes, until nobody listens. One that asks for the end of a broker that has not started yet is
    /// answered here: nothing is acknowledged by then that would have to be brought to its end.
    pub fn forward(self, target: Sender<Signal>) -> io::Result<()> {
        let wait_for_all = move || {
            while let Ok(signal) = self.wait() {
                if signal.is_end() && IS_STARTING.load(Ordering::Acquire) {
                    tracing::info!(
                        "{}: ending before the start is done, what is stored stays as it is",
                        signal.name()
                    );
                    crate::leave(0);
                }
                if target.send(signal).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait_for_all).map(|_| ())
    }

    fn wait(&self) -> io::Result<Signal> {
        let mut number = 0;
        // SAFETY: both pointers are to live values.
        let error = unsafe { libc::sigwait(&raw const self.set, &raw mut number) };
        match Signal::ALL.iter().find(|(_, known)| *known == number) {
            Some((signal, _)) if error == 0 => Ok(*signal),
            _ => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_signal_arrives_as_a_message() {
        let signals = Signals::hold().expect("held");
        // SAFETY: the signal goes to this thread, which holds it back.
        let sent = unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGHUP) };
        assert_eq!(sent, 0);
        assert_eq!(signals.wait().expect("a signal"), Signal::Hangup);
    }
}

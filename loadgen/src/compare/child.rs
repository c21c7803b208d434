//! One process that a comparison starts: its last lines, its end, and the promise that it does not outlive the comparison.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child as StdChild, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cpus::Cpus;

/// It is stopped when this is dropped, with all that it started in its process group. Should the comparison itself be killed,
/// the kernel kills it.
pub struct Child {
    child: StdChild,
    /// Of standard output, where it is not kept whole, and of standard error.
    tails: Vec<Tail>,
    output: Option<JoinHandle<Vec<u8>>>,
    is_reaped: bool,
}

/// What becomes of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// It is kept whole.
    Kept,
    /// Its last lines are kept, together with those of standard error.
    Tail,
}

impl Child {
    pub fn start(words: &[String], cpus: Option<&Cpus>, output: Output) -> Result<Child, String> {
        let (program, args) = words.split_first().ok_or("an empty command")?;
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        bind(&mut command, cpus.cloned());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("there is no program `{program}`: give its path, or put it on PATH")
            }
            _ => format!("cannot start `{program}`: {error}"),
        })?;
        let mut tails = Vec::new();
        let output = match (child.stdout.take(), output) {
            (Some(stdout), Output::Kept) => Some(keep(stdout)),
            (stdout, _) => {
                tails.extend(stdout.map(Tail::follow));
                None
            }
        };
        tails.extend(child.stderr.take().map(Tail::follow));
        Ok(Child { child, tails, output, is_reaped: false })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has. It stays a zombie until it is stopped, so that its id and its group's remain its own.
    pub fn ended(&self) -> Option<ExitStatus> {
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: the structure is plain data, and lives through the call that fills it.
        let (result, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            (libc::waitid(libc::P_PID, self.child.id(), &raw mut info, options), info)
        };
        // SAFETY: waitid fills these fields, and leaves the pid zero where nothing has ended.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        let is_exit = info.si_code == libc::CLD_EXITED;
        (result == 0 && pid != 0).then(|| ExitStatus::from_raw(if is_exit { status << 8 } else { status }))
    }

    /// Waits for the end, at most that long, and while `go_on` says so.
    pub fn wait(&self, limit: Duration, mut go_on: impl FnMut() -> bool) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.ended();
            if status.is_some() || Instant::now() >= deadline || !go_on() {
                return status;
            }
            // The end of a process among signals, a clock and other processes: a look now and then costs nothing.
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        if !self.is_reaped && self.ended().is_none() {
            self.signal_group(libc::SIGTERM);
        }
    }

    /// SIGTERM, and SIGKILL for what does not heed it.
    pub fn stop(&mut self) {
        if std::mem::replace(&mut self.is_reaped, true) {
            return;
        }
        if self.ended().is_none() {
            self.signal_group(libc::SIGTERM);
            self.wait(TERM_PATIENCE, || true);
        }
        // What it started may be alive still.
        self.signal_group(libc::SIGKILL);
        let _ = self.child.wait();
    }

    /// The whole standard output of a process that has ended.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.output.take().and_then(|output| output.join().ok()).unwrap_or_default()
    }

    /// What it wrote last, to standard error at the end.
    pub fn last_lines(&self) -> Vec<String> {
        // What a process wrote that has ended is read a moment later; unless what it started holds the stream open.
        let deadline = Instant::now() + TAIL_PATIENCE;
        let is_read = || self.tails.iter().all(|tail| tail.reader.is_finished());
        while self.ended().is_some() && !is_read() && Instant::now() < deadline {
            thread::sleep(LOOK_INTERVAL);
        }
        self.tails.iter().flat_map(Tail::lines).collect()
    }

    fn signal_group(&self, signal: libc::c_int) {
        let Ok(group) = libc::pid_t::try_from(self.child.id()) else { return };
        // SAFETY: the call takes numbers only. The group is this child's own: it was made with it, and the child was not
        // waited for, so that nobody else has its number.
        unsafe { libc::kill(-group, signal) };
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How a process ended, in words.
pub fn outcome(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

/// Binds the process to its processors and to the life of this one.
fn bind(command: &mut Command, cpus: Option<Cpus>) {
    // SAFETY: both are plain calls of the system.
    let parent = unsafe { libc::getpid() };
    // SAFETY: what runs between fork and exec are system calls on values that live here.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // It may have died before the kernel was told.
            if libc::getppid() != parent {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            cpus.as_ref().map_or(Ok(()), Cpus::hold_this_thread)
        });
    }
}

fn keep(stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A report that breaks off does not parse, and that is told.
        let _ = stream.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
        bytes
    })
}

/// The last lines of a stream.
struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    fn follow(stream: impl Read + Send + 'static) -> Tail {
        let lines: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let shared = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut bytes = Vec::new();
            while reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).is_ok_and(|len| len > 0)
            {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                bytes.clear();
                if line.is_empty() {
                    continue;
                }
                let mut lines = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == TAIL_LINES_MAX {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        });
        Tail { lines, reader }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const TERM_PATIENCE: Duration = Duration::from_secs(5);
const TAIL_PATIENCE: Duration = Duration::from_millis(500);
const TAIL_LINES_MAX: usize = 10;
const LINE_BYTES_MAX: u64 = 1000;
const OUTPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shell(script: &str) -> Child {
        Child::start(&["sh", "-c", script].map(str::to_owned), None, Output::Tail).unwrap()
    }

    #[test]
    fn the_last_lines_of_both_streams_are_kept() {
        let child = shell("for i in 1 2 3 4 5 6 7 8 9 10 11; do echo $i; done; echo end >&2; exit 3");
        let status = child.wait(Duration::from_secs(20), || true).unwrap();
        assert_eq!(outcome(status), "exit code 3");
        let numbers = (2..=11).map(|number| number.to_string());
        assert_eq!(child.last_lines(), numbers.chain(["end".to_owned()]).collect::<Vec<_>>());
    }

    #[test]
    fn output_is_kept_whole() {
        let words = ["sh", "-c", "printf abc; echo no >&2"].map(str::to_owned);
        let mut child = Child::start(&words, None, Output::Kept).unwrap();
        child.wait(Duration::from_secs(20), || true).unwrap();
        assert_eq!(child.take_output(), b"abc");
    }

    #[test]
    fn a_child_of_the_child_ends_with_it() {
        let mut child = shell("trap '' TERM; sleep 1000 & echo $!; trap - TERM; wait");
        let deadline = Instant::now() + Duration::from_secs(20);
        while child.last_lines().is_empty() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
        let grandchild = child.last_lines()[0].clone();
        let is_alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        assert!(is_alive());
        child.stop();
        while is_alive() {
            assert!(Instant::now() < deadline, "the grandchild lives");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_is_not_there_cannot_be_started() {
        let error = Child::start(&["no-such-broker".to_owned()], None, Output::Tail).err().unwrap();
        assert!(error.contains("there is no program `no-such-broker`"), "{error}");
    }
}

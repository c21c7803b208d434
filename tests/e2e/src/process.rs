//! One child process: its lines as they come, signals to it and to nobody else, and its end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::ptr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// A running child. It is killed when this is dropped, and by the kernel when the thread that started it ends.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    status: Option<ExitStatus>,
}

/// What the child wrote to both streams, line by line.
#[derive(Default)]
struct Output {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    lines: Vec<Line>,
    streams_ended: usize,
}

#[derive(Debug, Clone)]
struct Line {
    text: String,
    is_error: bool,
}

impl Process {
    pub fn start(name: &str, command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        die_with_parent(command);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let output = Arc::new(Output::default());
        output.follow(child.stdout.take().unwrap(), false);
        output.follow(child.stderr.take().unwrap(), true);
        Process { name: name.to_owned(), child, output, status: None }
    }

    /// At a terminal: what it writes to both streams comes as one.
    pub fn start_at_terminal(name: &str, mut command: Command) -> Process {
        let (master, terminal) = terminal();
        command.stdin(Stdio::null()).stdout(terminal.try_clone().unwrap()).stderr(terminal);
        die_with_parent(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let output = Arc::new(Output::default());
        output.follow(master, false);
        output.follow(io::empty(), true);
        Process { name: name.to_owned(), child, output, status: None }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until some line, of now or earlier, is what `wanted` looks for.
    #[track_caller]
    pub fn await_line<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        match self.output.wait(PATIENCE, |lines| lines.iter().find_map(|line| wanted(&line.text))) {
            Some(found) => found,
            None => panic!("{} did not say {what}\n{}", self.name, self.shown()),
        }
    }

    #[track_caller]
    pub fn await_text(&self, text: &str) {
        self.await_line(text, |line| line.contains(text).then_some(()));
    }

    pub fn says(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    pub fn lines(&self) -> Vec<String> {
        self.output.written.lock().unwrap().lines.iter().map(|line| line.text.clone()).collect()
    }

    /// The lines of standard output only.
    pub fn out_lines(&self) -> Vec<String> {
        let written = self.output.written.lock().unwrap();
        written.lines.iter().filter(|line| !line.is_error).map(|line| line.text.clone()).collect()
    }

    pub fn error_lines(&self) -> Vec<String> {
        let written = self.output.written.lock().unwrap();
        written.lines.iter().filter(|line| line.is_error).map(|line| line.text.clone()).collect()
    }

    /// Everything that was written, for the message of a test that fails.
    pub fn shown(&self) -> String {
        let lines = self.lines();
        let skipped = lines.len().saturating_sub(SHOWN_LINES_MAX);
        format!("--- last lines of {} ---\n{}", self.name, lines[skipped..].join("\n"))
    }

    pub fn signal(&self, signal: libc::c_int) {
        assert!(self.status.is_none(), "a process that was waited for has no id any more");
        let id = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: the child was not waited for, so that the id is still its own.
        let result = unsafe { libc::kill(id, signal) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status.is_none()
    }

    /// Waits for the end of the process and of its output.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(PATIENCE)
    }

    #[track_caller]
    pub fn wait_at_most(&mut self, patience: Duration) -> ExitStatus {
        let ended = self.output.wait_for_end(patience);
        assert!(ended, "{} did not end within {patience:?}\n{}", self.name, self.shown());
        // The streams end with the process, a moment before it can be waited for.
        let status = self.child.wait().unwrap();
        self.status = Some(status);
        status
    }

    /// Waits for the end, and expects success.
    #[track_caller]
    pub fn succeed(&mut self) {
        let status = self.wait();
        assert!(status.success(), "{} ended with {}\n{}", self.name, outcome(status), self.shown());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Both ends of a pseudo-terminal.
fn terminal() -> (File, OwnedFd) {
    let (mut master, mut terminal) = (0, 0);
    // SAFETY: both places are there to be written to; the name and the settings of the terminal are left out.
    let made = unsafe {
        libc::openpty(&mut master, &mut terminal, ptr::null_mut(), ptr::null_mut(), ptr::null_mut())
    };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
    // SAFETY: both were made just now, and nobody else has them.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(terminal)) }
}

impl Output {
    fn follow(self: &Arc<Output>, stream: impl Read + Send + 'static, is_error: bool) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
                output.written.lock().unwrap().lines.push(Line { text, is_error });
                output.changed.notify_all();
                bytes.clear();
            }
            output.written.lock().unwrap().streams_ended += 1;
            output.changed.notify_all();
        });
    }

    /// `None`: the time is over, or the output has ended without it.
    fn wait<T>(&self, patience: Duration, wanted: impl Fn(&[Line]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut written = self.written.lock().unwrap();
        loop {
            if let Some(found) = wanted(&written.lines) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || written.streams_ended == STREAMS {
                return None;
            }
            written = self.changed.wait_timeout(written, left).unwrap().0;
        }
    }

    fn wait_for_end(&self, patience: Duration) -> bool {
        let written = self.written.lock().unwrap();
        let waited =
            self.changed.wait_timeout_while(written, patience, |written| written.streams_ended < STREAMS);
        waited.unwrap().0.streams_ended == STREAMS
    }
}

/// How a process ended, in words.
pub fn outcome(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {signal:?}"),
    }
}

/// Nothing that a test starts outlives it, not even where the test itself is killed.
fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Standard output and standard error.
const STREAMS: usize = 2;
const SHOWN_LINES_MAX: usize = 60;

//! Those who read the log while it is written: the dashboard, by the API. A reader that stops reading loses lines, and nobody waits for it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

/// One further reader, of lines from now on: each is JSON with `at`, `level` and `text`. None: there are as many as there may be.
pub fn follow() -> Option<Receiver<Arc<str>>> {
    let mut followers = FOLLOWERS.lock().unwrap_or_else(PoisonError::into_inner);
    followers.retain(|follower| !follower.lines.is_closed());
    if followers.len() >= FOLLOWERS_MAX {
        return None;
    }
    let (lines, read) = channel(LINES_MAX);
    followers.push(Follower { lines, lost: 0 });
    COUNT.store(followers.len(), Ordering::Relaxed);
    Some(read)
}

struct Follower {
    lines: Sender<Arc<str>>,
    /// Since the last line that there was room for.
    lost: u64,
}

/// Of the thread that writes the log, with each line.
pub(super) fn tell(line: &[u8]) {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return;
    }
    let told: Arc<str> = told(&String::from_utf8_lossy(line)).to_string().into();
    let mut followers = FOLLOWERS.lock().unwrap_or_else(PoisonError::into_inner);
    followers.retain_mut(|follower| follower.take(&told));
    COUNT.store(followers.len(), Ordering::Relaxed);
}

impl Follower {
    /// False: it is gone.
    fn take(&mut self, line: &Arc<str>) -> bool {
        // A line about lost ones takes a place, too.
        if self.lost > 0 && self.lines.capacity() >= 2 {
            let text = format!("{} lines are not shown: they came faster than they were read", self.lost);
            let about = json!({ "at": Value::Null, "level": "warn", "text": text });
            self.lost = 0;
            let _ = self.lines.try_send(about.to_string().into());
        }
        match self.lines.try_send(Arc::clone(line)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                MISSED.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

/// Lines that readers have lost since the start.
pub fn lines_missed() -> u64 {
    MISSED.load(Ordering::Relaxed)
}

/// The parts of a line, of either format. What looks otherwise is all text.
fn told(line: &str) -> Value {
    let line = line.trim_end();
    if let Ok(Value::Object(fields)) = serde_json::from_str(line) {
        return of_json(fields);
    }
    let mut words = line.splitn(2, ' ');
    let (at, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim_start());
    match rest.split_once(' ') {
        Some((level, text)) if LEVELS.contains(&level) => {
            json!({ "at": at, "level": level.to_ascii_lowercase(), "text": text })
        }
        _ => json!({ "at": Value::Null, "level": "info", "text": line }),
    }
}

fn of_json(mut fields: Map<String, Value>) -> Value {
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (at, level, message) = (take("timestamp"), take("level"), take("message"));
    let others = fields.iter().map(|(name, value)| format!(" {name}={value}"));
    json!({ "at": at, "level": level.to_ascii_lowercase(), "text": message + &others.collect::<String>() })
}

static FOLLOWERS: Mutex<Vec<Follower>> = Mutex::new(Vec::new());
/// As many are in the list: read for each line, so that nobody waits for the list where nobody reads.
static COUNT: AtomicUsize = AtomicUsize::new(0);

static MISSED: AtomicU64 = AtomicU64::new(0);

const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
pub const FOLLOWERS_MAX: usize = 16;
/// Of each reader.
const LINES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_formats_have_the_same_parts() {
        let text = "2026-01-01T00:00:00.000001Z  INFO client connected client_id=\"a b\" conn=1\n";
        let json = r#"{"timestamp":"2026-01-01T00:00:00.000001Z","level":"INFO","message":"client connected","client_id":"a b","conn":1}"#;
        let same = json!({
            "at": "2026-01-01T00:00:00.000001Z", "level": "info", "text": "client connected client_id=\"a b\" conn=1",
        });
        assert_eq!(told(text), same);
        assert_eq!(told(json), same);
        assert_eq!(told("panicked here"), json!({ "at": null, "level": "info", "text": "panicked here" }));
    }

    #[test]
    fn a_reader_that_stops_loses_lines_and_is_told_how_many() {
        let (lines, mut read) = channel(4);
        let mut follower = Follower { lines, lost: 0 };
        for number in 0..7 {
            assert!(follower.take(&format!("{number}").into()));
        }
        assert!(lines_missed() >= 3);
        let mut next = || read.try_recv().expect("a line").to_string();
        assert_eq!([next(), next(), next(), next()], ["0", "1", "2", "3"]);
        assert!(follower.take(&"7".into()));
        assert!(next().contains("3 lines are not shown"));
        assert_eq!(next(), "7");
        drop(read);
        assert!(!follower.take(&"8".into()));
    }
}

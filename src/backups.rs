//! Backups that the broker makes of its own data directory, in the folder that the configuration names: one at a time, on a thread of
//! its own, each under a name that tells when it was begun. Who asks for one chooses neither where nor how it is called.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use runtime::{Checked, Label, Laid};

use crate::{
    audit::{self, Act},
    config::{Settings, moment},
    threads,
};

/// Of this process.
#[derive(Debug, Default)]
pub struct Backups {
    /// None: the configuration wants none.
    place: Option<Place>,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct Place {
    dir: PathBuf,
    folder: PathBuf,
    /// The last ones; 0: all of them.
    kept: usize,
}

/// What is being done, and what was done last.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub running: Option<Begun>,
    pub last: Option<Ended>,
}

#[derive(Debug, Clone)]
pub struct Begun {
    pub name: String,
    /// As RFC 3339 has it.
    pub at: String,
}

#[derive(Debug, Clone)]
pub struct Ended {
    pub name: String,
    pub at: String,
    /// The bytes of its files, or why there is none.
    pub outcome: Result<u64, String>,
}

/// Why none is begun: a sentence.
#[derive(Debug)]
pub enum Refusal {
    /// The configuration does not provide for it.
    Off(&'static str),
    Busy(String),
    Failed(String),
}

impl Backups {
    pub fn new(settings: &Settings) -> Backups {
        let store = &settings.store;
        let place = (!store.dir.is_empty() && !store.backup_dir.is_empty()).then(|| Place {
            dir: PathBuf::from(&store.dir),
            folder: PathBuf::from(&store.backup_dir),
            kept: usize::try_from(store.backups_kept).unwrap_or(usize::MAX),
        });
        Backups { place, state: Mutex::default() }
    }

    /// Begins one, and gives its name.
    pub fn begin(self: &Arc<Backups>, by: &str) -> Result<String, Refusal> {
        let place = self.place.clone().ok_or(Refusal::Off(OFF))?;
        let mut state = self.state();
        if let Some(running) = &state.running {
            return Err(Refusal::Busy(format!("{} is being made: one at a time", running.name)));
        }
        let (at, name) = now();
        let (backups, by, made) = (Arc::clone(self), by.to_owned(), name.clone());
        let run = move || backups.run(&place, &by, &made);
        thread::Builder::new().name("backup".to_owned()).spawn(run).map_err(|error| {
            Refusal::Failed(format!(
                "the thread of the backup cannot be started: {error}. {}",
                threads::REMEDY
            ))
        })?;
        state.running = Some(Begun { name: name.clone(), at });
        Ok(name)
    }

    pub fn look(&self) -> State {
        self.state().clone()
    }

    /// Those that are there, whole, the oldest first. None: the configuration wants none.
    pub fn names(&self) -> io::Result<Option<Vec<String>>> {
        self.place.as_ref().map(|place| names(&place.folder)).transpose()
    }

    fn run(&self, place: &Place, by: &str, name: &str) {
        identity::give_way();
        let outcome = place.make(name);
        let details = match &outcome {
            Ok(bytes) => vec![name.to_owned(), format!("{bytes} bytes")],
            Err(why) => vec![name.to_owned(), why.clone()],
        };
        match &outcome {
            Ok(bytes) => tracing::info!(bytes, "{by}: backup {name} is made"),
            Err(why) => tracing::error!("{by}: backup {name} could not be made: {why}"),
        }
        let word = if outcome.is_ok() { "done" } else { "failed" };
        audit::tell(&Act { act: "backup", by, outcome: word, details: &details });
        if outcome.is_ok()
            && let Err(error) = place.remove_oldest()
        {
            tracing::warn!("an old backup could not be removed (store.backups_kept): {error}");
        }
        let mut state = self.state();
        state.running = None;
        state.last = Some(Ended { name: name.to_owned(), at: now().0, outcome });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn make(&self, name: &str) -> Result<u64, String> {
        let told = |error: runtime::StoreError| error.to_string();
        let laid = Laid::read(&self.dir).map_err(told)?;
        let shards: Vec<Checked> = laid.back_up(&self.folder.join(name)).map_err(told)?;
        Ok(shards.iter().map(|shard| shard.file_bytes).sum())
    }

    fn remove_oldest(&self) -> io::Result<()> {
        if self.kept == 0 {
            return Ok(());
        }
        let names = names(&self.folder)?;
        let surplus = names.len().saturating_sub(self.kept);
        names[..surplus].iter().try_for_each(|name| fs::remove_dir_all(self.folder.join(name)))
    }
}

/// Of backups that were made here. What else is there is somebody else's.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_name(&name) && entry.file_type()?.is_dir() && matches!(Label::read(&entry.path()), Ok(Some(_)))
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn is_name(name: &str) -> bool {
    let Some(stamp) = name.strip_prefix(PREFIX) else { return false };
    stamp.len() == 16
        && stamp.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

/// The moment, and what a backup that is begun then is called.
fn now() -> (String, String) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = moment::show(since.as_secs());
    let stamp: String = at.chars().filter(|letter| !matches!(letter, '-' | ':')).collect();
    (at, format!("{PREFIX}{stamp}"))
}

const PREFIX: &str = "backup-";

const OFF: &str = "this broker makes no backups: store.backup_dir names the folder for them, and there has to be a data directory. \
                   `iothub store backup` makes one from beside the broker";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_when() {
        let (at, name) = now();
        assert!(is_name(&name) && at.ends_with('Z'), "{name} {at}");
        assert!(is_name("backup-20300131T120000Z"));
        for other in ["backup-20300131T120000Z.part-1", "backup-2030", "x", "backup-20300131-1200000", "../x"]
        {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn only_whole_backups_of_ours_are_known_and_the_oldest_go() {
        let folder = std::env::temp_dir().join(format!("iothub-backups-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        let label = "format = 1\ntaken = 20300131-120000\nlast_commits = 1\n";
        let make = |name: &str, label: Option<&str>| {
            fs::create_dir_all(folder.join(name)).expect("a folder");
            if let Some(text) = label {
                fs::write(folder.join(name).join("backup"), text).expect("written");
            }
        };
        for day in 1..=4 {
            make(&format!("backup-203001{day:02}T120000Z"), Some(label));
        }
        make("backup-20290101T120000Z", None);
        make("backup-of-mine", Some(label));
        let place = Place { dir: PathBuf::new(), folder: folder.clone(), kept: 2 };
        place.remove_oldest().expect("removed");
        assert_eq!(names(&folder).expect("names"), ["backup-20300103T120000Z", "backup-20300104T120000Z"]);
        assert!(folder.join("backup-of-mine").exists() && folder.join("backup-20290101T120000Z").exists());
        Place { kept: 0, ..place }.remove_oldest().expect("nothing");
        assert_eq!(names(&folder).expect("names").len(), 2);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn without_a_folder_there_are_none() {
        let mut settings = Settings::default();
        settings.store.dir = "/var/lib/iothub".to_owned();
        let backups = Arc::new(Backups::new(&settings));
        assert!(matches!(backups.begin("somebody"), Err(Refusal::Off(_))));
        assert!(backups.names().expect("nothing to read").is_none());
    }
}

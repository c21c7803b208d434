//! Backups that the broker makes of its own data directory, in the folder that the configuration names: one at a time, on a thread of
//! its own, each under a name with a number, by which they stand in order, and the time at which it was begun. Who asks for one chooses
//! neither where nor how it is called.

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
    folders: Option<Folders>,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct Folders {
    /// Of the data.
    dir: PathBuf,
    /// Of the backups.
    folder: PathBuf,
    /// The last ones; 0: all of them.
    kept: usize,
}

/// What is being done, and what was done last.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub running: Option<Begun>,
    pub last: Option<Ended>,
    /// The number of the last that was begun.
    number: u64,
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
        let folders = (!store.dir.is_empty() && !store.backup_dir.is_empty()).then(|| Folders {
            dir: PathBuf::from(&store.dir),
            folder: PathBuf::from(&store.backup_dir),
            kept: usize::try_from(store.backups_kept).unwrap_or(usize::MAX),
        });
        Backups { folders, state: Mutex::default() }
    }

    /// Begins one, and gives its name. It reads the folder, which may be one of a network that hangs.
    pub fn begin(self: &Arc<Backups>, by: &str) -> Result<String, Refusal> {
        let folders = self.folders.clone().ok_or(Refusal::Off(OFF))?;
        let highest = highest_number(&folders.folder).map_err(|error| {
            Refusal::Failed(format!(
                "{}: the folder of store.backup_dir cannot be read: {error}",
                folders.folder.display()
            ))
        })?;
        let mut state = self.state();
        if let Some(running) = &state.running {
            return Err(Refusal::Busy(format!("{} is being made: one at a time", running.name)));
        }
        let number = highest.max(state.number).saturating_add(1);
        let at = now();
        let name = name_of(number, &at);
        let (backups, by, made) = (Arc::clone(self), by.to_owned(), name.clone());
        let run = move || backups.run(&folders, &by, &made);
        thread::Builder::new().name("backup".to_owned()).spawn(run).map_err(|error| {
            Refusal::Failed(format!(
                "the thread of the backup cannot be started: {error}. {}",
                threads::REMEDY
            ))
        })?;
        state.number = number;
        state.running = Some(Begun { name: name.clone(), at });
        Ok(name)
    }

    pub fn look(&self) -> State {
        self.state().clone()
    }

    /// Those that are there, whole, the oldest first. None: the configuration wants none.
    pub fn names(&self) -> io::Result<Option<Vec<String>>> {
        self.folders.as_ref().map(|folders| names(&folders.folder)).transpose()
    }

    fn run(&self, folders: &Folders, by: &str, name: &str) {
        // Told by the thread that tells what comes of it, so that the lines stand in their order.
        tracing::info!("{by}: backup {name} is begun");
        let begun = [name.to_owned(), "begun".to_owned()];
        audit::tell(&Act { act: "backup", by, outcome: "done", details: &begun });
        identity::give_way();
        let outcome = folders.make(name);
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
        if outcome.is_ok() {
            folders.remove_oldest(name);
        }
        let mut state = self.state();
        state.running = None;
        state.last = Some(Ended { name: name.to_owned(), at: now(), outcome });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Folders {
    fn make(&self, name: &str) -> Result<u64, String> {
        let told = |error: runtime::StoreError| error.to_string();
        let laid = Laid::read(&self.dir).map_err(told)?;
        let shards: Vec<Checked> = laid.back_up(&self.folder.join(name)).map_err(told)?;
        Ok(shards.iter().map(|shard| shard.file_bytes).sum())
    }

    /// All but the last ones go, and never the one that was just made.
    fn remove_oldest(&self, made: &str) {
        let told = match names(&self.folder) {
            Ok(names) => self.remove(surplus(&names, made, self.kept)),
            Err(error) => vec![format!("{} cannot be read: {error}", self.folder.display())],
        };
        for why in told {
            tracing::warn!(
                "a backup is kept beyond store.backups_kept: {why}. Remove it by hand, or give its folder to the broker's user"
            );
        }
    }

    /// As many of them as can be; why the others stay.
    fn remove(&self, names: &[String]) -> Vec<String> {
        let remove = |name: &String| {
            let path = self.folder.join(name);
            let error = fs::remove_dir_all(&path).err()?;
            Some(format!("{} cannot be removed: {error}", path.display()))
        };
        names.iter().filter_map(remove).collect()
    }
}

/// Those to be removed, of all in their order.
fn surplus<'a>(names: &'a [String], made: &str, kept: usize) -> &'a [String] {
    if kept == 0 {
        return &[];
    }
    let count = names.len().saturating_sub(kept);
    let before = names.iter().position(|name| name == made).unwrap_or(names.len());
    &names[..count.min(before)]
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
    // Of one number there are two where one was moved here; the time decides then.
    names.sort_by_cached_key(|name| (number_of(name), name.clone()));
    Ok(names)
}

fn is_name(name: &str) -> bool {
    let Some((_, stamp)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    number_of(name).is_some()
        && stamp.len() == 16
        && stamp.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

/// Also of one that is not whole. None: it is none of ours.
fn number_of(name: &str) -> Option<u64> {
    let (number, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
}

/// Of all that were ever begun in this folder and are still there.
fn highest_number(folder: &Path) -> io::Result<u64> {
    fs::read_dir(folder)?.try_fold(0, |highest, entry| {
        let number = number_of(&entry?.file_name().to_string_lossy());
        Ok(number.unwrap_or_default().max(highest))
    })
}

fn name_of(number: u64, at: &str) -> String {
    let stamp: String = at.chars().filter(|letter| !matches!(letter, '-' | ':')).collect();
    format!("{PREFIX}{number:06}-{stamp}")
}

/// As RFC 3339 has it.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    moment::show(since.as_secs())
}

const PREFIX: &str = "backup-";

const OFF: &str = "this broker makes no backups: store.backup_dir names the folder for them, and there has to be a data directory. \
                   `iothub store backup` makes one from beside the broker";

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("iothub-backups-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn make(folder: &Path, name: &str) {
        fs::create_dir_all(folder.join(name)).expect("a folder");
        let label = "format = 1\ntaken = 20300131-120000\nlast_commits = 1\n";
        fs::write(folder.join(name).join("backup"), label).expect("written");
    }

    fn folders(folder: &Path, kept: usize) -> Folders {
        Folders { dir: PathBuf::new(), folder: folder.to_owned(), kept }
    }

    #[test]
    fn a_name_tells_which_and_when() {
        assert_eq!(name_of(7, "2030-03-31T12:00:00Z"), "backup-000007-20300331T120000Z");
        assert!(is_name(&name_of(1, &now())) && is_name(&name_of(u64::MAX, &now())));
        for other in [
            "backup-000001-20300131T120000Z.part-1",
            "backup-000001-2030",
            "backup-20300331T120000Z",
            "backup--20300331T120000Z",
            "backup-+1-20300331T120000Z",
            "x",
            "../x",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn a_number_is_higher_than_that_of_whatever_is_there_whole_or_not() {
        let folder = folder("numbers");
        assert_eq!(highest_number(&folder).expect("it is there"), 0);
        for name in [
            "backup-000009-20300101T120000Z",
            "backup-1000010-20300101T120000Z.part-3",
            "backup-of-mine",
            "99",
        ] {
            make(&folder, name);
        }
        assert_eq!(highest_number(&folder).expect("it is there"), 1_000_010);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn two_that_are_begun_in_one_second_have_names_of_their_own() {
        let folder = folder("second");
        let mut settings = Settings::default();
        settings.store.dir = folder.join("nothing").display().to_string();
        settings.store.backup_dir = folder.display().to_string();
        let backups = Arc::new(Backups::new(&settings));
        let begin = || loop {
            match backups.begin("somebody") {
                Ok(name) => return name,
                Err(Refusal::Busy(_)) => thread::yield_now(),
                Err(refusal) => panic!("{refusal:?}"),
            }
        };
        let numbers: Vec<Option<u64>> = (0..3).map(|_| number_of(&begin())).collect();
        assert_eq!(numbers, [Some(1), Some(2), Some(3)]);
        while backups.look().running.is_some() {
            thread::yield_now();
        }
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn only_whole_backups_of_ours_are_known_and_the_oldest_go() {
        let folder = folder("oldest");
        let name = |number: u64| name_of(number, "2030-01-01T12:00:00Z");
        (1..=4).for_each(|number| make(&folder, &name(number)));
        fs::create_dir_all(folder.join(name(0))).expect("one without a label");
        make(&folder, "backup-of-mine");
        folders(&folder, 2).remove_oldest(&name(4));
        assert_eq!(names(&folder).expect("names"), [name(3), name(4)]);
        assert!(folder.join("backup-of-mine").exists() && folder.join(name(0)).exists());
        folders(&folder, 0).remove_oldest(&name(4));
        assert_eq!(names(&folder).expect("names").len(), 2);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_the_last_one_the_oldest() {
        let folder = folder("clock");
        let [earlier, later] =
            [name_of(999_999, "2030-01-01T12:00:00Z"), name_of(1_000_000, "2029-01-01T12:00:00Z")];
        [&earlier, &later].into_iter().for_each(|name| make(&folder, name));
        folders(&folder, 1).remove_oldest(&later);
        assert_eq!(names(&folder).expect("names"), [later]);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_was_just_made_stays_wherever_it_stands() {
        let all: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).into();
        assert_eq!(surplus(&all, "b", 1), ["a"]);
        assert_eq!(surplus(&all, "d", 1), ["a", "b", "c"]);
        assert_eq!(surplus(&all, "gone", 3), ["a"]);
    }

    #[test]
    fn one_that_cannot_be_removed_is_told_and_the_others_go() {
        let folder = folder("stuck");
        fs::write(folder.join("stuck"), "no folder").expect("written");
        make(&folder, "other");
        let told = folders(&folder, 1).remove(&["stuck".to_owned(), "other".to_owned()]);
        assert!(told.len() == 1 && told[0].contains("stuck cannot be removed"), "{told:?}");
        assert!(!folder.join("other").exists());
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

//! Files that are looked at again and again, by a thread of its own: a network's file system may let it wait for long.
//!
//! They are asked for their numbers, sizes and times. Unlike notifications of the kernel that works on every file system, and
//! where a name comes to stand for another file, as with the links by which secrets are mounted into containers
//! ([0039](../docs/decisions/0039-reload.md)).

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crossbeam_channel::Sender;

/// What a file is known by; none if it cannot be looked at.
pub type Stamp = Option<[i64; 7]>;

/// The files as they were at one moment.
pub type Stamps = BTreeMap<PathBuf, Stamp>;

/// Looks now.
pub fn stamps(paths: impl IntoIterator<Item = PathBuf>) -> Stamps {
    paths.into_iter().map(|path| (stamp(&path), path)).map(|(stamp, path)| (path, stamp)).collect()
}

/// Of what the name stands for in the end.
pub fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    let [device, inode, bytes] = [found.dev(), found.ino(), found.len()].map(|number| number as i64);
    Some([device, inode, bytes, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()])
}

/// Which of the files have changed and are the same for two looks in a row: who writes one may not be done at the first.
#[derive(Debug, Default)]
struct Watched {
    known: Stamps,
    /// As it was at the last look, if that was not what is known.
    seen: Option<Stamps>,
}

impl Watched {
    fn look(&mut self, now: Stamps) -> Vec<PathBuf> {
        if now == self.known {
            self.seen = None;
            return Vec::new();
        }
        if self.seen.as_ref() != Some(&now) {
            self.seen = Some(now);
            return Vec::new();
        }
        self.seen = None;
        let before = std::mem::replace(&mut self.known, now);
        let changed = self.known.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp));
        changed.map(|(path, _)| path.clone()).collect()
    }
}

/// The files that are watched now.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    watched: Arc<Mutex<Watched>>,
}

impl Watch {
    /// Starts the thread, which sends the names of those that have changed until nobody takes them any more.
    pub fn start(target: Sender<Vec<PathBuf>>) -> io::Result<Watch> {
        let watch = Watch::default();
        let watched = Arc::clone(&watch.watched);
        let look = move || {
            let lock = || watched.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                thread::sleep(PERIOD);
                let paths: Vec<PathBuf> = lock().known.keys().cloned().collect();
                // Without the lock: this may take its time, and others have replaced the list meanwhile.
                let now = stamps(paths);
                let mut watched = lock();
                if !now.keys().eq(watched.known.keys()) {
                    continue;
                }
                let changed = watched.look(now);
                drop(watched);
                if !changed.is_empty() && target.send(changed).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("watch".to_owned()).spawn(look)?;
        Ok(watch)
    }

    /// From now on these are watched, which were so when they were read last.
    pub fn replace(&self, read: Stamps) {
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Watched { known: read, seen: None };
    }
}

/// Between two looks. What has changed counts after one to two of them.
const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write as _, os::unix::fs::symlink};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("iothub-watch-{name}-{}", std::process::id()));
            fs::create_dir(&path).expect("a folder");
            Folder(path)
        }

        fn look(&self, watched: &mut Watched, names: &[&str]) -> Vec<PathBuf> {
            watched.look(stamps(names.iter().map(|name| self.0.join(name))))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_counts_as_changed_when_it_stays_as_it_is() {
        let folder = Folder::new("settles");
        let mut file = File::create(folder.0.join("a")).expect("a file");
        let known = stamps([folder.0.join("a"), folder.0.join("b")]);
        let mut watched = Watched { known, seen: None };
        let names = ["a", "b"];
        assert!(folder.look(&mut watched, &names).is_empty());
        for _ in 0..3 {
            // Each look finds more of it.
            file.write_all(b"more").expect("written");
            assert!(folder.look(&mut watched, &names).is_empty());
        }
        assert_eq!(folder.look(&mut watched, &names), [folder.0.join("a")]);
        assert!(folder.look(&mut watched, &names).is_empty(), "it is told once");
        File::create(folder.0.join("b")).expect("a file");
        assert!(folder.look(&mut watched, &names).is_empty());
        fs::remove_file(folder.0.join("b")).expect("removed");
        assert!(folder.look(&mut watched, &names).is_empty(), "it is as it was");
        assert!(folder.look(&mut watched, &names).is_empty());
    }

    #[test]
    fn a_link_that_comes_to_stand_for_another_folder_is_a_change_of_all_its_files() {
        let folder = Folder::new("links");
        let path = |name: &str| folder.0.join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(path(version)).expect("a folder");
            fs::write(path(version).join("tls.crt"), "same size").expect("written");
        }
        symlink("..1", path("..data")).expect("a link");
        symlink("..data/tls.crt", path("tls.crt")).expect("a link");
        let mut watched = Watched { known: stamps([path("tls.crt")]), seen: None };
        symlink("..2", path("..data_tmp")).expect("a link");
        fs::rename(path("..data_tmp"), path("..data")).expect("in its place");
        assert!(folder.look(&mut watched, &["tls.crt"]).is_empty());
        assert_eq!(folder.look(&mut watched, &["tls.crt"]), [path("tls.crt")]);
    }
}

//! The user database as questions see it: read once for each change of its file, however many ask, and forgotten when nobody asks any more.

use std::{path::PathBuf, sync::Arc, time::Duration};

use identity::UserTable;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep},
};

use super::asking::{self, Trouble};
use crate::{
    user,
    watch::{Stamp, stamp},
};

/// A clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct Roll {
    read: Arc<Mutex<Option<Read>>>,
}

#[derive(Debug)]
struct Read {
    file: PathBuf,
    stamp: Stamp,
    /// The error is a sentence.
    table: Result<Arc<UserTable>, String>,
    asked: Instant,
}

impl Roll {
    /// As the file has it now. One reads at a time, also for those who have gone meanwhile; who waits and goes is not waited for.
    pub async fn table(&self, file: PathBuf) -> Result<Result<Arc<UserTable>, String>, Trouble> {
        let mut read = Arc::clone(&self.read).lock_owned().await;
        // Before it is read: a change meanwhile is found by the next question.
        let stamp = stamp(&file);
        if let Some(known) = &mut *read
            && (&known.file, known.stamp) == (&file, stamp)
        {
            known.asked = Instant::now();
            return Ok(known.table.clone());
        }
        let roll = self.clone();
        let reads = tokio::spawn(async move { roll.fill(read, file, stamp).await });
        reads.await.unwrap_or_else(|_| Err(asking::ending()))
    }

    async fn fill(
        &self,
        mut read: OwnedMutexGuard<Option<Read>>,
        file: PathBuf,
        stamp: Stamp,
    ) -> Result<Result<Arc<UserTable>, String>, Trouble> {
        let path = file.clone();
        let table = asking::aside(move || user::read(&path).map(Arc::new)).await?;
        if read.is_none() {
            tokio::spawn(self.clone().forget());
        }
        *read = Some(Read { file, stamp, table: table.clone(), asked: Instant::now() });
        Ok(table)
    }

    /// When nobody has asked for a while: users are not held in memory twice for long.
    async fn forget(self) {
        loop {
            sleep(KEPT).await;
            let mut read = self.read.lock().await;
            if read.as_ref().is_none_or(|read| read.asked.elapsed() >= KEPT) {
                *read = None;
                return;
            }
        }
    }
}

const KEPT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_file_is_read_once_for_each_change_and_forgotten_when_nobody_asks() {
        let folder = std::env::temp_dir().join(format!("iothub-roll-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        let file = folder.join("users");
        fs::write(&file, "{\"user\":\"ada\"}\n").expect("written");
        let mut clock = Builder::new_current_thread();
        clock.enable_time().start_paused(true).build().expect("a runtime").block_on(async {
            let roll = Roll::default();
            let ask = async || roll.table(file.clone()).await.ok().expect("the broker goes on");
            let first = ask().await.expect("a right file");
            assert!(Arc::ptr_eq(&first, &ask().await.expect("the same")), "it is not read again");
            fs::write(folder.join("next"), "nonsense\n").expect("written");
            fs::rename(folder.join("next"), &file).expect("replaced");
            assert!(ask().await.is_err());
            fs::remove_file(&file).expect("removed");
            fs::write(&file, "{\"user\":\"ada\"}\n{\"user\":\"bob\"}\n").expect("written");
            assert_eq!(ask().await.expect("a right file").records.len(), 2);
            sleep(KEPT * 3).await;
            assert!(roll.read.lock().await.is_none(), "nobody has asked");
            assert_eq!(ask().await.expect("read again").records.len(), 2);
        });
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn who_asks_and_goes_leaves_no_work_behind() {
        let folder = std::env::temp_dir().join(format!("iothub-roll-gone-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        let file = folder.join("users");
        fs::write(&file, "{\"user\":\"ada\"}\n").expect("written");
        let mut clock = Builder::new_current_thread();
        clock.enable_time().build().expect("a runtime").block_on(async {
            let roll = Roll::default();
            let held = Arc::clone(&roll.read).lock_owned().await;
            for _ in 0..1000 {
                let gone = roll.table(file.clone());
                assert!(tokio::time::timeout(Duration::ZERO, gone).await.is_err());
            }
            assert_eq!(Arc::strong_count(&roll.read), 2, "nobody waits");
            drop(held);
            assert!(roll.table(file.clone()).await.is_ok());
        });
        fs::remove_dir_all(folder).expect("removed");
    }
}

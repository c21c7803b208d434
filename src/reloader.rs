//! Who carries out reloads, whatever asks for them, and says in the log and to who asks what came of it.

use std::{
    fs, io, path,
    path::{Path, PathBuf},
};

use crate::{
    api::Context,
    audit::{self, Act},
    config::{Loaded, Settings},
    control::Load,
    named_files::What,
    notify,
    renewal::{Running, Told, watched},
    start::Started,
    watch::{Stamps, Watch, stamps},
};

/// What a reload came to, or a sentence for each problem that kept it from changing anything.
pub type Outcome = Result<Told, Vec<String>>;

pub struct Reloader<'a> {
    running: Running,
    load: Load<'a>,
    watch: Watch,
}

impl<'a> Reloader<'a> {
    /// `read`: the files as they were before the start read them.
    pub fn new(running: Running, load: Load<'a>, watch: Watch, read: Stamps) -> Reloader<'a> {
        watch.replace(read);
        Reloader { running, load, watch }
    }

    pub fn started(&self) -> &Started {
        &self.running.started
    }

    pub fn api(&self) -> &Context {
        &self.running.api
    }

    pub fn settings(&self) -> &Settings {
        &self.running.now.settings
    }

    pub fn into_parts(self) -> (Started, Settings) {
        (self.running.started, self.running.now.settings)
    }

    /// What somebody orders who may have named the configuration that he means.
    pub fn asked(&mut self, is_plan: bool, by: &str, config: Option<&Path>) -> Outcome {
        if let Some(sentence) =
            config.and_then(|meant| misunderstood(self.running.now.file.as_deref(), meant))
        {
            let outcome = Err(vec![sentence]);
            if !is_plan {
                tell(by, &outcome);
            }
            return outcome;
        }
        let outcome = if is_plan { self.plan() } else { self.reload(by) };
        let watched = self.running.told_watched();
        match outcome {
            Ok(told) if is_plan => Ok(Told { watched, ..told }),
            Err(problems) => Err(problems.into_iter().chain(watched).collect()),
            done => done,
        }
    }

    /// What a reload would change.
    fn plan(&self) -> Outcome {
        let plan = self.running.plan((self.load)().map_err(sentences)?)?;
        self.running.check(&plan)?;
        Ok(plan.told)
    }

    /// Reads the configuration and everything that it names.
    pub fn reload(&mut self, cause: &str) -> Outcome {
        let outcome = (self.load)().map_err(sentences);
        self.carry_out(cause, outcome)
    }

    /// The user database has been changed by somebody who waits until that counts.
    pub fn take_users(&mut self, cause: &str) -> Outcome {
        // Before it is read: a change meanwhile is found by the next look.
        let read = stamps(watched(&self.running.now));
        let outcome = self.running.refresh_users();
        if outcome.is_ok() {
            self.watch.replace(read);
        }
        tell(cause, &outcome);
        outcome
    }

    /// Reads again what has changed. The configuration itself is read again only where it is watched, so that a change that is
    /// half made does not count because a certificate is renewed meanwhile.
    pub fn take_changed(&mut self, changed: &[PathBuf]) {
        let is_config = |path: &Path| self.running.now.file.as_deref() == Some(path);
        let files = self.running.files();
        let are_users = changed.iter().all(|path| {
            let mut uses = files.iter().filter(|file| file.path == *path).peekable();
            uses.peek().is_some() && uses.all(|file| file.what == What::UserDatabase)
        });
        if are_users {
            let outcome = self.running.refresh_users();
            tell(CHANGED, &outcome);
        } else if changed.iter().any(|path| is_config(path)) {
            drop(self.reload(CHANGED));
        } else {
            drop(self.carry_out(CHANGED, Ok(self.running.now.clone())));
        }
    }

    fn carry_out(&mut self, cause: &str, loaded: Result<Loaded, Vec<String>>) -> Outcome {
        notify::reloading();
        // Whoever moves the audit log away asks for a reload.
        audit::reopen();
        let outcome = loaded.and_then(|now| {
            // Before anything is read: a change meanwhile is found by the next look.
            let read = stamps(watched(&now));
            let plan = self.running.plan(now)?;
            let told = self.running.apply(plan)?;
            self.watch.replace(read);
            Ok(told)
        });
        tell(cause, &outcome);
        notify::ready_again(&self.status_after(&outcome));
        outcome
    }

    /// For whoever asks the service manager how it is.
    fn status_after(&self, outcome: &Outcome) -> String {
        match (outcome, self.running.api.obstacle()) {
            (Err(problems), _) => {
                let first = problems.first().map(String::as_str).unwrap_or_default();
                format!("a reload was refused, and nothing is changed: {first}")
            }
            (Ok(_), Some(obstacle)) => obstacle.to_owned(),
            (Ok(_), None) => self.running.listening(),
        }
    }
}

/// The cause in the log where nobody asked.
const CHANGED: &str = "files have changed";

/// Why the file that is meant is not the one that would be read, if it is not.
fn misunderstood(read: Option<&Path>, meant: &Path) -> Option<String> {
    let Some(read) = read else {
        return Some(format!(
            "the broker was started without a configuration file (-c), and {} says nothing to it: start it with that file. To \
             have it read the files that its environment and flags name, ask without -c (--socket PATH, --data-dir DIR)",
            meant.display()
        ));
    };
    let [found, wanted] = [read, meant].map(|path| fs::canonicalize(path).ok());
    let is_same = absolute(read) == absolute(meant) || found.is_some() && found == wanted;
    (!is_same).then(|| {
        format!(
            "the broker reads {}, and {} says nothing to it: name the file that it reads, or start it with the other one",
            absolute(read).display(),
            meant.display()
        )
    })
}

fn absolute(path: &Path) -> PathBuf {
    path::absolute(path).unwrap_or_else(|_: io::Error| path.to_owned())
}

fn sentences(problems: Vec<crate::config::Problem>) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn tell(cause: &str, outcome: &Outcome) {
    write_down(cause, outcome);
    match outcome {
        Ok(told) => {
            let number = crate::text::count(told.changes.len() as u64, "change");
            tracing::info!("{cause}: reloaded, {number}");
            told.changes.iter().for_each(|change| tracing::info!("{cause}: {change}"));
            if !told.waiting.is_empty() {
                tracing::warn!("{cause}: changed, and waits for the next start: {}", told.waiting.join(", "));
            }
            told.overridden.iter().for_each(|sentence| tracing::info!("{cause}: {sentence}"));
            told.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            if let Some(listening) = &told.listening {
                tracing::info!("{listening}");
            }
        }
        Err(problems) => {
            problems.iter().for_each(|problem| tracing::error!("{cause}: nothing is changed: {problem}"));
        }
    }
}

fn write_down(cause: &str, outcome: &Outcome) {
    let (outcome, details): (&str, Vec<String>) = match outcome {
        Ok(told) => {
            let waiting = told.waiting.iter().map(|what| format!("waits for the next start: {what}"));
            ("done", told.changes.iter().cloned().chain(waiting).collect())
        }
        Err(problems) => ("refused", problems.clone()),
    };
    audit::tell(&Act { act: "reload", by: cause, outcome, details: &details });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_than_the_broker_reads_is_named_beside_it() {
        let folder = std::env::temp_dir().join(format!("iothub-meant-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        let path = |name: &str| folder.join(name);
        fs::write(path("read.toml"), "").expect("written");
        fs::write(path("other.toml"), "").expect("written");
        std::os::unix::fs::symlink("read.toml", path("link.toml")).expect("a link");
        let of = |meant: &str| misunderstood(Some(&path("read.toml")), &path(meant));
        assert_eq!(of("read.toml"), None);
        assert_eq!(of("link.toml"), None);
        let shown = folder.display();
        let told = of("other.toml").expect("another file");
        assert!(
            told.starts_with(&format!(
                "the broker reads {shown}/read.toml, and {shown}/other.toml says nothing"
            )),
            "{told}"
        );
        let told = misunderstood(None, &path("read.toml")).expect("it reads none");
        assert!(told.starts_with("the broker was started without a configuration file (-c)"), "{told}");
        fs::remove_file(path("read.toml")).expect("removed");
        assert_eq!(of("read.toml"), None, "the same name is the same file, also where it is gone");
        fs::remove_dir_all(folder).expect("removed");
    }
}

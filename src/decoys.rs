//! The secret that salts are made from for users that there are not: whoever asks SCRAM for one cannot tell it from a real one.
//!
//! It is kept in the data directory, so that those salts stay the same over a restart, as the real ones do.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use aws_lc_rs::rand;
use identity::{FileError, ReplaceError, Replacement, Secret};

/// What is kept in the data directory, or another one where nothing is kept yet. Nothing is written. The error is a sentence.
pub fn load(dir: &str) -> Result<Secret, String> {
    if dir.is_empty() {
        return Ok(fresh());
    }
    let path = Path::new(dir).join(NAME);
    let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory];
    match identity::read_secret(&path) {
        Ok(secret) if secret.expose().len() >= BYTES => Ok(secret),
        Err(FileError::Unreadable { error, .. }) if absent.contains(&error.kind()) => Ok(fresh()),
        Err(error @ FileError::Open { .. }) => Err(error.to_string()),
        Err(FileError::Unreadable { path, error }) => Err(unreadable(&path, &error)),
        Ok(_) => Err(remove(&format!("{} has less than {BYTES} bytes", path.display()))),
        Err(error) => Err(remove(&error.to_string())),
    }
}

/// Writes it down where it is not yet. The data directory is ours. A disk without room for it is no reason to serve nobody. The error is a
/// sentence.
pub fn keep(dir: &Path, secret: &Secret) -> Result<(), String> {
    let path = dir.join(NAME);
    if path.exists() {
        return Ok(());
    }
    match Replacement::begin(&path).and_then(|file| file.finish(secret.expose())) {
        Err(error) if error.is_lack_of_room() => {
            tracing::warn!("{}", without_room(&error));
            Ok(())
        }
        written => written.map_err(|error| format!("the secret for the salts of unknown users: {error}")),
    }
}

/// For a process that keeps nothing.
pub fn fresh() -> Secret {
    let mut bytes = [0; BYTES / 2];
    rand::fill(&mut bytes).expect("the kernel's random numbers are there once it runs");
    // As text: a line break at its end would not be read again.
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Secret::from(digits)
}

fn remove(why: &str) -> String {
    format!("the secret for the salts of unknown users: {why}. Remove it, and another is made")
}

/// Whoever may not read it, or whose disk fails, does not get another one by removing it.
fn unreadable(path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => {
            "The user that runs iothub must own the directory and what is in it (chown -R), and may enter those above it"
        }
        _ => "Look at the disk and its mount (dmesg, df)",
    };
    format!("the secret for the salts of unknown users: {} cannot be read: {error}. {remedy}", path.display())
}

fn without_room(error: &ReplaceError) -> String {
    format!(
        "the secret for the salts of unknown users is not kept: {error}. Make room on the disk (df): the first start that finds some keeps one. \
         Until then each start has another, and who asks SCRAM before and after it can tell which users there are"
    )
}

const NAME: &str = "scram.key";

/// 256 bits, in hexadecimal digits.
const BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use std::{env, fs, os::unix::fs::PermissionsExt, process};

    use super::*;

    #[test]
    fn it_is_another_each_time_until_it_is_kept() {
        let dir = env::temp_dir().join(format!("iothub-decoys-{}", process::id()));
        let name = dir.to_str().expect("text");
        assert!(load("").expect("made") != load("").expect("made"));
        let first = load(name).expect("made: the directory is not there yet");
        fs::create_dir(&dir).expect("a directory");
        assert!(load(name).expect("made") != first);
        keep(&dir, &first).expect("written");
        assert!(load(name).expect("read") == first);
        keep(&dir, &fresh()).expect("left as it is");
        assert!(load(name).expect("read") == first);

        let path = dir.join(NAME);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").expect("written");
        let error = load(name).expect_err("refused");
        assert!(error.ends_with("Remove it, and another is made"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        let error = load(name).expect_err("refused");
        assert!(error.contains("chmod"), "{error}");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn who_may_not_read_it_is_not_told_to_remove_it() {
        for (kind, remedy) in
            [(ErrorKind::PermissionDenied, "must own the directory"), (ErrorKind::Other, "dmesg")]
        {
            let sentence = unreadable(Path::new("/data/scram.key"), &kind.into());
            assert!(sentence.contains(remedy) && !sentence.contains("Remove"), "{sentence}");
        }
    }
}

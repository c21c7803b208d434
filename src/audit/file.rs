//! The file of the audit log: nobody else may read it, and when it is full it makes way for the next.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    /// How many of those before stay.
    keep: u32,
    /// A line may have been written in part.
    is_torn: bool,
}

impl AuditFile {
    /// The error is a sentence.
    pub fn open(path: &Path, bytes_max: u64, keep: u32) -> Result<AuditFile, String> {
        check(path)?;
        let opened = open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|error| cannot_open(path, &error))?;
        Ok(AuditFile { path: path.to_owned(), file, bytes, bytes_max, keep, is_torn: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whole lines.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + lines.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    pub fn reopen(&mut self) -> io::Result<()> {
        let file = open(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = file;
        self.is_torn = false;
        Ok(())
    }

    /// `audit` becomes `audit.1`, that `audit.2`, and so on; the last one goes.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            rename(&self.numbered(number), &self.numbered(number + 1))?;
        }
        match self.keep {
            0 => fs::remove_file(&self.path)?,
            _ => rename(&self.path, &self.numbered(1))?,
        }
        self.reopen()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name: OsString = self.path.clone().into();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Whether the file that is there, if one is, can be the audit log. The error is a sentence.
pub fn check(path: &Path) -> Result<(), String> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return check_folder(path),
        Err(error) => return Err(cannot_open(path, &error)),
    };
    let path = path.display();
    if !found.is_file() {
        return Err(format!("audit.file = {path}: it is no regular file. Name another, or move it away"));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "audit.file = {path}: others can read it or write to it (mode {mode:03o}). Write: chmod 600 {path}"
        ));
    }
    Ok(())
}

fn check_folder(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(format!("audit.file: {} is no folder", folder.display())),
        Err(error) => Err(format!("audit.file: the folder {} cannot be used: {error}", folder.display())),
    }
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    format!("audit.file = {}: it cannot be opened: {error}", path.display())
}

fn open(path: &Path) -> io::Result<File> {
    // A link would lead to what somebody else chose, and a pipe would make us wait.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub fn fresh_folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("iothub-audit-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("a folder of our own");
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn it_makes_way_when_it_is_full_and_so_many_stay() {
        let folder = fresh_folder("rotation");
        let path = folder.join("audit");
        let mut file = AuditFile::open(&path, 10, 2).expect("ours");
        for line in ["one 456789\n", "two\n", "three\n", "four 56\n", "five 567890123\n", "six\n"] {
            file.write(line.as_bytes()).expect("written");
        }
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
        assert_eq!(text("audit").as_deref(), Some("six\n"));
        assert_eq!(text("audit.1").as_deref(), Some("five 567890123\n"), "a line is never cut");
        assert_eq!(text("audit.2").as_deref(), Some("four 56\n"));
        assert_eq!(text("audit.3"), None);
        assert_eq!((mode(&path), mode(&folder.join("audit.1"))), (0o600, 0o600));
        fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn what_was_moved_away_is_begun_anew_and_what_is_there_goes_on() {
        let folder = fresh_folder("reopened");
        let path = folder.join("audit");
        let mut file = AuditFile::open(&path, 1000, 0).expect("ours");
        file.write(b"one\n").expect("written");
        fs::rename(&path, folder.join("moved")).expect("ours");
        file.write(b"two\n").expect("written");
        file.reopen().expect("begun anew");
        file.write(b"three\n").expect("written");
        drop(file);
        AuditFile::open(&path, 1000, 0).expect("ours").write(b"four\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "three\nfour\n");
        assert_eq!(fs::read_to_string(folder.join("moved")).expect("there"), "one\ntwo\n");
        fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn a_file_that_others_can_read_and_what_is_no_file_are_refused() {
        let folder = fresh_folder("refused");
        let path = folder.join("audit");
        fs::write(&path, "").expect("ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        let error = AuditFile::open(&path, 1, 1).expect_err("others can read it");
        assert!(error.contains("chmod 600"), "{error}");
        let error = AuditFile::open(&folder, 1, 1).expect_err("a folder");
        assert!(error.contains("no regular file"), "{error}");
        let link = folder.join("link");
        std::os::unix::fs::symlink(folder.join("elsewhere"), &link).expect("ours");
        assert!(AuditFile::open(&link, 1, 1).is_err() && !folder.join("elsewhere").exists());
        assert!(AuditFile::open(&folder.join("none/audit"), 1, 1).is_err());
        fs::remove_dir_all(folder).expect("ours");
    }
}

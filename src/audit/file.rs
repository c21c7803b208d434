//! The file of the audit log: nobody else may read it, and when it is full it makes way for the next.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::places;

#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    /// How many of those before stay.
    keep: u32,
    /// The last line in it has no end.
    is_torn: bool,
}

/// Not everything was written.
#[derive(Debug)]
pub struct Short {
    /// So many were, from the first on.
    pub lines: u64,
    pub error: io::Error,
}

impl From<io::Error> for Short {
    fn from(error: io::Error) -> Short {
        Short { lines: 0, error }
    }
}

impl AuditFile {
    /// The error is a sentence.
    pub fn open(path: &Path, bytes_max: u64, keep: u32) -> Result<AuditFile, String> {
        let (file, bytes, is_torn) = open(path)?;
        Ok(AuditFile { path: path.to_owned(), file, bytes, bytes_max, keep, is_torn })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whole lines. Where not all of them find room, the first of them may.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Short> {
        if self.bytes > 0 && self.bytes + lines.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        if self.is_torn {
            self.append(b"\n").map_err(|short| Short { lines: 0, ..short })?;
        }
        self.append(lines)
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), Short> {
        let mut written = 0;
        while written < lines.len() {
            match self.file.write(&lines[written..]) {
                Ok(0) => return Err(self.cut(&lines[..written], io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.is_torn = lines[written - 1] != b'\n';
                    self.bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.cut(&lines[..written], error)),
            }
        }
        Ok(())
    }

    /// Takes back what was written of a line that found no room as a whole: half a line is no JSON.
    fn cut(&mut self, written: &[u8], error: io::Error) -> Short {
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let half = (written.len() - whole) as u64;
        // The length is the file's own: others may have made it shorter.
        let cut = |file: &File| file.set_len(file.metadata()?.len().saturating_sub(half));
        if half > 0 && cut(&self.file).is_ok() {
            self.bytes -= half;
            self.is_torn = false;
        }
        let lines = written.iter().filter(|byte| **byte == b'\n').count() as u64;
        Short { lines, error }
    }

    /// What can be no audit log is not taken: lines go on into the file that is open. The error has the sentence.
    pub fn reopen(&mut self) -> io::Result<()> {
        let (file, bytes, is_torn) = open(&self.path).map_err(io::Error::other)?;
        (self.file, self.bytes, self.is_torn) = (file, bytes, is_torn);
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return places::check_folder(path).map_err(|what| format!("audit.file: {what}"));
        }
        Err(error) => return Err(cannot_open(path, &error)),
    };
    judge(path, &found)?;
    places::access(path, libc::R_OK | libc::W_OK).map_err(|error| cannot_open(path, &error))
}

fn judge(path: &Path, found: &Metadata) -> Result<(), String> {
    let path = path.display();
    if !found.is_file() {
        return Err(format!("audit.file: {path} is no regular file: name another, or move it away"));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "audit.file: others can read {path} or write to it (mode {mode:03o}). Write: chmod 600 {path}"
        ));
    }
    Ok(())
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    format!(
        "audit.file: {path} cannot be opened: {error}. It has to be of the user that the broker runs as: chown USER {path}"
    )
}

/// The file, what is in it, and whether its last line has no end: whoever wrote it may have had no room, or no time. The error is a sentence.
fn open(path: &Path) -> Result<(File, u64, bool), String> {
    check(path)?;
    // A link would lead to what somebody else chose, and a pipe would make us wait.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    let file = opened.map_err(|error| cannot_open(path, &error))?;
    let found = file.metadata().map_err(|error| cannot_open(path, &error))?;
    // What was looked at before may have become something else.
    judge(path, &found)?;
    let mut last = [b'\n'];
    if found.len() > 0 {
        file.read_exact_at(&mut last, found.len() - 1).map_err(|error| cannot_open(path, &error))?;
    }
    Ok((file, found.len(), last != [b'\n']))
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

    #[test]
    fn what_becomes_readable_by_others_is_not_taken_when_it_is_opened_anew() {
        let folder = fresh_folder("anew");
        let path = folder.join("audit");
        let mut file = AuditFile::open(&path, 1000, 0).expect("ours");
        fs::rename(&path, folder.join("moved")).expect("ours");
        fs::write(&path, "").expect("ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        let error = file.reopen().expect_err("others can read it").to_string();
        assert!(error.contains("chmod 600"), "{error}");
        file.write(b"one\n").expect("written");
        assert_eq!(fs::read_to_string(folder.join("moved")).expect("there"), "one\n", "nothing is lost");
        assert_eq!(fs::read_to_string(&path).expect("there"), "");
        fs::remove_file(&path).expect("ours");
        std::os::unix::fs::symlink(folder.join("elsewhere"), &path).expect("ours");
        assert!(file.reopen().is_err() && !folder.join("elsewhere").exists());
        fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn a_line_without_an_end_gets_one_before_the_next() {
        let folder = fresh_folder("torn");
        let path = folder.join("audit");
        let mut file = AuditFile::open(&path, 1000, 0).expect("ours");
        file.append(b"{\"a\":").expect("as much as there was room for");
        file.write(b"{}\n").expect("written");
        file.append(b"{\"b\":").expect("as much as there was room for");
        file.reopen().expect("the same file");
        file.write(b"{}\n").expect("written");
        file.append(b"{\"c\":").expect("as much as there was room for");
        drop(file);
        let mut file = AuditFile::open(&path, 1000, 0).expect("ours");
        file.write(b"{}\n").expect("written");
        let text = fs::read_to_string(&path).expect("there");
        assert_eq!(text, "{\"a\":\n{}\n{\"b\":\n{}\n{\"c\":\n{}\n");
        assert_eq!(file.bytes, text.len() as u64);
        fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn of_a_line_that_finds_no_room_nothing_stays() {
        let folder = fresh_folder("short");
        let path = folder.join("audit");
        // Beyond this size the kernel writes no file of this process: nothing else here has a file so large.
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the calls take numbers and a pointer to a live rlimit, which they fill and read.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit), 0);
            limit.rlim_cur = limit.rlim_max.min(1 << 32);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        }
        let room = 20;
        let begin = limit.rlim_cur - room;
        let mut file = AuditFile::open(&path, u64::MAX, 0).expect("ours");
        file.file.set_len(begin).expect("a hole");
        file.bytes = begin;
        let short = file.write(b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n").expect_err("two have room");
        assert_eq!((short.lines, short.error.raw_os_error()), (2, Some(libc::EFBIG)));
        let short = file.write(b"{\"d\":4}\n").expect_err("no room");
        assert_eq!(short.lines, 0);
        let mut tail = vec![0; room as usize];
        let length = file.file.read_at(&mut tail, begin).expect("readable");
        assert_eq!(&tail[..length], b"{\"a\":1}\n{\"b\":2}\n");
        assert_eq!((file.bytes, file.is_torn), (begin + length as u64, false));
        file.write(b"{}").expect("as much as there is room for");
        fs::remove_dir_all(folder).expect("ours");
    }
}

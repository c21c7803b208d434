//! The mark of a shard's folder in which nothing was stored yet. Without it, a folder without a log is one that was lost.
//!
//! It is there before the folder counts, and goes when the log's first commit is on disk for certain. So a crash between any
//! two steps leaves the mark, the log, or both.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use super::private;

/// Nothing was stored in this folder yet. Where that cannot be found out, something was.
pub(crate) fn is_unused(folder: &Path) -> bool {
    folder.join(MARK).is_file()
}

/// Says so, durably. The folder is there.
pub(crate) fn mark(folder: &Path) -> io::Result<()> {
    let mut file = private::create_file(&folder.join(MARK))?;
    file.write_all(TEXT.as_bytes())?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// What was stored in the folder is on disk.
pub(crate) fn unmark(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(MARK)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(folder)?.sync_all(),
    }
}

/// A broker's first commit was written to this file of the folder.
pub(crate) fn begin(folder: &Path, segment: &Path) {
    let begun = File::open(segment).and_then(|file| file.sync_data()).and_then(|()| unmark(folder));
    if let Err(error) = begun {
        let path = folder.join(MARK);
        tracing::warn!(
            path = %path.display(),
            %error,
            "the file cannot be removed: as long as it is there, a log that is lost looks like one that was never begun"
        );
    }
}

pub(crate) const MARK: &str = "nothing-stored-yet";

const TEXT: &str = "Nothing has been stored in this folder yet. The broker removes this file when it stores something here.\n\
                    Where there is neither this file nor a log, the log was lost, and the broker says so and does not start.\n";

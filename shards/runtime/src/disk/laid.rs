//! A data directory as it is looked at from outside: nothing in it is made, locked or changed, and a broker may use it
//! meanwhile.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use shard::ShardId;

use super::{
    directory::{FORMAT, LAYOUT, Layout},
    keeper::id_of,
    lock, regular,
};
use crate::StoreError;

/// What a directory says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    path: PathBuf,
    /// The file that says it, as it is.
    text: String,
    shards: u8,
}

impl Laid {
    pub fn read(path: &Path) -> Result<Laid, StoreError> {
        let layout_path = path.join(LAYOUT);
        let text = match regular::read_text(&layout_path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_dir() => {
                return Err(absent(path)?);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::io(path, error));
            }
            Err(error) => return Err(StoreError::io(&layout_path, error)),
        };
        let layout = Layout::parse(&text)
            .ok_or_else(|| StoreError::Layout { path: layout_path.clone(), text: text.clone() })?;
        if layout.format > FORMAT {
            return Err(StoreError::Newer { path: layout_path, format: layout.format, known: FORMAT });
        }
        Ok(Laid { path: path.to_owned(), text, shards: layout.shards })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub fn shards(&self) -> u8 {
        self.shards
    }

    /// The folders of all shards, by name.
    pub fn folders(&self) -> impl Iterator<Item = String> + use<> {
        let shards = self.shards;
        (0..shards).map(move |shard| folder_of(ShardId(shard), shards))
    }

    /// Whether a process has locked it. One that may not be looked at counts as free.
    pub fn is_in_use(&self) -> bool {
        lock::is_locked(&self.path)
    }
}

/// Where this one of so many shards has its log.
pub(crate) fn folder_of(shard: ShardId, shards: u8) -> String {
    format!("shard-{}-of-{shards}", shard.0)
}

/// Whether there are segments below it, whatever it says of itself, or a restore has begun and not ended: that takes its
/// folder away when the layout is there.
pub(crate) fn has_remains(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.starts_with(RESTORING) {
            return Ok(true);
        }
        if !name.starts_with("shard-") {
            continue;
        }
        for file in fs::read_dir(entry.path())? {
            if file?.file_name().to_str().and_then(id_of).is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Why a directory that does not say for whom it was laid out is none that can be looked at.
fn absent(path: &Path) -> Result<StoreError, StoreError> {
    let has_remains = has_remains(path).map_err(|source| StoreError::io(path, source))?;
    let path = path.to_owned();
    Ok(if has_remains { StoreError::LayoutLost { path } } else { StoreError::NoStore { path } })
}

/// How the names of folders begin in which a restore gathers what it brings back.
pub(crate) const RESTORING: &str = "restoring-";

//! What is wrong with a store: where, what it means, and whether a repair can do without it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use shard::store::log::{Damage, FORMAT, Fault, Refusal};

use super::{keeper::name_of, repair, unused::MARK};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    Damaged {
        folder: PathBuf,
        damage: Damage,
    },
    Missing {
        folder: PathBuf,
        generation: u32,
        /// A file whose header cannot be read: it may be that segment.
        suspect: Option<PathBuf>,
    },
    Foreign {
        path: PathBuf,
        shard: u16,
        shards: u16,
    },
    Newer {
        path: PathBuf,
        format: u32,
    },
    Twice {
        path: PathBuf,
        other: PathBuf,
        generation: u32,
    },
    Unreadable {
        path: PathBuf,
        offset: u64,
        bytes: u64,
        what: String,
    },
    Malformed {
        path: PathBuf,
        offset: u32,
        kind: u8,
        version: u8,
    },
    /// A file that is too short for any segment.
    Emptied {
        path: PathBuf,
        bytes: u32,
    },
    /// All shards have a folder, and this one has none.
    FolderLost {
        path: PathBuf,
        /// A repair that was cut short has left it here.
        kept: Option<PathBuf>,
    },
    /// The folder is there, and nothing of its log.
    LogLost {
        path: PathBuf,
    },
}

impl Problem {
    pub(crate) fn of_refusal(folder: &Path, refusal: &Refusal) -> Problem {
        let path = |file| folder.join(name_of(file));
        match refusal {
            Refusal::Newer { file, format } => Problem::Newer { path: path(*file), format: *format },
            Refusal::Foreign { file, shard, shards } => {
                Problem::Foreign { path: path(*file), shard: *shard, shards: *shards }
            }
            Refusal::Twice { generation, files } => {
                Problem::Twice { path: path(files[1]), other: path(files[0]), generation: *generation }
            }
            Refusal::Missing { generation, suspect } => Problem::Missing {
                folder: folder.to_owned(),
                generation: *generation,
                suspect: suspect.map(path),
            },
            Refusal::Emptied { file, bytes } => Problem::Emptied { path: path(*file), bytes: *bytes },
            Refusal::Lost => Problem::lost(folder),
            Refusal::Damage(damage) => Problem::Damaged { folder: folder.to_owned(), damage: damage.clone() },
        }
    }

    /// There is no log in this folder, and there was one.
    pub(crate) fn lost(folder: &Path) -> Problem {
        let path = folder.to_owned();
        if folder.is_dir() {
            return Problem::LogLost { path };
        }
        Problem::FolderLost { path, kept: repair::kept(folder) }
    }

    /// The file, or the folder where a file is missing, and the place in it.
    pub fn place(&self) -> (PathBuf, Option<u64>) {
        match self {
            Problem::Damaged { folder, damage } => {
                (folder.join(name_of(damage.file)), Some(damage.offset.into()))
            }
            Problem::Missing { folder, .. } => (folder.clone(), None),
            Problem::Unreadable { path, offset, .. } => (path.clone(), Some(*offset)),
            Problem::Malformed { path, offset, .. } => (path.clone(), Some((*offset).into())),
            Problem::Foreign { path, .. }
            | Problem::Newer { path, .. }
            | Problem::Twice { path, .. }
            | Problem::Emptied { path, .. }
            | Problem::FolderLost { path, .. }
            | Problem::LogLost { path } => (path.clone(), None),
        }
    }

    /// Where what can be read goes on, in the same file.
    pub fn until(&self) -> Option<u64> {
        match self {
            Problem::Damaged { damage, .. } => Some(damage.until.into()),
            Problem::Unreadable { offset, bytes, .. } => Some(offset + bytes),
            _ => None,
        }
    }

    /// What a broker would have to skip.
    pub fn lost_bytes(&self) -> u64 {
        match self {
            Problem::Damaged { damage, .. } if damage.fault != Fault::Header => {
                u64::from(damage.until.saturating_sub(damage.from))
            }
            _ => 0,
        }
    }

    /// Nothing is wrong with it but that this program is too old for it.
    pub fn is_of_another_version(&self) -> bool {
        matches!(self, Problem::Newer { .. } | Problem::Malformed { .. })
    }

    /// In a few words.
    pub fn what(&self) -> String {
        match self {
            Problem::Damaged { damage, .. } => damage.fault.to_string(),
            Problem::Missing { generation, .. } => {
                format!("segment generation {generation} is missing")
            }
            Problem::Foreign { shard, shards, .. } => {
                format!("the file belongs to shard {shard} of {shards}")
            }
            Problem::Newer { format, .. } => {
                format!("the file has format {format}, and this version knows {FORMAT}")
            }
            Problem::Twice { other, generation, .. } => {
                format!("{} has segment generation {generation} as well", other.display())
            }
            Problem::Unreadable { bytes, what, .. } => {
                format!("{bytes} bytes cannot be read from the disk: {what}")
            }
            Problem::Malformed { kind, version, .. } => {
                format!("a record of kind {kind}, version {version} is not understood")
            }
            Problem::Emptied { bytes: 0, .. } => {
                "the file is empty, and no broker makes such a file".to_owned()
            }
            Problem::Emptied { bytes, .. } => {
                format!("the file has {bytes} bytes, and no broker makes one as short")
            }
            Problem::FolderLost { .. } => "the folder of this shard is missing".to_owned(),
            Problem::LogLost { .. } => {
                format!("there is no log, nor the file `{MARK}` that says that there was none yet")
            }
        }
    }

    /// What it means for whoever has stored something there.
    pub fn meaning(&self) -> String {
        match self {
            Problem::Damaged { damage, .. } => meaning_of(damage),
            Problem::Missing { suspect: Some(suspect), .. } => format!(
                "What it held cannot be read. The header of {} is not valid: it may be that segment",
                suspect.display()
            ),
            Problem::Missing { .. } => {
                "What it held cannot be read. Look for a file that was moved, renamed or deleted".to_owned()
            }
            Problem::Foreign { .. } => {
                "It was put here from elsewhere. What this shard has stored is in its other files".to_owned()
            }
            Problem::Newer { .. } | Problem::Malformed { .. } => {
                "It was written by a newer iothub: use that one".to_owned()
            }
            Problem::Twice { .. } => {
                "One of both is a copy. The other one is read, because it holds as much or more".to_owned()
            }
            Problem::Unreadable { .. } => {
                "The disk itself fails (dmesg says more). Copy the data directory to another one before anything else"
                    .to_owned()
            }
            Problem::Emptied { .. } => {
                "What it held is gone: that was the newest of what this shard had stored, an older part of it, or nothing".to_owned()
            }
            Problem::FolderLost { path, kept: Some(kept) } => back_from(kept, path),
            Problem::FolderLost { .. } | Problem::LogLost { .. } => "Everything that this shard had stored is missing".to_owned(),
        }
    }
}

/// What to do about a folder that a repair has left elsewhere.
pub(crate) fn back_from(kept: &Path, folder: &Path) -> String {
    format!(
        "A repair was cut short and has left it in {}: move that to {}, and repair again",
        kept.display(),
        folder.display()
    )
}

fn meaning_of(damage: &Damage) -> String {
    let Damage { commit, from, until, behind, .. } = damage;
    match damage.fault {
        Fault::Header => "The commits behind it can be read without it".to_owned(),
        Fault::Order => {
            let found = behind.map_or_else(String::new, |found| format!(" and {found} is there"));
            format!("Commit {commit} should be here{found}: what lies between is lost")
        }
        Fault::Commit | Fault::Record | Fault::End => {
            let proof = behind.map_or_else(
                || "commits were written behind it".to_owned(),
                |behind| format!("commit {behind} was written behind it"),
            );
            format!(
                "Commit {commit}, offset {from:#x} to {until:#x}, is not whole. No crash explains that: it was on disk \
                 before {proof}"
            )
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, offset) = self.place();
        write!(f, "{}", path.display())?;
        if let Some(offset) = offset {
            write!(f, " at offset {offset:#x}")?;
        }
        write!(f, ": {}. {}", self.what(), self.meaning())
    }
}

//! The data directory: who uses it, and for how many shards it was laid out.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use shard::{SHARDS_MAX, ShardId};

use super::{
    laid::{folder_of, has_remains},
    lock::lock,
    private, regular, unused,
};
use crate::StoreError;

/// A data directory that belongs to this process for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    layout: Layout,
    is_new: bool,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, keeps others out of it, and looks for whom it was laid out. One that was not laid out
    /// yet is laid out for so many shards, and `drawn_seed` decides the homes of its clients.
    pub fn open(path: &Path, shards: u8, drawn_seed: u64) -> Result<DataDir, StoreError> {
        let io_error = |source| StoreError::Io { path: path.to_owned(), source };
        private::create_folders(path).map_err(io_error)?;
        let lock = lock(path)?;
        let layout_path = path.join(LAYOUT);
        let mut is_new = false;
        let layout = match regular::read_text(&layout_path) {
            Ok(text) => {
                let layout = Layout::parse(&text)
                    .ok_or_else(|| StoreError::Layout { path: layout_path.clone(), text: text.clone() })?;
                if layout.format > FORMAT {
                    return Err(newer(&layout_path, layout.format));
                }
                check_folders(path, layout.shards)?;
                layout
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Laid out afresh, what is there would be nobody's.
                if has_remains(path).map_err(io_error)? {
                    return Err(StoreError::LayoutLost { path: path.to_owned() });
                }
                // Before the layout: a folder that is not there although there is one was lost, and so was what had been in one
                // that is there without its mark.
                for shard in 0..shards {
                    let folder = path.join(folder_of(ShardId(shard), shards));
                    private::create_folders(&folder).map_err(io_error)?;
                    unused::mark(&folder).map_err(io_error)?;
                }
                File::open(path).and_then(|dir| dir.sync_all()).map_err(io_error)?;
                let layout = Layout { format: FORMAT, shards, placement_seed: drawn_seed };
                layout.write(path).map_err(io_error)?;
                is_new = true;
                layout
            }
            Err(source) => return Err(StoreError::Io { path: layout_path, source }),
        };
        Ok(DataDir { path: path.to_owned(), layout, is_new, _lock: lock })
    }

    /// Whether a directory can be at this place, as far as whoever asks may look. Nothing is made or locked.
    pub fn check_place(path: &Path) -> Result<(), StoreError> {
        let not_a_directory = || io::Error::from_raw_os_error(libc::ENOTDIR);
        for place in path.ancestors().filter(|place| !place.as_os_str().is_empty()) {
            match fs::metadata(place) {
                Ok(found) if found.is_dir() => return Ok(()),
                Ok(_) => return Err(StoreError::io(path, not_a_directory())),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
                // It is made, or something above it is in its way.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// It was laid out just now: nothing was there.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where this one of so many shards has its log. Another number of shards has other folders.
    pub fn shard_dir(&self, shard: ShardId, shards: u8) -> PathBuf {
        self.path.join(folder_of(shard, shards))
    }

    /// What decides the home of each client, the same as when the directory was laid out.
    pub fn placement_seed(&self) -> u64 {
        self.layout.placement_seed
    }

    /// For how many shards the directory was laid out when it was opened.
    pub fn laid_out(&self) -> u8 {
        self.layout.shards
    }

    /// From now on the folders of so many shards are those that count.
    pub(super) fn switch(&self, shards: u8) -> io::Result<()> {
        Layout { shards, ..self.layout }.write(&self.path)
    }

    /// The number of shards in the names of all folders of shards that are there.
    pub(super) fn shard_dirs(&self) -> io::Result<Vec<(PathBuf, u8)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if let Some(shards) = entry.file_name().to_str().and_then(shards_in) {
                found.push((entry.path(), shards));
            }
        }
        Ok(found)
    }
}

/// Without its folder a shard would begin with nothing, and say nothing of what it had.
fn check_folders(path: &Path, shards: u8) -> Result<(), StoreError> {
    let mut folders = (0..shards).map(|shard| path.join(folder_of(ShardId(shard), shards)));
    match folders.find(|folder| !folder.is_dir()) {
        Some(folder) => Err(StoreError::folder_lost(path, folder)),
        None => Ok(()),
    }
}

/// What every shard must agree on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) format: u32,
    pub(crate) shards: u8,
    placement_seed: u64,
}

impl Layout {
    pub(crate) fn parse(text: &str) -> Option<Layout> {
        let mut lines = text.lines();
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(" = ").map(str::to_owned);
        let format = value("format")?.parse().ok()?;
        if format > FORMAT {
            // What else it says is not known here.
            return Some(Layout { format, shards: 1, placement_seed: 0 });
        }
        let (shards, placement_seed) =
            (value("shards")?.parse().ok()?, value("placement_seed")?.parse().ok()?);
        let layout = Layout { format, shards, placement_seed };
        let is_possible = format > 0 && (1..=SHARDS_MAX).contains(&usize::from(shards));
        // A wrong number would make folders that count pass for what a move has left.
        (is_possible && layout.text() == text).then_some(layout)
    }

    fn text(&self) -> String {
        let Layout { format, shards, placement_seed } = self;
        let said = format!("format = {format}\nshards = {shards}\nplacement_seed = {placement_seed}\n");
        let checksum = crc32c::crc32c(said.as_bytes());
        format!("{said}checksum = {checksum:08x}\n")
    }

    /// All of it is there, or none.
    fn write(&self, dir: &Path) -> io::Result<()> {
        let scratch = dir.join(format!("{LAYOUT}.part"));
        let mut file = private::create_file(&scratch)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&scratch, dir.join(LAYOUT))?;
        File::open(dir)?.sync_all()
    }
}

/// None: it is not the name of a shard's folder.
fn shards_in(name: &str) -> Option<u8> {
    let (shard, shards) = name.strip_prefix("shard-")?.split_once("-of-")?;
    let (shard, shards): (u8, u8) = (shard.parse().ok()?, shards.parse().ok()?);
    (folder_of(ShardId(shard), shards) == name && shard < shards).then_some(shards)
}

fn newer(path: &Path, format: u32) -> StoreError {
    StoreError::Newer { path: path.to_owned(), format, known: FORMAT }
}

pub(crate) const LAYOUT: &str = "layout";

/// Of the directory; segments have one of their own.
pub(crate) const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_survives_its_file() {
        let text = "format = 1\nshards = 4\nplacement_seed = 18446744073709551615\nchecksum = 5bb47bdd\n";
        let layout = Layout::parse(text).expect("it is right");
        assert_eq!((layout.format, layout.shards, layout.placement_seed), (1, 4, u64::MAX));
        assert_eq!(layout.text(), text);
        for wrong in ["", "format = 1\n", "format = x\nshards = 1\nplacement_seed = 1", "shards = 1"] {
            assert!(Layout::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_layout_that_was_changed_is_none() {
        let layout = Layout { format: 1, shards: 4, placement_seed: 77 };
        for (from, to) in
            [("shards = 4", "shards = 2"), ("seed = 77", "seed = 78"), ("format = 1", "format = 0")]
        {
            assert!(Layout::parse(&layout.text().replace(from, to)).is_none(), "{to}");
        }
        for shards in [0, 129, 255] {
            assert!(Layout::parse(&Layout { shards, ..layout }.text()).is_none(), "{shards}");
        }
        let later = layout.text().replace("format = 1", "format = 2");
        assert_eq!(Layout::parse(&later).map(|layout| layout.format), Some(2));
    }

    #[test]
    fn only_what_is_named_like_a_shards_folder_is_one() {
        assert_eq!(shards_in(&folder_of(ShardId(0), 1)), Some(1));
        assert_eq!(shards_in(&folder_of(ShardId(126), 127)), Some(127));
        let others =
            ["shard-0", "shard-2-of-2", "shard-00-of-2", "shard--of-2", "shard-0-of-2.bak", "shard-0-of-300"];
        for name in others {
            assert_eq!(shards_in(name), None, "{name}");
        }
    }
}

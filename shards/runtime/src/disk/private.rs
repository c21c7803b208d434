//! What is stored is for the broker's user alone: how its folders and files are made. What is there already keeps its mode.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER_MODE).create(path)
}

/// Also where it is there already. Those above it are made as everybody's are.
pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    match create_folder(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            create_folder(path)
        }
        outcome => outcome,
    }
}

/// Empty, to be written.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    options().write(true).create(true).truncate(true).open(path)
}

/// For a file that may have to be made.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_made_is_for_its_owner_alone_and_what_is_there_keeps_its_mode() {
        let folder = std::env::temp_dir().join(format!("iothub-private-{}", std::process::id()));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        let inner = folder.join("inner");
        create_folders(&inner).expect("made");
        create_folders(&inner).expect("it is there");
        assert_eq!(mode(&inner), 0o700);
        let file = inner.join("file");
        create_file(&file).expect("made");
        assert_eq!(mode(&file), 0o600);
        for path in [&inner, &file] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o750)).expect("ours");
        }
        create_folders(&inner).expect("it is there");
        create_file(&file).expect("it is there");
        assert_eq!((mode(&inner), mode(&file)), (0o750, 0o750));
        assert!(create_folders(&file).is_err(), "it is a file");
        fs::remove_dir_all(folder).expect("removed");
    }
}

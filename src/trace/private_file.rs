//! The file that a capture goes to: it holds what clients send, so it is this user's own, and nobody else on this machine can have laid it there.

use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Empty, and for its owner alone. A pipe of our own and a device keep what they have. The error is a sentence.
pub fn open(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let failed = |error: io::Error| format!("{shown} cannot be written: {error}");
    let mut options = OpenOptions::new();
    options.write(true).mode(FILE_MODE);
    // Nothing is made, and nothing taken away, behind a link.
    let by_link = |error: io::Error| match error.raw_os_error() {
        Some(libc::ELOOP) => OpenOptions::new().write(true).open(path).map(|file| (file, true)),
        _ => Err(error),
    };
    let made = options.clone().create(true).truncate(false).custom_flags(libc::O_NOFOLLOW).open(path);
    let (file, is_link) = made.map(|file| (file, false)).or_else(by_link).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if is_link && found.is_file() {
        return Err(format!(
            "{shown} is a link, and what clients send would be written to a file that somebody else may have chosen: \
             name the file itself, or another one"
        ));
    }
    // SAFETY: the call has no arguments and always succeeds.
    let me = unsafe { libc::geteuid() };
    if (found.is_file() || found.file_type().is_fifo()) && found.uid() != me {
        return Err(format!(
            "{shown} is another user's, who could read what clients send: remove it first, or name another one"
        ));
    }
    if found.is_file() {
        if found.nlink() > 1 {
            return Err(format!(
                "{shown} has another name as well, under which it would be overwritten: remove it first, or name another one"
            ));
        }
        file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
    }
    Ok(file)
}

const FILE_MODE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_capture_is_for_its_owner_alone_and_never_behind_a_link() {
        let folder = std::env::temp_dir().join(format!("iothub-capture-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        let path = folder.join("capture");
        for _ in 0..2 {
            drop(open(&path).expect("a file"));
            let found = fs::metadata(&path).expect("a file");
            assert_eq!((found.permissions().mode() & 0o777, found.len()), (0o600, 0));
            fs::write(&path, "precious").expect("ours");
            fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("ours");
        }
        symlink(&path, folder.join("link")).expect("a link");
        fs::hard_link(&path, folder.join("name")).expect("another name");
        for (name, what) in [("link", "is a link"), ("name", "has another name")] {
            let error = open(&folder.join(name)).expect_err(name);
            assert!(
                error.contains(what) && error.contains("or name another one") || what == "is a link",
                "{error}"
            );
        }
        symlink(folder.join("nowhere"), folder.join("dangling")).expect("a link");
        assert!(open(&folder.join("dangling")).is_err() && !folder.join("nowhere").exists());
        let found = fs::metadata(&path).expect("a file");
        assert_eq!((found.permissions().mode() & 0o777, found.len()), (0o644, 8), "nothing was touched");
        open(Path::new("/dev/null")).expect("what is no file is written as it is");
        symlink("/dev/null", folder.join("to-null")).expect("a link");
        open(&folder.join("to-null")).expect("so are links to it, as those of a shell to its pipes are");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn the_file_of_another_user_is_left_as_it_is() {
        // SAFETY: the call has no arguments and always succeeds.
        if unsafe { libc::geteuid() } != 0 {
            return;
        }
        let path = std::env::temp_dir().join(format!("iothub-others-{}", std::process::id()));
        fs::write(&path, "victim").expect("written");
        std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).expect("root may");
        let error = open(&path).expect_err("another user's");
        assert!(error.contains("another user's"), "{error}");
        assert_eq!(fs::read(&path).expect("it is there"), b"victim");
        fs::remove_file(path).expect("removed");
    }
}

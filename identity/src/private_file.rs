//! Files that are a door where others can get at them: those with secrets, and those that say who may do what.

use std::{os::unix::fs::MetadataExt, path::Path};

use zeroize::Zeroizing;

use crate::{
    Secret,
    named_file::{FILE_BYTES_MAX, FileError, Holds, NamedFile},
};

/// The whole of a file that others can neither read nor change. Links are followed, as those of mounted secrets must be.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_guarded(path, Holds::Secrets)
}

/// The whole of a file that says who may do what: others may read it, and cannot change it.
pub fn read_rights(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_guarded(path, Holds::Rights)
}

/// The same for whoever only asks what it says, and why a broker would refuse it.
pub fn read_open_rights(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Option<FileError>), FileError> {
    let file = NamedFile::open(path)?;
    let refusal = refusal(path, &file, Holds::Rights);
    Ok((file.read(FILE_BYTES_MAX)?, refusal))
}

fn read_guarded(path: &Path, holds: Holds) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = NamedFile::open(path)?;
    match refusal(path, &file, holds) {
        Some(refusal) => Err(refusal),
        None => file.read(FILE_BYTES_MAX),
    }
}

fn refusal(path: &Path, file: &NamedFile, holds: Holds) -> Option<FileError> {
    let what = openness(file.metadata.mode(), holds)?;
    Some(FileError::Open { path: path.to_owned(), what, holds, remedy: remedy(path, what, holds) })
}

/// One secret in a file of its own. The line break that editors end a file with is no part of it.
pub fn read_secret(path: &Path) -> Result<Secret, FileError> {
    let bytes = read(path)?;
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    match text.is_empty() {
        true => Err(FileError::Empty { path: path.to_owned() }),
        false => Ok(Secret::new(text)),
    }
}

/// What the mode of a file lets others do. Its group may read: that is how a broker gets files of root.
fn openness(mode: u32, holds: Holds) -> Option<&'static str> {
    match mode {
        mode if mode & 0o022 != 0 => Some("change"),
        mode if mode & 0o004 != 0 && holds == Holds::Secrets => Some("read"),
        _ => None,
    }
}

/// What to do about it. The volume of a secret in Kubernetes can be told by its links, and takes no chmod.
fn remedy(path: &Path, what: &str, holds: Holds) -> String {
    let (mode, mounted) = match (holds, what) {
        (Holds::Rights, _) => ("go-w", "0444"),
        (Holds::Secrets, "change") => ("go-w,o=", "0440"),
        (Holds::Secrets, _) => ("o=", "0440"),
    };
    let is_hidden = |part: std::path::Component<'_>| {
        let part = part.as_os_str().as_encoded_bytes();
        part.starts_with(b"..") && part.len() > 2
    };
    if path.canonicalize().is_ok_and(|real| real.components().any(is_hidden)) {
        return format!(
            "give its volume defaultMode: {mounted}, and the pod a securityContext with fsGroup, the group of the broker"
        );
    }
    format!("chmod {mode} {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::{env, fs, fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf, process};

    use super::*;

    fn file(name: &str, mode: u32, bytes: &[u8]) -> PathBuf {
        let path = env::temp_dir().join(format!("iothub-private-{}-{name}", process::id()));
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        path
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused_with_the_remedy() {
        for (mode, what) in [(0o644, "read"), (0o604, "read"), (0o620, "change"), (0o666, "change")] {
            let path = file("open", mode, b"x");
            let sentence = read(&path).expect_err("refused").to_string();
            assert!(sentence.starts_with(&format!("others on this machine can {what}")), "{sentence}");
            let modes = if what == "change" { "go-w,o=" } else { "o=" };
            assert!(sentence.ends_with(&format!("chmod {modes} {}", path.display())), "{sentence}");
            fs::remove_file(path).expect("removed");
        }
        for mode in [0o600, 0o640, 0o400] {
            let path = file("closed", mode, b"x");
            assert_eq!(*read(&path).expect("taken"), b"x");
            fs::remove_file(path).expect("removed");
        }
    }

    #[test]
    fn a_file_of_rights_that_others_can_change_is_refused_with_the_remedy() {
        for mode in [0o666, 0o620, 0o602, 0o664] {
            let path = file("rights", mode, b"x");
            let sentence = read_rights(&path).expect_err("refused").to_string();
            let shown = path.display();
            let (bytes, refusal) = read_open_rights(&path).expect("it says something");
            assert_eq!(
                (&**bytes, refusal.map(|refusal| refusal.to_string())),
                (&b"x"[..], Some(sentence.clone()))
            );
            assert_eq!(
                sentence,
                format!(
                    "others on this machine can change {shown}, which says who may do what: chmod go-w {shown}"
                )
            );
            fs::remove_file(path).expect("removed");
        }
        for mode in [0o600, 0o644, 0o444] {
            let path = file("readable", mode, b"x");
            assert_eq!(*read_rights(&path).expect("taken"), b"x");
            assert!(read_open_rights(&path).expect("taken").1.is_none());
            fs::remove_file(path).expect("removed");
        }
    }

    #[test]
    fn a_secret_that_is_mounted_is_put_right_where_it_comes_from() {
        let mount = env::temp_dir().join(format!("iothub-private-mount-{}", process::id()));
        fs::create_dir_all(mount.join("..2026_1")).expect("a folder");
        let real = mount.join("..2026_1/users");
        fs::write(&real, b"x").expect("a file");
        std::os::unix::fs::symlink("..2026_1", mount.join("..data")).expect("a link");
        std::os::unix::fs::symlink("..data/users", mount.join("users")).expect("a link");
        fs::set_permissions(&real, Permissions::from_mode(0o644)).expect("its mode");
        let sentence = read(&mount.join("users")).expect_err("refused").to_string();
        assert!(sentence.contains("defaultMode: 0440") && sentence.contains("fsGroup"), "{sentence}");
        fs::set_permissions(&real, Permissions::from_mode(0o440)).expect("its mode");
        assert_eq!(*read(&mount.join("users")).expect("taken"), b"x");
        fs::remove_dir_all(mount).expect("removed");
    }

    #[test]
    fn a_secret_ends_before_its_line_break() {
        for (bytes, secret) in
            [(&b"a b\n"[..], &b"a b"[..]), (b"a\r\n", b"a"), (b"a", b"a"), (b"a\n\n", b"a\n")]
        {
            let path = file("secret", 0o600, bytes);
            assert_eq!(read_secret(&path).expect("a secret").expose(), secret);
            fs::remove_file(path).expect("removed");
        }
        let path = file("empty", 0o600, b"\n");
        assert!(matches!(read_secret(&path), Err(FileError::Empty { .. })));
        fs::remove_file(path).expect("removed");
    }
}

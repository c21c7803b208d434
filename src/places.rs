//! Places in the file system that a start takes: what would keep it from that, found out without making anything.

use std::{
    ffi::CString,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::FileTypeExt as _},
    path::Path,
};

use runtime::{DataDir, StartError};

use crate::{
    api, audit, bans,
    config::{self, Control, Fault, Settings},
    decoys,
    numbering::Numbers,
};

/// What would keep a start from the places that the settings name, but for those of listeners.
pub fn check(settings: &Settings) -> Vec<Fault> {
    let Settings { store, control, api, .. } = settings;
    let named = |path: &str| (!path.is_empty()).then(|| Path::new(path).to_owned());
    let dir = named(&store.dir).and_then(|dir| check_data_dir(&dir).and_then(|()| check_kept(&dir)).err());
    let socket = named(&control.socket).filter(|path| path.as_os_str() != Control::AUTO);
    let socket = socket.and_then(|path| check_socket(&path).err());
    // One that is there is read with the other files.
    let tokens = named(&api.tokens_file).filter(|path| !api.listen.is_empty() && !path.exists());
    let tokens = tokens.and_then(|path| check_folder(&path).err());
    let backups = named(&store.backup_dir).and_then(|folder| check_folder(&folder.join("backup")).err());
    let of = |section, name, what: Option<String>| what.map(|what| Fault::of(section, name, what));
    let files = [
        of("store", "dir", dir),
        of("store", "backup_dir", backups),
        of("control", "socket", socket),
        of("api", "tokens_file", tokens),
    ];
    let audit = audit::check(&settings.audit).err().into_iter().flatten();
    files.into_iter().flatten().chain(api::check_addresses(api)).chain(audit).collect()
}

/// What would keep the listeners from their places in the file system.
pub fn check_sockets(numbers: &Numbers) -> Vec<Fault> {
    let (section, name) = config::listen_addresses();
    let mut faults = Vec::new();
    for entrance in numbers.open() {
        if let runtime::Place::Unix { path, .. } = &entrance.place
            && let Err(what) = check_socket(path)
        {
            faults.push(Fault::of(section, name, what).at(&entrance.address));
        }
    }
    faults
}

/// A file can be made at this path.
pub fn check_folder(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => access(folder, libc::W_OK | libc::X_OK).map_err(|error| {
            format!("nothing can be made in the folder {shown}: {error}. {}", let_in(folder))
        }),
        Ok(_) => Err(format!("{shown} is no folder: name a path in one")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("there is no folder {shown}: make it (install -d {shown}), or name another path"))
        }
        Err(error) => Err(format!("the folder {shown} cannot be used: {error}. {}", let_in(folder))),
    }
}

/// Whether this process may do that with what is there, by the rights that it has now.
pub fn access(path: &Path, mode: libc::c_int) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends with NUL and lives until the call has returned.
    match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// It is there, or its nearest folder above takes it.
fn check_data_dir(dir: &Path) -> Result<(), String> {
    DataDir::check_place(dir).map_err(|error| error.to_string())?;
    let above =
        |place: &'_ Path| if place.as_os_str().is_empty() { Path::new(".") } else { place }.to_owned();
    let nearest = dir.ancestors().map(above).find(|place| place.is_dir());
    let nearest = nearest.unwrap_or_else(|| Path::new("/").to_owned());
    access(&nearest, libc::W_OK | libc::X_OK).map_err(|error| {
        let (shown, remedy) = (nearest.display(), let_in(&nearest));
        match nearest == dir {
            true => format!("the data directory cannot be written to: {error}. {remedy}"),
            false => format!("the data directory cannot be made in {shown}: {error}. {remedy}"),
        }
    })
}

/// What a start reads of it beside what was stored.
fn check_kept(dir: &Path) -> Result<(), String> {
    bans::check(dir)?;
    decoys::load(&dir.to_string_lossy()).map(drop)
}

/// What an ended process has left is cleared by the start.
fn check_socket(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(StartError::PathInUse { path: path.to_owned() }.to_string())
        }
        _ => check_folder(path),
    }
}

fn let_in(folder: &Path) -> String {
    format!("It has to be writable for the user that the broker runs as: chown USER {}", folder.display())
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::net::UnixListener,
        path::PathBuf,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::config::{self, Flags, Loaded};

    /// A folder that goes with its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name = format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(format!("iothub-places-{name}-{}", std::process::id()));
            drop(fs::remove_dir_all(&path));
            fs::create_dir(&path).expect("a folder");
            Folder(path)
        }

        fn join(&self, name: &str) -> String {
            self.0.join(name).display().to_string()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn loaded(text: &str) -> Loaded {
        let folder = Folder::new("config");
        let path = folder.0.join("broker.toml");
        fs::write(&path, text).expect("written");
        config::load(Some(&path), [], &Flags::default()).expect("no problem")
    }

    /// Without the path of the configuration.
    fn told(text: &str) -> Vec<String> {
        let loaded = loaded(text);
        let sentences = loaded.sentences(&check(&loaded.settings));
        sentences
            .iter()
            .map(|told| told.split_once("broker.toml, ").expect("its line").1.to_owned())
            .collect()
    }

    #[test]
    fn a_folder_that_is_missing_is_named_with_the_key_and_the_line() {
        let folder = Folder::new("missing");
        let gone = folder.join("gone/it");
        let what = format!("there is no folder {}", folder.join("gone"));
        for (section, name) in [("control", "socket"), ("api", "tokens_file"), ("audit", "file")] {
            let sentences = told(&format!("[{section}]\n{name} = \"{gone}\"\n"));
            assert_eq!(sentences.len(), 1, "{sentences:?}");
            let expected = format!("line 2: {section}.{name} = \"{gone}\": {what}: make it");
            assert!(sentences[0].starts_with(&expected), "{sentences:?}");
        }
        assert!(told(&format!("[store]\ndir = \"{gone}\"\n")).is_empty(), "a start makes it");
        assert!(told(&format!("[api]\nlisten = []\ntokens_file = \"{gone}\"\n")).is_empty(), "nobody asks");
        assert!(!folder.0.join("gone").exists());
    }

    #[test]
    fn what_stands_in_the_way_of_a_socket_is_named() {
        let folder = Folder::new("socket");
        let path = folder.join("x.sock");
        let text = format!("[control]\nsocket = \"{path}\"\n");
        assert!(told(&text).is_empty());
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(told(&text).is_empty(), "what an ended broker leaves is cleared");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        assert!(told(&text)[0].contains("something that is no socket"), "{:?}", told(&text));
        assert!(told("[control]\nsocket = \"auto\"\n").is_empty());
    }

    #[test]
    fn a_file_is_no_folder() {
        let folder = Folder::new("file");
        fs::write(folder.0.join("plain"), "").expect("written");
        let below = check_folder(&folder.0.join("plain/it")).expect_err("no folder");
        assert!(below.ends_with("plain is no folder: name a path in one"), "{below}");
    }

    #[test]
    fn an_address_of_the_api_that_no_start_could_take_is_named() {
        let sentences =
            told("[api]\ninsecure = true\nlisten = [\"127.0.0.1:0\", \"no-such-host.invalid:1\"]\n");
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        assert!(sentences[0].starts_with("line 3: api.listen = [") && sentences[0].contains("no-such-host"));
        // The address is of the block for documentation: no machine has it.
        let sentences = told("[api]\ninsecure = true\nlisten = [\"192.0.2.1:1\"]\n");
        assert!(sentences[0].contains("this machine has no such address"), "{sentences:?}");
    }
}

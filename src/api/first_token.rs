//! How the token that the first start makes comes to whoever runs the broker: on his terminal, or in a file that nobody else can
//! read. The log never has it, because logs are kept, copied and read by many.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use identity::{ReplaceError, Replacement};
use zeroize::Zeroizing;

/// What a start has to say about it.
pub struct FirstToken {
    pub teller: Teller,
    /// None: none was made.
    pub secret: Option<Zeroizing<String>>,
    /// The file of hashes, if there is one.
    pub hashes: Option<PathBuf>,
}

/// Where it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Teller {
    Terminal,
    File(PathBuf),
    /// Somebody starts a broker that keeps nothing, and does not look on: none is made.
    Nobody,
}

impl Teller {
    /// `hashes` is the file of hashes, if there is one.
    pub fn find(hashes: Option<&Path>) -> Teller {
        let is_seen = io::stderr().is_terminal() || io::stdout().is_terminal();
        match hashes {
            _ if is_seen => Teller::Terminal,
            Some(path) => {
                let path = beside(path);
                // Whoever reads the name is seldom in the folder that the broker was started in.
                Teller::File(std::path::absolute(&path).unwrap_or(path))
            }
            None => Teller::Nobody,
        }
    }

    /// Before its hash is kept: a token that nobody has been told helps nobody.
    pub fn keep(&self, secret: &str) -> Result<(), ReplaceError> {
        let Teller::File(path) = self else { return Ok(()) };
        // One that is there is of tokens that are gone, and may be for other eyes.
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(ReplaceError::Unwritable { path: path.clone(), error });
        }
        let line = Zeroizing::new(format!("{secret}\n"));
        Replacement::begin(path).and_then(|replacement| replacement.finish(line.as_bytes()))
    }

    /// Its hash could not be kept.
    pub fn forget(&self) {
        if let Teller::File(path) = self {
            // What stays there opens nothing, and the next start writes over it.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl FirstToken {
    pub fn tell(&self) {
        match (&self.teller, &self.secret) {
            (Teller::Terminal, Some(secret)) => print(secret, self.hashes.as_deref()),
            (Teller::File(path), Some(_)) => {
                let path = path.display();
                tracing::info!(
                    "the API's first token, with the role admin, is in {path}, which only its owner can read: \
                     iothub ctl --token-file takes it from there. Delete the file when you have kept it elsewhere"
                );
            }
            (Teller::Nobody, _) => tracing::info!(
                "the API has no token, because there is neither a terminal nor a data directory to tell one: name a data \
                 directory (store.dir), or a file of tokens (api.tokens_file) and make one (iothub token add NAME --file FILE)"
            ),
            (_, None) => {}
        }
    }
}

/// Of these hashes alone: others may be in the same folder.
pub fn beside(hashes: &Path) -> PathBuf {
    let mut path = hashes.as_os_str().to_owned();
    path.push(".first");
    path.into()
}

/// Past the log, on whichever of both is a terminal.
fn print(secret: &str, hashes: Option<&Path>) {
    let until = match hashes {
        Some(path) => format!("its hash is in {}", path.display()),
        None => "it ends with this process, because there is no data directory".to_owned(),
    };
    let line = Zeroizing::new(format!(
        "the API's first token, with the role admin, shown this once and not in the log ({until}):\n{secret}\n"
    ));
    // The log's thread has the lock of standard error for good, so that another handle is written to.
    let handle = if io::stderr().is_terminal() {
        io::stderr().as_fd().try_clone_to_owned()
    } else {
        io::stdout().as_fd().try_clone_to_owned()
    };
    // A terminal that is gone has nobody who could be told.
    let _ = handle.and_then(|handle| File::from(handle).write_all(line.as_bytes()));
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn each_file_of_hashes_has_one_of_its_own() {
        let [one, other, former] =
            ["/etc/iothub/a.tokens", "/etc/iothub/b.tokens", "/etc/iothub/a.tokens.first"].map(Path::new);
        assert_eq!(beside(one), former);
        assert_ne!(beside(one), beside(other));
        assert_ne!(beside(former), former, "its hashes would take the place of the token");
    }

    #[test]
    fn a_file_with_it_is_for_its_owner_alone_whatever_was_there() {
        let path = std::env::temp_dir().join(format!("iothub-first-token-{}", std::process::id()));
        fs::write(&path, "of long ago").expect("the folder can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its mode");
        Teller::File(path.clone()).keep("iothub_x").expect("kept");
        assert_eq!(fs::read_to_string(&path).expect("there"), "iothub_x\n");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).expect("there");
        let nowhere = Teller::File(path.join("nowhere"));
        assert!(nowhere.keep("iothub_x").is_err());
    }
}

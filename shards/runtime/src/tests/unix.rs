//! Doors in the file system.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use super::client::{config, start};
use crate::{Config, Door, Place, StartError};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("iothub-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn at(path: &Path, shards: u8) -> Config {
    let place = Place::Unix { path: path.to_owned(), mode: 0o660 };
    Config { doors: vec![Door::plain(place)], ..config(shards) }
}

fn ask(path: &Path) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"E").unwrap();
    let mut answer = vec![0];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn every_shard_serves_a_socket_in_the_file_system() {
    let folder = Folder::new("unix-serves");
    let path = folder.0.join("mqtt.sock");
    let (broker, _) = start(at(&path, 3));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    for home in [0, 1, 2, 1] {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(&[b'H', home, 7]).unwrap();
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [home, 7]);
    }
    drop(broker);
    assert!(!path.exists(), "an orderly end takes the socket away");
}

#[test]
fn what_a_killed_broker_left_is_cleared_and_nothing_else() {
    let folder = Folder::new("unix-cleared");
    let path = folder.0.join("mqtt.sock");
    let refusal = |path: &Path| crate::start(at(path, 1)).err().expect("it cannot start");

    let living = UnixListener::bind(&path).unwrap();
    assert!(matches!(refusal(&path), StartError::AddressInUse { .. }));
    drop(living);
    assert!(path.exists(), "a listener leaves its socket behind");
    let (broker, _) = start(at(&path, 1));
    assert_eq!(ask(&path), b"E");
    drop(broker);

    fs::write(&path, "precious").unwrap();
    assert!(matches!(refusal(&path), StartError::PathInUse { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"precious");

    let missing = folder.0.join("nowhere/mqtt.sock");
    let error = refusal(&missing);
    assert!(matches!(error, StartError::Path { .. }), "{error}");
}

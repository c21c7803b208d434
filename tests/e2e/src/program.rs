//! Where the programs are that the tests start, and what to do when one is missing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The broker that cargo built beside this test.
pub fn iothub() -> PathBuf {
    let program = beside_test("iothub");
    assert!(
        program.exists(),
        "There is no broker to test at {}: run `cargo build --bin iothub` first, with the same profile and target \
         directory.",
        program.display()
    );
    program
}

/// A binary of this package: `target/<profile>/<name>` next to `target/<profile>/deps/<test>`.
pub fn beside_test(name: &str) -> PathBuf {
    profile_folder().join(name)
}

/// A program of the system that `tests/e2e/setup` installs.
pub fn installed(name: &str) -> PathBuf {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not installed: {REMEDY}"))
}

/// mosquitto's broker, which Debian keeps out of the PATH of those who are not root.
pub fn mosquitto() -> PathBuf {
    let outside = PathBuf::from("/usr/sbin/mosquitto");
    if outside.is_file() { outside } else { installed("mosquitto") }
}

/// The Python of the virtual environment with the pinned clients.
pub fn python() -> PathBuf {
    let python = clients_folder().join("venv/bin/python");
    assert!(python.exists(), "There is no Python with MQTT clients at {}: {REMEDY}", python.display());
    python
}

/// The folder with the JavaScript peer and its installed packages.
pub fn node_folder() -> PathBuf {
    let folder = clients_folder().join("node");
    assert!(
        folder.join("node_modules/mqtt/package.json").exists() && folder.join("peer.mjs").exists(),
        "There is no MQTT.js in {}: {REMEDY}",
        folder.display()
    );
    folder
}

/// A file of this package, for example a script.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A command without the configuration that the environment of the tests may hold.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("IOTHUB_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// An empty folder that no other test of any process has.
pub fn fresh_folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("iothub-e2e-{}-{count}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// `tests/e2e/setup` installs there; the variable is for a target directory elsewhere.
fn clients_folder() -> PathBuf {
    match env::var_os("IOTHUB_E2E_CLIENTS") {
        Some(folder) => folder.into(),
        None => source("../../target/e2e"),
    }
}

fn profile_folder() -> PathBuf {
    let test = env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).expect("cargo keeps tests in target/<profile>/deps");
    folder.to_owned()
}

const REMEDY: &str = "run `tests/e2e/setup` first, which installs the clients that these tests drive.";

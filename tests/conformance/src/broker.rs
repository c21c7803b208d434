//! The broker under test: the one that `IOTHUB_TEST_BROKER` names, or an `iothub` that this process starts and ends.

use std::env;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(20);
const START_POLL: Duration = Duration::from_millis(10);

/// Where the broker listens. The first call starts it, and all tests of this process share it.
pub fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| match env::var("IOTHUB_TEST_BROKER") {
        Ok(text) => {
            text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).unwrap_or_else(|| {
                panic!("IOTHUB_TEST_BROKER is `{text}`: write host:port, as in 127.0.0.1:1883")
            })
        }
        Err(_) => start(),
    })
}

/// Whether the broker is our own. Then what the specification only recommends is required, too.
pub fn is_ours() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    *OURS.get_or_init(|| env::var_os("IOTHUB_TEST_BROKER").is_none())
}

fn start() -> SocketAddr {
    let program = program();
    let folder = fresh_folder(&program);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);

    // The kernel sends the death signal when the *thread* that started the child ends. A test's thread ends with its
    // test, so a thread of its own starts the broker and stays with it until the process ends.
    let (started, result) = mpsc::channel();
    let log = folder.join("stderr.log");
    let log_path = log.clone();
    thread::spawn(move || {
        let mut child = spawn(&program, &folder, &log, address);
        started.send(await_listener(&mut child, address)).unwrap();
        let status = child.wait();
        eprintln!("the broker under test ended: {status:?}");
    });
    if let Err(why) = result.recv().unwrap() {
        let log = fs::read_to_string(&log_path).unwrap_or_default();
        panic!("{why}\n--- {} ---\n{log}", log_path.display());
    }
    address
}

/// The `iothub` that cargo built beside this test: `target/<profile>/iothub` next to `target/<profile>/deps/<test>`.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("cargo keeps tests in target/<profile>/deps");
    let program = profile.join("iothub");
    assert!(
        program.exists(),
        "There is no broker to test at {}: run `cargo build --bin iothub` first (with the same profile and target \
         directory), or set IOTHUB_TEST_BROKER=host:port to test another one.",
        program.display()
    );
    program
}

/// An empty working directory, so that neither a configuration file nor stored sessions of an earlier run count.
fn fresh_folder(program: &Path) -> PathBuf {
    let test = env::current_exe().unwrap();
    let name = test.file_name().unwrap().to_string_lossy().into_owned();
    let folder = program.parent().unwrap().join("conformance").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn spawn(program: &Path, folder: &Path, log: &Path, address: SocketAddr) -> Child {
    let shards = env::var("IOTHUB_TEST_SHARDS").unwrap_or_else(|_| "2".into());
    let mut command = Command::new(program);
    command
        .args(["--listen", &format!("tcp://{address}"), "--shards", &shards])
        .env("IOTHUB_API__LISTEN", "")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap());
    // SAFETY: prctl is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()))
}

fn await_listener(child: &mut Child, address: SocketAddr) -> Result<(), String> {
    let deadline = Instant::now() + START_MAX;
    loop {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("iothub ended before it listened on {address}: {status}"));
        }
        if Instant::now() > deadline {
            return Err(format!("iothub did not listen on {address} within {START_MAX:?}"));
        }
        thread::sleep(START_POLL);
    }
}

//! Data directories that a broker does not take, each with the sentence that says why and what to do.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use client::{QoS, Version};
use e2e::link::lasting;
use e2e::{Ended, Link, Process, Setup, program};

use crate::shelf::Shelf;

#[test]
fn a_directory_in_use_is_left_alone() {
    let dir = fresh("in-use");
    let first = on(&dir, 2).start();
    let mut reader = Link::connect(first.port, lasting(Version::V311, "reader"));
    reader.subscribe("still/here", QoS::AtLeastOnce);
    refuses(on(&dir, 2), &[&shown(&dir), "is in use by another process", "--data-dir"]);
    reader.publish("still/here", "yes", QoS::AtLeastOnce);
    assert_eq!(reader.text(), "yes", "the first one goes on");
    reader.close();

    // Whoever is killed leaves no lock behind.
    first.end(libc::SIGKILL);
    let second = on(&dir, 2).start();
    assert!(Link::connect(second.port, lasting(Version::V311, "reader")).session_present);
    second.end(libc::SIGTERM);
    fs::remove_dir_all(dir).unwrap();
}

/// Everything in it with its mode.
fn modes(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = vec![(dir.to_owned(), fs::metadata(dir).unwrap().permissions().mode() & 0o777)];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(modes(&path));
        } else {
            found.push((path.clone(), fs::metadata(&path).unwrap().permissions().mode() & 0o777));
        }
    }
    found
}

#[test]
fn a_directory_is_made_for_its_user_alone_and_one_that_others_can_read_is_named() {
    let folder = fresh("modes");
    let dir = folder.join("data");
    let broker = on(&dir, 2).start();
    let mut link = Link::connect(broker.port, lasting(Version::V5, "keeps"));
    link.subscribe("t", QoS::AtLeastOnce);
    link.publish("t", "kept", QoS::AtLeastOnce);
    let backup = folder.join("backup");
    let mut command = program::command(program::iothub());
    command.args(["store", "backup"]).arg(&backup).arg("--data-dir").arg(&dir);
    Process::start("iothub store backup", &mut command).succeed();
    let found = [modes(&dir), modes(&backup)].concat();
    assert!(found.len() > 8, "{found:?}");
    for (path, mode) in found {
        // The control socket is one of its files.
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    assert!(!broker.process.says("others on this machine can read"), "{}", broker.process.shown());
    broker.end(libc::SIGTERM);

    // A secret that others can read is no warning but a refusal.
    for (path, _) in modes(&dir).into_iter().filter(|(path, _)| !path.ends_with("scram.key")) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    let again = on(&dir, 2).start();
    again.process.await_text("others on this machine can read ");
    assert_eq!(modes(&dir)[0].1, 0o755, "what is there keeps its mode");
    again.end(libc::SIGTERM);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let dir = fresh("file");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("store");
    fs::write(&file, "not a directory").unwrap();
    let remedy = "A file is where a directory should be: move it away";
    for place in [&file, &file.join("below"), &file.join("below/that")] {
        refuses(on(place, 1).args(["--test-config"]), &[&shown(place), remedy]);
    }
    let accepted = on(&dir.join("made/at/the/start"), 1).args(["--test-config"]).run();
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert!(!dir.join("made").exists(), "not when it is only tested");
    refuses(on(&file, 1), &[&shown(&file), remedy]);
    refuses(on(&file.join("below"), 1), &[&shown(&file.join("below")), "Not a directory", remedy]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a directory");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_layout_that_is_none_and_one_of_a_later_version_are_refused() {
    let dir = fresh("layout");
    on(&dir, 1).start().end(libc::SIGTERM);
    let layout = dir.join("layout");
    let text = fs::read_to_string(&layout).unwrap();
    let later = text.replace("format = 1", "format = 2");
    assert_ne!(later, text);
    // With another number the folders that are there would be those of another layout.
    let other = text.replace("shards = 1", "shards = 2");
    assert_ne!(other, text);
    for (text, said) in [
        ("", "does not say"),
        ("format = one", "should have four lines"),
        (&other, "a checksum of these"),
        (&later, "newer iothub"),
    ] {
        fs::write(&layout, text).unwrap();
        refuses(on(&dir, 1), &[&shown(&layout), said]);
        assert_eq!(fs::read_to_string(&layout).unwrap(), *text, "it is left as it was");
    }
    // What is no text at all is refused with the same words, and not shown to its end.
    fs::write(&layout, [text.as_bytes(), &[0xff; 100_000]].concat()).unwrap();
    let ended = on(&dir, 1).run();
    for said in ["should have four lines", "and so on"] {
        assert!(ended.says(said), "{said:?} is not in {:?}", ended.errors);
    }
    assert!(ended.errors.iter().all(|line| line.len() < 1000), "{:?}", ended.errors);
    fs::write(&layout, text).unwrap();
    on(&dir, 1).start().end(libc::SIGTERM);
    fs::remove_dir_all(dir).unwrap();
}

/// Nobody keeps root from writing anywhere, so that the broker runs as someone else.
#[test]
fn a_directory_that_may_not_be_written_is_named() {
    if !has_somebody_else() {
        return;
    }
    let dir = fresh("denied");
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let inside = dir.join("store");
    for place in [&dir, &inside] {
        let mut process = as_nobody(place);
        let status = process.wait();
        assert_eq!(status.code(), Some(1), "{}", process.shown());
        for text in [&shown(place), "Permission denied", "must own the directory"] {
            assert!(process.says(text), "{text:?} is not in {}", process.shown());
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing was made");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_start_says_that_it_begins_a_store_and_one_that_finds_one_does_not() {
    let dir = fresh("begun");
    let begun = format!("a new store is begun at {}", shown(&dir));
    for is_begun in [true, false] {
        let broker = on(&dir, 1).start();
        assert_eq!(broker.process.says(&begun), is_begun, "{}", broker.process.shown());
        broker.end(libc::SIGTERM);
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_directory_of_somebody_else_is_to_be_given_to_the_broker_and_nothing_of_it_removed() {
    if !has_somebody_else() {
        return;
    }
    let dir = fresh("of-somebody-else");
    on(&dir, 1).start().end(libc::SIGTERM);
    let mut process = as_nobody(&dir);
    assert_eq!(process.wait().code(), Some(1), "{}", process.shown());
    for text in [&shown(&dir), "Permission denied", "must own the directory"] {
        assert!(process.says(text), "{text:?} is not in {}", process.shown());
    }
    assert!(!process.says("Remove it"), "{}", process.shown());
    fs::remove_dir_all(dir).unwrap();
}

/// A file that may be a segment, and takes its time to be read.
#[test]
fn a_broker_that_is_starting_ends_when_it_is_told_to() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let shelf = Shelf::filled("starting", 2);
        let segment = shelf.segment();
        let file = OpenOptions::new().write(true).open(&segment).unwrap();
        file.write_all_at(&[0; 64], 0).unwrap();
        file.set_len(1 << 30).unwrap();
        let before = fs::metadata(&segment).unwrap().len();
        let mut process = shelf.setup(1).spawn();
        process.await_text("open files");
        process.signal(signal);
        let status = process.wait();
        assert_eq!(status.code(), Some(0), "{}", process.shown());
        assert!(process.says("ending before the start is done"), "{}", process.shown());
        assert!(!process.says("listening on"), "{}", process.shown());
        assert_eq!(fs::metadata(&segment).unwrap().len(), before, "it is left as it was");
    }
}

/// Who is not root can run nothing as somebody else.
fn has_somebody_else() -> bool {
    // SAFETY: the call takes nothing and gives a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        eprintln!("skipped: without root there is nobody else to run the broker as");
    }
    is_root
}

/// The folder of the build may be closed to others: the program is started from a copy.
fn as_nobody(dir: &Path) -> Process {
    let folder = fresh("program");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let copy = folder.join("iothub");
    // Whatever this process holds open for writing, a child of another test may hold as well, and then it cannot be run.
    let copied = Command::new("cp").arg(program::iothub()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let mut command: Command = program::command(&copy);
    command.args(["--listen", "tcp://127.0.0.1:0", "--shards", "1", "--data-dir"]).arg(dir);
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    let process = Process::start("iothub as nobody", &mut command);
    // The system keeps what runs.
    fs::remove_dir_all(folder).unwrap();
    process
}

fn on(dir: &Path, shards: u8) -> Setup {
    Setup::new("directory").shards(shards).args(["--data-dir".into(), dir.as_os_str().to_owned()])
}

#[track_caller]
fn refuses(setup: Setup, texts: &[&str]) {
    let ended: Ended = setup.run();
    assert_eq!(ended.code, Some(1), "{:?}", ended.errors);
    for text in texts {
        assert!(ended.says(text), "{text:?} is not in {:?}", ended.errors);
    }
}

/// A place that nobody has used yet, and that is not there.
fn fresh(name: &str) -> PathBuf {
    let dir = program::fresh_folder(&format!("durable-{name}"));
    fs::remove_dir(&dir).unwrap();
    dir
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

const NOBODY: u32 = 65_534;

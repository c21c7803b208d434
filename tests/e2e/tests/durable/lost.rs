//! A shard that has lost its log does not begin again with nothing: it says so, to the broker and to whoever looks at it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use client::{QoS, Version};
use e2e::link::lasting;
use e2e::{Link, v5};

use crate::shelf::{Shelf, assert_says, entries, texts_of_reader};

#[test]
fn a_log_that_is_gone_is_missed() {
    let without_all = |shelf: &Shelf| entries(&folder(shelf)).iter().for_each(|path| remove(path));
    let without_newest = |shelf: &Shelf| remove(&shelf.segment());
    for (name, lose) in [("all", &without_all as &dyn Fn(&Shelf)), ("newest", &without_newest)] {
        let shelf = settled(&format!("lost-{name}"));
        lose(&shelf);
        let what = ["has nothing of what its shard had stored", "nothing-stored-yet", "Nothing was changed"];
        refuses(&shelf, &what, "there is no log");
    }
}

#[test]
fn a_segment_that_was_emptied_is_named() {
    for shorter in [0, 63] {
        let shelf = settled("lost-emptied");
        let segment = shelf.segment();
        OpenOptions::new().write(true).open(&segment).unwrap().set_len(shorter).unwrap();
        let name = segment.file_name().unwrap().to_str().unwrap();
        let said = if shorter == 0 { "the file is empty" } else { "the file has 63 bytes" };
        refuses(&shelf, &[name, "is not complete", said, "Nothing was changed"], said);
    }
}

/// What a later life has begun: the first write to a file did not get to the disk, or came to harm.
#[test]
fn a_segment_without_its_beginning_is_told() {
    for beginning in [0, 0x5a] {
        let shelf = Shelf::filled("lost-beginning", 3);
        let broker = shelf.broker(1);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        ["3", "4", "5"].into_iter().for_each(|text| {
            publisher.publish("log", text, QoS::AtLeastOnce);
        });
        broker.end(libc::SIGKILL);
        let file = OpenOptions::new().write(true).open(shelf.segment()).unwrap();
        let place = shelf.segment().display().to_string();
        file.write_all_at(&[beginning; 8192], 0).unwrap();
        assert_says(
            &shelf.store("check", &[]),
            0,
            &["SUSPECT", &place, "neither that of a segment nor zeros"],
        );
        let broker = shelf.broker(1);
        assert!(broker.process.says("begins with neither a segment of the store nor zeros"), "{beginning}");
        assert_eq!(texts_of_reader(&broker), ["0", "1", "2"]);
        broker.end(libc::SIGTERM);
    }
}

#[test]
fn a_shard_in_which_nothing_was_stored_starts_with_nothing() {
    let shelf = Shelf::new("lost-unused");
    shelf.broker(2).end(libc::SIGTERM);
    let marks: Vec<PathBuf> =
        ["shard-0-of-2", "shard-1-of-2"].map(|name| shelf.dir.join(name).join(MARK)).into();
    assert!(
        marks.iter().all(|mark| fs::read_to_string(mark).unwrap().starts_with("Nothing has been stored"))
    );
    assert_says(&shelf.store("check", &[]), 0, &["the store is whole"]);
    // One of them gets something.
    let broker = shelf.broker(2);
    let ids = broker.ids_by_home(2, "reader");
    Link::connect(broker.port, lasting(Version::V311, &ids[0])).close();
    broker.end(libc::SIGKILL);
    let backup = Shelf::new("lost-unused-backup");
    let copy = Shelf::new("lost-unused-copy");
    assert_says(&shelf.store("backup", &[backup.dir.as_ref()]), 0, &["backed up"]);
    assert_says(&copy.store("restore", &[backup.dir.as_ref()]), 0, &["restored"]);
    for shelf in [&shelf, &copy] {
        let broker = shelf.broker(2);
        assert!(Link::connect(broker.port, lasting(Version::V311, &ids[0])).session_present);
        broker.end(libc::SIGKILL);
        let is_marked = ["shard-0-of-2", "shard-1-of-2"].map(|name| shelf.dir.join(name).join(MARK).exists());
        assert_eq!(is_marked, [false, true]);
        assert_says(&shelf.store("check", &[]), 0, &["the store is whole"]);
    }
    // All of it moves, and what nobody needs is marked there, too.
    for shards in [5, 2, 1] {
        let broker = shelf.broker(shards);
        assert!(Link::connect(broker.port, lasting(Version::V311, &ids[0])).session_present);
        broker.end(libc::SIGKILL);
    }
}

/// What a crash leaves between the steps: a mark beside the log, a file without its name, folders without a layout.
#[test]
fn what_a_crash_has_left_is_cleared_away() {
    let shelf = settled("lost-crash");
    let (mark, part) = (folder(&shelf).join(MARK), folder(&shelf).join("segment-00000099.part"));
    fs::write(&mark, "").unwrap();
    fs::write(&part, vec![0; 5_000]).unwrap();
    let broker = shelf.broker(1);
    assert_eq!(texts_of_reader(&broker), ["0", "1", "2"]);
    assert!(!mark.exists() && !part.exists());
    broker.end(libc::SIGTERM);

    let shelf = Shelf::new("lost-begun");
    fs::create_dir(shelf.dir.join("shard-0-of-2")).unwrap();
    fs::write(shelf.dir.join("shard-0-of-2").join(MARK), "").unwrap();
    let broker = shelf.broker(2);
    Link::connect(broker.port, v5("somebody")).close();
    broker.end(libc::SIGTERM);
    shelf.broker(2).end(libc::SIGTERM);
}

/// A store of one shard that was started twice: whatever was to be done after the first commit is done.
fn settled(name: &str) -> Shelf {
    let shelf = Shelf::filled(name, 3);
    // The broker keeps its hands off what is there.
    let broker = shelf.broker(1);
    broker.end(libc::SIGKILL);
    assert!(!folder(&shelf).join(MARK).exists());
    shelf
}

/// The broker and all commands say so, until it is repaired.
#[track_caller]
fn refuses(shelf: &Shelf, broker: &[&str], commands: &str) {
    // As a kill may leave it.
    fs::write(folder(shelf).join("segment-00000098.part"), vec![0; 5_000]).unwrap();
    let before = names(&folder(shelf));
    let refused = shelf.setup(1).run();
    assert_says(&refused, 1, broker);
    assert_says(&refused, 1, &["iothub store repair --data-dir"]);
    assert_eq!(names(&folder(shelf)), before, "something was changed");
    assert_says(&shelf.store("check", &[]), 1, &["DAMAGED", commands]);
    assert_says(&shelf.store("dump", &[]), 1, &["DAMAGE", commands]);
    let backup = Shelf::new("lost-backup");
    assert_says(&shelf.store("backup", &[backup.dir.as_ref()]), 1, &[commands]);
    assert_says(&shelf.store("repair", &["--dry-run".as_ref()]), 1, &[commands]);
    assert_eq!(names(&folder(shelf)), before, "something was changed");
    assert_says(&shelf.store("repair", &[]), 0, &[commands, "repaired"]);
    assert_says(&shelf.store("check", &[]), 0, &["the store is whole"]);
    let broker = shelf.broker(1);
    assert!(!Link::connect(broker.port, lasting(Version::V311, "reader")).session_present);
    broker.end(libc::SIGTERM);
}

fn folder(shelf: &Shelf) -> PathBuf {
    shelf.dir.join("shard-0-of-1")
}

fn names(folder: &Path) -> Vec<PathBuf> {
    entries(folder)
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

const MARK: &str = "nothing-stored-yet";

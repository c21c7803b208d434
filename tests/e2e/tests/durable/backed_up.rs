//! `iothub store backup` and `restore`: what was acknowledged before a backup began is in it, whatever the broker does
//! meanwhile.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use client::{Publication, QoS, Subscription, Version};
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, Setup, program, v5};

use crate::shelf::{Shelf, assert_says, entries, segments, texts_of_reader};

#[test]
fn whatever_was_acknowledged_before_a_backup_began_is_in_it() {
    let shelf = Shelf::new("busy");
    let config = "[server]\nmax_packet_size = \"64 KiB\"\n[session]\nmax_queued_messages = 1000000\n[store]\n\
                  segment_bytes = \"2 MiB\"\ndurability = \"written\"\n";
    let setup = || Setup::new("busy").shards(2).config(config);
    let broker = setup().args(["--data-dir".into(), shelf.dir.clone().into_os_string()]).start();
    let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
    reader.subscribe("log", QoS::AtLeastOnce);
    reader.close();
    let load = Load::default();
    let backups: Vec<(Shelf, u64, BTreeMap<u64, u64>)> = thread::scope(|scope| {
        let clients = [scope.spawn(|| load.overwrite(broker.port)), scope.spawn(|| load.queue(broker.port))];
        let _end = load.end();
        let backups = (0..BACKUPS).map(|number| {
            // Each time the log has been written over in between.
            let target = load.writes() + WRITES_BETWEEN;
            while load.writes() < target {
                assert!(clients.iter().all(|client| !client.is_finished()), "a client has ended");
                thread::yield_now();
            }
            let (queued, kept) = load.acknowledged();
            let backup = Shelf::new(&format!("backup-{number}"));
            assert_says(&shelf.store("backup", &[backup.dir.as_ref()]), 0, &["backed up", "1 session"]);
            (backup, queued, kept)
        });
        backups.collect()
    });
    broker.end(libc::SIGKILL);
    for (backup, queued, kept) in backups {
        let copy = Shelf::new("busy-copy");
        let restored = copy.store("restore", &[backup.dir.as_ref()]);
        assert_says(&restored, 0, &["restored", "taken", "laid out for 2 shards"]);
        assert_says(&copy.store("check", &[]), 0, &["the store is whole"]);
        let broker = setup().args(["--data-dir".into(), copy.dir.clone().into_os_string()]).start();
        assert!(!broker.process.says("the end of the store was being written"), "it is a whole one");
        let seen = retained(&broker, kept.len());
        for (topic, value) in &kept {
            let is_there = seen.get(topic).is_some_and(|seen| seen >= value);
            assert!(is_there, "topic {topic}: {value} was acknowledged, {:?} is there", seen.get(topic));
        }
        let texts = texts_of_reader(&broker);
        assert!(texts.len() as u64 >= queued, "{queued} were acknowledged, {} are there", texts.len());
        assert!(texts.iter().enumerate().all(|(number, text)| *text == number.to_string()));
        broker.end(libc::SIGTERM);
    }
}

#[test]
fn a_backup_comes_back_and_a_store_gives_way_only_when_it_is_told_to() {
    let shelf = Shelf::filled("back", 4);
    let backup = Shelf::new("back-up");
    fs::remove_dir(&backup.dir).unwrap();
    assert_says(
        &shelf.store("backup", &[backup.dir.as_ref()]),
        0,
        &["4 queued messages", "1 retained message"],
    );
    assert_says(&shelf.store("backup", &[backup.dir.as_ref()]), 2, &["is not empty", "Nothing was changed"]);
    for within in ["below", "shard-0-of-1/below", "not/there/yet"] {
        let within = shelf.dir.join(within);
        let said = ["is within the data directory", "Nothing was changed"];
        assert_says(&shelf.store("backup", &[within.as_ref()]), 2, &said);
        assert!(!within.exists());
    }
    assert_says(&backup.store("check", &[]), 0, &["4 queued messages", "the store is whole"]);
    let parent = entries(backup.dir.parent().unwrap());
    let name = backup.dir.file_name().unwrap().to_str().unwrap();
    let left = parent.iter().filter(|path| path.to_str().unwrap().contains(&format!("{name}.part")));
    assert_eq!(left.count(), 0, "nothing is left beside it");

    let broker = shelf.broker(1);
    assert_eq!(texts_of_reader(&broker).len(), 4);
    assert_says(&shelf.store("restore", &[backup.dir.as_ref()]), 2, &["is in use by another process"]);
    broker.end(libc::SIGTERM);
    assert_says(&shelf.store("restore", &[backup.dir.as_ref()]), 2, &["has a store already", "--force"]);
    let restored = shelf.store("restore", &[backup.dir.as_ref(), "--force".as_ref()]);
    assert_says(&restored, 0, &["4 queued messages", "what was there before is in", "replaced-"]);
    let broker = shelf.broker(1);
    assert_eq!(texts_of_reader(&broker), ["0", "1", "2", "3"]);
    broker.end(libc::SIGTERM);
    // What was moved aside is a store as well.
    let aside =
        entries(&shelf.dir).into_iter().find(|path| path.to_str().unwrap().contains("replaced-")).unwrap();
    assert_says(&Setup::bare("aside").args(store_check(&aside)).run(), 0, &["0 queued messages", "whole"]);

    let stranger = Shelf::new("stranger");
    fs::write(stranger.dir.join("letter"), "dear").unwrap();
    let forced = stranger.store("restore", &[backup.dir.as_ref(), "--force".as_ref()]);
    assert_says(&forced, 2, &["is not empty", "Nothing was changed"]);
    assert_eq!(fs::read_to_string(stranger.dir.join("letter")).unwrap(), "dear");
}

#[test]
fn what_a_broker_has_beside_its_store_is_in_the_way_of_no_restore() {
    let backup = Shelf::filled("beside-backup", 2);
    let shelf = Shelf::new("beside");
    let broker = shelf
        .setup(1)
        .with_api()
        .variable("IOTHUB_API__LISTEN", "127.0.0.1:0")
        .variable("IOTHUB_LOG__LEVEL", "info");
    let broker = broker.start();
    let add = ["ban", "add", "-i", "banned", "--data-dir"].map(OsStr::new);
    let banned = Setup::bare("ban").args(add.iter().chain(&[shelf.dir.as_os_str()])).run();
    assert_eq!(banned.code, Some(0), "{banned:?}");
    broker.end(libc::SIGKILL);
    for path in entries(&shelf.dir) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "layout" {
            fs::remove_file(path).unwrap();
        } else if name.starts_with("shard-") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let beside =
        ["api_tokens", "api_tokens.first", "bans.json", "scram.key"].map(|name| shelf.dir.join(name));
    assert!(beside.iter().all(|path| path.exists()), "{:?}", entries(&shelf.dir));
    assert_says(&shelf.store("restore", &[backup.dir.as_ref()]), 0, &["2 queued messages"]);
    assert!(beside.iter().all(|path| path.exists()), "{:?}", entries(&shelf.dir));
}

#[test]
fn a_backup_that_is_not_whole_is_none() {
    let shelf = Shelf::filled("broken", 4);
    let backup = Shelf::new("broken-backup");
    let back_up = || assert_says(&shelf.store("backup", &[backup.dir.as_ref()]), 0, &["backed up"]);
    back_up();
    let target = Shelf::new("broken-target");
    let restore = |code, texts: &[&str]| {
        assert_says(&target.store("restore", &[backup.dir.as_ref()]), code, texts);
    };
    // A turned bit, the end missing, a file missing.
    backup.harm(backup.place_of(1));
    restore(1, &["is damaged", "record checksum does not match"]);
    backup.harm(backup.place_of_harmed(1));
    restore(0, &["4 queued messages"]);
    fs::remove_dir_all(&target.dir).unwrap();
    let at = backup.place_of(3) / 4096 * 4096;
    let segment = OpenOptions::new().write(true).open(backup.segment()).unwrap();
    segment.write_all_at(&[0; 4096], at).unwrap();
    restore(1, &["is damaged", "ends with commit"]);
    let layout = fs::read(backup.dir.join("layout")).unwrap();
    fs::remove_file(backup.dir.join("layout")).unwrap();
    restore(2, &["the file `layout` is missing"]);
    fs::write(backup.dir.join("layout"), layout).unwrap();
    fs::remove_file(backup.segment()).unwrap();
    restore(1, &["is damaged", "there is no log", "Everything that this shard had stored is missing"]);
    assert!(!target.dir.join("layout").exists());
    fs::create_dir_all(&target.dir).unwrap();

    shelf.harm(shelf.place_of(2));
    fs::remove_dir_all(&backup.dir).unwrap();
    let refused = shelf.store("backup", &[backup.dir.as_ref()]);
    assert_says(&refused, 1, &["the store in", "is damaged", "record checksum does not match"]);
    assert!(!backup.dir.exists(), "there is no half backup");
    fs::create_dir_all(&backup.dir).unwrap();
}

#[test]
fn a_copy_that_was_made_otherwise_is_brought_back_too() {
    let shelf = Shelf::filled("otherwise", 3);
    let copy = Shelf::new("copied");
    let folder = segments(&shelf.dir)[0].parent().unwrap().to_owned();
    let target = copy.dir.join(folder.file_name().unwrap());
    fs::create_dir(&target).unwrap();
    for segment in segments(&shelf.dir) {
        fs::copy(&segment, target.join(segment.file_name().unwrap())).unwrap();
    }
    fs::copy(shelf.dir.join("layout"), copy.dir.join("layout")).unwrap();
    let other = Shelf::new("other");
    let restored = other.store("restore", &[copy.dir.as_ref()]);
    assert_says(&restored, 0, &["not made by iothub store backup", "3 queued messages"]);
    let broker = other.broker(1);
    assert_eq!(texts_of_reader(&broker), ["0", "1", "2"]);
    broker.end(libc::SIGTERM);
}

#[test]
fn a_store_without_the_folder_of_a_shard_is_neither_backed_up_nor_brought_back() {
    let shelf = Shelf::filled("folder-lost", 3);
    let folder = segments(&shelf.dir)[0].parent().unwrap().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    let says = ["is damaged", "the folder of this shard is missing", "shard-0-of-1"];
    let target = Shelf::new("folder-lost-target");
    assert_says(&shelf.store("backup", &[target.dir.as_ref()]), 1, &says);
    assert!(entries(&target.dir).is_empty(), "there is no half backup");
    // As a copy that was made otherwise.
    assert_says(&target.store("restore", &[shelf.dir.as_ref()]), 1, &says);
    assert!(!target.dir.join("layout").exists());
    assert!(!folder.exists(), "it is not made anew");
}

#[test]
fn a_restore_that_was_cut_short_is_refused_by_a_broker_and_done_again() {
    let shelf = Shelf::filled("cut-short", 3);
    let backup = Shelf::new("cut-short-backup");
    assert_says(&shelf.store("backup", &[backup.dir.as_ref()]), 0, &["backed up"]);
    // What was there is moved aside, and what comes instead is copied and not in its place.
    let layout_and_shards = ["layout", "shard-0-of-1"];
    for scratch in ["restoring-20260131-235959", "replaced-20260131-235959"] {
        fs::create_dir(shelf.dir.join(scratch)).unwrap();
    }
    for name in layout_and_shards {
        let aside = shelf.dir.join("replaced-20260131-235959").join(name);
        fs::rename(shelf.dir.join(name), aside).unwrap();
    }
    assert_says(
        &shelf.setup(1).run(),
        1,
        &["`layout` is missing", "a restore that did not get to its end", "do that again"],
    );
    assert_says(&shelf.store("check", &[]), 2, &["`layout` is missing", "do that again"]);
    for name in layout_and_shards {
        assert!(!shelf.dir.join(name).exists(), "{name} was made afresh");
    }
    assert_says(&shelf.store("restore", &[backup.dir.as_ref()]), 0, &["3 queued messages"]);
    let broker = shelf.broker(1);
    assert_eq!(texts_of_reader(&broker), ["0", "1", "2"]);
    broker.end(libc::SIGTERM);
}

#[test]
fn what_commands_that_were_cut_short_have_left_is_named() {
    let shelf = Shelf::filled("left", 2);
    let backups = Shelf::new("left-backups");
    let backup = backups.dir.join("monday");
    fs::create_dir(backups.dir.join("sunday.part-20260131-235959")).unwrap();
    let said = [
        "backed up",
        "sunday.part-20260131-235959",
        "a backup that did not get to its end",
        "can be deleted",
    ];
    assert_says(&shelf.store("backup", &[backup.as_ref()]), 0, &said);
    let names = ["backup", "layout", "shard-0-of-1"].map(|name| backup.join(name));
    assert_eq!(entries(&backup), names, "and nothing else");

    let left = shelf.dir.join("restoring-20260131-235959");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("segment"), vec![1; 1 << 20]).unwrap();
    for name in ["damaged-20260131-235959", "replaced-20260131-235959", "restoring-mine"] {
        fs::create_dir(shelf.dir.join(name)).unwrap();
    }
    let checked = shelf.store("check", &[]);
    let said = [
        "restoring-20260131-235959 (1.0 MiB)",
        "damaged-20260131",
        "replaced-20260131",
        "the store is whole",
    ];
    assert_says(&checked, 0, &said);
    assert!(!checked.says("restoring-mine"), "{checked:?}");
    assert!(shelf.store("check", &["--quiet".as_ref()]).out.is_empty());
    let broker = shelf.broker(1);
    assert!(broker.process.says("restoring-20260131-235959"), "{}", broker.process.shown());
    assert!(broker.process.says("can be deleted"), "{}", broker.process.shown());
    assert!(!broker.process.says("damaged-"), "{}", broker.process.shown());
    broker.end(libc::SIGTERM);
    assert!(left.exists(), "a broker deletes nothing");

    let restored = shelf.store("restore", &[backup.as_ref(), "--force".as_ref()]);
    assert_says(&restored, 0, &["removed", "restoring-20260131-235959 (1.0 MiB)", "2 queued messages"]);
    assert!(!left.exists());
    assert!(shelf.dir.join("restoring-mine").exists(), "no restore has named it");
}

#[test]
fn a_backup_needs_a_name_of_its_own() {
    let shelf = Shelf::filled("nameless", 2);
    let other = Shelf::new("nameless-backup");
    let absent = other.dir.join("absent");
    for path in [absent.join(".."), PathBuf::from("/")] {
        let said = ["has no name at its end", "Nothing was changed"];
        assert_says(&shelf.store("backup", &[path.as_ref()]), 2, &said);
    }
    assert!(!absent.exists());
    assert_says(&shelf.store("backup", &[absent.join("../here").as_ref()]), 0, &["backed up"]);
}

#[test]
fn what_is_done_is_done_though_nobody_can_be_told() {
    let shelf = Shelf::filled("untold", 2);
    let [backup, target] = ["untold-backup", "untold-target"].map(Shelf::new);
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap().into();
    assert_untold(&shelf, "backup", &[backup.dir.as_ref()], full());
    assert_says(&backup.store("check", &[]), 0, &["2 queued messages", "the store is whole"]);
    assert_untold(&target, "restore", &[backup.dir.as_ref()], full());
    assert_says(&target.store("check", &[]), 0, &["2 queued messages", "the store is whole"]);
    // What is only to be told is not done then.
    let check = run_into(&shelf, "check", &[], full());
    assert_eq!(check.status.code(), Some(2));

    // Whoever has seen enough closes the pipe.
    for command in ["check", "dump"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run_into(&shelf, command, &[], writer.into());
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{command}");
    }
    shelf.harm(shelf.place_of(0));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(
        run_into(&shelf, "check", &[], writer.into()).status.code(),
        Some(1),
        "it is damaged all the same"
    );
}

fn assert_untold(shelf: &Shelf, command: &str, more: &[&OsStr], out: Stdio) {
    let output = run_into(shelf, command, more, out);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("it is done, and only the report"), "{said}");
}

fn run_into(shelf: &Shelf, command: &str, more: &[&OsStr], out: Stdio) -> Output {
    let mut process = program::command(program::iothub());
    process.args(["store", command, "--data-dir"]).arg(&shelf.dir).args(more);
    process.stdout(out).stderr(Stdio::piped()).output().unwrap()
}

/// Clients that publish without a pause, and know what was acknowledged.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    queued: AtomicU64,
    written: AtomicU64,
    kept: Mutex<BTreeMap<u64, u64>>,
}

impl Load {
    /// Retained messages, again and again: most of the log is not alive.
    fn overwrite(&self, port: u16) {
        let mut publisher = Link::connect(port, v5("overwriting"));
        for value in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let topic = value % TOPICS;
            let payload = format!("{value} {}", "x".repeat(20_000));
            let publication = Publication::new(format!("kept/{topic}"), payload, QoS::AtLeastOnce);
            if is_taken(&mut publisher, publication.retained()) {
                self.kept.lock().unwrap().insert(topic, value);
                self.written.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn queue(&self, port: u16) {
        let mut publisher = Link::connect(port, v5("queueing"));
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.queued.load(Ordering::Relaxed);
            let publication = Publication::new("log", number.to_string(), QoS::AtLeastOnce);
            if is_taken(&mut publisher, publication) {
                self.queued.store(number + 1, Ordering::Relaxed);
            }
        }
    }

    /// The clients end when this is dropped.
    fn end(&self) -> End<'_> {
        End(&self.is_over)
    }

    fn writes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn acknowledged(&self) -> (u64, BTreeMap<u64, u64>) {
        (self.queued.load(Ordering::Relaxed), self.kept.lock().unwrap().clone())
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A store that has no room for a moment says so.
fn is_taken(publisher: &mut Link, publication: Publication) -> bool {
    !publisher.driver.publish_and_wait(publication, PATIENCE).expect("an acknowledgement").is_error()
}

fn retained(broker: &Broker, count: usize) -> BTreeMap<u64, u64> {
    let mut reader = Link::connect(broker.port, v5("looking"));
    reader.subscribe_with(Subscription::new("kept/+", QoS::AtLeastOnce));
    (0..count)
        .map(|_| {
            let message = reader.message();
            let topic = message.topic.strip_prefix("kept/").unwrap().parse().unwrap();
            let text = String::from_utf8(message.payload).unwrap();
            (topic, text.split(' ').next().unwrap().parse().unwrap())
        })
        .collect()
}

fn store_check(dir: &Path) -> [PathBuf; 4] {
    ["store".into(), "check".into(), "--data-dir".into(), dir.to_owned()]
}

const BACKUPS: usize = 4;
const TOPICS: u64 = 30;
/// More than two segments.
const WRITES_BETWEEN: u64 = 300;

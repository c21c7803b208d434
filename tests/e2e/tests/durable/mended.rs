//! `iothub store repair`: the broker starts again, with all that could be read, and nothing is thrown away.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use client::{QoS, Subscription, Version};
use e2e::link::lasting;
use e2e::{Link, v5};

use crate::shelf::{Shelf, assert_says, entries, segments, texts_of_reader};

#[test]
fn a_damaged_message_is_lost_and_everything_else_is_there() {
    let shelf = Shelf::filled("repair", 6);
    shelf.harm(shelf.place_of(2));
    let before = files(&shelf.dir);
    let refused = shelf.setup(1).run();
    assert_says(
        &refused,
        1,
        &["is damaged", "Nothing was changed", "iothub store check", "iothub store repair"],
    );

    let plan = shelf.store("repair", &["--dry-run".as_ref()]);
    assert_says(
        &plan,
        1,
        &["DAMAGED", "4.0 KiB of 1 damaged place", "5 queued messages", "nothing was changed"],
    );
    assert!(files(&shelf.dir) == before, "a dry run changed something");

    let repair = shelf.store("repair", &[]);
    assert_says(&repair, 0, &["5 queued messages, 1 retained message", "repaired", "damaged-"]);
    let aside = entries(&shelf.dir).into_iter().find(|path| name(path).starts_with("damaged-")).unwrap();
    let kept: BTreeMap<PathBuf, Vec<u8>> = files(&aside);
    let was: BTreeMap<PathBuf, Vec<u8>> =
        before.into_iter().filter(|(path, _)| path.starts_with("shard-0-of-1")).collect();
    assert!(kept == was, "what is put aside is what was there");

    assert_says(&shelf.store("check", &[]), 0, &["the store is whole"]);
    assert_says(&shelf.store("repair", &[]), 0, &["There is nothing to repair"]);
    let broker = shelf.broker(1);
    assert_eq!(texts_of_reader(&broker), ["0", "1", "3", "4", "5"]);
    let mut other = Link::connect(broker.port, v5("other"));
    other.subscribe_with(Subscription::new("house/#", QoS::AtLeastOnce));
    assert_eq!(other.text(), "open");
    broker.end(libc::SIGKILL);
    // It lives on as any other.
    let broker = shelf.broker(1);
    assert!(texts_of_reader(&broker).is_empty());
    broker.end(libc::SIGTERM);
    assert_says(&shelf.store("check", &[]), 0, &["the store is whole"]);
}

#[test]
fn a_store_in_use_is_not_repaired() {
    let shelf = Shelf::filled("repair-in-use", 1);
    let broker = shelf.broker(1);
    assert_says(&shelf.store("repair", &[]), 2, &["a broker uses", "Stop it first", "Nothing was changed"]);
    assert_eq!(texts_of_reader(&broker), ["0"]);
    broker.end(libc::SIGTERM);
}

#[test]
fn a_lost_header_costs_nothing_and_a_lost_beginning_costs_the_session() {
    let shelf = Shelf::filled("repair-header", 3);
    let segment = shelf.segment();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[..4096].fill(0);
    fs::write(&segment, &bytes).unwrap();
    assert_says(&shelf.store("repair", &[]), 0, &["header is not valid", "1 session", "3 queued messages"]);
    let broker = shelf.broker(1);
    assert_eq!(texts_of_reader(&broker), ["0", "1", "2"]);
    broker.end(libc::SIGKILL);

    let shelf = Shelf::filled("repair-beginning", 3);
    let segment = shelf.segment();
    let mut bytes = fs::read(&segment).unwrap();
    // The first commit is that of the session.
    bytes[4096..8192].fill(0xee);
    fs::write(&segment, &bytes).unwrap();
    let repair = shelf.store("repair", &[]);
    assert_says(&repair, 0, &["remains of 1 session", "0 sessions", "1 retained message"]);
    let broker = shelf.broker(1);
    assert!(!Link::connect(broker.port, lasting(Version::V311, "reader")).session_present);
    broker.end(libc::SIGTERM);
}

/// Two sessions of one client, where the record of the first one's end is lost.
#[test]
fn a_session_that_comes_back_only_because_its_end_is_lost_is_ended() {
    let shelf = Shelf::new("repair-superseded");
    let broker = shelf.broker(1);
    let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
    reader.subscribe("log", QoS::AtLeastOnce);
    reader.close();
    // A clean start ends it.
    Link::connect(broker.port, v5("reader")).close();
    let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
    reader.subscribe("other", QoS::AtLeastOnce);
    reader.close();
    broker.end(libc::SIGKILL);
    let dump = shelf.store("dump", &["--json".as_ref()]);
    let lines: Vec<serde_json::Value> =
        dump.out.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let gone = lines.iter().find(|line| line["kind"] == "session gone").expect("the first one has ended");
    shelf.harm(gone["offset"].as_u64().unwrap() + 20);
    assert_says(
        &shelf.store("repair", &[]),
        0,
        &["ended: an earlier session of client \"reader\"", "1 session"],
    );
    let broker = shelf.broker(1);
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    for topic in ["log", "other"] {
        publisher.publish(topic, topic, QoS::AtLeastOnce);
    }
    let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
    assert!(reader.session_present);
    assert_eq!(reader.text(), "other", "what the first session had subscribed to is over");
    broker.end(libc::SIGTERM);
}

#[test]
fn a_shard_without_its_folder_is_named_and_the_others_stay() {
    let shelf = Shelf::new("repair-folder");
    let broker = shelf.broker(2);
    let ids = broker.ids_by_home(2, "reader");
    for id in &ids {
        let mut reader = Link::connect(broker.port, lasting(Version::V311, id));
        reader.subscribe("log", QoS::AtLeastOnce);
        reader.close();
    }
    broker.end(libc::SIGKILL);
    let folder = segments(&shelf.dir)[0].parent().unwrap().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    let refused = shelf.setup(2).run();
    assert_says(&refused, 1, &[name(&folder), "is missing", "Nothing was changed", "iothub store repair"]);
    assert!(!folder.exists(), "it is not made anew");
    assert_says(&shelf.store("check", &[]), 1, &[name(&folder), "the folder of this shard is missing"]);
    assert_says(&shelf.store("repair", &[]), 0, &["the folder of this shard is missing", "repaired"]);
    let broker = shelf.broker(2);
    let present: Vec<bool> =
        ids.iter().map(|id| Link::connect(broker.port, lasting(Version::V311, id)).session_present).collect();
    assert_eq!(present, [false, true]);
    broker.end(libc::SIGTERM);
}

/// What a repair leaves that is cut short where a file system cannot exchange two folders at once.
#[test]
fn a_folder_that_a_repair_has_left_elsewhere_is_named() {
    let shelf = Shelf::filled("repair-cut", 2);
    let (folder, aside) = (shelf.dir.join("shard-0-of-1"), shelf.dir.join("damaged-20260131-235959"));
    fs::create_dir_all(aside.join("shard-0-of-1")).unwrap();
    let left = aside.join("shard-0-of-1.old");
    fs::rename(&folder, &left).unwrap();
    let advice = format!("has left it in {}: move that to {}", left.display(), folder.display());
    assert_says(&shelf.setup(1).run(), 1, &["is missing", "Nothing was changed", &advice]);
    assert_says(&shelf.store("check", &[]), 1, &["the folder of this shard is missing", &advice]);
    assert_says(&shelf.store("repair", &["--dry-run".as_ref()]), 1, &[&advice]);
    fs::rename(&left, &folder).unwrap();
    assert_says(&shelf.store("check", &[]), 0, &["the store is whole"]);
    let broker = shelf.broker(1);
    assert_eq!(texts_of_reader(&broker), ["0", "1"]);
    broker.end(libc::SIGTERM);
}

/// Every file below, by its path from there, without what only a broker that runs has.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for path in entries(dir) {
        if path.is_dir() {
            let below = self::files(&path);
            files.extend(below.into_iter().map(|(file, bytes)| (Path::new(name(&path)).join(file), bytes)));
        } else if path.is_file() {
            files.insert(name(&path).into(), fs::read(&path).unwrap());
        }
    }
    files
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

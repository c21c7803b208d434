//! `iothub store check` and `dump`: what a data directory holds and what is wrong with it.

use std::fs;
use std::path::Path;
use std::process::Command;

use client::{QoS, Version};
use e2e::link::lasting;
use e2e::{Ended, Link, Setup, v5};
use serde_json::Value;

use crate::shelf::{Shelf, assert_says, segments};

#[test]
fn a_whole_store_is_counted_and_printed() {
    let shelf = Shelf::filled("whole", 5);
    let check = shelf.store("check", &[]);
    assert_says(&check, 0, &["1 session,", "1 subscription", "5 queued messages", "1 retained"]);
    assert_says(&check, 0, &["the store is whole"]);
    assert_says(&shelf.store("check", &["--quiet".as_ref()]), 0, &[]);
    assert!(shelf.store("check", &["-q".as_ref()]).out.is_empty());

    let lines = json(&shelf.store("dump", &["--json".as_ref()]), 0);
    let payloads: Vec<&str> =
        of_kind(&lines, "message").map(|line| line["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads, ["open", "0", "1", "2", "3", "4"]);
    let subscribed = of_kind(&lines, "subscribed").next().unwrap();
    assert_eq!((&subscribed["filter"], &subscribed["qos"]), (&Value::from("log"), &Value::from(1)));
    let session = of_kind(&lines, "session").next().unwrap();
    assert_eq!(session["client_id"], "reader");
    assert_eq!(subscribed["session"], session["session"]);
    let receivers = &of_kind(&lines, "message").last().unwrap()["receivers"];
    assert_eq!((&receivers[0]["session"], &receivers[0]["number"]), (&session["session"], &Value::from(5)));
    let text = shelf.store("dump", &[]);
    assert_eq!((text.code, text.out.len()), (Some(0), lines.len()));
}

#[test]
fn a_store_that_is_in_use_can_be_looked_at() {
    let shelf = Shelf::new("in-use");
    let broker = shelf.broker(2);
    let mut reader = Link::connect(broker.port, lasting(Version::V5, "reader"));
    reader.subscribe("live", QoS::AtLeastOnce);
    assert_says(&shelf.store("check", &[]), 0, &["a broker uses it", "1 subscription", "the store is whole"]);
    let lines = json(&shelf.store("dump", &["--json".as_ref()]), 0);
    assert_eq!(of_kind(&lines, "subscribed").count(), 1);
    reader.publish("live", "still there", QoS::AtLeastOnce);
    assert_eq!(reader.text(), "still there");
    broker.end(libc::SIGTERM);
}

#[test]
fn damage_is_named_where_it_is_and_what_is_behind_it_is_printed() {
    let shelf = Shelf::filled("harmed", 5);
    let at = shelf.place_of(2);
    shelf.harm(at);
    let commit = at / 4096 * 4096;
    let check = shelf.store("check", &[]);
    let place = format!("offset {:#x} to", commit);
    assert_says(
        &check,
        1,
        &["DAMAGED", "segment-", "record checksum does not match", &place, "4 queued messages"],
    );
    assert_says(&check, 1, &["A broker refuses it", "iothub store repair --data-dir", "--dry-run"]);
    let lines = json(&shelf.store("dump", &["--json".as_ref()]), 1);
    let read: Vec<&str> = lines
        .iter()
        .filter_map(|line| match line["kind"].as_str().unwrap() {
            "message" => line["payload"].as_str(),
            "DAMAGE" => Some("damage"),
            _ => None,
        })
        .collect();
    assert_eq!(read, ["open", "0", "1", "damage", "3", "4"]);
    let damage = of_kind(&lines, "DAMAGE").next().unwrap();
    assert_eq!(damage["goes_on_at"], commit + 4096);
    assert_eq!(damage["file"], shelf.segment().file_name().unwrap().to_str().unwrap());
    assert_says(&shelf.store("dump", &[]), 1, &["DAMAGE", "record checksum does not match"]);
}

#[test]
fn what_is_no_store_is_told_apart_from_one_that_is_damaged() {
    let nowhere = Shelf::new("nowhere");
    assert_says(&nowhere.store("check", &[]), 2, &["there is no store in"]);
    fs::remove_dir(&nowhere.dir).unwrap();
    assert_says(&nowhere.store("check", &[]), 2, &["No such file or directory"]);
    fs::create_dir(&nowhere.dir).unwrap();
    let unnamed = Setup::bare("store").args(["store", "check"]).run();
    assert_says(&unnamed, 2, &["which data directory?", "--data-dir DIR", "--config FILE"]);
    assert_says(&nowhere.store("mend", &[]), 2, &["unrecognized subcommand"]);
    assert_says(&nowhere.store("dump", &["--shard".as_ref(), "x".as_ref()]), 2, &["invalid shard 'x'"]);

    let shelf = Shelf::filled("layout", 1);
    assert_says(&shelf.store("dump", &["--shard".as_ref(), "1".as_ref()]), 2, &["there is no shard 1"]);
    fs::remove_file(shelf.dir.join("layout")).unwrap();
    assert_says(&shelf.store("check", &[]), 2, &["the file `layout` is missing", "Bring that file back"]);
}

#[test]
fn files_that_do_not_belong_there_are_named() {
    let shelf = Shelf::filled("doubled", 3);
    let segment = shelf.segment();
    let copy = segment.with_file_name("segment-00000077");
    fs::copy(&segment, &copy).unwrap();
    assert_says(&shelf.store("check", &[]), 1, &["segment-00000077", "as well. One of both is a copy"]);
    fs::remove_file(&copy).unwrap();
    assert_says(&shelf.store("check", &[]), 0, &["3 queued messages"]);

    let other = Shelf::new("foreign");
    let broker = other.broker(2);
    Link::connect(broker.port, v5("anybody")).close();
    broker.end(libc::SIGTERM);
    let stranger = segments(&other.dir)[0].with_file_name("segment-00000077");
    fs::copy(&segment, &stranger).unwrap();
    let check = other.store("check", &[]);
    assert_says(&check, 1, &["segment-00000077", "belongs to shard 0 of 1", "put here from elsewhere"]);
}

#[test]
fn what_is_no_segment_is_named_and_nobody_waits_for_it() {
    let shelf = Shelf::filled("unfit", 3);
    let stray = shelf.segment().with_file_name("segment-00000099");
    let said = ["segment-00000099", "no regular file", "Move it out of the data directory"];
    pipe(&stray);
    for command in ["check", "dump", "repair"] {
        assert_says(&shelf.store(command, &[]), 2, &said);
    }
    assert_says(&shelf.setup(1).run(), 1, &said);
    fs::remove_file(&stray).unwrap();

    std::os::unix::fs::symlink("/nowhere", &stray).unwrap();
    for ended in [(shelf.store("check", &[]), 2), (shelf.setup(1).run(), 1)] {
        assert_says(&ended.0, ended.1, &["segment-00000099", "symbolic link to a file that is not there"]);
    }
    fs::remove_file(&stray).unwrap();

    fs::File::create(&stray).unwrap().set_len(5 << 30).unwrap();
    for ended in [(shelf.store("check", &[]), 2), (shelf.store("dump", &[]), 2), (shelf.setup(1).run(), 1)] {
        assert_says(&ended.0, ended.1, &["segment-00000099", "it has 5368709120 bytes"]);
    }
    fs::remove_file(&stray).unwrap();

    let last = stray.with_file_name("segment-4294967295");
    fs::write(&last, vec![0; 2 << 20]).unwrap();
    for ended in [(shelf.store("check", &[]), 2), (shelf.setup(1).run(), 1)] {
        assert_says(&ended.0, ended.1, &["segment-4294967295", "no broker numbers a file as high"]);
    }
    fs::remove_file(&last).unwrap();
    assert_says(&shelf.store("check", &[]), 0, &["3 queued messages"]);

    let layout = shelf.dir.join("layout");
    fs::remove_file(&layout).unwrap();
    pipe(&layout);
    assert_says(&shelf.store("check", &[]), 2, &["layout", "no regular file"]);
    assert_says(&shelf.setup(1).run(), 1, &["layout", "no regular file"]);
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[track_caller]
fn json(ended: &Ended, code: i32) -> Vec<Value> {
    assert_eq!(ended.code, Some(code), "{:?}", ended.errors);
    ended.out.iter().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["kind"] == kind)
}

//! A move that ends after any of its steps, as if the machine had stopped there: the next start has everything, whatever the
//! number of shards that it asks for.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use shard::store::entry::{Entry, MessageEntry, Receiver, Receivers, SessionEntry, SessionId};

use super::*;
use crate::disk::unused::{MARK, is_unused};

/// What somebody would miss.
#[derive(Debug, Default, PartialEq)]
struct Held {
    filters: BTreeSet<(String, String)>,
    queues: BTreeMap<(String, u64), usize>,
    retained: BTreeMap<String, usize>,
}

#[test]
fn a_crash_after_any_step_of_a_move_costs_nothing() {
    let base = Folder::new("any-step");
    let held = lay_out(&base.0, 2);
    assert!(held.queues.len() > 100 && held.retained.len() > 10);
    let mut copies = Vec::new();
    {
        let config = open(&base.0, 3);
        assert_eq!(config.dir.laid_out(), 2);
        settle(&config, 3, &mut || copies.push(base.copy(&format!("step-{}", copies.len())))).unwrap();
    }
    assert_eq!(read(&base.0, 3), held);
    // Files of three shards, their ends, the switch, and the end of the two folders that were left.
    assert!(copies.len() >= 3 * 2 + 3 + 1 + 2, "{} steps", copies.len());
    let mut laid_out = BTreeSet::new();
    for copy in &copies {
        for to in [3, 2, 1] {
            let again = copy.copy("again");
            let config = open(&again.0, to);
            laid_out.insert(config.dir.laid_out());
            settle(&config, to, &mut || {}).unwrap();
            drop(config);
            assert_eq!(read(&again.0, to), held, "{} with {to} shards", copy.0.display());
        }
    }
    assert_eq!(laid_out, [2, 3].into(), "some copies are from before the switch, and some from after it");
}

#[test]
fn what_a_move_has_left_is_gone_after_it() {
    let base = Folder::new("left");
    let held = lay_out(&base.0, 3);
    for to in [1, 4, 2] {
        // Half a folder of an earlier try.
        fs::create_dir_all(base.0.join(format!("shard-0-of-{to}"))).unwrap();
        fs::write(base.0.join(format!("shard-0-of-{to}/segment-00000000")), "half").unwrap();
        let config = open(&base.0, to);
        settle(&config, to, &mut || {}).unwrap();
        drop(config);
        let names: BTreeSet<String> = fs::read_dir(&base.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let own = (0..to).map(|shard| format!("shard-{shard}-of-{to}"));
        assert_eq!(names, own.chain(["layout".to_owned(), "lock".to_owned()]).collect());
        assert_eq!(read(&base.0, to), held);
    }
}

#[test]
fn a_shard_that_gets_nothing_is_marked() {
    let base = Folder::new("marked");
    let held = lay_out(&base.0, 2);
    let config = open(&base.0, 100);
    settle(&config, 100, &mut || {}).unwrap();
    let folders: Vec<PathBuf> = (0..100).map(|shard| config.dir.shard_dir(ShardId(shard), 100)).collect();
    drop(config);
    let marked: Vec<&PathBuf> = folders.iter().filter(|folder| is_unused(folder)).collect();
    assert!((1..100).contains(&marked.len()), "{} are marked", marked.len());
    for folder in &folders {
        let has_log =
            fs::read_dir(folder).unwrap().any(|entry| entry.unwrap().metadata().unwrap().len() > 4096);
        assert_eq!(has_log, !is_unused(folder), "{}", folder.display());
    }
    assert_eq!(read(&base.0, 100), held);
    // Without its mark it is none.
    fs::remove_file(marked[0].join(MARK)).unwrap();
    let refused = settle(&open(&base.0, 3), 3, &mut || {});
    assert!(matches!(refused, Err(StoreError::LogLost { .. })), "{refused:?}");
}

#[test]
fn without_room_nothing_is_changed() {
    let base = Folder::new("room");
    let held = lay_out(&base.0, 2);
    let config = open(&base.0, 5);
    let (census, seen) = look(&config).unwrap();
    let mut relocation = Relocation::new(census, Placement::new(5, config.dir.placement_seed()));
    let target = target_config(&config, &seen, 5).unwrap();
    let refused = check_free(&config, &mut relocation, &seen, target, 1 << 10);
    let Err(StoreError::Room { from: 2, to: 5, needed, free: 1024, .. }) = refused else {
        panic!("{refused:?}")
    };
    check_free(&config, &mut relocation, &seen, target, needed).unwrap();
    assert!(check_free(&config, &mut relocation, &seen, target, needed - 1).is_err());
    // It takes what was said.
    settle(&config, 5, &mut || {}).unwrap();
    drop(config);
    assert_eq!(bytes_in(&base.0), needed);
    assert_eq!(read(&base.0, 5), held);
}

#[test]
fn a_damaged_log_is_refused_and_left_as_it_is() {
    let base = Folder::new("damaged");
    lay_out(&base.0, 2);
    let path = base.0.join("shard-1-of-2/segment-00000000");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = settle(&open(&base.0, 3), 3, &mut || {});
    assert!(matches!(&refused, Err(StoreError::Damaged { path: said, .. }) if *said == path), "{refused:?}");
    assert!(!base.0.join("shard-0-of-3").exists());
    assert_eq!(open(&base.0, 3).dir.laid_out(), 2);
}

#[test]
fn without_its_layout_a_directory_with_logs_is_not_laid_out_afresh() {
    let base = Folder::new("layout");
    let held = lay_out(&base.0, 2);
    let layout = fs::read(base.0.join("layout")).unwrap();
    fs::remove_file(base.0.join("layout")).unwrap();
    for shards in [2, 3] {
        let refused = DataDir::open(&base.0, shards, 11);
        assert!(matches!(refused, Err(StoreError::LayoutLost { .. })), "{refused:?}");
    }
    fs::write(base.0.join("layout"), layout).unwrap();
    assert_eq!(read(&base.0, 2), held);
}

/// A store of so many shards with a few sessions and their queues, in several segments.
fn lay_out(dir: &Path, shards: u8) -> Held {
    let config = open(dir, shards);
    let placement = Placement::new(shards, config.dir.placement_seed());
    let target = target_config(&config, &Seen::default(), shards).unwrap();
    // A writer makes its folder itself.
    (0..shards).for_each(|shard| fs::remove_dir_all(config.dir.shard_dir(ShardId(shard), shards)).unwrap());
    let mut writers = writers(target, |shard| Some(config.dir.shard_dir(shard, shards))).unwrap();
    let mut held = Held::default();
    for client in 0..CLIENTS {
        let client_id = format!("client-{client}");
        let mut batch = Vec::new();
        let session = SessionId(u64::from(client + 1) << 32 | u64::from(client));
        let entry = SessionEntry {
            session,
            is_whole: true,
            client_id: &client_id,
            expiry_s: 9,
            detached: None,
            will: None,
        };
        Entry::Session(entry).encode(&mut batch, true);
        let (options, filter) = (Default::default(), "a/#");
        Entry::Subscribed { session, options, subscription_id: 0, filter }.encode(&mut batch, false);
        held.filters.insert((client_id.clone(), "a/#".to_owned()));
        for number in 1..=30 {
            let bytes = 400 + number as usize;
            message("a/b", bytes, Some((session, number)), &mut batch);
            if number % 3 == 0 {
                Entry::Done { session, number }.encode(&mut batch, false);
            } else {
                held.queues.insert((client_id.clone(), number), bytes);
            }
        }
        writers[placement.client(&client_id).index()].write(batch, &mut || {}).unwrap();
        let topic = format!("kept/{client}");
        let mut batch = Vec::new();
        message(&topic, 700, None, &mut batch);
        writers[placement.topic(&topic).index()].write(batch, &mut || {}).unwrap();
        held.retained.insert(topic, 700);
    }
    writers.into_iter().for_each(|writer| writer.finish(&mut || {}).unwrap());
    drop(config);
    assert_eq!(read(dir, shards), held);
    held
}

fn message(topic: &str, bytes: usize, receiver: Option<(SessionId, u64)>, batch: &mut Vec<u8>) {
    let mut receivers = Vec::new();
    if let Some((session, number)) = receiver {
        let (qos, subscription_ids) = (1.try_into().unwrap(), Default::default());
        Receiver { session, number, qos, retain: false, subscription_ids }.encode(&mut receivers);
    }
    let is_retained = receiver.is_none();
    let entry = MessageEntry {
        qos: 1.try_into().unwrap(),
        retain: is_retained,
        is_retained,
        expires_at_ms: None,
        topic,
        forwarded: &[],
        payload: &vec![7; bytes],
        receivers: Receivers { count: u32::from(receiver.is_some()), bytes: &receivers },
    };
    Entry::Message(entry).encode(batch, false);
}

/// What the logs of so many shards hold, by the simplest means.
fn read(dir: &Path, shards: u8) -> Held {
    let config = open(dir, shards);
    assert_eq!(config.dir.laid_out(), shards);
    let mut held = Held::default();
    let mut names = BTreeMap::new();
    read_all(&config, |shard, record| {
        match Entry::decode(record)? {
            Entry::Session(entry) => {
                names.insert((shard, entry.session), entry.client_id.to_owned());
            }
            Entry::Subscribed { session, filter, .. } => {
                held.filters.insert((names[&(shard, session)].clone(), filter.to_owned()));
            }
            Entry::Done { session, number } => {
                held.queues.remove(&(names[&(shard, session)].clone(), number));
            }
            Entry::Message(entry) => {
                for receiver in entry.receivers.iter() {
                    let client_id = names[&(shard, receiver.session)].clone();
                    held.queues.insert((client_id, receiver.number), entry.payload.len());
                }
                if entry.is_retained {
                    held.retained.insert(entry.topic.to_owned(), entry.payload.len());
                }
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    })
    .unwrap();
    held
}

fn open(dir: &Path, shards: u8) -> StoreConfig {
    let dir = Arc::new(DataDir::open(dir, shards, 11).unwrap());
    StoreConfig { dir, is_synced: true, segment_bytes: 64 << 10, record_bytes_max: 8 << 10 }
}

fn bytes_in(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let of = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => bytes_in(&entry.path()),
        false if entry.file_name().to_str().unwrap().starts_with("segment-") => {
            entry.metadata().unwrap().len()
        }
        false => 0,
    };
    entries.map(of).sum()
}

/// A folder for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("iothub-relocation-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn copy(&self, name: &str) -> Folder {
        let copy = Folder::new(name);
        for entry in fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap()) {
            let target = copy.0.join(entry.file_name());
            if !entry.file_type().unwrap().is_dir() {
                fs::copy(entry.path(), target).unwrap();
                continue;
            }
            fs::create_dir(&target).unwrap();
            for file in fs::read_dir(entry.path()).unwrap().map(|entry| entry.unwrap()) {
                fs::copy(file.path(), target.join(file.file_name())).unwrap();
            }
        }
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CLIENTS: u32 = 20;

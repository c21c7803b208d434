//! The log's files with a real ring, and a keeper that makes what the test says.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf, process, time::Duration};

use crossbeam_channel::{Receiver, unbounded};
use shard::{
    ShardId,
    store::{
        entry::SessionId,
        log::{Config, Log, Position},
    },
};

use super::{keeper::Order, *};
use crate::{
    mesh::{Mesh, weave},
    operation::Operation,
};

/// Three commits of one block each fill a segment.
const COMMITS_PER_SEGMENT: u64 = 3;
const SEGMENT_BYTES: u32 = 4 * shard::store::log::BLOCK_BYTES;

struct Bench {
    ring: Ring,
    disk: Disk,
    dir: PathBuf,
    orders: Receiver<Order>,
    _mesh: Mesh,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let dir = std::env::temp_dir().join(format!("runtime-disk-{}-{name}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        Bench::within(dir)
    }

    fn within(dir: PathBuf) -> Bench {
        let (sender, orders) = unbounded();
        let mesh = weave(1, 16).unwrap().pop().unwrap();
        let keeper = Keeper::new(dir.clone(), SEGMENT_BYTES, 0, sender, mesh.waker());
        let log = Log::new(Config {
            shard: 0,
            shards: 1,
            segment_bytes: SEGMENT_BYTES,
            record_bytes_max: 2048,
            reserve: 0,
            spares_wanted: 2,
            spares_max: 2,
            files_max: u32::MAX,
            synced: true,
            seed: 1,
        });
        let disk = Disk::new(ShardId(0), log, HashMap::new(), keeper, SEGMENT_BYTES, true);
        Bench { ring: Ring::new(8).unwrap(), disk, dir, orders, _mesh: mesh }
    }

    /// The keeper carries out an order.
    fn answer(&mut self, carry_out: impl FnOnce(PathBuf) -> io::Result<File>) {
        let Ok(Order::Make { id, path, reply, .. }) = self.orders.try_recv() else {
            panic!("a file is ordered")
        };
        reply.send(Made { id, file: carry_out(path) }).unwrap();
        assert!(self.disk.has_news());
        while self.disk.take_news(&mut self.ring, Instant::START).is_some() {}
    }

    fn give_file(&mut self) {
        self.answer(|path| {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
            file.set_len(SEGMENT_BYTES.into())?;
            Ok(file)
        });
    }

    fn refuse_file(&mut self) {
        self.answer(|_| Err(io::Error::from_raw_os_error(libc::ENOSPC)));
    }

    fn begin(&mut self, number: u64) {
        let mut records = vec![0; 16];
        records[4] = 16;
        // The first kind that is the shard's own.
        records[12] = 16;
        self.disk.store(&mut self.ring, Batch { number, records });
    }

    /// The last batch that was stored until nothing was under way any more.
    fn settle(&mut self) -> Option<u64> {
        let mut stored = None;
        while self.ring.outstanding() > 0 {
            self.ring.wait(Some(Duration::from_secs(10))).unwrap();
            while let Some(completion) = self.ring.next() {
                let Operation::Store { name } = Operation::unpack(completion.user_data) else {
                    panic!("not the disk's")
                };
                match self.disk.on_completion(&mut self.ring, name, completion.result) {
                    Outcome::Stored { batch, .. } => stored = Some(batch),
                    Outcome::Failed(error) => panic!("{error}"),
                    Outcome::Nothing | Outcome::Room | Outcome::Fetched => {}
                    Outcome::ReadBack => {
                        if self.disk.review(&mut |_| {}).unwrap() {
                            self.disk.reviewed(0);
                        }
                        self.disk.clean(&mut self.ring, 0, stored.unwrap_or(0));
                    }
                }
            }
        }
        stored
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

#[test]
fn a_commit_for_its_own_sake_that_finds_no_room_leaves_the_place_to_the_next_batch() {
    let mut bench = Bench::new("own-sake");
    bench.give_file();
    bench.give_file();
    bench.begin(1);
    bench.refuse_file();
    assert_eq!(bench.settle(), Some(1));
    for number in 2..=2 * COMMITS_PER_SEGMENT {
        bench.begin(number);
        assert_eq!(bench.settle(), Some(number));
    }
    // Nothing in the first segment is alive. Its file is free after one more commit, for which there is no room.
    bench.disk.clean(&mut bench.ring, 0, 2 * COMMITS_PER_SEGMENT);
    bench.settle();
    assert_eq!(bench.disk.log.retired(), 1);
    bench.begin(7);
    assert_eq!(bench.settle(), None);
    assert!(bench.disk.on_time(Instant::START + RETRY_AFTER), "the keeper is asked again");
    bench.give_file();
    assert_eq!(bench.settle(), Some(7));
}

#[test]
fn what_dies_without_a_batch_is_given_up_a_little_later() {
    let mut bench = Bench::new("look");
    for number in 1..=4 * COMMITS_PER_SEGMENT {
        while !bench.orders.is_empty() {
            bench.give_file();
        }
        bench.begin(number);
        assert_eq!(bench.settle(), Some(number));
        bench.disk.clean(&mut bench.ring, 1 << 20, number);
    }
    assert!(!bench.disk.on_time(Instant::START));
    let later = bench.disk.next_deadline().unwrap();
    assert!(bench.disk.on_time(later));
    assert_eq!(bench.disk.log.segments(), 4);
    bench.disk.clean(&mut bench.ring, 0, 4 * COMMITS_PER_SEGMENT);
    bench.settle();
    assert_eq!(bench.disk.log.segments(), 2);
    assert!(bench.disk.on_time(later + LOOK_AFTER));
    assert_eq!(bench.disk.next_deadline(), None, "there is nothing to look at any more");
}

#[test]
fn a_read_that_fails_is_answered_to_all_for_whom_it_was() {
    let mut bench = Bench::new("unread");
    bench.give_file();
    bench.give_file();
    bench.begin(1);
    assert_eq!(bench.settle(), Some(1));
    let position = Position { generation: 1, offset: shard::store::log::BLOCK_BYTES };
    for number in [1, 2] {
        bench.disk.fetch(Fetch { session: SessionId(1), number, position, bytes: 16 });
    }
    bench.disk.start_fetches(&mut bench.ring);
    bench.settle();
    bench.disk.on_completion(&mut bench.ring, FETCH, -libc::EIO);
    let mut told = Vec::new();
    let outcome = bench.disk.take_fetched(&mut bench.ring, &mut |fetch, record| {
        told.push((fetch.number, record.is_some()));
    });
    let error = outcome.expect_err("it was not read").to_string();
    assert!(error.contains("segment-") && error.contains("Input/output error"), "{error}");
    assert_eq!(told, [(1, false), (2, false)]);
}

#[test]
fn the_mark_goes_when_the_first_batch_is_stored_and_not_before() {
    let dir = std::env::temp_dir().join(format!("runtime-disk-{}-mark", process::id()));
    fs::create_dir_all(&dir).unwrap();
    unused::mark(&dir).unwrap();
    let mut bench = Bench::within(dir.clone());
    bench.give_file();
    bench.give_file();
    assert!(bench.orders.is_empty());
    bench.begin(1);
    assert!(
        !bench.orders.try_iter().any(|order| matches!(order, Order::Begin { .. })),
        "nothing is stored yet"
    );
    assert_eq!(bench.settle(), Some(1));
    let begun = bench.orders.try_iter().find_map(|order| match order {
        Order::Begin { dir, path } => Some((dir, path)),
        _ => None,
    });
    let (of, path) = begun.expect("the keeper is told");
    assert_eq!((&of, path.exists()), (&dir, true));
    assert!(unused::is_unused(&dir));
    unused::begin(&of, &path);
    assert!(!unused::is_unused(&dir));
    bench.begin(2);
    assert_eq!(bench.settle(), Some(2));
    assert!(!bench.orders.try_iter().any(|order| matches!(order, Order::Begin { .. })), "once is enough");
}

#[test]
fn a_mark_stays_where_the_segment_cannot_be_synced() {
    let dir = std::env::temp_dir().join(format!("runtime-disk-{}-stays", process::id()));
    fs::create_dir_all(&dir).unwrap();
    unused::mark(&dir).unwrap();
    unused::begin(&dir, &dir.join("segment-00000000"));
    assert!(unused::is_unused(&dir));
    fs::remove_dir_all(&dir).unwrap();
}

//! The physical log: placing and sealing commits of 32 records, and reading a log back.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shard::store::{Config, FileId, Found, Log, Purpose, Recovery, START_BYTES, record};

const CONFIG: Config = Config {
    shard: 0,
    shards: 1,
    segment_bytes: 16 << 20,
    record_bytes_max: 1 << 20,
    reserve: 1,
    spares_wanted: 8,
    spares_max: 8,
    files_max: 100,
    synced: true,
    seed: 1,
};

fn batch(records: usize, body: &[u8]) -> Vec<u8> {
    let mut batch = Vec::with_capacity(records * (body.len() + 16) + 64);
    (0..records).for_each(|_| record::push(&mut batch, 16, 1, body, false));
    batch
}

fn log_with_spares() -> Log {
    let mut log = Log::new(CONFIG);
    (0..8).for_each(|file| log.add_spare(FileId(file)));
    log
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store/commit");
    for (records, length) in [(1, 134), (32, 134), (32, 1008), (1024, 134)] {
        let body = vec![7; length];
        group.throughput(Throughput::Elements(records as u64));
        let mut log = log_with_spares();
        group.bench_function(format!("{records} records of {} bytes", length + 16), |bencher| {
            bencher.iter_batched(
                || batch(records, &body),
                |batch| {
                    if log.segments() > 2 {
                        let retired = log.retire_oldest();
                        log.add_spare(FileId(1000 + retired.generation));
                    }
                    let placed = log.commit(batch, Purpose::Free).expect("there is room");
                    log.stored();
                    placed
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// One full segment as it would be read from disk.
fn segment(records: usize, length: usize) -> Vec<u8> {
    let body = vec![7; length];
    let mut log = log_with_spares();
    let mut bytes = vec![0; CONFIG.segment_bytes as usize];
    loop {
        let placed = log.commit(batch(records, &body), Purpose::Add).expect("there is room");
        log.stored();
        if log.segments() > 1 {
            return bytes;
        }
        for write in &placed.writes {
            let written = write.slices(&placed.batch).concat();
            bytes[write.offset as usize..][..written.len()].copy_from_slice(&written);
        }
    }
}

fn recover(bytes: &[u8]) -> u64 {
    let found = Found { file: FileId(0), bytes: bytes.len() as u32, start: &bytes[..START_BYTES as usize] };
    let mut recovery = Recovery::new(CONFIG, [found]).expect("the segment is whole");
    let mut seen = 0;
    while let Some((_, length)) = recovery.wants() {
        let read = &bytes[..length as usize];
        recovery.read(read, |record| seen += record.body.len() as u64).expect("the segment is whole");
    }
    black_box(recovery.finish());
    seen
}

/// The newest segment is walked twice, any other once: half of this for a log of many segments.
fn recovery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store/recovery, newest segment");
    for (records, length) in [(1, 134), (32, 134), (32, 1008), (1024, 134)] {
        let bytes = segment(records, length);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("commits of {records} records of {} bytes", length + 16), |bencher| {
            bencher.iter(|| recover(black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, commits, recovery);
criterion_main!(benches);

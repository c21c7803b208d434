//! Finding, reading and replacing among a million retained messages.

use std::hint::black_box;

use benches::{RETAINED_FILTER, RETAINED_MATCHES, Random};
use criterion::{Criterion, criterion_group, criterion_main};
use shard::bench::Retained;

fn retained(criterion: &mut Criterion) {
    let topics: Vec<String> = benches::retained_topics(MESSAGES).collect();
    let mut store = Retained::new();
    for topic in &topics {
        store.set(topic, PAYLOAD);
    }
    let mut group = criterion.benchmark_group(format!("retained/{MESSAGES}"));
    group.bench_function(format!("{RETAINED_FILTER}, {RETAINED_MATCHES} matches"), |bencher| {
        bencher.iter(|| assert_eq!(store.count(black_box(RETAINED_FILTER)), RETAINED_MATCHES));
    });
    let mut random = Random(1);
    let mut topic = || &topics[random.below(MESSAGES as u64) as usize];
    group.bench_function("replace", |bencher| bencher.iter(|| store.set(topic(), PAYLOAD)));
    group.bench_function("get", |bencher| bencher.iter(|| store.contains(topic())));
    group.finish();
}

const MESSAGES: usize = 1_000_000;
const PAYLOAD: &[u8] = &[b'x'; 32];

criterion_group!(benches, retained);
criterion_main!(benches);

//! Finding, reading and replacing among a million retained messages.

use std::hint::black_box;

use benches::{Operation, RETAINED_FILTER, RETAINED_MATCHES, Random};
use criterion::{Criterion, criterion_group};
use shard::bench::Retained;

fn retained(criterion: &mut Criterion) {
    let (mut store, topics) = filled();
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

fn main() {
    let operations = [
        Operation::new("100-matches", 100, |rounds| {
            let (store, _) = filled();
            for _ in 0..rounds {
                assert_eq!(store.count(black_box(RETAINED_FILTER)), RETAINED_MATCHES);
            }
        }),
        Operation::new("replace", 50_000, |rounds| {
            let (mut store, topics) = filled();
            let mut random = Random(1);
            for _ in 0..rounds {
                store.set(&topics[random.below(MESSAGES as u64) as usize], PAYLOAD);
            }
        }),
    ];
    if !benches::is_counting(&operations) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

fn filled() -> (Retained, Vec<String>) {
    let topics: Vec<String> = benches::retained_topics(MESSAGES).collect();
    let mut store = Retained::new();
    topics.iter().for_each(|topic| store.set(topic, PAYLOAD));
    (store, topics)
}

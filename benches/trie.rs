//! Matching a topic against 1,000 to 1,000,000 subscriptions: random topics, and one over and over.

use std::hint::black_box;

use benches::Topics;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shard::bench::Trie;

fn matches(criterion: &mut Criterion) {
    for count in [1_000, 100_000, 1_000_000] {
        let mut topics = Topics::new(count);
        let mut trie = Trie::new(1);
        for session in 0..count as u32 {
            trie.subscribe(&topics.filter(), session);
        }
        let random: Vec<String> = (0..65_536).map(|_| topics.topic()).collect();
        let found: usize = random.iter().map(|topic| trie.matches(topic)).sum();
        println!("{count} subscriptions, {:.2} matches a topic", found as f64 / random.len() as f64);

        let mut group = criterion.benchmark_group(format!("trie/{count}"));
        group.throughput(Throughput::Elements(1));
        let mut next = random.iter().cycle();
        group.bench_function("random topics", |bencher| {
            bencher.iter(|| trie.matches(black_box(next.next().expect("a cycle has no end"))));
        });
        group.bench_function("one topic", |bencher| bencher.iter(|| trie.matches(black_box(&random[0]))));
        group.finish();
    }
}

fn changes(criterion: &mut Criterion) {
    let mut topics = Topics::new(100_000);
    let mut trie = Trie::new(1);
    for session in 0..100_000 {
        trie.subscribe(&topics.filter(), session);
    }
    criterion.bench_function("trie/100000/subscribe and unsubscribe", |bencher| {
        let newcomer = u32::MAX;
        bencher.iter_batched(
            || topics.filter(),
            |filter| {
                trie.subscribe(&filter, newcomer);
                trie.unsubscribe(&filter, newcomer);
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, matches, changes);
criterion_main!(benches);

//! Matching a topic against 1,000 to 1,000,000 subscriptions: random topics, and one over and over, without and with what the
//! shard remembers.

use std::hint::black_box;

use benches::{Operation, Topics};
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use shard::bench::{Routes, Trie};

fn matches(criterion: &mut Criterion) {
    for count in [1_000, 100_000, 1_000_000] {
        let (mut trie, mut topics) = filled(count);
        let random: Vec<String> = (0..TOPICS).map(|_| topics.topic()).collect();
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

/// As the shard finds them: it remembers where topics led.
fn repeated(criterion: &mut Criterion) {
    let (mut routes, topics) = remembered();
    let mut group = criterion.benchmark_group("routes/100000");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one topic", |bencher| bencher.iter(|| routes.matches(black_box(&topics[0]))));
    let mut next = topics.iter().cycle();
    group.bench_function("50 topics in turn", |bencher| {
        bencher.iter(|| routes.matches(black_box(next.next().expect("a cycle has no end"))));
    });
    group.finish();
}

fn changes(criterion: &mut Criterion) {
    let (mut trie, mut topics) = filled(100_000);
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

criterion_group!(benches, matches, repeated, changes);

fn main() {
    let operations = [
        Operation::new("match-1k", 50_000, |rounds| count_matches(1_000, rounds)),
        Operation::new("match-100k", 50_000, |rounds| count_matches(100_000, rounds)),
        Operation::new("match-1m", 50_000, |rounds| count_matches(1_000_000, rounds)),
        Operation::new("one-topic-100k", 50_000, |rounds| count_repeated(1, rounds)),
        Operation::new("50-topics-100k", 50_000, |rounds| count_repeated(50, rounds)),
        Operation::new("subscribe-unsubscribe-100k", 50_000, count_changes),
    ];
    if !benches::is_counting(&operations) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

fn count_matches(subscriptions: usize, rounds: usize) {
    let (mut trie, mut topics) = filled(subscriptions);
    let random: Vec<String> = (0..TOPICS).map(|_| topics.topic()).collect();
    for topic in random.iter().cycle().take(rounds) {
        black_box(trie.matches(topic));
    }
}

fn count_repeated(different: usize, rounds: usize) {
    let (mut routes, topics) = remembered();
    for topic in topics[..different].iter().cycle().take(rounds) {
        black_box(routes.matches(topic));
    }
}

fn count_changes(rounds: usize) {
    let (mut trie, mut topics) = filled(100_000);
    let filters: Vec<String> = (0..TOPICS).map(|_| topics.filter()).collect();
    for filter in filters.iter().cycle().take(rounds) {
        trie.subscribe(filter, u32::MAX);
        trie.unsubscribe(filter, u32::MAX);
    }
}

fn filled(subscriptions: usize) -> (Trie, Topics) {
    let mut topics = Topics::new(subscriptions);
    let mut trie = Trie::new(1);
    for session in 0..subscriptions as u32 {
        trie.subscribe(&topics.filter(), session);
    }
    (trie, topics)
}

/// And fifty topics, each of which has come before.
fn remembered() -> (Routes, Vec<String>) {
    let (trie, mut topics) = filled(100_000);
    let topics: Vec<String> = (0..50).map(|_| topics.topic()).collect();
    let mut routes = Routes::new(trie);
    for topic in topics.iter().cycle().take(3 * topics.len()) {
        routes.matches(topic);
    }
    (routes, topics)
}

const TOPICS: usize = 65_536;

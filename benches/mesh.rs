//! The way of publications from one shard to another, both in one thread: bundle, ring, bundle read. What two cores add to that,
//! the cache lines that go from one to the other, is measured with a whole broker.

use std::hint::black_box;

use benches::Operation;
use criterion::{Criterion, Throughput, criterion_group};
use runtime::bench::Crossing;
use shard::{
    Mail,
    bench::{bundle, unbundle},
};

/// One tick: a bundle of so many publications crosses and is read.
fn cross(crossing: &mut Crossing, publications: usize) -> usize {
    let mail = Mail::Bundle(bundle(black_box(TOPIC), PAYLOAD, publications));
    let mut count = 0;
    crossing.cross([mail], |mail| {
        if let Mail::Bundle(bundle) = mail {
            count += unbundle(&bundle, TOPIC);
        }
    });
    count
}

fn mesh(criterion: &mut Criterion) {
    let mut crossing = Crossing::new().expect("two bells can be made");
    let mut group = criterion.benchmark_group("mesh/one tick");
    for publications in BUNDLES {
        group.throughput(Throughput::Elements(publications as u64));
        group.bench_function(format!("{publications} publications"), |bencher| {
            bencher.iter(|| assert_eq!(cross(&mut crossing, publications), publications));
        });
    }
    group.finish();
}

const TOPIC: &str = "site/line7/data";
const PAYLOAD: &[u8] = &[b'x'; 64];
const BUNDLES: [usize; 2] = [1, 40];

criterion_group!(benches, mesh);

fn main() {
    let operations = BUNDLES.map(|publications| {
        Operation::new(format!("tick-of-{publications}"), 10_000, move |rounds| {
            let mut crossing = Crossing::new().expect("two bells can be made");
            (0..rounds).for_each(|_| assert_eq!(cross(&mut crossing, publications), publications));
        })
    });
    if !benches::is_counting(&operations) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

//! What TLS adds to a message: from the socket's bytes to those of MQTT, and back. Receiving includes what the
//! client's TLS takes to seal, which is as much as it takes to open.

use std::{hint::black_box, sync::Arc};

use benches::Operation;
use criterion::{Criterion, Throughput, criterion_group};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use runtime::bench::Layered;
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer};

criterion_group!(benches, layers);

fn layered() -> Layered {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a name");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let chain = vec![cert.der().clone()];
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain.clone(), key);
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).expect("a certificate");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Layered::new(Arc::new(server.expect("a certificate and its key")), Arc::new(client))
}

fn send(layered: &mut Layered, bytes: &[u8]) {
    black_box(layered.send(black_box(bytes)));
}

fn receive(layered: &mut Layered, bytes: &[u8]) {
    assert_eq!(layered.receive(black_box(bytes)), bytes.len());
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layers/tls");
    let mut layered = layered();
    for size in SIZES {
        let bytes = vec![b'x'; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("send {size}"), |bencher| bencher.iter(|| send(&mut layered, &bytes)));
        group.bench_function(format!("receive {size}"), |bencher| {
            bencher.iter(|| receive(&mut layered, &bytes));
        });
    }
    group.finish();
}

/// A short message, and what a busy connection has for one tick.
const SIZES: [usize; 3] = [80, 1000, 16_000];

fn main() {
    let mut operations = Vec::new();
    for size in SIZES {
        for (name, step) in [("send", send as fn(&mut Layered, &[u8])), ("receive", receive)] {
            operations.push(Operation::new(format!("tls-{name}-{size}"), 2000, move |rounds| {
                let (mut layered, bytes) = (layered(), vec![b'x'; size]);
                (0..rounds).for_each(|_| step(&mut layered, &bytes));
            }));
        }
    }
    if !benches::is_counting(&operations) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

//! WebSocket frames of a short message: unmasked out of what a client sent, and framed for one.

use std::hint::black_box;

use benches::Operation;
use criterion::{Criterion, Throughput, criterion_group};
use transport::{Head, Side, Socket};

criterion_group!(benches, websocket);

/// What a client sent: several frames, as they come in one read.
struct Sent {
    bytes: Vec<u8>,
    plain: Vec<u8>,
    replies: Vec<u8>,
    socket: Socket,
}

impl Sent {
    fn of(frames: usize, payload_bytes: usize) -> Sent {
        let mut bytes = Vec::new();
        (0..frames).for_each(|_| Socket::put_masked(&vec![b'x'; payload_bytes], [1, 2, 3, 4], &mut bytes));
        Sent { bytes, plain: Vec::new(), replies: Vec::new(), socket: Socket::new(Side::Server) }
    }

    fn unmask(&mut self) {
        self.plain.clear();
        let outcome = self.socket.receive(black_box(&self.bytes), &mut self.plain, &mut self.replies);
        outcome.expect("good frames");
        black_box(&self.plain);
    }
}

fn frame(payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(Head::binary(black_box(payload).len()).as_bytes());
    out.extend_from_slice(payload);
    black_box(out);
}

fn websocket(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("websocket");
    for (name, frames, payload_bytes) in SIZES {
        group.throughput(Throughput::Bytes((frames * payload_bytes) as u64));
        let mut sent = Sent::of(frames, payload_bytes);
        group.bench_function(format!("unmask-{name}"), |bencher| bencher.iter(|| sent.unmask()));
    }
    let payload = vec![b'x'; 64];
    let mut out = Vec::with_capacity(128);
    group.throughput(Throughput::Elements(1));
    group.bench_function("frame-64", |bencher| bencher.iter(|| frame(&payload, &mut out)));
}

fn operations() -> Vec<Operation> {
    let unmasks = SIZES.into_iter().map(|(name, frames, payload_bytes)| {
        Operation::new(format!("unmask-{name}"), 10_000, move |rounds| {
            let mut sent = Sent::of(frames, payload_bytes);
            (0..rounds).for_each(|_| sent.unmask());
        })
    });
    let frames = Operation::new("frame-64", 10_000, |rounds| {
        let mut out = Vec::with_capacity(128);
        (0..rounds).for_each(|_| frame(&[b'x'; 64], &mut out));
    });
    unmasks.chain([frames]).collect()
}

fn main() {
    if !benches::is_counting(&operations()) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

/// Frames in one read and the payload of each.
const SIZES: [(&str, usize, usize); 3] = [("64", 1, 64), ("100-of-64", 100, 64), ("4096", 1, 4096)];

//! What a subscription and a retained message cost in memory: what is asked of the allocator, and what becomes resident.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    any::Any,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use benches::Topics;
use shard::bench::{Retained, Trie};

/// The allocator of the broker, with a sum of what is allocated.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is passed on unchanged to an allocator that keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise about `layout` is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `pointer` came from `alloc` above, which had it from the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(new_size.wrapping_sub(layout.size()), Relaxed);
        // SAFETY: as for `dealloc`, and the new size is the one that is asked for.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Builds so many of something, and keeps what holds them.
type Build = fn(usize) -> Box<dyn Any>;

const CASES: &[(&str, Build)] = &[
    ("dev/N/cmd, one session each", |count| trie(count, |n| format!("dev/{n}/cmd"))),
    ("dev/N/#, one session each", |count| trie(count, |n| format!("dev/{n}/#"))),
    ("all/devices, one filter for all sessions", |count| trie(count, |_| "all/devices".into())),
    ("five random levels, 10 % with wildcards", |count| {
        let mut topics = Topics::new(count);
        trie(count, |_| topics.filter())
    }),
    ("dev/N/cmd, of another shard", |count| {
        let mut trie = Trie::new(1);
        (0..count).for_each(|n| trie.add_peer(&format!("dev/{n}/cmd")));
        Box::new(trie)
    }),
    ("retained message, payload of 32 bytes", |count| {
        let mut retained = Retained::new();
        benches::retained_topics(count).for_each(|topic| retained.set(&topic, &[b'x'; 32]));
        Box::new(retained)
    }),
];

/// Without an argument each case runs in a process of its own: what one frees would be resident for the next. Resident
/// memory comes in huge pages of 2 MiB, so that it says little about the small count.
fn main() {
    let case = std::env::args().nth(1).and_then(|argument| argument.parse::<usize>().ok());
    if let Some(case) = case {
        let (name, build) = CASES[case];
        return report(name, build);
    }
    println!("{:<45} {:>10} {:>10} {:>10}", "bytes for each of", "count", "allocated", "resident");
    let program = std::env::current_exe().expect("a process knows its program");
    for case in 0..CASES.len() {
        let status = Command::new(&program).arg(case.to_string()).status().expect("the program starts again");
        assert!(status.success(), "case {case} failed");
    }
    let bytes: usize = benches::retained_topics(COUNTS[1]).map(|topic| topic.len() + 32).sum();
    println!("topic and payload of a retained message: {} bytes", bytes / COUNTS[1]);
}

fn report(name: &str, build: Build) {
    // What the allocator and the program itself need once is there before the first measurement.
    drop(build(1000));
    for count in COUNTS {
        let (allocated, resident) = (ALLOCATED.load(Relaxed), resident_bytes());
        let built = build(count);
        let allocated = ALLOCATED.load(Relaxed) - allocated;
        let resident = resident_bytes().saturating_sub(resident);
        println!("{name:<45} {count:>10} {:>10} {:>10}", allocated / count, resident / count);
        drop(built);
    }
}

fn trie(count: usize, mut filter: impl FnMut(usize) -> String) -> Box<dyn Any> {
    let mut trie = Trie::new(1);
    (0..count).for_each(|n| trie.subscribe(&filter(n), n as u32));
    Box::new(trie)
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells a process its size");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number is the resident pages") * 4096
}

const COUNTS: [usize; 2] = [10_000, 1_000_000];

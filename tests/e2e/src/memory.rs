//! What stands in the memory of another process, wherever that is: for secrets that are to be gone from it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Which of these words stand anywhere in it, as their places in the list. All are of one length.
#[track_caller]
pub fn find(process: u32, words: &[String]) -> Vec<usize> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem"));
    let memory = memory.expect("the memory of a child: a container has to be allowed to trace (SYS_PTRACE)");
    let mut found = vec![false; words.len()];
    for (begin, end) in maps.lines().filter_map(writable) {
        look(&memory, begin, end, words, &mut found);
    }
    (0..words.len()).filter(|at| found[*at]).collect()
}

/// From where to where a mapping reaches that the process may write.
fn writable(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).unwrap();
    fields.next()?.starts_with("rw").then(|| (address(begin), address(end)))
}

/// A piece at a time: with each the end of the one before it, where a word may begin.
fn look(memory: &File, begin: u64, end: u64, words: &[String], found: &mut [bool]) {
    let overlap = words[0].len() as u64 - 1;
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = begin;
    while at + overlap < end {
        let length = usize::try_from(end - at).unwrap().min(PIECE_BYTES);
        // What the process has given back meanwhile, and rings of the kernel, cannot be read.
        if memory.read_exact_at(&mut piece[..length], at).is_err() {
            return;
        }
        mark(&piece[..length], words, found);
        at += length as u64 - overlap;
    }
}

fn mark(piece: &[u8], words: &[String], found: &mut [bool]) {
    let first = words[0].as_bytes()[0];
    for bytes in piece.windows(words[0].len()).filter(|bytes| bytes[0] == first) {
        for (word, found) in words.iter().zip(&mut *found) {
            *found |= word.as_bytes() == bytes;
        }
    }
}

const PIECE_BYTES: usize = 1 << 20;

//! The end of the log cut off anywhere, and its middle changed: the one is recovered up to the last whole commit, the other
//! is refused, and nothing is done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use client::{QoS, Version};
use e2e::link::lasting;
use e2e::{Ended, Link, Setup, program, v5};

use crate::shelf::segments_in;

#[test]
fn a_log_that_ends_anywhere_in_its_last_commits_is_recovered_up_to_the_last_whole_one() {
    let written = write("ends-anywhere", 8);
    let commits = written.commits();
    let end = written.end();
    let mut counts = Vec::new();
    for at in written.cuts() {
        let copy = written.copy();
        OpenOptions::new().write(true).open(copy.last_segment()).unwrap().set_len(at).unwrap();
        let whole = ends(&commits, end).iter().filter(|end| **end <= at).count();
        // A file that is shorter than it was made is told, wherever it ends.
        let count = copy.count(Some(CUT));
        assert_eq!(count, written.messages_in(whole), "cut at {at:#x} of {end:#x}, commits at {commits:x?}");
        counts.push(count);
    }
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!(counts.last(), Some(&written.messages), "the end itself");
}

#[test]
fn a_last_commit_that_reached_the_disk_in_part_is_left_out() {
    let written = write("in-part", 4);
    let (commits, end) = (written.commits(), written.end());
    let from = *commits.last().unwrap();
    for at in (from..end).step_by(97) {
        let copy = written.copy();
        let file = OpenOptions::new().write(true).open(copy.last_segment()).unwrap();
        file.write_all_at(&vec![0; (end - at) as usize], at).unwrap();
        let is_changed = fs::read(copy.last_segment()).unwrap() != fs::read(written.last_segment()).unwrap();
        let whole = commits.len() - usize::from(is_changed && at < written.meaning_end());
        // A commit of which nothing is there was never begun, as far as anybody can tell.
        let is_torn = whole < commits.len() && at > from;
        assert_eq!(copy.count(is_torn.then_some(TORN)), written.messages_in(whole), "zeros from {at:#x}");
    }
}

#[test]
fn an_end_of_which_nothing_can_be_recognised_is_told() {
    let written = write("strange", 8);
    let commits = written.commits();
    let noise: Vec<u8> =
        (0..64 << 10_u32).map(|at: u32| (at.wrapping_mul(0x9e37_79b9) >> 21) as u8 | 1).collect();
    for whole in [commits.len() - 3, commits.len() - 1, commits.len()] {
        let copy = written.copy();
        let at = commits.get(whole).copied().unwrap_or(written.end());
        let file = OpenOptions::new().write(true).open(copy.last_segment()).unwrap();
        file.write_all_at(&noise, at).unwrap();
        let dir = copy.dir.as_os_str();
        for quiet in [None, Some("--quiet".as_ref())] {
            let args = ["store".as_ref(), "check".as_ref(), "--data-dir".as_ref(), dir];
            let check = Setup::bare("check").args(args.into_iter().chain(quiet)).run();
            assert_eq!(check.code, Some(0), "{:?}", check.out);
            let place = format!("at offset {at:#x}: the 65536 bytes behind the end");
            assert!(
                check.out.iter().any(|line| line.contains("SUSPECT") && line.contains(&place)),
                "{:?}",
                check.out
            );
            assert!(!check.out.iter().any(|line| line.ends_with("the store is whole")), "{:?}", check.out);
        }
        assert_eq!(copy.count(Some(STRANGE)), written.messages_in(whole), "from {at:#x}");
    }
}

#[test]
fn a_changed_byte_in_the_middle_is_refused_with_file_offset_and_remedy() {
    let written = write("changed", 12);
    let commits = written.commits();
    let mut named = BTreeSet::new();
    // The header of the segment, the first commits, and one from among the others.
    let places = [12, 40, commits[0] + 5, commits[0] + 60, commits[1] + 20, commits[5] + 49, commits[7] + 70];
    for at in places {
        let copy = written.copy();
        let path = copy.last_segment();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
        let before = copy.contents();
        let ended = copy.setup().run();
        assert_eq!(ended.code, Some(1), "a byte at {at:#x}: {:?}", ended.errors);
        assert_says(&ended, &["shard-0-of-1/segment-", "damaged", "offset 0x", "Nothing was changed"]);
        assert_says(&ended, &["iothub store check --data-dir", "iothub store repair --data-dir"]);
        let offset = offset_in(&ended);
        let commit_of = |at| commits.iter().rev().find(|commit| **commit <= at).copied().unwrap_or(0);
        assert!((commit_of(at)..=at).contains(&offset), "a byte at {at:#x}, said {offset:#x}");
        named.insert(commit_of(offset));
        assert!(copy.contents() == before, "something was changed");
    }
    assert_eq!(named, BTreeSet::from([0, commits[0], commits[1], commits[5], commits[7]]));
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let written = write("gone", 4);
    // A second life, so that the log has a second segment.
    let broker = written.broker();
    Link::connect(broker.port, lasting(Version::V5, "other")).close();
    broker.end(libc::SIGKILL);
    let mut segments: Vec<(u32, PathBuf)> =
        written.segments().into_iter().map(|path| (generation(&path), path)).collect();
    segments.retain(|(generation, _)| *generation > 0);
    segments.sort();
    let (_, oldest) = &segments[0];
    assert!(segments.len() > 1, "{segments:?}");
    fs::remove_file(oldest).unwrap();
    let before = written.contents();
    let ended = written.setup().run();
    assert_eq!(ended.code, Some(1), "{:?}", ended.errors);
    assert_says(&ended, &["is not complete", "missing", "Nothing was changed", "--data-dir"]);
    assert!(written.contents() == before, "something was changed");
}

#[test]
fn after_an_orderly_end_the_last_message_is_vouched_for() {
    for durability in ["fsynced", "written"] {
        let written = write_until(libc::SIGTERM, durability, "orderly", 4);
        let path = written.last_segment();
        let mut contents = fs::read(&path).unwrap();
        let text = b"3 xxxx";
        let at = contents.windows(text.len()).rposition(|bytes| bytes == text).unwrap();
        contents[at] ^= 1;
        fs::write(&path, contents).unwrap();
        let ended = written.setup().run();
        assert_eq!(ended.code, Some(1), "{durability}: {:?}", ended.errors);
        assert_says(&ended, &["damaged", "Nothing was changed"]);
    }
}

/// A directory that a broker of one shard has left by being killed, with a session that waits for its messages.
struct Written {
    dir: PathBuf,
    messages: usize,
    /// The last segment's end when so many messages were acknowledged.
    ends: Vec<u64>,
    is_copy: bool,
    durability: &'static str,
}

fn write(name: &str, messages: usize) -> Written {
    write_until(libc::SIGKILL, "fsynced", name, messages)
}

fn write_until(signal: i32, durability: &'static str, name: &str, messages: usize) -> Written {
    let dir = program::fresh_folder(&format!("durable-{name}"));
    let mut written = Written { dir, messages, ends: Vec::new(), is_copy: false, durability };
    let broker = written.setup().start();
    let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
    reader.subscribe("log", QoS::AtLeastOnce);
    reader.close();
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    for number in 0..messages {
        written.ends.push(written.end());
        // Two of them need a second block.
        let bytes = if number % 4 == 1 { 5_000 } else { 30 };
        publisher.publish("log", format!("{number} {}", "x".repeat(bytes)), QoS::AtLeastOnce);
    }
    written.ends.push(written.end());
    broker.end(signal);
    written
}

impl Written {
    fn setup(&self) -> Setup {
        let config = "[server]\nmax_packet_size = \"64 KiB\"\n[store]\nsegment_bytes = \"2 MiB\"\n";
        Setup::new("damaged")
            .shards(1)
            .config(config)
            .variable("IOTHUB_STORE__DURABILITY", self.durability)
            .args(["--data-dir".into(), self.dir.clone().into_os_string()])
    }

    fn broker(&self) -> e2e::Broker {
        self.setup().start()
    }

    fn copy(&self) -> Written {
        let dir = program::fresh_folder("durable-copy");
        fs::copy(self.dir.join("layout"), dir.join("layout")).unwrap();
        fs::create_dir(dir.join("shard-0-of-1")).unwrap();
        for segment in self.segments() {
            // What was never written to is not worth copying.
            if generation(&segment) > 0 {
                let target = dir.join("shard-0-of-1").join(segment.file_name().unwrap());
                fs::copy(&segment, target).unwrap();
            }
        }
        Written { dir, ends: self.ends.clone(), is_copy: true, ..*self }
    }

    /// How many messages the reader gets. Each that comes was published, in its order.
    #[track_caller]
    fn count(&self, end: Option<&str>) -> usize {
        let broker = self.broker();
        for text in [TORN, CUT, STRANGE] {
            assert_eq!(broker.process.says(text), end == Some(text), "{text:?}: {}", broker.process.shown());
        }
        let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
        assert!(reader.session_present);
        reader.publish("log", "end", QoS::AtLeastOnce);
        for number in 0.. {
            let text = reader.text();
            let head = text.split(' ').next().unwrap();
            if head == "end" {
                return number;
            }
            assert_eq!(head, number.to_string());
        }
        unreachable!("the numbers do not end")
    }

    fn segments(&self) -> Vec<PathBuf> {
        segments_in(&self.dir.join("shard-0-of-1"))
    }

    fn last_segment(&self) -> PathBuf {
        self.segments().into_iter().max_by_key(|path| generation(path)).unwrap()
    }

    /// Where the commits of the last segment begin.
    fn commits(&self) -> Vec<u64> {
        let bytes = fs::read(self.last_segment()).unwrap();
        let mut at = BLOCK_BYTES;
        let mut commits = Vec::new();
        while bytes.get(at + 12) == Some(&1) {
            commits.push(at as u64);
            at += u32::from_le_bytes(bytes[at + 40..at + 44].try_into().unwrap()) as usize;
        }
        commits
    }

    fn end(&self) -> u64 {
        let Some(last) = self.commits().last().copied() else { return BLOCK_BYTES as u64 };
        let bytes = fs::read(self.last_segment()).unwrap();
        let at = last as usize;
        last + u64::from(u32::from_le_bytes(bytes[at + 40..at + 44].try_into().unwrap()))
    }

    /// Behind it there is nothing but padding.
    fn meaning_end(&self) -> u64 {
        let bytes = fs::read(self.last_segment()).unwrap();
        let end = self.end() as usize;
        let mut at = *self.commits().last().unwrap() as usize;
        while at + 16 <= end && bytes[at + 12] != 2 {
            at += u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        }
        at as u64
    }

    /// Every byte of the last commit's records, and some of its padding and of the commits before it.
    fn cuts(&self) -> Vec<u64> {
        let (commits, end) = (self.commits(), self.end());
        let (last, padding) = (*commits.last().unwrap(), self.meaning_end());
        let before = (commits[commits.len() - 4]..last).step_by(797);
        before.chain(last..=padding).chain((padding..end).step_by(797)).chain([end]).collect()
    }

    /// How many messages are in the first commits of the last segment.
    fn messages_in(&self, commits: usize) -> usize {
        let ends = ends(&self.commits(), self.end());
        let end = commits.checked_sub(1).map_or(0, |at| ends[at]);
        self.ends.iter().skip(1).filter(|acknowledged| **acknowledged <= end).count()
    }

    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.segments().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // What fails stays for whoever looks into it.
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.dir).unwrap();
        } else if !self.is_copy {
            let _ = writeln!(std::io::stderr(), "the data directory is {}", self.dir.display());
        }
    }
}

fn ends(commits: &[u64], end: u64) -> Vec<u64> {
    commits.iter().skip(1).copied().chain([end]).collect()
}

/// Of the segment in this file; 0: none. A broker that is killed can leave a file that has only just been made.
fn generation(path: &Path) -> u32 {
    let bytes = fs::read(path).unwrap();
    bytes.get(20..24).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
}

#[track_caller]
fn assert_says(ended: &Ended, texts: &[&str]) {
    for text in texts {
        assert!(ended.says(text), "{text:?} is not in {:?}", ended.errors);
    }
}

#[track_caller]
fn offset_in(ended: &Ended) -> u64 {
    let line = ended.errors.iter().chain(&ended.out).find_map(|line| line.split_once("offset 0x"));
    let (_, rest) = line.expect("it says an offset");
    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    u64::from_str_radix(&digits, 16).unwrap()
}

const BLOCK_BYTES: usize = 4096;
const TORN: &str = "the end of the store was being written when the broker ended";
const CUT: &str = "is shorter than it was made, which no crash does";
const STRANGE: &str = "what stands behind the end of the store is nothing that a broker leaves there";

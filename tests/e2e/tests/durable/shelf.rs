//! A data directory that a broker has left, and `iothub store` at work on it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use client::{Publication, QoS, Version};
use e2e::link::lasting;
use e2e::{Broker, Ended, Link, Setup, program, v5};

/// Removed at its end, unless the test fails.
pub struct Shelf {
    pub dir: PathBuf,
}

impl Shelf {
    pub fn new(name: &str) -> Shelf {
        Shelf { dir: program::fresh_folder(&format!("shelf-{name}")) }
    }

    /// One shard with a reader that is away, so many messages for it, and a retained one.
    pub fn filled(name: &str, messages: usize) -> Shelf {
        let shelf = Shelf::new(name);
        let broker = shelf.broker(1);
        let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
        reader.subscribe("log", QoS::AtLeastOnce);
        reader.close();
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        let retained = Publication::new("house/door", "open", QoS::AtLeastOnce).retained();
        publisher.publish_with(retained);
        for number in 0..messages {
            publisher.publish("log", number.to_string(), QoS::AtLeastOnce);
        }
        broker.end(libc::SIGKILL);
        shelf
    }

    pub fn setup(&self, shards: u8) -> Setup {
        let config = "[server]\nmax_packet_size = \"64 KiB\"\n[store]\nsegment_bytes = \"2 MiB\"\n";
        let dir = self.dir.clone().into_os_string();
        Setup::new("shelf").shards(shards).config(config).args(["--data-dir".into(), dir])
    }

    pub fn broker(&self, shards: u8) -> Broker {
        self.setup(shards).start()
    }

    /// `iothub store COMMAND --data-dir DIR MORE`.
    pub fn store(&self, command: &str, more: &[&OsStr]) -> Ended {
        let dir = self.dir.as_os_str();
        let args = ["store".as_ref(), command.as_ref(), "--data-dir".as_ref(), dir];
        Setup::bare("store").args(args.iter().chain(more)).run()
    }

    /// The file of the first shard that has the newest segment.
    pub fn segment(&self) -> PathBuf {
        segments(&self.dir).into_iter().max_by_key(|path| generation(path)).unwrap()
    }

    /// Turns one bit of the newest segment.
    pub fn harm(&self, at: u64) {
        let file = OpenOptions::new().read(true).write(true).open(self.segment()).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ HARM], at).unwrap();
    }

    /// Where the message with this number is: its payload is looked for.
    pub fn place_of(&self, number: usize) -> u64 {
        self.place_of_payload(number.to_string().as_bytes())
    }

    /// The same, when `harm` was there.
    pub fn place_of_harmed(&self, number: usize) -> u64 {
        let payload: Vec<u8> = number.to_string().bytes().map(|byte| byte ^ HARM).collect();
        self.place_of_payload(&payload)
    }

    fn place_of_payload(&self, payload: &[u8]) -> u64 {
        let bytes = fs::read(self.segment()).unwrap();
        let needle = [b"log\0\0\0\0".as_slice(), payload].concat();
        let is_it = |window: &&[u8]| *window == needle.as_slice();
        let count = bytes.windows(needle.len()).filter(is_it).count();
        assert_eq!(count, 1, "{payload:?}");
        let at = bytes.windows(needle.len()).position(|window| is_it(&window)).unwrap();
        (at + needle.len() - 1) as u64
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.dir).unwrap();
        }
    }
}

const HARM: u8 = 0x10;

/// All segments of the first shard.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let is_first = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name == "shard-0" || name.starts_with("shard-0-")
    };
    let folder = entries(dir).into_iter().find(is_first).unwrap();
    segments_in(&folder)
}

/// Those that have their length, and not what else is in the folder.
pub fn segments_in(folder: &Path) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("segment-") && !name.ends_with(".part")
    };
    entries(folder).into_iter().filter(is_segment).collect()
}

pub fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn generation(path: &Path) -> u32 {
    let mut bytes = [0; 4];
    match File::open(path).unwrap().read_exact_at(&mut bytes, 20) {
        Ok(()) => u32::from_le_bytes(bytes),
        // It was only just made.
        Err(_) => 0,
    }
}

/// Takes everything that waits for the reader.
#[track_caller]
pub fn texts_of_reader(broker: &Broker) -> Vec<String> {
    let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
    assert!(reader.session_present);
    reader.publish("log", "end", QoS::AtLeastOnce);
    let texts: Vec<String> =
        std::iter::repeat_with(|| reader.text()).take_while(|text| text != "end").collect();
    reader.close();
    texts
}

#[track_caller]
pub fn assert_says(ended: &Ended, code: i32, texts: &[&str]) {
    let said = [ended.out.as_slice(), &ended.errors].concat().join("\n");
    assert_eq!(ended.code, Some(code), "{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in\n{said}");
    }
}

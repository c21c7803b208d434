//! A file system without space: who needs the disk is refused or waits, everybody else goes on, and when there is space
//! again, so does the rest. Nothing that was acknowledged is lost meanwhile.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use client::{Event, Publication, QoS, ReasonCode, Version};
use e2e::api::{self, Api, port_told_by};
use e2e::link::lasting;
use e2e::network::Network;
use e2e::{Link, PATIENCE, Process, program, v5, v311};
use serde_json::json;

use crate::shelf::{Shelf, entries, segments};

#[test]
fn a_full_disk_stops_who_needs_it_until_its_queues_are_drained() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    let broker = disk.start();
    let port = broker.port;
    let acknowledged = fill(&broker);
    let mut waiting = everything_else_goes_on(port);
    // The one that waits may find room while the others are still being taken.
    let early = drain(port, acknowledged);
    waiting.is_acknowledged();
    let mut publisher = Link::connect(port, v5("after"));
    publisher.publish("log", "0 after", QoS::AtLeastOnce);
    assert_eq!(early + drain(port, 0), 2, "the one that waited, and the one after it; none that was refused");
}

#[test]
fn a_full_disk_stops_who_needs_it_until_somebody_makes_space() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    let broker = disk.start();
    let port = broker.port;
    let filler = disk.outside().join("filler");
    fs::write(&filler, vec![1; FILLER_MIB << 20]).unwrap();
    let acknowledged = fill(&broker);
    let mut waiting = everything_else_goes_on(port);
    fs::remove_file(filler).unwrap();
    waiting.is_acknowledged();
    let mut publisher = Link::connect(port, v5("after"));
    publisher.publish("log", "0 after", QoS::AtLeastOnce);
    assert_eq!(drain(port, acknowledged), 2, "the one that waited, and the one after it");
}

#[test]
fn a_broker_that_is_killed_when_the_disk_is_full_comes_back_with_everything() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    for _ in 0..3 {
        let mut broker = disk.start();
        let acknowledged = fill(&broker);
        broker.process.signal(libc::SIGKILL);
        broker.process.wait();
        let mut broker = disk.start();
        assert_eq!(drain(broker.port, acknowledged), 0);
        broker.process.signal(libc::SIGKILL);
        broker.process.wait();
    }
}

#[test]
fn another_number_of_shards_that_finds_no_room_is_refused_and_costs_nothing() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    let mut broker = disk.start();
    let acknowledged = fill(&broker);
    broker.process.signal(libc::SIGKILL);
    broker.process.wait();
    let mut refused = Process::start("iothub", &mut disk.command(2));
    assert_eq!(refused.wait().code(), Some(1), "{}", refused.shown());
    for text in ["for 1 shards, and 2 were asked for", "bytes more", "Nothing was changed", "--shards 1"] {
        assert!(refused.says(text), "{text:?} is not in {}", refused.shown());
    }
    let broker = disk.start();
    assert_eq!(drain(broker.port, acknowledged), 0);
}

/// Once it is seen before, and once only when the last thing is to be written.
#[test]
fn a_restore_that_finds_no_room_leaves_nothing_behind() {
    let backup = Shelf::filled("no-room", 2);
    let bytes: u64 = segments(&backup.dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    let mebibytes = usize::try_from(bytes >> 20).unwrap();
    for (mebibytes, said) in [(1, "are free. Make room"), (mebibytes, NO_SPACE)] {
        let Some(disk) = Disk::mount(mebibytes) else { return };
        let refuses = || {
            let mut command = disk.iothub();
            command
                .args(["store", "restore"])
                .arg(&backup.dir)
                .arg("--data-dir")
                .arg(disk.place.join("a/store"));
            let mut refused = Process::start("iothub", &mut command);
            assert_eq!(refused.wait().code(), Some(2), "{}", refused.shown());
            assert!(refused.says(said), "{}", refused.shown());
        };
        refuses();
        assert!(entries(&disk.outside()).is_empty(), "{:?}", entries(&disk.outside()));
        // What says that one was cut short before is not given up for one that is refused.
        let store = disk.outside().join("a/store");
        let left = store.join("restoring-20260131-235959/shard-0-of-1");
        fs::create_dir_all(&left).unwrap();
        refuses();
        assert!(!left.exists());
        let is_marked = |path: &PathBuf| path.to_str().is_some_and(|path| path.contains("restoring-"));
        assert!(entries(&store).iter().any(is_marked), "{:?}", entries(&store));
    }
}

/// A disk that fills up before the first file of the log is whole.
#[test]
fn a_broker_that_finds_no_space_at_all_says_so_and_serves_who_needs_none() {
    let Some(disk) = Disk::mount(1) else { return };
    let broker = disk.start();
    broker.process.await_text(NO_SPACE);
    let mut link = Link::connect(broker.port, v5("passing"));
    link.subscribe("live", QoS::AtMostOnce);
    link.publish("live", "still", QoS::AtMostOnce);
    assert_eq!(link.text(), "still");
    match Link::try_connect(broker.port, lasting(Version::V5, "lasting")) {
        Err(error) => assert!(error.to_string().contains("0x97"), "{error}"),
        Ok(_) => panic!("a session that cannot be stored was promised"),
    }
}

/// Nothing at all finds room, then only what says how the store is laid out.
#[test]
fn a_disk_that_is_full_before_the_first_start_is_told_with_what_to_do() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    disk.fill_up();
    let mut refused = Process::start("iothub", &mut disk.command(1));
    assert_eq!(refused.wait().code(), Some(1), "{}", refused.shown());
    assert!(refused.says(NO_SPACE) && refused.says("Make room on its disk"), "{}", refused.shown());

    let key = disk.outside().join("store/scram.key");
    // For the mark of the shard's folder, and for the layout.
    disk.give_back(2 * PAGE);
    let broker = disk.start();
    for said in ["the secret for the salts of unknown users is not kept", NO_SPACE, "Make room on the disk"] {
        broker.process.await_text(said);
    }
    assert!(!key.exists());
    let mut link = Link::connect(broker.port, v5("passing"));
    link.subscribe("live", QoS::AtMostOnce);
    link.publish("live", "still", QoS::AtMostOnce);
    assert_eq!(link.text(), "still");
    broker.ends();

    fs::remove_file(disk.outside().join("filler")).unwrap();
    disk.start().ends();
    assert!(key.exists());
}

#[test]
fn who_asks_the_api_of_a_broker_on_a_full_disk_is_answered_and_told_what_has_no_room() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    let mut broker = disk.run(disk.command(1).env("IOTHUB_API__LISTEN", "127.0.0.1:0"));
    let token = fs::read_to_string(disk.outside().join("store/api_tokens.first")).unwrap();
    let api = Api { port: port_told_by(&broker.process), token: token.trim_end().to_owned() };
    let acknowledged = fill(&broker);
    for (qos, retain) in [(1, false), (2, false), (1, true)] {
        let order = json!({ "topic": "log", "payload": "0 refused", "qos": qos, "retain": retain });
        let refused = api.post("/v1/publish", &order);
        assert!(refused.status == 503 && refused.text.contains("the store is full"), "{refused:?}");
    }
    let kept = json!({ "topic": "kept", "payload": "x", "retain": true });
    let kept = api.post("/v1/publish", &kept).expect(200);
    assert_eq!(
        (&kept["retained"], &kept["not_retained"]["cause"]),
        (&json!(false), &json!("publish_retain_store_full"))
    );
    let emptied = json!({ "topic": "kept", "payload": "", "retain": true });
    let emptied = api.post("/v1/publish", &emptied).expect(200);
    let why = emptied["not_retained"]["why"].as_str().unwrap_or_default();
    assert!(why.starts_with("it was to delete what is retained on its topic"), "{emptied}");
    for path in [
        "/livez",
        "/readyz",
        "/v1/broker",
        "/v1/shards",
        "/v1/clients",
        "/v1/subscriptions",
        "/v1/retained",
        "/v1/bans",
    ] {
        api.get(path).expect(200);
    }
    assert_eq!(api.get("/v1/shards").expect(200)["shards"][0]["gauges"]["store_full"], 1);
    let queues = api.get("/v1/queues").expect(200);
    assert_eq!(queues["queues"][0]["client_id"], "reader", "{queues}");
    let drops = api.get("/v1/drops").expect(200).to_string();
    assert!(drops.contains("publish_store_full"), "{drops}");
    let others = api.get("/v1/drops/others").expect(200);
    let of_operators: Vec<_> = others["of_operators"].as_array().unwrap().iter().collect();
    let sum: u64 = of_operators.iter().map(|loss| loss["count"].as_u64().unwrap()).sum();
    assert_eq!((sum, &others["of_nobody"]), (5, &json!([])), "all that was asked for above: {others}");

    let mut listener = Link::connect(broker.port, v5("listener"));
    listener.subscribe("live", QoS::AtMostOnce);
    let live = json!({ "topic": "live", "payload": "still" });
    assert_eq!(api.post("/v1/publish", &live).expect(200)["matched"], true);
    assert_eq!(listener.text(), "still");
    let client = json!({ "client_id": "listener" });
    assert_eq!(api.post("/v1/client/disconnect", &client).expect(200)["disconnected"], 1);
    assert_eq!(api.post("/v1/client", &client).status, 404, "its session has gone with it");
    api.post("/v1/drain", &json!({})).expect(202);
    assert_eq!(broker.process.wait().code(), Some(0), "{}", broker.process.shown());
    let broker = disk.start();
    assert_eq!(drain(broker.port, acknowledged), 0, "nothing that was refused");
}

/// Its port is free, so that the broker makes a first token, and finds no room for it.
#[test]
fn an_api_that_nobody_named_keeps_no_broker_on_a_full_disk_from_starting() {
    Network::own(|network| {
        let Some(disk) = Disk::mount(DISK_MIB) else { return };
        if network.is_loopback() {
            eprintln!("skipped: whether the default port is free here is up to others");
            return;
        }
        disk.start().ends();
        disk.fill_up();
        let mut named = Process::start("iothub", disk.command(1).env("IOTHUB_API__LISTEN", "127.0.0.1:0"));
        assert_eq!(named.wait().code(), Some(1), "{}", named.shown());
        assert!(named.says("the API's first token cannot be kept"), "{}", named.shown());

        let broker = disk.run(disk.command(1).env_remove("IOTHUB_API__LISTEN"));
        for said in ["the API's first token cannot be kept", NO_SPACE, "iothub token add NAME", "has room"] {
            broker.process.await_text(said);
        }
        assert!(!disk.outside().join("store/api_tokens.first").exists());
        let mut link = Link::connect(broker.port, v5("passing"));
        link.publish("live", "still", QoS::AtMostOnce);
        let api = Api { port: port_told_by(&broker.process), token: String::new() };
        assert_eq!(api.port, 9883);
        assert_eq!(["/livez", "/readyz", "/v1/broker"].map(|path| api.get(path).status), [200, 200, 401]);
        let control = disk.outside().join("store/control.sock");
        api::ask_control(&control, "GET", "/v1/broker", None).expect(200);

        fs::remove_file(disk.outside().join("filler")).unwrap();
        let mut command = disk.iothub();
        command.args(["token", "add", "late", "--role", "admin", "--data-dir"]).arg(disk.place.join("store"));
        let mut added = Process::start("iothub token add", &mut command);
        added.succeed();
        let token = added.out_lines().into_iter().find(|line| line.starts_with("iothub_")).unwrap();
        api.with_token(token.trim()).get("/v1/broker").expect(200);
    });
}

/// Publishes for somebody who is away until the disk is full; gives how many were acknowledged.
fn fill(broker: &Running) -> usize {
    let mut reader = Link::connect(broker.port, lasting(Version::V5, "reader"));
    reader.subscribe("log", QoS::AtLeastOnce);
    reader.close();
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    let (mut number, mut refused_since) = (0, None);
    while number < FILLING_MAX {
        let publication = Publication::new("log", format!("{number} {}", "x".repeat(4000)), QoS::AtLeastOnce);
        match publisher.driver.publish_and_wait(publication, PATIENCE).expect("an answer") {
            // While files can be made, or be cleaned, there is room again a moment later.
            ReasonCode::QuotaExceeded => {
                let since = *refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() > FULL_AFTER {
                    broker.process.await_text(NO_SPACE);
                    return number;
                }
                publisher.message_within(Duration::from_millis(5));
            }
            reason => {
                assert!(!reason.is_error(), "{reason:?}");
                number += 1;
                refused_since = None;
            }
        }
    }
    panic!("{FILLING_MAX} messages found room")
}

/// Takes everything that waits; gives how many there are beyond the expected ones.
fn drain(port: u16, expected: usize) -> usize {
    let mut reader = Link::connect(port, lasting(Version::V5, "reader"));
    assert!(reader.session_present);
    for number in 0..expected {
        let text = reader.text();
        assert_eq!(text.split(' ').next(), Some(number.to_string().as_str()));
    }
    let mut more = 0;
    while reader.message_within(Duration::from_millis(200)).is_some() {
        more += 1;
    }
    reader.close();
    more
}

/// Whoever needs no disk notices nothing, and a client of 3.1.1 waits.
fn everything_else_goes_on(port: u16) -> Waiting {
    let mut waiting = Link::connect(port, v311("waiting"));
    let publication = Publication::new("log", "0 waiting", QoS::AtLeastOnce);
    waiting.driver.publish(publication).unwrap();
    let mut one = Link::connect(port, v5("one"));
    let mut other = Link::connect(port, v311("other"));
    one.subscribe("live", QoS::AtMostOnce);
    other.subscribe("live", QoS::AtMostOnce);
    for number in 0..200 {
        one.publish("live", number.to_string(), QoS::AtMostOnce);
        assert_eq!((one.text(), other.text()), (number.to_string(), number.to_string()));
    }
    assert_eq!(waiting.driver.next_event(Duration::ZERO).unwrap(), None, "neither an answer nor an end");
    Waiting { link: waiting }
}

struct Waiting {
    link: Link,
}

impl Waiting {
    #[track_caller]
    fn is_acknowledged(&mut self) {
        match self.link.driver.next_event(PATIENCE).unwrap() {
            Some(Event::Published { reason, .. }) => assert!(!reason.is_error(), "{reason:?}"),
            other => panic!("the acknowledgement was to come, not {other:?}"),
        }
    }
}

/// A small file system of its own, as long as this lives.
struct Disk {
    holder: Process,
    place: PathBuf,
}

struct Running {
    process: Process,
    port: u16,
}

impl Running {
    fn ends(mut self) {
        self.process.signal(libc::SIGTERM);
        assert_eq!(self.process.wait().code(), Some(0), "{}", self.process.shown());
    }
}

impl Disk {
    /// `None`, and a word about it, where this machine does not allow it.
    fn mount(mebibytes: usize) -> Option<Disk> {
        let place = program::fresh_folder("durable-disk");
        let script =
            format!("mount -t tmpfs -o size={mebibytes}m tmpfs \"$1\" && echo mounted && exec sleep 600");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]).arg(&place);
        let holder = Process::start("mount", &mut command);
        let outcome = holder.await_line("whether it could mount", |line| {
            if line.contains("mounted") { Some(true) } else { (!line.is_empty()).then_some(false) }
        });
        if !outcome {
            eprintln!("skipped: a file system cannot be mounted here: {}", holder.shown());
            return None;
        }
        Some(Disk { holder, place })
    }

    /// The same place, seen from here.
    fn outside(&self) -> PathBuf {
        let inside = self.place.strip_prefix("/").expect("the folder for temporary files has a whole path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    fn start(&self) -> Running {
        self.run(&mut self.command(1))
    }

    /// By somebody else, to the last byte.
    fn fill_up(&self) {
        let mut filler = fs::File::create(self.outside().join("filler")).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let bytes = vec![1; size];
            while filler.write_all(&bytes).is_ok() {}
        }
    }

    /// Of what fills it up.
    fn give_back(&self, bytes: u64) {
        let filler = fs::File::options().write(true).open(self.outside().join("filler")).unwrap();
        filler.set_len(filler.metadata().unwrap().len() - bytes).unwrap();
    }

    fn run(&self, command: &mut Command) -> Running {
        let process = Process::start("iothub", command);
        let port = process.await_line("where it listens", |line| {
            let (_, rest) = line.split_once("listening on tcp://127.0.0.1:")?;
            rest.split([' ', ',']).next()?.parse().ok()
        });
        Running { process, port }
    }

    /// The program, where it has that file system.
    fn iothub(&self) -> Command {
        let mut command = program::command("nsenter");
        command.args([
            "--target",
            &self.holder.id().to_string(),
            "--user",
            "--mount",
            "--preserve-credentials",
        ]);
        command.arg(program::iothub());
        command
    }

    fn command(&self, shards: u8) -> Command {
        let mut command = self.iothub();
        command.args(["--listen", "tcp://127.0.0.1:0"]);
        command.args(["--shards", &shards.to_string(), "--data-dir"]).arg(self.place.join("store"));
        for (name, value) in [
            // Whether its default port is free is up to others, and a first token needs room on the disk.
            ("IOTHUB_API__LISTEN", ""),
            ("IOTHUB_STORE__SEGMENT_BYTES", "2 MiB"),
            ("IOTHUB_SERVER__MAX_PACKET_SIZE", "64 KiB"),
            ("IOTHUB_SESSION__MAX_QUEUED_MESSAGES", "1000000"),
            ("IOTHUB_SESSION__MAX_QUEUED_BYTES", "1 GiB"),
        ] {
            command.env(name, value);
        }
        command
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.place);
    }
}

const NO_SPACE: &str = "No space left on device";
const FULL_AFTER: Duration = Duration::from_secs(1);
const DISK_MIB: usize = 24;
const FILLER_MIB: usize = 10;
/// What a file takes that has little to say.
const PAGE: u64 = 4096;
/// More than fit on the disk.
const FILLING_MAX: usize = 10_000;

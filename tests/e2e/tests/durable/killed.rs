//! The broker is killed at any moment, again and again, and its clients lose nothing that was acknowledged.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use client::{QoS, Version};
use e2e::api;
use e2e::broker::free_port;
use e2e::link::lasting;
use e2e::{Link, Setup, program};
use serde_json::json;

use crate::lives::Lives;
use crate::subscriber::Taste;
use crate::traffic::PUBLISHERS;
use crate::{interest, kept, publisher, subscriber, wills};
use e2e::dice::Dice;

#[test]
fn nothing_is_lost_by_200_kills_when_everything_is_fsynced() {
    survive(&Plan { name: "fsynced", durability: "fsynced", kills: 200, shards: &[2] });
}

#[test]
fn nothing_is_lost_by_200_kills_when_everything_is_written() {
    survive(&Plan { name: "written", durability: "written", kills: 200, shards: &[2] });
}

/// Every other start moves everything, and some are killed on the way.
#[test]
fn nothing_is_lost_by_80_kills_when_each_life_may_have_another_number_of_shards() {
    survive(&Plan { name: "moved", durability: "fsynced", kills: 80, shards: &[1, 2, 3, 5] });
}

#[test]
fn what_the_api_says_is_published_is_there_after_a_kill() {
    let dir = program::fresh_folder("killed-api");
    let start = || Setup::new("killed-api").shards(2).args(["--data-dir", dir.to_str().unwrap()]).start();
    for round in 0..5 {
        let mut broker = start();
        let mut reader = Link::connect(broker.port, lasting(Version::V5, "reader"));
        reader.subscribe("log", QoS::AtLeastOnce);
        reader.close();
        let count = 20;
        for number in 0..count {
            let order = json!({ "topic": "log", "payload": format!("{round} {number}"), "qos": 1 });
            api::ask_control(&dir.join("control.sock"), "POST", "/v1/publish", Some(&order)).expect(200);
        }
        broker.process.signal(libc::SIGKILL);
        broker.process.wait();
        let broker = start();
        let mut reader = Link::connect(broker.port, lasting(Version::V5, "reader"));
        for number in 0..count {
            assert_eq!(reader.text(), format!("{round} {number}"));
        }
        reader.close();
    }
}

struct Plan {
    name: &'static str,
    durability: &'static str,
    kills: u64,
    /// Each start has one of these numbers of them.
    shards: &'static [u8],
}

fn survive(plan: &Plan) {
    let Plan { name, kills, .. } = *plan;
    let seed = Dice::seed_of_run();
    eprintln!("{name}: IOTHUB_E2E_SEED={seed}");
    let mut dice = Dice::new(seed);
    // A test that fails leaves it for whoever looks into it.
    let data_dir = program::fresh_folder(&format!("killed-{name}"));
    eprintln!("{name}: the data directory is {}", data_dir.display());
    let (lives, port) = (&Lives::default(), free_port());
    let begun = Instant::now();
    thread::scope(|scope| {
        for number in 0..PUBLISHERS {
            let mut dice = dice.another();
            scope.spawn(move || {
                let published = lives.run(|| {
                    lives.await_ready(TASTES.len())?;
                    publisher::publish(lives, port, number, &mut dice)
                });
                eprintln!("{name}: publisher {number}: {published:?}");
            });
        }
        for taste in TASTES {
            let mut dice = dice.another();
            scope.spawn(move || {
                let heard = lives.run(|| subscriber::subscribe(lives, port, taste, &mut dice));
                eprintln!("{name}: {}: {heard:?}", taste.name);
            });
        }
        for person in 0..2 {
            let mut dice = dice.another();
            scope.spawn(move || {
                let changes = lives.run(|| interest::change(lives, port, person, &mut dice));
                eprintln!("{name}: changes of subscriptions: {changes:?}");
            });
        }
        let mut of_kept = dice.another();
        scope.spawn(move || {
            let kept = lives.run(|| kept::keep(lives, port, &mut of_kept));
            eprintln!("{name}: retained, looked at: {kept:?}");
        });
        let mut of_wills = dice.another();
        scope.spawn(move || {
            let wills = lives.run(|| wills::make(lives, port, &mut of_wills));
            eprintln!("{name}: {wills:?}");
        });
        lives.run(|| {
            kill(lives, plan, port, &data_dir, &mut dice);
            Ok(())
        });
    });
    eprintln!("{name}: {kills} kills and what came after them in {:?}", begun.elapsed());
    fs::remove_dir_all(data_dir).unwrap();
}

/// Lets it live so many times, and then stay until its clients are content.
fn kill(lives: &Lives, plan: &Plan, port: u16, data_dir: &Path, dice: &mut Dice) {
    for _ in 0..plan.kills {
        if dice.one_in(KILLED_EARLY_ONE_IN) {
            let setup = setup(plan, port, data_dir, dice);
            let folder = setup.folder().clone();
            let mut process = setup.spawn();
            // Anywhere in its start, which takes longer where it moves everything first.
            let early_max = EARLY_MAX * plan.shards.len() as u32;
            thread::sleep(dice.time(Duration::ZERO..=early_max));
            process.signal(libc::SIGKILL);
            process.wait();
            fs::remove_dir_all(folder).unwrap();
        }
        let mut broker = setup(plan, port, data_dir, dice).start();
        lives.begin();
        lives.let_live(dice.time(LIFE_MIN..=LIFE_MAX));
        let ended = !broker.process.is_running();
        assert!(!ended, "the broker ended by itself\n{}", broker.process.shown());
        lives.end();
        if lives.is_over() {
            eprintln!("{}", broker.process.shown());
            return;
        }
        broker.end(libc::SIGKILL);
    }
    eprintln!("{}: the last life begins", plan.name);
    let broker = setup(plan, port, data_dir, dice).start();
    lives.settle();
    lives.begin();
    lives.await_done(CLIENTS);
    let ended = broker.end(libc::SIGTERM);
    assert_eq!(ended.code, Some(0), "{:?}", ended.errors);
}

fn setup(plan: &Plan, port: u16, data_dir: &Path, dice: &mut Dice) -> Setup {
    let Plan { durability, shards, .. } = plan;
    let shards = shards[dice.within(0..=shards.len() as u64 - 1) as usize];
    // Small segments: the log is cleaned again and again. Queues that drop nothing.
    let config = format!(
        "[server]\nlisten_addresses = [\"tcp://127.0.0.1:{port}\"]\nmax_packet_size = \"64 KiB\"\n[session]\n\
         max_queued_messages = 1000000\nmax_queued_bytes = \"1 GiB\"\n[store]\ndurability = \"{durability}\"\n\
         segment_bytes = \"8 MiB\"\n"
    );
    Setup::bare("killed")
        .shards(shards)
        .config(&config)
        .args(["--data-dir".into(), data_dir.as_os_str().to_owned()])
}

const TASTES: [Taste; 4] = [
    Taste {
        name: "steady",
        version: Version::V5,
        qos: QoS::ExactlyOnce,
        receive_maximum: None,
        absent_one_in: u64::MAX,
    },
    Taste {
        name: "slow",
        version: Version::V5,
        qos: QoS::ExactlyOnce,
        receive_maximum: Some(7),
        absent_one_in: 8,
    },
    Taste {
        name: "absent",
        version: Version::V311,
        qos: QoS::ExactlyOnce,
        receive_maximum: None,
        absent_one_in: 2,
    },
    Taste {
        name: "content",
        version: Version::V311,
        qos: QoS::AtLeastOnce,
        receive_maximum: None,
        absent_one_in: 4,
    },
];

/// Everybody who comes to an end in the last life.
const CLIENTS: usize = PUBLISHERS as usize + TASTES.len() + 2 + 1 + 1;
const KILLED_EARLY_ONE_IN: u64 = 8;
const EARLY_MAX: Duration = Duration::from_millis(40);
const LIFE_MIN: Duration = Duration::from_millis(10);
const LIFE_MAX: Duration = Duration::from_millis(150);

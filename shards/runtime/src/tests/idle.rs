//! An idle shard: its deadlines, and glommio's own work while the loop waits in a ring that glommio does not know.

use std::{
    future::Future,
    io::Write,
    sync::{Arc, atomic::Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Sender, bounded, unbounded};
use glommio::{LocalExecutorBuilder, Placement, io::BufferedFile, timer::sleep};
use shard::ShardId;

use super::{
    client::{HANGS, await_that, config, connect, start},
    script::{Observed, Script},
};
use crate::{
    background::Background,
    clock::Clock,
    control::{Command, Line},
    executor::PREEMPT_TIMER,
    mesh,
    seats::Seats,
    worker::{Parts, Worker},
};

#[test]
fn a_deadline_ends_the_sleep_of_an_idle_shard() {
    let (broker, observed) = start(config(1));
    for n in 1..=20 {
        let mut stream = connect(&broker);
        stream.write_all(b"T\x05").unwrap();
        await_that("the timer came", || observed.timers.load(SeqCst) == n);
    }
}

#[test]
fn timers_of_glommio_fire_while_the_shard_is_idle() {
    let took = beside_an_idle_shard(|_| async {
        for _ in 0..200 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(took < Duration::from_secs(4), "each timer fires within some 20 ms: {took:?}");
}

#[test]
fn files_of_glommio_are_written_and_read_while_the_shard_is_idle() {
    let path = std::env::temp_dir().join(format!("runtime-idle-{}", std::process::id()));
    let target = path.clone();
    let took = beside_an_idle_shard(move |_| async move {
        let file = BufferedFile::create(&target).await.unwrap();
        for n in 0..100_u64 {
            file.write_at(vec![n as u8; 512], n * 512).await.unwrap();
            file.fdatasync().await.unwrap();
        }
        file.close().await.unwrap();
        let file = BufferedFile::open(&target).await.unwrap();
        for n in 0..100_u64 {
            assert_eq!(&file.read_at(n * 512, 512).await.unwrap()[..], [n as u8; 512]);
        }
        file.close().await.unwrap();
    });
    std::fs::remove_file(path).unwrap();
    assert!(took < Duration::from_secs(20), "every operation completes within some 60 ms: {took:?}");
}

#[test]
fn background_tasks_that_come_and_go_all_end() {
    let took = beside_an_idle_shard(|background| async move {
        // The count falls to nothing in between only for the outer task's sake: it starts others of every kind.
        let tasks: Vec<_> = (0..300_u64)
            .map(|n| {
                background.spawn(async move {
                    sleep(Duration::from_micros(n * 37 % 3000)).await;
                    glommio::executor().yield_task_queue_now().await;
                    n
                })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await, n as u64);
        }
    });
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_shard_answers_while_background_work_keeps_its_core_busy() {
    let took = beside_an_idle_shard(|background| async move {
        let start = Instant::now();
        let other = background.clone();
        let ticks = background.spawn(async move {
            for _ in 0..50 {
                sleep(Duration::from_millis(1)).await;
                other.pause().await;
            }
        });
        while start.elapsed() < Duration::from_millis(300) {
            background.pause().await;
        }
        ticks.await;
    });
    assert!(took < Duration::from_secs(4), "the timers beside it fired: {took:?}");
}

/// Runs the work on the executor of a shard that has nothing else to do at all, and says how long it took until the
/// shard had stopped. Without a bound on its wait such a shard sleeps for ever.
fn beside_an_idle_shard<F>(work: impl FnOnce(Background) -> F + Send + 'static) -> Duration
where
    F: Future<Output = ()> + 'static,
{
    let start = Instant::now();
    let (ended, end) = bounded(1);
    thread::spawn(move || {
        let executor = LocalExecutorBuilder::new(Placement::Unbound).preempt_timer(PREEMPT_TIMER);
        executor.make().unwrap().run(async move {
            let (worker, stop) = lone_worker();
            let background = worker.background().clone();
            let work = work(background.clone());
            let task = background.spawn(async move {
                work.await;
                stop.send(Command::Stop).unwrap();
            });
            task.detach();
            worker.run().await.unwrap();
        });
        ended.send(()).unwrap();
    });
    end.recv_timeout(HANGS).expect("the work ends although the shard is idle");
    start.elapsed()
}

fn lone_worker() -> (Worker<Script>, Sender<Command>) {
    let mesh = mesh::weave(1, 1).unwrap().pop().unwrap();
    let (sender, commands) = bounded(1);
    let line = Line { commands, reports: unbounded().0, failures: unbounded().0 };
    let parts = Parts { mesh, line, clock: Clock::start(), seats: Arc::new(Seats::new(1)) };
    let make = |_| Script::new(ShardId(0), 1, Arc::new(Observed::default()));
    (Worker::new(ShardId(0), &config(1), make, parts, None).unwrap(), sender)
}

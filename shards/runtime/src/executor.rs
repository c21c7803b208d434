//! The thread of one shard: a glommio executor, pinned to a core, that runs the shard's loop.

use std::{
    io,
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use crossbeam_channel::Sender;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, ReactorErrorKind};
use shard::{Instant, ShardId};

use crate::{
    Config, StartError,
    backend::Engine,
    brain::Brain,
    control::{Failure, Report},
    worker::{Parts, Worker},
};

/// Starts the thread. It reports that it is ready, or why it is not.
pub(crate) fn spawn<B: Brain>(
    id: ShardId,
    core: usize,
    config: Config,
    make_brain: impl FnOnce(Instant) -> B + Send + 'static,
    parts: Parts,
    engine: Option<Arc<dyn Engine>>,
) -> io::Result<JoinHandle<()>> {
    let name = format!("shard-{}", id.0);
    Builder::new().name(name.clone()).spawn(move || {
        let end = End { shard: id, failures: parts.line.failures.clone() };
        let reports = parts.line.reports.clone();
        // The report is for whoever starts the broker, and nobody waits for it after a failure.
        match executor(id, core, &name) {
            Ok(executor) => executor.run(run(id, config, make_brain, parts, engine)),
            Err(error) => drop(reports.send(Report::NotReady(error))),
        }
        std::mem::forget(end);
    })
}

async fn run<B: Brain>(
    id: ShardId,
    config: Config,
    make_brain: impl FnOnce(Instant) -> B,
    parts: Parts,
    engine: Option<Arc<dyn Engine>>,
) {
    let reports = parts.line.reports.clone();
    let failures = parts.line.failures.clone();
    // What is stored is recovered first.
    let opened = match engine.map(|engine| engine.open(id, parts.mesh.waker())).transpose() {
        Ok(opened) => opened,
        Err(error) => {
            let _ = reports.send(Report::NotReady(error.into()));
            return;
        }
    };
    let worker = match Worker::new(id, &config, make_brain, parts, opened) {
        Ok(worker) => worker,
        Err(source) => {
            let _ = reports.send(Report::NotReady(not_ready(id, source)));
            return;
        }
    };
    if let Err(error) = worker.run().await {
        let _ = failures.send(Failure { shard: id, what: error.to_string(), serves: false });
    }
}

fn executor(id: ShardId, core: usize, name: &str) -> Result<LocalExecutor, StartError> {
    let builder = |placement| {
        LocalExecutorBuilder::new(placement)
            .name(name)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH)
            .preempt_timer(PREEMPT_TIMER)
    };
    let result = builder(Placement::Fixed(core)).make().or_else(|error| match error {
        // A core that cannot be had, or a machine that does not describe its cores, is no reason not to serve.
        GlommioError::BuilderError(_) | GlommioError::IoError(_) => {
            tracing::warn!(shard = id.0, core, %error, "cannot pin the shard to its core");
            builder(Placement::Unbound).make()
        }
        error => Err(error),
    });
    result.map_err(|error| match error {
        GlommioError::ReactorError(ReactorErrorKind::MemLockLimit(limit, needed)) => {
            StartError::LockedMemory { limit, needed }
        }
        GlommioError::IoError(source) => not_ready(id, source),
        error => StartError::Executor { shard: id.0, what: error.to_string() },
    })
}

/// Why a ring could not be set up.
fn not_ready(id: ShardId, source: io::Error) -> StartError {
    if source.raw_os_error() == Some(libc::ENOMEM) {
        let limit = crate::probe::locked_memory_max();
        return StartError::LockedMemory { limit, needed: crate::probe::LOCKED_MEMORY_MIN };
    }
    StartError::Ring { shard: id.0, source }
}

/// Tells of a thread that ends by a panic. One that ends otherwise forgets it.
struct End {
    shard: ShardId,
    failures: Sender<Failure>,
}

impl Drop for End {
    fn drop(&mut self) {
        let _ =
            self.failures.send(Failure { shard: self.shard, what: "it panicked".to_owned(), serves: false });
    }
}

/// The sockets are not glommio's, so its rings and its registered memory are small.
const IO_MEMORY_BYTES: usize = 64 << 10;
const RING_DEPTH: usize = 64;

/// Not shorter than glommio's default: see `Background::give_way` for what happens when it expires too early. The loop
/// is never preempted by it, and background work pauses by itself.
pub(crate) const PREEMPT_TIMER: Duration = Duration::from_millis(100);

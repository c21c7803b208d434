//! What every answer may draw on: how the broker is, the ways to the control thread and the shards, and who may ask.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Instant, SystemTime},
};

use crossbeam_channel::Sender;
use runtime::Desk;
use rustls::ServerConfig;
use tokio::sync::oneshot;

use super::{
    census::Census,
    control_places::ControlPlaces,
    guard::Caller,
    hall::{Hall, waiting_max},
    metrics::Shown,
    orders::Orders,
    refusals::Refusals,
    roll::Roll,
    seat::Streams,
    tokens::Tokens,
};
use crate::{
    backups::Backups,
    config::{Metrics, Settings},
    control::{Reply, Request},
    events::Events,
    observer::Observer,
    vocabulary::Vocabulary,
};

/// A clone is the same one.
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

struct Shared {
    begun: Instant,
    begun_at: SystemTime,
    requests: Sender<Request>,
    desk: OnceLock<Desk>,
    observer: OnceLock<Observer>,
    events: Arc<Events>,
    backups: Arc<Backups>,
    orders: Orders,
    roll: Roll,
    hall: Hall,
    streams: Streams,
    control_places: ControlPlaces,
    shown: Shown,
    census: Census,
    stage: AtomicU8,
    has_store: AtomicBool,
    tokens: OnceLock<Tokens>,
    refusals: Refusals,
    metrics: Metrics,
    hosts: Vec<String>,
    tls: RwLock<Option<Arc<ServerConfig>>>,
    facts: RwLock<Arc<Facts>>,
}

/// What holds of the configuration until it is read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// As somebody would write them who wants to connect there.
    pub listeners: Vec<String>,
    /// Nobody has named any.
    pub has_default_listeners: bool,
    /// Of a PUBLISH with its topic.
    pub message_bytes_max: usize,
    pub topic_levels_max: usize,
    pub user_database: Option<PathBuf>,
    /// Of the rules of access.
    pub vocabulary: Vocabulary,
}

/// How far the broker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It recovers, and nobody is let in yet.
    Starting,
    Serving,
    /// It lets go of everybody.
    Draining,
}

impl Stage {
    pub const ALL: [Stage; 3] = [Stage::Starting, Stage::Serving, Stage::Draining];

    pub fn word(self) -> &'static str {
        match self {
            Stage::Starting => "starting",
            Stage::Serving => "serving",
            Stage::Draining => "draining",
        }
    }
}

impl Context {
    pub fn new(settings: &Settings, requests: Sender<Request>, tls: Option<Arc<ServerConfig>>) -> Context {
        let shared = Shared {
            begun: Instant::now(),
            begun_at: SystemTime::now(),
            requests,
            desk: OnceLock::new(),
            observer: OnceLock::new(),
            events: Arc::default(),
            backups: Arc::new(Backups::new(settings)),
            orders: Orders::default(),
            roll: Roll::default(),
            hall: Hall::new(settings.api.max_connections, waiting_max(&settings.api)),
            streams: Streams::new(settings.api.max_streams),
            control_places: ControlPlaces::default(),
            shown: Shown::default(),
            census: Census::default(),
            stage: AtomicU8::new(Stage::Starting as u8),
            has_store: AtomicBool::new(true),
            tokens: OnceLock::new(),
            refusals: Refusals::new(),
            metrics: settings.api.metrics,
            hosts: settings.api.hosts.clone(),
            tls: RwLock::new(tls),
            facts: RwLock::default(),
        };
        Context { shared: Arc::new(shared) }
    }

    /// The shards are there.
    pub fn open(&self, desk: Desk) {
        drop(self.shared.desk.set(desk));
        self.serve();
    }

    pub(super) fn serve(&self) {
        self.shared.stage.store(Stage::Serving as u8, Ordering::Release);
    }

    pub fn drain(&self) {
        self.shared.stage.store(Stage::Draining as u8, Ordering::Release);
    }

    /// The broker goes on without it.
    pub fn lose_store(&self) {
        self.shared.has_store.store(false, Ordering::Release);
    }

    pub fn set_tokens(&self, tokens: Tokens) {
        drop(self.shared.tokens.set(tokens));
    }

    /// Who connects from now on is shown this.
    pub fn replace_tls(&self, tls: Option<Arc<ServerConfig>>) {
        *self.shared.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
    }

    pub fn set_facts(&self, facts: Facts) {
        *self.shared.facts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(facts);
    }

    pub fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.shared.facts.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.shared.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn stage(&self) -> Stage {
        match self.shared.stage.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Serving,
            _ => Stage::Draining,
        }
    }

    pub fn has_store_failed(&self) -> bool {
        !self.shared.has_store.load(Ordering::Acquire)
    }

    /// Why it is not ready, if it is not.
    pub fn obstacle(&self) -> Option<&'static str> {
        match self.stage() {
            Stage::Starting => Some("the broker starts: it does not let anybody in yet"),
            Stage::Draining => Some("the broker drains: it is about to end"),
            Stage::Serving if self.has_store_failed() => {
                Some("the store has failed: only what needs none is served until the broker is started again")
            }
            Stage::Serving => None,
        }
    }

    /// The way to the shards. None: they are not there yet.
    pub fn desk(&self) -> Option<&Desk> {
        self.shared.desk.get()
    }

    pub fn set_observer(&self, observer: Observer) {
        drop(self.shared.observer.set(observer));
    }

    /// Whoever sees all that is counted. None: the broker does not serve yet.
    pub fn observer(&self) -> Option<&Observer> {
        self.shared.observer.get()
    }

    /// What happens to clients.
    pub fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    pub(super) fn backups(&self) -> &Arc<Backups> {
        &self.shared.backups
    }

    /// Where those wait who change something.
    pub(super) fn orders(&self) -> &Orders {
        &self.shared.orders
    }

    /// The users that questions are about.
    pub(super) fn roll(&self) -> &Roll {
        &self.shared.roll
    }

    /// Where those are who come over TCP.
    pub(super) fn hall(&self) -> &Hall {
        &self.shared.hall
    }

    pub fn control_places(&self) -> &ControlPlaces {
        &self.shared.control_places
    }

    pub fn streams(&self) -> &Streams {
        &self.shared.streams
    }

    /// The token of somebody who was let in is still there, and has the role that it had.
    pub(super) fn still_knows(&self, caller: &Caller) -> bool {
        match (&caller.sha256, caller.role) {
            (Some(sha256), Some(role)) => self.tokens().is_some_and(|tokens| tokens.has(sha256, role)),
            _ => true,
        }
    }

    pub fn shown(&self) -> &Shown {
        &self.shared.shown
    }

    /// What is kept beneath which prefixes.
    pub fn census(&self) -> &Census {
        &self.shared.census
    }

    /// What the control thread says to it. None: it has as many requests as it takes, or it has ended.
    pub(super) async fn ask_control<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Option<T> {
        let (reply, answered) = oneshot::channel();
        // Who has asked may be gone.
        let request = request(Box::new(move |outcome| drop(reply.send(outcome))));
        self.shared.requests.try_send(request).ok()?;
        answered.await.ok()
    }

    /// The way to the control thread.
    pub fn requests(&self) -> &Sender<Request> {
        &self.shared.requests
    }

    pub fn tokens(&self) -> Option<&Tokens> {
        self.shared.tokens.get()
    }

    pub fn refusals(&self) -> &Refusals {
        &self.shared.refusals
    }

    pub fn metrics(&self) -> Metrics {
        self.shared.metrics
    }

    /// Names by which it is called, beside addresses and `localhost`.
    pub fn hosts(&self) -> &[String] {
        &self.shared.hosts
    }

    /// When this process began to answer.
    pub fn begun(&self) -> Instant {
        self.shared.begun
    }

    /// The same by the clock of the world.
    pub fn begun_at(&self) -> SystemTime {
        self.shared.begun_at
    }
}

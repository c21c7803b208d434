//! The HTTP API: what may be asked of a broker that runs, at the control socket and over TCP, with its start and its end.
//!
//! One thread with an event loop of its own serves both by one router, and another one finds the answers to questions. They reach the control thread and the shards by messages alone
//! and wait for none of them beyond a time. Start at `operation.rs` for what there is, at `guard.rs` for who may ask it, and at
//! `server.rs` and `hall.rs` for what a connection may cost.

mod acts;
mod answer;
mod asking;
mod backup;
mod bans;
mod broker;
mod caller;
mod census;
mod clients;
mod context;
mod control_places;
mod drain;
pub mod drops;
mod entrance;
mod events;
mod first_token;
mod guard;
mod hall;
mod health;
mod lines;
mod log;
mod metrics;
mod named;
mod openapi;
mod operation;
mod orders;
mod pages;
mod patience;
mod places;
mod port;
mod prefixes;
mod publish;
mod published;
mod queues;
mod refusals;
mod reload;
mod retained;
mod roll;
mod rows;
mod seat;
mod server;
pub mod shards;
mod shares;
mod socket;
mod subscriptions;
mod taps;
pub mod token_list;
mod tokens;
mod top;
mod trace;
mod ui;
mod users;
mod why;

use std::{path::Path, path::PathBuf, sync::Arc, thread};

use axum::Router;
use crossbeam_channel::Sender;
use runtime::Desk;
use tokio::runtime::{Builder, Handle};

#[cfg(test)]
pub use self::operation::all as operations;
pub use self::{
    backup::BACKUP,
    bans::BANS,
    context::{Context, Facts},
    control_places::CONTROL_CONNECTIONS_MAX,
    drops::{DROPS, DROPS_BY_CAUSE, DROPS_BY_TOPIC, OTHER_DROPS},
    events::EVENTS,
    log::LOG,
    orders::REQUESTS_MAX,
    port::check as check_addresses,
    prefixes::PREFIXES_BY,
    published::PUBLISHED,
    reload::{Meant, RELOAD},
    socket::places,
    top::TOP_BY,
    trace::TRACE,
    why::WHY,
};
use self::{
    first_token::{FirstToken, Teller},
    hall::{GUESTS_MAX, waiting_max},
    port::Port,
    tokens::{NoTokens, Tokens},
};
use crate::{
    config::{self, Loaded, Settings},
    control::Request,
    policy, store, threads,
};

/// The API of this process. Its control socket goes with this.
pub struct Api {
    context: Context,
    router: Router,
    event_loop: Handle,
    /// Where somebody may come by TCP.
    places: Vec<String>,
    /// Nobody has named these, nor a file of tokens.
    is_default: bool,
    socket: Option<PathBuf>,
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(path) = &self.socket {
            // What cannot be removed is cleared by the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Api {
    /// Takes its addresses and answers from now on, at first that the broker is not there yet. The error is a sentence for the log.
    pub fn start(loaded: &Loaded, requests: &Sender<Request>) -> Result<Api, String> {
        let settings = &loaded.settings;
        let tls = policy::api_tls(&settings.api).map_err(|faults| loaded.sentences(&faults).join("\n"))?;
        let context = Context::new(settings, requests.clone(), tls);
        let ports = port::bind(&settings.api, loaded.has_default_api())?;
        let event_loop = start_thread("api")?;
        let router = operation::router(&context, &start_thread("api questions")?);
        let places = ports.iter().map(|port| port.shown(settings.api.has_tls())).collect();
        let of_refusals = context.clone();
        event_loop.spawn(async move { of_refusals.refusals().follow_up(refusals::write_left_out).await });
        let is_default = loaded.has_default_api() && settings.api.tokens_file.is_empty();
        let api = Api { context, router, event_loop, places, is_default, socket: None };
        api.serve(ports)?;
        Ok(api)
    }

    /// For whoever tells it how the broker is.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The broker serves: all is answered from now on, to who has a token, and at the control socket.
    pub fn open(&mut self, settings: &Settings, desk: Desk) -> Result<(), String> {
        let first = if self.places.is_empty() { None } else { self.open_tokens(settings)? };
        self.event_loop.spawn(events::carry(Arc::clone(self.context.events())));
        self.event_loop.spawn(events::carry_losses(Arc::clone(self.context.events()), desk.clone()));
        self.event_loop.spawn(census::keep(self.context.clone(), desk.clone()));
        self.context.open(desk);
        if let Some(first) = first {
            first.tell();
        }
        self.open_socket(settings)?;
        // Now that nothing can fail any more.
        self.places.iter().for_each(|place| tracing::info!("API at {place}"));
        Ok(())
    }

    /// None: the disk has no room for the first one, and nobody has asked for this API, so that the broker goes on without.
    fn open_tokens(&self, settings: &Settings) -> Result<Option<FirstToken>, String> {
        let path = token_path(settings);
        let teller = Teller::find(path.as_deref());
        let (tokens, first) = match Tokens::open(path.clone(), &teller) {
            Ok((tokens, secret)) => (tokens, Some(FirstToken { teller, secret, hashes: path })),
            Err(NoTokens::NoRoom(why)) if self.is_default => {
                tracing::warn!(
                    "nobody can ask the API over TCP for anything that needs a token: {why}. {}",
                    make_one(settings)
                );
                (Tokens::awaited(path), None)
            }
            Err(error) => return Err(error.to_string()),
        };
        self.context.set_tokens(tokens);
        Ok(first)
    }

    fn open_socket(&mut self, settings: &Settings) -> Result<(), String> {
        if let Some((listener, path)) = socket::listen(settings)? {
            self.socket = Some(path);
            let serve = server::serve_socket(listener, self.context.clone(), self.router.clone());
            self.event_loop.spawn(serve);
        }
        Ok(())
    }

    fn serve(&self, ports: Vec<Port>) -> Result<(), String> {
        let hall = self.context.hall();
        for port in ports {
            let _entered = self.event_loop.enter();
            let listener = port.into_listener()?;
            let (context, router) = (self.context.clone(), self.router.clone());
            self.event_loop.spawn(server::serve_port(listener, context, router, hall.clone()));
        }
        Ok(())
    }
}

/// Where hashes of tokens are kept, if anywhere.
pub fn token_path(settings: &Settings) -> Option<PathBuf> {
    match (settings.api.tokens_file.as_str(), settings.store.dir.as_str()) {
        ("", "") => None,
        ("", dir) => Some(Path::new(dir).join(TOKENS_NAME)),
        (file, _) => Some(PathBuf::from(file)),
    }
}

/// What to do where there is no token.
fn make_one(settings: &Settings) -> String {
    let dir = Path::new(&settings.store.dir);
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let dir = store::quoted(&dir.display().to_string());
    format!(
        "When its disk has room, iothub token add NAME --role admin --data-dir {dir} makes one, which counts at once"
    )
}

/// Connections over TCP at a time, but for streams: a file each.
pub fn connections_max(settings: &config::Api) -> u64 {
    if settings.listen.is_empty() {
        return 0;
    }
    settings.max_connections + (GUESTS_MAX + waiting_max(settings)) as u64
}

fn start_thread(name: &str) -> Result<Handle, String> {
    let failed = |error: std::io::Error| format!("the API cannot be started: {error}. {}", threads::REMEDY);
    let runtime = Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_io()
        .enable_time()
        .build()
        .map_err(failed)?;
    let event_loop = runtime.handle().clone();
    let run = move || {
        identity::give_way();
        runtime.block_on(std::future::pending::<()>());
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)?;
    Ok(event_loop)
}

/// For hashes of passwords and for files, of each of both: more would take what the shards need.
const BLOCKING_THREADS_MAX: usize = 2;

const TOKENS_NAME: &str = "api_tokens";

#[cfg(test)]
mod tests;

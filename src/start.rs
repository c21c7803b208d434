//! From settings to a running broker: what this machine lacks is found out here, and said with its remedy.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    path::Path,
    sync::Arc,
    time::Duration,
};

use identity::Secret;
use runtime::{Auditor, Broker, Cause, DataDir, Door, Leftover, Place};
use rustls::ServerConfig;
use shard::DoorConfig;

use crate::{
    api,
    audit::{self, Act},
    config::{Fault, Loaded, Scheme, Settings},
    decoys,
    doorkeeper::{self, Doorkeeper},
    events::Events,
    listen::{self, Entrance},
    named_files::{Facts, named_files},
    notify,
    numbering::Numbers,
    observer::Observer,
    open_files::{self, Own},
    people::People,
    places,
    policy::Policy,
    rates::Registry,
    revoked::Revoked,
    signals,
    sys::Sys,
    telemetry::{self, Telemetry},
    threads,
    vocabulary::Vocabulary,
    warnings,
    watchdog::{self, Watchdog},
};

/// A broker that listens, and how many shards it has.
pub struct Started {
    pub broker: Broker,
    kernel: String,
    pub shards: u8,
    pub doorkeeper: Arc<Doorkeeper>,
    pub numbers: Numbers,
    pub people: People,
    pub revoked: Vec<Revoked>,
    /// For the salts of users that there are not.
    pub decoys: Secret,
    pub facts: Facts,
    /// Of the rules of access.
    pub vocabulary: Vocabulary,
    /// The files that the process needs for itself.
    pub own: Own,
    pub observer: Observer,
    pub sys: Sys,
    pub telemetry: Option<Arc<Telemetry>>,
    _watchdog: Option<Watchdog>,
}

/// Starts every shard. The error is a sentence for the log.
pub fn start(loaded: &Loaded, events: &Arc<Events>) -> Result<Started, String> {
    let settings = &loaded.settings;
    check_open_files(settings)?;
    let probe = runtime::probe().map_err(|error| error.to_string())?;
    let shards = settings.shards(probe.cores.len());
    let told = |faults: Vec<Fault>| loaded.sentences(&faults).join("\n");
    audit::check(&settings.audit).map_err(told)?;
    let numbers = first_numbers(loaded).map_err(told)?;
    let own = share_open_files(settings, shards, &numbers);
    let max_connections = raise_open_files(settings, own)?;
    tell_open_files(settings, own);
    let decoys = decoys::load(&settings.store.dir)?;
    let policy = Policy::read(loaded, &numbers, &decoys).map_err(told)?;
    let facts = Facts::default().look(&named_files(settings, &numbers), &policy.rules);
    let doors = doors(settings, &numbers, &policy).into_iter().flatten().collect();
    let vocabulary = Vocabulary::of(&policy.rules);
    let registry = Arc::new(Registry::new());
    let rates = registry.set(&settings.rates, &numbers);
    let doorkeeper = Doorkeeper::start(&settings.authentication, policy.chains, &numbers, registry)?;
    let doorkeeper = Arc::new(doorkeeper);
    doorkeeper.replace_revoked(&policy.revoked);
    doorkeeper.replace_vocabulary(vocabulary.clone());
    let mut config = config_with_store(settings, doors, shards, &decoys)?;
    config.max_connections = max_connections;
    config.doorkeeper = Some(Arc::clone(&doorkeeper) as _);
    config.auditors = auditors(settings, &numbers, events)?;
    config.core.doors = admission(loaded, &numbers, !policy.rules.are_open());
    let telemetry = telemetry::start(policy.collector)?;
    config.tracer = telemetry.clone().map(|telemetry| telemetry as _);
    config.core.rules = Some(policy.rules);
    config.core.rates = rates;
    threads::check(shards)?;
    let broker = runtime::start(config).map_err(|error| error.to_string())?;
    signals::started();
    let observer = Observer::new(broker.desk(), Arc::clone(&doorkeeper));
    let (sys, _watchdog) = observe(&observer, settings)?;
    Ok(Started {
        broker,
        kernel: probe.kernel.to_string(),
        shards,
        doorkeeper,
        numbers,
        people: policy.people,
        revoked: policy.revoked,
        decoys,
        facts,
        vocabulary,
        own,
        observer,
        sys,
        telemetry,
        _watchdog,
    })
}

/// With the directory for what outlives the process, which keeps the salts of users that there are not as well.
fn config_with_store(
    settings: &Settings,
    doors: Vec<Door>,
    shards: u8,
    decoys: &Secret,
) -> Result<runtime::Config, String> {
    let dir = data_dir(settings, shards)?;
    dir.as_ref().map_or(Ok(()), |dir| decoys::keep(dir.path(), decoys))?;
    let placement_seed = dir.as_ref().map_or_else(|| placement_seed(settings), |dir| dir.placement_seed());
    let mut config = settings.runtime_config(doors, shards, placement_seed);
    config.store = dir.map(|dir| settings.store_config(dir));
    Ok(config)
}

/// Those whom shards tell what happens to clients.
fn auditors(
    settings: &Settings,
    numbers: &Numbers,
    events: &Arc<Events>,
) -> Result<Vec<Arc<dyn Auditor>>, String> {
    let audit = audit::start(&settings.audit, numbers.names())?;
    events.replace_listeners(numbers.names());
    let events: Arc<dyn Auditor> = Arc::clone(events) as _;
    Ok(audit.into_iter().map(|audit| audit as _).chain([events]).collect())
}

/// The listeners that the configuration asks for, and of its default ones those that this machine can have.
fn first_numbers(loaded: &Loaded) -> Result<Numbers, Vec<Fault>> {
    let listen = listen::resolve(loaded.listeners(), loaded.listens_by_default)?;
    for address in &listen.missing {
        tracing::info!("this machine has no address {}: not listening there", address.ip());
    }
    Ok(Numbers::first(listen.entrances))
}

/// Who says how the broker is: to clients, and to a service manager that wants to know.
fn observe(observer: &Observer, settings: &Settings) -> Result<(Sys, Option<Watchdog>), String> {
    let no_thread = |error: std::io::Error| {
        format!("a thread that says how the broker is cannot be started: {error}. {}", threads::REMEDY)
    };
    let interval = Duration::from_secs(settings.server.sys_interval_secs);
    let sys = Sys::start(observer.clone(), interval).map_err(no_thread)?;
    let watchdog = watchdog::start(observer.clone()).map_err(no_thread)?;
    Ok((sys, watchdog))
}

/// Reads every file that the configuration names: certificates, users and rules; and looks at the places that a start takes. What
/// is seldom meant, a sentence for each; the error has one for each problem.
pub fn check_files(loaded: &Loaded) -> Result<Vec<String>, Vec<String>> {
    let settings = &loaded.settings;
    let (listen, unresolved) = listen::resolve_all(loaded.listeners(), loaded.listens_by_default);
    let numbers = Numbers::first(listen.entrances);
    let policy = Policy::read(loaded, &numbers, &decoys::fresh());
    let mut faults = [unresolved, places::check(settings), places::check_sockets(&numbers)].concat();
    let passed_over = match policy {
        Ok(policy) => policy.people.passed_over,
        Err(of_files) => {
            faults.extend(of_files);
            Vec::new()
        }
    };
    if !faults.is_empty() {
        return Err(loaded.sentences(&faults));
    }
    Ok([warnings::all(settings, &numbers), passed_over].concat())
}

/// A seed that nobody can guess keeps clients from choosing ids that all have the same home.
fn placement_seed(settings: &Settings) -> u64 {
    match settings.runtime.placement_seed {
        0 => RandomState::new().build_hasher().finish(),
        seed => seed,
    }
}

/// The directory for what outlives the process, if there is to be one.
fn data_dir(settings: &Settings, shards: u8) -> Result<Option<Arc<DataDir>>, String> {
    let dir = &settings.store.dir;
    if dir.is_empty() {
        tracing::info!(
            "everything is in memory and ends with this process (to keep it: iothub --data-dir DIR)"
        );
        return Ok(None);
    }
    let opened = DataDir::open(Path::new(dir), shards, placement_seed(settings));
    let opened = opened.map_err(|error| error.to_string())?;
    if opened.is_new() {
        tracing::info!("a new store is begun at {}: nothing was kept there", shown_place(opened.path()));
    }
    tell_leftovers(opened.path());
    Ok(Some(Arc::new(opened)))
}

/// Whoever reads the name is seldom in the folder that the broker was started in.
fn shown_place(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The directory is ours: no restore is going on there.
fn tell_leftovers(dir: &Path) {
    let found = runtime::leftovers(dir).unwrap_or_default();
    for Leftover { path, bytes, .. } in found.into_iter().filter(|it| it.cause == Cause::Restore) {
        let path = path.display();
        tracing::info!(%path, bytes, "a restore that did not get to its end has left this: it can be deleted");
    }
}

/// The probe opens files itself: what is not enough for any broker is said before it.
fn check_open_files(settings: &Settings) -> Result<(), String> {
    let Ok(limit) = open_files::raise(0) else { return Ok(()) };
    let shards = settings.runtime.shards.max(1);
    let least = Own { open: open_files::open(), shards, addresses: 1, api: 0, streams: 0 };
    // A process that may go beyond its limit does so later, when all is known that it needs.
    match least.connections(limit, 1) {
        Err(_) if open_files::raise(least.needed(1)).is_ok_and(|raised| raised > limit) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// What the process takes for itself once the limit of open files is as high as it gets.
fn share_open_files(settings: &Settings, shards: u8, numbers: &Numbers) -> Own {
    let addresses = numbers.open().count() as u64;
    let (api, streams) = (api::connections_max(&settings.api), settings.api.max_streams);
    let wanted = Own { open: open_files::open(), shards: shards.into(), addresses, api, streams };
    let max_connections = settings.server.max_connections;
    // Whatever stands against it is told with the limit of connections.
    let Ok(limit) = open_files::raise(wanted.needed(max_connections)) else { return wanted };
    let own = wanted.with_fewer_streams(limit, max_connections);
    if let Some(fewer) = own.fewer_streams(limit, settings.api.max_streams) {
        tracing::warn!("{fewer}");
    }
    own
}

/// The connections that the limit of open files allows, of those that the settings ask for.
pub fn raise_open_files(settings: &Settings, own: Own) -> Result<usize, String> {
    let max_connections = settings.server.max_connections;
    let all = usize::try_from(max_connections).unwrap_or(usize::MAX);
    let needed = own.needed(max_connections);
    let limit = match open_files::raise(needed) {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            return Ok(all);
        }
    };
    let connections = own.connections(limit, max_connections)?;
    if let Some(shortage) = own.shortage(limit, connections, max_connections) {
        tracing::warn!("{shortage}");
    }
    if let Err(error) = open_files::reserve(own.needed(connections).min(limit)) {
        tracing::debug!(%error, "the table of open files grows as connections come");
    }
    Ok(usize::try_from(connections).unwrap_or(all))
}

/// Where there are enough of them. A reload, which asks again, has nothing to say of that.
fn tell_open_files(settings: &Settings, own: Own) {
    let needed = own.needed(settings.server.max_connections);
    if let Ok(limit) = open_files::raise(0)
        && limit >= needed
    {
        tracing::info!(limit, needed, "open files");
    }
}

/// What is spoken at each place, and with which certificates, by number; none where nobody comes in.
pub fn doors(settings: &Settings, numbers: &Numbers, policy: &Policy) -> Vec<Option<Door>> {
    let websocket = Arc::new(settings.websocket_door());
    let door = |((entrance, is_open), tls): ((&Entrance, bool), &Option<Arc<ServerConfig>>)| {
        let Entrance { address, listener, place } = entrance;
        let proxies = &listener.proxy_protocol_from;
        is_open.then(|| Door {
            tls: tls.clone(),
            speech: address.scheme.speech(),
            websocket: Arc::clone(&websocket),
            connections_max: usize::try_from(listener.max_connections).unwrap_or(usize::MAX),
            is_nodelay: listener.nodelay,
            proxies: (!proxies.is_empty()).then(|| proxies.as_slice().into()),
            ..settings.door(listener, place.clone())
        })
    };
    numbers.all().zip(&policy.certificates).map(door).collect()
}

/// What the shards have to know of each listener. Rules want to know who a client is, also where all are let in; and what a file
/// says may say something else later.
pub fn admission(loaded: &Loaded, numbers: &Numbers, has_rules: bool) -> Vec<DoorConfig> {
    let door = |((entrance, _), name): ((&Entrance, bool), Arc<str>)| DoorConfig {
        name,
        asks: doorkeeper::asks(&loaded.settings, entrance, has_rules || loaded.has_file()),
        versions: entrance.listener.versions.spoken(),
        mount: (!entrance.listener.mount_point.is_empty())
            .then(|| entrance.listener.mount_point.as_str().into()),
        grant: Arc::default(),
    };
    numbers.all().zip(numbers.names()).map(door).collect()
}

/// Where the broker listens, with the ports that were chosen.
pub fn places(numbers: &Numbers, broker: &Broker) -> Vec<(Scheme, Place)> {
    numbers.open().map(|entrance| entrance.address.scheme).zip(broker.places()).collect()
}

/// Says in one line where the broker listens and how others get in, when all of it is there that somebody may ask.
pub fn announce(started: &Started, loaded: &Loaded) {
    let settings = &loaded.settings;
    let places = places(&started.numbers, &started.broker);
    let listening = listening_on(&places, loaded.file.as_deref());
    let (version, shards, kernel) = (env!("CARGO_PKG_VERSION"), started.shards, &*started.kernel);
    tracing::info!(version, shards, kernel, "{listening}");
    notify::ready(&listening);
    let of_settings = warnings::all(settings, &started.numbers);
    of_settings.iter().chain(&started.people.passed_over).for_each(|warning| tracing::warn!("{warning}"));
    let details: Vec<String> = places.iter().map(|(scheme, place)| listen::shown(*scheme, place)).collect();
    audit::tell(&Act { act: "start", by: "", outcome: "done", details: &details });
}

pub fn listening_on(places: &[(Scheme, Place)], config: Option<&Path>) -> String {
    let listening = format!("listening on {}", shown(places));
    match places.first() {
        Some((Scheme::Tcp, Place::Tcp(first))) if !places.iter().any(|(_, place)| listen::is_open(place)) => {
            let how = config.map_or_else(
                || command_to_open(places, first.port()),
                |file| format!("other addresses than these in {}", file.display()),
            );
            format!("{listening}, for this machine only (to open it to the network: {how})")
        }
        _ => listening,
    }
}

/// What else is listened on stays as it is.
fn command_to_open(places: &[(Scheme, Place)], port: u16) -> String {
    let is_opened = |(scheme, place): &(Scheme, Place)| {
        *scheme == Scheme::Tcp && matches!(place, Place::Tcp(address) if address.port() == port)
    };
    let others = places.iter().filter(|place| !is_opened(place));
    let others = others.map(|(scheme, place)| format!(" --listen {}", listen::shown(*scheme, place)));
    format!("iothub --listen tcp://0.0.0.0:{port}{}", others.collect::<String>())
}

fn shown(places: &[(Scheme, Place)]) -> String {
    let shown: Vec<String> = places.iter().map(|(scheme, place)| listen::shown(*scheme, place)).collect();
    shown.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(texts: &[&str]) -> Vec<(Scheme, Place)> {
        texts.iter().map(|text| (Scheme::Tcp, Place::Tcp(text.parse().expect(text)))).collect()
    }

    #[test]
    fn a_closed_broker_says_how_to_open_it() {
        assert_eq!(
            listening_on(&places(&["127.0.0.1:1883", "[::1]:1883"]), None),
            "listening on tcp://127.0.0.1:1883 and tcp://[::1]:1883, for this machine only (to open it to the \
             network: iothub --listen tcp://0.0.0.0:1883)"
        );
        assert_eq!(listening_on(&places(&["0.0.0.0:1883"]), None), "listening on tcp://0.0.0.0:1883");
    }

    #[test]
    fn who_opens_a_broker_keeps_its_configuration_and_its_other_listeners() {
        let mut places = places(&["127.0.0.1:1883", "[::1]:1883", "127.0.0.1:8083"]);
        places[2].0 = Scheme::WebSocket;
        let line = listening_on(&places, None);
        let command =
            "(to open it to the network: iothub --listen tcp://0.0.0.0:1883 --listen ws://127.0.0.1:8083)";
        assert!(line.ends_with(command), "{line}");
        let line = listening_on(&places, Some(Path::new("c.toml")));
        assert!(
            line.ends_with("(to open it to the network: other addresses than these in c.toml)"),
            "{line}"
        );
    }

    #[test]
    fn the_seed_is_drawn_unless_it_is_given() {
        let mut settings = Settings::default();
        assert_ne!(placement_seed(&settings), placement_seed(&settings));
        settings.runtime.placement_seed = 7;
        assert_eq!(placement_seed(&settings), 7);
    }
}

//! The configuration read again while the broker runs: all of it is read and checked first, and then it counts as a whole or
//! not at all.

use std::{path::PathBuf, time::Duration};

use runtime::{Hung, Renewal};

use crate::{
    api::{self, Context},
    audit,
    config::{Fault, Loaded, Server, Settings},
    listen::{self, Entrance},
    log,
    named_files::{Facts, NamedFile, What, named_files},
    numbering::{Numbers, Source},
    open_files::Own,
    people, places,
    policy::Policy,
    revoked,
    start::{self, Started},
    vocabulary::Vocabulary,
    warnings,
};

/// The broker, and what holds of its configuration.
pub struct Running {
    pub started: Started,
    pub now: Loaded,
    pub api: Context,
    at_start: Settings,
}

/// Everything that is to count, read, checked and not yet carried out.
pub struct Plan {
    now: Loaded,
    numbers: Numbers,
    sources: Vec<Option<Source>>,
    policy: Policy,
    facts: Facts,
    own: Own,
    pub told: Told,
}

/// What a reload comes to, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub changes: Vec<String>,
    /// What differs and does not count until the next start.
    pub waiting: Vec<String>,
    pub warnings: Vec<String>,
    /// What the file sets, and a flag or the environment decides.
    pub overridden: Vec<String>,
    /// Which files count without being asked for.
    pub watched: Option<String>,
    /// Where the broker listens now, if that has changed.
    pub listening: Option<String>,
}

impl Running {
    pub fn new(started: Started, loaded: &Loaded, api: Context) -> Running {
        let running = Running { started, now: loaded.clone(), api, at_start: loaded.settings.clone() };
        running.tell_api();
        running
    }

    /// The files that are read.
    pub fn files(&self) -> Vec<NamedFile> {
        named_files(&self.now.settings, &self.started.numbers)
    }

    /// A sentence about the files that count by themselves when they change, whatever becomes of a reload; none if there are none.
    pub fn told_watched(&self) -> Option<String> {
        let files = self.files();
        if !self.now.settings.server.watch_files || files.is_empty() {
            return None;
        }
        let files: Vec<String> = files.iter().map(NamedFile::shown).collect();
        Some(format!(
            "a change in one of these files counts by itself within two seconds, whatever a reload says (set server.watch_files = \
             false to have them wait for one): {}",
            files.join(", ")
        ))
    }

    /// Reads and checks everything that this configuration names. Nothing changes. The error has a sentence for each problem.
    pub fn plan(&self, now: Loaded) -> Result<Plan, Vec<String>> {
        let told = |faults: Vec<Fault>| now.sentences(&faults);
        let listen = listen::resolve(now.listeners(), now.listens_by_default).map_err(told)?;
        let before = &self.started.numbers;
        let (numbers, sources) = before.renumbered(&listen.entrances).map_err(|error| vec![error])?;
        let policy = Policy::read(&now, &numbers, &self.started.decoys).map_err(told)?;
        let foreseen = self.next_start(&now)?;
        let facts = self.started.facts.look(&named_files(&now.settings, &numbers), &policy.rules);
        let own = Own { addresses: listen.entrances.len() as u64, ..self.started.own };
        let mut changes = now.settings.changes(&self.now.settings);
        changes.extend(changes_of_listeners(before, &numbers, &sources));
        changes.extend(self.started.facts.changes(&facts));
        let told_before = warnings::of_settings(&self.now.settings, before);
        let of_settings = warnings::of_settings(&now.settings, &numbers).into_iter();
        let unsaid = of_settings.filter(|warning| !told_before.contains(warning));
        // Time goes on by itself: what is over is told each time.
        let of_time = warnings::of_time(&now.settings, &numbers);
        let warnings =
            unsaid.chain(of_time).chain(policy.people.passed_over.clone()).chain(foreseen).collect();
        let waiting = now.settings.waits_for_start(&self.at_start);
        let overridden = now.overrides();
        let told = Told { changes, waiting, warnings, overridden, ..Told::default() };
        Ok(Plan { now, numbers, sources, policy, facts, own, told })
    }

    /// What would keep the next start from what waits for it: an error where this reload brings it, and a warning where an earlier
    /// one did and the place has gone since. What does not wait is not asked: it is there.
    fn next_start(&self, now: &Loaded) -> Result<Vec<String>, Vec<String>> {
        let waits = |fault: &Fault| fault.is_of_what_differs(&now.settings, &self.at_start);
        let faults = places::check(&now.settings).into_iter().filter(waits);
        let is_brought = |fault: &Fault| fault.is_of_what_differs(&now.settings, &self.now.settings);
        let (brought, others): (Vec<Fault>, Vec<Fault>) = faults.partition(is_brought);
        let told = |faults: &[Fault]| -> Vec<String> {
            let sentences = now.sentences(faults).into_iter();
            sentences.map(|told| format!("the next start would fail: {told}")).collect()
        };
        if brought.is_empty() { Ok(told(&others)) } else { Err(told(&brought)) }
    }

    /// Whether the places of the listeners that are added can be had, found out by taking them for a moment.
    pub fn check(&self, plan: &Plan) -> Result<(), Vec<String>> {
        let renewal = self.renewal(plan)?;
        self.started.broker.prepare(renewal).map(drop).map_err(|error| vec![error.to_string()])
    }

    /// Carries it out. With an error nothing has changed.
    pub fn apply(&mut self, plan: Plan) -> Result<Told, Vec<String>> {
        let renewal = self.renewal(&plan)?;
        let broker = &self.started.broker;
        let failed = |error: runtime::StartError| vec![error.to_string()];
        let prepared = broker.prepare(renewal).map_err(failed)?;
        prepared.listen().map_err(failed)?;
        // From here on nothing fails. Who is let in and what may be done is known before anybody comes in by another door.
        let vocabulary = Vocabulary::of(&plan.policy.rules);
        let Plan { now, numbers, sources, policy, facts, own, mut told } = plan;
        let are_same =
            |(number, source): (usize, &Option<Source>)| *source == Some(Source::There(number as u16));
        let has_other_places = !sources.iter().enumerate().all(are_same);
        self.started.doorkeeper.replace(policy.chains, &policy.revoked, &numbers);
        self.started.doorkeeper.replace_vocabulary(vocabulary.clone());
        self.api.replace_tls(policy.api_tls);
        // What proves us to one collector is not for another, which has to wait for the next start.
        let is_same = now.settings.telemetry.otlp_endpoint == self.at_start.telemetry.otlp_endpoint;
        if let (Some(telemetry), Some(collector), true) = (&self.started.telemetry, policy.collector, is_same)
        {
            telemetry.replace(collector);
        }
        audit::replace_listeners(numbers.names());
        self.api.events().replace_listeners(numbers.names());
        broker.set_rules(Some(&policy.rules));
        broker.set_rates(&self.started.doorkeeper.registry().set(&now.settings.rates, &numbers));
        broker.set_bans(now.settings.bans());
        broker.renew(prepared);
        log::set_level(now.settings.log.level);
        self.started.sys.set_interval(Duration::from_secs(now.settings.server.sys_interval_secs));
        let started = &mut self.started;
        (started.numbers, started.facts, started.own) = (numbers, facts, own);
        let before = std::mem::replace(&mut started.people, policy.people);
        let mut revisions = people::revisions(&before.known(), &started.people.known());
        revisions.extend(people::gone(&before.letting_in, &started.people.letting_in));
        revisions.extend(revoked::revisions(&started.revoked, &policy.revoked));
        started.revoked = policy.revoked;
        revisions.iter().for_each(|revision| started.broker.revise(revision));
        // Who comes in when it is said to be done comes in by what holds then.
        started.broker.settle();
        if has_other_places {
            let places = start::places(&started.numbers, &started.broker);
            told.listening = Some(start::listening_on(&places, now.file.as_deref()));
        }
        started.vocabulary = vocabulary;
        self.now = now;
        self.tell_api();
        Ok(told)
    }

    /// Where clients come in.
    pub fn listening(&self) -> String {
        let places = start::places(&self.started.numbers, &self.started.broker);
        start::listening_on(&places, self.now.file.as_deref())
    }

    /// What the API tells, or has to know, of the configuration that holds.
    fn tell_api(&self) {
        let places = start::places(&self.started.numbers, &self.started.broker);
        let listeners = places.iter().map(|(scheme, place)| listen::shown(*scheme, place)).collect();
        let settings = &self.now.settings;
        let message_bytes_max = usize::try_from(settings.server.max_packet_size).unwrap_or(usize::MAX);
        let user_database = &settings.authentication.user_database;
        let user_database = (!user_database.is_empty()).then(|| PathBuf::from(user_database));
        self.api.set_facts(api::Facts {
            listeners,
            has_default_listeners: self.now.has_default_listeners(),
            message_bytes_max,
            topic_levels_max: usize::try_from(settings.router.max_topic_levels).unwrap_or(usize::MAX),
            user_database,
            vocabulary: self.started.vocabulary.clone(),
        });
    }

    /// Takes on the user database alone, if it has changed: nothing else is read or forgotten.
    pub fn refresh_users(&mut self) -> Result<Told, Vec<String>> {
        let Some(database) = &self.started.people.database else { return Ok(Told::default()) };
        let (before, people) = ([database.known()], &self.started.people);
        let told_before = people.unknown_rights(&self.started.vocabulary);
        database.refresh().map_err(|error| vec![error.to_string()])?;
        for revision in people::revisions(&before, &[database.known()]) {
            self.started.broker.revise(&revision);
        }
        let mut warnings = people.unknown_rights(&self.started.vocabulary);
        warnings.retain(|warning| !told_before.contains(warning));
        let files = self.files();
        let changes = self.started.facts.look_again(&files, What::UserDatabase);
        Ok(Told { changes, warnings, ..Told::default() })
    }

    /// What the runtime is told.
    fn renewal(&self, plan: &Plan) -> Result<Renewal, Vec<String>> {
        let settings = &plan.now.settings;
        let doors = start::doors(settings, &plan.numbers, &plan.policy);
        let hung = doors.into_iter().zip(&plan.sources).map(|(door, source)| match (door?, (*source)?) {
            (door, Source::There(from)) => Some(Hung::There { from, door }),
            (door, Source::Added) => Some(Hung::Added(door)),
        });
        let doors = hung.collect();
        let max_connections = start::raise_open_files(settings, plan.own).map_err(|error| vec![error])?;
        let mut config = settings.runtime_config(Vec::new(), self.started.shards, 0);
        config.core.doors = start::admission(&plan.now, &plan.numbers, !plan.policy.rules.are_open());
        Ok(Renewal { doors, max_connections, linger: config.linger, core: config.core })
    }
}

/// The files that are to be watched.
pub fn watched(now: &Loaded) -> Vec<PathBuf> {
    let listen = listen::resolve(now.listeners(), now.listens_by_default).ok();
    let numbers = listen.map(|listen| Numbers::first(listen.entrances));
    let files = numbers.map(|numbers| named_files(&now.settings, &numbers)).unwrap_or_default();
    let Server { watch_files, watch_config, .. } = now.settings.server;
    let named = files.into_iter().filter(|_| watch_files).map(|file| file.path);
    named.chain(now.file.clone().filter(|_| watch_config)).collect()
}

fn changes_of_listeners(before: &Numbers, now: &Numbers, sources: &[Option<Source>]) -> Vec<String> {
    let (old, new): (Vec<_>, Vec<_>) = (before.all().collect(), now.all().collect());
    let mut changes = Vec::new();
    for (number, (entrance, is_open)) in new.into_iter().enumerate() {
        let Entrance { address, listener, .. } = entrance;
        let was = old.get(number).filter(|(_, was_open)| *was_open);
        match (was, is_open, sources[number]) {
            (Some((was, _)), true, _) => {
                let told = listener.changes(&was.listener).into_iter();
                changes.extend(told.map(|change| {
                    let is_way_in = WAYS_IN.iter().any(|key| change.starts_with(key));
                    let whom = if is_way_in { AT_ONCE } else { FROM_NOW_ON };
                    format!("listener {address}: {change}, {whom}")
                }));
            }
            (Some(_), false, _) => {
                changes.push(format!("listener {address} is closed; who came in by it stays connected"));
            }
            (None, true, Some(Source::There(_))) => {
                changes
                    .push(format!("listener {address} is added, with the socket of the one that is there"));
            }
            (None, true, _) => changes.push(format!("listener {address} is added")),
            (None, false, _) => {}
        }
    }
    changes
}

/// Settings of a listener that say by whom it lets somebody in.
const WAYS_IN: [&str; 2] = ["authentication ", "anonymous "];

const AT_ONCE: &str = "and who came in by what is gone is disconnected";
const FROM_NOW_ON: &str = "for those who connect from now on";

//! What is read from files and may be read again while the broker runs: certificates, who is let in, and rules.
//!
//! All of it is read and checked before any of it counts, at a start as at a reload.

use std::sync::Arc;

use access::Rules;
use identity::Chains;
use rustls::ServerConfig;

use crate::{
    access as rules,
    config::{Loaded, Scheme, Settings, Tls},
    doorkeeper,
    listen::{self, Entrance},
    start::Started,
    tls,
};

pub struct Policy {
    /// By listener; none where TLS is not spoken.
    pub certificates: Vec<Option<Arc<ServerConfig>>>,
    pub chains: Chains,
    pub rules: Rules,
}

impl Policy {
    /// Reads every file. The error has a sentence for each problem.
    pub fn read(settings: &Settings, entrances: &[Entrance]) -> Result<Policy, Vec<String>> {
        let certificates = certificates(settings, entrances);
        let chains = doorkeeper::chains(&settings.authentication, entrances);
        let rules = rules::load(&settings.access);
        match (certificates, chains, rules) {
            (Ok(certificates), Ok(chains), Ok(rules)) => Ok(Policy { certificates, chains, rules }),
            (certificates, chains, rules) => {
                let mut problems: Vec<String> = certificates.err().into_iter().chain(chains.err()).collect();
                problems.extend(rules.err().unwrap_or_default());
                Err(problems)
            }
        }
    }
}

/// Listeners with the same files share what was read of them, and the keys of their tickets.
fn certificates(
    settings: &Settings,
    entrances: &[Entrance],
) -> Result<Vec<Option<Arc<ServerConfig>>>, String> {
    let mut loaded: Vec<(Tls, ServerConfig)> = Vec::new();
    let mut by_entrance = Vec::new();
    for Entrance { address, listener, .. } in entrances {
        let scheme = address.scheme;
        let files = listener.tls(&settings.tls);
        let speaks_tls = scheme.needs_tls() || scheme == Scheme::Any && files.is_configured();
        if !speaks_tls {
            by_entrance.push(None);
            continue;
        }
        if !loaded.iter().any(|(known, _)| *known == files) {
            let config =
                tls::load(&files).map_err(|error| format!("{address} cannot have its TLS: {error}"))?;
            loaded.push((files.clone(), config));
        }
        let config = loaded.iter().find(|(known, _)| *known == files);
        by_entrance.push(config.map(|(_, config)| tls::speaking(config, scheme.protocols())));
    }
    Ok(by_entrance)
}

/// Takes on what the configuration says now: all of it, or nothing if anything of it is wrong. Says what came of it.
pub fn reload(started: &Started, before: &Loaded, now: &Loaded) -> Result<Vec<String>, Vec<String>> {
    let listen = listen::resolve(now.listeners(), now.listens_by_default).map_err(|error| vec![error])?;
    let same = |one: &Entrance, other: &Entrance| one.address == other.address && one.place == other.place;
    let (here, wanted) = (&started.entrances, &listen.entrances);
    let are_same = here.len() == wanted.len() && here.iter().zip(wanted).all(|(one, other)| same(one, other));
    // Addresses wait for the next start; everything else about the listeners is as the file has it now.
    let entrances = if are_same { wanted } else { here };
    let policy = Policy::read(&now.settings, entrances)?;
    started.broker.set_certificates(&policy.certificates.into());
    started.doorkeeper.replace(policy.chains);
    started.broker.set_rules(Some(&policy.rules));
    let mut waiting = now.settings.waits_for_start(&before.settings);
    if !are_same {
        waiting.push("the addresses of the listeners".to_owned());
    } else {
        let changed =
            here.iter().zip(wanted).filter(|(one, other)| !other.listener.needs_no_start(&one.listener));
        waiting.extend(changed.map(|(one, _)| format!("settings of the listener {}", one.address)));
    }
    Ok(waiting)
}

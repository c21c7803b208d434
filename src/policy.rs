//! What is read from files and may be read again while the broker runs: certificates, who is let in, and rules.
//!
//! All of it is read and checked before any of it counts, at a start as at a reload.

use std::sync::Arc;

use access::Rules;
use identity::Chains;
use rustls::ServerConfig;

use crate::{
    access as rules,
    config::{Api, Scheme, Settings, Tls},
    doorkeeper,
    listen::Entrance,
    numbering::Numbers,
    people::People,
    revoked::{self, Revoked},
    tls,
};

pub struct Policy {
    /// By the listeners' numbers; none where TLS is not spoken.
    pub certificates: Vec<Option<Arc<ServerConfig>>>,
    pub chains: Chains,
    /// Those of the chains that know users by name.
    pub people: People,
    pub rules: Rules,
    /// By the listeners' numbers.
    pub revoked: Vec<Revoked>,
    /// Of the API, where it speaks HTTPS.
    pub api_tls: Option<Arc<ServerConfig>>,
}

impl Policy {
    /// Reads every file. The error has a sentence for each problem.
    pub fn read(settings: &Settings, numbers: &Numbers) -> Result<Policy, Vec<String>> {
        let certificates = certificates(settings, numbers);
        let chains = doorkeeper::chains(&settings.authentication, numbers);
        let rules = rules::load(settings, numbers);
        // Read by those who have been read before: a list with something wrong in it is told once.
        let revoked = certificates.and_then(|read| Ok((read, revoked::load(settings, numbers)?)));
        let api_tls = api_tls(&settings.api);
        match (revoked, chains, rules, api_tls) {
            (Ok((certificates, revoked)), Ok((chains, people)), Ok(rules), Ok(api_tls)) => {
                Ok(Policy { certificates, chains, people, rules, revoked, api_tls })
            }
            (revoked, chains, rules, api_tls) => {
                let mut problems: Vec<String> = revoked.err().into_iter().chain(chains.err()).collect();
                problems.extend(rules.err().unwrap_or_default());
                problems.extend(api_tls.err());
                Err(problems)
            }
        }
    }
}

/// What the API shows who comes by HTTPS. None: it speaks plain HTTP.
pub fn api_tls(settings: &Api) -> Result<Option<Arc<ServerConfig>>, String> {
    if !settings.has_tls() {
        return Ok(None);
    }
    let files = Tls {
        certificate_files: vec![settings.certificate.clone()],
        key_files: vec![settings.private_key.clone()],
        ..Tls::default()
    };
    let config = tls::load(&files).map_err(|error| format!("the API cannot have its TLS: {error}"))?;
    Ok(Some(tls::speaking(&config, Scheme::SecureWebSocket.protocols())))
}

/// Listeners with the same files share what was read of them, and the keys of their tickets.
fn certificates(settings: &Settings, numbers: &Numbers) -> Result<Vec<Option<Arc<ServerConfig>>>, String> {
    let mut loaded: Vec<(Tls, ServerConfig)> = Vec::new();
    let mut by_entrance = Vec::new();
    for (entrance, is_open) in numbers.all() {
        let Entrance { address, listener, .. } = entrance;
        let files = listener.tls(&settings.tls);
        if !entrance.speaks_tls(settings) || !is_open {
            by_entrance.push(None);
            continue;
        }
        if !loaded.iter().any(|(known, _)| *known == files) {
            let config =
                tls::load(&files).map_err(|error| format!("{address} cannot have its TLS: {error}"))?;
            loaded.push((files.clone(), config));
        }
        let config = loaded.iter().find(|(known, _)| *known == files);
        by_entrance.push(config.map(|(_, config)| tls::speaking(config, address.scheme.protocols())));
    }
    Ok(by_entrance)
}

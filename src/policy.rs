//! What is read from files and may be read again while the broker runs: certificates, who is let in, and rules.
//!
//! All of it is read and checked before any of it counts, at a start as at a reload.

use std::{path::Path, sync::Arc};

use access::Rules;
use identity::{Chains, Http, Secret};
use rustls::ServerConfig;

use crate::{
    access as rules,
    api::token_list::TokenList,
    config::{Api, Fault, Loaded, Scheme, Settings, Tls},
    doorkeeper,
    listen::Entrance,
    numbering::Numbers,
    people::People,
    revoked::{self, Revoked},
    telemetry, tls,
    vocabulary::Vocabulary,
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
    /// Of spans, where messages are traced.
    pub collector: Option<Http>,
}

impl Policy {
    /// Reads every file, and says everything that is wrong.
    pub fn read(loaded: &Loaded, numbers: &Numbers, decoys: &Secret) -> Result<Policy, Vec<Fault>> {
        let settings = &loaded.settings;
        let certificates = certificates(settings, numbers);
        let chains = doorkeeper::chains(settings, numbers, decoys);
        let rules = rules::load(loaded, numbers);
        // Read by those who have been read before: a list with something wrong in it is told once.
        let revoked = certificates.and_then(|read| Ok((read, revoked::load(settings, numbers)?)));
        let api_tls = api_tls(&settings.api).and_then(|tls| check_tokens(&settings.api).map(|()| tls));
        let collector = telemetry::collector(&settings.telemetry).map_err(|fault| vec![fault]);
        match (revoked, chains, rules, api_tls, collector) {
            (
                Ok((certificates, revoked)),
                Ok((chains, mut people)),
                Ok(rules),
                Ok(api_tls),
                Ok(collector),
            ) => {
                people.passed_over.extend(people.unknown_rights(&Vocabulary::of(&rules)));
                Ok(Policy { certificates, chains, people, rules, revoked, api_tls, collector })
            }
            (revoked, chains, rules, api_tls, collector) => {
                let faults = [revoked.err(), chains.err(), rules.err(), api_tls.err(), collector.err()];
                Err(faults.into_iter().flatten().flatten().collect())
            }
        }
    }
}

/// What the API shows who comes by HTTPS. None: it speaks plain HTTP.
pub fn api_tls(settings: &Api) -> Result<Option<Arc<ServerConfig>>, Vec<Fault>> {
    if !settings.has_tls() {
        return Ok(None);
    }
    let files = Tls {
        certificate_files: vec![settings.certificate.clone()],
        key_files: vec![settings.private_key.clone()],
        ..Tls::default()
    };
    let fault = |(name, what): (&str, String)| {
        let name = if name == "key_files" { "private_key" } else { "certificate" };
        Fault::of("api", name, format!("the API cannot have its TLS: {what}"))
    };
    let config = tls::load(&files).map_err(|faults| faults.into_iter().map(fault).collect::<Vec<_>>())?;
    Ok(Some(tls::speaking(&config, Scheme::SecureWebSocket.protocols())))
}

/// A file of tokens that is not there yet is made.
fn check_tokens(settings: &Api) -> Result<(), Vec<Fault>> {
    let path = Path::new(&settings.tokens_file);
    if settings.tokens_file.is_empty() || settings.listen.is_empty() || !path.exists() {
        return Ok(());
    }
    let fault = |what| vec![Fault::of("api", "tokens_file", what)];
    TokenList::load(path).map(drop).map_err(fault)
}

/// Listeners with the same files share what was read of them, and the keys of their tickets.
fn certificates(
    settings: &Settings,
    numbers: &Numbers,
) -> Result<Vec<Option<Arc<ServerConfig>>>, Vec<Fault>> {
    let mut loaded: Vec<(Tls, ServerConfig)> = Vec::new();
    let mut faults = Vec::new();
    let mut by_entrance = Vec::new();
    for (entrance, is_open) in numbers.all() {
        let Entrance { address, listener, .. } = entrance;
        let files = listener.tls(&settings.tls);
        if !entrance.speaks_tls(settings) || !is_open {
            by_entrance.push(None);
            continue;
        }
        if !loaded.iter().any(|(known, _)| *known == files) {
            match tls::load(&files) {
                Ok(config) => loaded.push((files.clone(), config)),
                Err(of_files) => {
                    faults.extend(
                        of_files.into_iter().map(|(name, what)| Fault::of("tls", name, what).at(address)),
                    );
                }
            }
        }
        let config = loaded.iter().find(|(known, _)| *known == files);
        by_entrance.push(config.map(|(_, config)| tls::speaking(config, address.scheme.protocols())));
    }
    if faults.is_empty() { Ok(by_entrance) } else { Err(faults) }
}

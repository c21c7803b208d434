//! What is configured and seldom meant: doors that stand open or that nobody gets in by, settings that say nothing, and what is
//! over. None of it keeps a broker from starting.

mod vain;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    config::{Admittance, Anonymous, Settings, Way, Ways, moment},
    listen::{self, Entrance},
    numbering::Numbers,
    tls,
};

/// Of the settings themselves, a sentence for each.
pub fn of_settings(settings: &Settings, numbers: &Numbers) -> Vec<String> {
    let open = numbers.open().filter(|entrance| listen::is_open(&entrance.place));
    let strangers = open.filter_map(|entrance| stranger(settings, entrance));
    once(strangers.chain(idle(settings, numbers)).chain(vain::sentences(settings, numbers)))
}

/// Of what is over, or will be soon: certificates, lists of what is revoked, and bans.
pub fn of_time(settings: &Settings, numbers: &Numbers) -> Vec<String> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let speaking = numbers.open().filter(|entrance| entrance.speaks_tls(settings));
    let files = speaking.flat_map(|entrance| tls::dates(&entrance.listener.tls(&settings.tls), now_s));
    once(files.chain(bans(settings, now_s)))
}

/// Listeners that share their settings are not told twice.
fn once(sentences: impl Iterator<Item = String>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for sentence in sentences {
        if !told.contains(&sentence) {
            told.push(sentence);
        }
    }
    told
}

/// An open broker on the network is a decision, and one that nobody gets into is seldom meant.
fn stranger(settings: &Settings, entrance: &Entrance) -> Option<String> {
    let address = &entrance.address;
    let Admittance { ways, anonymous } = Admittance::of(&settings.authentication, &entrance.listener);
    match anonymous {
        Anonymous::Always if entrance.listener.authentication == Ways::Off => Some(format!(
            "{address} can be reached from the network, and nobody is asked who it is there (authentication = \"off\"): \
             whoever gets there is a client"
        )),
        Anonymous::Always => Some(format!(
            "{address} can be reached from the network, and lets in who says nothing about itself \
             (authentication.anonymous = \"always\"): whoever gets there is a client"
        )),
        Anonymous::Local if ways.is_empty() => Some(format!(
            "{address} can be reached from the network, and only clients on this machine are let in: nothing says \
             how others prove who they are. Name a password file (iothub passwd -c FILE USER; \
             authentication.password_file), or let everybody in (authentication.anonymous = \"always\")"
        )),
        Anonymous::Local | Anonymous::Never => None,
    }
}

/// What is configured and asked nowhere.
fn idle(settings: &Settings, numbers: &Numbers) -> impl Iterator<Item = String> {
    let authentication = &settings.authentication;
    let asked: Vec<Way> =
        numbers.open().flat_map(|entrance| Admittance::of(authentication, &entrance.listener).ways).collect();
    let is_idle = move |way: &Way| authentication.has(*way) && !asked.contains(way);
    let sentence = |way: Way| {
        format!(
            "no listener asks authentication.{}: name \"{}\" in authentication.order or in the authentication of a listener",
            way.key(),
            way.word()
        )
    };
    Way::ALL.into_iter().filter(is_idle).map(sentence)
}

fn bans(settings: &Settings, now_s: u64) -> impl Iterator<Item = String> {
    settings.bans.iter().filter_map(move |ban| {
        let until = ban.until.filter(|until| *until <= now_s)?;
        let until = moment::show(until);
        Some(format!("the [[ban]] of {} has ended at {until}: take it out of the file", ban.whom()))
    })
}

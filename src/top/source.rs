//! What `iothub top` asks the broker, and the thread that asks again and again.

use std::{
    process,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use super::board::{Broker, Client, Clients, Sample, Shards};
use crate::ctl::target::{Target, encoded};
use serde::de::DeserializeOwned;

/// What came of asking; the error is a sentence.
pub type Answer = Result<Sample, String>;

/// Asks everything once.
pub fn ask(target: &Target<'_>) -> Answer {
    let about: Broker = get(target, "/v1/broker")?;
    let Shards { shards } = get(target, "/v1/shards")?;
    let (clients, is_cut) = clients(target)?;
    Ok(Sample { at: Instant::now(), broker: about, shards, clients, is_cut })
}

/// The first ones, and whether there are more.
fn clients(target: &Target<'_>) -> Result<(Vec<Client>, bool), String> {
    let (mut clients, mut path) = (Vec::new(), CLIENTS.to_owned());
    for _ in 0..PAGES_MAX {
        let page: Clients = get(target, &path)?;
        clients.extend(page.clients);
        match page.cursor {
            Some(cursor) => path = format!("{CLIENTS}&cursor={}", encoded(&cursor)),
            None => return Ok((clients, false)),
        }
    }
    Ok((clients, true))
}

fn get<T: DeserializeOwned>(target: &Target<'_>, path: &str) -> Result<T, String> {
    let body = target.get(path).map_err(|failure| failure.sentence())?;
    serde_json::from_value(body)
        .map_err(|error| format!("the broker's answer is not understood: {error}. Is it of another version?"))
}

/// Asks from now on, as often as that, while `show` runs, and ends the process with its code then: an answer that is under way is
/// not waited for.
pub fn follow(target: &Target<'_>, every: Duration, show: impl FnOnce(&Receiver<Answer>) -> u8) -> ! {
    let (answers, answered) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || keep_asking(target, every, &answers));
        process::exit(show(&answered).into())
    })
}

fn keep_asking(target: &Target<'_>, every: Duration, answers: &Sender<Answer>) {
    loop {
        thread::sleep(every);
        if answers.send(ask(target)).is_err() {
            return;
        }
    }
}

const CLIENTS: &str = "/v1/clients?connected=true&limit=1000";
/// Whoever has more clients sees the first of them.
const PAGES_MAX: usize = 5;

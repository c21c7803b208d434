//! What `iothub top` asks the broker, and the thread that asks again and again.

use std::{
    collections::HashSet,
    process,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use super::board::{Broker, Busiest, Client, Clients, Rated, Sample, Shards};
use crate::ctl::target::{Target, encoded};
use serde::de::DeserializeOwned;

/// What came of asking; the error is a sentence.
pub type Answer = Result<Sample, String>;

/// Asks everything once, and for clients within that time.
pub fn ask(target: &Target<'_>, every: Duration) -> Answer {
    let about: Broker = get(target, "/v1/broker")?;
    let Shards { shards } = get(target, "/v1/shards")?;
    let (at, most) = (Instant::now(), every.min(ASKING_MAX));
    let mut listing = Listing::default();
    listing.ask(|path| get(target, path), || at.elapsed() < most)?;
    if listing.is_cut {
        listing.ask_for_busiest(|path| get(target, path))?;
    }
    Ok(Sample { at, broker: about, shards, clients: listing.clients, is_cut: listing.is_cut })
}

/// Clients as far as they were asked for.
#[derive(Default)]
struct Listing {
    clients: Vec<Client>,
    /// Of their names.
    bytes: usize,
    is_cut: bool,
}

impl Listing {
    /// Page after page, to the end or as long as there is time.
    fn ask(
        &mut self,
        mut page_of: impl FnMut(&str) -> Result<Clients, String>,
        has_time: impl Fn() -> bool,
    ) -> Result<(), String> {
        let mut path = CLIENTS.to_owned();
        loop {
            let page = page_of(&path)?;
            self.bytes += page.clients.iter().map(|client| client.client_id.len()).sum::<usize>();
            self.clients.extend(page.clients);
            let Some(cursor) = page.cursor else { return Ok(()) };
            if !has_time() || self.clients.len() >= CLIENTS_MAX || self.bytes >= NAME_BYTES_MAX {
                self.is_cut = true;
                return Ok(());
            }
            path = format!("{CLIENTS}&cursor={}", encoded(&cursor));
        }
    }

    /// Where not all find room, those are there at least whom one looks for: the broker has looked at more of them.
    fn ask_for_busiest(
        &mut self,
        mut page_of: impl FnMut(&str) -> Result<Busiest, String>,
    ) -> Result<(), String> {
        let mut known: HashSet<String> = self.clients.iter().map(|client| client.client_id.clone()).collect();
        for by in ["bytes_sent", "bytes_received", "queued", "ended"] {
            let Busiest { clients } = page_of(&format!("/v1/top?by={by}&limit=1000"))?;
            let connected = clients.into_iter().map(|Rated { client }| client);
            let connected = connected.filter(|client| client.connection.is_some());
            self.clients.extend(connected.filter(|client| known.insert(client.client_id.clone())));
        }
        Ok(())
    }
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
    let mut asked_for = Duration::ZERO;
    loop {
        // What an answer takes is part of the time between two, and the broker has a pause all the same.
        thread::sleep(every.saturating_sub(asked_for).max(every / 4));
        let begun = Instant::now();
        let answer = ask(target, every);
        asked_for = begun.elapsed();
        if answers.send(answer).is_err() {
            return;
        }
    }
}

const CLIENTS: &str = "/v1/clients?connected=true&limit=1000";
/// The clients of one answer may take so long, and be so many.
const ASKING_MAX: Duration = Duration::from_secs(5);
const CLIENTS_MAX: usize = 200_000;
const NAME_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::{Value, json};

    use super::*;

    fn client(client_id: &str) -> Value {
        let traffic =
            json!({ "packets_received": 0, "bytes_received": 0, "packets_sent": 0, "bytes_sent": 0 });
        json!({ "client_id": client_id, "connection": {}, "queued": 0, "inflight": 0, "ended_lately": 0, "traffic": traffic })
    }

    /// Twelve pages with one client each.
    fn page(path: &str) -> Result<Clients, String> {
        let number = path.split_once("&cursor=").map_or(0, |(_, cursor)| cursor.parse().expect("a number"));
        let cursor = (number < 11).then(|| (number + 1).to_string());
        Ok(serde_json::from_value(json!({ "clients": [client(&format!("c{number}"))], "cursor": cursor }))
            .expect("what the API answers"))
    }

    #[test]
    fn pages_are_asked_for_to_the_end() {
        let mut listing = Listing::default();
        assert_eq!(listing.ask(page, || true), Ok(()));
        assert_eq!((listing.clients.len(), listing.is_cut), (12, false));
    }

    #[test]
    fn when_the_time_is_over_the_busiest_are_there_nevertheless() {
        let (mut listing, left) = (Listing::default(), Cell::new(4));
        let has_time = || {
            left.set(left.get() - 1);
            left.get() > 0
        };
        assert_eq!(listing.ask(page, has_time), Ok(()));
        assert_eq!((listing.clients.len(), listing.is_cut), (4, true));
        let busiest = |path: &str| {
            assert!(path.starts_with("/v1/top?by="), "{path}");
            let mut rows = ["c2", "c9", "away"].map(|id| json!({ "client": client(id) }));
            rows[2]["client"]["connection"] = Value::Null;
            Ok(serde_json::from_value(json!({ "clients": rows })).expect("what the API answers"))
        };
        assert_eq!(listing.ask_for_busiest(busiest), Ok(()));
        let ids: Vec<&str> = listing.clients.iter().map(|client| client.client_id.as_str()).collect();
        assert_eq!(ids, ["c0", "c1", "c2", "c3", "c9"]);
    }
}

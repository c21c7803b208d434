//! What `iothub top` shows: numbers of the broker and the rates from one answer to the next. No terminal and no sockets.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Instant,
};

use serde::Deserialize;
use shard::{Cause, Side};

/// What the broker said at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    pub at: Instant,
    pub broker: Broker,
    pub shards: Vec<Shard>,
    pub clients: Vec<Client>,
    /// There are more clients than these.
    pub is_cut: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Broker {
    pub version: String,
    pub uptime_s: u64,
    pub stage: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Shards {
    pub shards: Vec<Shard>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Shard {
    pub shard: u8,
    pub counters: BTreeMap<String, u64>,
    pub gauges: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Clients {
    pub clients: Vec<Client>,
    pub cursor: Option<String>,
}

/// Those with the most of something, whether they are connected or not.
#[derive(Debug, Clone, Deserialize)]
pub struct Busiest {
    pub clients: Vec<Rated>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Rated {
    pub client: Client,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Client {
    pub client_id: String,
    pub connection: Option<Connection>,
    pub queued: u64,
    pub inflight: u64,
    /// Connections of it.
    pub ended_lately: u64,
    pub traffic: Traffic,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Connection {
    pub address: Option<String>,
    pub user: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Traffic {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
}

/// By what clients are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Traffic,
    Queued,
    ClientId,
    Ended,
}

impl Order {
    pub fn next(self) -> Order {
        match self {
            Order::Traffic => Order::Queued,
            Order::Queued => Order::ClientId,
            Order::ClientId => Order::Ended,
            Order::Ended => Order::Traffic,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Order::Traffic => "traffic",
            Order::Queued => "queue",
            Order::ClientId => "client id",
            Order::Ended => "connections ended lately",
        }
    }
}

/// One line of the list of clients.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    pub client: &'a Client,
    /// In a second.
    pub received: f64,
    pub sent: f64,
    pub bytes_received: f64,
    pub bytes_sent: f64,
}

#[derive(Debug)]
pub struct Board {
    now: Sample,
    before: Option<Before>,
    /// Messages received and sent in a second, the newest last.
    pub history: VecDeque<u64>,
    pub order: Order,
    /// Stands somewhere in the client id or the user.
    pub search: String,
}

/// What rates are reckoned from.
#[derive(Debug)]
struct Before {
    at: Instant,
    shards: Vec<Shard>,
    traffic: HashMap<String, Traffic>,
}

impl Board {
    pub fn new(first: Sample) -> Board {
        let history = VecDeque::new();
        Board { now: first, before: None, history, order: Order::Traffic, search: String::new() }
    }

    pub fn add(&mut self, sample: Sample) {
        let last = std::mem::replace(&mut self.now, sample);
        // A broker that was started again counts from the beginning.
        let is_next =
            self.now.broker.uptime_s >= last.broker.uptime_s && self.now.shards.len() == last.shards.len();
        self.before = is_next.then(|| Before {
            at: last.at,
            shards: last.shards,
            traffic: last.clients.into_iter().map(|client| (client.client_id, client.traffic)).collect(),
        });
        let messages =
            self.rate("publish_received").unwrap_or(0.0) + self.rate("publish_sent").unwrap_or(0.0);
        self.history.push_back(messages.round() as u64);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
    }

    pub fn now(&self) -> &Sample {
        &self.now
    }

    /// Of all shards together.
    pub fn gauge(&self, name: &str) -> u64 {
        self.now.shards.iter().filter_map(|shard| shard.gauges.get(name)).sum()
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.now.shards.iter().filter_map(|shard| shard.counters.get(name)).sum()
    }

    /// In a second. None: there is nothing yet to compare with.
    pub fn rate(&self, name: &str) -> Option<f64> {
        (0..self.now.shards.len()).map(|at| self.shard_rate(at, name)).sum()
    }

    /// Of the shard in this place.
    pub fn shard_rate(&self, at: usize, name: &str) -> Option<f64> {
        let before = self.before.as_ref()?;
        let value = |shards: &[Shard]| shards.get(at).and_then(|shard| shard.counters.get(name)).copied();
        let change = value(&self.now.shards)?.saturating_sub(value(&before.shards)?);
        Some(change as f64 / self.seconds(before))
    }

    /// Causes that have lost something, with all and with those of a second: those on the way out before those on the way in, the most
    /// frequent first.
    pub fn drops(&self) -> Vec<(&'static str, Side, u64, f64)> {
        let of = |cause: &Cause| {
            let counter = cause.counter();
            (cause.word(), cause.side(), self.counter(counter), self.rate(counter).unwrap_or(0.0))
        };
        let mut drops: Vec<_> = Cause::ALL.iter().map(of).filter(|(_, _, total, _)| *total > 0).collect();
        drops.sort_by_key(|(_, side, total, _)| (*side == Side::In, std::cmp::Reverse(*total)));
        drops
    }

    /// By all causes of this side.
    pub fn lost(&self, side: Side) -> u64 {
        let causes = Cause::ALL.iter().filter(|cause| cause.side() == side);
        causes.map(|cause| self.counter(cause.counter())).sum()
    }

    /// In a second, by all causes of this side.
    pub fn loss_rate(&self, side: Side) -> f64 {
        let causes = Cause::ALL.iter().filter(|cause| cause.side() == side);
        // The sum of nothing is minus zero.
        causes.fold(0.0, |sum, cause| sum + self.rate(cause.counter()).unwrap_or(0.0))
    }

    /// Those that are looked for, in their order.
    pub fn clients(&self) -> Vec<Row<'_>> {
        let search = self.search.to_lowercase();
        let is_wanted = |client: &&Client| {
            let user = client.connection.as_ref().and_then(|connection| connection.user.as_deref());
            [Some(client.client_id.as_str()), user]
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(&search))
        };
        let mut rows: Vec<Row<'_>> =
            self.now.clients.iter().filter(is_wanted).map(|client| self.row(client)).collect();
        rows.sort_by(|one, other| {
            let by_id = one.client.client_id.cmp(&other.client.client_id);
            match self.order {
                Order::Traffic => other.bytes().total_cmp(&one.bytes()).then(by_id),
                Order::Queued => other.client.queued.cmp(&one.client.queued).then(by_id),
                Order::ClientId => by_id,
                Order::Ended => other.client.ended_lately.cmp(&one.client.ended_lately).then(by_id),
            }
        });
        rows
    }

    fn row<'a>(&'a self, client: &'a Client) -> Row<'a> {
        let known =
            self.before.as_ref().and_then(|before| Some((before, *before.traffic.get(&client.client_id)?)));
        // Whoever was not there before has not been measured yet.
        let per_second = |of: fn(&Traffic) -> u64| match &known {
            Some((before, then)) => {
                of(&client.traffic).saturating_sub(of(then)) as f64 / self.seconds(before)
            }
            None => 0.0,
        };
        Row {
            client,
            received: per_second(|traffic| traffic.packets_received),
            sent: per_second(|traffic| traffic.packets_sent),
            bytes_received: per_second(|traffic| traffic.bytes_received),
            bytes_sent: per_second(|traffic| traffic.bytes_sent),
        }
    }

    fn seconds(&self, before: &Before) -> f64 {
        self.now.at.saturating_duration_since(before.at).as_secs_f64().max(0.001)
    }
}

impl Row<'_> {
    fn bytes(&self) -> f64 {
        self.bytes_received + self.bytes_sent
    }
}

/// As wide as a terminal gets.
const HISTORY_MAX: usize = 512;

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use super::*;

    /// As the API tells of the shards, before there are rates.
    pub fn of_shards(answer: &serde_json::Value) -> Board {
        let Shards { shards } = serde_json::from_value(answer.clone()).expect("what the API answers");
        Board::new(Sample { shards, ..sample(0, &[]) })
    }

    /// Of one shard, `seconds` after the first; each client has received so many packets, of 10 bytes.
    pub fn sample(seconds: u64, clients: &[(&str, u64)]) -> Sample {
        static BEGUN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        let packets: u64 = clients.iter().map(|(_, packets)| packets).sum();
        let counters =
            [("publish_received", packets), ("publish_sent", 2 * packets), ("dropped_expired", packets / 2)];
        let gauges = [
            ("connections", clients.len() as u64),
            ("queued_bytes", 1 << 10),
            ("queued_away_bytes", 2 << 10),
            ("store_file_bytes", 8 << 20),
        ];
        let client = |(client_id, packets): &(&str, u64)| Client {
            client_id: (*client_id).to_owned(),
            connection: Some(Connection::default()),
            queued: 100 - packets.min(&100),
            inflight: 0,
            ended_lately: client_id.len() as u64,
            traffic: Traffic {
                packets_received: *packets,
                bytes_received: packets * 10,
                ..Traffic::default()
            },
        };
        Sample {
            at: *BEGUN + Duration::from_secs(seconds),
            broker: Broker {
                version: "1.2.3".to_owned(),
                uptime_s: seconds + 100,
                stage: "serving".to_owned(),
            },
            shards: vec![Shard {
                shard: 0,
                counters: counters.map(|(name, value)| (name.to_owned(), value)).into(),
                gauges: gauges.map(|(name, value)| (name.to_owned(), value)).into(),
            }],
            clients: clients.iter().map(client).collect(),
            is_cut: false,
        }
    }

    #[test]
    fn rates_are_what_changed_in_a_second() {
        let mut board = Board::new(sample(0, &[("a", 0), ("b", 10)]));
        assert_eq!(board.rate("publish_received"), None);
        assert_eq!(board.clients()[0].received, 0.0);
        board.add(sample(2, &[("a", 40), ("b", 10), ("c", 6)]));
        assert_eq!(board.rate("publish_received"), Some(23.0));
        assert_eq!(board.history, [69]);
        let rows: Vec<(&str, f64)> =
            board.clients().iter().map(|row| (row.client.client_id.as_str(), row.received)).collect();
        assert_eq!(rows, [("a", 20.0), ("b", 0.0), ("c", 0.0)]);
        assert_eq!(board.drops(), [("expired", Side::Out, 28, 11.5)]);
        assert_eq!((board.loss_rate(Side::Out), board.loss_rate(Side::In)), (11.5, 0.0));
    }

    #[test]
    fn a_broker_that_was_started_again_has_no_rates_yet() {
        let mut board = Board::new(sample(50, &[("a", 40)]));
        let mut again = sample(52, &[("a", 1)]);
        again.broker.uptime_s = 1;
        board.add(again);
        assert_eq!(board.rate("publish_received"), None);
    }

    #[test]
    fn clients_are_sorted_and_looked_for() {
        let mut board = Board::new(sample(0, &[("Fan", 0), ("pump", 0), ("lamp", 0)]));
        board.add(sample(1, &[("Fan", 5), ("pump", 50), ("lamp", 1)]));
        let ids = |board: &Board| {
            board.clients().iter().map(|row| row.client.client_id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&board), ["pump", "Fan", "lamp"]);
        board.order = board.order.next();
        assert_eq!(ids(&board), ["lamp", "Fan", "pump"]);
        board.order = board.order.next();
        assert_eq!(ids(&board), ["Fan", "lamp", "pump"]);
        board.order = board.order.next();
        assert_eq!(ids(&board), ["lamp", "pump", "Fan"], "by connections that ended");
        board.search = "FA".to_owned();
        assert_eq!(ids(&board), ["Fan"]);
    }
}

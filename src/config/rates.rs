//! Settings of how fast clients may be: how often they connect, and how much they send and get. Their keys are the same wherever they
//! stand.

use super::{
    key::{Key, Kind},
    settings::Settings,
};

/// What holds everywhere, unless a listener says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    pub over: Over,
    pub burst_secs: u64,
    /// Addresses that begin with so many bits count as one.
    pub address_prefix_v4: u64,
    pub address_prefix_v6: u64,
    pub of: RatesOf,
}

/// By whom they hold for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RatesOf {
    pub client: Pace,
    pub user: Pace,
    pub address: Pace,
    pub listener: Pace,
}

/// Zero says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    pub connects_per_minute: u64,
    pub publish_messages_per_s: u64,
    pub publish_bytes_per_s: u64,
    pub receive_messages_per_s: u64,
    pub receive_bytes_per_s: u64,
}

impl Pace {
    /// Anything beside how often somebody connects.
    pub fn limits_messages(&self) -> bool {
        *self != Pace { connects_per_minute: self.connects_per_minute, ..Pace::default() }
    }
}

/// What becomes of a client that sends more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Wait,
    Disconnect,
}

impl Over {
    pub const ALL: [Over; 2] = [Over::Wait, Over::Disconnect];
}

impl RatesOf {
    /// These, and for what they do not name the others.
    pub fn or(self, other: RatesOf) -> RatesOf {
        RatesOf {
            client: self.client.or(other.client),
            user: self.user.or(other.user),
            address: self.address.or(other.address),
            listener: self.listener.or(other.listener),
        }
    }

    /// Who a client is has to be known for some of them.
    pub fn want_to_know(&self) -> bool {
        self.user != Pace::default() || self.address != Pace::default() || self.client.connects_per_minute > 0
    }
}

impl Pace {
    fn or(self, other: Pace) -> Pace {
        let or = |own: u64, theirs: u64| if own == 0 { theirs } else { own };
        Pace {
            connects_per_minute: or(self.connects_per_minute, other.connects_per_minute),
            publish_messages_per_s: or(self.publish_messages_per_s, other.publish_messages_per_s),
            publish_bytes_per_s: or(self.publish_bytes_per_s, other.publish_bytes_per_s),
            receive_messages_per_s: or(self.receive_messages_per_s, other.receive_messages_per_s),
            receive_bytes_per_s: or(self.receive_bytes_per_s, other.receive_bytes_per_s),
        }
    }
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            over: Over::Wait,
            burst_secs: 1,
            address_prefix_v4: 32,
            address_prefix_v6: 64,
            of: RatesOf::default(),
        }
    }
}

/// A section's keys. Zero stands for what the word says.
pub const fn keys(
    section: &'static str,
    word: &'static str,
    rates: fn(&mut Settings) -> &mut RatesOf,
) -> [Key; COUNT] {
    let row = Row { section, word, rates };
    [
        row.key("client_connects_per_minute", |of| &mut of.client.connects_per_minute),
        row.key("client_publish_messages_per_s", |of| &mut of.client.publish_messages_per_s),
        row.key("client_publish_bytes_per_s", |of| &mut of.client.publish_bytes_per_s),
        row.key("client_receive_messages_per_s", |of| &mut of.client.receive_messages_per_s),
        row.key("client_receive_bytes_per_s", |of| &mut of.client.receive_bytes_per_s),
        row.key("user_connects_per_minute", |of| &mut of.user.connects_per_minute),
        row.key("user_publish_messages_per_s", |of| &mut of.user.publish_messages_per_s),
        row.key("user_publish_bytes_per_s", |of| &mut of.user.publish_bytes_per_s),
        row.key("user_receive_messages_per_s", |of| &mut of.user.receive_messages_per_s),
        row.key("user_receive_bytes_per_s", |of| &mut of.user.receive_bytes_per_s),
        row.key("address_connects_per_minute", |of| &mut of.address.connects_per_minute),
        row.key("address_publish_messages_per_s", |of| &mut of.address.publish_messages_per_s),
        row.key("address_publish_bytes_per_s", |of| &mut of.address.publish_bytes_per_s),
        row.key("address_receive_messages_per_s", |of| &mut of.address.receive_messages_per_s),
        row.key("address_receive_bytes_per_s", |of| &mut of.address.receive_bytes_per_s),
        row.key("listener_connects_per_minute", |of| &mut of.listener.connects_per_minute),
        row.key("listener_publish_messages_per_s", |of| &mut of.listener.publish_messages_per_s),
        row.key("listener_publish_bytes_per_s", |of| &mut of.listener.publish_bytes_per_s),
        row.key("listener_receive_messages_per_s", |of| &mut of.listener.receive_messages_per_s),
        row.key("listener_receive_bytes_per_s", |of| &mut of.listener.receive_bytes_per_s),
    ]
}

/// What the keys of a section have in common.
struct Row {
    section: &'static str,
    word: &'static str,
    rates: fn(&mut Settings) -> &mut RatesOf,
}

impl Row {
    const fn key(&self, name: &'static str, place: fn(&mut RatesOf) -> &mut u64) -> Key {
        Key { section: self.section, name, kind: Kind::Rate { word: self.word, rates: self.rates, place } }
    }
}

/// Five for each of four.
pub const COUNT: usize = 20;

/// Faster than any machine.
pub const RATE_MAX: u64 = 1_000_000_000_000;
